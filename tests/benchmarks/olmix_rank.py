"""Rank correlation on Olmix's public swarm, by grouped 5-fold cross-validation: every method in the same run.

127 runs over 24 domains; the outcome is the mean of the metrics that every run has (bits per byte, lower is better).

    python tests/benchmarks/olmix_rank.py --data FOLDER

FOLDER holds ``olmix/dclm_ratios.csv`` and ``olmix/dclm_metrics.csv``; get them from an early commit of github.com/allenai/olmix.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import pandas as pd

from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.fit import cross_validate
from causalmix_nb.runs.store import Runs


def load(folder: Path) -> Runs:
    paths = folder / "dclm_ratios.csv", folder / "dclm_metrics.csv"
    runs = Runs.from_csv(
        *paths, drop_incomplete=True, minimize=True
    )  # bits per byte, which the names do not say
    frame = runs.frame
    mixtures = frame[[f"mixture.{name}" for name in runs.domains]].rename(
        columns=lambda c: c.removeprefix("mixture.")
    )
    mean = frame[[f"outcome.{name}" for name in runs.outcome_names]].mean(axis=1)
    return Runs.from_frames(mixtures, pd.DataFrame({"mean_bpb": mean}), minimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", default=os.environ.get("CAUSALMIX_BENCH_DATA"), help="folder that holds olmix/"
    )
    parser.add_argument("--methods", nargs="+", default=["gp", "lightgbm", "regmix", "law", "linear"])
    parser.add_argument("--seeds", type=int, default=3, help="how many ways to draw the folds")
    options = parser.parse_args()
    folder = Path(options.data or ".") / "olmix"
    if not folder.is_dir():
        parser.error(f"no folder {folder}; see --help for where to get the data")
    problem = Problem.from_runs(load(folder))
    print(f"{problem.n_runs} runs, {len(problem.domains)} domains")
    for method in options.methods:
        started = time.perf_counter()
        tables = [cross_validate(problem, [method], 5, seed) for seed in range(options.seeds)]
        mean = sum(tables) / len(tables)
        scores = ", ".join(f"{name} {mean[name].iloc[0]:.4f}" for name in mean)
        print(
            f"{method:10s} {scores} ({(time.perf_counter() - started) / options.seeds:.1f} s per 5 folds)",
            flush=True,
        )


if __name__ == "__main__":
    main()
