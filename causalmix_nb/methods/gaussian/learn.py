"""Hyper-parameters from runs: their mode, and how far from it they may lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from causalmix_nb.methods.gaussian.gradient import marginal
from causalmix_nb.methods.gaussian.kernel import Kernel, Points
from causalmix_nb.methods.gaussian.posterior import inverse, lower, with_noise

CLOSE = 1e-5  # relative change of the log density at which a climb ends
FISHER = 256  # runs from which the shape of the posterior of the hyper-parameters is worked out
FAR = 8.0  # standard deviations of the prior beyond which no hyper-parameter lies
FIRST_STEP, ACCEPTED = 0.3, 0.75  # of a chain: its first step, and how often a proposal should be taken
TURN = math.pi / 2  # a quarter of a turn around a sphere forgets where it began


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a chain is: proposals to warm up, proposals between two draws, most steps of a proposal."""

    warm_up: int
    apart: int
    steps: int


class _Length:
    """The length of a step, learnt by dual averaging (M. Hoffman and A. Gelman, *The No-U-Turn Sampler*, 2014, section 3.2)."""

    def __init__(self, first: float) -> None:
        self.trial, self.settled = first, first
        self._aim, self._off, self._count, self._mean = math.log(10 * first), 0.0, 0, 0.0

    def learn(self, chance: float) -> None:
        self._count += 1
        self._off += (ACCEPTED - chance - self._off) / (self._count + 5)
        log = self._aim - math.sqrt(self._count) / 0.2 * self._off
        share = self._count**-0.75
        self._mean = share * log + (1 - share) * self._mean
        self.trial, self.settled = (min(math.exp(value), 1.0) for value in (log, self._mean))


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

        alone = replace(self, weight=1.0)

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            height, slope = alone.density(theta)
            return (-height, -slope) if math.isfinite(height) else (1e10, np.zeros_like(theta))

        options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": CLOSE}
        found = [minimize(objective, start, jac=True, method="L-BFGS-B", options=options) for start in starts]
        best = min(found, key=lambda result: result.fun)
        return best.x, -float(best.fun)

    def density(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log posterior density of the hyper-parameters, up to a constant, and its gradient (p,)."""
        mean, sd = self.kernel.prior()
        away = (theta - mean) / sd
        if not np.abs(away).max() < FAR:
            return -math.inf, np.zeros(len(theta))
        value, slope = marginal(self.kernel, theta, self.data, self.y, self.each)
        return -self.weight * value - float(away @ away) / 2, -self.weight * slope - away / sd

    def draws(self, theta: np.ndarray, n: int, effort: Effort, rng: np.random.Generator) -> list[np.ndarray]:
        """n draws (p,) of the hyper-parameters from their posterior, by Hamiltonian Monte Carlo from their mode.

        Steps are taken in the units of Laplace's approximation, in which the posterior is nearly a sphere; their length is learnt
        while the chain warms up, by dual averaging.
        """
        root = self._laplace(theta)
        here, (height, slope) = np.zeros(len(theta)), self.density(theta)
        slope, length, found = root.T @ slope, _Length(FIRST_STEP), []
        for i in range(effort.warm_up + n * effort.apart):
            step = (length.trial if i < effort.warm_up else length.settled) * rng.uniform(0.8, 1.2)
            there, speed, to, into = here, rng.standard_normal(len(here)), slope, height
            before = height - speed @ speed / 2
            for _ in range(int(np.clip(round(TURN / step), 2, effort.steps))):
                speed = speed + step / 2 * to
                there = there + step * speed
                into, to = self.density(theta + root @ there)
                if not math.isfinite(into):
                    break
                to = root.T @ to
                speed = speed + step / 2 * to
            change = into - speed @ speed / 2 - before
            chance = float(np.exp(min(0.0, float(change)))) if math.isfinite(change) else 0.0
            if rng.uniform() < chance:
                here, height, slope = there, into, to
            if i < effort.warm_up:
                length.learn(chance)
            elif (i - effort.warm_up + 1) % effort.apart == 0:
                found.append(theta + root @ here)
        return found

    def _laplace(self, theta: np.ndarray) -> np.ndarray:
        """Root (p, p) of the hyper-parameters' covariance: Fisher information of the likelihood plus that of the prior."""
        step, p = 1e-3, len(theta)
        rows = np.linspace(0, len(self.y) - 1, min(len(self.y), FISHER)).round().astype(int)
        data, each, weight = (
            (self.data[0][rows], self.data[1][rows]),
            self.each[rows],
            len(self.y) / len(rows),
        )
        gram = with_noise(self.kernel, theta, data, each)
        inverted = inverse(lower(gram))
        moved = np.empty((p, gram.size))
        turned = np.empty_like(moved)
        for j in range(p):
            there = theta.copy()
            there[j] += step
            change = inverted @ ((with_noise(self.kernel, there, data, each) - gram) / step)
            moved[j], turned[j] = change.ravel(), change.T.ravel()
        fisher = moved @ turned.T / 2 * self.weight * weight
        precision = (fisher + fisher.T) / 2 + np.diag(1 / self.kernel.prior()[1] ** 2)
        value, vector = np.linalg.eigh(precision)
        return vector / np.sqrt(np.maximum(value, 1e-6))
