"""Is the default surface as sure as it should be? Errors of contrasts mixture against baseline, in eight worlds of known truth.

Every replication draws a world and its runs anew, fits, and asks for 40 contrasts: 20 mixtures like those of the runs against Equal,
averaged over states and at one new state. ``z`` is an error over its standard error: its root mean square should be 1; intervals of 95 %
should cover 95 %. ``length`` is the mean length of the intervals, ``needed`` by what it would have to be multiplied to cover 95 %
(below 1: too wide), ``seen`` the share of contrasts whose interval excludes 0.

    python tests/benchmarks/surface_calibration.py --replications 60 --method gp
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from causalmix_nb import Runs
from causalmix_nb.methods.fit import fit
from worlds import make_world

Truth = Callable[
    [np.ndarray, np.ndarray], np.ndarray
]  # mixtures (n, K), states (n, d) -> expected outcome (n,)


@dataclass(frozen=True)
class Case:
    """Runs with the truth behind them: T (n, K), X (n, d), y (n,)."""

    T: np.ndarray
    X: np.ndarray
    y: np.ndarray
    truth: Truth


def _case(
    rng: np.random.Generator, T: np.ndarray, X: np.ndarray, truth: Truth, noise: np.ndarray | None = None
) -> Case:
    """Noise is half as large as what the mixture and the state do."""
    signal = truth(T, X)
    unit = rng.normal(size=len(T)) if noise is None else noise
    return Case(T, X, signal + 0.5 * signal.std() * unit, truth)


def _roots(rng: np.random.Generator, K: int, d: int, used: int | None = None) -> Truth:
    """Quadratic in the square roots of the shares; what a domain is worth depends on the state, of which ``used`` columns matter."""
    a, curve = rng.normal(size=K), rng.normal(size=(K, K)) / np.sqrt(K)
    with_state, level = rng.normal(size=(K, d)) / 2, rng.normal(size=d) / 2
    if used is not None:
        with_state[:, used:], level[used:] = 0, 0

    def truth(T: np.ndarray, X: np.ndarray) -> np.ndarray:
        r = np.sqrt(T)
        return r @ a + np.einsum("nj,jk,nk->n", r, curve, r) + (r * (X @ with_state.T)).sum(1) + X @ level

    return truth


def linear(rng: np.random.Generator, n: int) -> Case:
    w, level = rng.normal(size=5), rng.normal(size=2) / 2
    T, X = rng.dirichlet(np.ones(5), n), rng.normal(size=(n, 2))
    return _case(rng, T, X, lambda T, X: T @ w + X @ level)


def roots(rng: np.random.Generator, n: int) -> Case:
    return _case(rng, rng.dirichlet(np.ones(5), n), rng.normal(size=(n, 2)), _roots(rng, 5, 2))


def confounded(rng: np.random.Generator, n: int) -> Case:
    world = make_world(int(rng.integers(1 << 30)))
    X = rng.normal(size=(n, len(world.states)))
    T, _ = world.assign(X, "confounded", rng)
    return _case(rng, T, X, world.expected)


def tails(rng: np.random.Generator, n: int) -> Case:
    heavy = rng.standard_t(3, n) / np.sqrt(3)
    return _case(rng, rng.dirichlet(np.ones(5), n), rng.normal(size=(n, 2)), _roots(rng, 5, 2), heavy)


def clusters(rng: np.random.Generator, n: int) -> Case:
    """Eight runs a state, which err together by half of the noise's variance."""
    pools = -(-n // 8)
    member = np.arange(n) % pools
    X = rng.normal(size=(pools, 2))[member]
    noise = (rng.normal(size=pools)[member] + rng.normal(size=n)) / np.sqrt(2)
    return _case(rng, rng.dirichlet(np.ones(5), n), X, _roots(rng, 5, 2), noise)


def zeros(rng: np.random.Generator, n: int) -> Case:
    T = rng.dirichlet(np.ones(8), n) * (rng.uniform(size=(n, 8)) < 0.4)
    T[T.sum(1) == 0] = 1 / 8
    return _case(rng, T / T.sum(1, keepdims=True), rng.normal(size=(n, 2)), _roots(rng, 8, 2))


def many_domains(rng: np.random.Generator, n: int) -> Case:
    return _case(rng, rng.dirichlet(np.ones(12), 60), np.zeros((60, 0)), _roots(rng, 12, 0))


def useless_states(rng: np.random.Generator, n: int) -> Case:
    return _case(rng, rng.dirichlet(np.ones(5), n), rng.normal(size=(n, 11)), _roots(rng, 5, 11, 1))


WORLDS = {
    "linear": linear,
    "square roots x state": roots,
    "confounded history": confounded,
    "heavy tails": tails,
    "clusters": clusters,
    "many zeros": zeros,
    "12 domains x 60 runs": many_domains,
    "10 useless states": useless_states,
}


def contrasts(case: Case, method: str, rng: np.random.Generator) -> np.ndarray:
    """Error, standard error, length of the interval, and its estimate, of 40 contrasts: (40, 4)."""
    K, d = case.T.shape[1], case.X.shape[1]
    domains, states = [f"d{k}" for k in range(K)], [f"x{j}" for j in range(d)]
    state = pd.DataFrame(case.X, columns=states) if d else None
    runs = Runs.from_frames(
        pd.DataFrame(case.T, columns=domains), pd.DataFrame({"score": case.y}), state=state
    )
    model = fit(runs, "score", method=method)
    T = np.vstack([case.T[rng.permutation(len(case.T))[:20]], np.full((1, K), 1 / K)])
    T[:20] = 0.5 * T[:20] + 0.5 * case.T[rng.permutation(len(case.T))[:20]]  # new mixtures, between two runs
    rows, C = [], np.hstack([np.eye(20), -np.ones((20, 1))])
    new = rng.normal(size=d) if d else None
    for at in (None, new):
        asked = None if at is None else dict(zip(states, at))
        mean, cov = model.joint(T, asked)
        over = model.states(asked)
        truth = np.mean([case.truth(T, np.tile(x, (21, 1))) for x in over], axis=0)
        se = np.sqrt(np.diag(C @ cov @ C.T))
        rows.append(np.column_stack([C @ (mean - truth), se, 2 * model.quantile(0.95) * se, C @ mean]))
    return np.vstack(rows)


def told(name: str, rows: np.ndarray) -> str:
    """rows (replications, 40, 4)."""
    error, se, length, estimate = rows.reshape(-1, 4).T
    z = error / se
    inside = np.abs(error) <= length / 2
    per = np.array([np.sqrt(np.mean((part[:, 0] / part[:, 1]) ** 2)) for part in rows])
    spread = per.std(ddof=1) / np.sqrt(len(per)) if len(per) > 1 else np.nan
    return (
        f"{name:22s} rms z {np.sqrt(np.mean(z**2)):.2f} ± {spread:.2f}  covers {inside.mean():.3f}  length {length.mean():7.3f}  "
        f"needed {np.quantile(2 * np.abs(error) / length, 0.95):.2f}  rmse {np.sqrt(np.mean(error**2)):.3f}  "
        f"seen {np.mean(np.abs(estimate) > length / 2):.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replications", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--runs", type=int, default=128)
    parser.add_argument("--method", default="gp")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    options = parser.parse_args()
    print(f"{options.replications} replications, method {options.method}, {options.runs} runs", flush=True)
    for name in options.worlds:
        started, found = time.perf_counter(), []
        for seed in range(options.first, options.first + options.replications):
            rng = np.random.default_rng([seed, list(WORLDS).index(name)])
            found.append(contrasts(WORLDS[name](rng, options.runs), options.method, rng))
        print(told(name, np.array(found)), f" ({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
