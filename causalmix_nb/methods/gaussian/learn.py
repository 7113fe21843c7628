"""Hyper-parameters from runs: their mode, and how far from it they may lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causalmix_nb.methods.gaussian.gradient import marginal
from causalmix_nb.methods.gaussian.kernel import Kernel, Points
from causalmix_nb.methods.gaussian.posterior import inverse, lower, solve, with_noise

CLOSE = 1e-7  # relative change of the log density at which a climb ends
PULLS = (1.0, 0.8, 0.6, 0.45, 0.3, 0.15, 0.0)  # by how much of itself a draw is tried, the whole of it first


@dataclass(frozen=True, slots=True)
class Learner:
    """Some standardised runs and the kernel whose hyper-parameters they are to tell.

    data: the runs' points, n of them. y (n,): outcomes. each (n,): their noise in units of a typical run's variance.
    weight: by how much the likelihood counts where these runs stand for more.
    """

    kernel: Kernel
    data: Points
    y: np.ndarray
    each: np.ndarray
    weight: float = 1.0

    def some(self, rows: np.ndarray) -> Learner:
        """Some rows only, which stand for all."""
        data = self.data[0][rows], self.data[1][rows]
        return Learner(self.kernel, data, self.y[rows], self.each[rows], len(self.y) / len(rows))

    def climb(self, starts: Sequence[np.ndarray], max_iter: int) -> tuple[np.ndarray, float]:
        """The highest mode (p,) that L-BFGS reaches from the starts, and these runs' log density there (weight left out)."""
        from scipy.optimize import minimize

        mean, sd = self.kernel.prior()

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = marginal(self.kernel, theta, self.data, self.y, self.each)
            if not math.isfinite(value):
                return 1e10, np.zeros_like(theta)
            pull = (theta - mean) / sd
            return value + float(pull @ pull) / 2, slope + pull / sd

        options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": CLOSE}
        found = [minimize(objective, start, jac=True, method="L-BFGS-B", options=options) for start in starts]
        best = min(found, key=lambda result: result.fun)
        return best.x, -float(best.fun)

    def log_density(self, theta: np.ndarray) -> float:
        """Log posterior density of the hyper-parameters, up to a constant."""
        mean, sd = self.kernel.prior()
        try:
            chol = lower(with_noise(self.kernel, theta, self.data, self.each))
        except np.linalg.LinAlgError:
            return -math.inf
        likelihood = -(self.y @ solve(chol, self.y) / 2 + np.log(np.diagonal(chol)).sum())
        return float(self.weight * likelihood - (((theta - mean) / sd) ** 2).sum() / 2)

    def draws(self, theta: np.ndarray, n: int, rng: np.random.Generator) -> list[np.ndarray]:
        """n draws (p,) of the hyper-parameters from Laplace's approximation around their mode.

        The approximation reaches too far where the likelihood falls off faster on one side; there a draw is pulled in until
        the log density has fallen by little more than the approximation says. How much more (a third of a unit per
        hyper-parameter) was settled by coverage in known-truth worlds: tests/benchmarks/interval_coverage.py.
        """
        from scipy.stats import norm, qmc

        root = self._laplace(theta)
        spread = norm.ppf(np.clip(qmc.Sobol(len(theta), rng=rng).random(n), 1e-3, 1 - 1e-3))  # evenly
        highest, found = self.log_density(theta), []
        for draw in spread:
            step = root @ draw
            for pull in PULLS:
                here = theta + pull * step
                if highest - self.log_density(here) <= pull**2 * float(draw @ draw) / 2 + len(theta) / 3:
                    break
            found.append(here)
        return found

    def _laplace(self, theta: np.ndarray) -> np.ndarray:
        """Root (p, p) of the hyper-parameters' covariance: Fisher information of the likelihood plus that of the prior."""
        step, p = 1e-3, len(theta)
        gram = with_noise(self.kernel, theta, self.data, self.each)
        inverted = inverse(lower(gram))
        moved = np.empty((p, gram.size))
        turned = np.empty_like(moved)
        for j in range(p):
            there = theta.copy()
            there[j] += step
            change = inverted @ ((with_noise(self.kernel, there, self.data, self.each) - gram) / step)
            moved[j], turned[j] = change.ravel(), change.T.ravel()
        fisher = moved @ turned.T / 2 * self.weight
        precision = (fisher + fisher.T) / 2 + np.diag(1 / self.kernel.prior()[1] ** 2)
        value, vector = np.linalg.eigh(precision)
        return vector / np.sqrt(np.maximum(value, 1e-6))
