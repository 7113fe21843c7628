"""Who recommends what at a changed pool: every method by name, none with a new run.

What a method may use is a table of runs made earlier and, if it looks at a state at all, the state measured
at the changed pool. Methods that trained for themselves did so on the pool as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.benchmark.subject import Subject
from causalmix_nb.decide.baselines.baseline import Case, baseline_mixture
from causalmix_nb.decide.policy import optimize
from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.methods.fit import fit
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.outcomes import target_weights

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.estimate.model import Model
    from causalmix_nb.runs.store import Runs

STAY = 0.1  # total variation below which a mixture is the one it was: what smaller moves did was not detected
LEAVE = 0.25  # standard errors of its gain beyond which another mixture is worth leaving the old one for
OURS, EQUAL, NATURAL = "causalmix", "equal", "natural"
# method -> how it is fitted, what it does with the fit
ADAPTING: dict[str, tuple[dict[str, Any], str]] = {
    OURS: ({"method": "auto"}, "auto"),
    "CausalMix-A": ({"method": "forest"}, "analytic"),
    "CausalMix-S": ({"method": "forest"}, "search"),
    "S without orthogonalisation": ({"method": "forest", "orthogonalise": False}, "search"),
    "S without state": ({"method": "forest", "use_state": False}, "search"),
    "lightgbm": ({"method": "lightgbm"}, "search"),
}
FROM_RUNS = (*ADAPTING, "regmix", "law", "dmo")  # the others need runs of their own, or none
TRAINING = ("bayes", "grid", "doremi", "odm")
RIVALS = (*FROM_RUNS, *TRAINING, NATURAL, EQUAL)
LOGGED = (OURS, "CausalMix-S", "lightgbm", "regmix")  # learn from a history too


@dataclass(frozen=True, slots=True)
class Advice:
    """What a method says at one shift. gain, lower, upper: predicted over the mixture it would keep, NaN
    where it predicts none.
    """

    mixture: Mixture
    gain: float = float("nan")
    lower: float = float("nan")
    upper: float = float("nan")
    keeps: bool = False


def check_rivals(names: Sequence[str]) -> tuple[str, ...]:
    """The methods by name, ours always among them.

    Raises
    ------
    StudyError: an unknown one.
    """
    for name in names:
        if name not in RIVALS:
            raise StudyError(
                f"unknown method {name!r}.{did_you_mean(name, RIVALS)} Methods are {', '.join(RIVALS)}."
            )
    return tuple(name for name in RIVALS if name in names or name in (OURS, EQUAL))


def advise(
    study: Subject,
    runs: Runs,
    method: str,
    states: Mapping[str, pd.Series],
    source: pd.Series,
    outcome: str,
) -> dict[str, Advice]:
    """What a method that learns from runs recommends at every state, by the state's name.

    Ours, asked at a changed pool, is asked whether to leave the mixture that it recommends for the pool as it
    was. Both are those of the highest expectation, and it leaves if the move is larger than :data:`STAY` and
    its expected gain exceeds :data:`LEAVE` standard errors. More care was tried: marking mixtures down by
    half a standard error, which is right for one recommendation, counts the same doubt twice here and lost
    half of what could be won where a domain had been overwritten; waiting for an interval that excludes 0
    lost nine tenths where one had gone bad. The other methods have no such notion.
    """
    if method not in ADAPTING:
        mixture = _blind(study, runs, method, outcome)
        return {name: Advice(mixture) for name in states}
    options, policy = ADAPTING[method]
    model = fit(runs, outcome, graph=None if "use_state" in options else study.graph, **options)
    model.baseline = model.problem.equal
    if method != OURS:
        return {name: Advice(_ask(model, state, policy).mixture) for name, state in states.items()}
    kept = _ask(model, source, policy).mixture
    found = {}
    for name, state in states.items():
        best = _ask(model, state, policy, kept)
        moved = float(np.abs(best.mixture.to_array(model.domains) - kept.to_array(model.domains)).sum()) / 2
        keeps = moved < STAY or not best.gain > LEAVE * best.se
        found[name] = Advice(kept if keeps else best.mixture, best.gain, best.lower, best.upper, keeps)
    return found


def _ask(model: Model, state: pd.Series, policy: str, baseline: Mixture | None = None) -> Any:
    """Without caution, which is for one recommendation; only the surface's policy knows it."""
    known = state if model.problem.state_names else None
    return optimize(model, known, policy, baseline=baseline, caution=0.0)


def _blind(study: Subject, runs: Runs, method: str, outcome: str) -> Mixture:
    """The methods that look at mixtures and outcomes only."""
    corpus = study.files.need_corpus()
    weights = target_weights(corpus, study.files.target)
    return baseline_mixture(method, Case(runs, outcome, corpus.natural, weights))


def as_row(mixture: Mixture, domains: Sequence[str]) -> tuple[float, ...]:
    """Shares to four decimals, in order: what differs by less is the same run."""
    shares = np.round(mixture.to_array(domains), 4)
    shares[int(shares.argmax())] += 1 - shares.sum()
    return tuple(np.round(shares, 4).tolist())
