"""Mixtures that are found while a proxy trains: DoReMi and Online Data Mixing. Neither sees an outcome or the pool's state.

Both watch the training losses of the domains. DoReMi (Xie et al., arXiv 2305.10429) trains a reference on a given mixture, then a second
proxy whose loss weighs domains by how far it lags behind the reference, and takes the weights averaged over training. Online Data Mixing
(Albalak et al., arXiv 2312.02406) draws domains by an adversarial bandit (Exp3) whose reward is the loss, and takes the shares it drew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.errors import TrainingError
from causalmix_nb.finding import Finding
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.schedule import accelerator, schedule
from causalmix_nb.proxies.train import fit

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.data.pool import Perturbation
    from causalmix_nb.proxies.config import OnTokens, Trainable
    from causalmix_nb.proxies.swarm import ProxySwarm

STEP_SIZE, SMOOTHING = 1.0, 1e-3  # DoReMi: of the weights' exponentiated gradient, towards uniform
MEMORY = 0.9  # ODM: of the moving average of rewards


@dataclass(frozen=True, slots=True)
class OnlineMixture(Finding):
    """A mixture found in one go of training, and how the weights moved. history: step × domain. tokens: trained on in all."""

    mixture: Mixture
    history: pd.DataFrame
    method: str
    tokens: int

    @property
    def title(self) -> str:
        return f"The mixture of {self.method}"

    @property
    def table(self) -> pd.DataFrame:
        """Share, and the weight at the beginning and at the end of training."""
        ends = {"first": self.history.iloc[0], "last": self.history.iloc[-1]}
        return self.mixture.to_series().rename("share").to_frame().assign(**ends)

    @property
    def sentences(self) -> tuple[str, ...]:
        top = max(self.mixture.shares, key=lambda name: self.mixture[name])
        return (
            f"{top} has the largest share, {self.mixture[top]:.0%}",
            f"{self.tokens:,} tokens were trained on; no outcome was looked at, so there is no interval",
        )


def doremi(
    corpus: Corpus,
    config: Trainable,
    base: Mapping[str, torch.Tensor] | None,
    token_budget: int,
    reference: Mixture | None = None,
    perturbations: Mapping[str, Perturbation] | None = None,
    seed: int = 0,
    on_tokens: OnTokens | None = None,
) -> OnlineMixture:
    """DoReMi's mixture: group distributionally robust optimisation against a reference proxy.

    Parameters
    ----------
    base: weights that both proxies continue from, or None to start from scratch.
    token_budget: training tokens of the reference and, again, of the second proxy.
    reference: the mixture the reference trains on; Equal without it (the paper's other choice is the natural one).

    Raises
    ------
    TrainingError: a budget below one step, or training that diverged.
    """
    import torch

    from causalmix_nb.data.corpus import run_windows

    domains, K = corpus.domains, len(corpus.domains)
    per = max(1, config.batch // K)
    n_steps = _steps(token_budget, K * per, config)
    windows, masks = _by_domain(corpus, perturbations or {}, n_steps * per, config, seed)
    model = config.swarm(1, base, seed)
    mixed = (reference or Mixture.equal(domains)).to_array(domains).tolist()
    data = run_windows(corpus, mixed, perturbations or {}, seed, seed + 1, n_steps * K * per, config.context)
    fit(model, [data], config.learning_rate, on_tokens, K * per)
    lagging = config.swarm(1, base, seed)
    weights, history = np.full(K, 1 / K), []

    def loss(step: int) -> torch.Tensor:
        nonlocal weights
        rows = slice(step * per, (step + 1) * per)
        tokens = torch.from_numpy(windows[:, rows].reshape(1, K * per, -1)).to(lagging.device)
        counted = torch.from_numpy(masks[:, rows]).to(lagging.device).float()  # (K, per, L)
        losses = lagging.token_losses(tokens).view(counted.shape)
        with torch.no_grad():
            behind = (losses - model.token_losses(tokens).view(counted.shape)).clamp(min=0)
            excess = _per_domain(behind, counted).cpu().numpy()
        weights = weights * np.exp(STEP_SIZE * (excess - excess.max()))
        weights = (1 - SMOOTHING) * weights / weights.sum() + SMOOTHING / K
        history.append(weights)
        by_domain = _per_domain(losses, counted)
        return (by_domain * torch.as_tensor(weights, dtype=losses.dtype, device=lagging.device)).sum()

    _train(lagging, n_steps, loss, K * per, on_tokens)
    return _found(
        np.array(history), np.mean(history, axis=0), domains, "DoReMi", 2 * n_steps * K * per * config.context
    )


def online_data_mixing(
    corpus: Corpus,
    config: Trainable,
    base: Mapping[str, torch.Tensor] | None,
    token_budget: int,
    perturbations: Mapping[str, Perturbation] | None = None,
    seed: int = 0,
    on_tokens: OnTokens | None = None,
) -> OnlineMixture:
    """The shares that Online Data Mixing draws while one proxy trains: Exp3 with the loss as reward.

    Parameters and errors are as in :func:`doremi`.
    """
    import torch

    domains, K, batch = corpus.domains, len(corpus.domains), config.batch
    n_steps = _steps(token_budget, batch, config)
    rng, swarm = np.random.default_rng([seed, 5]), config.swarm(1, base, seed)
    windows, masks = _by_domain(corpus, perturbations or {}, n_steps * batch, config, seed)
    used, rewards, shown = np.zeros(K, dtype=int), np.zeros(K), []
    explored = 1 / K

    def loss(step: int) -> torch.Tensor:
        nonlocal rewards, explored
        greedy = np.exp(explored * (rewards - rewards.max()))
        explored = min(1 / K, math.sqrt(math.log(K) / (K * (step + 1))))
        drawing = (1 - K * explored) * greedy / greedy.sum() + explored
        shown.append(drawing)
        drawn = rng.choice(K, size=batch, p=drawing / drawing.sum())
        rows = []
        for k in drawn:
            rows.append(used[k])
            used[k] += 1
        tokens = torch.from_numpy(windows[drawn, rows][None]).to(swarm.device)
        counted = torch.from_numpy(masks[drawn, rows]).to(swarm.device).float()  # (B, L)
        losses = swarm.token_losses(tokens)[0]
        per_window = ((losses * counted).sum(1) / counted.sum(1).clamp(min=1)).detach().cpu().numpy()
        for k in np.unique(drawn):
            rewards[k] = MEMORY * rewards[k] + (1 - MEMORY) * per_window[drawn == k].mean() / drawing[k]
        return (losses * counted).sum() / counted.sum().clamp(min=1)

    _train(swarm, n_steps, loss, batch, on_tokens)
    return _found(
        np.array(shown), used / used.sum(), domains, "Online Data Mixing", n_steps * batch * config.context
    )


# -- inside ------------------------------------------------------------------------------------------------------


def _steps(token_budget: int, batch: int, config: Trainable) -> int:
    steps = token_budget // (batch * config.context)
    if steps < 1:
        raise TrainingError(
            f"a budget of {token_budget} tokens is less than one step of {batch * config.context}; give more tokens."
        )
    return steps


def _by_domain(
    corpus: Corpus, perturbations: Mapping[str, Perturbation], n: int, config: Trainable, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Windows (K, n, L + 1) and masks (K, n, L) of every domain by itself."""
    parts = [
        corpus.view(name, perturbations.get(name), seed).windows(n, config.context, seed)
        for name in corpus.domains
    ]
    return np.stack([w for w, _ in parts]), np.stack([m for _, m in parts])


def _per_domain(losses: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Mean loss per counted token of every domain, (K,), from (K, per, L)."""
    return (losses * counted).sum((1, 2)) / counted.sum((1, 2)).clamp(min=1)


def _train(
    swarm: ProxySwarm,
    n_steps: int,
    loss: Callable[[int], torch.Tensor],
    batch: int,
    on_tokens: OnTokens | None,
) -> None:
    """One proxy, one optimiser, a loss that decides at every step what it is made of."""
    import torch

    config, placed = swarm.config, accelerator()
    raw = torch.optim.AdamW(
        list(swarm), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True
    )
    optimizer = placed.prepare(raw)
    for step, rate in enumerate(schedule(n_steps, config.learning_rate, config.warmup).tolist()):
        for group in optimizer.param_groups:
            group["lr"] = rate
        with placed.autocast():
            value = loss(step)
        if not bool(torch.isfinite(value)):
            raise TrainingError("training diverged: the loss is not finite; lower the learning rate.")
        optimizer.zero_grad()
        placed.backward(value)
        swarm.clip_gradients(config.clip)
        optimizer.step()
        if on_tokens:
            on_tokens(batch * config.context)


def _found(
    history: np.ndarray, shares: np.ndarray, domains: tuple[str, ...], method: str, tokens: int
) -> OnlineMixture:
    import pandas as pd

    mixture = Mixture.of(domains, shares)
    return OnlineMixture(mixture, pd.DataFrame(history, columns=list(domains)), method, tokens)
