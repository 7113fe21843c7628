"""From runs to arrays: the estimation problem, the contract of a fitted model, and what both stand on."""
