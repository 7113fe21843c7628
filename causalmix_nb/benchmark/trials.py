"""Training at a changed pool: the outcome of any mixture at any shift with any seed, each trained once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causalmix_nb.benchmark.rivals import as_row
from causalmix_nb.benchmark.shifts import LARGER, Shift
from causalmix_nb.benchmark.subject import Subject
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import StudyError
from causalmix_nb.launch.launch import AnyExecutor, OnProgress
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.outcomes import BPB, outcome_directions

STORE, LARGER_STUDY = "shifts.sqlite", "larger"

Row = tuple[float, ...]  # shares in the order of the domains, to four decimals


class Trials:
    """Trains for an experiment on a study. executor, workers, progress: as for ``Study.run``.

    Attributes
    ----------
    domains: of the pool. budget: training tokens of a run. outcome, minimize: what is compared, and whether
        less of it is better.
    """

    def __init__(
        self, study: Subject, executor: AnyExecutor, workers: int | None, progress: OnProgress | None
    ) -> None:
        corpus = study.files.need_corpus()
        self.study, self.domains, self.budget = study, corpus.domains, study.files.token_budget
        self.executor, self.workers, self.progress = executor, workers, progress
        self.outcome, self.minimize = BPB, outcome_directions(corpus)[BPB]
        self._larger: Subject | None = None

    def row(self, shares: Sequence[float] | np.ndarray) -> Row:
        """Shares (K,) as they are trained."""
        return as_row(Mixture(dict(zip(self.domains, map(float, shares))), normalise=True), self.domains)

    def outcomes(
        self, specs: Sequence[RunSpec], store: str, stage: str, study: Subject | None = None
    ) -> np.ndarray:
        """Outcomes (n,) of runs of the study, or of another one; NaN where one failed."""
        trainer = (study or self.study).trainer
        return trainer.outcomes(specs, store, self.outcome, stage, self.executor, self.workers, self.progress)

    def at(self, jobs: Sequence[tuple[Shift, Row, int]], stage: str) -> np.ndarray:
        """Outcomes (n,) of (shift, mixture, seed), whatever the size of their proxies."""
        specs = [
            RunSpec(
                row,
                round(self.budget * shift.budget),
                shift.perturbations,
                self.study.files.seed,
                seed,
                stage,
            )
            for shift, row, seed in jobs
        ]
        found = np.full(len(jobs), np.nan)
        groups = {(shift.larger, spec.token_budget) for (shift, *_), spec in zip(jobs, specs)}
        for larger, budget in sorted(groups, key=lambda group: (group[0], -group[1])):
            some = [
                i
                for i, (shift, *_) in enumerate(jobs)
                if shift.larger is larger and specs[i].token_budget == budget
            ]
            study = self._with_larger_proxies() if larger else self.study
            found[some] = self.outcomes([specs[i] for i in some], STORE, stage, study)
        return found

    def _with_larger_proxies(self) -> Subject:
        if self._larger is None:
            self._larger = larger_study(self.study)
        return self._larger


def larger_study(study: Subject, times: float = LARGER) -> Subject:
    """A study of the same tokens with proxies of about ``times`` as many parameters; its base proxy is
    trained when it is needed.

    Raises
    ------
    StudyError: proxies of a given size.
    """
    config = study.files.config
    if not config.resizable:
        raise StudyError(
            "a larger proxy is made of the package's own only; "
            "leave the shift 'larger proxy' out with --shifts."
        )
    return study.with_proxies(config.enlarged(times), LARGER_STUDY)
