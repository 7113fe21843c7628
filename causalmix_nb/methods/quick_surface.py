"""A response surface in closed form, for a first look at many outcomes at once.

The careful surface (:mod:`causalmix_nb.methods.gaussian_process`) takes seconds for an outcome. Sliders that show all of them need an answer
at once, so here the kernel has two lengths chosen from a short list and nothing else to learn: with one eigendecomposition of the
kernel matrix, signal and noise of every outcome follow in closed form (Rasmussen and Williams 2006, section 5.4.1). Its
intervals take the chosen lengths as known and are widened by what left-out runs show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.quick_kernel import QuickFit, QuickKernels
from causalmix_nb.estimate.weights import tamed

if TYPE_CHECKING:
    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

MOST = 1024  # runs that are used; more would be slower without being seen in a picture
TRIED = 256  # runs on which the lengths of the kernel are chosen


class QuickSurface(Model):
    """A surface of one outcome; made by :func:`quick_surfaces`, asked like any other model."""

    method = "quick"

    def __init__(self, problem: Problem, fit: QuickFit) -> None:
        super().__init__(problem)
        self._kernel, self._vectors, self._values = fit.kernel, fit.vectors, fit.total
        self._level, self._spread, self._weights, self._own = fit.level, fit.spread, fit.alpha, fit.own
        # variances are as much too small as left-out runs show
        self._signal = fit.signal * max(1.0, float(np.mean(fit.alpha**2 / fit.own)) / fit.signal)
        self.noise_sd = self._spread * math.sqrt(fit.ratio * self._signal)

    def mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        return self._level + self._spread * self._kernel.cross_only(T, np.hstack([X, S])) @ self._weights

    def joint_at(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._answer(*self._kernel.cross(T, np.hstack([X, S])))

    def _answer(self, cross: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        half = cross @ self._vectors / np.sqrt(self._values)
        cov = self._spread**2 * self._signal * (prior - half @ half.T)
        return self._level + self._spread * cross @ self._weights, cov

    def joint(self, T: np.ndarray, state: Any = None, scale: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`Model.joint`; covariances are averaged over the states before anything is solved with them."""
        (states, weights), n = self.averaged(state), len(T)
        m = len(states)
        contexts = np.hstack([np.tile(states, (n, 1)), np.repeat(self.scales(scale, n), m, axis=0)])
        cross, prior = self._kernel.cross(np.repeat(T, m, axis=0), contexts)
        cross = np.einsum("iaq,a->iq", cross.reshape(n, m, -1), weights)
        prior = np.einsum("iajb,a,b->ij", prior.reshape(n, m, n, m), weights, weights)
        return self._answer(cross, prior)

    def without_each(self, T: np.ndarray, state: Any = None) -> np.ndarray:
        """Expected outcome of n mixtures as it would be without one of the runs, for every run in turn: shape (n, runs)."""
        vectors = self._vectors
        cross = np.zeros((len(T), len(vectors)))
        for x, weight in zip(*self.averaged(state)):
            context = np.hstack([np.tile(x, (len(T), 1)), self.scales(None, len(T))])
            cross += weight * self._kernel.cross_only(T, context)
        pull = (cross @ vectors / self._values) @ vectors.T
        without = (cross @ self._weights)[:, None] - pull * (self._weights / self._own)
        return self._level + self._spread * without


def problems_of(runs: Runs, outcomes: Sequence[str], graph: CausalGraph | None = None) -> list[Problem]:
    """The problem of every outcome that can be fitted, as :meth:`Problem.from_runs` makes it; the store is read once for those alike.

    Outcomes that are no node of the graph all stand for the same one, so if they are known in the same runs, only y differs.
    """
    frame, made = runs.frame, []
    alike: dict[bytes, Problem] = {}
    done = (frame["status"] == "done").to_numpy()
    for name in outcomes:
        y = frame[f"outcome.{name}"].to_numpy(dtype=float)
        usable = np.isfinite(y) & done
        own = graph is not None and name in graph.nodes
        like = None if own else alike.get(usable.tobytes())
        try:
            if like is None or np.ptp(y[usable]) <= 1e-12 * max(1.0, float(np.abs(y[usable]).max())):
                like = Problem.from_runs(runs, name, graph)
        except FitError:
            continue
        if not own:
            alike[usable.tobytes()] = like
        notes = () if like.outcome != name else like.notes
        made.append(
            replace(like, outcome=name, minimize=runs.minimize.get(name, False), y=y[usable], notes=notes)
        )
    return made


def quick_surfaces(problems: Sequence[Problem]) -> list[QuickSurface]:
    """A surface for every problem; those on the same runs share the work.

    >>> import pandas as pd, causalmix_nb as cm
    >>> T = np.random.default_rng(0).dirichlet([1, 1, 1], 60)
    >>> scores = pd.DataFrame({"a": T[:, 0], "b": np.sqrt(T[:, 1])})
    >>> runs = cm.Runs.from_frames(pd.DataFrame(T, columns=["x", "y", "z"]), scores)
    >>> surfaces = quick_surfaces([Problem.from_runs(runs, name) for name in ("a", "b")])
    >>> [round(float(s.predict(cm.Mixture({"x": 0.25, "y": 0.25, "z": 0.5}))["mean"].iloc[0]), 2) for s in surfaces]
    [0.25, 0.5]
    """
    designs: dict[bytes, QuickKernels] = {}
    made = []
    for problem in problems:
        if problem.n_runs > MOST:
            problem = problem.subset(used(problem.n_runs))
        problem = tamed(problem)
        known = b"|".join(part.tobytes() for part in (problem.T, problem.X, problem.S))
        if known not in designs:
            designs[known] = QuickKernels(problem, used(problem.n_runs, TRIED))
        made.append(QuickSurface(problem, designs[known].explain(problem.y)))
    return made


def used(n: int, most: int = MOST) -> np.ndarray:
    """Rows of n runs that are used where there are more than ``most``: spread evenly over them.

    >>> used(5, 3).tolist()
    [0, 2, 4]
    """
    return np.linspace(0, n - 1, min(n, most)).round().astype(int)
