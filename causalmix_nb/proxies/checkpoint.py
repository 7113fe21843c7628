"""A Hugging Face causal language model as the proxy: what to load, how to train it, and loading it.

:class:`HFConfig` takes the place of :class:`~causalmix_nb.proxies.swarm.ProxyConfig` in ``Study.create(config=...)``; nothing else changes for the
user. It names a checkpoint (hub, local folder, GGUF file), or a model's shape that starts from scratch. Weights are read as safetensors or
GGUF only, and code that comes with a checkpoint is never run.

>>> HFConfig("Qwen/Qwen2.5-0.5B", lora=Lora(rank=16), precision="bf16").to_dict()["lora"]["rank"]
16
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import TrainingError, did_you_mean
from causalmix_nb.proxies.swarm import ProxyConfig

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

PRECISIONS = ("no", "bf16", "fp16")
CONVERTED = (
    "checkpoint"  # where a study keeps the safetensors made from a GGUF file: they load forty times faster
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


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
class HFConfig:
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

    @property
    def n_parameters(self) -> int:
        """Parameters of the model, adapters not counted; reads the model's config, not its weights."""
        return _n_parameters(json.dumps(self.to_dict(), sort_keys=True))

    @property
    def has_base(self) -> bool:
        """Whether the runs continue from a base that is trained here."""
        return self.from_scratch is not None and self.base_tokens > 0

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        if self.lora and not isinstance(self.lora.targets, str):
            values["lora"]["targets"] = list(self.lora.targets)
        return {"kind": "hf", **values}


def as_config(values: Mapping[str, Any]) -> ProxyConfig | HFConfig:
    """The configuration that ``to_dict`` wrote, in its own class."""
    if values.get("kind") == "hf":
        return HFConfig(**{name: value for name, value in values.items() if name != "kind"})
    return ProxyConfig(**values)


def load_tokenizer(config: HFConfig) -> PreTrainedTokenizerFast:
    """The model's tokenizer; one that tells which characters a token stands for (a "fast" one) is needed to count bytes."""
    from_pretrained = _transformers().AutoTokenizer.from_pretrained
    folder = Path(config.model)
    if folder.is_dir() and not config.gguf_file and not any((folder / f).exists() for f in TOKENIZER_FILES):
        raise TrainingError(
            f"{config.model} holds no tokenizer; save it there with tokenizer.save_pretrained()."
        )
    tokenizer = _loaded(config, "tokenizer", from_pretrained)
    if not getattr(tokenizer, "is_fast", False):
        raise TrainingError(
            f"the tokenizer of {config.model} does not tell the bytes of a token; choose a model with a tokenizer.json."
        )
    if tokenizer.eos_token_id is None:
        raise TrainingError(
            f"the tokenizer of {config.model} has no end-of-text token; choose another model, or set its eos_token."
        )
    return tokenizer


def load_shape(config: HFConfig) -> PretrainedConfig:
    """The model's own config: sizes, no weights.

    Raises
    ------
    TrainingError: it cannot be loaded, is no causal language model, or its context is shorter than the one asked for.
    """
    return deepcopy(_shape(json.dumps(config.to_dict(), sort_keys=True)))


@lru_cache(maxsize=32)  # that of a GGUF file takes ten seconds to read
def _shape(values: str) -> PretrainedConfig:
    config = as_config(json.loads(values))
    assert isinstance(config, HFConfig)
    transformers = _transformers()
    if config.from_scratch is None:
        shape = _loaded(config, "model", transformers.AutoConfig.from_pretrained)
    else:
        fields = {"model_type": "llama", "vocab_size": len(load_tokenizer(config)), **config.from_scratch}
        try:
            shape = transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
        except (ValueError, TypeError, KeyError) as error:
            raise TrainingError(
                f"from_scratch describes no model ({_first_line(error)}); give the fields of its config."
            ) from None
    if type(shape) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise TrainingError(
            f"{config.model} is a {shape.model_type}, no causal language model; choose one that generates text."
        )
    limit = getattr(shape, "max_position_embeddings", None)
    if limit and config.context > limit:
        raise TrainingError(
            f"context is {config.context}, but {config.model} reads at most {limit} tokens; lower it."
        )
    return shape


def load_model(config: HFConfig, seed: int = 0, cache: Path | None = None) -> PreTrainedModel:
    """The model with the weights that every run starts from, on the CPU, without adapters.

    Parameters
    ----------
    seed: for the weights of a model from scratch.
    cache: a folder where a GGUF model is kept as safetensors, so that it loads in a second from then on.
    """
    import torch

    transformers, shape = _transformers(), load_shape(config)
    if config.from_scratch is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return transformers.AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
    # Adapters are trained on frozen weights, which need no more digits than the arithmetic has.
    dtype = torch.bfloat16 if config.lora and config.precision == "bf16" else torch.float32
    load = transformers.AutoModelForCausalLM.from_pretrained
    if not config.gguf_file:
        return _loaded(config, "model", load, dtype=dtype, use_safetensors=True)
    if cache is None:
        return _loaded(config, "model", load, dtype=dtype)
    if not (cache / "config.json").exists():
        _convert(_loaded(config, "model", load, dtype=torch.float32), cache)
    with _quiet():
        return load(str(cache), dtype=dtype, use_safetensors=True)


def _convert(model: Any, cache: Path) -> None:
    """Keep a dequantised model as safetensors; whole or not at all, whoever is first."""
    import os
    import shutil

    partial = cache.with_name(f"{cache.name}.{os.getpid()}.partial")
    for part in (model, model.config):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    model.hf_quantizer = None
    with _quiet():
        model.save_pretrained(str(partial))
    try:
        partial.rename(cache)
    except OSError:  # another process was faster
        shutil.rmtree(partial, ignore_errors=True)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise TrainingError(
            "a Hugging Face model needs transformers; pip install 'causalmix_nb[hf]'."
        ) from None
    return transformers


def _loaded(config: HFConfig, what: str, load: Any, **options: Any) -> Any:
    """``from_pretrained`` with errors of one sentence."""
    where = f"{config.model}/{config.gguf_file}" if config.gguf_file else config.model
    named: dict[str, Any] = {
        name: value for name in ("gguf_file", "revision") if (value := getattr(config, name))
    }
    try:
        with _quiet():
            return load(config.model, **named, **options)
    except ImportError as error:
        raise TrainingError(
            f"loading {where} needs a package that is not there ({_first_line(error)}); pip install 'causalmix_nb[hf]'."
        ) from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise TrainingError(
            f"cannot load the {what} {where!r} ({_first_line(error)}); "
            "check the name and the connection, or give a local folder."
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the loader's progress bars and advice to itself."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__).rstrip(".: ")[:160]


@lru_cache(maxsize=32)
def _n_parameters(values: str) -> int:
    import torch

    config = as_config(json.loads(values))
    assert isinstance(config, HFConfig)
    shape = load_shape(config)
    with torch.device("meta"):
        model = _transformers().AutoModelForCausalLM.from_config(shape)
    return sum(weight.numel() for weight in model.parameters())
