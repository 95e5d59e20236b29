"""A small step of one input, and what moves."""
