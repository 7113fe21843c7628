"""From runs to a model: one method by name, or the one whose cross-validated ranking of unseen mixtures is best.

The folds never split runs of one mixture and state (repeated seeds, one run at several scales), so a rank correlation is that of
mixtures the model has not seen; it is taken among runs of one scale, since ranking a long run above a short one is no merit. It is reported beside LightGBM on the mixture alone (the view of RegMix, arXiv 2407.01492) and
beside the ceiling that the noise of repeated seeds allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.folds import folds, pure_error, rank_correlation
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.methods.linear import fit_linear
from causalmix_nb.methods.method import METHODS, Method

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

AUTO = "auto"  # the best of several
DEFAULT = "gp"  # wins near ties, and is tried on the mixture alone too
REFERENCE = "regmix"  # what every fit is compared with
NO_STATE = " without state"  # suffix of a method that is tried on the mixture alone
TIE = 0.005  # rank correlations closer than this are a tie, which the default wins …
TIE_ERRORS = 2.0  # … or closer than so many standard errors of the best one: choosing by noisy folds costs more than it wins
FEWEST_RANKED = 8  # runs of one scale, below which their ranks are not counted beside those of other scales
SEEDS = 5  # paired seeds of a comparison


def fit(
    runs: Runs,
    outcome: str | Mapping[str, float] | None = None,
    method: str = "auto",
    graph: CausalGraph | None = None,
    random_state: int = 0,
    use_state: bool = True,
    **options: Any,
) -> Model:
    """Estimate what a mixture causes, from finished runs.

    Parameters
    ----------
    runs: finished runs; those that failed or lack the outcome are left out.
    outcome: name of the outcome, by default ``score``, else the first one; or outcome -> weight for a weighted sum.
    method: ``"linear"`` (double machine learning), ``"forest"`` (causal forest), ``"gp"``, ``"lightgbm"``, ``"law"``,
        ``"regmix"``, or ``"auto"``: the best of several by grouped 5-fold cross-validated rank correlation.
    graph: decides which state columns may be conditioned on; None means all that the runs record.
    random_state: seed of everything random.
    use_state: False ignores the state.
    options: passed to the method.

    Returns
    -------
    Model whose ``diagnostics`` hold, among others,

    * ``cv_spearman``: rank correlation on unseen mixtures; ``tried``: the same for every method compared, and
      ``regret_tried``: by how much the run predicted best falls short of the best one; ``regmix_spearman``: for LightGBM on the mixture alone;
    * ``noise_ceiling``: the correlation that a perfect model would reach, sqrt(1 - pure-error variance / variance),
      from repeated seeds; None without repeats. ``noise_sd``: standard deviation of one run;
    * ``smallest_detectable_gain``: 2.8 · noise_sd · sqrt(2 / 5), the difference that a comparison by training with five
      seeds each finds four times out of five at the 5 % level; ``smallest_gain_of_fit``: 1.96 times the median standard
      error of the fitted difference between a run's mixture and the baseline;
    * ``calibration``: share of the runs left out in cross-validation that fell inside their 95 % predictive interval;
    * ``treatment_r2`` and ``assignment``: how much of the mixture the state explains, and what that means, in words;
    * ``not_learnt``: in words, the domains that no run has used or moved, of which nothing can be learnt; absent without any;
    * ``verdict``: in words, whether the model can tell mixtures apart at all.

    Raises
    ------
    FitError: unknown method or outcome, constant outcome, or fewer runs than the model needs.
    GraphError: the graph does not identify the effect.
    """
    _check_method(method, options)
    return fit_problem(Problem.from_runs(runs, outcome, graph, use_state), method, random_state, **options)


def fit_outcomes(
    runs: Runs,
    outcomes: Sequence[str] | None = None,
    method: str = "auto",
    graph: CausalGraph | None = None,
    random_state: int = 0,
    use_state: bool = True,
    n_jobs: int | None = None,
    **options: Any,
) -> dict[str, Model]:
    """:func:`fit` for several outcomes, outcome -> model, side by side in ``n_jobs`` processes (one per core).

    Parameters
    ----------
    outcomes: their names; None means all that the runs record. The others are as for :func:`fit`.
    """
    from joblib import delayed

    _check_method(method, options)
    names = list(runs.outcome_names if outcomes is None else outcomes)
    problems = [Problem.from_runs(runs, name, graph, use_state) for name in names]
    calls = [delayed(fit_problem)(problem, method, random_state, **options) for problem in problems]
    return dict(zip(names, side_by_side(calls, n_jobs)))


def side_by_side(calls: Sequence[Any], n_jobs: int | None = None) -> list[Any]:
    """Results of ``joblib.delayed`` calls in ``n_jobs`` processes (one per core), which give back their memory when they are done.

    joblib keeps idle processes for minutes; each holds several hundred megabytes, of which a Binder has two thousand.
    """
    from joblib import Parallel, cpu_count, delayed
    from joblib.externals.loky import get_reusable_executor

    jobs = max(1, min(n_jobs or cpu_count(), len(calls)))
    ours = __package__.split(".")[0] + "."
    brought = [m for m in METHODS.values() if not getattr(m.fit, "__module__", "").startswith(ours)]
    results = Parallel(n_jobs=jobs)(delayed(_knowing)(brought, *call) for call in calls)
    if jobs > 1:
        get_reusable_executor().shutdown(wait=True)
    return results


def _knowing(brought: Sequence[Method], call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A call in a process that knows these methods too."""
    for method in brought:
        METHODS.register(method, replace=True)
    return call(*args, **kwargs)


def _check_method(method: str, options: Mapping[str, Any]) -> None:
    able = [name for name, one in METHODS.items() if one.orthogonalises]
    if not options.get("orthogonalise", True) and method not in able:
        raise FitError(
            f"a fit without orthogonalisation is for {' and '.join(able)}; name one as the method."
        )
    if method != AUTO:
        METHODS.find(method, AUTO)
    elif options:
        raise FitError(
            f"{next(iter(options))!r} is an option of one method; name the method too, for example method='gp'."
        )


def fit_problem(problem: Problem, method: str = "auto", random_state: int = 0, **options: Any) -> Model:
    """:func:`fit`, from the arrays of a problem."""
    _enough(problem)
    problem = weighed(problem)  # once, not once a method and fold
    names = _candidates(problem) if method == AUTO else list(dict.fromkeys((method, REFERENCE)))
    given = {
        name: _method(name).settle(_part(problem, name), random_state, options if name == method else {})
        for name in names
    }
    predicted = {name: _out_of_fold(problem, name, 5, random_state, given[name]) for name in names}
    scores = {name: rank_within(problem, mean) for name, (mean, _) in predicted.items()}
    chosen = _best(problem, scores) if method == AUTO else method
    model = fit_one(problem, chosen, random_state, **given[chosen])
    mean, quick_sd = predicted[chosen]
    parts = folds(problem.groups, 5, random_state)
    sd = model.left_out(
        parts
    )  # of the whole fit; those of quick fits to the folds are too sure of what they learnt
    factor = _misfit(problem, mean, quick_sd if sd is None else sd)
    model.widen(factor)
    expected = mean, quick_sd if sd is None else math.sqrt(factor) * sd
    model.diagnostics = {**model.diagnostics, **_diagnose(model, scores, chosen, expected)}
    model.diagnostics["regret_tried"] = {
        name: _regret(problem, mean) for name, (mean, _) in predicted.items()
    }
    if "assignment" not in model.diagnostics:
        model.diagnostics |= _assignment(problem, random_state, given.get("linear", {}))
    return model


def _regret(problem: Problem, mean: np.ndarray) -> float:
    """Best outcome seen minus the outcome of the run predicted best, in the outcome's units."""
    sign, rungs = -1.0 if problem.minimize else 1.0, problem.rungs
    largest = (rungs == rungs[int(problem.S.sum(1).argmax())]) & problem.trusted
    if not largest.any():
        return math.nan
    y, mean = sign * problem.y[largest], sign * mean[largest]
    return float(y.max() - y[int(mean.argmax())])


def cross_validate(
    problem: Problem, methods: Sequence[str] | None = None, n_folds: int = 5, random_state: int = 0
) -> pd.DataFrame:
    """How well methods predict unseen mixtures: grouped K-fold cross-validation.

    Returns
    -------
    DataFrame indexed by method: ``spearman``; ``r2`` (squared Pearson correlation); ``rmse`` and ``regret`` (best outcome
    seen minus the outcome of the run predicted best, never negative), both in the outcome's units.
    """
    import pandas as pd

    rows, problem = {}, weighed(problem)
    fits = problem.trusted
    for name in METHODS if methods is None else methods:
        mean, _ = _out_of_fold(problem, name, n_folds, random_state, {})
        r = float(np.corrcoef(mean[fits], problem.y[fits])[0, 1]) if np.ptp(mean[fits]) > 0 else 0.0
        rows[name] = {
            "spearman": rank_within(problem, mean),
            "r2": r * r,
            "rmse": float(np.sqrt(np.mean((mean - problem.y)[fits] ** 2))),
            "regret": _regret(problem, mean),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def rank_within(problem: Problem, predicted: np.ndarray) -> float:
    """Rank correlation among runs of one scale, averaged over scales by their number of runs; scales of fewer than 8 runs count only alone."""
    rungs = problem.rungs
    if not problem.trusted.all():  # a wild run has no rank
        kept = np.flatnonzero(problem.trusted)
        problem, predicted, rungs = problem.subset(kept), predicted[kept], rungs[kept]
    numbers, counts = np.unique(rungs, return_counts=True)
    able = [(k, n) for k, n in zip(numbers, counts) if n >= FEWEST_RANKED]
    if len(numbers) == 1 or not able:
        return rank_correlation(predicted, problem.y)
    total = sum(n for _, n in able)
    return sum(n / total * rank_correlation(predicted[rungs == k], problem.y[rungs == k]) for k, n in able)


def noise_ceiling(problem: Problem) -> float | None:
    """Correlation with single runs that a perfect model would reach; None without repeated seeds."""
    noise, df = pure_error(problem)
    problem = problem if problem.trusted.all() else problem.subset(problem.trusted)
    rungs, n_rungs = problem.rungs, len(np.unique(problem.rungs))
    within = problem.y - (np.bincount(rungs, problem.y) / np.bincount(rungs))[rungs]
    variance = float(within @ within) / max(1, problem.n_runs - n_rungs)
    return math.sqrt(max(0.0, 1 - noise**2 / variance)) if df and variance > 0 else None


# -- one method ------------------------------------------------------------------------------------------


def _method(name: str) -> Method:
    return METHODS.find(name.removesuffix(NO_STATE))


def _part(problem: Problem, name: str) -> Problem:
    return problem.without_state() if name.endswith(NO_STATE) else problem


def fit_one(problem: Problem, name: str, random_state: int = 0, **options: Any) -> Model:
    """One method by name, fitted without a look at left-out runs; a name may end with `` without state``."""
    return _method(name).fit(_part(problem, name), random_state=random_state, **options)


def fit_quickly(problem: Problem, name: str, random_state: int = 0, **options: Any) -> Model:
    """:func:`fit_one` for predictions only: what the method can leave out for one fold of many is left out."""
    return fit_one(problem, name, random_state, **{**_method(name).quick, **options})


def _enough(problem: Problem) -> None:
    K = len(problem.moving_domains)
    distinct, needed = len(np.unique(problem.groups)), K + 2
    if distinct < needed:
        raise FitError(
            f"{distinct} different runs are too few for {K} domains; at least {needed} are needed, "
            f"{8 * K} or more are better. Make more runs."
        )


def _candidates(problem: Problem) -> list[str]:
    names = [name for name, method in METHODS.items() if method.tried(problem)]
    return names + [DEFAULT + NO_STATE] * bool(problem.state_names)


def _best(problem: Problem, scores: dict[str, float]) -> str:
    """The highest rank correlation; near ties go to the Gaussian process, whose intervals are the most careful.

    A reference is there to compare with. Where the graph asks to adjust for the state, a method that ignores it
    may rank well and still be confounded, so it is not chosen.
    """
    able = {name: score for name, score in scores.items() if not _method(name).reference}
    if problem.adjustment:
        able = {name: score for name, score in able.items() if not _ignores_state(name)}
    top = max(able.values())
    error = (1 - min(abs(top), 1.0) ** 2) / math.sqrt(max(len(np.unique(problem.groups)) - 1, 1))
    close = [name for name, score in able.items() if score >= top - max(TIE, TIE_ERRORS * error)]
    usual = (name for name in (DEFAULT, DEFAULT + NO_STATE) if name in close)
    return next(usual, max(close, key=lambda name: able[name]))


def _ignores_state(name: str) -> bool:
    return name.endswith(NO_STATE) or not _method(name).uses_state


def _out_of_fold(
    problem: Problem, name: str, n_folds: int, random_state: int, options: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Prediction of every run by a model that has not seen its mixture, and the standard deviation of the prediction's error."""
    mean, sd = np.empty(problem.n_runs), np.empty(problem.n_runs)
    for fold in folds(problem.groups, n_folds, random_state):
        kept = np.setdiff1d(np.arange(problem.n_runs), fold)
        model, part = fit_quickly(problem.subset(kept), name, random_state, **options), _part(problem, name)
        mean[fold], cov = model.joint_at(part.T[fold], part.X[fold], part.S[fold])
        noise = model.noise_at(mean[fold], part.T[fold], part.S[fold])
        sd[fold] = np.sqrt(np.maximum(np.diag(cov), 0) + noise**2)
    return mean, sd


def _misfit(problem: Problem, mean: np.ndarray, sd: np.ndarray) -> float:
    """By how much a model's variances are too small: the mean squared standardised error of left-out runs that fit the others, less
    what one standard error of it may be by chance; at least 1."""
    z2 = (((problem.y - mean) / sd) ** 2)[problem.trusted]
    return max(1.0, float(np.mean(z2)) / (1 + math.sqrt(2 / len(z2))))


def _assignment(problem: Problem, random_state: int, settled: Mapping[str, Any]) -> dict[str, Any]:
    """Was the mixture randomised, or did the state decide it? The treatment model of double machine learning says."""
    try:
        quick = {**settled, "n_repeats": 1, "inspect": False}
        found = fit_linear(problem, **quick, random_state=random_state).diagnostics
    except FitError as refused:
        return {"assignment": f"whether the state decided the mixture cannot be told: {refused}"}
    return {name: found[name] for name in ("treatment_r2", "assignment")}


# -- diagnostics -----------------------------------------------------------------------------------------


def _diagnose(
    model: Model, scores: dict[str, float], chosen: str, out_of_fold: tuple[np.ndarray, np.ndarray]
) -> dict[str, Any]:
    problem, (mean, sd) = model.problem, out_of_fold
    repeated, df = pure_error(problem)
    noise = repeated if df >= 3 else model.noise_sd
    distinct = len(np.unique(problem.groups))
    confounded = {}
    if problem.adjustment and _ignores_state(chosen):
        wanted = ", ".join(problem.adjustment)
        confounded = {
            "warning": f"the graph asks to adjust for {wanted}, which {chosen} ignores: its effects may be confounded"
        }
    held = {"not_learnt": "; ".join(problem.held_sentences)} if problem.held else {}
    return {
        **confounded,
        **held,
        "chosen": chosen,
        "verdict": _verdict(scores[chosen], distinct),
        "cv_spearman": scores[chosen],
        "regmix_spearman": scores.get(REFERENCE),
        "tried": dict(scores),
        "noise_ceiling": noise_ceiling(problem),
        "noise_sd": noise,
        "noise_from": f"repeated seeds ({df} degrees of freedom)" if df >= 3 else "the fit",
        "smallest_detectable_gain": 2.8 * noise * math.sqrt(2 / SEEDS),
        "smallest_gain_of_fit": _typical_error(model),
        "calibration": float(np.mean((np.abs(problem.y - mean) <= 1.96 * sd)[problem.trusted])),
        **_weights(problem),
    }


def _weights(problem: Problem) -> dict[str, Any]:
    """Which runs count for little, and whether the noise depends on the mixture."""
    found: dict[str, Any] = {}
    if not problem.trusted.all():
        found["runs_that_do_not_fit"] = int((~problem.trusted).sum())
    if problem.noise is not None:
        relative = problem.noise.relative(problem.T, problem.S)
        found["noise_varies"] = (
            f"from {relative.min():.2g} to {relative.max():.2g} times the typical noise over the runs"
        )
    return found


def _verdict(score: float, distinct: int) -> str:
    """Two standard errors of a rank correlation under no association, 1 / sqrt(n - 1), is the line."""
    threshold = 1.96 / math.sqrt(max(distinct - 1, 1))
    if score <= threshold:
        return (
            f"cannot tell mixtures apart: rank correlation {score:.2f} on unseen mixtures, not above the 95 % threshold "
            f"under the null ({threshold:.2f}); make more runs, or train longer"
        )
    return (
        f"ranks unseen mixtures with correlation {score:.2f} (95 % threshold under the null: {threshold:.2f})"
    )


def _typical_error(model: Model, n_mixtures: int = 32) -> float:
    """1.96 times the median standard error of the difference between a run's mixture and Equal, state averaged."""
    T = np.unique(model.problem.T.round(9), axis=0)
    T = T[np.linspace(0, len(T) - 1, min(len(T), n_mixtures)).round().astype(int)]
    equal = model.problem.equal.to_array(model.domains)[None]
    states, weights = model.averaged()
    state = np.repeat((weights @ states)[None], len(T) + 1, axis=0)
    S = model.scales(None, len(T) + 1)
    _, cov = model.joint_at(np.vstack([T / T.sum(1, keepdims=True), equal]), state, S)
    variance = np.diag(cov)[:-1] + cov[-1, -1] - 2 * cov[:-1, -1]
    return 1.96 * float(np.median(np.sqrt(np.maximum(variance, 0))))
