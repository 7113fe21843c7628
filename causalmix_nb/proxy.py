"""Proxy models: a compact byte-level GPT whose parameters carry a leading run axis, so that many train as one.

Every weight has shape (R, …): R independent models, one per run, advance together in stacked matrix products.
Nothing mixes the run axis – gradients, clipping and optimiser steps are per run – so a run's result does not
depend on its neighbours beyond floating-point rounding.

Notable choices: bytes as tokens (no tokenizer to train; bits per byte compare across domains), byte 0 as the
end-of-document mark, rotary positions, RMS norm without gain, squared-ReLU MLP, tied embeddings, no biases.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from causalmix_nb.errors import TrainingError

if TYPE_CHECKING:
    import torch

VOCABULARY = 256  # bytes; 0 never occurs in text and marks the end of a document
END = 0


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Shape and optimiser of a proxy; the defaults make a 114 688-parameter model.

    >>> ProxyConfig().n_parameters
    114688
    """

    d_model: int = 64  # width
    n_layers: int = 2
    n_heads: int = 4
    context: int = 128  # tokens per training window
    batch: int = 8  # windows per step
    learning_rate: float = 1e-3  # peak, AdamW; decays linearly to 0 over a run
    base_learning_rate: float = 4e-3  # peak while the base proxy is trained
    weight_decay: float = 0.1  # on matrices
    clip: float = 1.0  # gradient norm per run
    warmup: float = 0.05  # share of the steps
    base_tokens: int = 2_000_000  # what the base proxy is trained on; 0 starts every run from scratch

    def __post_init__(self) -> None:
        for name in ("d_model", "n_layers", "n_heads", "context", "batch"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise TrainingError(f"{name} is {value!r}; it must be a whole number of at least 1.")
        if self.d_model % (2 * self.n_heads):
            raise TrainingError(
                f"d_model={self.d_model} does not split into {self.n_heads} heads of even width; "
                f"use a multiple of {2 * self.n_heads}."
            )
        if not (self.learning_rate > 0 and self.base_learning_rate > 0):
            raise TrainingError(
                f"learning rates must be positive, got {self.learning_rate} and {self.base_learning_rate}."
            )
        if self.base_tokens < 0:
            raise TrainingError(f"base_tokens is {self.base_tokens}; give 0 to start from scratch, or more.")

    @property
    def n_parameters(self) -> int:
        """Parameters of one proxy."""
        return VOCABULARY * self.d_model + self.n_layers * 12 * self.d_model**2

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


class ProxySwarm:
    """R proxies as one batched model.

    Parameters
    ----------
    config: shape of every proxy.
    n_runs: R.
    seed: for the initial weights; every run starts from the same ones.
    device: where the weights live.

    Attributes: ``parameters`` – dict of name -> tensor with leading axis R.
    """

    def __init__(self, config: ProxyConfig, n_runs: int, seed: int = 0, device: str = "cpu") -> None:
        import torch

        self.config, self.n_runs, self.device = config, n_runs, torch.device(device)
        generator = torch.Generator().manual_seed(seed)
        d, weights = config.d_model, {}

        def normal(*shape: int, std: float) -> torch.Tensor:
            return torch.randn(*shape, generator=generator) * std

        weights["embedding"] = normal(VOCABULARY, d, std=0.02)
        for i in range(config.n_layers):
            weights[f"{i}.qkv"] = normal(d, 3 * d, std=d**-0.5)
            weights[f"{i}.attention_out"] = normal(d, d, std=d**-0.5 / math.sqrt(2 * config.n_layers))
            weights[f"{i}.mlp_in"] = normal(d, 4 * d, std=d**-0.5)
            weights[f"{i}.mlp_out"] = normal(4 * d, d, std=(4 * d) ** -0.5 / math.sqrt(2 * config.n_layers))
        self.parameters: dict[str, torch.Tensor] = {}
        self.load(weights)
        self._rotary = _rotary(config.context, d // config.n_heads, self.device)

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Start every run from one proxy's weights (no run axis)."""
        self.parameters = {
            name: tensor.to(self.device).expand(self.n_runs, *tensor.shape).clone().requires_grad_()
            for name, tensor in weights.items()
        }

    def weights(self, run: int = 0) -> dict[str, torch.Tensor]:
        """One run's weights, without the run axis, detached on the CPU."""
        return {name: tensor[run].detach().cpu().clone() for name, tensor in self.parameters.items()}

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Next-token logits; tokens (R, B, L) int64 -> (R, B, L, 256)."""
        import torch
        from torch.nn import functional as F

        p, config = self.parameters, self.config
        R, B, L = tokens.shape
        d, H = config.d_model, config.n_heads
        offset = torch.arange(R, device=tokens.device).view(R, 1, 1) * VOCABULARY
        x = F.embedding(tokens + offset, p["embedding"].reshape(R * VOCABULARY, d))  # (R, B, L, d)
        x = _norm(x).reshape(R, B * L, d)
        cos, sin = (table[:L] for table in self._rotary)  # (L, d/H/2)
        for i in range(config.n_layers):
            qkv = torch.bmm(_norm(x), p[f"{i}.qkv"]).view(R * B, L, 3, H, d // H)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (R*B, H, L, d/H)
            mixed = F.scaled_dot_product_attention(
                _rotate(q, cos, sin), _rotate(k, cos, sin), v, is_causal=True
            )
            mixed = mixed.transpose(1, 2).reshape(R, B * L, d)
            x = x + torch.bmm(mixed, p[f"{i}.attention_out"])
            hidden = F.relu(torch.bmm(_norm(x), p[f"{i}.mlp_in"])).square()
            x = x + torch.bmm(hidden, p[f"{i}.mlp_out"])
        out = torch.bmm(_norm(x), p["embedding"].transpose(1, 2))
        return out.view(R, B, L, VOCABULARY)

    def token_losses(self, windows: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of every next token in nats; windows (R, B, L + 1) uint8 or int64 -> (R, B, L)."""
        from torch.nn import functional as F

        windows = windows.long()
        logits = self.logits(windows[..., :-1])
        target = windows[..., 1:]
        return F.cross_entropy(logits.reshape(-1, VOCABULARY), target.reshape(-1), reduction="none").view(
            target.shape
        )

    def clip_gradients(self, limit: float) -> None:
        """Scale each run's gradient to at most ``limit`` in norm, run by run."""
        import torch

        squares = torch.stack(
            [t.grad.flatten(1).square().sum(1) for t in self.parameters.values() if t.grad is not None]
        )
        scale = (limit / squares.sum(0).sqrt().clamp(min=1e-12)).clamp(max=1.0)  # (R,)
        for tensor in self.parameters.values():
            if tensor.grad is not None:
                tensor.grad.mul_(scale.view(-1, *[1] * (tensor.dim() - 1)))

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self.parameters.values())


def save_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write one proxy's weights as safetensors, whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    partial = path.with_suffix(".partial")
    try:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, str(partial))
        partial.replace(path)
    except (SafetensorError, OSError) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TrainingError(
            f"cannot write the proxy weights {path} ({error}); free disk space or make the folder writable."
        ) from None


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read what :func:`save_weights` wrote."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise TrainingError(
            f"cannot read the proxy weights {path.name} ({error}); delete the file to train it again."
        ) from None


def _norm(x: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional as F

    return F.rms_norm(x, (x.shape[-1],))


def _rotary(length: int, width: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    frequency = 10_000 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
    return angle.cos().to(device), angle.sin().to(device)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    import torch

    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
