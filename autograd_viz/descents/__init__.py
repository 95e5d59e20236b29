"""Gradient descent that can be watched step by step."""
