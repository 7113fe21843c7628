"""Outcomes and mixtures that must show no effect: placebos, dummy outcomes, negative controls.

Residuals of the outcome are regressed on residuals of the mixture, as double machine learning does. A *placebo* keeps what the state
explains of the mixture and shuffles the rest, Z* = e(X) + π(Z - e(X)), so that it is as confounded as the mixture and causes nothing
(Freedman and Lane 1983); shuffled within states where a state has several runs. A *dummy outcome* keeps what the state explains of the outcome and
shuffles the rest, and is learnt anew: how often the test calls it an effect is how often the test is wrong. A *negative control* is a
recorded outcome that the graph says the mixture does not cause: an effect on it is confounding (Lipsitch and others 2010).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from causalmix_nb.estimate.nuisances import (
    coordinates_of,
    learn_nuisance,
    split_folds,
    state_and_scale,
)
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.mixture import log_mixture


@dataclass(frozen=True, slots=True)
class Residuals:
    """What the state leaves of outcome y (n,) and mixture Z (n, r); m (n,): what it explains of the outcome.

    W (n, d) state; folds (n,); groups (n,): repeated runs share a number; blocks (n,): within which mixtures may be exchanged.
    """

    y: np.ndarray
    Z: np.ndarray
    m: np.ndarray
    W: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    blocks: np.ndarray

    @classmethod
    def of(cls, problem: Problem, seed: int = 0) -> Residuals:
        """Cross-fitted residuals of a problem."""
        W, coordinates = state_and_scale(problem), coordinates_of(problem, "ilr")
        folds = split_folds(problem.groups, 5, np.random.default_rng(seed))
        m = learn_nuisance(W, problem.y[:, None], [folds], seed).fitted[0][:, 0]
        L = log_mixture(problem.T) - log_mixture(problem.T).mean(1, keepdims=True)
        Z = (L - learn_nuisance(W, L, [folds], seed).fitted[0]) @ coordinates.basis
        groups = np.unique(problem.groups, return_inverse=True)[1].ravel()
        states = np.unique(problem.clusters, return_inverse=True)[1].ravel()
        several = states.max() + 1 <= (groups.max() + 1) / 2 and problem.X.shape[1] > 0
        return cls(problem.y - m, Z, m, W, folds, groups, states if several else np.zeros_like(groups))

    def shuffled(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows of values (n, …) exchanged between groups of runs, within their blocks; repeated runs keep one value among them."""
        _, first = np.unique(self.groups, return_index=True)
        order = np.arange(len(first))
        for block in np.unique(self.blocks[first]):
            mine = np.flatnonzero(self.blocks[first] == block)
            order[mine] = rng.permutation(mine)
        return values[first][order][self.groups]

    def joint(self, y: np.ndarray, Z: np.ndarray) -> tuple[float, float]:
        """Wald's statistic that no direction of the mixture has an effect, robust to unequal noise and to repeats, and its p-value."""
        from scipy import stats

        D = np.column_stack([np.ones(len(y)), Z])
        bread = np.linalg.pinv(D.T @ D, hermitian=True)
        beta = bread @ D.T @ y
        leverage = np.einsum("ij,jk,ik->i", D, bread, D)
        scores = np.zeros((self.groups.max() + 1, D.shape[1]))
        np.add.at(scores, self.groups, D * ((y - D @ beta) / np.maximum(1 - leverage, 0.05))[:, None])
        cov = (bread @ (scores.T @ scores) @ bread)[1:, 1:]
        wald = float(beta[1:] @ np.linalg.pinv(cov, rcond=1e-8, hermitian=True) @ beta[1:])
        df = max(self.groups.max() - Z.shape[1], 1)
        return wald, float(stats.f.sf(wald / Z.shape[1], Z.shape[1], df))

    def placebos(self, n: int, rng: np.random.Generator) -> tuple[float, np.ndarray]:
        """The joint statistic of the mixture, and those of n placebo mixtures."""
        tried = [self.joint(self.y, self.shuffled(self.Z, rng))[0] for _ in range(n)]
        return self.joint(self.y, self.Z)[0], np.array(tried)

    def dummies(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """p-values of n dummy outcomes, which the mixture does not cause, each learnt anew; shape (n,)."""
        D = np.column_stack([np.ones(len(self.y)), self.Z])
        left = self.y - D @ np.linalg.lstsq(D, self.y, rcond=None)[0]
        return np.array([self.effect_on(self.m + self.shuffled(left, rng)) for _ in range(n)])

    def effect_on(self, y: np.ndarray) -> float:
        """p-value that the mixture has no effect on another outcome y (n,), adjusted for the same state."""
        m = learn_nuisance(self.W, y[:, None], [self.folds], 0).fitted[0][:, 0]
        return self.joint(y - m, self.Z)[1] if np.ptp(y) > 0 else math.nan
