"""How a swarm trains fastest on this machine, found by measuring: how many runs as one, in how many processes, on how many threads each.

Small matrices leave a core waiting, so a few runs go together; too many leave its cache. One process per core usually wins over one
with all cores, unless a proxy is large. Which it is depends on the proxy, the machine and who else uses it, so processes train on random
bytes for a few seconds, all at the same time, and the fastest arrangement that fits into memory is taken. A study remembers what was found.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from causalmix_nb.files import write_whole
from causalmix_nb.machine import cores, free_memory, on_gpu, tuned_allocator
from causalmix_nb.proxies.config import Trainable, as_config
from causalmix_nb.proxies.swarm_cost import WIDTH

NOTE = "pace.json"
WIDTHS = (1, 2, 4)  # wider ones were never faster on a CPU, and their memory is what a Binder has not got
GPU_WIDTHS = (8, 16, 32, 64, 128, 256, 512)
GPU_WIDTH = 64  # the widest where nothing was measured
SECONDS = 0.25  # that one arrangement is measured for
WORTH = 1e12  # tokens times parameters of a launch for which a measurement of some seconds pays
SHARE, GPU_SHARE = 0.8, 0.6  # of the free memory that swarms may take
PROCESS = 280e6  # bytes of its own of a process that has imported torch and accelerate; their code is shared with the process that asks
CONTEXT = 400e6  # bytes of a GPU that a process takes before it trains


@dataclass(frozen=True, slots=True)
class Pace:
    """How runs are trained. width: runs as one swarm. tokens_per_second: of all workers together, None where it was not measured.

    tried: ``"workers x threads x width"`` -> tokens per second.
    """

    workers: int
    threads: int
    width: int = WIDTH
    tokens_per_second: float | None = None
    tried: Mapping[str, float] | None = None


def pace_for(folder: Path, config: Trainable, budgets: Sequence[int], workers: int | None = None) -> Pace:
    """The pace for a launch: what the study remembers, what a measurement says where one pays, else one worker per core.

    Parameters
    ----------
    folder: of the study, where the pace is noted.
    budgets: training tokens of the runs to come.
    workers: number of worker processes, where it is given.
    """
    n_cores = cores()
    most = max(1, min(workers or n_cores, -(-len(budgets) // 2)))  # two runs each at least
    while workers is None and most > 1 and not fits(config, 1, max(budgets), most):
        most -= 1
    usual = 1 if on_gpu() and workers is None else most  # processes take turns on a GPU; wide swarms fill it
    plain = Pace(usual, max(1, n_cores // usual), _usual_width(config, max(budgets), usual))
    if sum(budgets) * config.n_parameters < WORTH:
        return plain
    known = [config.to_dict(), n_cores, workers, _torch_version()]
    found = _remembered(folder, known)
    if found is None:
        found = measure(config, workers, max(budgets))
        _remember(folder, known, found)
    if found.workers > most:
        return Pace(most, max(1, n_cores // most), found.width)
    return found


def _usual_width(config: Trainable, token_budget: int, workers: int) -> int:
    if not on_gpu():
        return WIDTH
    widths = [w for w in GPU_WIDTHS if w <= GPU_WIDTH and fits(config, w, token_budget, workers)]
    return max(widths, default=WIDTH)


def measure(config: Trainable, workers: int | None = None, token_budget: int = 100_000) -> Pace:
    """Find the fastest arrangement by training on random bytes, for some seconds in all.

    workers: the number of processes where it is given; else one per core, fewer with more threads, and one alone are tried. On a GPU one
        and two are tried, without the compiler, which takes longer than all of this.
    """
    n_cores = cores()
    usual = {2, 1} if on_gpu() else {max(1, n_cores // k) for k in (1, 2, 4, n_cores)}
    counts = [workers] if workers else sorted(usual, reverse=True)
    counts = [count for count in counts if fits(config, 1, token_budget, count)] or [min(counts)]
    tried: dict[tuple[int, int, int], float] = {}
    with _processes(max(counts)) as processes:
        for count in counts:
            threads, best = max(1, n_cores // count), 0.0
            for width in GPU_WIDTHS if on_gpu() else WIDTHS:
                if width > 1 and not fits(config, width, token_budget, count):
                    break
                asked = {"config": config.to_dict(), "width": width, "threads": threads}
                speed = sum(_ask(processes[:count], asked))
                tried[count, threads, width] = speed
                if speed < 0.9 * best:
                    break  # past the best width
                best = max(best, speed)
    fastest = max(tried, key=lambda key: tried[key])
    speeds = {" x ".join(map(str, key)): round(speed) for key, speed in tried.items()}
    return Pace(*fastest, tokens_per_second=tried[fastest], tried=speeds)


def fits(config: Trainable, width: int, token_budget: int, workers: int) -> bool:
    """Whether so many swarms of so many runs fit into the memory that is free."""
    free, swarm = free_memory(), config.chunk_bytes(width, token_budget)
    if on_gpu():
        return workers * (CONTEXT + swarm) < GPU_SHARE * free
    return workers * (PROCESS + swarm) < SHARE * free


# -- inside ------------------------------------------------------------------------------------------------------


def _torch_version() -> str:
    from importlib.metadata import version

    return version("torch")


@contextlib.contextmanager
def _processes(n: int) -> Iterator[list[subprocess.Popen]]:
    """Processes that measure when asked to."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **tuned_allocator(), "PYTHONPATH": paths}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "causalmix_nb.launch.pace"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True,
        )
        for _ in range(n)
    ]  # fmt: skip
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _ask(processes: Sequence[subprocess.Popen], asked: Mapping[str, Any]) -> list[float]:
    """What processes that measure at the same time answer; one that cannot (memory) counts as 0."""
    speeds = []
    for process in processes:
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(asked) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
    for process in processes:
        line = process.stdout.readline()  # type: ignore[union-attr]
        speeds.append(float(line) if line else 0.0)
    return speeds


def _remembered(folder: Path, known: Any) -> Pace | None:
    try:
        noted = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        return Pace(**noted["pace"]) if noted["known"] == json.loads(json.dumps(known)) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _remember(folder: Path, known: Any, pace: Pace) -> None:
    with contextlib.suppress(OSError):  # it can be measured again
        noted = json.dumps({"known": known, "pace": asdict(pace)}, indent=1)
        write_whole(folder / NOTE, noted, durable=False)


def _main() -> None:
    """Answer each line of stdin, a JSON object with config, width and threads, with the speed."""
    import torch

    for line in sys.stdin:
        asked = json.loads(line)
        torch.set_num_threads(asked["threads"])
        try:
            speed = as_config(asked["config"]).speed(asked["width"], SECONDS).tokens_per_second
        except (MemoryError, RuntimeError):
            speed = 0.0
        print(speed, flush=True)


if __name__ == "__main__":
    _main()
