"""Effects that vary freely with the state: a causal forest on cross-fitted residuals (EconML, extra ``[forest]``).

This is the estimator of arXiv 2607.01104. It takes isometric log-ratios as treatment, so that K domains have K - 1
effects, and folds that keep repeated runs together.

It assumes that the outcome is a line in log shares at every state, and that all that moved both mixture and outcome is in the state. The
curvature is tested as for the linear method (estimate/departures.py): what it would change widens the intervals, and where it shows nothing is
called sure. The intervals fail where trees smooth over effects that change fast with the state, and where a cause is not recorded.

Reference: S. Athey, J. Tibshirani, S. Wager, *Generalized random forests*, 2019.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from causalmix_nb.errors import FitError, did_you_mean
from causalmix_nb.estimate.departures import Asked, Departures, curvature_sentence, design_rows
from causalmix_nb.estimate.folds import rank_correlation
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.nuisances import (
    Coordinates,
    assignment_sentence,
    at_distinct,
    coordinates_of,
    learn_nuisance,
    lightgbm_parameters,
    noise_of,
    not_identified,
    split_folds,
    state_and_scale,
    state_features,
)
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.warp import moments
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.methods.method import METHODS, Method

_OURS = {"model_y", "model_t", "n_estimators", "n_jobs", "cv", "random_state"}  # set by fit_forest itself


class ForestModel(Model):
    """Causal forest on cross-fitted residuals; made by :func:`fit_forest`. ``estimator`` is EconML's own object.

    The forest gives the covariance of theta(x) at one state. Errors at different states are taken to be fully
    correlated, which makes averages over states wide rather than narrow.
    """

    method = "forest"
    relates_states = covers_the_best = False

    def __init__(
        self, problem: Problem, estimator: Any, coordinates: Coordinates, residual_sd: float
    ) -> None:
        super().__init__(problem)
        self.estimator, self.coordinates, self.residual_sd = estimator, coordinates, residual_sd
        self.departures: Departures | None = None
        theta = estimator.const_marginal_effect(_forest_columns(state_and_scale(problem)))
        per_domain = theta.reshape(problem.n_runs, -1) @ coordinates.basis.T
        self._unseen_sd = float(np.sqrt((per_domain**2).mean()))

    def _nuisances(self, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """m (n,) and e (n, r): the average of the cross-fitted models."""
        columns = _forest_columns(W)
        m = np.mean([model.predict(columns) for split in self.estimator.models_y for model in split], axis=0)
        e = np.mean([model.predict(columns) for split in self.estimator.models_t for model in split], axis=0)
        return m.ravel(), e.reshape(len(W), -1)

    def mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        W, r = np.hstack([X, S]), self.coordinates.basis.shape[1]

        def parts(rows: np.ndarray) -> np.ndarray:
            m, e = self._nuisances(rows)
            theta = self.estimator.const_marginal_effect(_forest_columns(rows)).reshape(len(rows), r)
            return np.column_stack([m - (theta * e).sum(1), theta])

        value = at_distinct(parts, W)
        return value[:, 0] + (value[:, 1:] * self.coordinates.z(T)).sum(1)

    def joint_at(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        W = np.hstack([X, S])
        distinct, index = np.unique(W, axis=0, return_inverse=True)
        index = index.ravel()
        m, e = self._nuisances(distinct)
        theta, roots = self._theta(distinct)
        moved = self.coordinates.z(T) - e[index]
        errors = np.einsum("nij,ni->nj", roots[index], moved)
        outside = self._unseen_sd * self.coordinates.outside(T)
        cov = errors @ errors.T + outside @ outside.T + self.residual_sd**2 / self.problem.n_runs
        if self.departures is not None:
            departed = self.departures.at(
                design_rows(moved, moved[:, :0]), moved, np.sqrt(T)[:, self.coordinates.active], W, W[:, :0]
            )
            cov = cov + departed @ departed.T
        return m[index] + (theta[index] * moved).sum(1), cov

    def _theta(self, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """theta (n, r) at the rows of W and symmetric roots (n, r, r) of its covariance.

        EconML corrects each variance for the finite number of trees, which can leave a matrix that is no covariance; so
        its principal directions are kept and EconML's variance of theta along each of them is taken.
        """
        columns, forest, r = _forest_columns(W), self.estimator.model_final_, self.coordinates.basis.shape[1]
        theta, cov = forest.predict_and_var(columns)
        vectors = np.linalg.eigh(cov.reshape(len(W), r, r))[1]
        variance = [
            np.ravel(forest.predict_projection_and_var(columns, vectors[:, :, j])[1]) for j in range(r)
        ]
        root = np.einsum("nij,nj,nkj->nik", vectors, np.sqrt(np.column_stack(variance)), vectors)
        return theta.reshape(len(W), r), root

    def returns(self, state: Any = None, at: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Marginal returns (k,) of the moving domains and the covariance (k, k) of their errors."""
        states, weights = self.averaged(state)
        theta, roots = self._theta(np.hstack([states, self.scales(None, len(states))]))
        moves = self.coordinates.moves(self.start(at)[0])[self.problem.moving]
        A, outside = moves @ self.coordinates.basis, self._unseen_sd * (moves @ self.coordinates.unseen)
        errors = A @ np.tensordot(weights, roots, 1)
        return A @ (weights @ theta), errors @ errors.T + outside @ outside.T


def _forest_columns(W: np.ndarray) -> np.ndarray:
    return W if W.shape[1] else np.zeros((len(W), 1))  # a forest needs a column to (not) split on


def fit_forest(
    problem: Problem,
    *,
    orthogonalise: bool = True,
    n_folds: int = 5,
    n_estimators: int = 400,
    random_state: int = 0,
    **forest: Any,
) -> ForestModel:
    """Estimate effects that vary freely with the state, by a causal forest with LightGBM nuisances.

    This is the estimator of arXiv 2607.01104 (EconML ``CausalForestDML``), with isometric log-ratios as treatment and
    folds that keep repeated runs together. It needs the extra ``[forest]``.

    Parameters
    ----------
    n_folds: cross-fitting folds. n_estimators: trees, rounded up to a multiple of 4.
    orthogonalise: residualise on the state first; False uses plain means (for ablation).
    forest: further parameters of ``CausalForestDML``, for example ``max_depth``, ``min_samples_leaf``, ``max_samples``.

    Raises
    ------
    FitError: a parameter that it does not have, or one it refuses; EconML is not installed; too few distinct runs; mixtures that do not vary.
    """
    try:
        from econml.dml import CausalForestDML
    except ImportError:
        raise FitError(
            "method 'forest' needs EconML, which is not installed; run: pip install causalmix_nb[forest]"
        ) from None

    problem = weighed(problem)
    coordinates = coordinates_of(problem, "ilr")
    n_distinct, needed = len(np.unique(problem.groups)), max(40, 6 * coordinates.basis.shape[1])
    if n_distinct < needed:
        raise FitError(
            f"{n_distinct} distinct runs are too few for a causal forest over {int(coordinates.active.sum())} domains; "
            f"at least {needed} are needed: add runs, or use method='linear'."
        )
    folds = split_folds(problem.groups, n_folds, np.random.default_rng(random_state))
    model_y, model_t = _forest_nuisances(problem.n_runs, random_state, orthogonalise)
    known = inspect.signature(CausalForestDML).parameters
    for name in forest:
        if name not in known or name in _OURS:
            options = [other for other in known if other not in _OURS]
            raise FitError(
                f"a causal forest has no parameter {name!r} to set.{did_you_mean(name, options)} It has {', '.join(options)}."
            )
    estimator = CausalForestDML(
        model_y=model_y, model_t=model_t, n_estimators=4 * math.ceil(n_estimators / 4), n_jobs=1,
        cv=[(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(int(folds.max()) + 1)],
        random_state=random_state, **forest,
    )  # fmt: skip
    W, Z = state_and_scale(problem), coordinates.z(problem.T)
    try:
        weights = None if problem.evenly else problem.precision
        estimator.fit(problem.y, Z, X=_forest_columns(W), sample_weight=weights, cache_values=True)
    except (ValueError, TypeError) as error:
        if not forest:
            raise
        given = ", ".join(f"{name}={value!r}" for name, value in forest.items())
        raise FitError(f"the causal forest refuses {given}: {error}") from error
    return _finished_forest(problem, estimator, coordinates, Z, orthogonalise)


def _forest_nuisances(n: int, seed: int, orthogonalise: bool) -> tuple[Any, Any]:
    if not orthogonalise:
        from sklearn.dummy import DummyRegressor

        return DummyRegressor(), DummyRegressor()
    from lightgbm import LGBMRegressor
    from sklearn.multioutput import MultiOutputRegressor

    return LGBMRegressor(**lightgbm_parameters(n, seed)), MultiOutputRegressor(
        LGBMRegressor(**lightgbm_parameters(n, seed))
    )


def _finished_forest(
    problem: Problem, estimator: Any, coordinates: Coordinates, Z: np.ndarray, orthogonalise: bool
) -> ForestModel:
    y_residual, z_residual, columns, _ = estimator.residuals_
    z_residual = z_residual.reshape(Z.shape)
    theta = estimator.model_final_.oob_predict(columns).reshape(Z.shape)  # trees that did not see the run
    theta = np.where(np.isnan(theta), estimator.const_marginal_effect(columns).reshape(Z.shape), theta)
    explained = (theta * z_residual).sum(1)
    residual_sd = moments(np.ravel(y_residual) - explained, problem.precision)[1]
    fits = problem.trusted
    model = ForestModel(problem, estimator, coordinates, residual_sd)
    model.noise_sd, noise_source = noise_of(problem, residual_sd)
    model.departures = _departures(problem, coordinates, np.ravel(y_residual) - explained, z_residual)
    model.doubt = curvature_sentence(model.departures.curved.p, "forest")
    r2 = max(0.0, float(1 - (z_residual**2).sum() / ((Z - Z.mean(0)) ** 2).sum()))
    has_state = bool(problem.X.shape[1] + problem.S.shape[1])
    learner = "lightgbm" if orthogonalise else "mean"
    model.diagnostics = {
        "cv_spearman": rank_correlation(
            problem.y[fits], (problem.y - np.ravel(y_residual) + explained)[fits]
        ),
        "treatment_r2": r2 if has_state else 0.0,
        "assignment": assignment_sentence(r2, has_state)
        if orthogonalise
        else "not asked: the state is not adjusted for",
        "nuisance_y": learner,
        "nuisance_t": learner,
        "curvature_p": model.departures.curved.p,
        "n_trees": int(estimator.n_estimators),
        "n_coefficients": Z.shape[1],
        "noise_sd": model.noise_sd,
        "noise_source": noise_source,
    }
    if model.doubt:
        model.diagnostics["not_sure"] = f"no effect is called sure, {model.doubt}"
    notes = not_identified(problem, coordinates)
    if notes:
        model.diagnostics["not_identified"] = "; ".join(notes)
    return model


def _departures(
    problem: Problem, coordinates: Coordinates, left: np.ndarray, z_residual: np.ndarray
) -> Departures:
    """What roots of the shares, and a quadratic in the state, would change of a level and a line through what the forest leaves."""
    W, together = state_and_scale(problem), np.unique(problem.repeats, return_inverse=True)[1].ravel()
    folds = split_folds(problem.groups, 5, np.random.default_rng(0))
    roots = np.sqrt(problem.T)[:, coordinates.active]
    explained = learn_nuisance(W, roots, [folds], 0)
    root, n_distinct = np.sqrt(problem.precision), len(np.unique(problem.groups))
    asked = Asked(left, z_residual, root, together, n_distinct)
    return asked.departures(state_features(W)(W), (0, 0), roots, explained, confounded=True)


METHODS.register(
    Method(
        "forest", "causal forest, effects that vary freely with the state", fit_forest, orthogonalises=True
    )
)
