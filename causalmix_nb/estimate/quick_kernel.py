"""A covariance with two lengths and nothing else to learn, and what follows from it in closed form.

With one eigendecomposition of the kernel matrix, signal and noise of any outcome follow at once (Rasmussen and Williams 2006,
section 5.4.1). The quick surfaces stand on it, and the judgement of which runs do not fit the others.
"""

from __future__ import annotations

import math

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
        mixture, context = (np.exp(-_squared(x, y) / 2) for x, y in zip(a, b))
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


def eigen(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values, 0.0), vectors


def likeliest(values: np.ndarray, turned: np.ndarray) -> tuple[float, float]:
    """The likeliest ratio of noise to signal, and its log likelihood with the signal at its own best."""
    total = values[:, None] + NOISE
    signal = np.maximum((turned[:, None] ** 2 / total).mean(0), 1e-300)
    likelihood = -len(values) / 2 * np.log(signal) - np.log(total).sum(0) / 2
    best = int(likelihood.argmax())
    return float(NOISE[best]), float(likelihood[best])


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, 0.0)
