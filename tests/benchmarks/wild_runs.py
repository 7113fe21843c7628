"""What wild runs do to an answer: every method, every kind of contamination, beside the same runs without them.

In a world whose truth is a formula some runs are said to have ended where they cannot have. Regret of the recommended mixture
(true loss above the lowest), the gain that is promised, its true value, and how often the interval holds it.

    python tests/benchmarks/wild_runs.py --worlds 10 --methods auto linear lightgbm law regmix
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from causalmix_nb.decide.policy import optimize
from causalmix_nb.errors import FitError
from causalmix_nb.methods.fit import fit
from causalmix_nb.methods.method import METHODS
from wild import NAMES, loss, regret, shares, table

CONTAMINATION = {
    "none": {},
    "one at 5": {5: 5.0},
    "one at 11": {5: 11.0},
    "one at 1000": {5: 1e3},
    "one at 0.1": {5: 0.1},
    "one at -1000": {5: -1e3},
    "five high": {5: 5.0, 9: 6.0, 20: 4.8, 33: 7.0, 40: 5.5},
    "two high, two low": {5: 9.0, 9: 5.0, 20: -4.0, 33: 0.2},
    "noise of t2": {},
    "far 10 x noisier": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--methods", nargs="+", default=["auto", *METHODS])
    parser.add_argument("--kinds", nargs="+", default=list(CONTAMINATION))
    options = parser.parse_args()
    equal = float(loss(shares(dict.fromkeys(NAMES, 0.25)))[0])
    print(
        f"{'method':10s} {'contamination':20s} {'regret':>8s} {'worst':>8s} {'promised':>10s} {'true':>7s} {'holds':>6s} {'s':>6s}"
    )
    for method in options.methods:
        for kind in options.kinds:
            rows, started = [], time.perf_counter()
            for seed in range(options.worlds):
                runs = table(
                    CONTAMINATION[kind], n=options.runs, seed=seed,
                    tails=2.0 if kind == "noise of t2" else np.inf, far=10.0 if kind.startswith("far") else 1.0,
                )  # fmt: skip
                try:
                    best = optimize(fit(runs, "loss", method=method), n_candidates=3000)
                except FitError as refused:
                    print(f"{method:10s} {kind:20s} refused: {refused}")
                    continue
                true = equal - float(loss(shares(best.mixture))[0])
                rows.append((regret(best.mixture), best.gain, true, best.lower <= true <= best.upper))
            if rows:
                lost, gain, true, held = np.array(rows, dtype=float).T
                seconds = (time.perf_counter() - started) / options.worlds
                print(
                    f"{method:10s} {kind:20s} {lost.mean():8.3f} {lost.max():8.3f} {np.median(gain):10.3g} {np.median(true):7.3f} "
                    f"{held.mean():6.0%} {seconds:6.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
