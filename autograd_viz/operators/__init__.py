"""What PyTorch's operations are: how they read, what they compute, what their gradients are."""
