"""Other people's tables as runs: how a file is read, which columns are what, which rows belong together, and what was assumed."""
