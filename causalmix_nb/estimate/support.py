"""How far a place is from the runs, in units of how far the runs are from each other; 1 is the edge of what they cover.

A place is as far from the runs as from its third nearest run, and the unit is the 95 % quantile of the same distance over the
runs themselves. :class:`TrustRegion` looks at the mixture alone, :class:`Support` at mixture and state together.
"""

from __future__ import annotations

import math

import numpy as np

from causalmix_nb.estimate.nuisances import state_and_scale, state_features
from causalmix_nb.estimate.problem import Problem

NEIGHBOURS = 3  # a place is as far from the runs as from its third nearest
COVERED = 0.95  # quantile of the runs' own distances that bounds what they cover
COMPONENTS = (
    3  # leading components of the state that distances look at: of more, everything is far from everything
)
NEAR = 0.25  # the part of the runs that counts as being at a like state


class TrustRegion:
    """What the runs have covered: mixtures no further from their third nearest run than runs are from theirs.

    Distance is Euclidean between square roots of shares (Hellinger's, up to a factor); its bound is the 95 % quantile over
    the distinct mixtures of the runs, each with itself left out.
    """

    def __init__(self, T: np.ndarray) -> None:
        self.roots = np.sqrt(np.unique(T.round(9), axis=0))
        self.k = min(NEIGHBOURS, max(len(self.roots) - 1, 1))
        own = np.sort(_distances(self.roots, self.roots), axis=1)[:, min(self.k, len(self.roots) - 1)]
        self.bound = max(float(np.quantile(own, COVERED)), 1e-6)

    def distance(self, T: np.ndarray) -> np.ndarray:
        """Distance of n mixtures from the runs, in units of the bound, shape (n,)."""
        out = np.empty(len(T))
        for i in range(0, len(T), 4096):
            away = _distances(np.sqrt(T[i : i + 4096]), self.roots)
            out[i : i + 4096] = np.partition(away, self.k - 1, axis=1)[:, self.k - 1]
        return out / self.bound

    def inside(self, T: np.ndarray) -> np.ndarray:
        return self.distance(T) <= 1 + 1e-9


def _distances(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum((A * A).sum(1)[:, None] + (B * B).sum(1) - 2 * A @ B.T, 0))


class Support:
    """Distances from the runs of a problem, in mixture and in state, in units of the runs' own; 1 is the edge."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        W = state_and_scale(problem)
        self._features = state_features(W)
        self._roots = np.sqrt(problem.T)
        self._u = self._features(W)[:, :COMPONENTS]
        spread = float(np.sqrt(self._roots.var(0).sum())) or 1.0
        # mixture and state count alike: each has spread 1 over the runs
        self._unit = spread, math.sqrt(max(self._u.shape[1], 1))
        _, self._first = np.unique(problem.groups, return_index=True)
        self._k = min(NEIGHBOURS, max(len(self._first) - 1, 1))
        own = np.sort(self._away(problem.T[self._first], W[self._first]), axis=1)
        self.bound = max(float(np.quantile(own[:, min(self._k, own.shape[1] - 1)], COVERED)), 1e-9)

    def _away(self, T: np.ndarray, W: np.ndarray) -> np.ndarray:
        roots, u = np.sqrt(T) / self._unit[0], self._features(W)[:, :COMPONENTS] / self._unit[1]
        mine = np.hstack([self._roots[self._first] / self._unit[0], self._u[self._first] / self._unit[1]])
        here = np.hstack([roots, u])
        d2 = (here**2).sum(1)[:, None] + (mine**2).sum(1) - 2 * here @ mine.T
        return np.sqrt(np.maximum(d2, 0))

    def distance(self, T: np.ndarray, W: np.ndarray) -> np.ndarray:
        """Distance of n places (T (n, K), state and log scale W (n, d)) from the runs, shape (n,); covered up to 1."""
        away = self._away(T, W)
        return np.partition(away, self._k - 1, axis=1)[:, self._k - 1] / self.bound

    def near(self, w: np.ndarray) -> np.ndarray:
        """Runs at states like ``w`` (d,): the nearest quarter of them, shape (n,) bool; all of them without a state."""
        if not self._u.shape[1]:
            return np.ones(len(self._u), dtype=bool)
        away = np.linalg.norm(self._u - self._features(w[None])[:, :COMPONENTS], axis=1)
        return away <= np.quantile(away, NEAR)
