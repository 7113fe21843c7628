"""Is the gain of a recommendation what it turns out to be? The gain by the surface that chose, beside the cross-fitted value.

Worlds of known truth, one recommendation each at a state that no run has. ``bias`` is what is told minus the true gain; the bound of the
regret should hold 95 times of 100.

    python tests/benchmarks/recommended_value.py --replications 60
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from causalmix_nb.decide.policy import optimize
from causalmix_nb.methods.fit import fit
from worlds import make_world


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replications", type=int, default=60)
    parser.add_argument("--runs", type=int, nargs="+", default=[48, 128])
    parser.add_argument("--noise", type=float, default=3.0)
    parser.add_argument("--method", default="gp")
    options = parser.parse_args()
    for how in ("random", "confounded"):
        for n in options.runs:
            rows, seconds = [], []
            for seed in range(options.replications):
                world = make_world(seed, noise=options.noise)
                started = time.perf_counter()
                model = fit(world.runs(n, seed, how), "score", method=options.method)
                fitted = time.perf_counter()
                x = np.random.default_rng([seed, 7]).normal(size=len(world.states))
                best = optimize(model, state=dict(zip(world.states, x)), n_candidates=20_000)
                chosen = time.perf_counter()
                value = best.value
                seconds.append((fitted - started, chosen - fitted, time.perf_counter() - chosen))
                share = np.array([best.mixture[name] for name in world.domains])
                y = world.expected(np.vstack([share, np.full(5, 0.2)]), np.vstack([x, x]))
                rows.append(
                    (best.gain, best.lower, best.upper, value.estimate, value.lower, value.upper, y[0] - y[1])
                    + (value.regret, world.regret(share, x))
                )
            gain, low, high, worth, under, over, truth, bound, regret = np.array(rows).T
            fit_s, choose_s, value_s = np.mean(seconds, axis=0)
            print(f"{how}, {n} runs, {len(rows)} worlds: true gain {truth.mean():.3f}")
            for name, told, a, b in (
                ("by the surface", gain, low, high),
                ("cross-fitted", worth, under, over),
            ):
                print(
                    f"  {name:15s} bias {np.mean(told - truth):+.3f} ± {np.std(told - truth) / np.sqrt(len(rows)):.3f}  rmse "
                    f"{np.sqrt(np.mean((told - truth) ** 2)):.3f}  95 % interval covers {np.mean((a <= truth) & (truth <= b)):.2f}, "
                    f"length {np.mean(b - a):.2f}"
                )
            print(
                f"  regret {regret.mean():.3f}, bound {bound.mean():.3f} holds {np.mean(bound >= regret):.2f}; fit {fit_s:.2f} s, "
                f"optimize {choose_s:.2f} s, value {value_s:.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
