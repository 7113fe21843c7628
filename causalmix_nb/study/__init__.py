"""A study: a pool, a graph, runs, a model and a recommendation in one folder."""
