"""Any Hugging Face causal language model as the proxy.

:class:`HFConfig` takes the place of :class:`~causalmix_nb.proxies.kinds.byte_gpt.ProxyConfig` in ``Study.create(config=...)``; nothing else
changes for the user. It names a checkpoint (hub, local folder, GGUF file), or a model's shape that starts from scratch.

>>> HFConfig("Qwen/Qwen2.5-0.5B", lora=Lora(rank=16), precision="bf16").to_dict()["lora"]["rank"]
16
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.data.tokens import tokenise
from causalmix_nb.errors import TrainingError, did_you_mean
from causalmix_nb.proxies.config import BASE, KINDS, Kind, OnTokens, Speed, Trainer
from causalmix_nb.proxies.huggingface.checkpoint import (
    Checkpoint,
    count_parameters,
    load_shape,
    load_tokenizer,
)
from causalmix_nb.proxies.huggingface.cost import arithmetic_speed, axis_bytes, run_axis
from causalmix_nb.proxies.huggingface.finetune import checkpoint_scorer, train_hf_base
from causalmix_nb.proxies.huggingface.processes import DataParallel, trainer_here
from causalmix_nb.proxies.swarm import save_weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.proxies.state import HuggingFaceScorer
    from causalmix_nb.proxies.swarm import ProxySwarm

KIND = "hf"
PRECISIONS = ("no", "bf16", "fp16")
SHARED = 4  # runs that are handed to one start of several processes


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
class HFConfig(Checkpoint):
    """Any Hugging Face causal language model as the proxy, and how a run trains it.

    A run continues from the checkpoint (from the base, where it starts from scratch) with AdamW on windows of ``context`` tokens, and every
    run starts from the same weights. One step sees ``batch * accumulation`` windows, however many processes share them.

    >>> config = HFConfig("Qwen/Qwen2.5-0.5B")            # full fine-tuning of the checkpoint
    >>> config.batch * config.accumulation * config.context   # tokens of a step
    4096
    >>> HFConfig("Qwen/Qwen2.5-0.5B", precision="bf61")
    Traceback (most recent call last):
    ...
    causalmix_nb.errors.TrainingError: unknown precision 'bf61'. Did you mean 'bf16'? Use no, bf16, fp16.
    """

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
        Checkpoint.__post_init__(self)
        for name in ("batch", "accumulation", "processes"):
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

    __hash__ = Checkpoint.__hash__

    @property
    def half(self) -> bool:
        """Adapters are trained on frozen weights, which need no more digits than the arithmetic has."""
        return self.lora is not None and self.precision == "bf16"

    @property
    def n_parameters(self) -> int:
        """Parameters of the model, adapters not counted; reads the model's config, not its weights."""
        return count_parameters(self)

    @property
    def has_base(self) -> bool:
        return self.from_scratch is not None and self.base_tokens > 0

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        if self.lora and not isinstance(self.lora.targets, str):
            values["lora"]["targets"] = list(self.lora.targets)
        return {"kind": KIND, **values}

    # -- what they can do: causalmix_nb.proxies.config.Trainable -------------------------------------------

    measures_slowly = True
    fills_machine = True
    resizable = False
    mixes_online = False

    @property
    def trains_scorer(self) -> bool:
        return self.has_base

    def tokenizer(self) -> PreTrainedTokenizerFast:
        load_shape(self)
        return load_tokenizer(self)

    def tokenised(self, corpus: Corpus, tokenizer: PreTrainedTokenizerFast) -> Corpus:
        return tokenise(corpus, tokenizer, self.chat_template)

    def train_base(
        self, folder: Path, corpus: Corpus, seed: int = 0, on_tokens: OnTokens | None = None
    ) -> None:
        if self.has_base and not (folder / BASE).exists():
            save_weights(train_hf_base(corpus, self, seed, on_tokens).weights(), folder / BASE)

    def scorer(self, folder: Path, seed: int = 0) -> HuggingFaceScorer:
        return checkpoint_scorer(folder, self, seed)

    def trainer(self, setup: Mapping[str, Any], corpus: Corpus) -> Trainer:
        if self.processes > 1:
            return DataParallel(self, setup)
        return trainer_here(self, setup, corpus)

    def width(self, n_runs: int, n_workers: int = 1) -> int:
        """Adapters train together as far as memory allows and it makes them faster; where all weights are trained it is one run, unless
        processes of their own are worth sharing between runs."""
        return SHARED if self.processes > 1 else run_axis(self, n_runs, n_workers)[0]

    def chunk_bytes(self, width: int, token_budget: int) -> float:
        return axis_bytes(self, width)

    def speed(self, width: int, seconds: float) -> Speed:
        return Speed(arithmetic_speed(self, seconds), 1, "the arithmetic of this machine")

    def resized(self, n_parameters: int) -> HFConfig:
        raise TrainingError(f"the size of {self.model} is given; give another model.")

    def enlarged(self, times: float) -> HFConfig:
        return self.resized(0)

    def swarm(self, n_runs: int, base: Mapping[str, torch.Tensor] | None = None, seed: int = 0) -> ProxySwarm:
        raise TrainingError(f"{self.model} is no swarm of small proxies; leave model out for those.")


KINDS.register(Kind(KIND, HFConfig))
