"""Successive halving: every designed run at a small budget, the better part of them again at larger ones.

Rungs are complete runs of their own, each with its whole learning-rate schedule from the common base: a run that stops early is no run of
a small budget, since its learning rate never fell. So every run that is recorded is a valid one at its own scale (``scale.tokens``), an
interrupted launch needs no checkpoints, and a fit with the scale as a covariate uses all of them.

What is ranked is what the mixture adds: the outcome less what the state of the sub-pool alone predicts, by a ridge regression that has not
seen that state (cross-fitted by state). Ranked as they are, runs on clean sub-pools would go on and runs on spoilt ones would not, whatever their
mixtures; the runs left at the largest scale would then hardly differ in state, and nothing could be adjusted for there.

Reference: L. Li et al., *Hyperband*, 2018 (JMLR 18); its rungs are budgets in ratio ``eta``, the best ``1 / eta`` of each go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import TrainingError
from causalmix_nb.launch.launch import RunReport

if TYPE_CHECKING:
    from causalmix_nb.design.simplex import RunSpec
    from causalmix_nb.runs.store import Runs

LEVELS = 3  # rungs: budget / eta², budget / eta, budget
FEWEST_TOKENS, FEWEST_STEPS = 1000, 4  # of a run on the lowest rung


def rungs(token_budget: int, eta: int, tokens_per_step: int = 0) -> list[int]:
    """Budgets of the rungs, the smallest first; rungs of fewer than 1,000 tokens or four steps are left out.

    Raises
    ------
    TrainingError: an ``eta`` below 2, or a budget that has no smaller rung.

    >>> rungs(100_000, 4, 1024), rungs(20_000, 4, 1024)
    ([6250, 25000, 100000], [5000, 20000])
    """
    if not (isinstance(eta, int) and eta >= 2):
        raise TrainingError(
            f"halving is {eta!r}; it keeps one run in so many at every rung, so give 2 or more (4 is usual)."
        )
    fewest = max(FEWEST_TOKENS, FEWEST_STEPS * tokens_per_step)
    budgets = [token_budget // eta**i for i in reversed(range(LEVELS))]
    kept = [budget for budget in budgets if budget >= fewest]
    if len(kept) < 2:
        raise TrainingError(
            f"a budget of {token_budget:,} tokens divided by {eta} is too short a run (at least {fewest:,} tokens); "
            f"give {fewest * eta:,} or more, or leave halving out."
        )
    return kept


def sizes(n_runs: int, n_rungs: int, eta: int) -> list[int]:
    """How many runs each rung has, where none is a repeat and none fails.

    >>> sizes(128, 3, 4)
    [128, 32, 8]
    """
    found = [n_runs]
    while len(found) < n_rungs:
        found.append(-(-found[-1] // eta))
    return found


@dataclass(frozen=True, slots=True)
class Promotion:
    """Who goes on. chosen: rows, in order. rank (n,): place by what the mixture adds, 1 is best, runs of one group share it; 0: no outcome."""

    chosen: tuple[int, ...]
    rank: np.ndarray


def promote(
    y: np.ndarray, X: np.ndarray, groups: np.ndarray, minimize: bool, eta: int, seed: int = 0
) -> Promotion:
    """The best 1 / eta of the groups of runs, by what their mixtures add.

    Parameters
    ----------
    y (n,): outcomes, NaN where a run failed. X (n, d): states. groups (n,): runs that repeat each other share a number and stay together;
    a group is judged by its mean.
    """
    ok = np.isfinite(y)
    rank = np.zeros(len(y), int)
    if not ok.any():
        return Promotion((), rank)
    members, index = np.unique(groups[ok], return_inverse=True)
    worth = np.bincount(index, added(y[ok], X[ok], seed)) / np.bincount(index)
    order = np.argsort(worth if minimize else -worth, kind="stable")
    place = np.empty(len(members), int)
    place[order] = np.arange(1, len(members) + 1)
    rank[ok] = place[index]
    best = -(-len(members) // eta)
    return Promotion(tuple(np.flatnonzero((rank > 0) & (rank <= best)).tolist()), rank)


def added(y: np.ndarray, X: np.ndarray, seed: int = 0) -> np.ndarray:
    """Outcome less what the state alone predicts for it, (n,); a run's state is never among those that the prediction was fitted on."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    states = (
        np.unique(X.round(9), axis=0, return_inverse=True)[1].ravel() if X.shape[1] else np.zeros(len(y), int)
    )
    n_states = states.max(initial=0) + 1
    if n_states < 4:
        return y - y.mean()
    folds = GroupKFold(min(5, n_states), shuffle=True, random_state=seed)
    ridge = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-1, 4, 11)))
    return y - cross_val_predict(ridge, X, y, groups=states, cv=folds)


def halve(
    specs: Sequence[RunSpec], eta: int, tokens_per_step: int, runs: Runs, key: Callable[[RunSpec], str],
    launch: Callable[[Sequence[RunSpec], str], RunReport], outcome: str, seed: int = 0,
) -> RunReport:  # fmt: skip
    """Train a design rung by rung.

    Parameters
    ----------
    specs: the design, at the largest budget. eta: one run in so many goes on. tokens_per_step: of one run.
    runs: where finished runs are recorded, and why they were not trained longer. key: of a run. launch: trains runs, under a name for the stage.
    outcome: what is ranked.
    """
    budgets = rungs(specs[0].token_budget, eta, tokens_per_step)
    kept, reports, trained = list(specs), [], []
    for budget in budgets:
        made = [replace(spec, token_budget=budget) for spec in kept]
        keys = [key(spec) for spec in made]
        reports.append(launch(made, f"proxy runs of {budget:,} tokens"))
        trained.append(f"{len(made)} of {budget:,}")
        if reports[-1].interrupted or budget == budgets[-1]:
            break
        frame = runs.frame.set_index("key").reindex(keys)
        y = frame[f"outcome.{outcome}"].to_numpy(dtype=float)
        X = frame[[column for column in frame if column.startswith("state.")]].to_numpy(dtype=float)
        found = promote(y, np.nan_to_num(X), _twins(made), runs.minimize[outcome], eta, seed)
        last = int(found.rank.max(initial=0))
        runs.annotate(
            {
                run: None
                if i in found.chosen
                else _reason(outcome, y[i], int(found.rank[i]), last, budget, X.shape[1] > 0)
                for i, run in enumerate(keys)
                if found.rank[i]
            }
        )
        kept = [kept[i] for i in found.chosen]
        if not kept:
            break
    return _joined(reports, eta, trained, sum(spec.token_budget for spec in specs))


def _reason(outcome: str, value: float, rank: int, of: int, budget: int, state: bool) -> str:
    by = ", by what its mixture adds to its state" if state else ""
    return f"not trained longer: {outcome} {value:.4g} was {ordinal(rank)} of {of} at {budget:,} tokens{by}"


def _twins(specs: Sequence[RunSpec]) -> np.ndarray:
    """Runs that differ in nothing but the order of their data share a number."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(_same(spec), len(numbers)) for spec in specs])


def _same(spec: RunSpec) -> Any:
    return (
        spec.mixture,
        tuple(sorted((name, str(perturbation)) for name, perturbation in spec.perturbations.items())),
        spec.perturbation_seed,
    )


def _joined(reports: Sequence[RunReport], eta: int, trained: Sequence[str], all_long: int) -> RunReport:
    seconds = sum(report.seconds for report in reports)
    tokens = sum(report.seconds * report.tokens_per_second for report in reports)
    failures = dict.fromkeys(reason for report in reports for reason in report.failures)
    total = {
        name: sum(getattr(report, name) for report in reports)
        for name in ("requested", "reused", "done", "failed")
    }
    return replace(
        reports[-1], **total, seconds=seconds, tokens_per_second=tokens / max(seconds, 1e-9), failures=tuple(failures),
        remark=f"halving by {eta}: {', '.join(trained)} tokens, where all at the largest would be {all_long:,}",
    )  # fmt: skip


def ordinal(n: int) -> str:
    """
    >>> [ordinal(n) for n in (1, 2, 3, 11, 22, 97)]
    ['1st', '2nd', '3rd', '11th', '22nd', '97th']
    """
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
