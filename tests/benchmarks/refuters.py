"""How often do the refuters raise a false alarm, and how often do they see what they can see? Their size and power.

The state decides the mixture along a curve. *Size*: worlds in which the mixture causes nothing, or in which nothing is hidden. *Power*: an
effect that is there (placebo), and a planted hidden confounder that moves a recorded outcome too (negative control).

    python tests/benchmarks/refuters.py --replications 100
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from causalmix_nb.estimate.placebos import Residuals
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.runs.store import Runs

PLACEBOS = 39  # the smallest p-value is 1 / 40


def drawn(seed: int, effect: float, hidden: float, n: int) -> Runs:
    """n runs; ``hidden`` moves mixture, score and a control that no mixture moves."""
    rng = np.random.default_rng([seed, 31])
    X, U = rng.normal(size=(n, 2)), rng.normal(size=n)
    pull = 0.7 * rng.normal(size=(n, 3)) + np.tanh(X) ** 2 @ [[1.0, 0, -1], [0, 1, -1]]
    pull += X @ [[0.8, 0, -0.8], [0, 0.6, -0.6]]
    pull[:, 0] += hidden * U
    T = np.exp(pull) / np.exp(pull).sum(1, keepdims=True)
    level = 1.5 * np.tanh(X[:, 0]) + np.sin(1.5 * X[:, 1]) + 0.5 * X[:, 0] ** 2
    y = level + effect * np.log(T[:, 0]) + hidden * U + 0.5 * rng.normal(size=n)
    scores = pd.DataFrame({"score": y, "control": X[:, 0] + hidden * U + 0.5 * rng.normal(size=n)})
    return Runs.from_frames(pd.DataFrame(T, columns=list("abc")), scores, pd.DataFrame(X, columns=["u", "v"]))


def alarms(seed: int, effect: float, hidden: float, n: int) -> tuple[bool, bool, float]:
    """Whether the placebo test sees an effect, whether the control does, and the share of dummy outcomes called an effect."""
    runs, rng = drawn(seed, effect, hidden, n), np.random.default_rng(seed)
    problem = Problem.from_runs(runs, "score")
    found = Residuals.of(problem)
    actual, placebo = found.placebos(PLACEBOS, rng)
    p = (1 + float((placebo >= actual).sum())) / (1 + PLACEBOS)
    control = found.effect_on(runs.frame["outcome.control"].to_numpy(dtype=float))
    return p <= 0.05, control < 0.05, float(np.mean(found.dummies(5, rng) < 0.05))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replications", type=int, default=100)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    print(f"{options.runs} runs, {options.replications} worlds each; share of worlds with an alarm at 5 %")
    print(f"{'world':36s} placebo  negative control  dummy outcomes")
    worlds = {
        "nothing there": (0.0, 0.0),
        "an effect, nothing hidden": (0.3, 0.0),
        "an effect, a hidden cause": (0.3, 0.5),
    }
    for name, (effect, hidden) in worlds.items():
        seen = np.array([alarms(seed, effect, hidden, options.runs) for seed in range(options.replications)])
        placebo, control, dummy = seen.mean(0)
        print(f"{name:36s} {placebo:.2f}     {control:.2f}              {dummy:.3f}", flush=True)


if __name__ == "__main__":
    main()
