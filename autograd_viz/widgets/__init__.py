"""The Explorer: a live picture of a function and its backward pass, in a notebook or a page."""
