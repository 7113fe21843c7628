"""Time and memory of ``fit`` and ``optimize`` as the number of runs and of domains grows; each size and method in a fresh process.

A size is runs x domains, or runs x domains x covariates: then every domain has so many state columns of its own, ``domain.covariate``.
``--beside`` times another source tree of the package in the same run, size by size.

    python tests/benchmarks/fit_scale.py --sizes 512x5 512x17 2000x17 10000x50 --plot scale.png
    python tests/benchmarks/fit_scale.py --sizes 128x6x2 --repeats 3
    python tests/benchmarks/fit_scale.py --sizes 5000x60 5000x12x4 --method linear gp --beside ../earlier
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))


from causalmix_nb.runs.store import Runs


def own_states(n: int, K: int, covariates: int) -> tuple[Runs, dict[str, float]]:
    """Runs of which every domain has covariates of its own, the first of which says what the domain is worth; and an average state."""
    rng = np.random.default_rng(0)
    T, X = rng.dirichlet(np.ones(K), n), rng.normal(size=(n, K * covariates)) / 2
    domains = [f"domain{k}" for k in range(K)]
    names = [f"{name}.covariate{j}" for name in domains for j in range(covariates)]
    worth = np.linspace(0.3, 1.5, K) * (1 + X[:, ::covariates] / 2)
    y = 3 * (np.sqrt(T) * worth).sum(1) + 0.3 * rng.normal(size=n)
    runs = Runs.from_frames(
        pd.DataFrame(T, columns=domains), pd.DataFrame({"score": y}), state=pd.DataFrame(X, columns=names)
    )
    return runs, dict.fromkeys(names, 0.0)


def one(size: str, d: int, method: str) -> None:
    from causalmix_nb.decide.policy import optimize
    from causalmix_nb.methods.fit import fit
    from worlds import make_world

    n, K, *own = map(int, size.split("x"))
    world = None if own else make_world(0, K, d)
    if world is None:
        runs, state = own_states(n, K, own[0])
    else:
        runs, state = world.runs(n, 0), dict.fromkeys(world.states, 0.3)
    started = time.perf_counter()
    model = fit(runs, "score", method=method)
    fitted = time.perf_counter()
    best = optimize(model, state=state)
    done = time.perf_counter()
    told = ""
    if world is not None:
        share, x = best.mixture.to_series()[list(world.domains)].to_numpy(), np.full(d, 0.3)
        told = f"; regret {world.regret(share, x):.2f} (equal {world.regret(np.full(K, 1 / K), x):.2f})"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    states = len(model.problem.state_names)
    print(
        f"{n:6d} runs x {K:3d} domains x {states:2d} states: {model.method:9s} fit {fitted - started:6.1f} s, optimize "
        f"{done - fitted:5.1f} s, {memory:.2f} GiB; Spearman {model.diagnostics['cv_spearman']:.3f}{told}",
        flush=True,
    )
    if "approximation" in model.diagnostics:
        print(f"       {model.diagnostics['approximation']}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", nargs="+", default=["128x5", "512x5", "512x17", "2000x17", "5000x24", "10000x50"]
    )
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--method", nargs="+", default=["auto"])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--beside", type=Path, help="another source tree of the package, timed in the same run"
    )
    parser.add_argument("--limit", type=float, help="seconds after which a size is given up")
    parser.add_argument("--plot", type=Path, help="picture of the growth")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return one(options.one, options.states, options.method[0])
    ours = Path(__file__).resolve().parents[2]
    lines = []
    for size, method, _ in itertools.product(options.sizes, options.method, range(options.repeats)):
        command = [
            sys.executable,
            __file__,
            "--one",
            size,
            "--states",
            str(options.states),
            "--method",
            method,
        ]
        for tree in [*([options.beside] if options.beside else []), ours]:
            there = {**os.environ, "PYTHONPATH": str(Path(tree).resolve())}
            try:
                told = subprocess.run(
                    command, check=True, capture_output=True, text=True, env=there, timeout=options.limit
                ).stdout
            except subprocess.TimeoutExpired:
                told = f"{size} by {method}: given up after {options.limit:g} s\n"
            name = f"{'here' if tree == ours else 'beside':7s}" if options.beside else ""
            print(f"{name}{told}", end="", flush=True)
        lines.append((size, told))
    if options.plot:
        draw(lines, options.plot)


def draw(lines: list[tuple[str, str]], path: Path) -> None:
    import re

    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    labels = [size for size, _ in lines]
    for what, pattern in (("fit (auto)", r"fit +([\d.]+) s"), ("optimize", r"optimize +([\d.]+) s")):
        axes.plot(labels, [float(re.search(pattern, told)[1]) for _, told in lines], "o-", label=what)  # type: ignore[index]
    axes.set_yscale("log")
    axes.set_ylabel("seconds")
    axes.set_xlabel("runs x domains")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
