"""The data mixing law: the outcome falls or rises exponentially with the shares (Ye et al., arXiv 2403.16952)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.warp import moments
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.methods.method import METHODS, Method
from causalmix_nb.mixture import ilr_basis

SPARE = 12  # runs beyond one a domain from which ``auto`` tries the law


class MixingLaw(Model):
    """``c + sign · exp(b + Σ r_k t_k + Σ q_j s_j)`` with the delta method's covariance.

    Only differences of the r_k can be told apart (shares sum to 1), so they are fitted in a basis of contrasts.
    """

    method = "law"
    uses_state, climbable, covers_the_best = False, True, False

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
            fitting = y[self.problem.trusted]
            level = float((fitting.min() if sign > 0 else fitting.max()) - sign * (0.2, 1.0, 3.0, 0.5)[i % 4])
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

    def mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        value = self._params[0] + self._sign * np.exp(
            np.minimum(self._columns(T, S) @ self._params[1:], self._most)
        )
        return self._centre + self._unit * value

    def joint_at(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gradient = self._gradient(self._columns(T, S), self._params) * self._unit
        return self.mean(T, X, S), gradient @ self._cov @ gradient.T


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


def _enough(problem: Problem) -> bool:
    return not problem.state_names and problem.n_runs >= len(problem.moving_domains) + SPARE


METHODS.register(
    Method(
        "law",
        "data mixing law, c ± exp(b + Σ r t)",
        fit_law,
        uses_state=False,
        quick={"n_starts": 2},
        tried=_enough,
    )
)
