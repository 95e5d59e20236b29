"""Graphs of real networks: grouped by module or by repetition, and folded to a readable size."""
