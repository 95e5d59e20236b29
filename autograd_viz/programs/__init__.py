"""A function run forward and recorded."""
