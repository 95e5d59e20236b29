"""What ran while it was recorded: calls of PyTorch, backward passes, in-place changes."""
