"""What can be asked of runs and of a fitted model, one question a file."""
