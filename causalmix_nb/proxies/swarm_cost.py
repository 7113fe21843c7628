"""What a swarm of proxies takes on this machine: its memory, reckoned, and its speed, measured."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from causalmix_nb.data.windows import BLOCK
from causalmix_nb.proxies.outcomes import AT_ONCE
from causalmix_nb.proxies.train import new_swarm, take_steps

if TYPE_CHECKING:
    from causalmix_nb.proxies.swarm import ProxySettings

WIDTH = 4  # runs that train as one where nothing was measured
COPIES = 4  # of every weight: itself, its gradient, two moments of AdamW


def speed_here(config: ProxySettings, width: int, seconds: float) -> float:
    """Training tokens per second of one swarm in this process, with the threads it has, from the median of its steps."""
    import numpy as np
    import torch

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

    take_steps(swarm, batches(), 100_000, 1e-4, compile_after=math.inf)
    return float(np.prod(shape) / np.median(times))


def swarm_bytes(config: ProxySettings, width: int, token_budget: int) -> float:
    """Memory of one swarm: weights, gradients and moments; a block of its windows; and activations."""
    weights = 4 * COPIES * config.n_parameters * width
    n_windows = min(BLOCK, max(config.batch, token_budget // config.context))
    windows = 2 * width * n_windows * (2 * config.context + 1)
    layer = 4 * config.d_model * 30  # bytes that one token leaves behind in a layer for the backward pass
    logits = 4 * 256 * 4  # of one token: logits, their logarithms, their gradients
    activations = width * max(config.batch, AT_ONCE) * config.context * (config.n_layers * layer + logits)
    return float(weights + windows + activations)
