"""What the Gaussian process is made of: its covariance, the gradient of that, how it is learnt, and its posterior."""
