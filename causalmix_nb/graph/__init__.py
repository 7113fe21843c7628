"""The causal graph: read, drawn, asked what to adjust for, and held against the runs."""
