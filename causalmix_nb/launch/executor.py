"""Where runs execute: the contract between a launch and what trains its chunks.

An executor says what it can do, so that nobody compares its name. The ones that there are lie in :mod:`causalmix_nb.launch.executors`, a file
each; another one is there, also for ``--executor``, once it is registered in :data:`EXECUTORS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import TrainingError
from causalmix_nb.launch.chunk import Chunks, Take
from causalmix_nb.machine import cores
from causalmix_nb.proxies.config import Trainable
from causalmix_nb.registry import Registry


@dataclass(frozen=True, slots=True)
class Work:
    """Runs that are still to be trained.

    jobs: key -> run. config: of their proxies. setup: what :meth:`~causalmix_nb.proxies.config.Trainable.trainer` is given, without tokens.
    workers: processes asked for, None for what is best. take: called with every message, in the thread of the launch; it may raise
    KeyboardInterrupt to stop.
    """

    jobs: Mapping[str, RunSpec]
    config: Trainable
    setup: Mapping[str, Any]
    workers: int | None
    take: Take

    @property
    def folder(self) -> Path:
        return Path(self.setup["folder"])

    @property
    def budgets(self) -> list[int]:
        """Training tokens of every run."""
        return [spec.token_budget for spec in self.jobs.values()]

    def setup_for(self, n_processes: int) -> dict[str, Any]:
        """The setup of one of so many processes."""
        return {**self.setup, "tokens": sum(self.budgets) // n_processes}

    def divided(self, n_places: int, width: int) -> list[list[str]]:
        """Groups of runs with one token budget, at most ``width`` each, evenly sized so that none of the places idles at the end."""
        chunks = []
        for budget in sorted(set(self.budgets)):
            keys = [key for key, spec in self.jobs.items() if spec.token_budget == budget]
            n = -(-len(keys) // width)
            n = min(len(keys), -(-n // n_places) * n_places)
            chunks += [list(keys[i::n]) for i in range(n)]
        return chunks

    def chunks(self, n_places: int, width: int) -> Chunks:
        """The same, to be handed out."""
        return Chunks(self.divided(n_places, width))


class Executor(Protocol):
    """Where runs execute; a frozen dataclass whose fields have defaults, so that its name alone is one."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str: ...

    @property
    def here(self) -> bool:
        """Whether runs are trained in the process that asks, which then may use functions that only this process knows."""
        ...

    @property
    def remark(self) -> str:
        """What is to be known about a forecast, which is reckoned with this machine; empty where runs are trained on it."""
        ...

    @property
    def code(self) -> str:
        """Itself as Python, where ``import causalmix_nb as cm`` was said."""
        ...

    @property
    def options(self) -> Sequence[str]:
        """Its fields as words of ``%causalmix run``, behind ``--executor`` and its name."""
        ...

    def workers(self, n_runs: int, asked: int | None, config: Trainable) -> int:
        """Processes besides this one that train so many runs; 0 trains here."""
        ...

    def train(self, work: Work) -> None:
        """Train the runs and hand on their messages.

        Raises
        ------
        TrainingError: no run can be trained.
        """
        ...


EXECUTORS: Registry[Executor] = Registry("executor", "causalmix_nb.launch.executors", TrainingError)


def as_executor(given: str | Executor) -> Executor:
    """The executor meant by its name, or itself.

    >>> as_executor("inline").here
    True

    Raises
    ------
    TrainingError: an unknown name.
    """
    return EXECUTORS.find(given) if isinstance(given, str) else given


def workers_here(n_runs: int, asked: int | None, config: Trainable) -> int:
    """How many worker processes of this machine train so many runs: those asked for, else one per core, or one where one fills the
    machine; each with two runs at least."""
    usual = 1 if config.fills_machine else cores()
    return max(1, min(asked or usual, -(-n_runs // 2)))
