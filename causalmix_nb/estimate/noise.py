"""How noisy a run is depends on where it is: a variance that is log-linear in the mixture and in the scale.

Runs far from the centre of a design, or on much of a dirty domain, often repeat ten times worse than others. The model is learnt
from the errors of left-out runs and shrunk to a constant; unless the runs speak clearly against it, the constant is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

MOST = 10.0  # standard deviations that noise may differ by from the typical one, as a factor
SHRINK = 0.7  # prior standard deviation of the log noise that one standard deviation of a feature is worth
CLEARLY = 1.0  # log likelihood that a varying noise must gain, besides what every feature costs (Schwarz 1978), to be believed


@dataclass(frozen=True, slots=True)
class Noise:
    """The standard deviation of a run in units of the typical one: exp(a + b · features), between 1/10 and 10.

    centre (K,): of the square roots of the shares. at, unit (q,): means and spreads of the features. slope (q,). level: a.
    by_share: whether the roots of the shares are features, besides the distance from the centre and the scales.
    """

    centre: np.ndarray
    at: np.ndarray
    unit: np.ndarray
    slope: np.ndarray
    level: float
    by_share: bool

    def relative(self, T: np.ndarray, S: np.ndarray) -> np.ndarray:
        """Noise at mixtures T (n, K) and log scales S (n, s), in units of the typical one, shape (n,)."""
        z = (_features(T, S, self.centre, self.by_share) - self.at) / self.unit
        return np.clip(np.exp(self.level + z @ self.slope), 1 / MOST, MOST)

    def apart(self, T: np.ndarray, S: np.ndarray) -> float:
        """How far two places (T (2, K), S (2, s)) lie apart in what the noise depends on, in standard deviations of the runs."""
        z = (_features(T, S, self.centre, self.by_share) - self.at) / self.unit
        return float(np.linalg.norm(z[0] - z[1]))


def _features(T: np.ndarray, S: np.ndarray, centre: np.ndarray, by_share: bool) -> np.ndarray:
    roots = np.sqrt(T)
    away = np.linalg.norm(roots - centre, axis=1)[:, None]
    return np.hstack([away, S, roots]) if by_share else np.hstack([away, S])


def noise_model(
    T: np.ndarray, S: np.ndarray, error: np.ndarray, certain: np.ndarray, typical: float, weights: np.ndarray
) -> Noise | None:
    """The noise that errors of left-out runs show, or None where a constant does as well.

    Parameters
    ----------
    error: (n,) of left-out runs. certain: (n,) variance of what was expected of them, without their own noise.
    typical: variance of the noise if it is constant. weights: (n,), how far each run is trusted.
    """
    centre = np.sqrt(T).mean(0)
    best, found = CLEARLY, None
    constant = _learn(np.zeros((len(T), 0)), error, certain, typical, weights)
    for by_share in (False, True):
        F = _features(T, S, centre, by_share)
        at, unit = F.mean(0), F.std(0)
        unit = np.where(unit > 1e-9, unit, np.inf)  # what never varies tells nothing
        if not np.isfinite(unit).any() or len(T) < 8 * F.shape[1]:
            continue
        z = (F - at) / unit
        learnt = _learn(z, error, certain, typical, weights)
        gained = constant[1] - learnt[1] - math.log(max(float(weights.sum()), 2)) / 2 * F.shape[1]
        if gained > best:
            slope = learnt[0][1:]
            level = -float(np.average(z @ slope, weights=weights))
            best, found = gained, Noise(centre, at, unit, slope, level, by_share)
    return found


def _learn(
    z: np.ndarray, error: np.ndarray, certain: np.ndarray, typical: float, weights: np.ndarray
) -> tuple[np.ndarray, float]:
    """Level and slopes of half the log variance, by penalised likelihood, and the cost there."""
    from scipy.optimize import minimize

    rows = np.hstack([np.ones((len(z), 1)), z])

    def cost(p: np.ndarray) -> tuple[float, np.ndarray]:
        noise = typical * np.exp(2 * np.clip(rows @ p, -4, 4))
        variance = certain + noise
        # Student's t with 4 degrees of freedom: one error that is large by chance shall not bend the model
        squared = error**2 / variance
        penalty = (p[1:] ** 2).sum() / (2 * SHRINK**2)
        value = weights @ (2.5 * np.log1p(squared / 4) + 0.5 * np.log(variance)) + penalty
        slope = weights * noise / variance * (1 - 5 * squared / (4 + squared))
        gradient = rows.T @ slope
        gradient[1:] += p[1:] / SHRINK**2
        return float(value), gradient

    found = minimize(cost, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 60})
    return found.x, float(found.fun)
