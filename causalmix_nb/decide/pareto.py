"""Several outcomes at once: the mixtures on which none can be improved without giving up another.

A mixture is on the Pareto front if no other covered mixture is expected to be at least as good on every outcome and better
on one. The front is found by climbing weighted sums of the fitted surfaces from many weights at once, which reaches
corners that random mixtures of many domains never come near; what is dominated is then dropped.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.decide.constraints import Constraints
from causalmix_nb.decide.policy import BEST, allowed, climb, draw_candidates
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.support import TrustRegion
from causalmix_nb.finding import Finding
from causalmix_nb.mixture import Mixture
from causalmix_nb.plots.mixtures import pareto_front

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STEPS = {1: 1, 2: 20, 3: 6, 4: 4, 5: 3}  # of the lattice of weights, by the number of outcomes


@dataclass(frozen=True, slots=True)
class ParetoFront(Finding):
    """Mixtures that trade outcomes off.

    table: one row per mixture: ``mixture.<domain>``; per outcome ``<outcome>`` (expected, in its own units), ``…_lower``,
    ``…_upper`` (95 % interval), ``…_gain`` (advantage over the baseline in the good direction). outcomes: name -> whether
    lower is better. baseline: outcome -> its expectation at the baseline.
    """

    table: pd.DataFrame
    outcomes: dict[str, bool]
    baseline: dict[str, float]

    @property
    def title(self) -> str:
        return f"{len(self.table)} mixtures that trade {', '.join(self.outcomes)} off"

    @property
    def sentences(self) -> tuple[str, ...]:
        gains = self.table[[f"{name}_gain" for name in self.outcomes]].to_numpy()
        both = (gains > 0).all(1)
        sentences = [
            "one mixture is best for all of them: nothing has to be given up"
            if len(self.table) == 1
            else f"{int(both.sum())} of them are expected to beat the baseline on every outcome"
        ]
        for j, name in enumerate(self.outcomes):
            best = int(gains[:, j].argmax())
            lost = [f"{other} {gains[best, i]:+.3g}" for i, other in enumerate(self.outcomes) if i != j]
            sentences.append(
                f"at best {name} gains {gains[best, j]:+.3g}" + (f", with {', '.join(lost)}" if lost else "")
            )
        return tuple(sentences)

    def mixture(self, row: int) -> Mixture:
        """The mixture in a row of the table."""
        shares = self.table.iloc[row].filter(like="mixture.")
        return Mixture({str(name).removeprefix("mixture."): float(share) for name, share in shares.items()})

    def figure(self) -> Figure:
        return pareto_front(self.table, self.outcomes, self.baseline)


def pareto(
    models: Mapping[str, Model],
    state: Any = None,
    constraints: Constraints | Mapping[str, Any] | None = None,
    baseline: Any = None,
    n_candidates: int = 20_000,
    random_state: int = 0,
    scale: Any = None,
) -> ParetoFront:
    """The Pareto front of several fitted outcomes at one state.

    Parameters
    ----------
    models: outcome -> model fitted on it, at most five; all over the same domains.
    state, scale: as in :meth:`Model.predict`.
    constraints, baseline: as in :func:`causalmix_nb.decide.policy.optimize`.

    Raises
    ------
    FitError: fewer than two or more than five models, or models of different domains.
    MixtureError: constraints that no mixture satisfies.
    """
    if not 2 <= len(models) <= max(STEPS):
        raise FitError(
            f"{len(models)} outcomes were given; a trade-off is between 2 and {max(STEPS)} of them."
        )
    fitted = list(models.values())
    first = fitted[0]
    if any(model.domains != first.domains for model in fitted):
        raise FitError("the models are of different domains; fit them on the same runs.")
    if any(model.problem.held != first.problem.held for model in fitted):
        raise FitError(
            "the models learnt from runs that moved different domains; fit them on runs that all record every outcome."
        )
    feasible = allowed(first, constraints)
    base = first.start(baseline)
    region, rng = TrustRegion(first.problem.T), np.random.default_rng(random_state)

    def values(T: np.ndarray) -> np.ndarray:
        """Expected outcomes in the good direction, in standard deviations of the runs, shape (n, m)."""
        return np.column_stack(
            [model.sign * model.expected(T, state, scale) / model.problem.y.std() for model in fitted]
        )

    drawn = [
        draw_candidates(model, model.sign, base[0], n_candidates // len(fitted), rng) for model in fitted
    ]
    candidates = feasible.nearest(np.vstack(drawn))
    covered = candidates[region.inside(candidates)]
    candidates = covered if len(covered) else candidates[[int(region.distance(candidates).argmin())]]
    scores = values(candidates)
    found = []
    for weights in _lattice(len(fitted)):
        starts = candidates[np.argsort(-(scores @ weights), kind="stable")[:BEST]]
        found.append(climb(lambda T, w=weights: values(T) @ w, starts, feasible, region, n_starts=2))  # type: ignore[misc]
    mixtures = feasible.settled(np.array(found))
    kept = mixtures[undominated(values(mixtures))]
    return _report(models, _apart(kept), base, state, scale)


def _lattice(m: int) -> np.ndarray:
    """Weights of m outcomes that sum to 1, evenly spread, none of them 0, shape (w, m)."""
    steps = STEPS[m]
    counts = [c for c in itertools.product(range(steps + 1), repeat=m) if sum(c) == steps]
    weights = np.array(counts, dtype=float) + 0.02
    return weights / weights.sum(1, keepdims=True)


def undominated(scores: np.ndarray) -> np.ndarray:
    """Which rows of (n, m) scores, higher being better, no other row beats on all columns, shape (n,) bool.

    >>> undominated(np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.4], [0.3, 0.4]])).tolist()
    [True, True, True, False]
    """
    at_least = (scores[:, None, :] >= scores[None]).all(2)
    more = (scores[:, None, :] > scores[None]).any(2)
    return np.logical_not((at_least & more).any(0))


def _apart(T: np.ndarray) -> np.ndarray:
    """The rows that differ from all before them by more than a hundredth in some share."""
    kept: list[np.ndarray] = []
    for row in T:
        if all(np.abs(row - other).max() > 0.01 for other in kept):
            kept.append(row)
    return np.array(kept)


def _report(
    models: Mapping[str, Model], T: np.ndarray, base: np.ndarray, state: Any, scale: Any
) -> ParetoFront:
    import pandas as pd

    columns: dict[str, np.ndarray] = {}
    baseline = {}
    for name, model in models.items():
        mean, cov = model.joint(np.vstack([T, base]), state, scale)
        se, q = np.sqrt(np.maximum(np.diag(cov), 0))[:-1], model.quantile(0.95)
        baseline[name] = float(mean[-1])
        columns |= {
            name: mean[:-1],
            f"{name}_lower": mean[:-1] - q * se,
            f"{name}_upper": mean[:-1] + q * se,
            f"{name}_gain": model.sign * (mean[:-1] - mean[-1]),
        }
    first = next(iter(models))
    domains = models[first].domains
    shares = {f"mixture.{domain}": T[:, k] for k, domain in enumerate(domains)}
    table = pd.DataFrame({**shares, **columns}).sort_values(f"{first}_gain", kind="stable", ignore_index=True)
    return ParetoFront(table, {name: model.minimize for name, model in models.items()}, baseline)
