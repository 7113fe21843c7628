"""Does the 95 % interval of ``do(a=0.4)`` hold the truth 95 % of the time, for the estimators of effects, and do they say when it cannot?

Four domains, two states, the outcome linear in log shares or in their square roots, its level a curve of the state. Mixtures are drawn
at random, or decided by the state along a line or along a curve. An estimator that says that it cannot be sure makes no claim, so ``held``
counts the worlds in which the interval holds the truth and ``honest`` those in which it does or in which the estimator says so.
The forest takes minutes a world, and a Gaussian process tens of seconds: they get fewer worlds.

    python tests/benchmarks/confounded_linear.py --replications 60 --methods linear
    python tests/benchmarks/confounded_linear.py --replications 12 --methods forest gp
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from causalmix_nb.answers.interventions import do
from causalmix_nb.methods.fit import fit
from causalmix_nb.runs.store import Runs

DOMAINS = list("abcd")
WORLDS = {  # name: how the mixture was assigned, shape of the outcome
    "randomised": ("random", "log"),
    "confounded along a line": ("line", "log"),
    "confounded along a curve": ("curve", "log"),
    "√share, randomised": ("random", "root"),
    "√share, confounded": ("line", "root"),
}
WORTH = {"log": np.array([0.5, 0.2, -0.2, -0.5]), "root": np.array([3.0, 2.0, 1.0, 0.5])}
PULL = np.array([[0.8, 0.0], [0.0, 0.6], [-0.8, 0.0], [0.0, -0.6]])
BEND = np.array([[0.5, 0.0], [0.0, 0.5], [0.0, -0.5], [-0.5, 0.0]])


def shaped(T: np.ndarray, shape: str) -> np.ndarray:
    """What the mixtures T (n, 4) cause, shape (n,)."""
    return (np.log(T + 1e-3) if shape == "log" else np.sqrt(T)) @ WORTH[shape]


def drawn(assign: str, shape: str, n: int, seed: int, noise: float = 0.5) -> Runs:
    """n runs of a world drawn anew."""
    rng = np.random.default_rng([seed, 29])
    X = rng.normal(size=(n, 2))
    pull = 0.7 * rng.normal(size=(n, 4))
    if assign != "random":
        pull += X @ PULL.T
    if assign == "curve":
        pull += (np.tanh(X) ** 2 * 2) @ BEND.T
    T = np.exp(pull)
    T /= T.sum(1, keepdims=True)
    level = 1.5 * np.tanh(X[:, 0]) + np.sin(1.5 * X[:, 1]) + 0.5 * X[:, 0] ** 2
    y = level + shaped(T, shape) + noise * rng.normal(size=n)
    return Runs.from_frames(
        pd.DataFrame(T, columns=DOMAINS), pd.DataFrame({"score": y}), pd.DataFrame(X, columns=["x0", "x1"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replications", type=int, default=60)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--methods", nargs="+", default=["linear"])
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    after = np.array([[0.4, 0.2, 0.2, 0.2]])
    print(f"{options.runs} runs, {options.replications} worlds each; do(a=0.4) against Equal")
    print(f"{'method':8s} {'world':26s} held  honest  rms z  length  unsure  seconds a world")
    for method in options.methods:
        for name in options.worlds:
            assign, shape = WORLDS[name]
            truth = float((shaped(after, shape) - shaped(np.full((1, 4), 0.25), shape))[0])
            held, z, length, unsure, started = [], [], [], [], time.perf_counter()
            for seed in range(options.first, options.first + options.replications):
                effect = do(fit(drawn(assign, shape, options.runs, seed), method=method), {"a": 0.4})
                held.append(effect.lower <= truth <= effect.upper)
                z.append((effect.estimate - truth) / effect.se)
                length.append(effect.upper - effect.lower)
                unsure.append(bool(getattr(effect, "doubt", "")))
            honest = np.mean(np.array(held) | np.array(unsure))
            rms, spent = np.sqrt(np.mean(np.square(z))), (time.perf_counter() - started) / len(z)
            print(
                f"{method:8s} {name:26s} {np.mean(held):.2f}  {honest:.2f}    {rms:.2f}   {np.mean(length):.3f}   "
                f"{np.mean(unsure):.2f}    {spent:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
