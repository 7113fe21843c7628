"""What can be trained: the contract between a configuration of proxies and everybody who trains, measures or counts with it.

A configuration is a frozen dataclass that says what its proxies can do, so that nobody asks which class it is. The kinds that there are lie in
:mod:`causalmix_nb.proxies.kinds`, one file each; another one is there once it is registered in :data:`KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from causalmix_nb.errors import TrainingError
from causalmix_nb.registry import Registry

if TYPE_CHECKING:
    import torch

    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.design.simplex import RunSpec
    from causalmix_nb.proxies.state import Scorer
    from causalmix_nb.proxies.swarm import ProxySwarm

DATA, BASE = (
    "data",
    "base.safetensors",
)  # where a study keeps its tokens and the base that its runs continue from
BASE_CHANGED = "start the launch again, with the base proxy as it is now"  # what to do about it
USUAL = "byte_gpt"  # the kind of a configuration that names none

OnTokens = Callable[[int], None]  # called with the training tokens done since the last call, over all runs


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """What became of one run: its outcomes, or the reason why there are none."""

    outcomes: dict[str, float]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast runs train. tokens_per_second: of all workers together, a scored token counting as a third of a trained one."""

    tokens_per_second: float
    workers: int
    source: str


class NoRunAxis(TrainingError):
    """Runs that cannot be trained together, and why; they are tried again one after another."""


class Trainer(Protocol):
    """Trains the runs of one chunk after the other and scores them; what is loaded once is kept from chunk to chunk."""

    def __call__(self, specs: Sequence[RunSpec], emit: OnTokens) -> list[TrainedRun]:
        """One result per run, in order.

        Raises
        ------
        NoRunAxis: these runs do not train together.
        TrainingError: none of them can be trained.
        """
        ...


class Trainable(Protocol):
    """A configuration of proxies, and what they can do."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    # -- what they are -----------------------------------------------------------------------------------

    @property
    def context(self) -> int:
        """Tokens of a training window."""
        ...

    @property
    def batch(self) -> int:
        """Windows of a batch."""
        ...

    @property
    def learning_rate(self) -> float:
        """Peak of a run's schedule."""
        ...

    @property
    def n_parameters(self) -> int:
        """Parameters of one proxy."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON, and under "kind" the name in :data:`KINDS`; :func:`as_config` reads it."""
        ...

    # -- what they read ----------------------------------------------------------------------------------

    def tokenizer(self) -> Any:
        """What makes tokens of text, None where bytes are the tokens; says what is wrong with the model before a pool is read."""
        ...

    def tokenised(self, corpus: Corpus, tokenizer: Any) -> Corpus:
        """The corpus in the tokens of :meth:`tokenizer`."""
        ...

    # -- where runs start, and what measures the state ---------------------------------------------------

    @property
    def base_tokens(self) -> int:
        """What the base is trained on."""
        ...

    @property
    def has_base(self) -> bool:
        """Whether runs continue from a base that is trained once per study."""
        ...

    @property
    def trains_scorer(self) -> bool:
        """Whether the file :data:`BASE` has to be there before a state can be measured."""
        ...

    @property
    def measures_slowly(self) -> bool:
        """Whether measuring a state takes so long that a study keeps what was measured."""
        ...

    def train_base(
        self, folder: Path, corpus: Corpus, seed: int = 0, on_tokens: OnTokens | None = None
    ) -> None:
        """Train the base into the study's folder, if there is to be one and it is not there yet."""
        ...

    def scorer(self, folder: Path, seed: int = 0) -> Scorer:
        """What measures the state of a pool, once :meth:`train_base` was called."""
        ...

    # -- training ----------------------------------------------------------------------------------------

    def trainer(self, setup: Mapping[str, Any], corpus: Corpus) -> Trainer:
        """Who trains chunks of a study's runs in this process.

        setup: as :func:`causalmix_nb.launch.launch.launch` makes it: folder, target and seed of the study, base (file name -> checksum),
        score, and tokens, the training tokens that this process may expect in all.
        """
        ...

    @property
    def fills_machine(self) -> bool:
        """Whether one process keeps all cores, or the accelerator, busy by itself."""
        ...

    def width(self, n_runs: int, n_workers: int = 1) -> int:
        """Runs that train together, of so many on this machine, where nothing was measured."""
        ...

    # -- what it takes -----------------------------------------------------------------------------------

    def chunk_bytes(self, width: int, token_budget: int) -> float:
        """Memory of so many runs that train together, in bytes, besides that of a Python with torch."""
        ...

    def speed(self, width: int, seconds: float) -> Speed:
        """Speed of one process with the threads that this one has, from a measurement of about so many seconds."""
        ...

    # -- questions that only some can be asked -----------------------------------------------------------

    @property
    def resizable(self) -> bool:
        """Whether :meth:`resized` and :meth:`enlarged` make another size of it."""
        ...

    def resized(self, n_parameters: int) -> Trainable:
        """The same proxy with about so many parameters, by its width.

        Raises
        ------
        TrainingError: a size that no width comes near to, or that is given.
        """
        ...

    def enlarged(self, times: float) -> Trainable:
        """A wider and deeper proxy of at least ``times`` the parameters.

        Raises
        ------
        TrainingError: a size that is given.
        """
        ...

    @property
    def mixes_online(self) -> bool:
        """Whether :meth:`swarm` makes proxies whose loss can be weighed at every step (DoReMi, Online Data Mixing)."""
        ...

    def swarm(self, n_runs: int, base: Mapping[str, torch.Tensor] | None = None, seed: int = 0) -> ProxySwarm:
        """R proxies as one model, from the weights of a base or from random ones.

        Raises
        ------
        TrainingError: proxies that are no such swarm.
        """
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of proxy. make: the configuration from its fields by name."""

    name: str
    make: Callable[..., Trainable]


KINDS: Registry[Kind] = Registry("proxy kind", "causalmix_nb.proxies.kinds", TrainingError)


def as_config(values: Mapping[str, Any]) -> Trainable:
    """The configuration that ``to_dict`` wrote.

    >>> as_config({"d_model": 32}).n_parameters
    32768

    Raises
    ------
    TrainingError: a kind that is not there.
    """
    fields = dict(values)
    return KINDS.find(fields.pop("kind", USUAL)).make(**fields)
