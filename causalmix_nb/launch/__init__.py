"""Where and how runs are trained: here, in worker processes, on a cluster, in the background, and at what cost."""
