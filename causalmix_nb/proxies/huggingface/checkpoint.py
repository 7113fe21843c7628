"""Loading a Hugging Face causal language model: from the hub, a local folder or a GGUF file, or by its shape, from scratch.

Weights are read as safetensors or GGUF only, and code that comes with a checkpoint is never run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.huggingface.settings import HFSettings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

CONVERTED = (
    "checkpoint"  # where a study keeps the safetensors made from a GGUF file: they load forty times faster
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


def load_tokenizer(config: HFSettings) -> PreTrainedTokenizerFast:
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


def load_shape(config: HFSettings) -> PretrainedConfig:
    """The model's own config: sizes, no weights.

    Raises
    ------
    TrainingError: it cannot be loaded, is no causal language model, or its context is shorter than the one asked for.
    """
    return deepcopy(_shape(config))


@lru_cache(maxsize=32)  # that of a GGUF file takes ten seconds to read
def _shape(config: HFSettings) -> PretrainedConfig:
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


def load_model(config: HFSettings, seed: int = 0, cache: Path | None = None) -> PreTrainedModel:
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
    dtype = torch.bfloat16 if config.half else torch.float32
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


def _loaded(config: HFSettings, what: str, load: Any, **options: Any) -> Any:
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
def count_parameters(config: HFSettings) -> int:
    """Parameters of the model, from its config: no weights are read."""
    import torch

    shape = load_shape(config)
    with torch.device("meta"):
        model = _transformers().AutoModelForCausalLM.from_config(shape)
    return sum(weight.numel() for weight in model.parameters())
