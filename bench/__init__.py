"""Benchmarks: medians and ratios of one run, against a peer or a physical floor. `make bench`."""
