"""The audit before the answer: can these runs support a causal estimate, and how small a gain can they detect?

Everything here is read off the runs and the graph before the careful surface is fitted: whether the state decided the mixture, whether
the mixtures moved in all directions, whether states are told apart, how noisy one run is and what that hides, which runs do not
fit the others and how much of the answer depends on single ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.answers.overlap import overlap
from causalmix_nb.answers.question import OUTCOME, QUESTIONS, SEED, Question
from causalmix_nb.decide.influence import Influence, influence, keys_of
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.folds import pure_error
from causalmix_nb.estimate.nuisances import (
    RANDOMISED,
    assignment_sentence,
    coordinates_of,
    learn_nuisance,
    not_identified,
    split_folds,
    state_and_scale,
)
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.support import Support
from causalmix_nb.estimate.warp import TRUSTED, moments
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.finding import Finding
from causalmix_nb.methods.fit import SEEDS
from causalmix_nb.mixture import log_mixture

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

GOOD, WARN, BAD = "fine", "warning", "stop"
POWER = 2.8  # 1.96 + 0.84: standard errors of a difference that a test at 5 % detects with a power of 80 %
PAIRS = 1000  # of a mixture and a state that are looked up among the runs
APART = 0.25  # part of such pairs outside what the runs cover that is worth a warning
COLLINEAR = 30.0  # condition number of the standardised state from which its columns are not told apart (Belsley et al. 1980)


@dataclass(frozen=True, slots=True)
class Audit(Finding):
    """What the runs can and cannot say, question by question.

    table: by question: ``answer`` (a sentence), ``figure`` (the number behind it, NaN where there is none), ``verdict``: "fine",
    "warning" or "stop". treatment_r2, noise_sd, smallest_gain: NaN where they cannot be known. notes: what was left out.
    runs: the runs that do not fit the others and the three on which the answer hangs most; see :class:`Influence`.
    """

    table: pd.DataFrame
    outcome: str
    n_runs: int
    treatment_r2: float
    noise_sd: float
    smallest_gain: float
    notes: tuple[str, ...]
    runs: pd.DataFrame | None = None

    @property
    def verdict(self) -> str:
        """The worst of the answers, in words."""
        stop = self.table[self.table["verdict"] == BAD]
        warned = self.table[self.table["verdict"] == WARN]
        if len(stop):
            return f"these runs cannot support a causal estimate yet: {stop['answer'].iloc[0]}"
        if len(warned):
            return (
                f"these runs can support a causal estimate, with warnings in {len(warned)} of {len(self.table)} checks: "
                f"{warned['answer'].iloc[0]}"
            )
        return f"these runs can support a causal estimate: none of the {len(self.table)} checks warns"

    @property
    def title(self) -> str:
        return f"Can these runs support a causal estimate? {self.n_runs} runs, outcome {self.outcome}"

    @property
    def sentences(self) -> tuple[str, ...]:
        sentences = [f"{question} {answer}" for question, answer in self.table["answer"].items()]
        return (self.verdict, *sentences, *self.notes)

    @property
    def shown(self) -> pd.DataFrame:
        """The table without the answers, which the sentences give in full."""
        return self.table[["figure", "verdict"]]


def audit(
    runs: Runs, outcome: str | None = None, graph: CausalGraph | None = None, random_state: int = 0
) -> Audit:
    """Check runs before they are fitted.

    Parameters
    ----------
    runs, outcome: as for :func:`causalmix_nb.methods.fit.fit`.
    graph: decides what there is to adjust for; None means that nothing is known of it.

    Raises
    ------
    FitError: unknown or constant outcome, no finished run, one domain. GraphError: an effect that the graph does not identify.
    """
    import pandas as pd

    problem = Problem.from_runs(runs, outcome, graph)
    rows = [_adjustment(problem, graph)]
    r2, assigned = _assignment(problem, random_state)
    noise, smallest, seen = _noise(problem)
    rows += [assigned, _enough(problem), _directions(problem), _states(problem), _support(problem), *seen]
    hanging = influence(problem, keys_of(runs, problem), random_state)
    rows += [_misfits(hanging), _single_runs(hanging)]
    table = pd.DataFrame(rows, columns=["question", "answer", "figure", "verdict"]).set_index("question")
    return Audit(table, problem.outcome, problem.n_runs, r2, noise, smallest, problem.notes, hanging.table)


Row = tuple[str, str, float, str]


def _adjustment(problem: Problem, graph: CausalGraph | None) -> Row:
    question = "is adjustment needed?"
    if graph is None:
        return (
            question,
            "no graph was given, so every recorded state is adjusted for: give one with %causalmix dag",
            math.nan,
            WARN,
        )
    if not problem.adjustment:
        return (
            question,
            "the graph asks for no adjustment: nothing in it causes both mixture and outcome",
            0.0,
            GOOD,
        )
    wanted = ", ".join(problem.adjustment)
    return (
        question,
        f"the graph asks to adjust for {wanted}, which the runs record",
        float(len(problem.adjustment)),
        GOOD,
    )


def _assignment(problem: Problem, seed: int) -> tuple[float, Row]:
    question = "was the mixture randomised?"
    W = state_and_scale(problem)
    if not W.shape[1]:
        answer = "unknown: no state is recorded; the mixture is assumed randomised"
        return math.nan, (question, answer, math.nan, WARN)
    L = log_mixture(problem.T)
    L = L - L.mean(1, keepdims=True)
    splits = [split_folds(problem.groups, 5, np.random.default_rng(seed))]
    r2 = learn_nuisance(W, L, splits, seed).r2
    verdict = GOOD if r2 < 0.5 else WARN if r2 < 0.95 else BAD
    answer = assignment_sentence(r2, True)
    if r2 >= RANDOMISED:
        answer += "; double machine learning adjusts for the recorded state, not for an unobserved confounder"
    return r2, (question, answer, r2, verdict)


def _enough(problem: Problem) -> Row:
    distinct, K = len(np.unique(problem.groups)), len(problem.moving_domains)
    per = distinct / max(K - 1, 1)
    answer = f"{distinct} different runs for {K - 1} directions of the mixture, {per:.1f} each"
    verdict = GOOD if per >= 8 else WARN if per >= 2 else BAD
    return (
        "are there enough runs?",
        answer + ("" if verdict == GOOD else "; 8 each are comfortable"),
        per,
        verdict,
    )


def _directions(problem: Problem) -> Row:
    question = "did the mixtures move in every direction?"
    try:
        coordinates = coordinates_of(problem, "ilr")
    except FitError as refused:
        return (question, str(refused), math.nan, BAD)
    Z = coordinates.z(problem.T)
    s = np.linalg.svd(Z - Z.mean(0), compute_uv=False)
    condition = float(s[0] / s[-1]) if s[-1] > 0 else math.inf
    missing = not_identified(problem, coordinates)
    if missing:
        return (question, "; ".join(missing), condition, WARN)
    if condition > COLLINEAR:
        return (
            question,
            f"hardly in some: the widest is {condition:.0f} times the narrowest",
            condition,
            WARN,
        )
    return (question, f"yes: the widest direction is {condition:.1f} times the narrowest", condition, GOOD)


def _states(problem: Problem) -> Row:
    question, X = "can the states be told apart?", problem.X
    if not X.shape[1]:
        return (question, "no state is used", math.nan, GOOD)
    standard = (X - X.mean(0)) / X.std(0)
    _, s, Vt = np.linalg.svd(standard, full_matrices=False)
    condition = float(s[0] / s[-1]) if s[-1] > 1e-12 * s[0] else math.inf
    if condition <= COLLINEAR:
        return (question, f"yes: condition number {condition:.1f} over {X.shape[1]} columns", condition, GOOD)
    tied = [name for name, weight in zip(problem.state_names, Vt[-1]) if abs(weight) > 0.3]
    answer = (
        f"{', '.join(tied)} move together, so their parts cannot be told apart; predictions are not affected"
    )
    return (question, answer, condition, WARN)


def _support(problem: Problem) -> Row:
    share = overlap(problem).covered[0]
    verdict = GOOD if share >= 0.5 else WARN
    answer = f"{share:.0%} of all mixtures lie where runs are; a recommendation stays inside"
    if problem.X.shape[1] and (elsewhere := _tried_elsewhere(problem)) > APART:
        answer += f", but {elsewhere:.0%} of them, paired with another run's state, were tried at other states only: an effect there is extrapolated"
        verdict = WARN
    return ("do the runs cover the mixtures?", answer, share, verdict)


def _tried_elsewhere(problem: Problem) -> float:
    """Part of pairs of a run's mixture with another run's state that lies outside what the runs cover; about 0.05 if mixtures were drawn."""
    rng, n = np.random.default_rng(0), problem.n_runs
    rows, others = rng.integers(n, size=PAIRS), rng.integers(n, size=PAIRS)
    return float(np.mean(Support(problem).distance(problem.T[rows], state_and_scale(problem)[others]) > 1))


def _noise(problem: Problem) -> tuple[float, float, list[Row]]:
    """Noise of one run, the gain that a comparison by training detects with 80 % power, and what both mean."""
    problem = weighed(problem)
    noise, df = pure_error(problem)
    question = "how noisy is one run?"
    if df < 3:
        answer = "too few runs are repeated with other seeds to know; repeat some mixtures"
        return math.nan, math.nan, [(question, answer, math.nan, WARN)]
    ratio = noise / moments(problem.y, problem.trust)[1]
    smallest = POWER * noise * math.sqrt(2 / SEEDS)
    answer = f"its standard deviation is {noise:.3g}, {ratio:.0%} of what the runs differ by ({df} degrees of freedom)"
    verdict = GOOD if ratio < 0.5 else WARN if ratio < 0.9 else BAD
    hidden = f"{smallest:.3g} in a comparison with {SEEDS} seeds each; a smaller one will probably not be significant"
    rows = [
        (question, answer, noise, verdict),
        ("what is the minimum detectable gain (80 % power)?", hidden, smallest, GOOD),
    ]
    return noise, smallest, rows


NAMED = 4  # runs that a sentence names
MOVED = 0.15  # share of the tokens that leaving one run out may move before it is worth a warning


def _misfits(found: Influence) -> Row:
    question, wild = "does every run fit the others?", found.table[found.table["weight"] < TRUSTED]
    if not len(wild):
        return (question, "yes: no run is further off than noise explains", 0.0, GOOD)
    named = [
        f"{key} ({row.observed:.4g} where {row.expected:.4g} is expected, {abs(row.off):.0f} standard deviations off)"
        for key, row in zip(wild.index[:NAMED], wild.itertuples())
    ]
    more = f" and {len(wild) - NAMED} more" if len(wild) > NAMED else ""
    plural = len(wild) > 1
    answer = (
        f"no: run{'s' * plural} {', '.join(named)}{more} {'do' if plural else 'does'} not fit and count{'s' * (not plural)} for little. "
        f"Best of a quick look: {found.weighed}; without {'them' if plural else 'it'} {found.without}; "
        f"counted in full {found.in_full}. Look at the log{'s' * plural} before you trust or drop {'them' if plural else 'it'}"
    )
    return (question, answer, float(len(wild)), WARN)


def _single_runs(found: Influence) -> Row:
    top = found.table.sort_values("moved", ascending=False, kind="stable").iloc[:3]
    worst = float(top["moved"].iloc[0])
    named = ", ".join(f"{key} {moved:.0%}" for key, moved in top["moved"].items())
    answer = f"leaving out one run moves at most {worst:.0%} of the tokens of a quick recommendation: {named}"
    return ("how much depends on single runs?", answer, worst, GOOD if worst <= MOVED else WARN)


QUESTIONS.register(
    Question(
        "check",
        "Can these runs support a causal estimate, and how small a gain can they detect?",
        "%causalmix check",
        lambda study, outcome, seed: study.check(outcome, random_state=seed),
        (OUTCOME, SEED),
    )
)
