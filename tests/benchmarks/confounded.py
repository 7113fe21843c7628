"""What confounding does, and what removes it: bias of marginal returns when people chose mixtures because of the state.

Worlds are linear in log shares, so every method could be right; in them the state moves the outcome and decided the mixture.
``no state`` leaves the state out of everything; ``no orthogonalisation`` regresses on the mixture as it is, with effects that may
vary with the state; ``double machine learning`` does what the graph says. With mixtures drawn at random all three should do.

    python tests/benchmarks/confounded.py --worlds 40 --plot confounded.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.gaussian_process import GaussianProcess
from causalmix_nb.methods.linear import fit_linear
from worlds import World, make_world


def models(world: World, n: int, seed: int, assign: str) -> dict[str, Model]:
    problem = Problem.from_runs(world.runs(n, seed, assign), "score")
    return {
        "no state": fit_linear(problem.without_state()),
        "no orthogonalisation": fit_linear(problem, orthogonalise=False),
        "double machine learning": fit_linear(problem),
        "Gaussian process": GaussianProcess(problem),
    }


def errors(world: World, model: Model, seed: int, n_states: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Error of the marginal returns (K,), averaged over states, and whether their intervals cover the truth."""
    X = np.random.default_rng([seed, 5]).normal(size=(n_states, len(world.states)))
    worth = world.worth(X).mean(0)
    state = pd.DataFrame(X, columns=list(world.states)) if model.problem.state_names else None
    table = model.marginal_return(state)
    truth = worth - worth.mean()
    return table["estimate"].to_numpy() - truth, (table["lower"] <= truth) & (truth <= table["upper"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--runs", type=int, default=256)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    rows = []
    for assign in ("random", "confounded"):
        for seed in range(options.worlds):
            world = make_world(seed, linear=True)
            for name, model in models(world, options.runs, seed, assign).items():
                error, covered = errors(world, model, seed)
                rows.append((assign, name, seed, float(np.sqrt((error**2).mean())), float(covered.mean())))
    table = pd.DataFrame(rows, columns=["assignment", "method", "world", "error", "coverage"])
    shown = table.groupby(["method", "assignment"], sort=False)[["error", "coverage"]].mean().unstack()
    print(
        f"root mean squared error of marginal returns, and coverage of their 95 % intervals; {options.worlds} worlds"
    )
    print(shown.round(3).to_string())
    if options.plot:
        draw(table, options.plot)


def draw(table: pd.DataFrame, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(table["method"]))
    for shift, assign, colour in ((-0.17, "random", "#0072B2"), (0.17, "confounded", "#D55E00")):
        here = table[table["assignment"] == assign].groupby("method", sort=False)["error"]
        axes.barh(
            np.arange(len(names)) + shift, here.mean()[names], 0.32, xerr=1.96 * here.sem()[names], color=colour,
            label=f"mixtures {'drawn at random' if assign == 'random' else 'chosen because of the state'}",
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("error of marginal returns (outcome per log share)")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
