"""A study put to the test: the pool changes, and what was learnt once has to hold."""
