"""Formulas of local derivatives, vector-Jacobian products, and the chain rule."""
