"""What is worked by hand in a notebook: the mixture explorer, the graph editor, the monitor of a swarm."""
