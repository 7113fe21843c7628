"""What R adapters that train at once hold in memory, from the model's shape, and how many fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from causalmix_nb.proxies.adapters.loss import chunk_tokens

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)
SATURATED = (
    2**17
)  # tokens in memory together beyond which a GPU is not faster (an H100: 2**15 250k, 2**16 320k, 2**17 335k tokens/s, 135M parameters)
SATURATED_CPU = 2**12  # and a processor
SHARE = 0.85  # of the free memory that may be used


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What memory depends on. adapter: numbers of one run's adapters; cast: of their copies in the precision of the products, those of layers that
    are one product side by side among zeros. low: numbers of a token between A and B, over all layers of a block. bent, normed: numbers that the
    MLP's activation and the norms of a block keep where nothing is compiled."""

    parameters: int
    adapter: int
    hidden: int
    layers: int
    attention: int  # numbers of a token's queries
    keys: int  # of its keys
    intermediate: int
    vocabulary: int
    gated: bool
    cast: int = 0
    low: int = 0
    bent: int = 0
    normed: int = 0


def model_shape(config: Any, rank: int, targets: Any = "all-linear", fuse: bool = True) -> ModelShape:
    """The shape of the model that a transformers config describes, and of adapters of a rank on it; nothing is loaded.

    >>> from transformers import LlamaConfig
    >>> shape = model_shape(LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2), 2)
    >>> shape.parameters, shape.adapter, shape.cast, shape.low
    (3632, 544, 864, 14)
    """
    import torch
    from transformers import AutoModelForCausalLM

    from causalmix_nb.proxies.adapters.sites import groups, layer_sizes, targeted

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    names = targeted(model, targets)
    adapter = sum(rank * sum(layer_sizes(model.get_submodule(name))) for name in names)
    cast = 0
    for parent in dict.fromkeys(name.rpartition(".")[0] for name in names):
        holder = model.get_submodule(parent)
        owns = [name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == parent]
        for group in groups(holder, owns) if fuse else [[own] for own in owns]:
            sizes = [layer_sizes(getattr(holder, own)) for own in group]
            cast += rank * len(group) * (sizes[0][0] + sum(n_out for _, n_out in sizes))
    heads = getattr(config, "num_attention_heads", 1)
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    inner = (
        getattr(config, "intermediate_size", None)
        or getattr(config, "n_inner", None)
        or 4 * config.hidden_size
    )
    keys = getattr(config, "num_key_value_heads", None) or heads
    gated = any(name.endswith("gate_proj") for name, _ in model.named_modules())
    layers = config.num_hidden_layers
    written_out = getattr(config, "activation_function", "").startswith(
        "gelu_"
    )  # in steps of its own, not by one function
    bent = inner if gated else 3 * inner if written_out else 0
    return ModelShape(
        sum(p.numel() for p in model.parameters()), adapter, config.hidden_size, layers, heads * head, keys * head, inner,
        config.vocab_size, gated, cast, rank * len(names) // layers, bent, _normed(model, heads, keys, head) // layers,
    )  # fmt: skip


def _normed(model: Any, heads: int, keys: int, head: int) -> int:
    """Numbers of a token that enter a norm, over all blocks."""
    total = 0
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if "norm" in type(module).__name__.lower() and weight is not None and ".layers." in f".{name}":
            of_heads = {"q_norm": heads, "k_norm": keys}.get(name.rpartition(".")[2], 1)
            total += weight.numel() * (of_heads if weight.numel() == head else 1)
    return total


def token_bytes(
    shape: ModelShape, half: bool, compiled: bool, checkpointing: bool = False, fuse: bool = True
) -> float:
    """Bytes that a token leaves behind in all layers for the backward pass.

    Of a block: what enters it and the sum after attention, normed what enters its two halves; q k v, as one product where the layers are one; rotated q
    and k; attention's result; what the MLP's first product gives and what enters its second; the numbers between A and B. The compiler works
    out norms and gates again; without it a norm keeps its input in float32, and a gate what it multiplies.
    """
    size = 2 if half else 4
    d, q, k, inner = shape.hidden, shape.attention, shape.keys, shape.intermediate
    if checkpointing:
        return size * d * shape.layers
    wide = 2 if shape.gated else 1  # products that the MLP begins with
    values = q + 2 * k if fuse and shape.gated else k  # v alone, or the product that it is a part of
    numbers = 2 * d + values + q + k + q + (wide + 1) * inner + shape.low
    if compiled:
        return size * (numbers + 2 * d) * shape.layers
    return (size * (numbers + shape.bent) + 4 * max(shape.normed, 2 * d)) * shape.layers


def adapter_bytes(
    shape: ModelShape,
    n_runs: int,
    at_once: int,
    context: int,
    *,
    half: bool,
    compiled: bool = False,
    checkpointing: bool = False,
    on_gpu: bool = True,
    loss_way: str = "eager",
    chunk: int | None = None,
    fuse: bool = True,
) -> float:
    """Most that R adapters over one base hold: frozen weights; adapters, gradients, two moments and what the products read of them; what all tokens of
    a part of a step leave behind; and then a chunk of logits, or what is inside a block on the way back, whichever is more.

    Held to what an H100 used by ``tests/proxies/test_adapter_memory.py``.

    at_once: windows of a run that are in memory together. loss_way, chunk: of :mod:`causalmix_nb.proxies.adapters.loss`.
    """
    size, tokens, d = (2 if half else 4), n_runs * at_once * context, shape.hidden
    cast = size * shape.cast * n_runs
    rows = chunk or chunk_tokens(shape.vocabulary, on_gpu)
    logits = (
        {"eager": 12, "compiled": 2 * size, "triton": size}[loss_way] * min(rows, tokens) * shape.vocabulary
    )
    inside = tokens * size * ((2 if shape.gated else 1) * shape.intermediate + shape.intermediate + 2 * d)
    again = 0.0
    if checkpointing:
        again, cast = (tokens * token_bytes(shape, half, compiled, fuse=fuse) + cast) / shape.layers, 0
    after = tokens * (4 + 2 * size) * d  # the last norm's input, the last hidden states, their gradient
    kept = cast + tokens * token_bytes(shape, half, compiled, checkpointing, fuse) + after
    resident = size * shape.parameters + 16 * n_runs * shape.adapter
    temporary = 0.0 if compiled else 3 * 4 * min(n_runs * shape.adapter, 2**26)  # of a step of AdamW
    return float(resident + max(kept + max(logits, inside, again), temporary))


def fitting(
    shape: ModelShape, free: float, n_runs: int, per_step: int, context: int, **options: Any
) -> tuple[int, int]:
    """(runs together, windows of a run at once) for which the device is busy and that fit into ``free`` bytes.

    Tokens in memory together decide about the speed, up to a number; of two ways to reach it the one with fewer runs is a little faster, holds
    fewer adapters, and more of its runs are finished when something breaks.

    >>> shape = ModelShape(10**8, 10**6, 512, 10, 512, 512, 2048, 50_000, True)
    >>> fitting(shape, 80e9, 500, 8, 512, half=True), fitting(shape, 80e9, 3, 8, 512, half=True)
    ((32, 8), (3, 8))
    >>> fitting(shape, 4e9, 500, 8, 512, half=True)
    (1, 4)
    """
    busy = SATURATED if options.get("on_gpu", True) else SATURATED_CPU
    widths = sorted({min(width, n_runs) for width in WIDTHS})
    best = (1, 1)
    for width in widths:
        for at_once in (b for b in range(1, per_step + 1) if per_step % b == 0):
            if adapter_bytes(shape, width, at_once, context, **options) > SHARE * free:
                break
            now, before = (min(busy, w * b * context) for w, b in ((width, at_once), best))
            if now > before or (now == before and at_once > best[1]):
                best = (width, at_once)
    return best


def at_once_of(
    shape: ModelShape, free: float, n_runs: int, per_step: int, context: int, **options: Any
) -> int:
    """Windows of a run at once for a number of runs that is settled.

    >>> shape = ModelShape(10**8, 10**6, 512, 10, 512, 512, 2048, 50_000, True)
    >>> at_once_of(shape, 80e9, 32, 8, 512, half=True), at_once_of(shape, 8e9, 32, 8, 512, half=True)
    (8, 1)
    """
    fine = [
        b
        for b in range(1, per_step + 1)
        if per_step % b == 0 and adapter_bytes(shape, n_runs, b, context, **options) <= SHARE * free
    ]
    return max(fine, default=1)
