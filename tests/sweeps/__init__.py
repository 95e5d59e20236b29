"""Sweeps over everything that PyTorch tests itself with."""
