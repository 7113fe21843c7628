"""Who measures the state of a study's pool: a scorer of the user's, or the base that its runs start from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from causalmix_nb.data.pool import Perturbation
from causalmix_nb.launch.launch import OnProgress, Progress
from causalmix_nb.proxies.config import BASE, OnTokens
from causalmix_nb.proxies.state import (
    DEFINITION,
    FIRST_DEFINITION,
    Scorer,
    flatten_state,
    identity_of,
    measure_state,
    measured_as,
    read_measured,
    release,
    write_measured,
)
from causalmix_nb.runs.covariates import todays_state
from causalmix_nb.study.folder import Perturbations, StudyFolder

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.design.simplex import RunSpec

MEASURED = "measured.json"  # what a scorer that takes long has measured of the pool


class StateMeter:
    """Measures states of a study's pool, each once.

    scorer: what measures; None until the user sets one or one is needed, which is then the study's own.
    measured: what was measured before, to be shared with another meter.
    """

    def __init__(
        self, files: StudyFolder, scorer: Scorer | None = None, measured: dict | None = None
    ) -> None:
        self.files, self.scorer = files, scorer
        self._own: Scorer | None = None  # the one that was made here, of the base or the checkpoint
        self._measured = {} if measured is None else measured

    def for_job(self, files: StudyFolder) -> StateMeter:
        """The same for a thread that trains with files of its own; what one measures, both know."""
        return StateMeter(files, self.given, self._measured)

    @property
    def given(self) -> Scorer | None:
        """The scorer that the user has set, if it is not the study's own."""
        return None if self.scorer is self._own else self.scorer

    @property
    def covariates(self) -> str | None:
        """What the states of runs are, where they are not what the first stores hold: another definition, or
        another scorer.
        """
        scorer = "" if self.given is None else f"scored by {identity_of(self.given)}"
        return "; ".join(filter(None, (DEFINITION if DEFINITION != FIRST_DEFINITION else "", scorer))) or None

    @property
    def has_base(self) -> bool:
        """Whether what runs start from is there, so that a state can be measured without training."""
        if self.files.path is None:
            return False
        return (self.files.path / BASE).exists() or not self.files.config.trains_scorer

    @property
    def knows_state(self) -> bool:
        """Whether the pool's own state is known at once: trained is the base, measured what takes long."""
        if not self.has_base:
            return False
        return not self.files.config.measures_slowly or not self.unmeasured(
            (name, Perturbation()) for name in self.files.domains
        )

    def unmeasured(self, domains: Iterable[tuple[str, Perturbation]]) -> int:
        """How many of these domains, as they are perturbed, are still to be measured."""
        wanted = set(domains)
        if not self.has_base and self.scorer is None:  # without a base nothing was measured yet
            return len(wanted)
        scorer = self.open()  # knows what was measured before, and loads nothing
        return sum(measured_as(*one, self.files.seed, scorer) not in self._measured for one in wanted)

    def open(self, progress: OnProgress | None = None) -> Scorer:
        """What measures: the scorer that was given, or the study's own, whose base is trained if need be."""
        if self.scorer is None:
            self.train_base(progress)
            config = self.files.config
            self.scorer = self._own = config.scorer(self.files.need_path(), self.files.seed)
            if config.measures_slowly:
                kept = read_measured(self.files.need_path() / MEASURED, self.scorer)
                self._measured.update({key: todays_state(values) for key, values in kept.items()})
        return self.scorer

    def train_base(self, progress: OnProgress | None = None) -> None:
        """Train what runs start from into the folder, if it is not there yet."""
        config = self.files.config
        config.train_base(
            self.files.need_path(),
            self.files.need_corpus(),
            self.files.seed,
            _counted(config.base_tokens, progress),
        )

    def measure(self, perturbation: Perturbations | None = None) -> pd.DataFrame:
        """State of a sub-pool before mixing, DataFrame domain × covariate."""
        corpus, perturbation = self.files.need_corpus(), self.files.checked(perturbation)
        return measure_state(corpus, self.open(), perturbation, self.files.seed, self._measured)

    def flat_state(self, perturbation: Perturbations | None) -> pd.Series | None:
        """State of a sub-pool as a fit takes it, ``<domain>.<covariate>`` -> value; None without a perturbation."""
        import pandas as pd

        return pd.Series(flatten_state(self.measure(perturbation))) if perturbation else None

    def of_runs(
        self, jobs: Mapping[str, RunSpec], progress: OnProgress | None = None
    ) -> dict[str, dict[str, float]]:
        """States of the sub-pools of runs, key -> ``<domain>.<covariate>`` -> value; afterwards the base is
        there, whoever measured.
        """
        scorer, found = self.open(progress), {}
        if self.given is not None and not self.has_base:
            self.train_base(progress)
        for i, (key, spec) in enumerate(jobs.items()):
            found[key] = flatten_state(self.measure(spec.perturbations))
            if progress:
                progress(Progress("state of the sub-pools", i + 1, len(jobs)))
        release(scorer)  # the runs need the memory
        if scorer is self._own and self.files.config.measures_slowly:
            write_measured(self.files.need_path() / MEASURED, self._measured)
        return found


def _counted(total: int, progress: OnProgress | None) -> OnTokens:
    """Tells how far the training of a base is."""
    start, done = time.monotonic(), 0

    def on_tokens(tokens: int) -> None:
        nonlocal done
        done += tokens
        if progress:
            speed = done / (time.monotonic() - start)
            progress(Progress("base proxy", done, total, 0, speed, max(0, total - done) / speed))

    return on_tokens
