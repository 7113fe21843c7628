"""Runs that do not fit because they lie in a region that is bad (or good) as a whole: that is the truth, and no accident of single runs.

Wild runs lie anywhere among the mixtures. If those that do not fit crowd together instead – around one of them, or where one domain
has most or least – by more than chance allows, they tell of a region that the surface of the others is too smooth to foresee.
"""

from __future__ import annotations

import numpy as np

FEWEST = 3  # runs that make a region
CHANCE = 0.002  # how often runs that lie anywhere may crowd so
ALIKE = 4.0  # times the typical distance of a region's runs from what is expected, beyond which one of them is wild all the same


def crowded(off: np.ndarray, wild: np.ndarray, T: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """Which of the wild runs (n,) lie in a region of their own, shape (n,) bool.

    Parameters
    ----------
    off: (n,) distance from what the others expect, signed, in standard deviations.
    wild: (n,) bool.
    T: (n, K) shares.
    repeats: (n,) number of the mixture; runs of one mixture count once.

    >>> T = np.random.default_rng(0).dirichlet(np.ones(3), 60)
    >>> corner = T[:, 0] > np.sort(T[:, 0])[-7]
    >>> bool((crowded(np.where(corner, 9.0, 0.0), corner, T, np.arange(60)) == corner).all())
    True
    """
    inside: np.ndarray = np.zeros(len(off), bool)
    for sign in (1.0, -1.0):
        rows = np.flatnonzero(wild & (sign * off > 0))
        if len(rows) < FEWEST:
            continue
        rows = rows[np.abs(off[rows]) <= ALIKE * np.median(np.abs(off[rows]))]
        found = _region(np.isin(repeats, repeats[rows]), rows, T, repeats)
        inside[rows] = found[rows]
    return inside


def _region(marked: np.ndarray, rows: np.ndarray, T: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """The runs (n,) of the place in which the marked ones crowd most; none where chance explains it."""
    from scipy.stats import hypergeom

    _, first = np.unique(repeats, return_index=True)
    roots, m, n = np.sqrt(T), int(marked[first].sum()), len(first)
    # around one of them, which is given and no chance, or from either end of a domain
    tries = [(np.linalg.norm(roots[first] - roots[i], axis=1), 1) for i in rows]
    tries += [(way * T[first, k], 0) for k in range(T.shape[1]) for way in (1.0, -1.0)]
    best: np.ndarray = np.zeros(len(T), bool)
    least = CHANCE
    for away, given in tries:
        order = np.argsort(away, kind="stable")
        hits = np.cumsum(marked[first][order])
        at = np.flatnonzero(marked[first][order] & (hits >= FEWEST))
        chances = hypergeom.sf(hits[at] - given - 1, n - given, m - given, at + 1 - given) * len(tries)
        if len(at) and chances.min() < least:
            least = float(chances.min())
            best = np.isin(repeats, repeats[first][order[: at[chances.argmin()] + 1]])
    return best
