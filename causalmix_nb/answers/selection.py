"""Which covariates of the state earn their place? Rank correlation on left-out runs, over subsets of covariates.

A few hundred runs do not carry thirty covariates; the authors of arXiv 2607.01104 chose three by the Spearman correlation of the
fitted model on held-out runs. Here every subset is scored on the same folds, its advantage over the best one carries a standard
error (runs resampled in groups), and of the subsets that cannot be told from the best the smallest is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.answers.question import METHOD, OUTCOME, QUESTIONS, SEED, Question
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.folds import folds, rank_correlation
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.finding import Finding
from causalmix_nb.methods.fit import fit_quickly
from causalmix_nb.plots.learning import subset_scores

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

ALL_UP_TO = 4  # covariates of which every subset is tried; of more, they are added one at a time
RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class StateSelection(Finding):
    """Subsets of covariates by how well a model with them ranks left-out runs.

    table: one row per subset, best first: ``subset``, ``covariates`` (how many), ``spearman``, ``behind`` (difference to the best),
    ``se`` of that difference, ``chosen``. chosen: its covariates. columns: the state columns that they stand for. method, n_runs:
    what was fitted, and on how many runs.
    """

    table: pd.DataFrame
    chosen: tuple[str, ...]
    columns: tuple[str, ...]
    method: str
    n_runs: int

    @property
    def title(self) -> str:
        return (
            f"Which covariates of the state earn their place? {len(self.table)} subsets, {self.n_runs} runs"
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        best = self.table.iloc[0]
        here = self.table[self.table["chosen"]].iloc[0]
        sentences = [
            f"keep {', '.join(self.chosen) or 'no state at all'}: rank correlation {here['spearman']:.3f} on left-out runs"
        ]
        if here.name != best.name:
            sentences.append(
                f"{best['subset']} reaches {best['spearman']:.3f}, which is not distinguishable from it "
                f"(difference {here['behind']:.3f}, standard error {here['se']:.3f})"
            )
        sentences.append(
            f"fitted with {self.method}; the correlation of the best of many subsets is a little optimistic"
        )
        return tuple(sentences)

    def figure(self) -> Figure:
        return subset_scores(self.table)


def select_state(
    runs: Runs,
    outcome: str | None = None,
    method: str = "gp",
    graph: CausalGraph | None = None,
    n_folds: int = 5,
    random_state: int = 0,
) -> StateSelection:
    """Choose covariates of the state by rank correlation on left-out runs.

    Parameters
    ----------
    runs: with state columns; those called ``domain.covariate`` are taken together by covariate, others are each their own.
    graph: what it asks to adjust for stays in every subset.
    method: the method that is fitted on each subset.

    Raises
    ------
    FitError: runs without state, or too few of them.
    """
    import pandas as pd

    problem = Problem.from_runs(runs, outcome, graph)
    if not problem.state_names:
        raise FitError(
            "the runs record no state, so there is nothing to select; measure it, or import it with the runs."
        )
    kinds = _kinds(problem)
    fixed = _needed(problem, kinds, graph, runs)
    split = folds(problem.groups, n_folds, random_state)
    scored: dict[tuple[str, ...], np.ndarray] = {}

    def score(subset: tuple[str, ...]) -> float:
        if subset not in scored:
            scored[subset] = _left_out(
                problem, [c for kind in subset for c in kinds[kind]], method, split, random_state
            )
        return rank_correlation(scored[subset], problem.y)

    free = [kind for kind in kinds if kind not in fixed]
    if len(free) <= ALL_UP_TO:
        for size in range(len(free) + 1):
            for some in itertools.combinations(free, size):
                score(_ordered(kinds, (*fixed, *some)))
    else:
        _forward(score, kinds, fixed, free)
    rows = _compared(scored, problem, random_state)
    table = pd.DataFrame(rows).sort_values("spearman", ascending=False, kind="stable", ignore_index=True)
    close = table[table["behind"] <= table["se"]]
    pick = close.sort_values(["covariates", "spearman"], ascending=[True, False], kind="stable").index[0]
    table["chosen"] = table.index == pick
    chosen = table.pop("kinds")[pick]
    columns = tuple(problem.state_names[c] for kind in chosen for c in kinds[kind])
    return StateSelection(table, chosen, columns, method, problem.n_runs)


def _kinds(problem: Problem) -> dict[str, list[int]]:
    """Covariate -> its columns; ``domain.covariate`` counts as the covariate where all columns are so named."""
    owners = [name.rpartition(".") for name in problem.state_names]
    per_domain = all(owner in problem.domains for owner, _, _ in owners)
    kinds: dict[str, list[int]] = {}
    for j, (name, (_, _, kind)) in enumerate(zip(problem.state_names, owners)):
        kinds.setdefault(kind if per_domain else name, []).append(j)
    return kinds


def _needed(
    problem: Problem, kinds: dict[str, list[int]], graph: CausalGraph | None, runs: Runs
) -> tuple[str, ...]:
    """Covariates that the graph asks to adjust for. A node that stands for the whole state asks for no single one of them."""
    if graph is None:
        return ()
    asked = {
        column.removeprefix("state.")
        for node in problem.adjustment
        if node != "state"
        for column in graph.columns_of(node, runs)
    }
    return tuple(kind for kind, cols in kinds.items() if asked & {problem.state_names[c] for c in cols})


def _ordered(kinds: dict[str, list[int]], some: Sequence[str]) -> tuple[str, ...]:
    return tuple(kind for kind in kinds if kind in some)


def _left_out(
    problem: Problem, columns: list[int], method: str, split: list[np.ndarray], seed: int
) -> np.ndarray:
    """Predictions (n,) of left-out runs from a model that sees some state columns only."""
    part = replace(
        problem, X=problem.X[:, columns], state_names=tuple(problem.state_names[c] for c in columns)
    )
    out = np.empty(problem.n_runs)
    for fold in split:
        kept = np.setdiff1d(np.arange(problem.n_runs), fold)
        model = fit_quickly(part.subset(kept), method, seed)
        out[fold] = model.mean(part.T[fold], part.X[fold], part.S[fold])
    return out


def _forward(score: object, kinds: dict[str, list[int]], fixed: tuple[str, ...], free: list[str]) -> None:
    """Add the covariate that helps most, again and again, until none helps; and try all of them together."""
    assert callable(score)
    here, best = list(fixed), score(_ordered(kinds, fixed))
    score(_ordered(kinds, (*fixed, *free)))
    while free:
        tried = {kind: score(_ordered(kinds, (*here, kind))) for kind in free}
        kind = max(tried, key=lambda k: tried[k])
        if tried[kind] <= best:
            return
        here, best = [*here, kind], tried[kind]
        free = [other for other in free if other != kind]


def _compared(
    scored: dict[tuple[str, ...], np.ndarray], problem: Problem, seed: int
) -> list[dict[str, object]]:
    """Rows of the table: each subset's correlation and how far it is behind the best, with a standard error."""
    y, rng = problem.y, np.random.default_rng(seed)
    full = {subset: rank_correlation(mean, y) for subset, mean in scored.items()}
    top = max(full, key=lambda subset: full[subset])
    groups, index = np.unique(problem.groups, return_inverse=True)
    order, ends = np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))
    members = np.split(order, ends[:-1])
    behind: dict[tuple[str, ...], list[float]] = {subset: [] for subset in scored}
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[g] for g in rng.integers(len(groups), size=len(groups))])
        best = rank_correlation(scored[top][rows], y[rows])
        for subset, mean in scored.items():
            behind[subset].append(best - rank_correlation(mean[rows], y[rows]))
    return [
        {
            "kinds": subset,
            "subset": ", ".join(subset) or "no state",
            "covariates": len(subset),
            "spearman": full[subset],
            "behind": full[top] - full[subset],
            "se": float(np.std(behind[subset])) if subset != top else 0.0,
        }
        for subset in scored
    ]


QUESTIONS.register(
    Question(
        "select",
        "Which covariates of the state earn their place.",
        "%causalmix select",
        lambda study, outcome, method, seed: study.select_state(outcome, method=method, random_state=seed),
        (OUTCOME, METHOD, SEED),
    )
)
