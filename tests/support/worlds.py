"""Worlds whose truth is a formula, richer than those of ``known_truth.py``; for benchmarks and for tests of coverage.

What a mixture causes depends on the state of the pool, diminishes as a share grows and depends on what it is mixed
with. How mixtures were assigned to states is a choice: at random, or by people who looked at the state
(``confounded``), or at something nobody recorded (``hidden``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from causalmix_nb.runs.store import Runs

ASSIGNMENTS = ("random", "confounded", "hidden")


@dataclass(frozen=True)
class World:
    """Y = level(x) + Σ_k worth_k(x) · gain(t_k) + Σ_jk synergy_jk · √(t_j t_k) + noise.

    worth_k(x) = scale · exp(tanh(w_k · x)); gain(t) = (1 - e^(-c t)) / (1 - e^(-c)) with c = ``curvature``, linear in log t
    for ``linear``: there worth_k(x) = w_k · (1, x), so that a partially linear model is exactly right.
    weights (K, 1 + d); synergy (K, K), upper triangle; level (d,); preference (K, d): how a state draws people to a domain.
    """

    weights: np.ndarray
    synergy: np.ndarray
    level: np.ndarray
    preference: np.ndarray
    curvature: float = 3.0
    scale: float = 10.0
    noise: float = 1.0
    linear: bool = False

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(f"domain{k}" for k in range(len(self.weights)))

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(f"state{j}" for j in range(self.level.shape[0]))

    def worth(self, X: np.ndarray) -> np.ndarray:
        index = X @ self.weights[:, 1:].T + self.weights[:, 0]
        return index if self.linear else self.scale * np.exp(np.tanh(index))

    def expected(self, T: np.ndarray, X: np.ndarray) -> np.ndarray:
        """E[Y | do(T), X], shape (n,)."""
        level = 0.5 * self.scale * np.tanh(X @ self.level) if not self.linear else X @ self.level
        if self.linear:
            return level + (self.worth(X) * np.log(T + 1e-3)).sum(1)
        gain = (1 - np.exp(-self.curvature * T)) / (1 - np.exp(-self.curvature))
        roots = np.sqrt(T)
        return level + (self.worth(X) * gain).sum(1) + np.einsum("nj,jk,nk->n", roots, self.synergy, roots)

    def assign(self, X: np.ndarray, how: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Mixtures (n, K), and what they do to the outcome besides causing it (n,): 0 unless ``hidden``."""
        n, K = len(X), len(self.weights)
        hidden = rng.normal(size=n)
        pull = X @ self.preference.T if how == "confounded" else np.zeros((n, K))
        if how == "hidden":
            pull = hidden[:, None] * self.preference[:, :1].T
        centre = np.exp(pull) / np.exp(pull).sum(1, keepdims=True)
        strength = rng.choice([0.5, 1.0, 3.0], size=(n, 1)) * K
        if how != "random":
            strength = strength + K  # people try what lies near to what they believe in
        draws = rng.standard_gamma(np.maximum(strength * centre, 0.05)) + 1e-9
        return draws / draws.sum(1, keepdims=True), (self.scale * hidden if how == "hidden" else np.zeros(n))

    def runs(
        self, n: int, seed: int = 0, how: str = "random", repeats: int = 0, minimize: bool = False
    ) -> Runs:
        """n runs, the first ``repeats`` of them made twice."""
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, self.level.shape[0]))
        T, extra = self.assign(X, how, rng)
        rows = np.concatenate([np.arange(n), np.arange(repeats)])
        y = (self.expected(T, X) + extra)[rows] + self.noise * rng.normal(size=len(rows))
        return Runs.from_frames(
            pd.DataFrame(T[rows], columns=self.domains),
            pd.DataFrame({"score": -y if minimize else y}),
            state=pd.DataFrame(X[rows], columns=self.states),
            minimize=minimize,
        )

    def optimum(self, x: np.ndarray, floor: float = 0.0) -> np.ndarray:
        """The best mixture at a state (d,), by search and ever finer steps, shape (K,)."""
        rng, K = np.random.default_rng(0), len(self.weights)

        def value(T: np.ndarray) -> np.ndarray:
            return self.expected(T, np.broadcast_to(x, (len(T), len(x))))

        T = np.vstack([rng.dirichlet(np.full(K, a), 4000) for a in (0.3, 1.0, 3.0)])
        best = T[int(value(T).argmax())]
        step = 0.2
        while step > 1e-4:
            tries = np.abs(np.sqrt(best) + step * rng.standard_normal((400, K))) ** 2
            tries /= tries.sum(1, keepdims=True)
            values = value(tries)
            if values.max() > value(best[None])[0]:
                best = tries[int(values.argmax())]
            else:
                step *= 0.7
        return best

    def regret(self, mixture: np.ndarray, x: np.ndarray) -> float:
        """Best attainable outcome minus that of a mixture (K,), at a state (d,)."""
        best, got = (
            float(self.expected(np.asarray(T)[None], x[None])[0]) for T in (self.optimum(x), mixture)
        )
        return best - got


@lru_cache(maxsize=512)
def make_world(
    seed: int = 0, n_domains: int = 5, n_states: int = 3, noise: float = 1.0, linear: bool = False
) -> World:
    """A world drawn at random; the same seed, the same world."""
    rng = np.random.default_rng([seed, n_domains, n_states])
    weights = rng.normal(size=(n_domains, 1 + n_states)) * ([0.5] + [1.0] * n_states)
    synergy = np.triu(rng.normal(size=(n_domains, n_domains)), 1) * 6 / n_domains
    return World(
        weights=weights - weights.mean(0) * linear,
        synergy=synergy,
        level=rng.normal(size=n_states),
        preference=rng.normal(size=(n_domains, n_states)) * 0.8,
        noise=noise,
        linear=linear,
    )
