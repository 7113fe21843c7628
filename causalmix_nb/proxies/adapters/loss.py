"""The loss of a frozen head without its logits: the vocabulary's scores of some tokens at a time, gradient and all, then forgotten.

Logits of all runs would be the largest tensor of a step by far (a window of 512 tokens of 64 runs and 49 152 words: 6 GB in float32). As the head
is not trained, what the backward pass needs of a chunk is one vector a token, which is worked out at once (as in arXiv 2411.09009 and in Liger).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

CHUNK_BYTES = 2**30  # of a chunk's logits in float32, on a GPU
CHUNK_BYTES_CPU = 2**23  # on a CPU, whose cache should hold them
LOSSES = ("eager", "compiled", "triton")


@dataclass(frozen=True, slots=True)
class Head:
    """The last layer: logits = cap · tanh(scale · (h W' + b) / cap). weight: (V, d). cap: None where there is none."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(n, d) -> (n, V), float32."""
        import torch

        raw = torch.nn.functional.linear(hidden.to(self.weight.dtype), self.weight, self.bias).float()
        raw = raw * self.scale if self.scale != 1 else raw
        return raw if self.cap is None else self.cap * torch.tanh(raw / self.cap)


def head_of(model: Any) -> Head | None:
    """The head of a model, as its config describes it; None if it has none that could be taken alone. It must still be compared."""
    layer, config = model.get_output_embeddings(), model.config
    weight = getattr(layer, "weight", None)
    if weight is None or weight.dim() != 2:
        return None
    scale = 1.0
    if getattr(config, "logits_scaling", None):  # Granite
        scale = 1 / config.logits_scaling
    elif isinstance(getattr(config, "logit_scale", None), (int, float)):  # Cohere
        scale = float(config.logit_scale)
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
    bias = getattr(layer, "bias", None)
    return Head(weight.detach(), None if bias is None else bias.detach(), scale, cap)


def chunk_rows(head: Head, chunk: int | None = None) -> int:
    """Tokens whose logits are worked out at once."""
    return chunk or chunk_tokens(len(head.weight), head.weight.device.type != "cpu")


def chunk_tokens(vocabulary: int, on_gpu: bool) -> int:
    """Tokens whose logits are worked out at once where nothing else is asked for: a power of 2.

    >>> chunk_tokens(49_152, True), chunk_tokens(49_152, False)
    (4096, 64)
    """
    most = CHUNK_BYTES if on_gpu else CHUNK_BYTES_CPU
    return max(64, 2 ** int(math.log2(max(64, most / (4 * vocabulary)))))


def token_cross_entropy(
    hidden: torch.Tensor, head: Head, targets: torch.Tensor, chunk: int | None = None, compiled: bool = False
) -> torch.Tensor:
    """Cross-entropy of every target in nats, without gradient; hidden (n, d), targets (n,) -> (n,)."""
    import torch

    answer = torch.empty(len(hidden), device=hidden.device)
    size = chunk_rows(head, chunk)
    for part in _parts(len(hidden), size):
        whole = len(hidden[part]) == size  # the compiler knows this shape
        ask = _scored(compiled and whole)
        answer[part] = ask(hidden[part], head.weight, head.bias, head.scale, head.cap, targets[part])
    return answer


@lru_cache(maxsize=2)
def _scored(compiled: bool) -> Callable:
    import torch

    def losses(hidden, weight, bias, scale, cap, targets):  # type: ignore[no-untyped-def]
        logits = Head(weight, bias, scale, cap).logits(hidden)
        return torch.logsumexp(logits, 1) - logits.gather(1, targets[:, None])[:, 0]

    return torch.compile(losses, dynamic=False) if compiled else losses


def token_likeliest(hidden: torch.Tensor, head: Head, chunk: int | None = None) -> torch.Tensor:
    """The most likely next token; hidden (n, d) -> (n,)."""
    import torch

    parts = _parts(len(hidden), chunk_rows(head, chunk))
    return torch.cat([head.logits(hidden[part]).argmax(-1) for part in parts])


def _parts(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(n, start + size))


def linear_cross_entropy(
    hidden: torch.Tensor,
    head: Head,
    targets: torch.Tensor,
    weights: torch.Tensor,
    rows: torch.Tensor | None = None,
    chunk: int | None = None,
    way: str = "eager",
) -> torch.Tensor:
    """Σ weight · cross-entropy, differentiable in ``hidden``.

    Parameters
    ----------
    hidden: (n, d). targets: (n,).
    rows: (m,) tokens that count, without repetition but for those of weight 0; without it, all.
    weights: (m,) or (n,).
    chunk: tokens at once; without it, what :func:`chunk_rows` finds.
    way: one of :data:`LOSSES`: "compiled" lets the compiler fuse what is done with the logits, "triton" is a kernel of our own.
    """
    return _function().apply(hidden, head, targets, weights, rows, chunk_rows(head, chunk), way)


def plain_loss(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, rows: torch.Tensor | None
) -> torch.Tensor:
    """Σ weight · cross-entropy of a model whose head cannot be taken alone, from its logits (n, V)."""
    from torch.nn import functional as F

    if rows is not None:
        logits, targets = logits[rows], targets[rows]
    return (F.cross_entropy(logits, targets, reduction="none") * weights).sum()


@lru_cache(maxsize=1)
def _function() -> Any:
    import torch

    class HeadLoss(torch.autograd.Function):
        @staticmethod
        def forward(ctx, hidden, head, targets, weights, rows, size, way):  # type: ignore[override]
            gradient = torch.zeros_like(hidden)
            total = torch.zeros((), device=hidden.device)
            step = _step(way)
            for part in _parts(len(weights), size):
                here: Any = part if rows is None else rows[part]
                loss, slope = step(
                    hidden[here], head.weight, head.bias, head.scale, head.cap, targets[here], weights[part]
                )
                total += loss
                if rows is None:
                    gradient[part] = slope
                else:
                    gradient.index_add_(0, here, slope)
            ctx.save_for_backward(gradient)
            return total

        @staticmethod
        def backward(ctx, g):  # type: ignore[override]
            (gradient,) = ctx.saved_tensors
            return gradient * g.to(gradient.dtype), None, None, None, None, None, None

    return HeadLoss


@lru_cache(maxsize=4)
def _step(way: str) -> Callable:
    """One way to work out a chunk: (hidden, weight, bias, scale, cap, targets, weights) -> the loss, the gradient of hidden."""
    import torch

    def eager(hidden, weight, bias, scale, cap, targets, weights):  # type: ignore[no-untyped-def]
        logits = Head(weight, bias, scale, cap).logits(hidden)
        lse = torch.logsumexp(logits, 1)
        loss = ((lse - logits.gather(1, targets[:, None])[:, 0]) * weights).sum()
        slope = torch.exp(logits - lse[:, None])
        slope.scatter_add_(1, targets[:, None], slope.new_full((len(targets), 1), -1.0))
        if cap is not None:
            slope *= 1 - (logits / cap) ** 2
        return loss, _through(slope, weight, scale, weights, hidden.dtype)

    def fused(hidden, weight, bias, scale, cap, targets, weights):  # type: ignore[no-untyped-def]
        logits = Head(weight, bias, scale, cap).logits(hidden)
        lse = torch.logsumexp(logits, 1)
        loss = ((lse - logits.gather(1, targets[:, None])[:, 0]) * weights).sum()
        words = torch.arange(weight.shape[0], device=weight.device)
        slope = torch.exp(logits - lse[:, None]) - (words == targets[:, None]).float()
        if cap is not None:
            slope = slope * (1 - (logits / cap) ** 2)
        return loss, _through(slope, weight, scale, weights, hidden.dtype)

    if way == "compiled":
        return torch.compile(fused, dynamic=False)
    return _by_triton(eager) if way == "triton" else eager


def _through(
    slope: torch.Tensor, weight: torch.Tensor, scale: float, weights: torch.Tensor, dtype: Any
) -> torch.Tensor:
    """From the slope of the logits (c, V) to that of the hidden states (c, d)."""
    return ((slope.to(weight.dtype) @ weight).float() * (weights * scale)[:, None]).to(dtype)


def _by_triton(otherwise: Callable) -> Callable:
    """One kernel that turns a row of logits into its slope where it lies, and tells the loss; for heads without cap on a GPU."""

    def step(hidden, weight, bias, scale, cap, targets, weights):  # type: ignore[no-untyped-def]
        import torch

        from causalmix_nb.proxies.adapters.kernels import slope_in_place

        if cap is not None or hidden.device.type != "cuda":
            return otherwise(hidden, weight, bias, scale, cap, targets, weights)
        logits = torch.nn.functional.linear(hidden, weight, bias)
        losses = slope_in_place(logits, targets, scale)
        return (losses * weights).sum(), _through(logits, weight, scale, weights, hidden.dtype)

    return step
