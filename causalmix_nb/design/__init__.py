"""Which runs to make: mixtures over the simplex, crossed with states of the pool."""
