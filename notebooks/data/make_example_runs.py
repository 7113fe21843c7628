"""Makes the two tables of lesson 07, in the layout that RegMix publishes: ``python notebooks/data/make_example_runs.py``.

The runs are invented: a loss falls with the share of text like its own, and of text that helps it, by a data mixing law
(loss = floor + height · exp(-Σ help · share), arXiv 2403.16952), and each run has its own noise.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

DOMAINS = ["web", "code", "math", "books", "wiki"]
HELP = {  # loss -> how much each domain helps it
    "web": [2.2, 0.1, 0.0, 1.0, 1.2],
    "code": [0.2, 3.0, 1.2, 0.0, 0.1],
    "math": [0.1, 1.3, 3.2, 0.1, 0.4],
}
RUNS, FLOOR, HEIGHT, NOISE = 96, 2.0, 2.5, 0.03


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ratios and metrics, one row per run, both indexed by the number of the run."""
    rng = np.random.default_rng(2026)
    T = rng.dirichlet(np.ones(len(DOMAINS)), RUNS).round(3)
    losses = {
        f"metric/{name}_val_loss": FLOOR + HEIGHT * np.exp(-T @ help_) + NOISE * rng.normal(size=RUNS)
        for name, help_ in HELP.items()
    }
    index = pd.RangeIndex(1, RUNS + 1, name="index")
    ratios = pd.DataFrame(T, index=index, columns=[f"train_{name}" for name in DOMAINS])
    return ratios, pd.DataFrame(losses, index=index).round(4)


def main(folder: Path) -> None:
    ratios, metrics = tables()
    ratios.to_csv(folder / "example_ratios.csv", lineterminator="\n")
    metrics.to_csv(folder / "example_metrics.csv", lineterminator="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
