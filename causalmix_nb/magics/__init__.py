"""``%causalmix``: every subcommand is one method of a study."""
