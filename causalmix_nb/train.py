"""Training and evaluation of a chunk of runs with Accelerate: one swarm, one optimiser, one pass.

All runs continue from one base proxy, trained once per study on an even mixture: from scratch, what a small proxy
learns from 100 KB is byte frequencies, and the signal drowns. The base is also the scorer for the state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.corpus import Corpus, training_windows
from causalmix_nb.design import RunSpec
from causalmix_nb.outcomes import Evaluator
from causalmix_nb.proxy import ProxyConfig, ProxySwarm

if TYPE_CHECKING:
    import torch

OnTokens = Callable[[int], None]  # called with the training tokens done since the last call, over all runs


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """What became of one run: its outcomes, or the reason why there are none."""

    outcomes: dict[str, float]
    reason: str | None = None


def train_runs(
    corpus: Corpus,
    specs: Sequence[RunSpec],
    config: ProxyConfig,
    base: dict[str, torch.Tensor] | None,
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
        training_windows(
            corpus, spec.mixture, spec.tilts, spec.tilt_seed, spec.seed, n_windows, config.context
        )
        for spec in specs
    ]
    fit(
        swarm, np.stack([w for w, _ in data]), np.stack([m for _, m in data]), config.learning_rate, on_tokens
    )
    results = []
    for outcomes in evaluate(swarm):
        bad = [name for name, value in outcomes.items() if not math.isfinite(value)]
        reason = f"training diverged: {bad[0]} is not finite; lower the learning rate" if bad else None
        results.append(TrainedRun({} if bad else outcomes, reason))
    return results


def train_base(
    corpus: Corpus, config: ProxyConfig, seed: int = 0, on_tokens: OnTokens | None = None
) -> ProxySwarm:
    """Train the one proxy that all runs continue from, on an even mixture of the pool as it is."""
    swarm = new_swarm(config, 1, None, seed)
    batch = config.batch * 4  # one model alone keeps the cores busy only with larger batches
    n_windows = max(batch, config.base_tokens // config.context)
    even = [1 / len(corpus.domains)] * len(corpus.domains)
    windows, masks = training_windows(corpus, even, {}, seed, seed, n_windows, config.context)
    fit(swarm, windows[None], masks[None], config.base_learning_rate, on_tokens, batch)
    return swarm


def new_swarm(
    config: ProxyConfig, n_runs: int, base: dict[str, torch.Tensor] | None, seed: int = 0
) -> ProxySwarm:
    """R proxies that start from the base's weights, or from the same random ones."""
    swarm = ProxySwarm(config, n_runs, seed, device=str(_accelerator().device))
    if base is not None:
        swarm.load(base)
    return swarm


def fit(
    swarm: ProxySwarm,
    windows: np.ndarray,
    masks: np.ndarray,
    learning_rate: float,
    on_tokens: OnTokens | None = None,
    batch: int | None = None,
) -> None:
    """One pass of AdamW over windows (R, n, L + 1) uint8 with target masks (R, n, L), in place."""
    import torch

    config = swarm.config
    batch = batch or config.batch
    accelerator = _accelerator()
    matrices = list(swarm)
    raw = torch.optim.AdamW(
        matrices, lr=learning_rate, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True
    )
    optimizer = accelerator.prepare(raw)
    n_steps = windows.shape[1] // batch
    tokens = torch.from_numpy(windows).to(swarm.device)
    counted = torch.from_numpy(masks).to(swarm.device)
    for step, rate in enumerate(_schedule(n_steps, learning_rate, config.warmup)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = slice(step * batch, (step + 1) * batch)
        weight = counted[:, rows].float()  # (R, B, L)
        with accelerator.autocast():
            losses = swarm.token_losses(tokens[:, rows])  # (R, B, L)
        per_run = (losses * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)
        optimizer.zero_grad()
        accelerator.backward(per_run.sum())
        swarm.clip_gradients(config.clip)
        optimizer.step()
        if on_tokens and (step % 8 == 7 or step == n_steps - 1):
            on_tokens((step % 8 + 1) * batch * config.context * swarm.n_runs)


def _schedule(n_steps: int, peak: float, warmup: float) -> Iterator[float]:
    rise = max(1, round(n_steps * warmup))
    for step in range(n_steps):
        yield peak * min((step + 1) / rise, (n_steps - step) / max(1, n_steps - rise))


def _accelerator():
    from accelerate import Accelerator

    return Accelerator()
