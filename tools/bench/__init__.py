"""Benchmarks of the provider, its peers and the floor: `make bench`."""
