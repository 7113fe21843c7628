"""What R adapters that train at once hold in memory, from the model's shape, and how many fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from causalmix_nb.adapter_loss import CHUNK_BYTES, CHUNK_BYTES_CPU

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)
SATURATED = 2**16  # tokens in the device's memory together beyond which a GPU is not faster
SHARE = 0.85  # of the free memory that may be used


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What memory depends on. adapter: numbers of one run's adapters. inputs, outputs: numbers of a token that enter and leave the layers with
    adapters, over all layers of the model."""

    parameters: int
    adapter: int
    hidden: int
    layers: int
    attention: int  # numbers of a token's queries
    keys: int  # of its keys
    intermediate: int
    vocabulary: int
    gated: bool


def model_shape(config: Any, rank: int, targets: Any = "all-linear") -> ModelShape:
    """The shape of the model that a transformers config describes, and of adapters of a rank on it; nothing is loaded.

    >>> from transformers import LlamaConfig
    >>> shape = model_shape(LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2), 2)
    >>> shape.parameters, shape.adapter
    (3632, 544)
    """
    import torch
    from transformers import AutoModelForCausalLM

    from causalmix_nb.adapter_sites import layer_sizes, targeted

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    names = targeted(model, targets)
    adapter = sum(rank * sum(layer_sizes(model.get_submodule(name))) for name in names)
    heads = getattr(config, "num_attention_heads", 1)
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    inner = (
        getattr(config, "intermediate_size", None)
        or getattr(config, "n_inner", None)
        or 4 * config.hidden_size
    )
    keys = getattr(config, "num_key_value_heads", None) or heads
    gated = any(name.endswith("gate_proj") for name, _ in model.named_modules())
    return ModelShape(
        sum(p.numel() for p in model.parameters()), adapter, config.hidden_size, config.num_hidden_layers,
        heads * head, keys * head, inner, config.vocab_size, gated,
    )  # fmt: skip


def token_bytes(shape: ModelShape, half: bool, compiled: bool, checkpointing: bool = False) -> float:
    """Bytes that a token leaves behind in all layers for the backward pass.

    Compiled: a block's input, q k v and what they become by rotation, attention's result, the sum after it, what enters the MLP and what its
    first product gives. Not compiled: what norms and gates keep as well, in float32 where the model computes them so.
    """
    size = 2 if half else 4
    d, q, kv, inner = shape.hidden, shape.attention, 2 * shape.keys, shape.intermediate
    if checkpointing:
        return size * d * shape.layers
    wide = (2 if shape.gated else 1) * inner
    products = 2 * d + (q + kv) + (q + kv / 2) + q + d + wide
    if compiled:
        return size * products * shape.layers
    norms = 2 * 2 * 4 * d / size + (d if half else 0)
    return size * (products + norms + (3 if shape.gated else 2) * inner) * shape.layers


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
) -> float:
    """Memory of R adapters over one base: frozen weights; adapters, gradients and two moments; activations of a part of a step; a chunk of logits.

    at_once: windows of a run that are in memory together.
    """
    size, tokens = (2 if half else 4), n_runs * at_once * context
    adapters = 16 * n_runs * shape.adapter
    chunk = (CHUNK_BYTES if on_gpu else CHUNK_BYTES_CPU) * (1 if compiled and half else 2.5)
    block = token_bytes(shape, half, compiled) / shape.layers if checkpointing else 0.0
    working = tokens * (size * (6 * shape.hidden + 3 * shape.intermediate) + block)
    kept = tokens * (token_bytes(shape, half, compiled, checkpointing) + 2 * size * shape.hidden)
    temporary = 0.0 if compiled else 3 * 4 * min(n_runs * shape.adapter, 2**26)
    return float(size * shape.parameters + adapters + kept + max(chunk, working, temporary))


def fitting(
    shape: ModelShape, free: float, n_runs: int, per_step: int, context: int, **options: Any
) -> tuple[int, int]:
    """(runs together, windows of a run at once) that fit into ``free`` bytes: enough runs to keep the device busy, then as few parts as needed.

    >>> shape = ModelShape(10**8, 10**6, 512, 10, 512, 512, 2048, 50_000, True)
    >>> fitting(shape, 80e9, 500, 8, 512, half=True)
    (128, 1)
    >>> fitting(shape, 4e9, 500, 8, 512, half=True)
    (2, 1)
    """
    best = (1, 1)
    for width in WIDTHS:
        if width > n_runs and width != 1:
            break
        for at_once in (b for b in range(1, per_step + 1) if per_step % b == 0):
            if adapter_bytes(shape, width, at_once, context, **options) > SHARE * free:
                break
            if at_once > 1 and width * at_once * context > SATURATED:
                break
            best = (width, at_once)
    return best
