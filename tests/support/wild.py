"""A world of losses whose truth is a formula, and runs of it of which some ended wild; for tests and for a benchmark."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from causalmix_nb.runs.store import Runs

NAMES = ("math", "code", "web", "noise")


def loss(T: np.ndarray) -> np.ndarray:
    """Expected loss (n,) of mixtures (n, K), K at most 4; the last domain does harm. Between 1.7 and 2.9."""
    worth = np.array([0.5, 0.4, 0.25, 0.0])[-T.shape[1] :]
    return 2.7 - np.sqrt(T) @ (1.4 * worth) + 0.2 * T[:, -1]


def table(
    wild: Mapping[int, float] | None = None, n: int = 64, K: int = 4, seed: int = 0, noise: float = 0.03,
    tails: float = np.inf, far: float = 1.0, repeats: int = 0,
) -> Runs:  # fmt: skip
    """n runs, the first ``repeats`` of them made twice; ``wild``: row -> the loss that it is said to have ended at.

    tails: degrees of freedom of the noise. far: how many times noisier the run furthest from equal shares is than one there.
    """
    rng = np.random.default_rng([seed, n, K])
    T = rng.dirichlet(np.ones(K), n)
    T = np.vstack([T, T[:repeats]])
    draws = rng.normal(size=len(T)) if np.isinf(tails) else rng.standard_t(tails, size=len(T))
    y = loss(T) + relative(T, far) * noise * draws
    for row, value in (wild or {}).items():
        y[row] = value
    return Runs.from_frames(
        pd.DataFrame(T, columns=list(NAMES[-K:])), pd.DataFrame({"loss": y}), minimize=True
    )


def relative(T: np.ndarray, far: float) -> np.ndarray:
    """Noise of mixtures (n, K) in units of that at equal shares."""
    away = np.linalg.norm(np.sqrt(T) - np.sqrt(1 / T.shape[1]), axis=1)
    return np.exp(np.log(far) * away / np.sqrt(2 - 2 / np.sqrt(T.shape[1])))


def shares(mixture: Mapping[str, float], K: int = 4) -> np.ndarray:
    return np.array([[mixture[name] for name in NAMES[-K:]]])


def regret(mixture: Mapping[str, float], K: int = 4) -> float:
    """Expected loss of a mixture above the lowest that there is."""
    worth = 0.7 * np.array([0.5, 0.4, 0.25, 0.0])[-K:]
    best = worth**2 / (worth**2).sum()
    steps = [loss(((1 - a) * best + a * np.eye(K)[0])[None])[0] for a in np.linspace(0, 0.2, 5)]
    return float(loss(shares(mixture, K))[0] - min(steps))
