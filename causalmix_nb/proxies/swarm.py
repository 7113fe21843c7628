"""Proxy models: a compact byte-level GPT whose parameters carry a leading run axis, so that many train as one.

Every weight has shape (R, …): R independent models, one per run, advance together in stacked matrix products.
Nothing mixes the run axis – gradients, clipping and optimiser steps are per run – so a run's result does not
depend on its neighbours beyond floating-point rounding.

Notable choices: bytes as tokens (no tokenizer to train; bits per byte compare across domains), byte 0 as the
end-of-document mark, half of every layer's features taken from the token before (token shift, as in RWKV, arXiv 2305.13048) and
distances as a bias on attention (ALiBi, arXiv 2108.12409) in place of rotary positions: less to compute, and a base proxy of
a million tokens reaches 3.00 bits per byte on the demo pool where rotary positions reach 3.26; RMS norm without gain, squared-ReLU MLP, tied embeddings, no biases. Weights, residual stream and losses are float32; matrix products are in bfloat16
where the hardware multiplies it faster (see :func:`precision_of`). The steps between them are written with their derivatives, in as few
passes over memory as they need: at this size those passes, not the products, are most of the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import TrainingError
from causalmix_nb.files import replacing, why_not

if TYPE_CHECKING:
    import torch

VOCABULARY = 256  # bytes; 0 never occurs in text and marks the end of a document
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Shape and optimiser of a proxy.

    Raises
    ------
    TrainingError: a field that is no number of its kind, or a width that does not split into the heads.
    """

    d_model: int = 64  # width
    n_layers: int = 2
    n_heads: int = 2
    context: int = 128  # tokens per training window
    batch: int = 8  # windows per step
    learning_rate: float = 1e-3  # peak, AdamW; decays linearly to 0 over a run
    base_learning_rate: float = 4e-3  # peak while the base proxy is trained
    weight_decay: float = 0.1  # on matrices
    clip: float = 1.0  # gradient norm per run
    warmup: float = 0.05  # share of the steps
    base_tokens: int = 2_000_000  # what the base proxy is trained on; 0 starts every run from scratch
    precision: str = "auto"  # of matrix products: "fp32", "bf16", or what the machine multiplies fastest

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
        if self.precision not in PRECISIONS:
            raise TrainingError(
                f"precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}."
            )

    @property
    def n_parameters(self) -> int:
        """Parameters of one proxy."""
        return VOCABULARY * self.d_model + self.n_layers * 12 * self.d_model**2

    @property
    def has_base(self) -> bool:
        return self.base_tokens > 0

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

    def __init__(self, config: ProxySettings, n_runs: int, seed: int = 0, device: str = "cpu") -> None:
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
        self.dtype = precision_of(config.precision, self.device)
        self._bias = _distance_bias(config.n_heads, config.context).to(self.device, self.dtype)
        self._losses: Any = _token_losses

    def compile(self) -> None:
        """Let the compiler fuse what lies between the matrix products; it takes some seconds, for every new shape."""
        import torch

        self._losses = torch.compile(_token_losses, dynamic=False)

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Start every run from one proxy's weights (no run axis)."""
        self.parameters = {
            name: tensor.to(self.device).expand(self.n_runs, *tensor.shape).clone().requires_grad_()
            for name, tensor in weights.items()
        }

    def weights(self, run: int = 0) -> dict[str, torch.Tensor]:
        """One run's weights, without the run axis, detached on the CPU."""
        return {name: tensor[run].detach().cpu().clone() for name, tensor in self.parameters.items()}

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Next-token logits; tokens (R, B, L) int64 -> (R, B, L, 256) float32."""
        return _logits(self.parameters, tokens, self._bias, self.config.n_heads).float()

    def token_losses(self, windows: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of every next token in nats; windows (R, B, L + 1) uint8 or int64 -> (R, B, L)."""
        return self._losses(self.parameters, windows.long(), self._bias, self.config.n_heads)

    def likeliest(self, tokens: torch.Tensor) -> torch.Tensor:
        """The most likely next token after each; tokens (R, B, L) int64 -> (R, B, L)."""
        return self.logits(tokens).argmax(-1)

    def alone(self) -> list[ProxySwarm]:
        """Every run as a proxy of its own."""
        if self.n_runs == 1:
            return [self]
        proxies = []
        for run in range(self.n_runs):
            proxy = ProxySwarm(self.config, 1, device=str(self.device))
            proxy.load(self.weights(run))
            proxies.append(proxy)
        return proxies

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

    try:
        with replacing(path) as partial:
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, str(partial))
    except OSError as error:
        raise TrainingError(f"{why_not(path, error)}, then train again.") from None
    except SafetensorError as error:  # it keeps the number of the error to itself
        raise TrainingError(
            f"cannot write {path} ({error}); free disk space or make the folder writable."
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


def precision_of(wanted: str, device: torch.device) -> torch.dtype:
    """Type of the matrix products. "auto": bfloat16 on GPUs that have it and on processors with instructions for it, else float32.

    On other processors bfloat16 is emulated and slower. It changes a run's outcome by less than another seed does (tested).
    """
    import torch

    if wanted != "auto":
        return torch.bfloat16 if wanted == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def _token_losses(
    parameters: dict[str, torch.Tensor], windows: torch.Tensor, bias: torch.Tensor, n_heads: int
) -> torch.Tensor:
    """windows (R, B, L + 1) -> (R, B, L)."""
    from causalmix_nb.proxies import fused

    logits = _logits(parameters, windows[..., :-1], bias, n_heads)
    return fused.cross_entropy(logits, windows[..., 1:])


def _logits(
    parameters: dict[str, torch.Tensor], tokens: torch.Tensor, bias: torch.Tensor, n_heads: int
) -> torch.Tensor:
    """tokens (R, B, L) -> (R, B, L, 256) in the bias's precision."""
    import torch
    from torch.nn import functional as F

    from causalmix_nb.proxies import fused

    p, H = {name: tensor.to(bias.dtype) for name, tensor in parameters.items()}, n_heads
    R, B, L = tokens.shape
    d = p["embedding"].shape[-1]
    offset = torch.arange(R, device=tokens.device).view(R, 1, 1) * VOCABULARY
    x = F.embedding(tokens + offset, parameters["embedding"].reshape(R * VOCABULARY, d))
    x = fused.norm(x.reshape(R, B * L, d), torch.float32)  # (R, B * L, d), the residual stream
    for i in range((len(p) - 1) // 4):
        qkv = torch.bmm(fused.shifted_norm(x, L, bias.dtype), p[f"{i}.qkv"])  # (R, B * L, 3 * d)
        q, k, v = qkv.view(R * B, L, 3, H, d // H).permute(2, 0, 3, 1, 4)  # each (R * B, H, L, d / H)
        mixed = fused.attention(q, k, v, bias[:, :L, :L])
        x = x + torch.bmm(mixed.transpose(1, 2).reshape(R, B * L, d), p[f"{i}.attention_out"])
        hidden = fused.squared_relu(
            torch.bmm(fused.shifted_norm(x, L, bias.dtype), p[f"{i}.mlp_in"])
        )  # (R, B * L, 4 * d)
        x = x + torch.bmm(hidden, p[f"{i}.mlp_out"])
    return torch.bmm(fused.norm(x, bias.dtype), p["embedding"].transpose(1, 2)).view(R, B, L, VOCABULARY)


def _distance_bias(n_heads: int, length: int) -> torch.Tensor:
    """What is added to attention scores, (H, L, L): minus the distance times the head's slope; the future is shut out."""
    import torch

    place = torch.arange(length)
    slope = 4 * 2.0 ** (
        -8 * torch.arange(1, n_heads + 1) / n_heads
    )  # steep: bytes look back less far than words
    bias = (place[None] - place[:, None]) * slope.view(-1, 1, 1)
    return bias.masked_fill(place[None] > place[:, None], -1e4)
