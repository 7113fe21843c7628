"""Figures on plain arrays: one family a file, each with units, an interval and an alternative text."""
