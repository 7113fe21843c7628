"""What is loaded of Hugging Face, and how a run trains it: the fields of a configuration, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from causalmix_nb.errors import TrainingError, did_you_mean

KIND = "hf"  # under which a study's file notes it
PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters (arXiv 2106.09685) that are trained instead of the weights; needs the ``peft`` of the ``[hf]`` extra."""

    rank: int = 8
    alpha: int = 16  # the update is scaled by alpha / rank
    targets: str | tuple[str, ...] = "all-linear"  # names of the layers that get adapters

    def __post_init__(self) -> None:
        if not isinstance(self.targets, str):
            object.__setattr__(self, "targets", tuple(self.targets))
        if not (isinstance(self.rank, int) and self.rank >= 1 and self.alpha > 0 and self.targets):
            raise TrainingError(
                f"LoRA has rank {self.rank!r}, alpha {self.alpha!r} and targets {self.targets!r}; "
                "give a whole rank of at least 1, a positive alpha and names of layers."
            )


@dataclass(frozen=True, slots=True)
class HFSettings:
    """A checkpoint, or a model's shape, and the optimiser of its runs.

    Raises
    ------
    TrainingError: a field that is no number of its kind, an unknown precision, or adapters without weights to adapt.
    """

    model: str  # hub name or local folder: of the weights and the tokenizer; with from_scratch, of the tokenizer only
    gguf_file: str | None = None  # file in that folder or repository, where the model comes as GGUF
    revision: str | None = None  # branch, tag or commit on the hub
    from_scratch: Mapping[str, Any] | None = None  # a model's shape instead of weights: fields of its config
    context: int = 512  # tokens per training window
    batch: int = 8  # windows at once, over all processes
    accumulation: int = 1  # batches per step
    learning_rate: float = 1e-5  # peak, AdamW; decays linearly to 0 over a run
    base_learning_rate: float = 1e-3  # peak while a base is trained from scratch
    weight_decay: float = 0.0  # on matrices
    warmup: float = 0.05  # share of the steps
    clip: float = 1.0  # gradient norm
    precision: str = "no"  # of the arithmetic: "no" (float32), "bf16", "fp16" (a GPU only)
    lora: Lora | None = None  # train adapters instead of the weights
    chat_template: bool = True  # a prompt becomes the user's turn, if the tokenizer has a template for it
    checkpointing: bool = False  # recompute activations in the backward pass: less memory, a third slower
    processes: int = 1  # data-parallel processes per run
    base_tokens: int = 2_000_000  # with from_scratch: what the base is trained on; 0 leaves it random

    def __post_init__(self) -> None:
        if isinstance(self.lora, Mapping):
            object.__setattr__(self, "lora", Lora(**self.lora))
        if not (isinstance(self.model, (str, Path)) and str(self.model)):
            raise TrainingError(f"model is {self.model!r}; give a name on the hub or a local folder.")
        folder = Path(self.model).expanduser()
        object.__setattr__(self, "model", str(folder.resolve() if folder.is_dir() else self.model))
        for name in ("context", "batch", "accumulation", "processes"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise TrainingError(f"{name} is {value!r}; it must be a whole number of at least 1.")
        if self.batch % self.processes:
            raise TrainingError(
                f"a batch of {self.batch} windows cannot be shared by {self.processes} processes; give a multiple."
            )
        for name in ("learning_rate", "base_learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"{name} is {getattr(self, name)!r}; it must be positive.")
        if not (self.weight_decay >= 0 and 0 <= self.warmup <= 1 and self.base_tokens >= 0):
            raise TrainingError(
                f"weight_decay={self.weight_decay}, warmup={self.warmup}, base_tokens={self.base_tokens}; "
                "none may be negative, and the warm-up is a share of the steps."
            )
        if self.precision not in PRECISIONS:
            raise TrainingError(
                f"unknown precision {self.precision!r}.{did_you_mean(self.precision, PRECISIONS)} "
                f"Use {', '.join(PRECISIONS)}."
            )
        if self.from_scratch is not None and self.lora:
            raise TrainingError("adapters need weights to adapt; leave out lora, or from_scratch.")

    def __hash__(self) -> int:  # a shape is a dict, and what is read of a checkpoint is kept by its settings
        return hash(json.dumps(self.to_dict(), sort_keys=True, default=str))

    @property
    def half(self) -> bool:
        """Adapters are trained on frozen weights, which need no more digits than the arithmetic has."""
        return self.lora is not None and self.precision == "bf16"

    @property
    def has_base(self) -> bool:
        return self.from_scratch is not None and self.base_tokens > 0

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        if self.lora and not isinstance(self.lora.targets, str):
            values["lora"]["targets"] = list(self.lora.targets)
        return {"kind": KIND, **values}
