"""The built-in proxy: a compact byte-level GPT, many of which train as one (:mod:`causalmix_nb.proxies.swarm`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.config import BASE, KINDS, USUAL, Kind, OnTokens, Speed, TrainedRun, Trainer
from causalmix_nb.proxies.outcomes import Evaluator
from causalmix_nb.proxies.state import ProxyScorer
from causalmix_nb.proxies.swarm import VOCABULARY, ProxySwarm, load_weights, save_weights
from causalmix_nb.proxies.swarm_cost import WIDTH, speed_here, swarm_bytes
from causalmix_nb.proxies.train import new_swarm, train_base, train_runs

if TYPE_CHECKING:
    import torch

    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.design.simplex import RunSpec

PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Shape and optimiser of a proxy; the defaults make a 114 688-parameter model.

    >>> ProxyConfig().n_parameters
    114688
    """

    d_model: int = 64  # width
    n_layers: int = 2
    n_heads: int = 2
    context: int = 128  # tokens per training window
    batch: int = 8  # windows per step
    learning_rate: float = 1e-3  # peak, AdamW; decays linearly to 0 over a run
    base_learning_rate: float = 4e-3  # peak while the base proxy is trained
    weight_decay: float = 0.1  # on matrices
    clip: float = 1.0  # gradient norm per run
    warmup: float = 0.05  # share of the steps
    base_tokens: int = 2_000_000  # what the base proxy is trained on; 0 starts every run from scratch
    precision: str = "auto"  # of matrix products: "fp32", "bf16", or what the machine multiplies fastest

    def __post_init__(self) -> None:
        for name in ("d_model", "n_layers", "n_heads", "context", "batch"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise TrainingError(f"{name} is {value!r}; it must be a whole number of at least 1.")
        if self.d_model % (2 * self.n_heads):
            raise TrainingError(
                f"d_model={self.d_model} does not split into {self.n_heads} heads of even width; "
                f"use a multiple of {2 * self.n_heads}."
            )
        if not (self.learning_rate > 0 and self.base_learning_rate > 0):
            raise TrainingError(
                f"learning rates must be positive, got {self.learning_rate} and {self.base_learning_rate}."
            )
        if self.base_tokens < 0:
            raise TrainingError(f"base_tokens is {self.base_tokens}; give 0 to start from scratch, or more.")
        if self.precision not in PRECISIONS:
            raise TrainingError(
                f"precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}."
            )

    @property
    def n_parameters(self) -> int:
        """Parameters of one proxy."""
        return VOCABULARY * self.d_model + self.n_layers * 12 * self.d_model**2

    @property
    def has_base(self) -> bool:
        return self.base_tokens > 0

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    # -- what they can do: causalmix_nb.proxies.config.Trainable -------------------------------------------

    trains_scorer = True  # the base is the scorer too, also where no run continues from it
    measures_slowly = False
    fills_machine = False
    resizable = True
    mixes_online = True

    def tokenizer(self) -> None:
        return None

    def tokenised(self, corpus: Corpus, tokenizer: None) -> Corpus:
        return corpus

    def train_base(
        self, folder: Path, corpus: Corpus, seed: int = 0, on_tokens: OnTokens | None = None
    ) -> None:
        if not (folder / BASE).exists():
            save_weights(train_base(corpus, self, seed, on_tokens).weights(), folder / BASE)

    def scorer(self, folder: Path, seed: int = 0) -> ProxyScorer:
        return ProxyScorer(self.swarm(1, load_weights(folder / BASE), seed))

    def trainer(self, setup: Mapping[str, Any], corpus: Corpus) -> Trainer:
        base = load_weights(Path(setup["folder"]) / BASE) if self.has_base else None
        evaluate = Evaluator(corpus, self.context, setup["target"], setup.get("score"))

        def train(specs: Sequence[RunSpec], emit: OnTokens) -> list[TrainedRun]:
            return train_runs(corpus, specs, self, base, evaluate, emit, setup["seed"])

        return train

    def width(self, n_runs: int, n_workers: int = 1) -> int:
        return WIDTH

    def chunk_bytes(self, width: int, token_budget: int) -> float:
        return swarm_bytes(self, width, token_budget)

    def speed(self, width: int, seconds: float) -> Speed:
        return Speed(speed_here(self, width, seconds), 1, "a measurement on this machine")

    def resized(self, n_parameters: int) -> ProxyConfig:
        """
        >>> ProxyConfig().resized(460_000).n_parameters, ProxyConfig().resized(460_000).d_model
        (451968, 132)
        """
        step = 2 * self.n_heads
        a, b = 12 * self.n_layers, VOCABULARY
        exact = (-b + (b * b + 4 * a * n_parameters) ** 0.5) / (2 * a)
        near = (int(exact // step), int(exact // step) + 1)
        found = min(
            (replace(self, d_model=max(step, step * k)) for k in near),
            key=lambda config: abs(config.n_parameters - n_parameters),
        )
        if not 0.5 <= found.n_parameters / n_parameters <= 2:
            raise TrainingError(
                f"no proxy of {self.n_layers} layers has about {n_parameters:,} parameters; "
                f"the smallest has {found.n_parameters:,}."
            )
        return found

    def enlarged(self, times: float) -> ProxyConfig:
        """The narrowest such proxy with one layer more and heads of the same number."""
        larger = replace(self, n_layers=self.n_layers + 1)
        while larger.d_model == self.d_model or larger.n_parameters < times * self.n_parameters:
            larger = replace(larger, d_model=larger.d_model + 2 * self.n_heads)
        return larger

    def swarm(self, n_runs: int, base: Mapping[str, torch.Tensor] | None = None, seed: int = 0) -> ProxySwarm:
        return new_swarm(self, n_runs, base, seed)


KINDS.register(Kind(USUAL, ProxyConfig))
