"""What both estimators of effects stand on: coordinates of the mixture, and what the state explains.

Shares sum to 1, so K domains have K - 1 effects. :func:`coordinates_of` gives log-ratio coordinates for the directions
in which the runs moved and sets aside those in which they did not. :func:`learn_nuisance` learns what the state
explains of the outcome or of the mixture, by whichever learner cross-validates best, cross-fitted: a run never
sees a nuisance that was fitted on it, nor a choice of learner that looked at its fold.

Reference: V. Chernozhukov et al., *Double/debiased machine learning for treatment and structural parameters*, 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.mixture import ilr_basis, log_mixture, replace_zeros

if TYPE_CHECKING:
    import pandas as pd

RANDOMISED = 0.05  # the share of the mixture's variance that the state may explain by chance
JUDGED_RUNS, JUDGED_TARGETS = 2000, 12  # of which at most the choice of a learner is made
_UNMOVED = 1e-5  # singular value, relative to the largest, below which the runs did not move in a direction

BUMPS = 60  # of a smooth nuisance
WIDTHS = (0.7, 1.5, 3.0)  # of a bump, in standard deviations of a column

Predictor = Callable[[np.ndarray], np.ndarray]
Weights = np.ndarray | None  # (n,) of the runs; None counts all alike


# -- coordinates of the mixture and of the state -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Log-ratio coordinates of a mixture, split into directions that the runs moved in and those they did not.

    basis (K, r): Z = log(T + eps) @ basis. unseen (K, q): log(T + eps) @ unseen - origin is 0 in every run.
    active (K,): domains whose share varies. origin (q,).
    """

    basis: np.ndarray
    unseen: np.ndarray
    active: np.ndarray
    origin: np.ndarray
    contrasts: bool

    def z(self, T: np.ndarray) -> np.ndarray:
        return log_mixture(T) @ self.basis

    def outside(self, T: np.ndarray) -> np.ndarray:
        return log_mixture(T) @ self.unseen - self.origin

    def moves(self, at: np.ndarray) -> np.ndarray:
        """Change of log(T) that "more of domain k" means, one row per domain, shape (K, K).

        Row k raises the log share of k against the other domains that the runs varied. For plain logs the rows
        depend on the mixture ``at`` (K,), because the shares must go on summing to 1.
        """
        if self.contrasts:
            weight = self.active / self.active.sum()
        else:
            smooth = np.where(self.active, replace_zeros(at), 0)
            weight = smooth / smooth.sum()
        return np.eye(len(at)) - np.outer(self.active, weight)


def coordinates_of(problem: Problem, treatment: str) -> Coordinates:
    """Coordinates in which the mixtures of the runs vary; constant domains and collinear directions are set aside."""
    T, K = problem.T, len(problem.domains)
    active = (np.ptp(T, axis=0) > 1e-9) & problem.moving
    if active.sum() < 2:
        raise FitError(
            f"the mixture is the same in all {problem.n_runs} runs, so its effect cannot be seen; add runs with other mixtures."
        )
    start = np.zeros((K, int(active.sum()) - (treatment == "ilr")))
    start[active] = ilr_basis(int(active.sum())) if treatment == "ilr" else np.eye(int(active.sum()))
    L = log_mixture(T)
    Z = L @ start
    _, s, Vt = np.linalg.svd(np.linalg.qr(Z - Z.mean(0), mode="r"))
    moved = np.append(s, np.zeros(len(Vt) - len(s))) > _UNMOVED * s[0]
    basis = start if moved.all() else start @ Vt[moved].T
    unseen = np.hstack([start @ Vt[~moved].T, np.eye(K)[:, ~active]])
    return Coordinates(basis, unseen, active, (L @ unseen).mean(0), treatment == "ilr")


@dataclass(frozen=True, slots=True)
class StateFeatures:
    """Leading principal components of the standardised state and scale, each of unit variance over the runs.

    center, spread (d,); axes (d, q), strongest first. Coordinates that vary less than a tenth of an average column
    (in standard deviation) are noise and are left out.
    """

    center: np.ndarray
    spread: np.ndarray
    axes: np.ndarray

    def __call__(self, W: np.ndarray) -> np.ndarray:
        return ((W - self.center) / self.spread) @ self.axes


def state_features(W: np.ndarray) -> StateFeatures:
    n, d = W.shape
    center, spread = (W.mean(0), W.std(0)) if d else (np.zeros(0), np.ones(0))
    spread = np.where(spread > 0, spread, 1.0)
    if not d:
        return StateFeatures(center, spread, np.zeros((0, 0)))
    _, s, Vt = np.linalg.svd((W - center) / spread, full_matrices=False)
    deviation = s / math.sqrt(n)
    kept = deviation > 0.1
    return StateFeatures(center, spread, Vt[kept].T / deviation[kept])


# -- nuisances ------------------------------------------------------------------------------------------------


def _fit_mean(W: np.ndarray, Y: np.ndarray, seed: int, weights: Weights = None) -> Predictor:
    mean = np.average(Y, axis=0, weights=weights)
    return lambda at: np.tile(mean, (len(at), 1))


def _fit_ridge(
    W: np.ndarray, Y: np.ndarray, seed: int, weights: Weights = None, quadratic: bool = False
) -> Predictor:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scale, (first, second) = StandardScaler().fit(W), np.triu_indices(W.shape[1])
    if len(first) > len(W) // 4:  # too few runs for products of columns: squares alone
        first = second = np.arange(W.shape[1])

    def expand(at: np.ndarray) -> np.ndarray:
        x = scale.transform(at)
        return np.hstack([x, x[:, first] * x[:, second]]) if quadratic else x

    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))
    ridge.fit(expand(W), Y, ridgecv__sample_weight=weights)
    return lambda at: ridge.predict(expand(at)).reshape(len(at), -1)


def _fit_quadratic(W: np.ndarray, Y: np.ndarray, seed: int, weights: Weights = None) -> Predictor:
    return _fit_ridge(W, Y, seed, weights, quadratic=True)


def _fit_smooth(W: np.ndarray, Y: np.ndarray, seed: int, weights: Weights = None) -> Predictor:
    """A line and a smooth curve: ridge on the columns and on Gaussian bumps, whose width is chosen by leaving out one run.

    Reference: C. Williams, M. Seeger, *Using the Nyström method to speed up kernel machines*, 2001.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(W)
    distinct = np.unique(scale.transform(W).round(9), axis=0)
    n_bumps = max(1, min(BUMPS, len(distinct) // 4))
    centres = distinct[np.random.default_rng(seed).permutation(len(distinct))[:n_bumps]]

    def expand(at: np.ndarray, width: float) -> np.ndarray:
        x = scale.transform(at)
        d2 = (x * x).sum(1)[:, None] + (centres * centres).sum(1) - 2 * x @ centres.T
        return np.hstack([x, 3 * np.exp(-np.maximum(d2, 0) / (2 * width**2 * x.shape[1]))])

    def fitted(width: float) -> RidgeCV:
        return RidgeCV(np.logspace(-4, 3, 12)).fit(expand(W, width), Y, sample_weight=weights)

    ridges = {width: fitted(width) for width in WIDTHS}
    width = max(ridges, key=lambda width: float(np.mean(ridges[width].best_score_)))
    return lambda at: ridges[width].predict(expand(at, width)).reshape(len(at), -1)


def lightgbm_parameters(n: int, seed: int) -> dict[str, Any]:
    """Settings of a LightGBM for n runs: default leaves of 20 runs see nothing in a hundred runs."""
    return {
        "n_estimators": 60, "learning_rate": 0.1, "num_leaves": 8, "max_bin": 63, "min_child_samples": max(3, n // 25), "reg_lambda": 1.0,
        "random_state": seed, "n_jobs": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
    }  # fmt: skip


def _fit_lightgbm(W: np.ndarray, Y: np.ndarray, seed: int, weights: Weights = None) -> Predictor:
    import lightgbm

    parameters = lightgbm_parameters(len(W), seed)
    rounds = parameters.pop("n_estimators")
    trees = [
        lightgbm.train(parameters, lightgbm.Dataset(W, column, weight=weights), num_boost_round=rounds)
        for column in Y.T
    ]
    return lambda at: np.column_stack([tree.predict(np.asarray(at), num_threads=1) for tree in trees])


_LEARNERS = {
    "mean": _fit_mean,
    "ridge": _fit_ridge,
    "quadratic ridge": _fit_quadratic,
    "smooth": _fit_smooth,
    "lightgbm": _fit_lightgbm,
}


def split_folds(groups: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of every run, shape (n,), drawn so that runs of one group share a fold and folds have equally many groups.

    >>> split_folds(np.array([0, 0, 1, 2, 2, 3]), 2, np.random.default_rng(0)).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    appearance = np.argsort(
        np.argsort(first)
    )  # numbered as they come, so that names and columns do not matter
    return (rng.permutation(len(first)) % min(n_folds, len(first)))[appearance][member]


@dataclass(frozen=True, slots=True)
class Nuisance:
    """What the state explains of some targets (n, m): the learner chosen, out-of-fold values, and a fit on all runs.

    r2: cross-validated share of the variance explained, floored at 0. fitted: one (n, m) array per split.
    by_fold: per split, the predictors that left one fold out.
    """

    learner: str
    r2: float
    fitted: tuple[np.ndarray, ...]
    by_fold: tuple[tuple[Predictor, ...], ...]
    predict: Predictor


def _by_fold(
    learner: str, W: np.ndarray, Y: np.ndarray, folds: np.ndarray, seed: int, weights: Weights
) -> tuple[Predictor, ...]:
    """One predictor a fold, which has not seen it."""
    n_folds = int(folds.max()) + 1
    if learner == "mean":  # one constant, whatever the fold: then no state means plain least squares
        return (_fit_mean(W, Y, seed, weights),) * n_folds
    return tuple(
        _LEARNERS[learner](
            W[folds != k], Y[folds != k], seed, None if weights is None else weights[folds != k]
        )
        for k in range(n_folds)
    )


def out_of_fold(predictors: tuple[Predictor, ...], W: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Values (n, m) for every run by the predictor that has not seen its fold."""
    parts = [predict(W[folds == k]) for k, predict in enumerate(predictors)]
    out = np.empty((len(W), parts[0].shape[1]))
    for k, part in enumerate(parts):
        out[folds == k] = part
    return out


def learn_nuisance(
    W: np.ndarray, Y: np.ndarray, splits: list[np.ndarray], seed: int, learn: bool = True,
    weights: Weights = None, only: str | None = None,
) -> Nuisance:  # fmt: skip
    """Choose a learner for every fold by its errors on the other folds, and cross-fit it; runs count by their ``weights``.

    learn: False takes the mean alone. only: the learner to take, where it is chosen already (:func:`choose_learner`).
    """
    candidates = [only] if only else _able(W, len(Y), learn)
    count = np.ones(len(Y)) if weights is None else weights
    fitted, by_fold = [], []
    for i, folds in enumerate(splits):
        predictors = {name: _by_fold(name, W, Y, folds, seed, weights) for name in candidates}
        errors = {
            name: np.bincount(folds, count * ((Y - out_of_fold(predictors[name], W, folds)) ** 2).sum(1))
            for name in candidates
        }
        # the choice for a fold must not look at the fold
        choices = [
            min(candidates, key=lambda name: errors[name].sum() - errors[name][k])
            for k in range(int(folds.max()) + 1)
        ]
        by_fold.append(tuple(predictors[name][k] for k, name in enumerate(choices)))
        fitted.append(out_of_fold(by_fold[-1], W, folds))
        if not i:
            learner = min(candidates, key=lambda name: errors[name].sum())
            error = float(count @ ((Y - fitted[0]) ** 2).sum(1))
            candidates = sorted({*choices, learner}, key=candidates.index)  # the others are out of the race
    constant = float(count @ ((Y - _fit_mean(W, Y, seed, weights)(W)) ** 2).sum(1))
    r2 = 1 - error / constant if constant > 0 else 0.0
    return Nuisance(
        learner, max(r2, 0.0), tuple(fitted), tuple(by_fold), _LEARNERS[learner](W, Y, seed, weights)
    )


def _able(W: np.ndarray, n_runs: int, learn: bool) -> list[str]:
    """The learners that so many runs can be given to."""
    if not learn or not W.shape[1]:
        return ["mean"]
    return ["mean", "ridge", "quadratic ridge", *(["smooth", "lightgbm"] if n_runs >= 40 else [])]


def choose_learner(
    W: np.ndarray, Y: np.ndarray, folds: np.ndarray, seed: int, weights: Weights = None
) -> str:
    """The learner whose out-of-fold error is least, on at most 2000 of the runs and 12 of the targets, evenly spread.

    For fits that cannot each choose: quick ones, and those of so many runs that a choice hardly leans on any.
    """
    rows, columns = (
        np.linspace(0, n - 1, min(n, most)).round().astype(int)
        for n, most in zip(Y.shape, (JUDGED_RUNS, JUDGED_TARGETS))
    )
    W, Y, folds = W[rows], Y[np.ix_(rows, columns)], np.unique(folds[rows], return_inverse=True)[1]
    weights = None if weights is None else weights[rows]
    count = np.ones(len(Y)) if weights is None else weights

    def error(name: str) -> float:
        at = out_of_fold(_by_fold(name, W, Y, folds, seed, weights), W, folds)
        return float(count @ ((Y - at) ** 2).sum(1))

    return min(_able(W, len(Y), True), key=error)


def assignment_sentence(r2: float, has_state: bool) -> str:
    """Was the mixture randomised, or did the state decide it? r2: share of its variance that the state explains."""
    if not has_state:
        return "no state to explain the mixture with: the mixture is taken as randomised"
    if r2 < RANDOMISED:
        return f"the mixture looks randomised: the state explains {r2:.0%} of it"
    return f"the state decided {r2:.0%} of the mixture: adjustment matters"


def at_distinct(function: Predictor, W: np.ndarray) -> np.ndarray:
    """``function`` at the rows of W, called once per distinct row (a search asks for 100 000 mixtures at one state)."""
    if len(W) > 1 and (W[0] == W).all():
        value = function(np.ascontiguousarray(W[:1]))
        return np.broadcast_to(value, (len(W), *value.shape[1:]))
    distinct, index = np.unique(W, axis=0, return_inverse=True)
    return function(distinct)[index.ravel()]


def noise_of(problem: Problem, residual_sd: float) -> tuple[float, str]:
    """Standard deviation of one run: from repeated runs where there are enough, else from the residuals."""
    if not problem.trusted.all():
        problem = problem.subset(problem.trusted)
    _, member, count = np.unique(problem.repeats, return_inverse=True, return_counts=True)
    df = problem.n_runs - len(count)
    if df < 5:
        return residual_sd, "residuals of the fit"
    weight = problem.precision
    means = np.bincount(member, weight * problem.y) / np.bincount(member, weight)
    within = float(weight @ (problem.y - means[member]) ** 2)
    return math.sqrt(within / df), f"{df} repeated runs"


def state_and_scale(problem: Problem) -> np.ndarray:
    return np.hstack([problem.X, problem.S])


def not_identified(problem: Problem, coordinates: Coordinates) -> list[str]:
    """Notes on directions of the mixture in which no run moved."""
    notes = [
        f"{name} is {share:.3g} in every run, so its effect cannot be seen"
        for name, share, active in zip(problem.domains, problem.T[0], coordinates.active)
        if not active
    ]
    for column in coordinates.unseen[:, : coordinates.unseen.shape[1] - int((~coordinates.active).sum())].T:
        tied = [name for name, weight in zip(problem.domains, column) if abs(weight) > 0.1]
        notes.append(f"the runs never move {', '.join(tied)} apart, so their separate effects cannot be seen")
    return notes


def returns_table(
    estimate: np.ndarray, cov: np.ndarray, quantile: float, domains: tuple[str, ...]
) -> pd.DataFrame:
    import pandas as pd

    se = np.sqrt(np.maximum(np.diag(cov), 0))
    columns = {
        "estimate": estimate,
        "se": se,
        "lower": estimate - quantile * se,
        "upper": estimate + quantile * se,
    }
    return pd.DataFrame(columns, index=pd.Index(domains, name="domain"))


def refuse_decided(residual: np.ndarray, Z: np.ndarray, n_distinct: int) -> None:
    """Refuse mixtures that the state alone decides: coordinates Z (n, r) whose residuals (n, r) vanish in some direction.

    Raises
    ------
    FitError: nothing tells the effect of the mixture from that of the state.
    """
    spread = np.linalg.svd(Z - Z.mean(0), compute_uv=False)
    left = np.linalg.svd(residual - residual.mean(0), compute_uv=False)
    if left[-1] < 1e-4 * spread[0] and left[-1] < 0.01 * spread[-1]:
        raise FitError(
            f"the state decides the mixture in all {n_distinct} distinct runs, so there is no overlap and the effect is not identified; "
            "add runs that try other mixtures at the same state, or leave the state out of the graph."
        )
