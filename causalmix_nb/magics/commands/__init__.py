"""The subcommands of ``%causalmix`` by kind: what each takes, and which method of the study it calls."""
