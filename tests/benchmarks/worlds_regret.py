"""Regret of the recommended mixture on unseen states, in worlds whose truth is known: every method from the same runs.

A method is an estimator and a policy. ``equal`` and ``regmix`` are what people use; ``forest + search`` is the method of
arXiv 2607.01104. Regret is the best attainable outcome minus the expected outcome of the mixture, at the same state.

    python tests/benchmarks/worlds_regret.py --worlds 20 --assign random confounded --runs 128 512
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from causalmix_nb.decide.baselines.simulated import regmix
from causalmix_nb.decide.policy import optimize
from causalmix_nb.methods.fit import fit
from causalmix_nb.runs.store import Runs
from worlds import World, make_world

METHODS = {
    "auto": ("auto", "auto"),
    "gp": ("gp", "surface"),
    "forest": ("forest", "search"),
    "linear": ("linear", "search"),
    "lightgbm": ("lightgbm", "search"),
}


def recommended(name: str, runs: Runs, states: np.ndarray, world: World) -> list[np.ndarray]:
    """The mixture of a method at each of the states (m, d)."""
    K = len(world.domains)
    if name == "equal":
        return [np.full(K, 1 / K)] * len(states)
    if name == "regmix":
        return [regmix(runs, "score").to_series()[list(world.domains)].to_numpy()] * len(states)
    method, policy = METHODS[name]
    model = fit(runs, "score", method=method)
    rows = []
    for x in states:
        best = optimize(model, state=dict(zip(world.states, x)), policy=policy, n_candidates=20_000)
        rows.append(best.mixture.to_series()[list(world.domains)].to_numpy())
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first world")
    parser.add_argument("--runs", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--assign", nargs="+", default=["random", "confounded"])
    parser.add_argument("--methods", nargs="+", default=["equal", "regmix", *METHODS])
    parser.add_argument("--states", type=int, default=8, help="unseen states of each world")
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--out", type=Path, help="CSV of every regret")
    options = parser.parse_args()
    rows = []
    for assign in options.assign:
        for n in options.runs:
            for seed in range(options.first, options.first + options.worlds):
                world = make_world(seed, noise=options.noise)
                runs = world.runs(n, seed, assign)
                states = np.random.default_rng([seed, 7]).normal(size=(options.states, len(world.states)))
                for name in options.methods:
                    started = time.perf_counter()
                    regrets = [
                        world.regret(T, x) for T, x in zip(recommended(name, runs, states, world), states)
                    ]
                    seconds = time.perf_counter() - started
                    rows.append((assign, n, seed, name, float(np.mean(regrets)), seconds))
            table = pd.DataFrame(rows, columns=["assign", "runs", "world", "method", "regret", "seconds"])
            here = table[(table["assign"] == assign) & (table["runs"] == n)].groupby("method", sort=False)
            shown = here.agg(regret=("regret", "mean"), se=("regret", "sem"), seconds=("seconds", "mean"))
            print(
                f"\n{assign} assignment, {n} runs, {options.worlds} worlds\n{shown.round(3).to_string()}",
                flush=True,
            )
            if options.out:
                table.to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
