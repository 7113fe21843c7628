"""Is a domain that no run has had priced well from its description? Coverage, width, correlation with the truth.

Worlds as in ``tests/support/priced_worlds.py``: worth is linear in two features, plus a domain's own part, N(0, tau^2);
one domain is never mixed. With --perturbation 0 descriptions never vary over the runs; else they do, and the state drives the
outcome, and with --pull the mixture as well.

    python tests/benchmarks/new_domain.py --worlds 200
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from priced_worlds import World


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--runs", type=int, default=80)
    parser.add_argument("--domains", type=int, nargs="+", default=[4, 6, 10])
    parser.add_argument("--tau", type=float, nargs="+", default=[0.0, 0.3, 1.5])
    parser.add_argument("--perturbation", type=float, default=0.0)
    parser.add_argument("--pull", type=float, default=0.0, help="how far the state decides the mixture")
    parser.add_argument("--drive", type=float, default=1.0, help="how far the state decides the outcome")
    parser.add_argument("--noise", type=float, default=0.5)
    options = parser.parse_args()
    print(
        f"{options.worlds} worlds, {options.runs} runs, perturbation {options.perturbation:g}, pull {options.pull:g}"
    )
    print("domains   tau  coverage  mean width  median width  correlation  rms error  agree  seconds a world")
    for K in options.domains:
        for tau in options.tau:
            started, rows = time.perf_counter(), []
            for seed in range(options.first, options.first + options.worlds):
                world = World(
                    seed,
                    K,
                    options.runs,
                    tau,
                    options.perturbation,
                    options.noise,
                    options.pull,
                    options.drive,
                )
                price = world.price()
                rows.append((price.estimate, price.lower, price.upper, world.truth, price.checked))
            estimate, lower, upper, truth, checked = np.array(rows).T
            covered = ((lower <= truth) & (truth <= upper)).mean()
            width, error = upper - lower, np.sqrt(((estimate - truth) ** 2).mean())
            seconds = (time.perf_counter() - started) / options.worlds
            print(
                f"{K:7d} {tau:5.2f} {covered:9.3f} {width.mean():11.2f} {np.median(width):13.2f} "
                f"{np.corrcoef(estimate, truth)[0, 1]:12.2f} {error:10.2f} {checked.mean():6.2f} {seconds:16.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
