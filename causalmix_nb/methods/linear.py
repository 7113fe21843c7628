"""Linear effects of the mixture by double machine learning, with the inference that belongs to them.

The model is partially linear, ``Y = g(X) + theta(X)' Z + noise``, with Z log-ratio coordinates of the mixture. What
the state X explains of the outcome, m(X) = E[Y | X], and of the mixture, e(X) = E[Z | X], is learnt and taken away
(estimate/nuisances.py); the residuals of the outcome are regressed on the residuals of the mixture, by least squares with a
robust covariance (statsmodels). Theta is reported as contrasts: one share cannot move alone. A direction in which no run moved
is not learnt: its effect is taken to be 0, give or take the size of the effects that were learnt.

It assumes that the outcome is a line in log shares at every state, that all that moved both mixture and outcome is in the state, and
that every state has seen varied mixtures. The first two are looked at as far as runs can show them (estimate/departures.py): intervals are
wider by the bias that shows, and a curved outcome is said and nothing called sure. An interval fails where a cause is not recorded, which no
run can show, where a curve is too weak for these runs to see, and for a mixture beyond those tried.

Reference: V. Chernozhukov et al., *Double/debiased machine learning for treatment and structural parameters*, 2018
(definition 3.3: the median over repeated splits).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.departures import Asked, Departures, curvature_sentence, design_rows
from causalmix_nb.estimate.folds import rank_correlation
from causalmix_nb.estimate.model import Model, nudged
from causalmix_nb.estimate.nuisances import (
    Coordinates,
    Nuisance,
    StateFeatures,
    assignment_sentence,
    at_distinct,
    choose_learner,
    coordinates_of,
    learn_nuisance,
    noise_of,
    not_identified,
    refuse_decided,
    split_folds,
    state_and_scale,
    state_features,
)
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.methods.method import METHODS, Method, always
from causalmix_nb.mixture import log_mixture

RUNS_PER_COEFFICIENT = (
    8  # effects may vary with the state as far as so many runs stand behind each coefficient
)
MIN_CLUSTERS = 20  # a clustered covariance needs many clusters
REDRAWN = (
    2000  # runs up to which the folds are drawn three times: what a split adds by chance falls as 1 / runs
)
SPARE_RUNS = 2  # degrees of freedom that must be left to see the noise


# -- partially linear model -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Regression:
    """Residual-on-residual regression: coefficients [level, Theta row by row], covariance (c, c), its freedom."""

    beta: np.ndarray
    cov: np.ndarray
    df: float
    residual_sd: float


class LinearModel(Model):
    """Partially linear double machine learning; made by :func:`fit_linear`.

    theta: coefficients of the mixture's coordinates, shape (1 + p, r): row 0 at the average state, the others per
    standard deviation of a principal component of the state. cov: their covariance, the level first, if the model is right;
    departures: by how much it may be wrong, which the intervals know of besides.
    """

    method = "linear"

    def __init__(
        self,
        problem: Problem,
        coordinates: Coordinates,
        features: StateFeatures,
        nuisances: tuple[Nuisance, Nuisance],
        regression: _Regression,
        departures: Departures | None = None,
    ) -> None:
        super().__init__(problem)
        self.departures = departures
        self.coordinates, self.features = coordinates, features
        self.outcome_nuisance, self.treatment_nuisance = nuisances
        self.intercept = float(regression.beta[0])
        self.theta = regression.beta[1:].reshape(-1, coordinates.basis.shape[1])
        self.cov, self.df, self.residual_sd = regression.cov, regression.df, regression.residual_sd
        per_domain = self.theta[0] @ coordinates.basis.T
        sampling = np.diag(self.cov)[1 : 1 + len(self.theta[0])].sum() / len(per_domain)
        self._unseen_sd = float(np.sqrt((per_domain**2).mean() + sampling))

    def _interactions(self, W: np.ndarray) -> np.ndarray:
        return self.features(W)[:, : len(self.theta) - 1]

    def _state_part(self, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """m (n,) and e (n, r) at the rows of W (n, d)."""
        m = at_distinct(self.outcome_nuisance.predict, W)[:, 0]
        return m, at_distinct(self.treatment_nuisance.predict, W) @ self.coordinates.basis

    def mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        W = np.hstack([X, S])
        m, e = self._state_part(W)
        return m + design_rows(self.coordinates.z(T) - e, self._interactions(W)) @ np.append(
            self.intercept, self.theta
        )

    def joint_at(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        W = np.hstack([X, S])
        m, e = self._state_part(W)
        rows = design_rows(self.coordinates.z(T) - e, self._interactions(W))
        outside = self._unseen_sd * self.coordinates.outside(T)
        cov = rows @ self.cov @ rows.T + outside @ outside.T
        errors = [at_distinct(self._level_errors, W)]
        if self.departures is not None:
            errors.append(self._departed(rows, T, W))
        spread = np.hstack(errors)
        return m + rows @ np.append(self.intercept, self.theta), cov + spread @ spread.T

    def _departed(self, rows: np.ndarray, T: np.ndarray, W: np.ndarray) -> np.ndarray:
        """By how much each departure would change the expectation at n places, shape (n, 3)."""
        assert self.departures is not None
        Z = rows[:, 1 : 1 + self.theta.shape[1]]
        return self.departures.at(rows, Z, np.sqrt(T)[:, self.coordinates.active], W, self.features(W))

    def _level_errors(self, W: np.ndarray) -> np.ndarray:
        """How far g(x) moves when a fold is left out of its nuisances: a grouped jackknife, shape (n, folds).

        It depends on the state alone, so it cancels between mixtures at one state.
        """
        theta = np.hstack([np.ones((len(W), 1)), self._interactions(W)]) @ self.theta
        columns, splits = [], list(zip(self.outcome_nuisance.by_fold, self.treatment_nuisance.by_fold))
        for outcome, treatment in splits:
            m = np.array([predict(W)[:, 0] for predict in outcome])
            e = np.array([predict(W) @ self.coordinates.basis for predict in treatment])
            g = m - (theta * e).sum(2)
            columns.append((g - g.mean(0)) * math.sqrt((len(g) - 1) / len(g) / len(splits)))
        return np.vstack(columns).T

    def returns(self, state: Any = None, at: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Marginal returns (k,) of the moving domains and the covariance (k, k) of their errors; exact, no numeric derivative."""
        moves = self.coordinates.moves(self.start(at)[0])[self.problem.moving]
        states, weights = self.averaged(state)
        W = np.hstack([states, self.scales(None, len(states))])
        weight = np.append(1.0, weights @ self._interactions(W))
        A = np.kron(weight[None, :], moves @ self.coordinates.basis)  # (k, (1 + p) r), as Theta is laid out
        outside = self._unseen_sd * (moves @ self.coordinates.unseen)
        cov = A @ self.cov[1:, 1:] @ A.T + outside @ outside.T
        if self.departures is not None:  # no line, so no exact derivative: by differences
            T, difference = nudged(self, at)
            T, m = np.repeat(T, len(states), axis=0), len(states)
            W = np.tile(W, (len(difference.T), 1))
            rows = design_rows(self.coordinates.z(T) - self._state_part(W)[1], self._interactions(W))
            departed = np.einsum(
                "iaq,a->iq", self._departed(rows, T, W).reshape(len(difference.T), m, -1), weights
            )
            cov = cov + (difference @ departed) @ (difference @ departed).T
        return A @ self.theta.ravel(), cov


def fit_linear(
    problem: Problem,
    *,
    treatment: Literal["ilr", "log"] = "ilr",
    interactions: bool = True,
    orthogonalise: bool = True,
    n_folds: int = 5,
    n_repeats: int | None = None,
    cov_type: Literal["HC3", "cluster"] | None = None,
    learners: tuple[str, str] | None = None,
    inspect: bool = True,
    random_state: int = 0,
) -> LinearModel:
    """Estimate the effects of the mixture by partially linear double machine learning.

    Parameters
    ----------
    problem: the runs; state and scale are adjusted for.
    treatment: ``"ilr"``, isometric log-ratios (rank K - 1), or ``"log"``, the paper's log(T + eps) (nearly rank K - 1).
    interactions: let effects vary with the state, as far as the number of runs carries it and they show it.
    orthogonalise: adjust for the state; False regresses on the mixture as it is (for ablation).
    n_folds, n_repeats: cross-fitting folds, and how often they are redrawn (three times up to 2000 runs, else once); the median
        over redraws is taken.
    cov_type: ``"HC3"``, ``"cluster"`` (runs of one state, or of one mixture, err together), or None: clusters where
        there are enough of them, else HC3.
    learners: of the nuisances of outcome and mixture, where they are chosen already; they are taken for quick fits and for more than
        2000 runs, where a choice hardly leans on any; else every fold's are chosen without a look at the fold.
    inspect: look for where the model may be wrong and widen the intervals by it; False for a quick fit of many.
    random_state: seed of the folds and of LightGBM.

    Raises
    ------
    FitError: fewer distinct runs than coefficients, mixtures that do not vary, or that the state alone decides.

    >>> import pandas as pd
    >>> from causalmix_nb.runs.store import Runs
    >>> rng = np.random.default_rng(0)
    >>> T = rng.dirichlet([2, 2, 2], size=60)
    >>> runs = Runs.from_frames(pd.DataFrame(T, columns=["math", "code", "web"]), pd.DataFrame({"score": np.log(T[:, 0] / T[:, 2])}))
    >>> fit_linear(Problem.from_runs(runs)).marginal_return()["estimate"].round(1).tolist()
    [1.0, 0.0, -1.0]
    """
    if treatment not in ("ilr", "log") or cov_type not in (None, "HC3", "cluster"):
        raise FitError(
            f"treatment is {treatment!r} and cov_type {cov_type!r}; use 'ilr' or 'log', and 'HC3', 'cluster' or None."
        )
    problem = weighed(problem)
    coordinates = coordinates_of(problem, treatment)
    n_distinct = len(np.unique(problem.groups))
    needed = coordinates.basis.shape[1] + 1 + SPARE_RUNS
    if n_distinct < needed:
        raise FitError(
            f"{n_distinct} distinct runs do not carry the effects of {int(coordinates.active.sum())} domains; at least {needed} "
            f"are needed, and {RUNS_PER_COEFFICIENT * needed} are comfortable: add runs or merge domains."
        )
    rng, W = np.random.default_rng(random_state), state_and_scale(problem)
    if n_repeats is None:
        n_repeats = 3 if problem.n_runs <= REDRAWN else 1
    splits = [split_folds(problem.groups, n_folds, rng) for _ in range(max(1, n_repeats))]
    L, weights = _logs(problem, treatment), None if problem.evenly else problem.precision
    given = learners if not inspect or problem.n_runs > REDRAWN else None
    of_y, of_t = given or (None, None)
    for_y = learn_nuisance(W, problem.y[:, None], splits, random_state, orthogonalise, weights, of_y)
    for_t = learn_nuisance(W, L, splits, random_state, orthogonalise, only=of_t)
    residuals = [
        (problem.y - m[:, 0], (L - e) @ coordinates.basis) for m, e in zip(for_y.fitted, for_t.fitted)
    ]
    refuse_decided(residuals[0][1], L @ coordinates.basis, n_distinct)
    features, root = state_features(W), np.sqrt(problem.precision)
    carried = _how_many_features(residuals[0][1], features(W), n_distinct) if interactions else 0
    together = np.unique(problem.repeats, return_inverse=True)[1].ravel()
    asked = Asked(*residuals[0], root, together, n_distinct)
    n_features = asked.how_many_earn(features(W)[:, :carried])
    F = features(W)[:, :n_features]
    designs = [(y, design_rows(Z, F)) for y, Z in residuals]
    clusters, covariance = _clusters(problem, designs[0][1].shape[1], cov_type)
    parts = [_regress(root * y, root[:, None] * rows, clusters) for y, rows in designs]
    found = None
    if inspect:
        asked = asked if clusters is None else replace(asked, together=clusters)
        roots = np.sqrt(problem.T)[:, coordinates.active]
        explained = learn_nuisance(W, roots, splits[:1], random_state, only=for_t.learner)
        found = asked.departures(
            features(W), (n_features, carried), roots, explained, confounded=orthogonalise
        )
    median = _median(parts, coordinates.basis, 1 + n_features)
    model = LinearModel(problem, coordinates, features, (for_y, for_t), median, found)
    curved = math.nan if found is None else found.curved.p
    model.doubt = curvature_sentence(curved, "linear")
    model.noise_sd, noise_source = noise_of(problem, model.residual_sd)
    available = features.axes.shape[1]
    model.diagnostics = {
        "cv_spearman": _cv_spearman(problem, for_y.fitted[0][:, 0], *designs[0], splits[0]),
        "treatment_r2": for_t.r2,
        "assignment": assignment_sentence(for_t.r2, W.shape[1] > 0)
        if orthogonalise
        else "not asked: the state is not adjusted for",
        "nuisance_y": for_y.learner,
        "nuisance_t": for_t.learner,
        "outcome_r2": for_y.r2,
        "treatment": treatment,
        "interactions": _interactions_sentence(
            n_features, carried, available, W.shape[1], problem.n_runs, interactions
        ),
        "curvature_p": curved,
        "n_coefficients": int(model.theta.size),
        "condition_number": _condition(designs[0][1][:, 1:]),
        "covariance": covariance,
        "noise_sd": model.noise_sd,
        "noise_source": noise_source,
    }
    if model.doubt:
        model.diagnostics["not_sure"] = f"no effect is called sure, {model.doubt}"
    notes = not_identified(problem, coordinates)
    if notes:
        model.diagnostics["not_identified"] = "; ".join(notes)
    return model


def _logs(problem: Problem, treatment: str) -> np.ndarray:
    logs = log_mixture(problem.T)
    return logs - (logs.mean(1, keepdims=True) if treatment == "ilr" else 0)


def _with_learners(problem: Problem, random_state: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the learners of the nuisances, which hold for every fold."""
    if not options.get("orthogonalise", True) or "learners" in options or len(np.unique(problem.groups)) < 2:
        return dict(options)
    W, rng = state_and_scale(problem), np.random.default_rng(random_state)
    folds = split_folds(problem.groups, options.get("n_folds", 5), rng)
    L, weights = (
        _logs(problem, options.get("treatment", "ilr")),
        None if problem.evenly else problem.precision,
    )
    of_y = choose_learner(W, problem.y[:, None], folds, random_state, weights=weights)
    return {**options, "learners": (of_y, choose_learner(W, L, folds, random_state))}


def _how_many_features(Z: np.ndarray, F: np.ndarray, n_distinct: int) -> int:
    """How many components of the state the effects may vary with, given the number of distinct runs."""
    comfortable = n_distinct // (RUNS_PER_COEFFICIENT * Z.shape[1]) - 1
    p = int(np.clip(comfortable, 0, F.shape[1]))
    while p and _condition(design_rows(Z, F[:, :p])) > 1e6:
        p -= 1
    return p


def _interactions_sentence(
    used: int, carried: int, available: int, columns: int, n_runs: int, asked: bool
) -> str:
    if not columns:
        return "none: no state"
    if not asked:
        return "none: switched off, the same effect at every state"
    if used == available:
        return f"effects vary with all {columns} state and scale columns"
    if used < carried:
        earned = f"effects vary with {used} of {available}" if used else "none: effects that vary with"
        return (
            f"{earned} principal components of the state; more would widen the interval and explain nothing"
        )
    if used:
        return f"effects vary with {used} of {available} principal components of the state; {n_runs} runs carry no more"
    return f"none: {n_runs} runs do not carry effects that vary with the state"


def _clusters(problem: Problem, n_coefficients: int, cov_type: str | None) -> tuple[np.ndarray | None, str]:
    """Numbers of the clusters to use (None for HC3) and a phrase that says what was used."""
    needed = max(MIN_CLUSTERS, 2 * n_coefficients)
    n_groups = len(np.unique(problem.groups))
    for numbers in (problem.clusters, problem.groups):
        n_clusters = len(np.unique(numbers))
        what = "states" if n_clusters < n_groups else "repeated runs"
        enough = n_clusters >= needed or cov_type == "cluster"
        if cov_type != "HC3" and n_clusters < problem.n_runs and enough:
            return np.unique(numbers, return_inverse=True)[1], f"clustered by {n_clusters} {what}"
    return None, "HC3"


def _regress(y: np.ndarray, rows: np.ndarray, clusters: np.ndarray | None) -> _Regression:
    import statsmodels.api as sm

    ols = sm.OLS(y, rows)
    leverage = (np.linalg.qr(rows)[0] ** 2).sum(1)
    # HC3 divides by 1 - leverage: a run that alone decides a coefficient has no residual to judge it by
    fit = ols.fit(cov_type="HC3" if leverage.max() < 1 - 1e-6 else "nonrobust")
    cov, df = fit.cov_params(), float(ols.df_resid)
    if clusters is not None:
        cov, df = _cluster_jackknife(rows, np.asarray(fit.resid), clusters), float(clusters.max())
    return _Regression(np.asarray(fit.params), cov, df, math.sqrt(fit.ssr / ols.df_resid))


def _cluster_jackknife(rows: np.ndarray, residual: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Covariance (c, c) of least squares when runs of a cluster err together: CR3, to clusters what HC3 is to runs.

    The clustered covariance of statsmodels (CR1) is too narrow with some tens of clusters and as many coefficients.
    Reference: R. Bell, D. McCaffrey, *Bias reduction in standard errors for linear regression with multi-stage samples*, 2002.
    """
    bread = np.linalg.inv(rows.T @ rows)
    scores = np.zeros((int(clusters.max()) + 1, rows.shape[1]))
    for cluster in range(len(scores)):
        D, u = rows[clusters == cluster], residual[clusters == cluster]
        scores[cluster] = D.T @ np.linalg.pinv(np.eye(len(u)) - D @ bread @ D.T, hermitian=True) @ u
    return bread @ (scores.T @ scores) @ bread


def _median(parts: list[_Regression], basis: np.ndarray, n_rows: int) -> _Regression:
    """Median over redrawn folds, per domain rather than per coordinate so that the order of domains cannot matter."""
    theta = np.array([(part.beta[1:].reshape(n_rows, -1)) @ basis.T for part in parts])  # (R, 1 + p, K)
    beta = np.append(np.median([part.beta[0] for part in parts]), np.median(theta, axis=0) @ basis)
    spread = [part.cov + np.outer(part.beta - beta, part.beta - beta) for part in parts]
    middle = np.argsort([np.trace(cov) for cov in spread])[len(parts) // 2]
    return _Regression(
        beta, spread[middle], parts[0].df, float(np.median([part.residual_sd for part in parts]))
    )


def _cv_spearman(
    problem: Problem, m: np.ndarray, residual: np.ndarray, rows: np.ndarray, folds: np.ndarray
) -> float:
    """Rank correlation of the outcome with predictions from coefficients and nuisances fitted on other folds."""
    predicted, root, fits = np.empty(len(m)), np.sqrt(problem.precision), problem.trusted
    for fold in range(int(folds.max()) + 1):
        test = folds == fold
        kept = root[~test]
        beta = np.linalg.lstsq(kept[:, None] * rows[~test], kept * residual[~test], rcond=None)[0]
        predicted[test] = m[test] + rows[test] @ beta
    return rank_correlation(problem.y[fits], predicted[fits])


def _condition(rows: np.ndarray) -> float:
    norm = np.linalg.norm(rows, axis=0)
    return float(np.linalg.cond(rows / np.where(norm > 0, norm, 1)))


METHODS.register(
    Method(
        "linear",
        "double machine learning, linear in log-ratios",
        fit_linear,
        quick={"n_repeats": 1, "inspect": False},
        tried=always,
        settle=_with_learners,
        orthogonalises=True,
    )
)
