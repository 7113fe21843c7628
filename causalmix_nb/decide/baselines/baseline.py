"""What a baseline is: a name, and a function from what there is to a mixture.

A file of this folder that recommends mixtures registers its baselines at its end; yours may be registered from anywhere, also from a cell.
:meth:`Study.compare`, ``--help`` and Tab read :data:`BASELINES`. None of ours looks at the pool's state.

>>> def first(case):
...     return Mixture({name: float(i == 0) for i, name in enumerate(case.runs.domains)})
>>> baseline = Baseline("all_in", "everything on the first domain", first)
>>> BASELINES.register(baseline).name in BASELINES
True
>>> BASELINES.remove("all_in")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from causalmix_nb.errors import MixtureError
from causalmix_nb.mixture import Mixture
from causalmix_nb.registry import Registry
from causalmix_nb.runs.store import Runs

if TYPE_CHECKING:
    import torch

    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.proxies.config import Trainable


class Proxy(NamedTuple):
    """One proxy to train as one likes. weights: of the base that it continues from. token_budget: of a run."""

    corpus: Corpus
    config: Trainable
    weights: Mapping[str, torch.Tensor]
    token_budget: int


class Lab(Protocol):
    """Trains for a baseline, on the pool as it is, whatever became of it later."""

    @property
    def domains(self) -> tuple[str, ...]: ...

    @property
    def seed(self) -> int: ...

    def lower(self, outcome: str) -> bool:
        """Whether lower is better. Raises StudyError: an unknown outcome."""
        ...

    def outcomes(self, mixtures: np.ndarray, outcome: str, purpose: str) -> np.ndarray:
        """Outcomes (n,) of runs on mixtures (n, K), NaN where one failed; nothing is trained twice for the same purpose."""
        ...

    def proxy(self) -> Proxy:
        """A proxy that is trained in this process. Raises StudyError: of a kind that cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """What a baseline may look at.

    runs, outcome: those that are done, and what the mixture is for.
    natural: the pool's own mixture, None where no pool is known.
    weights: domain -> weight of its loss in the outcome; None: equal.
    lab: trains, None where nothing can.
    """

    runs: Runs
    outcome: str
    natural: Mixture | None = None
    weights: Mapping[str, float] | None = None
    lab: Lab | None = None

    def need_lab(self) -> Lab:
        """What trains. Raises MixtureError: nothing can."""
        if self.lab is None:
            raise MixtureError(
                "this baseline trains runs of its own, which needs a study with a pool; choose another one."
            )
        return self.lab


@dataclass(frozen=True, slots=True)
class Baseline:
    """One way to come to a mixture.

    name: as in ``%causalmix compare NAME``. summary: what it is, in a few words. recommend: a case -> the mixture.
    trains: whether it has runs of its own to be trained, so that it costs.
    """

    name: str
    summary: str
    recommend: Callable[[Case], Mixture]
    trains: bool = False


BASELINES: Registry[Baseline] = Registry("baseline", home=__package__ or "", error=MixtureError)


def baseline_mixture(given: str | Mixture | Mapping[str, float], case: Case) -> Mixture:
    """A baseline by name, or the mixture that was given.

    Raises
    ------
    MixtureError: an unknown name, or a baseline that needs what the case lacks.
    """
    if isinstance(given, str):
        return BASELINES.find(given).recommend(case)
    return given if isinstance(given, Mixture) else Mixture(given)
