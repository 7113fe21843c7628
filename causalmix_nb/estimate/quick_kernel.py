"""A covariance with two lengths and nothing else to learn, and what follows from it in closed form.

With one eigendecomposition of the kernel matrix, signal and noise of any outcome follow at once (Rasmussen and Williams 2006,
section 5.4.1). The quick surfaces stand on it, and the judgement of which runs do not fit the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causalmix_nb.estimate.problem import Problem

LENGTHS = (0.7, 1.5, 3.0)  # of the kernel, in units of how far apart two runs are on average
NOISE = np.geomspace(1e-4, 30.0, 24)  # variances of the noise, in units of the signal's


class QuickKernel:
    """1 + k(context) + k(mixture) + k(context) k(mixture), squared exponentials on √shares and standardised state and scale."""

    def __init__(self, problem: Problem, lengths: tuple[float, float]) -> None:
        self._U = np.hstack([problem.X, problem.S])
        self._centre, spread = self._U.mean(0), self._U.std(0)
        self._unit = np.where(spread > 0, spread, 1.0)
        roots = np.sqrt(problem.T)
        apart = math.sqrt(2 * float(roots.var(0).sum())) or 1.0
        self._widths = lengths[0] * apart, lengths[1] * math.sqrt(2 * max(self._U.shape[1], 1))
        self._mine = self._at(problem.T, self._U)

    def _at(self, T: np.ndarray, U: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sqrt(T) / self._widths[0], (U - self._centre) / self._unit / self._widths[1]

    def between(self, a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        mixture, context = (np.exp(-squared(x, y) / 2) for x, y in zip(a, b))
        if not a[1].shape[1]:
            return 1 + mixture
        return 1 + context + mixture + context * mixture

    def gram(self) -> np.ndarray:
        return self.between(self._mine, self._mine)

    def cross_only(self, T: np.ndarray, U: np.ndarray) -> np.ndarray:
        """Covariances (n, m) of n places with the runs."""
        return self.between(self._at(T, U), self._mine)

    def cross(self, T: np.ndarray, U: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Covariances of n places with the runs (n, m), and among themselves (n, n)."""
        here = self._at(T, U)
        return self.between(here, self._mine), self.between(here, here)


@dataclass(frozen=True, slots=True)
class QuickFit:
    """Values (n,) of the runs as their likeliest kernel explains them, standardised by level and spread.

    gram (n, n): covariances of the runs in units of the signal. vectors (n, n): its eigenvectors. total (n,): its
    eigenvalues with the noise. ratio: of noise to signal. signal: variance. alpha (n,): inverse of the covariance times
    the values. own (n,): diagonal of that inverse; both in units of the signal.
    """

    kernel: QuickKernel
    gram: np.ndarray
    vectors: np.ndarray
    total: np.ndarray
    ratio: float
    level: float
    spread: float
    signal: float
    alpha: np.ndarray
    own: np.ndarray

    def left_out(self, groups: Sequence[np.ndarray] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Each value (n,) less what all others let expect, and the standard deviation of that, in the values' units.

        groups: rows that are left out together.
        """
        signal = self.signal * self.spread**2
        away, sd = self.spread * self.alpha / self.own, np.sqrt(signal / self.own)
        for rows in groups:
            block = np.linalg.inv((self.vectors[rows] / self.total) @ self.vectors[rows].T)
            away[rows], sd[rows] = self.spread * block @ self.alpha[rows], np.sqrt(signal * np.diag(block))
        return away, sd


class QuickKernels:
    """The kernels that are tried on the runs of a problem, each taken apart once for all values to be explained.

    rows: the runs on which the lengths are chosen.
    """

    def __init__(self, problem: Problem, rows: np.ndarray) -> None:
        self._problem, self._rows = problem, rows
        some = problem.subset(rows)
        of_context = LENGTHS if some.X.shape[1] + some.S.shape[1] else LENGTHS[:1]
        self._tried = {(a, b): _eigen(QuickKernel(some, (a, b)).gram()) for a in LENGTHS for b in of_context}
        self._whole: dict[tuple[float, float], tuple[QuickKernel, np.ndarray, np.ndarray, np.ndarray]] = {}

    def explain(self, values: np.ndarray) -> QuickFit:
        """Values (n,) under the kernel that is likeliest for them."""
        level, spread = float(values.mean()), float(values.std()) or 1.0
        y = (values - level) / spread
        some = y[self._rows]
        found = {at: _likeliest(sizes, vectors.T @ some)[1] for at, (sizes, vectors) in self._tried.items()}
        best = max(found, key=lambda at: found[at])
        if best not in self._whole:
            kernel = QuickKernel(self._problem, best)
            gram = kernel.gram()
            self._whole[best] = (kernel, gram, *_eigen(gram))
        kernel, gram, sizes, vectors = self._whole[best]
        turned = vectors.T @ y
        ratio, _ = _likeliest(sizes, turned)
        total = sizes + ratio
        solved = turned / total
        signal, own = float(turned @ solved) / len(y), (vectors**2 / total).sum(1)
        return QuickFit(kernel, gram, vectors, total, ratio, level, spread, signal, vectors @ solved, own)


def _eigen(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values, 0.0), vectors


def _likeliest(values: np.ndarray, turned: np.ndarray) -> tuple[float, float]:
    """The likeliest ratio of noise to signal, and its log likelihood with the signal at its own best."""
    total = values[:, None] + NOISE
    signal = np.maximum((turned[:, None] ** 2 / total).mean(0), 1e-300)
    likelihood = -len(values) / 2 * np.log(signal) - np.log(total).sum(0) / 2
    best = int(likelihood.argmax())
    return float(NOISE[best]), float(likelihood[best])


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (n, m) between the rows of two arrays."""
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, 0.0)
