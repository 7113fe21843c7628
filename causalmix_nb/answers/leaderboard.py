"""Which method learns most from how many runs? Every method on the same runs, scored on runs that none of them has seen.

A method is scored by the rank correlation of its predictions with what the unseen runs scored, and by what would be lost by
taking the unseen run that it predicts best. Unseen runs are left out of the table itself (never splitting repeated seeds), or given:
runs of a larger model, for example, which shows what a small proxy's ranking is worth there. Standard errors come from drawing
splits, and unseen runs within them, anew; differences between methods are paired in both.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.answers.question import OUTCOME, QUESTIONS, SEED, Argument, Question
from causalmix_nb.errors import CausalMixError, FitError, did_you_mean
from causalmix_nb.estimate.folds import pure_error, rank_correlation
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.finding import Finding
from causalmix_nb.methods.fit import fit_problem, side_by_side
from causalmix_nb.methods.method import METHODS
from causalmix_nb.plots.learning import learning_curves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

EQUAL = "equal"  # no method at all: takes the unseen run nearest to equal shares
DEFAULT = ("auto", "gp", "linear", "forest", "lightgbm", "law", "regmix", EQUAL)
BUDGETS = (64, 128, 256, None)
LEFT_OUT = 0.25
FEWEST = 12  # unseen runs, below which ranks mean nothing
DRAWS = 200


@dataclass(frozen=True, slots=True)
class Leaderboard(Finding):
    """Methods by number of runs.

    table: one row per (``runs``, ``method``), the best first for each number of runs: ``spearman`` on unseen runs with ``se``, ``behind``
    (difference to the best method there) with ``behind_se``, ``regret`` (best unseen outcome minus that of the unseen run predicted best,
    in standard deviations of the unseen outcomes) with ``regret_se``, ``seconds`` to fit, ``refused`` (why there is no score). Averages over
    outcomes and splits. chance: regret of a run taken at random. ceiling: rank correlation that the noise of repeated seeds
    allows, None without repeats.
    """

    table: pd.DataFrame
    outcomes: tuple[str, ...]
    n_unseen: int
    chance: float
    ceiling: float | None

    @property
    def title(self) -> str:
        return f"Which method learns most from how many runs? {', '.join(self.outcomes[:3])}{'…' if len(self.outcomes) > 3 else ''}"

    @property
    def sentences(self) -> tuple[str, ...]:
        sentences = []
        for n, rows in self.table.groupby("runs", sort=True):
            best, tied = rows.iloc[0], rows[(rows["behind"] <= 1.96 * rows["behind_se"])].iloc[1:]
            same = f"; not distinguishable from it: {', '.join(tied['method'])}" if len(tied) else ""
            if not best["spearman"] > 1.96 * best["se"]:
                sentences.append(f"with {n} runs no method ranks unseen mixtures better than chance")
            else:
                sentences.append(
                    f"with {n} runs {best['method']} ranks unseen mixtures best: {best['spearman']:.3f} "
                    f"(standard error {best['se']:.3f}){same}"
                )
        last = self.table[self.table["runs"] == self.table["runs"].max()].iloc[0]
        sentences.append(
            f"the run that {last['method']} picks lies {last['regret']:.2f} standard deviations behind the best of {self.n_unseen} "
            f"unseen ones (standard error {last['regret_se']:.2f}), one taken at random {self.chance:.2f}"
        )
        if self.ceiling is not None:
            sentences.append(f"repeated seeds allow a correlation of {self.ceiling:.3f} at most")
        refused = self.table.loc[self.table["refused"] != "", ["method", "refused"]].drop_duplicates("method")
        sentences += [
            f"{row.method} gave no answer: {str(row.refused).rstrip('.')}" for row in refused.itertuples()
        ]
        return tuple(sentences)

    @property
    def shown(self) -> pd.DataFrame:
        """Without standard errors of differences."""
        return self.table.set_index("method")[["runs", "spearman", "se", "behind", "regret", "seconds"]]

    def figure(self) -> Figure:
        return learning_curves(self.table, self.ceiling, self.chance)


def leaderboard(
    runs: Runs,
    outcome: str | Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    budgets: Sequence[int | None] = BUDGETS,
    unseen: Runs | None = None,
    graph: CausalGraph | None = None,
    n_splits: int = 3,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> Leaderboard:
    """Score methods on unseen runs, by the number of runs they were given.

    Parameters
    ----------
    outcome: one, or several to average over; None is the first.
    methods: names as for :func:`causalmix_nb.methods.fit.fit`, and ``"equal"``; None means those in :data:`DEFAULT`.
    budgets: numbers of runs to learn from; None, or more than there are, means all of them.
    unseen: runs to be scored on, over the same domains; None leaves out a quarter of ``runs``, another one for each split.
    n_splits: how often runs are drawn.
    n_jobs: processes, by default one per core.

    Raises
    ------
    FitError: an unknown method, too few runs to leave any out, or unseen runs of other domains or without their state.
    """
    from joblib import delayed

    names = list(DEFAULT if methods is None else methods)
    known = (*METHODS, "auto", EQUAL)
    for name in names:
        if name not in known:
            raise FitError(
                f"unknown method {name!r}.{did_you_mean(name, known)} Methods are {', '.join(known)}."
            )
    if n_splits > 1000:
        raise FitError(f"{n_splits} splits would never end; take at most 1,000, 3 is usual.")
    if not names or n_splits < 1 or not budgets:
        raise FitError("a leaderboard needs a method, a number of runs and a split at least.")
    outcomes = [outcome] if outcome is None or isinstance(outcome, str) else list(outcome)
    jobs = []
    for one in outcomes:
        problem = Problem.from_runs(runs, one, graph)
        test = None if unseen is None else _unseen(problem, unseen, one)
        jobs += _splits(problem, test, budgets, n_splits, random_state)
    calls = [
        delayed(_predict)(method, train, test, random_state) for _, train, test in jobs for method in names
    ]
    cells = side_by_side(calls, n_jobs)
    keyed = [(budget, test, method) for budget, _, test in jobs for method in names]
    return _score(keyed, cells, tuple(dict.fromkeys(train.outcome for _, train, _ in jobs)))


# -- who sees what ---------------------------------------------------------------------------------------------

Job = tuple[int, Problem, Problem]  # number of runs, those to learn from, those to be scored on


def _unseen(problem: Problem, runs: Runs, outcome: str | None) -> Problem:
    """Unseen runs, with the columns of the problem."""
    from dataclasses import replace

    test = Problem.from_runs(runs, outcome, use_state=False)
    if set(test.domains) != set(problem.domains):
        raise FitError("the unseen runs have other domains than the runs; give runs over the same domains.")
    frame = runs.frame
    rows = frame[np.isfinite(frame[f"outcome.{test.outcome}"].astype(float)) & (frame["status"] == "done")]
    names = [f"state.{name}" for name in problem.state_names]
    if missing := [name for name in names if name not in frame]:
        raise FitError(f"the unseen runs lack {missing[0]}; record it, or leave the state out of the graph.")
    sizes = np.tile(np.median(problem.S, axis=0), (test.n_runs, 1))
    order = [test.domains.index(name) for name in problem.domains]
    return replace(
        test, domains=problem.domains, T=test.T[:, order], X=rows[names].to_numpy(dtype=float), S=sizes,
        state_names=problem.state_names, scale_names=problem.scale_names,
    )  # fmt: skip


def _splits(
    problem: Problem, test: Problem | None, budgets: Sequence[int | None], n_splits: int, random_state: int
) -> list[Job]:
    groups = np.unique(problem.groups)
    left_out = 0 if test is not None else max(FEWEST, round(LEFT_OUT * len(groups)))
    if len(groups) - left_out < len(problem.domains) + 2:
        raise FitError(
            f"{len(groups)} different runs are too few to leave {left_out} of them out and learn from the others; "
            "make more runs, or give unseen ones."
        )
    jobs = []
    for split in range(n_splits):
        order = np.random.default_rng([random_state, split]).permutation(groups)
        scored = test or problem.subset(np.isin(problem.groups, order[:left_out]))
        rest = order[left_out:]
        sizes = sorted({min(len(rest), budget or len(rest)) for budget in budgets})
        if test is not None and sizes == [len(rest)] and split:
            continue  # the same runs again
        for size in sizes:
            jobs.append((size, problem.subset(np.isin(problem.groups, rest[:size])), scored))
    return jobs


def _predict(method: str, train: Problem, test: Problem, random_state: int) -> tuple[np.ndarray, float, str]:
    """Predictions of the unseen runs in the good direction, seconds, and why there are none."""
    if method == EQUAL:
        return -((np.sqrt(test.T) - np.sqrt(1 / test.T.shape[1])) ** 2).sum(1), 0.0, ""
    started = time.perf_counter()
    try:
        model = fit_problem(train, method, random_state)
    except CausalMixError as refused:
        return np.full(test.n_runs, np.nan), time.perf_counter() - started, str(refused)
    return model.sign * model.mean(test.T, test.X, test.S), time.perf_counter() - started, ""


# -- scores ----------------------------------------------------------------------------------------------------


def _score(keyed: list[tuple[int, Problem, str]], cells: list[Any], outcomes: tuple[str, ...]) -> Leaderboard:
    import pandas as pd

    rng = np.random.default_rng(0)
    scores: dict[tuple[int, str], list[np.ndarray]] = {}
    regrets: dict[tuple[int, str], list[np.ndarray]] = {}
    seconds: dict[tuple[int, str], list[float]] = {}
    refused: dict[tuple[int, str], str] = {}
    drawn: dict[int, np.ndarray] = {}
    chance, noise = [], []
    for (size, test, method), (predicted, took, why) in zip(keyed, cells):
        y = (-1.0 if test.minimize else 1.0) * test.y
        if id(test) not in drawn:
            drawn[id(test)] = rng.integers(len(y), size=(DRAWS, len(y)))
            chance.append(float((y.max() - y.mean()) / y.std()))
            noise.append(pure_error(test))
        key = size, method
        seconds.setdefault(key, []).append(took)
        if why:
            refused[key] = why
            continue
        rows = drawn[id(test)]
        scores.setdefault(key, []).append(
            np.append(_rank_correlations(predicted, y, rows), rank_correlation(predicted, y))
        )
        regrets.setdefault(key, []).append(np.append(_regrets(predicted, y, rows), _regrets(predicted, y)))
    # the same draws of splits for every method, so that differences are paired
    table = []
    for size in sorted({size for size, _ in scores}):
        some = {method: _averages(values, size) for (n, method), values in scores.items() if n == size}
        lost = {method: _averages(values, size) for (n, method), values in regrets.items() if n == size}
        best = max(some, key=lambda method: some[method][-1])
        for method in sorted(some, key=lambda method: -some[method][-1]):
            behind = some[best] - some[method]
            table.append(
                {
                    "runs": size, "method": method, "spearman": some[method][-1], "se": some[method][:-1].std(),
                    "behind": behind[-1], "behind_se": behind[:-1].std(), "regret": lost[method][-1],
                    "regret_se": lost[method][:-1].std(), "seconds": float(np.mean(seconds[size, method])), "refused": "",
                }
            )  # fmt: skip
    if not table:
        raise FitError(f"no method could be fitted: {next(iter(refused.values()))}")
    nothing = dict.fromkeys(("spearman", "se", "behind", "behind_se", "regret", "regret_se"), np.nan)
    table += [
        {"runs": size, "method": method, **nothing, "seconds": np.nan, "refused": why}
        for (size, method), why in refused.items()
        if (size, method) not in scores
    ]
    ceilings = [
        np.sqrt(max(0.0, 1 - sd**2 / float(test.y.var(ddof=1))))
        for (sd, df), test in zip(noise, {id(t): t for _, t, _ in keyed}.values())
        if df >= 3
    ]
    frame = pd.DataFrame(table).sort_values("runs", kind="stable").reset_index(drop=True)
    unseen = round(float(np.mean([test.n_runs for _, test, _ in keyed])))
    ceiling = float(np.mean(ceilings)) if ceilings else None
    return Leaderboard(frame, outcomes, unseen, float(np.mean(chance)), ceiling)


def _averages(values: list[np.ndarray], seed: int) -> np.ndarray:
    """Means over the cells, of each draw of cells and of the cells as they are (last), shape (draws + 1,)."""
    stacked = np.array(values)
    chosen = np.random.default_rng(seed).integers(len(stacked), size=(DRAWS, len(stacked)))
    return np.append(stacked[chosen, np.arange(DRAWS)[:, None]].mean(1), stacked[:, -1].mean())


def _rank_correlations(predicted: np.ndarray, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rank correlation in each of many samples of the rows, by the ranks in all of them."""
    from scipy.stats import rankdata

    if not np.isfinite(predicted).all() or np.ptp(predicted) == 0:
        return np.zeros(len(rows))
    a, b = (rankdata(values)[rows] for values in (predicted, y))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1)).clip(min=1e-12)


def _regrets(predicted: np.ndarray, y: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Best outcome minus that of the run predicted best, in standard deviations, in samples of the rows or all of them."""
    rows = np.arange(len(y))[None] if rows is None else rows
    picked = rows[np.arange(len(rows)), predicted[rows].argmax(1)]
    return (y[rows].max(1) - y[picked]) / y.std()


QUESTIONS.register(
    Question(
        "leaderboard",
        "Which method learns most from how many of these runs, on runs it has not seen.",
        "%causalmix leaderboard gp linear regmix --runs 64 128",
        lambda study, methods, outcome, runs, splits, seed: study.leaderboard(
            outcome, methods or None, runs or (64, 128, 256, None), n_splits=splits, random_state=seed
        ),
        (
            Argument(
                "methods", "what to compare (all of them)", words="*", metavar="METHOD", completes="method"
            ),
            OUTCOME,
            Argument(
                "--runs",
                "how many runs to learn from (64 128 256 and all)",
                "count",
                words="+",
                metavar="N",
            ),
            Argument("--splits", "how often runs are left out (3)", "count", 3, metavar="N"),
            SEED,
        ),
    )
)
