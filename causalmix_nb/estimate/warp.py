"""The logarithm of the distance to the good end: a scale on which a long bad tail does not dominate the fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MARGIN = 0.3  # distance of the transformation's pole from the best run, in standard deviations
TRUSTED = 0.5  # weight from which a run has a say in where the pole lies


def moments(y: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float, float]:
    """Mean, standard deviation and skewness of values (n,), each counted by its weight (n,) where weights are given.

    >>> moments(np.array([1.0, 3.0, 100.0]), np.array([1.0, 1.0, 0.0]))
    (2.0, 1.0, 0.0)
    """
    mean = float(np.average(y, weights=weights))
    variance = float(np.average((y - mean) ** 2, weights=weights))
    third = float(np.average((y - mean) ** 3, weights=weights))
    return mean, variance**0.5, third / variance**1.5 if variance > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Warp:
    """z = s · log(s · y - pole), increasing in y; s is +1 for a tail of high outcomes, -1 for one of low outcomes.

    nearest: the smallest distance from the pole that counts as such; whatever lies beyond is taken to lie there.
    """

    s: float
    pole: float
    nearest: float = 0.0

    @classmethod
    def of(cls, y: np.ndarray, weights: np.ndarray | None = None, s: float | None = None) -> Warp:
        """The warp for outcomes (n,); runs of little weight say neither which tail is long nor where the pole lies."""
        _, spread, skew = moments(y, weights)
        s = s or (1.0 if skew >= 0 else -1.0)
        trusted = y if weights is None else y[weights >= TRUSTED]
        return cls(s, float((s * trusted).min() - MARGIN * spread), MARGIN * spread / 4)

    def reach(self, y: np.ndarray) -> np.ndarray:
        """Distance from the pole, shape (n,)."""
        return np.maximum(self.s * y - self.pole, max(self.nearest, 1e-300))

    def forward(self, y: np.ndarray) -> np.ndarray:
        return self.s * np.log(self.reach(y))

    def distance(self, z: np.ndarray, noise_sd: float = 0.0) -> np.ndarray:
        """Expected distance from the pole, which is also the slope dy/dz."""
        return np.exp(np.clip(self.s * z, -50, 50) + noise_sd**2 / 2)

    def inverse(self, z: np.ndarray, noise_sd: float = 0.0) -> np.ndarray:
        """Expected outcome where z has mean ``z`` and standard deviation ``noise_sd``."""
        return self.s * (self.pole + self.distance(z, noise_sd))
