"""Boosted trees on (shares, state, scale), and RegMix: on the shares alone with its published settings.

RegMix (Liu et al., arXiv 2407.01492) is the view to compare with: what the mixture alone predicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from causalmix_nb.estimate.folds import folds, pure_error
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.methods.method import METHODS, Method, always

# github sail-sg/regmix, regression_fitting/regression.ipynb
REGMIX = {"n_estimators": 1000, "learning_rate": 0.01}
REGMIX_PATIENCE = 3


class BoostedTrees(Model):
    """LightGBM, with intervals from an ensemble refitted on resampled groups of runs.

    uses_state: whether the trees see the state beside the shares and the scale.
    """

    method = "lightgbm"
    covers_the_best = False

    def __init__(
        self,
        problem: Problem,
        uses_state: bool,
        settings: dict[str, Any],
        error: float,
        seed: int,
        ensemble: int,
    ) -> None:
        super().__init__(problem)
        self.uses_state = uses_state
        columns, weight = _columns(problem, uses_state), _weight(problem)
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

    def mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        return self._trees.predict(_stack(self.uses_state, T, X, S), num_threads=1)

    def joint_at(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns = _stack(self.uses_state, T, X, S)
        mean = self._trees.predict(columns, num_threads=1)
        if not self.has_interval:  # independent errors as large as those of left-out runs
            return mean, max(self._error**2 - self.noise_sd**2, 0.0) * np.eye(len(columns))
        members = np.array([trees.predict(columns, num_threads=1) for trees in self._ensemble])
        away = members - members.mean(0)
        return mean, away.T @ away / (len(members) - 1)


class RegMix(BoostedTrees):
    """The same trees on the shares alone."""

    method = "regmix"


Tuned = tuple[float, dict[str, Any]]  # out-of-fold root mean squared error, and the settings that reach it


def fit_lightgbm(
    problem: Problem, *, random_state: int = 0, ensemble: int = 20, tuned: Tuned | None = None
) -> BoostedTrees:
    """Gradient boosted trees on (shares, state, scale); leaf size and number of trees chosen by grouped cross-validation.

    LightGBM's default leaves (20 runs at least) learn next to nothing from a hundred runs, so smaller ones are tried.
    Intervals come from ``ensemble`` refits on resampled groups of runs; they tend to be too narrow where there are no runs.
    tuned: error and settings, where they were found before.
    """
    problem = weighed(problem)
    error, settings = tuned or _tuned(problem, random_state)
    return BoostedTrees(problem, True, settings, error, random_state, ensemble)


def fit_regmix(
    problem: Problem, *, random_state: int = 0, ensemble: int = 20, tuned: Tuned | None = None
) -> BoostedTrees:
    """LightGBM on the shares alone with RegMix's published settings; the state is ignored.

    RegMix stops early on its test runs; here the number of trees comes from folds of the given runs.
    """
    problem = weighed(problem)
    error, settings = tuned or _tuned_as_published(problem, random_state)
    return RegMix(problem, False, settings, error, random_state, ensemble)


def _tuned(problem: Problem, seed: int) -> Tuned:
    n, tried = problem.n_runs, []
    for leaves, smallest in [(4, max(2, n // 64)), (8, max(3, n // 32)), (16, max(5, n // 32))]:
        settings = {
            "n_estimators": 300,
            "learning_rate": 0.1,
            "num_leaves": leaves,
            "min_child_samples": smallest,
            "reg_lambda": 1.0,
        }
        rmse, trees = _tune(problem, True, settings, seed, patience=20)
        tried.append((rmse, {**settings, "n_estimators": trees}))
    return min(tried, key=lambda pair: pair[0])


def _tuned_as_published(problem: Problem, seed: int) -> Tuned:
    error, trees = _tune(problem, False, REGMIX, seed, patience=REGMIX_PATIENCE)
    return error, {**REGMIX, "n_estimators": trees}


def _settled(problem: Problem, random_state: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that hold for every fold: which shape of trees is best hardly depends on which fifth of the runs is missing."""
    return {"tuned": _tuned(problem, random_state), **options}


def _settled_as_published(problem: Problem, random_state: int, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"tuned": _tuned_as_published(problem, random_state), **options}


def _stack(uses_state: bool, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
    return np.hstack([T, X, S] if uses_state else [T, S])


def _weight(problem: Problem) -> np.ndarray | None:
    return None if problem.evenly else problem.precision


def _columns(problem: Problem, uses_state: bool) -> np.ndarray:
    return _stack(uses_state, problem.T, problem.X, problem.S)


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
    problem: Problem, uses_state: bool, settings: dict[str, Any], seed: int, patience: int
) -> tuple[float, int]:
    """Out-of-fold root mean squared error, and the mean number of trees at which the folds stopped."""
    columns, error, stopped = _columns(problem, uses_state), np.zeros(problem.n_runs), []
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


METHODS.register(
    Method(
        "lightgbm",
        "boosted trees on mixture and state",
        fit_lightgbm,
        quick={"ensemble": 0},
        tried=always,
        settle=_settled,
    )
)
METHODS.register(
    Method(
        "regmix",
        "boosted trees on the mixture alone, as published",
        fit_regmix,
        uses_state=False,
        quick={"ensemble": 0},
        tried=always,
        reference=True,
        settle=_settled_as_published,
    )
)
