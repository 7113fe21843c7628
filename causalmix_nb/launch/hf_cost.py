"""What a run of a Hugging Face model takes: memory from the model's shape, speed from the arithmetic that this machine does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from causalmix_nb.proxies.checkpoint import load_shape

if TYPE_CHECKING:
    from causalmix_nb.proxies.checkpoint import HFConfig

REACHED = 0.4  # share of a large matrix product's speed that training reaches
KEPT = 34  # numbers that a token leaves behind in a layer for the backward pass, per unit of width (arXiv 2205.05198)


def run_bytes(config: HFConfig) -> float:
    """Memory of one run, all processes together: weights, their first values, what AdamW keeps, activations and logits of a batch."""
    shape: Any = load_shape(config)
    width, layers, vocabulary = shape.hidden_size, shape.num_hidden_layers, shape.vocab_size
    half = config.precision != "no"
    tokens = config.batch * config.context
    kept = width * (2 * layers if config.checkpointing else KEPT * layers) * (2 if half else 4)
    logits = vocabulary * (4 * 3 + (2 if half else 0))
    per_weight = (2 if config.precision == "bf16" else 4) if config.lora else 4 * 5
    return float(config.processes * per_weight * config.n_parameters + tokens * (kept + logits))


def arithmetic_speed(config: HFConfig, seconds: float = 0.3) -> float:
    """Tokens per second of training, from the speed of a matrix product in the configuration's precision."""
    import torch
    from accelerate import PartialState

    device = PartialState().device
    dtype = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[config.precision]
    n = 4096 if device.type == "cuda" else 512
    a = torch.randn(n, n, device=device).to(dtype)
    float((a @ a)[0, 0])  # the first one is slow
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        float((a @ a)[0, 0])
        done += 1
    speed = 2 * n**3 * done / (time.perf_counter() - started)
    # With adapters the weights themselves need no gradient: two thirds of the work.
    return REACHED * speed / ((4 if config.lora else 6) * config.n_parameters)
