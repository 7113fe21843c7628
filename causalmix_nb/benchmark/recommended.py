"""What every method recommends at every shift, none with a new run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from causalmix_nb.benchmark.results import LEARNT_FROM_HISTORY
from causalmix_nb.benchmark.rivals import EQUAL, FROM_RUNS, LOGGED, NATURAL, OURS, Advice, advise, as_row
from causalmix_nb.benchmark.shifts import AS_IT_IS, Shift, history_states, logged_history
from causalmix_nb.benchmark.size import Size
from causalmix_nb.benchmark.subject import Subject
from causalmix_nb.benchmark.trials import Row, Trials
from causalmix_nb.decide.baselines.online import ONLINE
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.linear import fit_linear
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.outcomes import BPB
from causalmix_nb.proxies.state import flatten_state
from causalmix_nb.runs.store import Runs

if TYPE_CHECKING:
    import pandas as pd

HISTORY = "history_{}_{:g}_{:g}.sqlite"


@dataclass(slots=True)
class Recommended:
    """What was recommended, filled method by method.

    advice: shift -> method -> what it says. tokens: method -> training tokens behind it. refused: method ->
        why it could not be fitted.
    explained: design or history -> share of the mixture's variance that the state explains.
    """

    advice: dict[str, dict[str, Advice]]
    tokens: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    explained: dict[str, float] = field(default_factory=dict)

    def mixtures(self, domains: Sequence[str]) -> dict[str, dict[str, Row]]:
        """Shift -> method -> its mixture as it is trained."""
        return {
            shift: {name: as_row(advice.mixture, domains) for name, advice in given.items()}
            for shift, given in self.advice.items()
        }

    @property
    def ours(self) -> pd.DataFrame:
        """What ours predicts, indexed by shift: gain, lower, upper, keeps (the mixture of before)."""
        import pandas as pd

        given = {shift: by_method[OURS] for shift, by_method in self.advice.items()}
        return pd.DataFrame(
            [(a.gain, a.lower, a.upper, a.keeps) for a in given.values()],
            index=pd.Index(list(given), name="shift"),
            columns=["gain", "lower", "upper", "keeps"],
        )


def recommend(trials: Trials, size: Size, shifts: Sequence[Shift], methods: Sequence[str]) -> Recommended:
    """What the methods say, ours and Equal among them; the study has the runs of its design."""
    import pandas as pd

    study, found = trials.study, Recommended({shift.name: {} for shift in shifts})
    designed = [name for name in methods if name in FROM_RUNS]
    found.tokens |= {name: size.runs * trials.budget for name in designed}
    fixed = _fixed(trials, size, methods, found.tokens)
    states = {
        shift.name: pd.Series(flatten_state(study.measure_state(shift.perturbations))) for shift in shifts
    }
    _ask(found, trials, study.files.need_runs(), designed, states)
    for shift in shifts:
        found.advice[shift.name] |= {name: Advice(mixture) for name, mixture in fixed.items()}
    found.explained["design"] = _explained(study.files.need_runs(), study)
    if size.history:
        name = _train_history(trials, size)
        with study.files.store(name) as history:
            logged = [method for method in LOGGED if method in methods]
            _ask(found, trials, history, logged, states, LEARNT_FROM_HISTORY)
            found.explained["history"] = _explained(history, study)
    return found


def _ask(
    found: Recommended,
    trials: Trials,
    runs: Runs,
    methods: Sequence[str],
    states: Mapping[str, pd.Series],
    suffix: str = "",
) -> None:
    """Adds what methods say that learn from these runs; one that cannot be fitted is refused, but ours."""
    for method in methods:
        try:
            advice = advise(trials.study, runs, method, states, states[AS_IT_IS], trials.outcome)
        except FitError as error:
            if method == OURS:
                raise
            found.refused[method] = str(error)
            continue
        for shift, one in advice.items():
            found.advice[shift][method + suffix] = one


def _fixed(trials: Trials, size: Size, methods: Sequence[str], tokens: dict[str, int]) -> dict[str, Mixture]:
    """Mixtures that do not depend on the shift, from no run or from runs on the pool as it was."""
    study, found = trials.study, {}
    for name in methods:
        if name in ("bayes", "grid"):
            search = study.search(
                name, size.search, trials.outcome, trials.progress, trials.executor, trials.workers
            )
            found[name], tokens[name] = search.mixture, len(search.table) * trials.budget
        elif name in ONLINE:
            online = study.online(name, trials.progress)
            found[name], tokens[name] = online.mixture, online.tokens
    if NATURAL in methods:
        found[NATURAL] = study.files.need_corpus().natural
    return found | {EQUAL: Mixture.equal(trials.domains)}


def _train_history(trials: Trials, size: Size) -> str:
    """Trains runs of somebody who looked at the pool before choosing each mixture; the name of the store that
    has them.
    """
    study, n, seed = trials.study, size.history, trials.study.files.seed
    states = history_states(trials.domains, n, seed, study.available(), trials.budget)
    losses = {
        i: study.measure_state(perturbations)["loss"].to_dict()
        for i, perturbations in enumerate(states[: n // 2 + 1])
    }
    chosen = size.reaction, size.spread
    specs = logged_history(trials.domains, losses, states, n, trials.budget, seed, *chosen)
    # People compare a pool with all those that they saw, so a longer history is another one.
    name = HISTORY.format(n, *chosen)
    trials.outcomes(specs, name, "history")
    return name


def _explained(runs: Runs, study: Subject) -> float:
    """Share of the mixture's variance that the state explains: about 0 in a design, not in a history."""
    problem = Problem.from_runs(runs, BPB, study.graph)
    return float(fit_linear(problem, n_repeats=1).diagnostics["treatment_r2"])
