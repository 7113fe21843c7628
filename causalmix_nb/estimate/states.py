"""What an average over the runs' states is taken over."""

from __future__ import annotations

import numpy as np

MAX_STATES = 64  # how many rows stand for all


def standing(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of X (n, d), at most MAX_STATES that stand for all, and the share of the rows that each stands for.

    >>> rows, share = standing(np.array([[0.0], [1.0], [0.0], [0.0]]))
    >>> rows.ravel().tolist(), share.tolist()
    ([0.0, 1.0], [0.75, 0.25])
    """
    distinct, counts = np.unique(X.round(9), axis=0, return_counts=True)
    if len(distinct) > MAX_STATES:
        some = (np.arange(MAX_STATES) + 0.5) / MAX_STATES * counts.sum()
        chosen, counts = np.unique(np.searchsorted(np.cumsum(counts), some, side="right"), return_counts=True)
        distinct = distinct[chosen]
    return distinct, counts / counts.sum()
