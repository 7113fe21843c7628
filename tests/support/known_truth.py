"""Worlds whose truth is known: what a mixture causes is a formula, so estimates, intervals and regret can be checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causalmix_nb.runs.store import Runs

DOMAINS = ("math", "code", "web", "law", "talk")
STATE = ("hardness", "noise", "length")


@dataclass(frozen=True)
class World:
    """Outcome = sum of worth_k(x) · sqrt(share_k): concave, with its optimum at share_k ∝ worth_k(x)²."""

    weights: np.ndarray  # (K, d)

    def worth(self, X: np.ndarray) -> np.ndarray:
        return np.exp(0.6 * np.tanh(X @ self.weights.T))

    def outcome(self, T: np.ndarray, X: np.ndarray) -> np.ndarray:
        return (self.worth(X) * np.sqrt(T)).sum(1)

    def optimum(self, x: np.ndarray) -> np.ndarray:
        squares = self.worth(x[None])[0] ** 2
        return squares / squares.sum()

    def regret(self, mixture: np.ndarray, x: np.ndarray) -> float:
        best, got = (self.outcome(T[None], x[None])[0] for T in (self.optimum(x), np.asarray(mixture)))
        return float(best - got)


def make_world(seed: int = 0) -> World:
    return World(np.random.default_rng(seed).normal(size=(len(DOMAINS), len(STATE))))


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    T = np.vstack([rng.dirichlet(np.full(len(DOMAINS), c)) for c in rng.choice([0.5, 1.0, 3.0], n)])
    return T, rng.normal(size=(n, len(STATE)))


def make_runs(
    world: World, n: int = 128, noise: float = 0.03, seed: int = 0, repeats: int = 0, minimize: bool = False,
    outcome: Callable[[np.ndarray], np.ndarray] = lambda y: y,
) -> Runs:  # fmt: skip
    """n runs, the first ``repeats`` of them made again with another seed; a loss (lower is better) if ``minimize``."""
    T, X = draw(n, seed)
    T, X = np.vstack([T, T[:repeats]]), np.vstack([X, X[:repeats]])
    y = world.outcome(T, X) + noise * np.random.default_rng(seed + 1).normal(size=len(T))
    return Runs.from_frames(
        pd.DataFrame(T, columns=DOMAINS),
        pd.DataFrame({"score": outcome(-y if minimize else y)}),
        state=pd.DataFrame(X, columns=STATE),
        minimize=minimize,
    )
