"""The subcommands of ``%causalmix`` by kind: what each is called, what it takes, which method of the study it calls."""
