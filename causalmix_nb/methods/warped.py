"""A Gaussian process on the logarithm of the distance to the good end, for outcomes with a long bad tail.

A few mixtures of bad data do far more harm than all others differ by. On the plain scale they dominate the fit; on the
logarithmic one they do not. Which scale is used is decided by the likelihood of the runs (with the Jacobian of the
transformation, so that the two are comparable), as in a warped Gaussian process (Snelson, Rasmussen and Ghahramani,
*Warped Gaussian processes*, 2004). Answers are in the outcome's own units: means are those of a log-normal variable,
covariances are carried over to first order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.warp import Warp, moments
from causalmix_nb.estimate.weights import SKEWED, weighed
from causalmix_nb.methods.gaussian_process import GaussianProcess
from causalmix_nb.methods.method import METHODS, Method, always


class WarpedProcess(Model):
    """A :class:`GaussianProcess` fitted on a :class:`Warp` of the outcome, answering in the outcome's own units."""

    method = "gp"
    climbable = True

    def __init__(self, problem: Problem, warp: Warp, inner: GaussianProcess) -> None:
        super().__init__(problem)
        self.warp, self.inner = warp, inner
        # The mean of a log-normal variable grows with the noise: with that which was fitted, not with what intervals were
        # widened by, and never with more than the outcomes themselves spread.
        self._blur = min(inner.fitted_noise_sd, moments(inner.problem.y, inner.problem.trust)[1])
        self.diagnostics = {**inner.diagnostics, "scale_of_the_fit": "log of the distance to the best"}
        self._set_noise()

    def _set_noise(self) -> None:
        typical = float(np.median(self.warp.reach(self.problem.y)[self.problem.trusted]))
        self.noise_sd = self.inner.noise_sd * typical

    def widen(self, factor: float) -> None:
        """As :meth:`GaussianProcess.widen`."""
        self.inner.widen(factor)
        self.diagnostics["interval_inflation"] = self.inner.diagnostics["interval_inflation"]
        self._set_noise()

    def left_out(self, folds: Sequence[np.ndarray]) -> np.ndarray | None:
        """As :meth:`GaussianProcess.left_out`, carried over to the outcome's units where it is expected to be."""
        p, found = self.problem, self.inner.left_out(folds)
        reach = np.maximum(self.warp.s * self.mean(p.T, p.X, p.S) - self.warp.pole, 1e-12)
        return None if found is None else found * reach

    def noise_at(
        self, mean: np.ndarray, T: np.ndarray | None = None, S: np.ndarray | None = None
    ) -> np.ndarray:
        relative = self.inner.relative_noise(len(mean), T, S)
        return self.inner.noise_sd * relative * np.maximum(self.warp.s * mean - self.warp.pole, 1e-12)

    def mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        return self.warp.inverse(self.inner.mean(T, X, S), self._blur)

    def expected(self, T: np.ndarray, state: Any = None, scale: Any = None) -> np.ndarray:
        """As :meth:`Model.expected`; over several states, the average is taken on the scale of the fit."""
        given = self.pool_state if state is None else state
        return self.warp.inverse(self.inner.expected(T, given, scale), self._blur)

    def joint_at(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, cov = self.inner.joint_at(T, X, S)
        slope = self.warp.distance(z, self._blur)
        return self.warp.inverse(z, self._blur), slope[:, None] * cov * slope


def fit_gp(
    problem: Problem,
    *,
    random_state: int = 0,
    n_starts: int = 2,
    max_iter: int = 20,
    members: int | None = None,
    warp: str | None = "auto",
) -> GaussianProcess | WarpedProcess:
    """Gaussian process on (state, square root of the shares, scale), on the scale that the runs make likelier.

    The hyper-parameters maximise the marginal likelihood times a weak prior (L-BFGS; several starts on up to 192 of the
    runs, the best polished on all of them). Intervals are those of the posterior averaged over draws around them; ``fit`` widens them
    by the mean squared standardised error of left-out groups of runs where that exceeds 1.

    Parameters
    ----------
    problem: at least three runs.
    n_starts, max_iter: effort of the optimiser; ``max_iter`` is for the polish.
    members: draws of the hyper-parameters that the posterior is averaged over; None chooses by the number of runs.
    warp: ``"log"``, None for the plain scale, or ``"auto"``: :func:`likelier_scale`.
    """
    problem, effort = weighed(problem), (random_state, n_starts, max_iter, members)
    if warp == "auto":
        warp = likelier_scale(problem, random_state)
    if warp is None:
        return GaussianProcess(problem, *effort)
    log = Warp.of(problem.y, problem.trust)
    inner = GaussianProcess(replace(problem, y=log.forward(problem.y)), *effort)
    return WarpedProcess(
        replace(problem, weights=inner.problem.weights, noise=inner.problem.noise), log, inner
    )


def likelier_scale(problem: Problem, random_state: int = 0) -> str | None:
    """``"log"`` if the outcome is skewed and quick fits find the logarithmic scale likelier, else None."""
    problem = weighed(problem)
    problem = problem if problem.trusted.all() else problem.subset(problem.trusted)
    if abs(moments(problem.y)[2]) < SKEWED:
        return None
    quick = (random_state, 1, 4, 0)
    log = Warp.of(problem.y)
    z = log.forward(problem.y)
    slopes = float(np.log(log.s * problem.y - log.pole).sum())
    warped = _log_density(GaussianProcess(replace(problem, y=z), *quick), z) - slopes
    return "log" if warped > _log_density(GaussianProcess(problem, *quick), problem.y) else None


def _log_density(model: GaussianProcess, y: np.ndarray) -> float:
    return model.diagnostics["log_posterior"] - len(y) * math.log(float(y.std()))


def _with_scale(problem: Problem, random_state: int, options: Mapping[str, Any]) -> dict[str, Any]:
    if options.get("warp", "auto") != "auto":
        return dict(options)
    return {**options, "warp": likelier_scale(problem, random_state)}


METHODS.register(
    Method(
        "gp",
        "Gaussian process, the surface to optimise with",
        fit_gp,
        quick={"n_starts": 1, "max_iter": 4, "members": 0},
        tried=always,
        settle=_with_scale,
    )
)
