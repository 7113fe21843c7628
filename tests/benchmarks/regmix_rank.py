"""Rank correlation on RegMix's public runs: our Gaussian process beside LightGBM as RegMix fits it, in the same run.

512 training runs of 1M-parameter models over 17 Pile domains predict 13 losses of 256 unseen mixtures, at 1M and at 60M
parameters. LightGBM gets the published settings *and*, as in RegMix's notebook, the unseen runs to stop
early on; the Gaussian process sees the training runs only.

    python tests/benchmarks/regmix_rank.py --data FOLDER

FOLDER holds ``regmix/train_mixture_1m.csv`` and so on; get them from the folder ``data`` of github.com/sail-sg/regmix.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

import causalmix_nb.fit as fitting
from causalmix_nb.model import Problem
from causalmix_nb.runs import Runs
from causalmix_nb.surface import REGMIX, REGMIX_PATIENCE, _boost, fit_gp


def load(folder: Path, part: str, size: str) -> Runs:
    return Runs.from_csv(folder / f"{part}_mixture_{size}.csv", folder / f"{part}_pile_loss_{size}.csv")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", default=os.environ.get("CAUSALMIX_BENCH_DATA"), help="folder that holds regmix/"
    )
    parser.add_argument("--losses", type=int, default=13, help="how many of the losses")
    options = parser.parse_args()
    folder = Path(options.data or ".") / "regmix"
    if not folder.is_dir():
        parser.error(f"no folder {folder}; see --help for where to get the data")
    train = load(folder, "train", "1m")
    unseen = {size: load(folder, "test", size) for size in ("1m", "60m")}
    rows = []
    print(f"{'loss':38s} {'GP 1M':>8s} {'GP 60M':>8s} {'LGBM 1M':>8s} {'LGBM 60M':>8s} {'GP s':>6s}")
    for loss in train.outcome_names[: options.losses]:
        problem = Problem.from_runs(train, loss)
        started = time.perf_counter()
        model = fit_gp(problem)
        seconds, row = time.perf_counter() - started, {}
        small = Problem.from_runs(unseen["1m"], loss)
        trees = _boost(problem.T, problem.y, REGMIX, (small.T, small.y), REGMIX_PATIENCE)
        for size, runs in unseen.items():
            test = Problem.from_runs(runs, loss)
            assert test.domains == problem.domains
            row["GP", size] = fitting.rank_correlation(model._mean(test.T, test.X, test.S), test.y)
            row["LGBM", size] = fitting.rank_correlation(trees.predict(test.T), test.y)
        rows.append(
            [*(row[k] for k in (("GP", "1m"), ("GP", "60m"), ("LGBM", "1m"), ("LGBM", "60m"))), seconds]
        )
        print(
            f"{loss:38s} " + " ".join(f"{value:8.4f}" for value in rows[-1][:4]) + f" {seconds:6.1f}",
            flush=True,
        )
    mean = np.mean(rows, axis=0)
    print(f"{'mean':38s} " + " ".join(f"{value:8.4f}" for value in mean[:4]) + f" {mean[4]:6.1f}")


if __name__ == "__main__":
    main()
