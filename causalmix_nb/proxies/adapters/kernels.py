"""A kernel for a GPU: from rows of logits to their slopes, where they lie, and the cross-entropies. Needs Triton, which torch brings there."""

from __future__ import annotations

from typing import Any

try:
    import triton
    import triton.language as tl
except ImportError:  # torch for a CPU
    triton = None

BLOCK = 8192  # words that a program looks at together


def slope_in_place(logits: Any, targets: Any, scale: float = 1.0) -> Any:
    """Turn logits (n, V) into softmax(scale · logits) - onehot(target), in place; returns the cross-entropies (n,), float32."""
    import torch

    losses = torch.empty(len(logits), device=logits.device, dtype=torch.float32)
    block = min(BLOCK, triton.next_power_of_2(logits.shape[1]))
    _slope[(len(logits),)](
        logits, targets, losses, logits.stride(0), scale, logits.shape[1], BLOCK=block, num_warps=16
    )
    return losses


if triton is not None:

    @triton.jit
    def _slope(logits, targets, losses, stride, scale, n_words: tl.constexpr, BLOCK: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        words = tl.arange(0, BLOCK)
        start = logits + row * stride
        target = tl.load(targets + row)
        picked = tl.load(start + target).to(tl.float32) * scale
        peak = tl.full((BLOCK,), float("-inf"), tl.float32)
        total = tl.zeros((BLOCK,), tl.float32)
        for at in range(0, n_words, BLOCK):  # each lane keeps its own peak: one pass
            x = (
                tl.load(start + at + words, mask=at + words < n_words, other=float("-inf")).to(tl.float32)
                * scale
            )
            higher = tl.maximum(peak, x)
            base = tl.where(higher == float("-inf"), 0.0, higher)
            total = total * tl.exp(peak - base) + tl.exp(x - base)
            peak = higher
        top = tl.max(peak, 0)
        lse = top + tl.log(tl.sum(total * tl.exp(peak - top), 0))
        tl.store(losses + row, lse - picked)
        for at in range(0, n_words, BLOCK):
            here = at + words < n_words
            x = tl.load(start + at + words, mask=here, other=float("-inf")).to(tl.float32) * scale
            slope = tl.exp(x - lse) - tl.where(at + words == target, 1.0, 0.0)
            tl.store(start + at + words, slope.to(logits.dtype.element_ty), mask=here)
