"""Peak memory of the swarm by its width, by the number of runs, and with a pool of a gigabyte on disk.

Each line is a process of its own, so that its peak is its own; resident memory of the process and, of a launch, of its workers too.

    python tests/benchmarks/swarm_memory.py --pool-gb 1
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tree(stop: threading.Event, found: list[float]) -> None:
    """Largest memory of this process and its children together, in MB, private pages only: those of the files of a pool are shared cache."""
    import psutil

    me = psutil.Process()
    while not stop.wait(0.1):
        total = 0.0
        for process in [me, *me.children(recursive=True)]:
            try:
                info = process.memory_info()
                total += (info.rss - info.shared) / 2**20
            except psutil.Error:
                continue
        found.append(total)


def width(n_runs: int) -> dict[str, float]:
    """One swarm of ``n_runs`` proxies of the default size takes some steps."""
    from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
    from causalmix_nb.proxies.swarm_cost import speed_here, swarm_bytes
    from causalmix_nb.proxies.train import new_swarm

    config = ProxyConfig(base_tokens=0)
    new_swarm(config, 1, None)
    before = peak()
    speed_here(config, n_runs, 0.1)
    return {
        "runs": n_runs,
        "before_mb": before,
        "peak_mb": peak(),
        "forecast_mb": swarm_bytes(config, n_runs, 0) / 2**20,
    }


def launch(n_runs: int, pool: str) -> dict[str, float]:
    """A launch of ``n_runs`` short runs on two workers."""
    from causalmix_nb.data.pool import Pool
    from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
    from causalmix_nb.study.study import Study

    found: list[float] = []
    stop = threading.Event()
    threading.Thread(target=tree, args=(stop, found), daemon=True).start()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        study = Study.create(
            Path(folder, "study"), Pool.from_files(f"{pool}/*.jsonl"),
            config=ProxyConfig(d_model=32, n_layers=1, base_tokens=100_000), max_bytes=2**40,
        )  # fmt: skip
        built = time.perf_counter() - started
        largest_building = max(found)
        report = study.run(n_runs, 2_000, workers=2)
        assert report.done == n_runs, report
    stop.set()
    return {"runs": n_runs, "build_s": built, "build_peak_mb": largest_building, "peak_mb": max(found)}


def make_pool(folder: Path, gigabytes: float) -> None:
    """Two domains of random words, half of the size each."""
    rng = np.random.default_rng(0)
    words = np.array(
        ["".join(map(chr, rng.integers(97, 123, size=n))) for n in rng.integers(2, 9, size=5000)]
    )
    for name in ("one", "two"):
        with open(folder / f"{name}.jsonl", "w") as file:
            while file.tell() < gigabytes * 5e8:
                for _ in range(200):
                    file.write(
                        json.dumps({"text": " ".join(words[rng.integers(len(words), size=400)])}) + "\n"
                    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool-gb", type=float, default=1.0)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, n, *rest = options.one
        print(json.dumps({"width": width, "launch": launch}[what](int(n), *rest)))
        return

    def run(*words: str) -> dict[str, float]:
        shown = subprocess.run([sys.executable, __file__, "--one", *words], capture_output=True, text=True)
        if shown.returncode:
            raise SystemExit(shown.stderr)
        return json.loads(shown.stdout.splitlines()[-1])

    for n in (4, 32, 128, 512):
        found = run("width", str(n))
        grown = found["peak_mb"] - found["before_mb"]
        print(
            f"a swarm {n:4d} wide: {grown:8.0f} MB above the process, {grown / n:.1f} MB a run (forecast {found['forecast_mb']:.0f} MB)",
            flush=True,
        )
    with tempfile.TemporaryDirectory() as folder:
        for gigabytes in (0.01, options.pool_gb):
            pool = Path(folder, str(gigabytes))
            pool.mkdir()
            make_pool(pool, gigabytes)
            for n in (32, 128, 512):
                found = run("launch", str(n), str(pool))
                print(
                    f"a pool of {gigabytes:g} GB, {n} runs on two workers: {found['peak_mb']:.0f} MB in all processes at the most "
                    f"({found['build_peak_mb']:.0f} MB while the pool was tokenised, in {found['build_s']:.0f} s)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
