"""The paths from an output to a leaf, and the products along them."""
