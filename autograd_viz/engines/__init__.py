"""Engines of the reader's own: micrograd's, or one written for an exercise."""
