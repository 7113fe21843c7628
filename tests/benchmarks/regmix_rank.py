"""Rank correlation and top-1 regret on RegMix's public runs: ours beside LightGBM as RegMix fits it, in the same run.

512 training runs of 1M-parameter models over 17 Pile domains predict 13 losses of 256 unseen mixtures, at 1M and at 60M
parameters. LightGBM gets the published settings *and*, as in RegMix's notebook, the unseen runs to stop
early on; ours sees the training runs only. Top-1 regret: loss of the mixture predicted best minus the lowest loss, in
standard deviations of the unseen runs.

    python tests/benchmarks/regmix_rank.py --data FOLDER --method auto

FOLDER holds ``regmix/train_mixture_1m.csv`` and so on; get them from the folder ``data`` of github.com/sail-sg/regmix.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from causalmix_nb import Runs
from causalmix_nb.estimate.folds import rank_correlation
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.fit import fit_outcomes
from causalmix_nb.methods.method import METHODS
from causalmix_nb.methods.trees import REGMIX, REGMIX_PATIENCE, _boost

SIZES = ("1m", "60m")


def load(folder: Path, part: str, size: str) -> Runs:
    return Runs.from_csv(folder / f"{part}_mixture_{size}.csv", folder / f"{part}_pile_loss_{size}.csv")


def regret(predicted: np.ndarray, y: np.ndarray) -> float:
    return float((y[int(predicted.argmin())] - y.min()) / y.std())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", default=os.environ.get("CAUSALMIX_BENCH_DATA"), help="folder that holds regmix/"
    )
    parser.add_argument("--losses", type=int, default=13, help="how many of the losses")
    parser.add_argument("--method", default="auto", choices=[*METHODS, "auto"])
    options = parser.parse_args()
    folder = Path(options.data or ".") / "regmix"
    if not folder.is_dir():
        parser.error(f"no folder {folder}; see --help for where to get the data")
    train = load(folder, "train", "1m")
    unseen = {size: load(folder, "test", size) for size in SIZES}
    losses = train.outcome_names[: options.losses]
    started = time.perf_counter()
    models = fit_outcomes(train, losses, method=options.method)
    seconds = time.perf_counter() - started
    heads = [f"{who} {size}" for size in SIZES for who in ("ours", "LGBM")]
    print(f"{'':36s} Spearman{'':28s}top-1 regret (sd)")
    print(f"{'loss':36s} " + " ".join(f"{head:>8s}" for head in heads * 2))
    rows = []
    for loss in losses:
        problem, ranks, regrets = Problem.from_runs(train, loss), [], []
        small = Problem.from_runs(unseen["1m"], loss)
        trees = _boost(problem.T, problem.y, REGMIX, (small.T, small.y), REGMIX_PATIENCE)
        for runs in unseen.values():
            test = Problem.from_runs(runs, loss)
            assert test.domains == problem.domains
            for predicted in (models[loss].mean(test.T, test.X, test.S), trees.predict(test.T)):
                ranks.append(rank_correlation(predicted, test.y))
                regrets.append(regret(predicted, test.y))
        rows.append([*ranks, *regrets])
        print(
            f"{loss:36s} "
            + " ".join(f"{v:8.4f}" for v in rows[-1])
            + f"  {models[loss].diagnostics['chosen']}",
            flush=True,
        )
    print(f"{'mean':36s} " + " ".join(f"{v:8.4f}" for v in np.mean(rows, axis=0)))
    print(f"all {len(losses)} losses fitted in {seconds:.1f} s on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
