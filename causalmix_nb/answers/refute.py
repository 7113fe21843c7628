"""Does an effect survive attempts to break it? Placebos, dummy outcomes, negative controls, noise, subsets, clusters, a hidden cause.

None of these proves an effect. A placebo that works as well as the mixture, a test that finds effects of nothing, an effect on an outcome that
the mixture cannot cause, a covariate of pure noise that moves the estimate, a subset or a left-out cluster that disagrees would show it to be wrong;
and the last question says how strong a cause that nobody recorded would have to be: none of the others can see one, but for a
negative control. The effect in question is the marginal return that stands out most, of the model that ``effect`` and ``do`` show.

References: D. Freedman, D. Lane, *A nonstochastic interpretation of reported significance levels*, 1983 (placebo); M. Lipsitch and others,
*Negative controls*, 2010; A. Sharma, E. Kıcıman, *DoWhy*, 2020 (refuters); C. Cinelli, C. Hazlett, *Making sense of sensitivity*, 2020
(robustness value, bounds by observed covariates); T. VanderWeele, P. Ding, *Sensitivity analysis in observational research*,
2017 (E-value).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.answers.question import OUTCOME, QUESTIONS, SEED, Argument, Question
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.placebos import Residuals
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.warp import moments
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.finding import Finding
from causalmix_nb.methods.fit import fit_quickly
from causalmix_nb.methods.linear import fit_linear
from causalmix_nb.plots.checks import hidden_cause

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

KEPT = 0.8  # part of the runs in a subset
LEVEL = 0.05  # of a test
CHEAP = 400  # runs up to which as many subsets are fitted as were asked for
CLUSTER = "cluster"  # the column of the table of runs that says which runs belong together
STANDS, FAILS, UNSURE = "stands", "fails", "cannot tell"


@dataclass(frozen=True, slots=True)
class Refutation(Finding):
    """What became of an effect under each attempt to refute it.

    table: by attempt: ``done``, ``expected``, ``found`` (sentences), ``verdict`` ("stands", "fails" or "cannot tell").
    domain, estimate, se: the effect in question, outcome units per unit of log share. placebo: joint statistic of the
    marginal returns under each permuted mixture; actual: the same for the mixture as it was. robustness: part of the variance of
    mixture and of outcome, beyond the state, that a hidden cause would have to explain to explain the effect away;
    robustness_95: to make it indistinguishable from 0. strength: the effect that hidden causes would leave. e_value: the same as
    a ratio of risks.
    """

    table: pd.DataFrame
    outcome: str
    domain: str
    estimate: float
    se: float
    placebo: np.ndarray
    actual: float
    robustness: float
    robustness_95: float
    strength: pd.DataFrame
    e_value: float

    @property
    def title(self) -> str:
        return f"Attempts to refute the effect of {self.domain} on {self.outcome}"

    @property
    def sentences(self) -> tuple[str, ...]:
        fails = [str(name) for name in self.table.index[self.table["verdict"] == FAILS]]
        unsure = [str(name) for name in self.table.index[self.table["verdict"] == UNSURE]]
        if fails:
            first = f"the effect does not survive: {', '.join(fails)}"
        elif unsure:
            first = f"no attempt refutes the effect, but {', '.join(unsure)} cannot tell"
        else:
            first = "the effect stands under every attempt"
        return (first, *(f"{name}: {found}" for name, found in self.table["found"].items()), self.unseen)

    @property
    def unseen(self) -> str:
        """What none of the attempts can see."""
        if "negative control" in self.table.index:
            return "a common cause that nobody recorded and that leaves the negative control alone would pass every attempt"
        return (
            "none of these attempts can see a common cause of mixture and outcome that nobody recorded: only mixtures drawn at random, "
            "or an outcome in the graph that the mixture does not cause (a negative control), would show it"
        )

    @property
    def shown(self) -> pd.DataFrame:
        """The table without what the sentences say."""
        return self.table[["done", "expected", "verdict"]]

    def figure(self) -> Figure:
        return hidden_cause(self.strength, self.robustness, self.outcome)


def refute(
    runs: Runs,
    outcome: str | None = None,
    graph: CausalGraph | None = None,
    n_repeats: int = 20,
    random_state: int = 0,
    use_state: bool = True,
    model: Model | None = None,
) -> Refutation:
    """Try to refute what a model says of a mixture.

    Parameters
    ----------
    runs, outcome, graph, use_state: as for :func:`causalmix_nb.methods.fit.fit`.
    model: the model whose effect is in question, fitted on these runs; None fits the linear method. Its effect at its own state and
        baseline is what :func:`causalmix_nb.answers.effects.effects_table` shows.
    n_repeats: placebo mixtures and subsets that are tried, at least 5; with 20 the smallest p-value is 1 / 21.

    Raises
    ------
    FitError: fewer than 5 repeats, or runs that do not carry the linear method.
    """
    import pandas as pd

    if n_repeats < 5:
        raise FitError(f"{n_repeats} repeats give no null distribution; take at least 5, better 20.")
    if n_repeats > 10_000:
        raise FitError(f"{n_repeats} repeats would never end; take at most 10,000, 20 is usual.")
    problem = Problem.from_runs(runs, outcome, graph, use_state) if model is None else model.problem
    rng = np.random.default_rng(random_state)
    shown = _Shown(problem, "linear") if model is None else _Shown(problem, model.method, model)
    estimate, cov = shown.effects(shown.model)
    se = np.sqrt(np.maximum(np.diag(cov), 1e-300))
    k = int(np.abs(estimate / se).argmax())
    residuals = Residuals.of(problem, random_state)
    actual, placebo = residuals.placebos(n_repeats, rng)
    robust, robust_95, strength, e_value, hidden = _hidden(shown.model, problem, estimate[k], se[k])
    rows = {
        "placebo mixture": _placebo(actual, placebo),
        "dummy outcome": _dummy(residuals.dummies(n_repeats, rng)),
        **_controls(runs, problem, graph, residuals),
        "random common cause": _random_cause(shown, problem, estimate[k], se[k], k, rng),
        "subsets": _subsets(shown, problem, estimate[k], se[k], k, n_repeats, rng),
        **_clusters(shown, runs, problem, estimate[k], se[k], k),
        "hidden cause": hidden,
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["done", "expected", "found", "verdict"])
    return Refutation(
        table.rename_axis("attempt"), problem.outcome, problem.moving_domains[k], float(estimate[k]), float(se[k]), placebo,
        actual, robust, robust_95, strength, e_value,
    )  # fmt: skip


Row = tuple[str, str, str, str]


class _Shown:
    """The estimator in question, fitted again on other runs; the effect is asked for where the model shows it."""

    def __init__(self, problem: Problem, method: str, model: Model | None = None) -> None:
        self.method, self._shown = method, model
        self.model = self.fit(problem) if model is None else model

    def fit(self, problem: Problem) -> Model:
        if (
            self._shown is None
        ):  # one effect per domain, so that no attempt moves the state at which it is asked for
            return fit_linear(problem, interactions=False, n_repeats=1, inspect=False)
        return fit_quickly(problem, self.method)

    def effects(self, model: Model) -> tuple[np.ndarray, np.ndarray]:
        """Marginal returns (k,) of the moving domains in the good direction, and their covariance."""
        state = None if self._shown is None else self._shown.pool_state
        if state is not None and len(model.problem.state_names) > len(state):
            state = {**dict(state), **{name: 0.0 for name in model.problem.state_names if name not in state}}
        at = None if self._shown is None else self._shown.baseline
        estimate, cov = model.returns(state, model.problem.equal if at is None else at)
        return model.sign * estimate, cov


def _placebo(actual: float, placebo: np.ndarray) -> Row:
    p = (1 + float((placebo >= actual).sum())) / (1 + len(placebo))
    found = f"the mixture's joint statistic is {actual:.3g}, that of placebos {np.median(placebo):.3g} (p = {p:.3f})"
    verdict = STANDS if p <= max(0.05, 1 / (1 + len(placebo))) else UNSURE
    if verdict == UNSURE:
        found += ": not significant against permuted mixtures, so there may be no effect to refute"
    return (f"mixtures permuted (placebo), {len(placebo)} times", "no effect", found, verdict)


def _dummy(p: np.ndarray) -> Row:
    from scipy import stats

    wrong = int((p < LEVEL).sum())
    chance = float(stats.binom.sf(wrong - 1, len(p), LEVEL)) if wrong else 1.0
    found = f"{wrong} of {len(p)} dummy outcomes are called an effect, where {LEVEL * len(p):.3g} are to be expected"
    done = f"outcomes that the mixture does not cause, {len(p)} times"
    if chance < 0.01:  # a standard error that is too small refutes no effect, but vouches for none
        found += ": the state is not adjusted for well enough for its interval"
    return (done, "seldom an effect", found, UNSURE if chance < 0.01 else STANDS)


def _controls(
    runs: Runs, problem: Problem, graph: CausalGraph | None, residuals: Residuals
) -> dict[str, Row]:
    """Recorded outcomes that the graph says the mixture does not cause, if there are any."""
    names = [] if graph is None else _not_caused(graph, runs, problem)
    p = {}
    for name in names:
        y = runs.frame[f"outcome.{name}"].to_numpy(dtype=float)
        y = y if problem.rows is None else y[problem.rows]
        if np.isfinite(y).all() and np.ptp(y) > 0:
            p[name] = residuals.effect_on(y)
    if not p:
        return {}
    worst = min(p, key=lambda name: p[name])
    value = min(1.0, p[worst] * len(p))  # Bonferroni: the least of several
    found = f"the mixture's effect on {worst}, which it does not cause by the graph, has p = {value:.3f}"
    if value < LEVEL:
        found += ": something that nobody recorded moves both, or the graph is wrong"
    done = f"the effect on {', '.join(p)}"
    return {"negative control": (done, "no effect", found, FAILS if value < LEVEL else STANDS)}


def _not_caused(graph: CausalGraph, runs: Runs, problem: Problem) -> list[str]:
    import networkx as nx

    treated = [name for name in ("mixture", *problem.domains) if name in graph.nodes]
    caused = (
        {problem.outcome}.union(*(nx.descendants(graph.nx, name) for name in treated)) if treated else set()
    )
    return [name for name in runs.outcome_names if treated and name in graph.nodes and name not in caused]


def _clusters(
    shown: _Shown, runs: Runs, problem: Problem, estimate: float, se: float, k: int
) -> dict[str, Row]:
    """The effect without each cluster of runs (a column ``cluster`` of the table of runs), where there are 3 to 30."""
    if CLUSTER not in runs.frame or problem.rows is None:
        return {}
    cluster = runs.frame[CLUSTER].astype(str).to_numpy()[problem.rows]
    names = np.unique(cluster)
    if not 3 <= len(names) <= 30:
        return {}
    left: dict[str, float] = {}
    for name in names:
        try:
            left[str(name)] = float(shown.effects(shown.fit(problem.subset(cluster != name)))[0][k])
        except FitError:  # without it the mixture does not vary, or too few runs are left
            continue
    done = f"each of {len(names)} clusters left out"
    if not left:
        return {"clusters": (done, "the same effect", "no cluster can be left out", UNSURE)}
    worst = min(left, key=lambda name: left[name] * np.sign(estimate))
    flips = bool(left[worst] * estimate <= 0)
    found = f"without {worst} the effect is {left[worst]:+.3g} instead of {estimate:+.3g}"
    verdict = FAILS if flips and abs(estimate) > 2 * se else UNSURE if flips else STANDS
    return {"clusters": (done, "the same sign", found, verdict)}


def _random_cause(
    shown: _Shown, problem: Problem, estimate: float, se: float, k: int, rng: np.random.Generator
) -> Row:
    noise = rng.normal(size=len(np.unique(problem.groups)))[
        np.unique(problem.groups, return_inverse=True)[1].ravel()
    ]
    more = replace(
        problem,
        X=np.hstack([problem.X, noise[:, None]]),
        state_names=(*problem.state_names, "random common cause"),
    )
    before = float(shown.effects(shown.fit(problem))[0][k])
    moved = abs(float(shown.effects(shown.fit(more))[0][k]) - before) / se
    verdict = STANDS if moved < 1 else UNSURE if moved < 2 else FAILS
    found = f"the estimate moved by {moved:.2f} of its standard errors"
    return ("a column of noise added to the state", "hardly any change", found, verdict)


def _subsets(
    shown: _Shown, problem: Problem, estimate: float, se: float, k: int, n: int, rng: np.random.Generator
) -> Row:
    groups = np.unique(problem.groups)
    found = []
    for _ in range(n if problem.n_runs <= CHEAP else min(n, 5)):
        some = rng.permutation(groups)[: math.ceil(KEPT * len(groups))]
        try:
            part = shown.fit(problem.subset(np.isin(problem.groups, some)))
            found.append(float(shown.effects(part)[0][k]))
        except FitError:  # a subset too small, or one in which the mixture does not vary
            continue
    done = f"{len(found)} random subsets of {KEPT:.0%} of the runs"
    if len(found) < 5:
        return (done, "the same effect", "too few runs to leave any out", UNSURE)
    # what is left out is a fifth: the spread of the estimates to be expected is se * sqrt(1 / KEPT - 1)
    ratio = float(np.std(found)) / (se * math.sqrt(1 / KEPT - 1))
    same = float(np.mean(np.sign(found) == np.sign(estimate)))
    seen = f"the same sign in {same:.0%} of them, spread {ratio:.1f} times what its standard error says"
    clear = abs(estimate) > 2 * se
    verdict = STANDS if same >= 0.95 and ratio < 2 else FAILS if clear and same < 0.8 else UNSURE
    return (done, "the same sign, and no more spread than chance", seen, verdict)


# -- a cause that nobody recorded ------------------------------------------------------------------------------


def robustness_value(t: float, df: float, q: float = 1.0, level: float | None = None) -> float:
    """Part of the residual variance of treatment and outcome that a hidden cause must explain to remove a part q of an effect.

    t: the effect over its standard error; df: residual degrees of freedom of the regression that includes the treatment.
    level: remove its significance at that level instead (Cinelli and Hazlett 2020, section 4.2).

    >>> round(robustness_value(4.18, 783), 3), round(robustness_value(4.18, 783, level=0.05), 3)  # their Darfur example
    (0.139, 0.076)
    """
    from scipy import stats

    f = q * abs(t) / math.sqrt(df)
    if level is not None:
        critical = float(stats.t.isf(level / 2, df - 1)) / math.sqrt(df - 1)
        if f <= critical:
            return 0.0
        if f > 1 / critical:
            return (f**2 - critical**2) / (1 + f**2)
        f -= critical
    return (math.sqrt(f**4 + 4 * f**2) - f**2) / 2


def left_by(estimate: float, se: float, df: float, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Effect and standard error that hidden causes would leave, which explain ``strength`` of treatment and of outcome each.

    The bias is se · sqrt(df · R²_Y · R²_D / (1 - R²_D)), towards 0 (Cinelli and Hazlett 2020, equations 10 and 13).
    """
    bias = se * np.sqrt(df) * strength / np.sqrt(1 - strength)
    error = np.full_like(strength, se * math.sqrt(df / (df - 1)))  # what it adds and takes away cancels
    return np.sign(estimate) * (abs(estimate) - bias), error


def e_value(standardised: float) -> float:
    """E-value of an effect in standard deviations of the outcome per standard deviation of the treatment.

    >>> round(e_value(0.5), 2)  # RR = exp(0.91 · 0.5) = 1.576
    2.53
    """
    ratio = math.exp(0.91 * abs(standardised))
    return ratio + math.sqrt(ratio * (ratio - 1))


def _hidden(
    model: Model, problem: Problem, estimate: float, se: float
) -> tuple[float, float, pd.DataFrame, float, Row]:
    import pandas as pd

    df = float(max(len(np.unique(problem.groups)) - len(problem.moving_domains), 2))
    t = estimate / se
    robust, robust_95 = robustness_value(t, df), robustness_value(t, df, level=0.05)
    strength = np.linspace(0, min(0.95, max(1.5 * robust, 0.05)), 60)
    left, error = left_by(estimate, se, df, strength)
    table = pd.DataFrame(
        {"strength": strength, "estimate": left, "lower": left - 1.96 * error, "upper": left + 1.96 * error}
    )
    spread = float(np.std(np.log(problem.T + 1e-3), axis=0).mean())
    e = e_value(estimate * spread / moments(problem.y, weighed(problem).trust)[1])
    known = _strongest(problem)
    found = (
        f"one that explains {robust:.0%} of what the state leaves of mixture and outcome would explain it away, {robust_95:.0%} "
        f"make it indistinguishable from 0 (E-value {e:.1f})"
    )
    if known is not None:
        name, part = known
        found += f"; the strongest recorded one, {name}, explains {part:.0%}"
    verdict = UNSURE if robust_95 == 0 or (known is not None and robust < known[1]) else STANDS
    return (
        robust,
        robust_95,
        table,
        e,
        ("an unobserved confounder", "a weak one changes little", found, verdict),
    )


def _strongest(problem: Problem) -> tuple[str, float] | None:
    """The state column that explains most of mixture and outcome at once beyond the others, and how much of the lesser of the two."""
    if not problem.X.shape[1]:
        return None
    L = np.log(problem.T + 1e-3)
    L = L - L.mean(1, keepdims=True)
    best: tuple[str, float] | None = None
    for j, name in enumerate(problem.state_names):
        others = np.column_stack([np.ones(problem.n_runs), np.delete(problem.X, j, axis=1)])
        with_mixture = np.column_stack([others, L[:, 1:]])
        part = min(
            _partial_r2(problem.X[:, j], L, others),
            _partial_r2(problem.X[:, j], problem.y[:, None], with_mixture),
        )
        if best is None or part > best[1]:
            best = (name, part)
    return best


def _partial_r2(x: np.ndarray, Y: np.ndarray, given: np.ndarray) -> float:
    """Part of the variance of the columns of Y (n, m) that x (n,) explains beyond ``given`` (n, c); the largest over columns."""

    def rest(A: np.ndarray) -> Any:
        return A - given @ np.linalg.lstsq(given, A, rcond=None)[0]

    x, R = rest(x), rest(Y)
    size = np.linalg.norm(x) * np.linalg.norm(R, axis=0)
    return float(np.max((x @ R / np.where(size > 1e-12, size, np.inf)) ** 2))


QUESTIONS.register(
    Question(
        "refute",
        "Does an effect survive placebo mixtures, noise, subsets of the runs, a hidden cause?",
        "%causalmix refute",
        lambda study, outcome, repeats, seed: study.refute(outcome, n_repeats=repeats, random_state=seed),
        (
            OUTCOME,
            Argument("--repeats", "placebo mixtures and subsets to try (20)", "count", 20, metavar="N"),
            SEED,
        ),
    )
)
