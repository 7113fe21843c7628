"""How a swarm trains fastest on this machine, found by measuring: how many runs as one, in how many processes, on how many threads each.

Small matrices leave a core waiting, so a few runs go together; too many leave its cache. One process per core usually wins over one
with all cores, unless a proxy is large. Which it is depends on the proxy, the machine and who else uses it, so processes train on random
bytes for a few seconds, all at the same time, and the fastest arrangement that fits into memory is taken. A study remembers what was found.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from causalmix_nb.data.windows import BLOCK
from causalmix_nb.proxies.outcomes import AT_ONCE
from causalmix_nb.proxies.swarm import ProxyConfig

NOTE = "pace.json"
WIDTH = 4  # runs that train as one where nothing was measured
WIDTHS = (1, 2, 4)  # wider ones were never faster on a CPU, and their memory is what a Binder has not got
GPU_WIDTHS = (8, 16, 32, 64, 128, 256, 512)
GPU_WIDTH = 64  # the widest where nothing was measured
SECONDS = 0.25  # that one arrangement is measured for
WORTH = 1e12  # tokens times parameters of a launch for which a measurement of some seconds pays
SHARE, GPU_SHARE = 0.8, 0.6  # of the free memory that swarms may take
PROCESS = 280e6  # bytes of its own of a process that has imported torch and accelerate; their code is shared with the process that asks
CONTEXT = 400e6  # bytes of a GPU that a process takes before it trains
SERVER = 0.2e9  # bytes of the notebook server, which JupyterHub counts too
COPIES = 4  # of every weight: itself, its gradient, two moments of AdamW


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


def pace_for(folder: Path, config: ProxyConfig, budgets: Sequence[int], workers: int | None = None) -> Pace:
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
    usual = 1 if _on_gpu() and workers is None else most  # processes take turns on a GPU; wide swarms fill it
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


def _usual_width(config: ProxyConfig, token_budget: int, workers: int) -> int:
    if not _on_gpu():
        return WIDTH
    widths = [w for w in GPU_WIDTHS if w <= GPU_WIDTH and fits(config, w, token_budget, workers)]
    return max(widths, default=WIDTH)


def measure(config: ProxyConfig, workers: int | None = None, token_budget: int = 100_000) -> Pace:
    """Find the fastest arrangement by training on random bytes, for some seconds in all.

    workers: the number of processes where it is given; else one per core, fewer with more threads, and one alone are tried. On a GPU one
        and two are tried, without the compiler, which takes longer than all of this.
    """
    n_cores = cores()
    usual = {2, 1} if _on_gpu() else {max(1, n_cores // k) for k in (1, 2, 4, n_cores)}
    counts = [workers] if workers else sorted(usual, reverse=True)
    counts = [count for count in counts if fits(config, 1, token_budget, count)] or [min(counts)]
    tried: dict[tuple[int, int, int], float] = {}
    with _crew(max(counts)) as crew:
        for count in counts:
            threads, best = max(1, n_cores // count), 0.0
            for width in GPU_WIDTHS if _on_gpu() else WIDTHS:
                if width > 1 and not fits(config, width, token_budget, count):
                    break
                asked = {"config": config.to_dict(), "width": width, "threads": threads}
                speed = sum(_ask(crew[:count], asked))
                tried[count, threads, width] = speed
                if speed < 0.9 * best:
                    break  # past the best width
                best = max(best, speed)
    fastest = max(tried, key=lambda key: tried[key])
    said = {" x ".join(map(str, key)): round(speed) for key, speed in tried.items()}
    return Pace(*fastest, tokens_per_second=tried[fastest], tried=said)


def speed_here(config: ProxyConfig, width: int, seconds: float = SECONDS) -> float:
    """Training tokens per second of one swarm in this process, with the threads it has, from the median of its steps."""
    import numpy as np
    import torch

    from causalmix_nb.proxies.train import new_swarm, take_steps

    swarm, times = new_swarm(config, width, None), list[float]()
    shape = (width, config.batch, config.context)
    windows = np.random.default_rng(0).integers(1, 256, (*shape[:2], shape[2] + 1), dtype=np.uint8)
    tokens, masks = (
        torch.from_numpy(windows).to(swarm.device),
        torch.ones(shape, dtype=torch.bool, device=swarm.device),
    )

    def batches() -> Iterator[tuple[Any, Any]]:
        yield tokens, masks  # the first step of all is slow
        started = time.perf_counter()
        while len(times) < 2 or time.perf_counter() - started < seconds:
            before = time.perf_counter()
            yield tokens, masks
            if swarm.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - before)

    take_steps(swarm, batches(), 1_000_000, 1e-4, compile_after=math.inf)
    return float(np.prod(shape) / np.median(times))


def swarm_bytes(config: Any, width: int, token_budget: int) -> float:
    """Memory of one swarm: weights, gradients and moments; a block of its windows; and activations."""
    weights = 4 * COPIES * config.n_parameters * width
    n_windows = min(BLOCK, max(config.batch, token_budget // config.context))
    windows = 2 * width * n_windows * (2 * config.context + 1)
    layer = 4 * config.d_model * 30  # bytes that one token leaves behind in a layer for the backward pass
    logits = 4 * 256 * 4  # of one token: logits, their logarithms, their gradients
    activations = width * max(config.batch, AT_ONCE) * config.context * (config.n_layers * layer + logits)
    return float(weights + windows + activations)


def fits(config: ProxyConfig, width: int, token_budget: int, workers: int) -> bool:
    """Whether so many swarms of so many runs fit into the memory that is free."""
    free, swarm = free_memory(), swarm_bytes(config, width, token_budget)
    if _on_gpu():
        return free is None or workers * (CONTEXT + swarm) < GPU_SHARE * free
    return free is None or workers * (PROCESS + swarm) < SHARE * free


def free_memory() -> float | None:
    """Bytes that are free: of the GPU where there is one, else of the machine, of this process's control group or of what JupyterHub allows
    (``MEM_LIMIT``); None if unknown."""
    if _on_gpu():
        return float(sys.modules["torch"].cuda.mem_get_info()[0])
    free: list[float] = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        free.append(_noted("/proc/meminfo", "MemAvailable"))
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        group = Path("/sys/fs/cgroup")
        limit = float((group / "memory.max").read_text(encoding="utf-8"))
        free.append(limit - float((group / "memory.current").read_text(encoding="utf-8")))
    with contextlib.suppress(OSError, ValueError, StopIteration, KeyError):
        free.append(float(os.environ["MEM_LIMIT"]) - SERVER - _noted("/proc/self/status", "VmRSS"))
    return min(free, default=None)


def _noted(file: str, name: str) -> float:
    """Bytes that Linux notes under a name in a file of ``name: kilobytes kB`` lines."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return 1024 * float(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tuned_allocator() -> dict[str, str]:
    """Environment in which the C library keeps freed memory: training asks for the same few megabytes at every step (12 % faster here)."""
    return {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}


# -- inside ------------------------------------------------------------------------------------------------------


def _on_gpu() -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


def _torch_version() -> str:
    from importlib.metadata import version

    return version("torch")


@contextlib.contextmanager
def _crew(n: int) -> Iterator[list[subprocess.Popen]]:
    """Processes that measure when asked to."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **tuned_allocator(), "PYTHONPATH": paths}
    crew = [
        subprocess.Popen(
            [sys.executable, "-m", "causalmix_nb.launch.pace"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True,
        )
        for _ in range(n)
    ]  # fmt: skip
    try:
        yield crew
    finally:
        for process in crew:
            process.kill()
            process.communicate()


def _ask(crew: Sequence[subprocess.Popen], asked: Mapping[str, Any]) -> list[float]:
    """What processes that measure at the same time answer; one that cannot (memory) counts as 0."""
    speeds = []
    for process in crew:
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(asked) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
    for process in crew:
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
    partial = folder / f"{NOTE}.partial"
    with contextlib.suppress(OSError):  # it can be measured again
        partial.write_text(json.dumps({"known": known, "pace": asdict(pace)}, indent=1), encoding="utf-8")
        os.replace(partial, folder / NOTE)


def _main() -> None:
    """Answer each line of stdin, a JSON object with config, width and threads, with the speed."""
    import torch

    for line in sys.stdin:
        asked = json.loads(line)
        torch.set_num_threads(asked["threads"])
        try:
            speed = speed_here(ProxyConfig(**asked["config"]), asked["width"])
        except (MemoryError, RuntimeError):
            speed = 0.0
        print(speed, flush=True)


if __name__ == "__main__":
    _main()
