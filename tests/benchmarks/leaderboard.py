"""Every method on public runs and on worlds whose truth is known, by the number of runs it learnt from, in one go.

regmix: 512 runs of 1M-parameter models; scored on 256 unseen mixtures at 1M and at 60M (scale transfer), mean over the losses.
olmix: 127 runs over 24 domains, mean of the complete metrics; a quarter is left out. worlds: known truths with states
(``tests/support/worlds.py``), scored on unseen mixtures *and* states. wide: any CSV with ratio_* and metric_* columns.

    python tests/benchmarks/leaderboard.py --data FOLDER --tables regmix olmix worlds

FOLDER holds ``regmix`` and ``olmix``; ``regmix_rank.py`` and ``olmix_rank.py`` say where to get them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import olmix_rank
import regmix_rank

from causalmix_nb.answers.leaderboard import DEFAULT, Leaderboard, leaderboard
from causalmix_nb.runs.store import Runs
from worlds import make_world

STATELESS = [
    name for name in DEFAULT if name != "forest"
]  # without a state the forest has nothing to split on


def show(title: str, board: Leaderboard, started: float) -> None:
    table = board.table.pivot(index="method", columns="runs", values=["spearman", "regret"]).round(4)
    last = board.table[board.table["runs"] == board.table["runs"].max()]["method"]
    print(f"\n{title} ({board.n_unseen} unseen, {time.perf_counter() - started:.0f} s)")
    print(table.loc[list(last)].to_string())
    print(". ".join(board.sentences), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("CAUSALMIX_BENCH_DATA"))
    parser.add_argument("--tables", nargs="+", default=["worlds"], help="regmix, olmix, worlds or CSV files")
    parser.add_argument("--runs", type=int, nargs="+", default=[64, 128, 256], help="besides all there are")
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--losses", type=int, default=13, help="of regmix, how many")
    parser.add_argument("--plot", type=Path, help="folder for the figures")
    options = parser.parse_args()
    budgets = [*options.runs, None]
    boards = {}
    for table in options.tables:
        started = time.perf_counter()
        settings = {"budgets": budgets, "n_splits": options.splits}
        if table == "regmix":
            folder = Path(options.data) / "regmix"
            train = regmix_rank.load(folder, "train", "1m")
            for size in regmix_rank.SIZES:
                boards[f"regmix, unseen at {size}"] = leaderboard(
                    train, train.outcome_names[: options.losses], options.methods or STATELESS,
                    unseen=regmix_rank.load(folder, "test", size), **settings,
                )  # fmt: skip
        elif table == "olmix":
            runs = olmix_rank.load(Path(options.data) / "olmix")
            boards["olmix"] = leaderboard(runs, methods=options.methods or STATELESS, **settings)
        elif table == "worlds":
            parts = []
            for how in ("random", "confounded"):
                tables = [
                    leaderboard(
                        make_world(w).runs(512, w, how), methods=options.methods,
                        unseen=make_world(w).runs(256, 10_000 + w), **{**settings, "n_splits": 1},
                    ).table
                    for w in range(options.worlds)
                ]  # fmt: skip
                mean = pd.concat(tables).groupby(["runs", "method"])[["spearman", "regret", "seconds"]].mean()
                parts.append(
                    f"\nworlds, {how} assignment ({options.worlds} worlds, means)\n{mean.unstack(0).round(4).to_string()}"
                )
            print(*parts, f"({time.perf_counter() - started:.0f} s)", sep="\n", flush=True)
        else:
            runs = Runs.from_wide(table)
            boards[table] = leaderboard(runs, runs.outcome_names, options.methods or STATELESS, **settings)
        for title, board in boards.items():
            show(title, board, started)
            if options.plot:
                options.plot.mkdir(parents=True, exist_ok=True)
                board.figure().savefig(
                    options.plot / f"{Path(title).stem.replace(' ', '_')}.png", facecolor="white"
                )
        boards.clear()


if __name__ == "__main__":
    main()
