"""Time and memory of ``fit`` (auto) and ``optimize`` as the number of runs and of domains grows; each size in a fresh process.

python tests/benchmarks/fit_scale.py --sizes 512x5 512x17 2000x17 10000x50 --plot scale.png
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))


def one(n: int, K: int, d: int, method: str) -> None:
    from causalmix_nb.decide.policy import optimize
    from causalmix_nb.methods.fit import fit
    from worlds import make_world

    world = make_world(0, K, d)
    runs = world.runs(n, 0)
    started = time.perf_counter()
    model = fit(runs, "score", method=method)
    fitted = time.perf_counter()
    state = dict.fromkeys(world.states, 0.3)
    best = optimize(model, state=state)
    done = time.perf_counter()
    share = best.mixture.to_series()[list(world.domains)].to_numpy()
    x = np.full(d, 0.3)
    regret, equal = world.regret(share, x), world.regret(np.full(K, 1 / K), x)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{n:6d} runs x {K:3d} domains x {d} states: {model.method:9s} fit {fitted - started:6.1f} s, optimize "
        f"{done - fitted:5.1f} s, {memory:.2f} GiB; Spearman {model.diagnostics['cv_spearman']:.3f}; regret {regret:.2f} "
        f"(equal {equal:.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", nargs="+", default=["128x5", "512x5", "512x17", "2000x17", "5000x24", "10000x50"]
    )
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--plot", type=Path, help="picture of the growth")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        n, K = map(int, options.one.split("x"))
        return one(n, K, options.states, options.method)
    lines = []
    for size in options.sizes:
        command = [
            sys.executable,
            __file__,
            "--one",
            size,
            "--states",
            str(options.states),
            "--method",
            options.method,
        ]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(told, end="", flush=True)
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
