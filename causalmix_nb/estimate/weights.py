"""How much each run counts: runs that do not fit the others for little, noisy ones for less than quiet ones.

A run that ended at loss 5 where all like it lie near 2 is a crash, a bug or a typing error, and one such run can bend any surface.
Each run is judged by what a quick surface of the *other* runs expects of it. Its weight is that of a Student likelihood:
1 up to 2.5 standard deviations, then falling with the square of the distance, so that no run however wild pulls with more than a
few standard deviations. Runs are only weighed down if some lie further off than chance allows, so a clean table keeps all
its weights at 1. A bad *region* is no wild run: its neighbours are bad too. A run that disagrees with its own repeats is one.

References: K. Lange, R. Little, J. Taylor, *Robust statistical modeling using the t distribution*, 1989; P. Huber, *Robust
statistics*, 1981, section 7.8 (pseudo-values).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from causalmix_nb.estimate.noise import Noise, noise_model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.quick_kernel import QuickKernels, squared
from causalmix_nb.estimate.robust.regions import crowded
from causalmix_nb.estimate.robust.repeats import Repeats
from causalmix_nb.estimate.warp import TRUSTED, Warp, moments

FREEDOM = 4.0  # degrees of freedom of the Student likelihood
FITS = 2.5  # standard deviations up to which a run counts in full
LEAST_WILD = 5.0  # standard deviations below which no run bends a surface by much
CHANCE = 0.01  # how often a clean table of runs may be taken for one with a wild run
SLIGHT = 0.1  # of the spread of the outcomes: what a run is off by less than a few times this harms nobody
REACH = 10.0  # standard deviations from what is expected to which wild values are drawn in
STANDS_OUT = (
    6.0  # robust standard deviations from the median within which no outcome is a wild one of its own
)
FEWEST_REPEATED = 16  # repeated runs below which their noise is taken to be the same everywhere
FIRST = 30.0  # robust standard deviations from the median beyond which the first look does not tell outcomes apart
USUAL = 0.75  # quantile of the distances of runs from each other up to which none is remote
ROUNDS = 15
REGIONS = 3  # looks for a region and for what else belongs to it
ODD = 3.0  # standard deviations beyond which an unexpected run may belong to a region
BLOCK = 768  # runs that are judged together
TRIED = 192  # runs on which the lengths of the kernel are chosen
NEAREST = 4  # neighbours that may show that a run is one of a bad region
SKEWED = 0.75  # skewness from which the logarithmic scale is tried


@dataclass(frozen=True, slots=True)
class Judgement:
    """How the runs of a problem fit each other.

    weights (n,): 1 fits, near 0 does not. expected (n,): what the other runs expect, in the outcome's units. off (n,): distance
    from what is expected, in standard deviations, signed. noise: how the noise depends on the mixture, None where it does not.
    lower, upper (n,): one standard deviation below and above what is expected, in the outcome's units.
    """

    weights: np.ndarray
    expected: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    off: np.ndarray
    noise: Noise | None

    @property
    def wild(self) -> np.ndarray:
        """Indices of the runs that do not fit, the wildest first."""
        rows = np.flatnonzero(self.weights < TRUSTED)
        return rows[np.argsort(-np.abs(self.off[rows]), kind="stable")]

    def within(self, y: np.ndarray, reach: float) -> np.ndarray:
        """Outcomes (n,), those of wild runs drawn in to so many standard deviations from what is expected."""
        low = self.expected - reach * (self.expected - self.lower)
        high = self.expected + reach * (self.upper - self.expected)
        return np.where(self.weights < TRUSTED, np.clip(y, low, high), y)

    def counted(self, problem: Problem) -> Problem:
        """The problem that was judged, with the weights and the noise that were found."""
        # beyond what their weight lets them pull, wild values only spoil sums
        return replace(problem, y=self.within(problem.y, REACH), weights=self.weights, noise=self.noise)


def weighed(problem: Problem) -> Problem:
    """The problem with the weight of every run and the shape of its noise; as it is where it has them already.

    >>> import pandas as pd, causalmix_nb as cm
    >>> T = np.random.default_rng(0).dirichlet([1, 1, 1], 40)
    >>> loss = 3 - T[:, 0] + 0.05 * np.random.default_rng(1).normal(size=40)
    >>> loss[7] = 90.0
    >>> runs = cm.Runs.from_frames(pd.DataFrame(T, columns=["x", "y", "z"]), pd.DataFrame({"loss": loss}), minimize=True)
    >>> problem = weighed(Problem.from_runs(runs))
    >>> np.flatnonzero(problem.trust < 0.5).tolist()
    [7]
    """
    if problem.weights is not None:
        return problem
    return judge(problem).counted(problem)


def tamed(problem: Problem) -> Problem:
    """The problem with every run counting alike, and wild outcomes as near to what the others expect as their weight lets them pull.

    For surfaces that cannot weigh runs. Nothing is done where no outcome stands out from all others.
    """
    if problem.weights is not None and (problem.weights == 1).all():
        return problem
    level, unit = _middle(problem.y)
    if problem.weights is None and (np.abs(problem.y - level) <= STANDS_OUT * unit).all():
        return problem
    found = judge(problem)
    pulled = found.expected + found.weights * (found.within(problem.y, REACH) - found.expected)
    y = np.where(found.weights < 1, pulled, problem.y)
    return replace(problem, y=y, weights=np.ones(problem.n_runs), noise=None)


def judge(problem: Problem) -> Judgement:
    """Which runs do not fit the others, on the scale (the outcome's own, or a logarithm) on which they fit best."""
    n = problem.n_runs
    y = np.clip(problem.y, -1e150, 1e150)  # a wild 1e300 must not overflow a square
    if n < 8 or not np.ptp(y) > 0:
        return Judgement(np.ones(n), problem.y, problem.y, problem.y, np.zeros(n), None)
    level, unit = _middle(y)
    y = np.clip((y - level) / unit, -1e9, 1e9)
    found = _Fit(problem, y, None)
    for tail in _long_tails(y, found.weights):
        # on the long side a run may look wild for want of the logarithm alone, so only the short side is certain
        short = -tail * found.off > 0
        weights = np.where(short & (found.weights >= TRUSTED), 1.0, found.weights)
        other = _Fit(problem, y, Warp.of(y, weights, tail))
        if other.score > found.score:
            found = other
    expected, lower, upper = (level + unit * found.own_units(reach) for reach in (0.0, -1.0, 1.0))
    return Judgement(
        found.weights, expected, lower, upper, found.off, _repeated_noise(problem, y, found.weights)
    )


def _repeated_noise(problem: Problem, y: np.ndarray, weights: np.ndarray) -> Noise | None:
    """How the noise depends on the mixture, from repeated runs alone: what a quick surface misses is no noise."""
    kept = np.flatnonzero(weights >= TRUSTED)
    _, repeat, size = np.unique(problem.repeats[kept], return_inverse=True, return_counts=True)
    away = y[kept] - (np.bincount(repeat, y[kept]) / size)[repeat]
    k = size[repeat]
    kept, away, k = kept[k > 1], away[k > 1], k[k > 1]
    if len(kept) < FEWEST_REPEATED:
        return None
    away *= np.sqrt(k / (k - 1))
    typical = float(np.mean(away**2)) or 1.0
    return noise_model(problem.T[kept], problem.S[kept], away, np.zeros(len(kept)), typical, (k - 1) / k)


def _middle(y: np.ndarray) -> tuple[float, float]:
    """Median and a standard deviation that wild values do not move."""
    level = float(np.median(y))
    away = np.abs(y - level)
    spread = 1.4826 * float(np.median(away))
    if spread <= 1e-9 * max(1.0, abs(level)):  # more than half of the runs agree
        spread = float(np.quantile(away, 0.9)) or float(away.max())
    return level, spread


def _long_tails(y: np.ndarray, weights: np.ndarray) -> list[float]:
    """Sides on which the outcomes have a long tail, with or without the runs that do not fit."""
    skews = (moments(y)[2], moments(y, weights)[2])
    return sorted({math.copysign(1.0, skew) for skew in skews if abs(skew) >= SKEWED})


def limit(n: int) -> float:
    """Standard deviations that the furthest of n runs stays below, but for one table in a hundred at most.

    >>> round(limit(64), 2), round(limit(10_000_000), 2)
    (5.0, 6.11)
    """
    from statistics import NormalDist

    return max(LEAST_WILD, NormalDist().inv_cdf(1 - CHANCE / (2 * n)))


def student(off: np.ndarray) -> np.ndarray:
    """Weight of runs so many standard deviations off what is expected: 1 up to FITS, then falling with the square."""
    return np.minimum(1.0, (FREEDOM + FITS**2) / (FREEDOM + off**2))


# weight below which an outcome was drawn in, so that nothing can speak for it
BEYOND = float(student(np.array(REACH)))


class _Fit:
    """Runs judged on one scale; large tables in blocks, each by itself."""

    def __init__(self, problem: Problem, y: np.ndarray, warp: Warp | None) -> None:
        n = len(y)
        self._warp = warp
        self._z = y if warp is None else warp.forward(y)
        self.weights, self.off, self._expected, self._sd = np.ones(n), np.zeros(n), np.zeros(n), np.ones(n)
        for part in np.array_split(np.random.default_rng(0).permutation(n), math.ceil(n / BLOCK)):
            rows = np.sort(part)
            block = _Block(problem.subset(rows), self._z[rows])
            self.weights[rows], self.off[rows] = block.weights, block.off
            self._expected[rows], self._sd[rows] = block.expected, block.sd
        if (np.abs(self.off) <= limit(n)).all():
            self.weights = np.ones(n)
        self.score = self._score()

    def _score(self) -> float:
        """Log density of the left-out runs under Student's t, in the outcome's units."""
        density = -(FREEDOM + 1) / 2 * np.log1p(((self._z - self._expected) / self._sd) ** 2 / FREEDOM)
        slope = 0.0 if self._warp is None else -self._warp.s * self._z  # dz/dy = 1 / distance from the pole
        return float(np.sum((density - np.log(self._sd) + slope)[self.weights >= TRUSTED]))

    def own_units(self, reach: float) -> np.ndarray:
        """What the others expect plus so many standard deviations, in the units of y."""
        z = self._expected + reach * self._sd
        return z if self._warp is None else self._warp.inverse(z)


class _Block:
    """Some hundreds of runs with outcomes z (n,), each judged by a quick surface of the others.

    Wild values are replaced, round by round, by values as far off as a run of their weight may pull (Huber's
    pseudo-values), so that one eigendecomposition serves all rounds. Once no weight moves any more, unexpected runs that
    crowd in one place are taken for the truth there (a region), and the others are judged again beside them.
    """

    def __init__(self, problem: Problem, z: np.ndarray) -> None:
        n = len(z)
        self._z, self._T, self._mixture = z, problem.T, problem.repeats
        self._kernels = QuickKernels(problem, np.sort(np.random.default_rng(0).permutation(n)[:TRIED]))
        self._remote = _remoteness(problem)
        level, self._spread = _middle(z)
        self._repeats = Repeats(z, self._mixture, SLIGHT * self._spread)
        self._unexpected: np.ndarray = np.zeros(n)  # standard deviations, before anything excuses a run
        self._region: np.ndarray = np.zeros(n, bool)  # runs that are the truth, however unexpected
        self.weights = np.ones(n)
        # the first look is taken at values that no one run can dominate
        drawn = self._settled(np.clip(z, level - FIRST * self._spread, level + FIRST * self._spread))
        for _ in range(REGIONS):
            more = self._more_of_a_region()
            if not more.any():
                break
            self._region |= more
            drawn = self._settled(np.where(self._region, z, drawn))

    def _settled(self, drawn: np.ndarray) -> np.ndarray:
        """Judges until no weight moves any more; outcomes (n,) with wild ones drawn in, before and after."""
        for _ in range(ROUNDS):
            before = self.weights
            self._judge(drawn)
            drawn = self.expected + self.weights * (self._z - self.expected)
            if np.abs(self.weights - before).max() < 0.01:
                break
        return drawn

    def _more_of_a_region(self) -> np.ndarray:
        """Runs (n,) that turn out to be the truth of a place; none where no run is wild."""
        if (np.abs(self.off) <= LEAST_WILD).all():
            return np.zeros_like(self._region)
        marked = (np.abs(self._unexpected) > ODD) | self._region
        return crowded(self._unexpected, marked, self._T, self._mixture) & ~self._region

    def _judge(self, drawn: np.ndarray) -> None:
        """What the others expect of each run, how far off it is, and its weight."""
        fit = self._kernels.explain(drawn)
        away, sd = fit.left_out(self._repeats.groups)  # against all but its own repeats
        self.expected = drawn - away
        away = self._z - self.expected
        scale = 1.4826 * float(np.median(np.abs(away / sd)))
        near = np.hypot(scale * sd, SLIGHT * self._spread)
        off = self._repeats.judged(away / (self._remote * near))
        self._unexpected = np.where(self._region, self._unexpected, off)
        off = self._less_than_beside(off, fit.gram)
        # being remote may excuse a run; one that is wild all the same has nothing near it to hold the surface against it
        wild = np.abs(off) > LEAST_WILD
        self.off, self.sd = np.where(wild, self._remote * off, off), np.where(wild, near, self._remote * near)
        if self._region.any():
            self.off[self._region | self._at_its_edge(fit.gram)] = 0.0
        self.weights = student(self.off)

    def _less_than_beside(self, off: np.ndarray, alike: np.ndarray) -> np.ndarray:
        """``off`` less what the nearest mixtures are off by to the same side: a bad region is not a wild run."""
        out = off.copy()
        for i in np.flatnonzero(np.abs(off) > FITS):
            others = np.flatnonzero(self._mixture != self._mixture[i])
            near = others[np.argsort(-alike[i, others], kind="stable")[:NEAREST]]
            if len(near) == NEAREST:
                same = np.sort(np.maximum(np.sign(off[i]) * off[near], 0))[
                    1
                ]  # all but one are off by so much
                out[i] = np.sign(off[i]) * max(abs(off[i]) - 2 * same, 0.0)
        return out

    def _at_its_edge(self, alike: np.ndarray) -> np.ndarray:
        """Runs (n,) beside a region whose step a smooth surface cannot follow."""
        near = np.argsort(-alike, axis=1, kind="stable")[:, : NEAREST + 1]
        return self._region[near].any(1) & (self._unexpected * np.sum(self._unexpected[self._region]) < 0)


def _remoteness(problem: Problem) -> np.ndarray:
    """How much further each run is from the others than most are, at least 1, shape (n,).

    There the others know less than they say.
    """
    U = np.hstack([problem.X, problem.S])
    U = (U - U.mean(0)) / np.where(U.std(0) > 0, U.std(0), 1.0) / math.sqrt(max(U.shape[1], 1))
    roots, mixture = np.sqrt(problem.T), problem.repeats
    at = np.hstack([roots / (float(np.sqrt(roots.var(0).sum())) or 1.0), U])
    d2 = squared(at, at)
    d2[mixture[:, None] == mixture] = np.inf
    third = np.partition(d2, 2, axis=1)[:, 2]
    third = np.sqrt(np.where(np.isfinite(third), third, 0.0))
    usual = float(np.quantile(third, USUAL))
    return np.maximum(1.0, third / usual) if usual > 0 else np.ones(len(at))
