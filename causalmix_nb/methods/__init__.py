"""Estimators: how the outcome depends on mixture, state and scale, one method a file."""
