"""Training and evaluation of a chunk of runs with Accelerate: one swarm, one optimiser, one pass.

All runs continue from one base proxy, trained once per study on an even mixture: from scratch, what a small proxy
learns from 100 KB is byte frequencies, and the signal drowns. The base is also the scorer for the state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.data.corpus import Corpus, run_windows
from causalmix_nb.data.windows import BLOCK, RunWindows
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.proxies.config import OnTokens, TrainedRun
from causalmix_nb.proxies.outcomes import Evaluator
from causalmix_nb.proxies.schedule import accelerator, schedule
from causalmix_nb.proxies.swarm import ProxySettings, ProxySwarm

if TYPE_CHECKING:
    import torch


COMPILE_AFTER = 60.0  # seconds of steps to come on a GPU for which the compiler pays: it took 7 on an H200 and saves a tenth, if anything


def train_runs(
    corpus: Corpus,
    specs: Sequence[RunSpec],
    config: ProxySettings,
    base: Mapping[str, torch.Tensor] | None,
    evaluate: Evaluator,
    on_tokens: OnTokens | None = None,
    seed: int = 0,
) -> list[TrainedRun]:
    """Train runs of one token budget as one swarm and score them.

    Parameters
    ----------
    corpus: the tokenised pool.
    specs: R runs; all must have the same ``token_budget``.
    config: shape and optimiser of the proxies.
    base: weights every run continues from, or None to start from scratch.
    evaluate: scores the swarm.
    on_tokens: progress.

    Returns
    -------
    One :class:`TrainedRun` per spec; a run that diverged has a reason instead of outcomes.
    """
    swarm = new_swarm(config, len(specs), base, seed)
    n_windows = max(config.batch, specs[0].token_budget // config.context)
    data = [
        run_windows(
            corpus,
            spec.mixture,
            spec.perturbations,
            spec.perturbation_seed,
            spec.seed,
            n_windows,
            config.context,
            spec.target_tokens,
        )
        for spec in specs
    ]
    rates = [spec.learning_rate or config.learning_rate for spec in specs]
    fit(swarm, data, rates, on_tokens)
    results = []
    for outcomes in evaluate(swarm):
        bad = [name for name, value in outcomes.items() if not math.isfinite(value)]
        reason = f"training diverged: {bad[0]} is not finite; lower the learning rate" if bad else None
        results.append(TrainedRun({} if bad else outcomes, reason))
    return results


def train_base(
    corpus: Corpus, config: ProxySettings, seed: int = 0, on_tokens: OnTokens | None = None
) -> ProxySwarm:
    """Train the one proxy that all runs continue from, on an even mixture of the pool as it is."""
    swarm = new_swarm(config, 1, None, seed)
    batch = config.batch * 4  # one model alone keeps the cores busy only with larger batches
    n_windows = max(batch, config.base_tokens // config.context)
    even = [1 / len(corpus.domains)] * len(corpus.domains)
    data = run_windows(corpus, even, {}, seed, seed, n_windows, config.context)
    fit(swarm, [data], config.base_learning_rate, on_tokens, batch)
    return swarm


def new_swarm(
    config: ProxySettings, n_runs: int, base: Mapping[str, torch.Tensor] | None, seed: int = 0
) -> ProxySwarm:
    """R proxies that start from the base's weights, or from the same random ones."""
    swarm = ProxySwarm(config, n_runs, seed, device=str(accelerator().device))
    if base is not None:
        swarm.load(base)
    return swarm


def fit(
    swarm: ProxySwarm,
    data: Sequence[RunWindows],
    learning_rate: float | Sequence[float],
    on_tokens: OnTokens | None = None,
    batch: int | None = None,
) -> None:
    """One pass of AdamW over the windows of R runs, all of the same number, in place.

    learning_rate: the peak, one for all runs or one for each.
    """
    batch = batch or swarm.config.batch
    batches = _batches(data, batch, swarm.device)
    take_steps(swarm, batches, len(data[0]) // batch, learning_rate, on_tokens)


def take_steps(
    swarm: ProxySwarm,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    n_steps: int,
    learning_rate: float | Sequence[float],
    on_tokens: OnTokens | None = None,
    compile_after: float = COMPILE_AFTER,
) -> None:
    """``n_steps`` steps of AdamW, in place; a batch is windows (R, B, L + 1) and masks of their targets (R, B, L).

    compile_after: seconds that the steps must still take, on a GPU, for the swarm to be compiled.
    """
    import torch

    config = swarm.config
    rates = np.broadcast_to(np.asarray(learning_rate, float), swarm.n_runs)
    peak = float(rates.max())
    shares = torch.as_tensor(rates / peak, dtype=torch.float32, device=swarm.device)
    placed = accelerator()
    optimizer = placed.prepare(
        torch.optim.AdamW(
            list(swarm), lr=peak, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True
        )
    )
    since, started = 0, 0.0
    for step, (rate, (windows, masks)) in enumerate(
        zip(schedule(n_steps, peak, config.warmup).tolist(), batches)
    ):
        if swarm.device.type == "cuda" and step in (4, 8):  # the first steps are slow
            torch.cuda.synchronize()
            before_these, started = started, time.perf_counter()
            if step == 8 and (started - before_these) / 4 * (n_steps - step) > compile_after:
                swarm.compile()
        for group in optimizer.param_groups:
            group["lr"] = rate
        weight = masks.float()  # (R, B, L)
        per_run = (swarm.token_losses(windows) * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)
        optimizer.zero_grad()
        placed.backward(per_run.sum())
        swarm.clip_gradients(config.clip)
        before = None if rates.min() == peak else [tensor.detach().clone() for tensor in swarm]
        optimizer.step()
        if before is not None:
            _scale_steps(swarm, before, shares)
        since += windows.shape[1] * config.context * swarm.n_runs
        if on_tokens and (step % 8 == 7 or step == n_steps - 1):
            on_tokens(since)
            since = 0


def _batches(
    data: Sequence[RunWindows], batch: int, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Windows (R, B, L + 1) and masks (R, B, L) of one step after the other; a block of each run is held at a time."""
    import torch

    size = max(1, BLOCK // batch) * batch
    for blocks in zip(*(run.blocks(size) for run in data)):
        windows, masks = (torch.from_numpy(np.stack(arrays)).to(device) for arrays in zip(*blocks))
        for start in range(0, windows.shape[1] - batch + 1, batch):
            yield windows[:, start : start + batch], masks[:, start : start + batch]


def _scale_steps(swarm: ProxySwarm, before: Sequence[torch.Tensor], shares: torch.Tensor) -> None:
    """Turn a step at the largest learning rate into each run's own: AdamW's step and its decay are proportional to the rate."""
    import torch

    with torch.no_grad():
        for tensor, old in zip(swarm, before):
            tensor.copy_(torch.lerp(old, tensor, shares.view(-1, *[1] * (tensor.dim() - 1))))
