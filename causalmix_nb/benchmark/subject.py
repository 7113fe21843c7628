"""What the experiment needs of a study, so that it can be run on anything that trains mixtures on a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.data.pool import Perturbation
    from causalmix_nb.decide.search import Search
    from causalmix_nb.design.simplex import RunSpec
    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.launch.launch import AnyExecutor, OnProgress, RunReport
    from causalmix_nb.proxies.config import Trainable
    from causalmix_nb.proxies.online import OnlineMixture
    from causalmix_nb.runs.store import Runs


class Files(Protocol):
    """What is kept of a study."""

    @property
    def seed(self) -> int: ...

    @property
    def target(self) -> dict[str, float] | None: ...

    @property
    def token_budget(self) -> int: ...

    @property
    def config(self) -> Trainable: ...

    def need_corpus(self) -> Corpus: ...

    def need_runs(self) -> Runs: ...

    def store(self, name: str) -> AbstractContextManager[Runs]: ...


class Trainer(Protocol):
    """What trains for a study, and nothing twice."""

    def outcomes(
        self,
        specs: Sequence[RunSpec],
        store: str,
        outcome: str,
        stage: str,
        executor: AnyExecutor = "local",
        workers: int | None = None,
        progress: OnProgress | None = None,
    ) -> np.ndarray: ...


class Subject(Protocol):
    """A study that is put to the test; :class:`causalmix_nb.study.study.Study` is one."""

    graph: CausalGraph

    @property
    def files(self) -> Files: ...

    @property
    def trainer(self) -> Trainer: ...

    def available(self) -> dict[str, int]: ...

    def measure_state(self, perturbation: Mapping[str, Perturbation] | None = ...) -> pd.DataFrame: ...

    def run(
        self,
        n_runs: int = ...,
        token_budget: int = ...,
        executor: AnyExecutor = ...,
        workers: int | None = ...,
        states: bool = ...,
        progress: OnProgress | None = ...,
    ) -> RunReport: ...

    def search(
        self,
        method: str = ...,
        n_runs: int = ...,
        outcome: str | None = ...,
        progress: OnProgress | None = ...,
        executor: AnyExecutor = ...,
        workers: int | None = ...,
    ) -> Search: ...

    def online(self, method: str = ..., progress: OnProgress | None = ...) -> OnlineMixture: ...

    def with_proxies(self, config: Trainable, name: str) -> Subject: ...
