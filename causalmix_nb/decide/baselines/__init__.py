"""The mixtures everybody compares with, each from its own paper.

From no run or from runs that are there. Equal and Natural need no run; Best-run takes the best mixture seen. RegMix (Liu et al.,
arXiv 2407.01492) regresses the outcome on the mixture alone with LightGBM, simulates mixtures from a Dirichlet distribution around the
natural one and averages the best. The data mixing law (Ye et al., arXiv 2403.16952) does the same with an exponential of a linear form.
DMO (Li et al., arXiv 2508.11953) fits every domain's loss as a power law of the data that is effective for it, its own and what
transfers from the others, and minimises their sum. A grid, Bayesian optimisation, DoReMi and Online Data Mixing train runs of their own.
None of them looks at the pool's state.
"""
