"""Differences of paired seeds with their intervals, at one shift and averaged over several.

Within a shift every method was trained with the same seeds, so that differences are paired; shifts share no
seeds, so that what is averaged over shifts has independent parts. The interval of an average over these
shifts is Student's t with Satterthwaite's degrees of freedom; the one for shifts like these takes the shifts
as a sample and resamples them, and the seeds within them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000  # of a resampled interval


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference with its 95 % interval."""

    estimate: float
    se: float
    lower: float
    upper: float
    df: float

    @classmethod
    def of(cls, values: np.ndarray) -> Difference:
        """Of paired differences (n,): Student's t over the seeds."""
        n = len(values)
        se = float(np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else float("nan")
        return cls.make(float(np.mean(values)), se, n - 1)

    @classmethod
    def make(cls, estimate: float, se: float, df: float) -> Difference:
        from scipy.stats import t

        half = float(t.ppf(0.975, df)) * se if df > 0 else float("nan")
        return cls(estimate, se, estimate - half, estimate + half, df)


def pool_differences(parts: Sequence[Difference]) -> Difference:
    """The average over these shifts, which share no seed: errors add in squares, df by Satterthwaite."""
    squares = np.array([part.se**2 for part in parts]) / len(parts) ** 2
    df = np.array([part.df for part in parts])
    total = float(squares.sum())
    freedom = total**2 / float((squares**2 / df).sum()) if total > 0 else float(df.sum())
    return Difference.make(float(np.mean([part.estimate for part in parts])), math.sqrt(total), freedom)


def resampled_interval(parts: Sequence[np.ndarray], seed: int = 0) -> tuple[float, float]:
    """95 % interval of an average over shifts like these: shifts resampled, then the seeds (paired
    differences) within each.
    """
    rng, shape = np.random.default_rng(seed), (DRAWS, len(parts))
    drawn = [rng.choice(part, size=(*shape, len(part))).mean(2) for part in parts]
    draws = np.choose(rng.integers(len(parts), size=shape), drawn).mean(1)
    lower, upper = np.quantile(draws, [0.025, 0.975])
    return float(lower), float(upper)


def ratio_of_means(above: np.ndarray, below: np.ndarray) -> Difference:
    """mean(above) / mean(below) over paired seeds, by the delta method."""
    ratio, n = float(above.mean() / below.mean()), len(above)
    se = float(np.std(above - ratio * below, ddof=1) / math.sqrt(n) / abs(below.mean()))
    return Difference.make(ratio, se, n - 1)
