"""The machine that this process is on: cores, memory that is free, whether there is a GPU."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

SERVER = 0.2e9  # bytes of the notebook server, which JupyterHub counts too


def on_gpu() -> bool:
    """Whether torch is there already and has a GPU; it is not imported for that."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


def free_memory() -> float:
    """Bytes that are free: of the GPU where there is one, else of the machine, of this process's control group or of what JupyterHub allows
    (``MEM_LIMIT``)."""
    if on_gpu():
        return float(sys.modules["torch"].cuda.mem_get_info()[0])
    import psutil

    free = [float(psutil.virtual_memory().available)]
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        group = Path("/sys/fs/cgroup")
        limit = float((group / "memory.max").read_text(encoding="utf-8"))
        free.append(limit - float((group / "memory.current").read_text(encoding="utf-8")))
    with contextlib.suppress(ValueError, KeyError):
        free.append(float(os.environ["MEM_LIMIT"]) - SERVER - psutil.Process().memory_info().rss)
    return min(free)


def cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than the quota of its container."""
    import joblib

    return int(joblib.cpu_count())


def tuned_allocator() -> dict[str, str]:
    """Environment in which the C library keeps freed memory: training asks for the same few megabytes at every step (12 % faster here)."""
    return {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
