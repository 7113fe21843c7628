"""The record of runs: one row per training, in a file of its own or read from other people's tables."""
