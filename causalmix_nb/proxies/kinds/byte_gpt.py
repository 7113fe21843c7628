"""The built-in proxy: a compact byte-level GPT, many of which train as one (:mod:`causalmix_nb.proxies.swarm`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.config import BASE, KINDS, USUAL, Kind, OnTokens, Speed, TrainedRun, Trainer
from causalmix_nb.proxies.outcomes import Evaluator
from causalmix_nb.proxies.state import ProxyScorer
from causalmix_nb.proxies.swarm import VOCABULARY, ProxySettings, ProxySwarm, load_weights, save_weights
from causalmix_nb.proxies.swarm_cost import WIDTH, speed_here, swarm_bytes
from causalmix_nb.proxies.train import new_swarm, train_base, train_runs

if TYPE_CHECKING:
    import torch

    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.design.simplex import RunSpec


class ProxyConfig(ProxySettings):
    """The built-in proxy; the defaults make one of 114 688 parameters.

    Its fields, with their units, are those of :class:`~causalmix_nb.proxies.swarm.ProxySettings`.

    >>> ProxyConfig().n_parameters
    114688
    """

    __slots__ = ()

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
