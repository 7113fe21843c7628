"""Response surfaces: the expected outcome as a function of mixture, state and scale.

Four ways to draw the surface, each a ``fit_xxx(problem, *, random_state=0)`` that returns a :class:`Model`:

* :func:`fit_gp` – a Gaussian process (see ``methods/gaussian_process.py``), the one to optimise with;
* :func:`fit_lightgbm` – boosted trees on the same columns;
* :func:`fit_regmix` – boosted trees on the shares alone with the published settings (Liu et al., *RegMix*,
  arXiv 2407.01492), for comparison;
* :func:`fit_law` – the data mixing law ``c ± exp(b + Σ r_k t_k)`` (Ye et al., arXiv 2403.16952).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.warp import moments
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.methods.gaussian_process import GaussianProcess, pure_error
from causalmix_nb.methods.warped import WarpedProcess, fit_gp, likelier_scale
from causalmix_nb.mixture import ilr_basis

__all__ = [
    "GaussianProcess",
    "WarpedProcess",
    "fit_gp",
    "fit_law",
    "fit_lightgbm",
    "fit_regmix",
    "folds",
    "likelier_scale",
    "pure_error",
]

# -- boosted trees ---------------------------------------------------------------------------------------

# github sail-sg/regmix, regression_fitting/regression.ipynb
REGMIX = {"n_estimators": 1000, "learning_rate": 0.01}
REGMIX_PATIENCE = 3


class BoostedTrees(Model):
    """LightGBM, with intervals from an ensemble refitted on resampled groups of runs."""

    def __init__(
        self, problem: Problem, method: str, settings: dict[str, Any], error: float, seed: int, ensemble: int
    ) -> None:
        super().__init__(problem)
        self.method = method
        columns, weight = _columns(problem, method), _weight(problem)
        self._trees = _boost(columns, problem.y, settings, weight=weight)
        rng = np.random.default_rng(seed)
        members = np.unique(problem.groups)
        self._ensemble = []
        for _ in range(ensemble):
            drawn = rng.choice(members, len(members))
            rows = np.concatenate([np.flatnonzero(problem.groups == group) for group in drawn])
            drawn_weight = None if weight is None else weight[rows]
            self._ensemble.append(_boost(columns[rows], problem.y[rows], settings, weight=drawn_weight))
        repeated, df = pure_error(problem)
        self.noise_sd, self._error = (repeated if df >= 3 else error), error
        self.has_interval = ensemble > 1
        self.diagnostics = {"settings": settings, "out_of_fold_rmse": error, "ensemble": ensemble}

    def _mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        return self._trees.predict(_stack(self.method, T, X, S), num_threads=1)

    def expected(self, T: np.ndarray, state: Any = None, scale: Any = None) -> np.ndarray:
        if self.method == "regmix":  # the same at every state
            return self._mean(T, np.zeros((len(T), 0)), self.scales(scale, len(T)))
        return super().expected(T, state, scale)

    def _joint(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns = _stack(self.method, T, X, S)
        mean = self._trees.predict(columns, num_threads=1)
        if not self.has_interval:  # independent errors as large as those of left-out runs
            return mean, max(self._error**2 - self.noise_sd**2, 0.0) * np.eye(len(columns))
        members = np.array([trees.predict(columns, num_threads=1) for trees in self._ensemble])
        away = members - members.mean(0)
        return mean, away.T @ away / (len(members) - 1)


def fit_lightgbm(problem: Problem, *, random_state: int = 0, ensemble: int = 20) -> BoostedTrees:
    """Gradient boosted trees on (shares, state, scale); leaf size and number of trees chosen by grouped cross-validation.

    LightGBM's default leaves (20 runs at least) learn next to nothing from a hundred runs, so smaller ones are tried.
    Intervals come from ``ensemble`` refits on resampled groups of runs; they tend to be too narrow where there are no runs.
    """
    problem = weighed(problem)
    n = problem.n_runs
    shapes = [(4, max(2, n // 64)), (8, max(3, n // 32)), (16, max(5, n // 32))]
    tried = []
    for leaves, smallest in shapes:
        settings = {
            "n_estimators": 300,
            "learning_rate": 0.1,
            "num_leaves": leaves,
            "min_child_samples": smallest,
            "reg_lambda": 1.0,
        }
        rmse, trees = _tune(problem, "lightgbm", settings, random_state, patience=20)
        tried.append((rmse, {**settings, "n_estimators": trees}))
    error, settings = min(tried, key=lambda pair: pair[0])
    return BoostedTrees(problem, "lightgbm", settings, error, random_state, ensemble)


def fit_regmix(problem: Problem, *, random_state: int = 0, ensemble: int = 20) -> BoostedTrees:
    """LightGBM on the shares alone with RegMix's published settings; the state is ignored.

    RegMix stops early on its test runs; here the number of trees comes from folds of the given runs.
    """
    problem = weighed(problem)
    error, trees = _tune(problem, "regmix", REGMIX, random_state, patience=REGMIX_PATIENCE)
    return BoostedTrees(problem, "regmix", {**REGMIX, "n_estimators": trees}, error, random_state, ensemble)


def _stack(method: str, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
    return np.hstack([T, S] if method == "regmix" else [T, X, S])


def _weight(problem: Problem) -> np.ndarray | None:
    return None if problem.evenly else problem.precision


def _columns(problem: Problem, method: str) -> np.ndarray:
    return _stack(method, problem.T, problem.X, problem.S)


def _boost(
    columns: np.ndarray, y: np.ndarray, settings: dict[str, Any], held_out: Any = None, patience: int = 0,
    weight: np.ndarray | None = None,
) -> Any:  # fmt: skip
    import lightgbm as lgb

    rounds = settings["n_estimators"]
    options = {key: value for key, value in settings.items() if key != "n_estimators"}
    options |= {
        "objective": "regression",
        "verbosity": -1,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
    }
    data = lgb.Dataset(columns, y, weight=weight, params={"verbosity": -1}, free_raw_data=False)
    if held_out is None:
        return lgb.train(options, data, rounds)
    watch: list[Any] = [lgb.early_stopping(patience, verbose=False)]
    return lgb.train(
        {**options, "metric": "l2"},
        data,
        rounds,
        valid_sets=[
            lgb.Dataset(
                held_out[0], held_out[1], weight=held_out[2] if len(held_out) > 2 else None, reference=data
            )
        ],
        callbacks=watch,
    )


def _tune(
    problem: Problem, method: str, settings: dict[str, Any], seed: int, patience: int
) -> tuple[float, int]:
    """Out-of-fold root mean squared error, and the mean number of trees at which the folds stopped."""
    columns, error, stopped = _columns(problem, method), np.zeros(problem.n_runs), []
    weight = _weight(problem)
    for fold in folds(problem.groups, 4, seed):
        kept = np.setdiff1d(np.arange(problem.n_runs), fold)
        of_kept, of_fold = (None, None) if weight is None else (weight[kept], weight[fold])
        held_out = (columns[fold], problem.y[fold], of_fold)
        trees = _boost(columns[kept], problem.y[kept], settings, held_out, patience, of_kept)
        error[fold] = problem.y[fold] - trees.predict(columns[fold], num_threads=1)
        stopped.append(trees.best_iteration or settings["n_estimators"])
    return float(np.sqrt(np.average(error**2, weights=problem.trust))), max(
        10, round(float(np.mean(stopped)))
    )


def folds(groups: np.ndarray, n_folds: int, seed: int) -> list[np.ndarray]:
    """Rows of each fold; runs of one group (repeated seeds) are never split, and every run is in exactly one fold."""
    members, index = np.unique(groups, return_inverse=True)
    if len(members) < 2:
        raise FitError(
            "all runs share one mixture, so nothing can be held out; make runs with different mixtures."
        )
    fold_of = np.random.default_rng(seed).permutation(len(members)) % min(n_folds, len(members))
    return [np.flatnonzero(fold_of[index] == fold) for fold in range(fold_of.max() + 1)]


# -- data mixing law -------------------------------------------------------------------------------------


class MixingLaw(Model):
    """``c + sign · exp(b + Σ r_k t_k + Σ q_j s_j)`` with the delta method's covariance.

    Only differences of the r_k can be told apart (shares sum to 1), so they are fitted in a basis of contrasts.
    """

    method = "law"

    def __init__(self, problem: Problem, random_state: int = 0, n_starts: int = 4) -> None:
        super().__init__(problem)
        moving = problem.moving
        self._basis, self._at = np.zeros((len(moving), int(moving.sum()) - 1)), problem.S.mean(0)
        self._basis[moving] = ilr_basis(int(moving.sum()))
        self._centre, self._unit, _ = moments(problem.y, problem.trust)
        self._root = np.sqrt(problem.precision)
        columns, y = self._columns(problem.T, problem.S), (problem.y - self._centre) / self._unit
        fits = [
            self._solve(columns, y, sign, start)
            for sign in (1.0, -1.0)
            for start in self._starts(columns, y, sign, random_state, n_starts)
        ]
        best = min(fits, key=lambda pair: pair[1].cost)
        self._sign, self._params = best[0], best[1].x
        self.df = problem.n_runs - len(self._params)
        # The exponential may run away from the runs: stop it one e-fold above the largest value that they reach.
        self._most = float((columns @ self._params[1:])[problem.trusted].max()) + 1
        residual = 2 * float(best[1].cost) / max(self.df, 1)
        gradient = self._root[:, None] * self._gradient(columns, self._params)
        self._cov = residual * np.linalg.pinv(gradient.T @ gradient, rcond=1e-10)
        self.noise_sd = math.sqrt(residual) * self._unit
        slope = self._sign * self._unit * self._basis @ self._params[2 : 2 + self._basis.shape[1]]
        self.diagnostics = {"exponents": dict(zip(problem.moving_domains, slope[moving].round(6).tolist()))}

    def _columns(self, T: np.ndarray, S: np.ndarray) -> np.ndarray:
        return np.hstack([np.ones((len(T), 1)), T @ self._basis, S - self._at])

    def _starts(
        self, columns: np.ndarray, y: np.ndarray, sign: float, seed: int, n_starts: int
    ) -> list[np.ndarray]:
        rng, starts = np.random.default_rng(seed), []
        for i in range(n_starts):
            told = y[self.problem.trusted]
            level = float((told.min() if sign > 0 else told.max()) - sign * (0.2, 1.0, 3.0, 0.5)[i % 4])
            logs = np.log(np.maximum(sign * (y - level), 1e-3))
            root = self._root
            slope = np.linalg.lstsq(root[:, None] * columns, root * logs, rcond=None)[0]
            starts.append(np.r_[level, slope + (0.1 * rng.standard_normal(len(slope)) if i > 2 else 0)])
        return starts

    def _solve(self, columns: np.ndarray, y: np.ndarray, sign: float, start: np.ndarray) -> tuple[float, Any]:
        from scipy.optimize import least_squares

        root = self._root

        def residual(p: np.ndarray) -> np.ndarray:
            return root * (p[0] + sign * np.exp(np.minimum(columns @ p[1:], 30)) - y)

        def jacobian(p: np.ndarray) -> np.ndarray:
            slope = sign * np.exp(np.minimum(columns @ p[1:], 30))[:, None] * columns
            return root[:, None] * np.hstack([np.ones((len(y), 1)), slope])

        return sign, least_squares(residual, start, jacobian, method="trf", max_nfev=200)

    def _gradient(self, columns: np.ndarray, p: np.ndarray) -> np.ndarray:
        return np.hstack(
            [
                np.ones((len(columns), 1)),
                self._sign * np.exp(np.minimum(columns @ p[1:], self._most))[:, None] * columns,
            ]
        )

    def _mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        value = self._params[0] + self._sign * np.exp(
            np.minimum(self._columns(T, S) @ self._params[1:], self._most)
        )
        return self._centre + self._unit * value

    def expected(self, T: np.ndarray, state: Any = None, scale: Any = None) -> np.ndarray:
        return self._mean(T, np.zeros((len(T), 0)), self.scales(scale, len(T)))  # the same at every state

    def _joint(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gradient = self._gradient(self._columns(T, S), self._params) * self._unit
        return self._mean(T, X, S), gradient @ self._cov @ gradient.T


def fit_law(problem: Problem, *, random_state: int = 0, n_starts: int = 4) -> MixingLaw:
    """The data mixing law, by least squares from several starts; a rising or a falling exponential, whichever fits.

    Raises
    ------
    FitError: fewer runs than the law has parameters (domains + 1 + scale columns).
    """
    problem = weighed(problem)
    needed = len(problem.moving_domains) + 2 + len(problem.scale_names)
    if problem.n_runs < needed:
        raise FitError(
            f"{problem.n_runs} runs are too few for the mixing law of {len(problem.moving_domains)} domains; it needs {needed}."
        )
    return MixingLaw(problem, random_state, n_starts)
