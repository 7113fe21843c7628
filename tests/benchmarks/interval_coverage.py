"""Do 95 % intervals cover the truth 95 % of the time? Marginal returns, ``do`` and the gain of the chosen mixture.

Each world is drawn anew. Marginal returns come from the linear method in worlds where the partially linear model is true;
``do`` and the recommended mixture's gain come from a surface in worlds where it is not. The gain is that of a mixture chosen
because it looked best, so an interval that ignores the choice would promise too much (winner's curse).

    python tests/benchmarks/interval_coverage.py --worlds 200
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from causalmix_nb.answers.interventions import do
from causalmix_nb.decide.policy import optimize
from causalmix_nb.estimate.model import Model
from causalmix_nb.methods.fit import fit
from worlds import World, make_world


def linear_returns(world: World, X: np.ndarray) -> np.ndarray:
    """True marginal returns (n, K) where the outcome is linear in log shares: contrasts of the worths."""
    worth = world.worth(X)
    return worth - worth.mean(1, keepdims=True)


def covered_returns(world: World, model: Model, states: np.ndarray) -> list[bool]:
    found = []
    for x in states:
        table = model.marginal_return(dict(zip(world.states, x)))
        truth = linear_returns(world, x[None])[0]
        found += ((table["lower"] <= truth) & (truth <= table["upper"])).tolist()
    return found


def covered_do(
    world: World, model: Model, states: np.ndarray, rng: np.random.Generator
) -> tuple[list[bool], list[float]]:
    """Single shares set, and whole mixtures, against Equal."""
    found, width = [], []
    K = len(world.domains)
    equal = np.full((1, K), 1 / K)
    for x in states:
        T = rng.dirichlet(np.full(K, 1.5))
        for shares in (dict(zip(world.domains, T)), {world.domains[0]: float(rng.uniform(0.05, 0.6))}):
            effect = do(model, shares, state=dict(zip(world.states, x)))
            after = equal + np.array([[effect.contrast[name] for name in world.domains]])
            truth = float((world.expected(after, x[None]) - world.expected(equal, x[None]))[0])
            found.append(effect.lower <= truth <= effect.upper)
            width.append(effect.upper - effect.lower)
    return found, width


def covered_gain(
    world: World, model: Model, states: np.ndarray
) -> tuple[list[bool], list[float], list[float]]:
    found, bias, width = [], [], []
    K = len(world.domains)
    for x in states:
        best = optimize(model, state=dict(zip(world.states, x)), n_candidates=5_000)
        T = np.array([[best.mixture[name] for name in world.domains], [1 / K] * K])
        truth = world.expected(T, np.vstack([x, x]))
        gain = float(truth[0] - truth[1])
        found.append(best.lower <= gain <= best.upper)
        bias.append(best.gain - gain)
        width.append(best.upper - best.lower)
    return found, bias, width


def said(name: str, per_world: list[list[bool]]) -> str:
    """Coverage with the standard error over worlds (answers within one world are not independent)."""
    means = np.array([np.mean(found) for found in per_world])
    se = means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    return f"{name:42s} {means.mean():.3f} ± {se:.3f}   worst tenth of worlds {np.quantile(means, 0.1):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--runs", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--states", type=int, default=6)
    parser.add_argument("--methods", nargs="+", default=["auto"], help="for do and the gain")
    parser.add_argument("--assign", nargs="+", default=["random", "confounded"])
    parser.add_argument("--parts", nargs="+", default=["returns", "surface"])
    parser.add_argument("--noise", type=float, default=1.0)
    options = parser.parse_args()
    for assign in options.assign:
        for n in options.runs:
            started = time.perf_counter()
            returns, dos, gains, bias, widths = [], [], [], [], []
            chosen: dict[str, int] = {}
            for seed in range(options.first, options.first + options.worlds):
                rng = np.random.default_rng([seed, 11])
                states = rng.normal(size=(options.states, 3))
                if "returns" in options.parts:
                    world = make_world(seed, noise=options.noise, linear=True)
                    model = fit(world.runs(n, seed, assign), "score", method="linear")
                    returns.append(covered_returns(world, model, states))
                if "surface" in options.parts:
                    world = make_world(seed, noise=options.noise)
                    for method in options.methods:
                        model = fit(world.runs(n, seed, assign, repeats=8), "score", method=method)
                        chosen[model.method] = chosen.get(model.method, 0) + 1
                        found, _ = covered_do(world, model, states, rng)
                        dos.append(found)
                        found, off, width = covered_gain(world, model, states)
                        gains.append(found)
                        bias += off
                        widths += width
            print(
                f"\n{assign} assignment, {n} runs, {options.worlds} worlds ({time.perf_counter() - started:.0f} s)"
            )
            if returns:
                print(said("marginal returns (linear method and truth)", returns))
            if dos:
                print(said(f"do ({'/'.join(options.methods)})", dos))
                print(said("gain of the recommended mixture", gains))
                print(
                    f"promised minus true gain: {np.mean(bias):+.3f} on average; mean width of the interval {np.mean(widths):.3f}; "
                    f"chosen: {chosen}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
