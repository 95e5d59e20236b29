"""Graphs of real networks: grouped by module or by repetition, and folded until a person can read them."""
