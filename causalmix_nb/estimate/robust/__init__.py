"""Which runs fit the others: what the weights of runs are judged by."""
