"""The steps of a proxy between its matrix products, each with its derivative written out.

Automatic differentiation of the plain formulas reads and writes these arrays about three times as often.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import Function
from torch.nn import functional as F

EPSILON = 1e-6


class _Norm(Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        y, scale = _normed(x)
        ctx.save_for_backward(y, scale)
        return y.to(dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        y, scale = ctx.saved_tensors
        return _norm_gradient(grad.to(y.dtype), y, scale), None


class _ShiftedNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, length: int, dtype: torch.dtype) -> torch.Tensor:
        y, scale = _normed(x)
        ctx.save_for_backward(y, scale)
        ctx.length = length
        half = x.shape[-1] // 2
        out = torch.empty_like(y, dtype=dtype)
        rows, shifted = y.unflatten(-2, (-1, length)), out.unflatten(-2, (-1, length))
        shifted[..., 0, :half] = 0
        shifted[..., 1:, :half] = rows[..., :-1, :half]
        shifted[..., half:] = rows[..., half:]
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:  # type: ignore[override]
        y, scale = ctx.saved_tensors
        half = y.shape[-1] // 2
        back = torch.empty_like(y)
        rows, shifted = back.unflatten(-2, (-1, ctx.length)), grad.unflatten(-2, (-1, ctx.length))
        rows[..., -1, :half] = 0
        rows[..., :-1, :half] = shifted[..., 1:, :half]
        rows[..., half:] = shifted[..., half:]
        return _norm_gradient(back, y, scale), None, None


def _normed(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
    scale = scale.add_(EPSILON).rsqrt_()
    return x * scale, scale


def _norm_gradient(grad: torch.Tensor, y: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    along = (grad * y).mean(-1, keepdim=True)
    return torch.addcmul(grad, y, along, value=-1).mul_(scale)


class _SquaredRelu(Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        positive = x.clamp(min=0)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        (positive,) = ctx.saved_tensors
        return (grad * positive).mul_(2)


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        logs = logits.float().log_softmax(-1)
        ctx.save_for_backward(logs, target)
        ctx.dtype = logits.dtype
        return -logs.gather(-1, target[..., None])[..., 0]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        logs, target = ctx.saved_tensors
        off = logs.exp()
        off.scatter_add_(-1, target[..., None], torch.full_like(target[..., None], -1, dtype=off.dtype))
        return off.mul_(grad[..., None]).to(ctx.dtype), None


def norm(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """x (…, d) over its root mean square, in another precision."""
    return _Norm.apply(x, dtype)  # type: ignore[no-untyped-call]


def shifted_norm(x: torch.Tensor, length: int, dtype: torch.dtype) -> torch.Tensor:
    """:func:`norm` of x (…, n * length, d), the first half of its features taken from the token before: 0 at the start of a window."""
    return _ShiftedNorm.apply(x, length, dtype)  # type: ignore[no-untyped-call]


def squared_relu(x: torch.Tensor) -> torch.Tensor:
    """max(x, 0)²."""
    return _SquaredRelu.apply(x)  # type: ignore[no-untyped-call]


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Nats of every target (…) under logits (…, V), in float32."""
    return _CrossEntropy.apply(logits, target)  # type: ignore[no-untyped-call]


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Attention of q, k, v (N, H, L, d) with a bias (H, L, L) on the scores -> (N, H, L, d).

    On a GPU by the fused kernel. On a CPU by two products and a softmax: at short contexts and narrow heads the fused kernel, whose
    backward pass computes the scores again, takes twice as long.
    """
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(q.shape[0], -1, -1, -1))
    N, H, L, d = q.shape
    q, k, v = (x.reshape(N * H, L, d) for x in (q * d**-0.5, k, v))
    scores = torch.bmm(q, k.transpose(1, 2)).view(N, H, L, L) + bias
    return torch.bmm(scores.softmax(-1).view(N * H, L, L), v).view(N, H, L, d)
