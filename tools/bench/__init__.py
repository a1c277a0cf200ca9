"""What the provider costs, beside its peers and the floor: `make bench`."""
