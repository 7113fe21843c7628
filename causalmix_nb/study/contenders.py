"""Baselines of a study, and what trains for those that cost training of their own.

Their runs go into a store of their own. They are made on the pool as it is, whatever became of it later: what
was found there does not adapt, which is what a comparison on a changed pool is to show. The functions are
methods of :class:`causalmix_nb.study.study.Study`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from causalmix_nb.decide.baselines import online as _online
from causalmix_nb.decide.baselines import searched
from causalmix_nb.decide.baselines.baseline import Case, Proxy, baseline_mixture
from causalmix_nb.decide.search import Search
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import StudyError
from causalmix_nb.launch.launch import AnyExecutor, OnProgress
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.config import BASE
from causalmix_nb.proxies.online import OnlineMixture
from causalmix_nb.proxies.outcomes import outcome_directions, target_weights
from causalmix_nb.proxies.swarm import load_weights
from causalmix_nb.study.trainer import Trainer, Trains

SEARCHED = "searched.sqlite"
SEED = 2_000_003  # of the first training of a search


class StudyLab:
    """A :class:`causalmix_nb.decide.baselines.baseline.Lab` that trains through a study.

    executor, workers: where runs train; progress: is told how far they are.
    """

    def __init__(
        self,
        trainer: Trainer,
        executor: AnyExecutor = "local",
        workers: int | None = None,
        progress: OnProgress | None = None,
    ) -> None:
        self._trainer, self._files = trainer, trainer.files
        self._where = (executor, workers, progress)
        self._made: Counter[str] = Counter()

    @property
    def domains(self) -> tuple[str, ...]:
        return self._files.need_corpus().domains

    @property
    def seed(self) -> int:
        return self._files.seed

    def lower(self, outcome: str) -> bool:
        """Whether less of an outcome is better; a StudyError for an unknown one."""
        return self._files.lower(outcome)

    def outcomes(self, mixtures: np.ndarray, outcome: str, purpose: str) -> np.ndarray:
        """Outcomes (n,) of runs on mixtures (n, K); each run for a purpose has a seed of its own, the same
        when it is asked for again.
        """
        budget, seed, made = self._files.token_budget, self.seed, self._made[purpose]
        specs = [
            RunSpec(tuple(row), budget, {}, seed, SEED + seed + made + i, f"search:{purpose}")
            for i, row in enumerate(mixtures.tolist())
        ]
        self._made[purpose] += len(specs)
        return self._trainer.outcomes(specs, SEARCHED, outcome, f"search by {purpose}", *self._where)

    def proxy(self) -> Proxy:
        """A proxy that continues from the study's base; a StudyError for a kind that does not train so."""
        files, (_, _, progress) = self._files, self._where
        if not files.config.mixes_online:
            raise StudyError(
                "doremi and odm train the built-in proxy only; compare with grid or bayes, "
                "or create a study without model."
            )
        self._trainer.meter.train_base(progress)
        weights = load_weights(files.need_path() / BASE)
        return Proxy(files.need_corpus(), files.config, weights, files.token_budget)


def search(
    study: Trains,
    method: str = "bayes",
    n_runs: int = searched.RUNS,
    outcome: str | None = None,
    progress: OnProgress | None = None,
    executor: AnyExecutor = "local",
    workers: int | None = None,
    **options: Any,
) -> Search:
    """Look for the best mixture by training: ``"bayes"`` or ``"grid"``, ``n_runs`` runs on the pool as it is.

    options: as in :func:`causalmix_nb.decide.baselines.searched.search`. Nothing is trained twice.
    """
    lab = StudyLab(study.trainer, executor, workers, progress)
    return searched.search(lab, method, _outcome(study, outcome), n_runs, **options)


def online(study: Trains, method: str = "doremi", progress: OnProgress | None = None) -> OnlineMixture:
    """The mixture of DoReMi (``"doremi"``, against a reference on the natural mixture) or Online Data Mixing
    (``"odm"``).
    """
    return _online.online(StudyLab(study.trainer, progress=progress), method)


def baseline(
    study: Trains,
    given: str | Mixture | Mapping[str, float],
    outcome: str | None = None,
    progress: OnProgress | None = None,
    executor: AnyExecutor = "local",
    workers: int | None = None,
) -> Mixture:
    """A baseline by name, or a mixture of your own; some names train runs of their own for it."""
    files, lab = study.trainer.files, StudyLab(study.trainer, executor, workers, progress)
    weights = target_weights(files.need_corpus(), files.target)
    case = Case(files.need_runs(), _outcome(study, outcome), files.natural, weights, lab)
    return baseline_mixture(given, case)


def _outcome(study: Trains, outcome: str | None) -> str:
    """The outcome that was asked for, else the study's, else the first that the proxies measure."""
    files = study.trainer.files
    return outcome or files.outcome or next(iter(outcome_directions(files.need_corpus())))
