"""What a recommendation is worth by runs that did not choose it, and how far from the best it may be.

The gain of a recommendation is read off the surface that chose it, and the best of many predictions is more often lucky than not.
So the runs are split in halves: each half fits a surface and chooses a mixture with it, and the surface of the *other* half says what
that gains, ``sum_k (n_k / n) [f_k(t_-k) - f_k(t_0)]``, averaged over a few ways to split. Half of the runs choose worse than all of
them and see less of a gain, so this leans to the low side where the gain leans to the high one: in known-truth worlds the truth lay
between the two on average (tests/benchmarks/recommended_value.py). A plain inverse-propensity correction was tried and
left: of mixtures spread over a simplex hardly any run lies near the chosen one.

Reference: V. Chernozhukov et al., *Double/debiased machine learning for treatment and structural parameters*, 2018 (cross-fitting).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.folds import folds
from causalmix_nb.estimate.model import LEVEL, Model
from causalmix_nb.methods.fit import fit_one, fit_quickly
from causalmix_nb.methods.method import METHODS

SPLITS = 3  # ways to split the runs in halves
DRAWS = 512  # joint draws of the surface that the regret is taken from
CHOSEN = (
    1.5  # times the standard error of a gain where the surface chose the mixture itself: the winner's curse
)
MISFIT = 1.5  # factor of the variances from which a surface is said to miss left-out runs

Choose = Callable[
    [Model], tuple[np.ndarray, Any, Any]
]  # a model -> the mixture (K,) that it recommends, and more


@dataclass(frozen=True, slots=True)
class Value:
    """Gain over the baseline of mixtures that half of the runs choose, judged by the other half.

    estimate, lower, upper: in the good direction, in the outcome's units; nan where the runs are too few to be halved. The estimate leans low,
    since half of the runs know less than all of them; the upper end is therefore not below that of the surface that chose.
    regret: with 95 % probability, by the joint draws of the surface, no covered mixture is better than the recommended one by more; nan
    where the model has no interval. note: why to doubt these, in words; empty where nothing speaks against them.
    """

    estimate: float
    lower: float
    upper: float
    regret: float
    note: str = ""

    def __str__(self) -> str:
        return ". ".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The same in words."""
        sentences = []
        if math.isfinite(self.estimate):
            interval = (
                f" ({LEVEL:.0%} interval {self.lower:.3g} to {self.upper:.3g})"
                if math.isfinite(self.lower)
                else ""
            )
            sentences.append(
                f"gain by runs that did not choose the mixture (cross-fitted): {self.estimate:.3g}{interval}"
            )
        if math.isfinite(self.regret):
            sentences.append(
                f"regret: at most {self.regret:.3g} with 95 % probability, by the surface itself"
            )
        return (*sentences, self.note) if self.note else tuple(sentences)


@dataclass(slots=True)
class Appraisal:
    """What is needed to work out a :class:`Value`, which is done once, when it is first asked for.

    mixture, base (K,); choose: how a model chooses; others (m, K): covered mixtures that might be better.
    """

    model: Model
    choose: Choose
    mixture: np.ndarray
    base: np.ndarray
    others: np.ndarray
    state: Any
    scale: Any
    seed: int
    found: Value | None = None

    def value(self) -> Value:
        if self.found is None:
            estimate, se, note = self._cross_fitted()
            reach = self.model.quantile(LEVEL) * se
            regret = self._regret()
            inflated = float(self.model.diagnostics.get("interval_inflation", 1.0))
            if inflated >= MISFIT and math.isfinite(regret):
                note = "; ".join(filter(None, [note, (
                    f"the surface misses left-out runs: their squared errors are {inflated:.1f} times what it says, so it may miss a better mixture"
                )]))  # fmt: skip
            upper = max(
                estimate + reach, self._promised()
            )  # half of the runs see less of a gain than all of them
            self.found = Value(estimate, estimate - reach, upper, regret, note)
        return self.found

    def _promised(self) -> float:
        """The upper end of what the surface that chose the mixture says of its gain; nan where it says none."""
        model = self.model
        if not model.has_interval:
            return math.nan
        found = model.contrast(self.mixture[None], self.base[None], self.state, self.scale)
        return model.sign * found.estimate + CHOSEN * model.quantile(LEVEL) * found.se

    def _cross_fitted(self) -> tuple[float, float, str]:
        model, estimates, variances = self.model, [], []
        try:
            options = METHODS.find(model.method).settle(model.problem, self.seed, {})
            for split in range(SPLITS):
                halves = folds(model.problem.groups, 2, self.seed + split)
                fitted = [refitted(model, rows, options, self.seed) for rows in halves]
                found, variance = 0.0, 0.0
                for judge, chooser, rows in zip(fitted, fitted[::-1], halves):
                    share = len(rows) / model.problem.n_runs
                    chosen = self.choose(chooser)[0]
                    if np.allclose(chosen, self.base, atol=1e-12):
                        continue  # the baseline itself: nothing is gained, and that is certain
                    effect = judge.contrast(chosen[None], self.base[None], self.state, self.scale)
                    found += share * model.sign * effect.estimate
                    variance += (share * effect.se) ** 2
                estimates.append(found)
                variances.append(variance)
        except FitError as refused:
            return (
                math.nan,
                math.nan,
                f"no cross-fitted gain: half of the runs do not carry a fit ({refused})",
            )
        se = math.sqrt(float(np.mean(variances))) if model.has_interval else math.nan
        return float(np.mean(estimates)), se, ""

    def _regret(self) -> float:
        """Upper end of what the best of the others may be better by."""
        model = self.model
        if not model.has_interval or not model.climbable:
            return math.nan
        mean, cov = model.joint(np.vstack([self.mixture, self.others]), self.state, self.scale)
        sizes, vectors = np.linalg.eigh(cov)
        rng = np.random.default_rng(self.seed)
        draws = mean[:, None] + (vectors * np.sqrt(np.maximum(sizes, 0))) @ rng.standard_normal(
            (len(mean), DRAWS)
        )
        draws *= model.sign
        return float(np.quantile(draws.max(0) - draws[0], LEVEL))


def refitted(model: Model, rows: np.ndarray, options: Mapping[str, Any], seed: int) -> Model:
    """A model of the same method on some of the runs, with the same pool and baseline, and its intervals as much widened.

    options: of the method, settled for all runs.

    Raises
    ------
    FitError: runs that do not carry a fit.
    """
    part = model.problem.subset(rows)
    found = fit_quickly(part, model.method, seed, **options)
    if model.has_interval and not found.has_interval:
        found = fit_one(part, model.method, seed, **options)
    found.pool_state, found.baseline = model.pool_state, model.baseline
    found.widen(float(model.diagnostics.get("interval_inflation", 1.0)))
    return found
