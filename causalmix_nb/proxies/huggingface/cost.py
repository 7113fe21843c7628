"""What a run of a Hugging Face model takes: memory from the model's shape, speed from the arithmetic that this machine does."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import TrainingError
from causalmix_nb.machine import free_memory
from causalmix_nb.proxies.adapters.memory import ModelShape, adapter_bytes, at_once_of, fitting, model_shape
from causalmix_nb.proxies.adapters.runs import why_alone
from causalmix_nb.proxies.huggingface.checkpoint import count_parameters, load_shape

if TYPE_CHECKING:
    from causalmix_nb.proxies.huggingface.settings import HFSettings

REACHED = 0.4  # share of a large matrix product's speed that training reaches
SECONDS = 0.3  # that a measurement of the speed takes
KEPT = 34  # numbers that a token leaves behind in a layer for the backward pass, per unit of width (arXiv 2205.05198)


def run_bytes(config: HFSettings) -> float:
    """Memory of one run, all processes together: weights, their first values, what AdamW keeps, activations and logits of a batch."""
    shape: Any = load_shape(config)
    width, layers, vocabulary = shape.hidden_size, shape.num_hidden_layers, shape.vocab_size
    half = config.precision != "no"
    tokens = config.batch * config.context
    kept = width * (2 * layers if config.checkpointing else KEPT * layers) * (2 if half else 4)
    logits = vocabulary * (4 * 3 + (2 if half else 0))
    per_weight = (2 if config.precision == "bf16" else 4) if config.lora else 4 * 5
    return float(config.processes * per_weight * count_parameters(config) + tokens * (kept + logits))


def run_axis(config: HFSettings, n_runs: int, n_workers: int = 1) -> tuple[int, int]:
    """(runs that train together, windows of a run in memory at once) for so many runs on this machine; (1, 1) where they train one after another."""
    if n_runs < 1 or why_alone(config) is not None:
        return (1, 1)
    import torch

    shape = _adapted(config)
    if shape is None:
        return (1, 1)
    share = free_here() / max(1, n_workers)
    on_gpu = torch.cuda.is_available()
    return fitting(
        shape, share, -(-n_runs // max(1, n_workers)), config.batch * config.accumulation, config.context, half=config.precision != "no",
        on_gpu=on_gpu, checkpointing=config.checkpointing, loss_way="triton" if on_gpu else "eager",
    )  # fmt: skip


def axis_bytes(config: HFSettings, width: int) -> float:
    """Memory of so many runs that train together: what :func:`run_bytes` is for one alone."""
    shape = _adapted(config) if why_alone(config) is None else None
    if shape is None:
        return run_bytes(config)
    import torch

    on_gpu, per_step = torch.cuda.is_available(), config.batch * config.accumulation
    options: dict[str, Any] = {
        "half": config.precision != "no", "on_gpu": on_gpu, "checkpointing": config.checkpointing, "loss_way": "triton" if on_gpu else "eager",
    }  # fmt: skip
    at_once = at_once_of(shape, free_here(), width, per_step, config.context, **options)
    return adapter_bytes(shape, width, at_once, config.context, **options)


@lru_cache(maxsize=8)
def _adapted(config: HFSettings) -> ModelShape | None:
    """The shape of a configuration's model with its adapters; None if it gets none here."""
    assert config.lora is not None
    try:
        return model_shape(load_shape(config), config.lora.rank, config.lora.targets)
    except TrainingError:
        return None


def free_here() -> float:
    """Bytes that training may take: of the GPU with what this process has put aside there, else of the machine."""
    import torch

    free = free_memory()
    if torch.cuda.is_available():
        free += torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return free


def arithmetic_speed(config: HFSettings, seconds: float = SECONDS) -> float:
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
    return REACHED * speed / ((4 if config.lora else 6) * count_parameters(config))
