"""The pool-shift experiment: learn from runs once, change the pool, recommend without a new run, and prove it by training there.

Every training is a run with a content key in a store of the study, made by the study's own launch: stopped at any moment, the same call
goes on where it was. Direct search at each shift says what could be won at all; it is given every method's mixture to begin with, and
what it ends with is chosen on seeds of its own, so that the best is not the luckiest. See :mod:`causalmix_nb.benchmark.results` for what is
reported.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.benchmark.results import BEST, KEPT, LEARNT_FROM_HISTORY, REFERENCES, PoolShift
from causalmix_nb.benchmark.rivals import (
    EQUAL,
    FROM_RUNS,
    LOGGED,
    NATURAL,
    OURS,
    RIVALS,
    Advice,
    advise,
    as_row,
    check_rivals,
)
from causalmix_nb.benchmark.shifts import (
    AS_IT_IS,
    LARGER,
    REACTION,
    SPREAD,
    Shift,
    chosen_shifts,
    history_states,
    logged_history,
    pool_shifts,
)
from causalmix_nb.decide.search import likeliest_best, next_mixtures
from causalmix_nb.design.simplex import RunSpec, sample_mixtures
from causalmix_nb.errors import FitError, StudyError
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.config import DATA
from causalmix_nb.proxies.outcomes import BPB, outcome_directions, target_weights
from causalmix_nb.proxies.state import flatten_state
from causalmix_nb.runs.store import Runs

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.launch.launch import OnProgress
    from causalmix_nb.study.study import Study

STORE, HISTORY, LARGER_STUDY = "shifts.sqlite", "history_{}_{:g}_{:g}.sqlite", "larger"
SEARCH_SEED, FINAL_SEED, TRAIN_SEED = 4_000_003, 5_000_003, 3_000_003


@dataclass(frozen=True, slots=True)
class Size:
    """How large an experiment is, in runs.

    runs: of the design. history: runs whose mixture somebody chose; 0 leaves that part out. seeds: paired, of every method at every shift.
    first, rounds, batch: of the direct search at each shift, besides the methods' mixtures. finalists: mixtures of it that are trained
    again, with ``again`` seeds each. search: runs of grid and Bayesian optimisation as methods. reaction, spread: of the history, as in
    :func:`causalmix_nb.benchmark.shifts.logged_history`.
    """

    runs: int = 256
    history: int = 256
    seeds: int = 8
    first: int = 6
    rounds: int = 2
    batch: int = 6
    finalists: int = 3
    again: int = 2
    search: int = 40
    reaction: float = REACTION
    spread: float = SPREAD


FULL = Size()
QUICK = Size(24, 24, 3, 5, 1, 2, 2, 1, 12)


def pool_shift(
    study: Study,
    size: Size = FULL,
    shifts: Sequence[str] | None = None,
    methods: Sequence[str] = RIVALS,
    executor: str = "local",
    workers: int | None = None,
    progress: OnProgress | None = None,
) -> PoolShift:
    """Run the experiment in a study's folder, or go on with it.

    Parameters
    ----------
    study: of a pool; its runs are made if they are not there, with the tokens a run of it has.
    shifts: names, as in :func:`causalmix_nb.benchmark.shifts.pool_shifts`; None means all. The pool as it is is always among them.
    methods: names, as in ``causalmix_nb.benchmark.rivals.RIVALS``; ours and Equal are always among them.

    Raises
    ------
    StudyError: an unknown shift or method, a study of imported runs, or an interrupt; the same call then goes on.
    """
    bench = _Bench(study, size, executor, workers, progress)
    return bench.run(shifts, check_rivals(methods))


def prove(
    study: Study,
    recommended: pd.DataFrame,
    promised: pd.DataFrame,
    shifts: Sequence[Shift],
    tokens: Mapping[str, int] | None = None,
    size: Size = FULL,
    executor: str = "local",
    workers: int | None = None,
    progress: OnProgress | None = None,
) -> PoolShift:
    """Train on this study what was recommended with the runs of another one of the same domains: does it hold for a larger model?

    Parameters
    ----------
    recommended, promised, tokens: ``mixtures``, ``advice`` and ``tokens`` of the :class:`PoolShift` of that study; its references and what
        it learnt from a history are left out, and the best mixtures are searched for anew, by training on this study.
    shifts: where to train, with the pool as it is.

    Raises
    ------
    StudyError: domains that are not those of the study, shifts without the pool as it is, one without a recommendation, or an interrupt;
        the same call then goes on.
    """
    if AS_IT_IS not in [shift.name for shift in shifts]:
        raise StudyError(f"the shifts lack {AS_IT_IS!r}, which the others are compared with; add it.")
    bench = _Bench(study, size, executor, workers, progress)
    if set(recommended.columns) != set(bench.domains):
        raise StudyError(
            f"the mixtures are over {', '.join(recommended.columns)}; the study has {', '.join(bench.domains)}."
        )
    mixtures: dict[str, dict[str, tuple[float, ...]]] = {}
    for shift in shifts:
        if shift.name not in recommended.index.get_level_values(0):
            raise StudyError(f"nothing was recommended for the shift {shift.name!r}; leave it out.")
        rows = recommended.loc[shift.name, list(bench.domains)]
        mixtures[shift.name] = {
            str(name): bench._row(row)
            for name, row in zip(rows.index, rows.to_numpy(float))
            if name not in REFERENCES and not str(name).endswith(LEARNT_FROM_HISTORY)
        }
    return bench.prove(shifts, mixtures, promised.loc[[s.name for s in shifts]], dict(tokens or {}))


class Benchmark:
    """The half of a :class:`causalmix_nb.study.study.Study` that puts it to the test."""

    def benchmark(
        self,
        size: Size = FULL,
        shifts: Sequence[str] | None = None,
        methods: Sequence[str] = RIVALS,
        executor: str = "local",
        workers: int | None = None,
        progress: OnProgress | None = None,
    ) -> PoolShift:
        """Does the mixture that was learnt once survive a change of the pool? :func:`pool_shift` on this study."""
        return pool_shift(self, size, shifts, methods, executor, workers, progress)  # type: ignore[arg-type]


class _Bench:
    """One experiment under way."""

    def __init__(
        self, study: Study, size: Size, executor: str, workers: int | None, progress: OnProgress | None
    ) -> None:
        self.study, self.size = study, size
        self.executor, self.workers, self.progress = executor, workers, progress
        self.corpus = study._need_corpus()
        self.domains = self.corpus.domains
        self.budget = study._budget()
        self.outcome, self.minimize = BPB, outcome_directions(self.corpus)[BPB]
        self.larger: Study | None = None
        self.refused: dict[str, str] = {}

    def run(self, names: Sequence[str] | None, methods: tuple[str, ...]) -> PoolShift:
        import pandas as pd

        study, size = self.study, self.size
        weights = dict.fromkeys(self.domains, 0.0) | target_weights(self.corpus, study._meta["target"])
        shifts = chosen_shifts(pool_shifts(weights, study.available(), self.budget), names)
        self._finish(study.run(size.runs, self.budget, self.executor, self.workers, True, self.progress))
        tokens = {name: size.runs * self.budget for name in methods if name in FROM_RUNS}
        fixed = self._fixed(methods, tokens)
        states = {shift.name: self._state(shift) for shift in shifts}
        advice = self._advice(study._need_runs(), [m for m in methods if m in FROM_RUNS], states)
        for shift in shifts:
            advice[shift.name] |= {name: Advice(mixture) for name, mixture in fixed.items()}
        history = self._history() if size.history else None
        if history is not None:
            learnt = self._advice(history, [m for m in LOGGED if m in methods], states)
            for shift in shifts:
                advice[shift.name] |= {
                    name + LEARNT_FROM_HISTORY: a for name, a in learnt[shift.name].items()
                }
        mixtures = {
            shift.name: {name: as_row(a.mixture, self.domains) for name, a in advice[shift.name].items()}
            for shift in shifts
        }
        ours = {shift: said[OURS] for shift, said in advice.items()}
        promised = pd.DataFrame(
            [(a.gain, a.lower, a.upper, a.keeps) for a in ours.values()],
            index=pd.Index(list(ours), name="shift"),
            columns=["gain", "lower", "upper", "keeps"],
        )
        explained = {"design": _explained(study._need_runs(), study)}
        if history is not None:
            explained["history"] = _explained(history, study)
            history.close()
        return self.prove(shifts, mixtures, promised, tokens, explained)

    def prove(
        self,
        shifts: Sequence[Shift],
        mixtures: dict[str, dict[str, tuple[float, ...]]],
        promised: pd.DataFrame,
        tokens: dict[str, int],
        explained: Mapping[str, float] | None = None,
    ) -> PoolShift:
        """What could be won at every shift, by direct search, and what every method's mixture is worth there."""
        import pandas as pd

        self._search(shifts, mixtures)
        tokens[KEPT] = self._search_tokens(len(mixtures[AS_IT_IS]) - 2)
        outcomes = self._train(shifts, mixtures)
        index = [(s.name, name) for s in shifts for name in mixtures[s.name]]
        table = pd.DataFrame(
            [mixtures[s][name] for s, name in index],
            index=pd.MultiIndex.from_tuples(index, names=["shift", "method"]),
            columns=list(self.domains),
        )
        return PoolShift(
            outcomes, table, promised, tuple(shifts), tokens, self.outcome, self.minimize,
            explained or {}, self.refused,
        )  # fmt: skip

    # -- who says what -------------------------------------------------------------------------------------

    def _fixed(self, methods: Sequence[str], tokens: dict[str, int]) -> dict[str, Mixture]:
        """Mixtures that do not depend on the shift: no run, or runs on the pool as it was."""
        study, given = self.study, (self.executor, self.workers)
        found: dict[str, Mixture] = {}
        for name in methods:
            if name in ("bayes", "grid"):
                search = study.search(name, self.size.search, self.outcome, self.progress, *given)
                found[name], tokens[name] = search.mixture, len(search.table) * self.budget
            elif name in ("doremi", "odm"):
                online = study.online(name, self.progress)
                found[name], tokens[name] = online.mixture, online.tokens
        if NATURAL in methods:
            found[NATURAL] = self.corpus.natural
        return found | {EQUAL: Mixture.equal(self.domains)}

    def _state(self, shift: Shift) -> pd.Series:
        import pandas as pd

        return pd.Series(flatten_state(self.study.measure_state(shift.tilts)))

    def _advice(
        self, runs: Runs, methods: Sequence[str], states: Mapping[str, pd.Series]
    ) -> dict[str, dict[str, Advice]]:
        """Shift -> method -> what it says."""
        by_method = {}
        for name in methods:
            try:
                by_method[name] = advise(self.study, runs, name, states, states[AS_IT_IS], self.outcome)
            except FitError as refused:
                if name == OURS:
                    raise
                self.refused[name] = str(refused)
        return {shift: {name: said[shift] for name, said in by_method.items()} for shift in states}

    def _history(self) -> Runs:
        """Runs that somebody made who looked at the pool first."""
        study, size, n = self.study, self.size, self.size.history
        states = history_states(self.domains, n, study.seed, study.available(), self.budget)
        losses = {
            i: study.measure_state(tilts)["loss"].to_dict() for i, tilts in enumerate(states[: n // 2 + 1])
        }
        chosen = size.reaction, size.spread
        specs = logged_history(self.domains, losses, states, n, self.budget, study.seed, *chosen)
        # People compare a pool with all those that they saw, so a longer history is another one.
        name = HISTORY.format(n, *chosen)
        store = Runs.open(study._need_folder() / name, create=True)
        store.declare_outcomes(outcome_directions(self.corpus))
        self._launch(study, specs, store, "history")
        return store

    # -- training ------------------------------------------------------------------------------------------

    def _launch(self, study: Study, specs: Sequence[RunSpec], store: Runs, stage: str) -> np.ndarray:
        """Outcomes (n,) of runs, trained if they are not there; NaN where one failed."""
        if not specs:
            return np.zeros(0)
        try:
            self._finish(study._launch(specs, store, self.executor, self.workers, self.progress, stage))
        finally:
            self.study._meta["token_budget"] = (
                self.budget
            )  # what a launch with other tokens would have changed
            self.study._save()
        found = store.frame.set_index("key")[f"outcome.{self.outcome}"]
        return found.reindex([spec.key(study._context) for spec in specs]).to_numpy(dtype=float)

    def _finish(self, report: Any) -> None:
        if report.interrupted:
            raise StudyError("the experiment was interrupted; the same call goes on with it.")

    def _at(self, jobs: Sequence[tuple[Shift, tuple[float, ...], int]], stage: str) -> np.ndarray:
        """Outcomes of (shift, mixture, seed), whatever the size of their proxies."""
        specs = [
            RunSpec(row, round(self.budget * shift.budget), shift.tilts, self.study.seed, seed, stage)
            for shift, row, seed in jobs
        ]
        found = np.full(len(jobs), np.nan)
        for larger in (False, True):
            rows = [i for i, (shift, *_) in enumerate(jobs) if shift.larger is larger]
            if not rows:
                continue
            study = self._larger() if larger else self.study
            store = Runs.open(study._need_folder() / STORE, create=True)
            try:
                store.declare_outcomes(outcome_directions(self.corpus))
                for budget in sorted({specs[i].token_budget for i in rows}, reverse=True):
                    some = [i for i in rows if specs[i].token_budget == budget]
                    found[some] = self._launch(study, [specs[i] for i in some], store, stage)
            finally:
                store.close()
        return found

    def _larger(self) -> Study:
        """A study of the same corpus with larger proxies, in a folder of its own."""
        if self.larger is None:
            self.larger = larger_study(self.study)
        return self.larger

    def _search_tokens(self, n_methods: int) -> int:
        size = self.size
        return (n_methods + size.first + size.rounds * size.batch + size.finalists * size.again) * self.budget

    def _search(self, shifts: Sequence[Shift], mixtures: dict[str, dict[str, tuple[float, ...]]]) -> None:
        """Adds the best found at every shift, and the best before; all shifts search side by side, a batch at a time."""
        size, K = self.size, len(self.domains)
        first = [
            tuple(row) for row in sample_mixtures(K + 1 + size.first, K, self.study.seed)[K + 1 :].round(4)
        ]
        tried = {
            s.name: list(dict.fromkeys([*_starts(mixtures[s.name]), *map(self._row, first)])) for s in shifts
        }
        scored: dict[str, np.ndarray] = {s.name: np.zeros(0) for s in shifts}
        rngs = {s.name: np.random.default_rng([self.study.seed, 13, s.seed]) for s in shifts}
        for turn in range(size.rounds + 1):
            jobs = [
                (s, row, _searching_seed(s, row))
                for s in shifts
                for i, row in enumerate(tried[s.name])
                if i >= len(scored[s.name])
            ]
            values = self._at(jobs, "direct search")
            for s in shifts:
                mine = [i for i, (shift, *_) in enumerate(jobs) if shift is s]
                scored[s.name] = np.append(scored[s.name], values[mine])
            if turn < size.rounds:
                for s in shifts:
                    T, y = np.array(tried[s.name]), scored[s.name]
                    fresh = next_mixtures(self.domains, T, y, self.minimize, size.batch, rngs[s.name])
                    tried[s.name] += [self._row(row) for row in fresh]
        finals = {
            s.name: [
                self._row(row)
                for row in likeliest_best(
                    self.domains,
                    np.array(tried[s.name]),
                    scored[s.name],
                    self.minimize,
                    size.finalists,
                    rngs[s.name],
                )
            ]
            for s in shifts
        }
        jobs = [
            (s, row, FINAL_SEED + s.seed + j)
            for s in shifts
            for row in finals[s.name]
            for j in range(size.again)
        ]
        values = self._at(jobs, "finalists")
        sign = -1.0 if self.minimize else 1.0
        for s in shifts:
            mine = [i for i, (shift, *_) in enumerate(jobs) if shift is s]
            means = sign * np.nan_to_num(values[mine], nan=-sign * np.inf).reshape(-1, size.again).mean(1)
            mixtures[s.name][BEST] = finals[s.name][int(means.argmax())]
        for s in shifts:
            mixtures[s.name][KEPT] = mixtures[AS_IT_IS][BEST]

    def _row(self, shares: Sequence[float] | np.ndarray) -> tuple[float, ...]:
        return as_row(Mixture(dict(zip(self.domains, map(float, shares))), normalise=True), self.domains)

    def _train(
        self, shifts: Sequence[Shift], mixtures: Mapping[str, Mapping[str, tuple[float, ...]]]
    ) -> pd.DataFrame:
        """Every method's mixture with paired seeds at every shift."""
        import pandas as pd

        rows = [
            (shift, name, j)
            for shift in shifts
            for name in mixtures[shift.name]
            for j in range(self.size.seeds)
        ]
        jobs = [(s, mixtures[s.name][name], TRAIN_SEED + s.seed + j) for s, name, j in rows]
        values = self._at(jobs, "proof by training")
        return pd.DataFrame(
            [(s.name, name, j, y) for (s, name, j), y in zip(rows, values)],
            columns=["shift", "method", "seed", "outcome"],
        )


def _starts(mixtures: Mapping[str, tuple[float, ...]]) -> list[tuple[float, ...]]:
    """What a direct search begins with: every method's mixture, but those learnt from a history, so that it is the same without one."""
    return [row for name, row in mixtures.items() if not name.endswith(LEARNT_FROM_HISTORY)]


def _searching_seed(shift: Shift, row: tuple[float, ...]) -> int:
    """Of a search: decided by what is tried, so that the order does not matter; never one that methods are compared with."""
    return SEARCH_SEED + shift.seed + zlib.crc32(repr(row).encode()) % 1000


def _explained(runs: Runs, study: Study) -> float:
    """Share of the mixture's variance that the state explains: about 0 in a design, not in a history."""
    from causalmix_nb.estimate.problem import Problem
    from causalmix_nb.methods.effects import fit_linear

    problem = Problem.from_runs(runs, BPB, study.graph)
    return float(fit_linear(problem, n_repeats=1).diagnostics["treatment_r2"])


def larger_study(study: Study, times: float = LARGER) -> Study:
    """A study of the same tokens with proxies of about ``times`` as many parameters; its base proxy is trained when it is needed."""
    folder = study._need_folder() / LARGER_STUDY
    config = study.config
    if not config.resizable:
        raise StudyError(
            "a larger proxy is made of the package's own only; leave the shift 'larger proxy' out with --shifts."
        )
    if not (folder / DATA / "corpus.json").exists():
        shutil.copytree(study._need_folder() / DATA, folder / DATA, dirs_exist_ok=True)
    meta = {**study._meta, "config": config.enlarged(times).to_dict()}
    made = type(study)(folder, meta, study.corpus, Runs.open(folder / "runs.sqlite", create=True))
    made._save()
    return made
