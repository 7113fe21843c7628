"""Any Hugging Face causal language model as the proxy.

:class:`HFConfig` takes the place of :class:`~causalmix_nb.proxies.kinds.byte_gpt.ProxyConfig` in ``Study.create(config=...)``; nothing else
changes for the user. It names a checkpoint (hub, local folder, GGUF file), or a model's shape that starts from scratch.

>>> from causalmix_nb import Lora
>>> HFConfig("Qwen/Qwen2.5-0.5B", lora=Lora(rank=16), precision="bf16").to_dict()["lora"]["rank"]
16
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.data.tokens import tokenise
from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.config import BASE, KINDS, Kind, OnTokens, Speed, Trainer
from causalmix_nb.proxies.huggingface.checkpoint import (
    count_parameters,
    load_shape,
    load_tokenizer,
)
from causalmix_nb.proxies.huggingface.cost import arithmetic_speed, axis_bytes, run_axis
from causalmix_nb.proxies.huggingface.finetune import checkpoint_scorer, train_hf_base
from causalmix_nb.proxies.huggingface.processes import DataParallel, trainer_here
from causalmix_nb.proxies.huggingface.settings import KIND, HFSettings
from causalmix_nb.proxies.swarm import save_weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.proxies.state import HuggingFaceScorer
    from causalmix_nb.proxies.swarm import ProxySwarm

SHARED = 4  # runs that are handed to one start of several processes


class HFConfig(HFSettings):
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

    Its fields, with their units, are those of :class:`~causalmix_nb.proxies.huggingface.settings.HFSettings`.
    """

    __slots__ = ()

    @property
    def n_parameters(self) -> int:
        """Parameters of the model, adapters not counted; reads the model's config, not its weights."""
        return count_parameters(self)

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
