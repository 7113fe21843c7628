"""What would a domain be worth that no run has had? Its price from its description, with what that does not tell.

Each domain is described by features of the state, measured before mixing (loss, top-token entropy, readability grade, size). After what the
state explains of outcome and mixture is taken away (estimate/nuisances.py), a mixed model (methods/mixed_model.py) says what a
description is worth and how much of a domain's worth it leaves open. Log shares are centred, so the common level of
worth cancels: a price is always against the average of the domains that are there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from causalmix_nb.answers.question import OUTCOME, QUESTIONS, SEED, Argument, Question, perturbation
from causalmix_nb.errors import FitError, did_you_mean, listed
from causalmix_nb.estimate.model import LEVEL
from causalmix_nb.estimate.nuisances import (
    coordinates_of,
    learn_nuisance,
    not_identified,
    refuse_decided,
    split_folds,
    state_and_scale,
)
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.weights import tamed
from causalmix_nb.finding import Finding
from causalmix_nb.methods.mixed_model import MixedModel
from causalmix_nb.mixture import log_mixture
from causalmix_nb.plots.domain import price_forest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

COLUMNS = ["estimate", "lower", "upper", "predicted", "predicted_lower", "predicted_upper", "agrees"]
CONSTANT = "the same in every run"  # a note of the problem about columns that still describe domains
MIN_DOMAINS, SPARE_RUNS = 3, 3  # spare: runs beyond the coefficients, to see the noise


@dataclass(frozen=True, slots=True)
class DomainPrice(Finding):
    """What a unit of log share of a new domain is worth more than one of the average domain that is there.

    estimate, se, lower, upper: outcome units per unit of log share; the interval holds the new domain's own part.
    table: by domain that is there, against their average: ``estimate``, ``lower``, ``upper`` as its runs measured it;
    ``predicted``, ``predicted_lower``, ``predicted_upper`` from its description and the other domains alone;
    ``agrees``: the two do not differ by more than their errors. checked: share of domains that agree.
    weights: by feature: ``estimate``, ``se``, ``lower``, ``upper`` (worth per standard deviation of it), ``value`` of
    the new domain, ``outside``: standard deviations by which it lies outside those of the runs. own_sd: mean of tau.
    """

    estimate: float
    se: float
    lower: float
    upper: float
    table: pd.DataFrame
    checked: float
    weights: pd.DataFrame
    own_sd: float
    outcome: str
    minimize: bool
    n_runs: int
    level: float
    notes: tuple[str, ...]

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes 0."""
        return self.lower > 0 or self.upper < 0

    @property
    def title(self) -> str:
        return (
            f"Predicted return of a new domain: {self.outcome}, {len(self.table)} domains, {self.n_runs} runs"
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        good = "lower" if self.minimize else "higher"
        more = "more" if (self.estimate < 0) == self.minimize else "less"
        verdict = f"A domain like this is worth {more}"
        if not self.distinguishable:
            verdict = "These runs cannot tell whether a domain like this is worth more or less"
        K, odd = len(self.table), [str(name) for name in self.table.index[~self.table["agrees"]]]
        far = [f"{name} {value:.2g}" for name, value in self.weights["outside"].items() if value > 0]
        outside = f"outside those of the runs, in standard deviations: {', '.join(far)}: an extrapolation"
        where = f"Its description lies {outside if far else 'within those of the runs, feature by feature'}"
        return (
            f"{verdict} than the average domain here: {self.estimate:+.3g} ({self.level:.0%} interval "
            f"{self.lower:+.3g} to {self.upper:+.3g}) on {self.outcome} per unit of log share, where {good} is better",
            f"Left out one by one, {K - len(odd)} of {K} domains are worth what their description and the other "
            f"domains predict, within the errors{'; not ' * bool(odd)}{', '.join(odd)}",
            where,
            *self.notes,
        )

    def figure(self) -> Figure:
        price = (self.estimate, self.lower, self.upper)
        return price_forest(self.table, price, self.outcome, self.minimize, self.level)


def price_domain(
    runs_or_problem: Runs | Problem,
    features: Mapping[str, float],
    state: Any = None,
    outcome: str | Mapping[str, float] | None = None,
    graph: CausalGraph | None = None,
    level: float = LEVEL,
    random_state: int = 0,
) -> DomainPrice:
    """Price a domain that no run has had, from its description.

    Parameters
    ----------
    runs_or_problem: runs whose state columns are called ``domain.feature``; a Problem lacks those that never vary.
    features: feature -> value of the new domain, measured as for the others: ``{"loss": 4.1, "size": 6.0}``.
    state: state of the pool, a dict or Series; None means the runs' median.
    outcome, graph: as for :func:`causalmix_nb.methods.fit.fit`. level: of the intervals. random_state: seed of the folds.

    Raises
    ------
    FitError: fewer than 3 domains that move, too few runs, or no feature that all domains and the new one have.

    >>> import pandas as pd
    >>> from causalmix_nb.runs.store import Runs
    >>> rng = np.random.default_rng(0)
    >>> names, loss = list("abcdef"), np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    >>> T = rng.dirichlet(np.full(6, 3.0), size=80)
    >>> y = np.log(T) @ (loss - 3.5) + 0.1 * rng.normal(size=80)
    >>> state = pd.DataFrame(np.tile(loss, (80, 1)), columns=[f"{name}.loss" for name in names])
    >>> runs = Runs.from_frames(pd.DataFrame(T, columns=names), pd.DataFrame({"score": y}), state=state)
    >>> round(price_domain(runs, {"loss": 5.5}).estimate, 1)
    2.0
    """
    import pandas as pd

    if not 0 < level < 1:
        raise FitError(f"level is {level:g}; it must lie between 0 and 1, for example 0.95.")
    runs = None if isinstance(runs_or_problem, Problem) else runs_or_problem
    problem = Problem.from_runs(runs, outcome, graph) if runs is not None else cast(Problem, runs_or_problem)
    problem = tamed(problem)
    coordinates = coordinates_of(problem, "ilr")
    moving = [name for name, active in zip(problem.domains, coordinates.active) if active]
    if len(moving) < MIN_DOMAINS:
        few = f"{len(moving)} domains vary in the runs; a description is judged across at least {MIN_DOMAINS}"
        raise FitError(f"{few}: add runs with more domains.")
    columns = _columns(problem, runs)
    given = {name: _finite(value, f"feature {name!r} of the new domain") for name, value in features.items()}
    names, notes = _common(columns, moving, given)
    if problem.scale_names:
        notes.append("a domain is taken to be worth the same at every scale")
    n_distinct, needed = len(np.unique(problem.groups)), len(moving) + len(names) + SPARE_RUNS
    if n_distinct < needed:
        few = f"{n_distinct} distinct runs do not carry {len(moving)} domains with {len(names)} features"
        raise FitError(f"{few}; at least {needed} are needed: add runs or merge domains.")
    phi = np.stack([np.stack([columns[f"{k}.{name}"] for name in names], 1) for k in moving], 1)  # (n, K, p)
    here = np.array([[_at(state, f"{k}.{name}", columns) for name in names] for k in moving])  # (K, p)
    new = np.array([given[name] for name in names])
    mixed = MixedModel(*_residuals(problem, coordinates, random_state), phi, here, level)
    weights = pd.DataFrame(
        mixed.weights(), pd.Index(names, name="feature"), ["estimate", "se", "lower", "upper"]
    )
    weights = weights.assign(value=new, outside=mixed.outside(new))
    table = pd.DataFrame([mixed.left_out(j) for j in range(len(moving))], moving, COLUMNS).rename_axis(
        "domain"
    )
    notes += [
        *not_identified(problem, coordinates),
        *(n for n in problem.notes if not n.startswith(CONSTANT)),
    ]
    return DomainPrice(
        *mixed.price(new), table, float(table["agrees"].mean()), weights, mixed.own_sd,
        problem.outcome, problem.minimize, problem.n_runs, level, tuple(notes),
    )  # fmt: skip


def _columns(problem: Problem, runs: Runs | None) -> dict[str, np.ndarray]:
    """State columns, each (n,): those that vary, and, where runs are given, those that are the same in all of them."""
    columns = dict(zip(problem.state_names, problem.X.T))
    if runs is None:
        return columns
    done = runs.frame[runs.frame["status"] == "done"]
    for name in runs.state_names:
        values = done[f"state.{name}"].to_numpy(dtype=float)
        if np.isfinite(values).all() and np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
            columns.setdefault(name, np.full(problem.n_runs, values[0]))
    return columns


def _common(
    columns: Mapping[str, np.ndarray], domains: list[str], features: Mapping[str, float]
) -> tuple[list[str], list[str]]:
    """Features that the new domain and all others have and in which these differ, and notes on those left out."""
    owners: dict[str, list[str]] = {}
    for column in columns:
        owner, _, name = column.rpartition(".")
        if owner in domains:
            owners.setdefault(name, []).append(owner)
    kept, notes = [], []
    for name in dict.fromkeys([*owners, *features]):
        lacking = [k for k in domains if k not in owners.get(name, [])]
        if name not in features:
            notes.append(f"{name} is left out: it is not given for the new domain")
        elif len(lacking) == len(domains):
            hint = did_you_mean(name, owners)
            notes.append(f"{name} is left out: no domain of the runs records it{'.' * bool(hint)}{hint}")
        elif lacking:
            notes.append(f"{name} is left out: the runs do not record it for {', '.join(lacking)}")
        elif np.ptp([columns[f"{k}.{name}"] for k in domains]) <= 1e-12:
            notes.append(f"{name} is left out: it is the same for all domains in all runs")
        else:
            kept.append(name)
    if not kept:
        raise FitError(
            f"no feature describes the new domain and all of {listed(domains)}; record the same state column "
            f"for each, such as {listed(domains[:1])}.loss, and give its value ({'; '.join(notes[:1]) or 'no feature was given'})."
        )
    return kept, notes


def _at(state: Any, column: str, columns: Mapping[str, np.ndarray]) -> float:
    given = {} if state is None else dict(state)
    if state is not None and column not in given and np.ptp(columns[column]) > 0:
        raise FitError(f"the state lacks {column}; give every state column that varies, or no state at all.")
    return _finite(given.get(column, np.median(columns[column])), f"the state's {column}")


def _finite(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise FitError(f"{what} is {value!r}; give a finite number.")
    return number


def _residuals(problem: Problem, coordinates: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Outcome (n,) and centred log shares of the moving domains (n, K), less what the state explains, cross-fitted."""
    rng, W = np.random.default_rng(seed), state_and_scale(problem)
    splits = [split_folds(problem.groups, 5, rng) for _ in range(3 if W.shape[1] else 1)]
    L = log_mixture(problem.T[:, coordinates.active])
    L -= L.mean(1, keepdims=True)
    y = problem.y - np.mean(learn_nuisance(W, problem.y[:, None], splits, seed).fitted, axis=0)[:, 0]
    Z = L - np.mean(learn_nuisance(W, L, splits, seed).fitted, axis=0)
    basis = coordinates.basis[coordinates.active]
    refuse_decided(Z @ basis, L @ basis, len(np.unique(problem.groups)))
    return y, Z - Z.mean(1, keepdims=True)


QUESTIONS.register(
    Question(
        "predict-domain",
        "Predict what a domain that no run has had would be worth, from its description.",
        "%causalmix predict-domain loss=2.1 readability_grade=9",
        lambda study, features, outcome, perturbation, seed: study.price(
            features, perturbation, outcome, random_state=seed
        ),
        (
            Argument(
                "features",
                "what describes the domain, as %causalmix state shows it for the others",
                "pairs",
                words="*",
                metavar="FEATURE=VALUE",
                needed="a description of the domain",
            ),
            OUTCOME,
            perturbation(words=""),
            SEED,
        ),
        aliases=("price",),
    )
)
