"""Draws the autograd graph of any PyTorch tensor, and the backward pass through it."""

from autograd_viz.capture import graph
from autograd_viz.record import trace

__all__ = ["graph", "trace"]
__version__ = "0.1.0"
