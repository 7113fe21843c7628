"""Does ``auto`` lose by choosing? Rank correlation on unseen mixtures of every method tried on small tables, and of what ``auto`` takes.

Tables are drawn from RegMix's public runs (judged on its 256 unseen mixtures), from Olmix's swarm (judged on the runs left out) and from
known worlds (judged on 300 further runs). The choice is made anew for several values of ``TIE_ERRORS``, the number of standard errors
of a rank correlation within which the Gaussian process stays.

    python tests/benchmarks/small_tables.py --data FOLDER --outcomes 7

FOLDER holds ``regmix/`` and ``olmix/`` as for regmix_rank.py and olmix_rank.py; without it only the worlds are tried.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import regmix_rank

from causalmix_nb import Runs
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.folds import rank_correlation
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods import fit as fitting
from causalmix_nb.methods.method import METHODS
from worlds import make_world

Table = tuple[str, Problem, Problem]  # source, runs to fit, runs to judge by


def regmix(folder: Path, outcomes: int) -> Iterator[Table]:
    train, test = (regmix_rank.load(folder / "regmix", part, "1m") for part in ("train", "test"))
    for n in (24, 32, 48, 96):
        for i, name in enumerate(train.outcome_names[:13][:: max(1, 13 // outcomes)]):
            known, unseen = Problem.from_runs(train, name), Problem.from_runs(test, name)
            rows = np.sort(np.random.default_rng([i, n]).permutation(known.n_runs)[:n])
            yield "RegMix", known.subset(rows), unseen


def olmix(folder: Path, outcomes: int) -> Iterator[Table]:
    shares, scores = (
        pd.read_csv(folder / "olmix" / f"dclm_{part}.csv").set_index("run").select_dtypes("number")
        for part in ("ratios", "metrics")
    )
    shares, scores = shares.drop(columns="index", errors="ignore"), scores.dropna(axis=1)
    scores = scores.iloc[:, :: max(1, scores.shape[1] // outcomes)].iloc[:, :outcomes]
    runs = Runs.from_frames(shares.div(shares.sum(axis=1), axis=0), scores, minimize=True)
    for n in (32, 48, 64, 90):
        for i, name in enumerate(scores):
            problem = Problem.from_runs(runs, name)
            rows = np.random.default_rng([i, n]).permutation(problem.n_runs)
            yield "Olmix", problem.subset(np.sort(rows[:n])), problem.subset(np.sort(rows[n:]))


def known(outcomes: int) -> Iterator[Table]:
    for n in (20, 32, 64):
        for seed in range(outcomes + 3):
            world = make_world(seed, 4 + seed % 3, 1 + seed % 2, noise=2.0, linear=seed % 3 == 0)
            problem = Problem.from_runs(world.runs(n + 300, seed), "score")
            yield "worlds", problem.subset(np.arange(n)), problem.subset(np.arange(n, n + 300))


def judged(problem: Problem, unseen: Problem) -> dict[str, tuple[float, float]]:
    """Method -> rank correlation by cross-validation, and on the unseen runs; references are left out."""
    found, problem = {}, fitting.weighed(problem)
    for name in [
        *(m for m in METHODS if METHODS[m].tried(problem) and not METHODS[m].reference),
        "gp without state",
    ]:
        method, stateless = METHODS[name.split()[0]], name.endswith("state")
        if stateless and not problem.state_names:
            continue
        ours, theirs = ((p.without_state() if stateless else p) for p in (problem, unseen))
        try:
            options = method.settle(ours, 0, {})
            table = fitting.cross_validate(ours, [method.name])
            mean = fitting.fit_quickly(ours, method.name, 0, **options).mean(theirs.T, theirs.X, theirs.S)
        except FitError:  # too few runs for this method
            continue
        found[name] = float(table["spearman"].iloc[0]), rank_correlation(mean, theirs.y)
    return found


def taken(found: dict[str, tuple[float, float]], n: int, errors: float) -> str:
    """As ``auto`` takes it."""
    top = max(score for score, _ in found.values())
    near = max(fitting.TIE, errors * (1 - min(abs(top), 1.0) ** 2) / math.sqrt(n - 1))
    close = [name for name, (score, _) in found.items() if score >= top - near]
    usual = (name for name in ("gp", "gp without state") if name in close)
    return next(usual, max(close, key=lambda name: found[name][0]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("CAUSALMIX_BENCH_DATA"))
    parser.add_argument("--outcomes", type=int, default=7, help="outcomes of each public table")
    parser.add_argument("--errors", type=float, nargs="+", default=[0.5, 1.0, 2.0, 3.0])
    options = parser.parse_args()
    tables = list(known(options.outcomes))
    if options.data:
        tables += [
            *regmix(Path(options.data), options.outcomes),
            *olmix(Path(options.data), options.outcomes),
        ]
    rows = [(source, problem.n_runs, judged(problem, unseen)) for source, problem, unseen in tables]
    for name in sorted({name for _, _, found in rows for name in found}):
        ranks = [found[name][1] for _, _, found in rows if name in found]
        print(
            f"{name:18s} mean rank correlation on unseen mixtures {np.mean(ranks):.4f} ({len(ranks)} tables)"
        )
    for errors in options.errors:
        change, left = {}, []
        for source, n, found in rows:
            name = taken(found, n, errors)
            away = found[name][1] - found["gp"][1]
            change.setdefault(source, []).append(away)
            left += [away] if name != "gp" else []
        told = ", ".join(f"{source} {np.mean(each):+.4f}" for source, each in change.items())
        everything = np.mean([away for each in change.values() for away in each])
        leaving = f", {np.mean(left):+.4f} each" if left else ""
        print(
            f"auto minus gp with {errors:g} standard errors: {everything:+.4f} ({told}); it leaves gp {len(left)} times{leaving}"
        )


if __name__ == "__main__":
    main()
