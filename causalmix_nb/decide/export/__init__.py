"""A mixture in the form that a trainer reads."""
