"""What is worth knowing about the proxies themselves: what a launch will take, and whether their ranking holds under another setting.

:class:`Planning` is mixed into :class:`causalmix_nb.study.study.Study`; it trains nothing for the study's own store.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.transfer import FEWEST, Transfer, rank_agreement, setting_name
from causalmix_nb.data.pool import Tilt
from causalmix_nb.design.simplex import RunSpec, sample_mixtures
from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.launch.cost import Cost, Speed, launch_cost, measured_speed, remembered_speed
from causalmix_nb.launch.halving import rungs, sizes
from causalmix_nb.launch.launch import Executor, known_executor, workers_for
from causalmix_nb.launch.ray_cluster import RayExecutor
from causalmix_nb.proxies.config import DATA
from causalmix_nb.proxies.outcomes import outcome_directions
from causalmix_nb.proxies.scores import as_score
from causalmix_nb.proxies.state import Scorer, measured_as
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.request import RunRequest

if TYPE_CHECKING:
    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.launch.launch import OnProgress, RunReport
    from causalmix_nb.proxies.config import Trainable
    from causalmix_nb.runs.lm_eval import AttachedScores

TRANSFERRED = "transfer"  # folder inside a study's, with one of its own for every setting of the proxy


class Planning:
    """Expects the corpus, the store and the private helpers of :class:`causalmix_nb.study.study.Study`."""

    if TYPE_CHECKING:
        folder: Path | None
        scorer: Any
        _measured: dict
        _meta: dict[str, Any]

        @property
        def _context(self) -> str: ...

        @property
        def _has_base(self) -> bool: ...

        @property
        def config(self) -> Trainable: ...

        @property
        def seed(self) -> int: ...

        def _need_corpus(self) -> Corpus: ...

        def _need_runs(self) -> Runs: ...

        def _need_folder(self) -> Path: ...

        def _budget(self) -> int: ...

        def _launch(self, *args: Any, **named: Any) -> RunReport: ...

        def _design(self, request: RunRequest) -> list[RunSpec]: ...

        def _scorer(self, progress: OnProgress | None = None) -> Scorer: ...

    def cost(
        self,
        n_runs: int = 128,
        token_budget: int = 100_000,
        executor: Executor = "local",
        workers: int | None = None,
        states: bool = True,
        halving: int | None = None,
        target_tokens: float | None = None,
        score: Any = None,
    ) -> Cost:
        """What :meth:`run` with the same arguments would take: time, memory, disk and arithmetic. It trains nothing.

        The speed is that of the study's last launch, else it is measured here, which takes less than a second.

        Raises
        ------
        TrainingError: what :meth:`run` would refuse.
        """
        executor = known_executor(executor)
        corpus, done = self._need_corpus(), self._need_runs().keys("done")
        as_score(score, executor == "inline")
        request = RunRequest(n_runs, token_budget, executor, workers, states, halving, target_tokens, score)
        asked = self._design(request)
        if halving is not None:
            asked = self._rungs(asked, halving)
        pending = [spec for spec in asked if spec.key(self._context) not in done]
        n_workers = 0 if executor == "inline" else workers_for(len(pending), workers, self.config)
        seen = {(name, spec.tilts.get(name) or Tilt()) for spec in asked for name in corpus.domains}
        if self._has_base or self.scorer is not None:  # without a base nothing was measured yet
            scorer = self._scorer()
            seen = {one for one in seen if measured_as(*one, self.seed, scorer) not in self._measured}
        speed = remembered_speed(self.folder, self.config, n_workers)
        if speed is None:
            width = min(self.config.width(len(pending), n_workers or 1), len(pending))
            speed = (
                measured_speed(self.config, n_workers, width) if pending else Speed(math.inf, n_workers, "")
            )
        cost = launch_cost(
            self.config, [spec.token_budget for spec in pending], len(corpus.domains),
            speed,
            workers=n_workers, width=self.config.width(len(pending), n_workers or 1), finished=len(asked) - len(pending),
            base=self.config.has_base and not self._has_base, states=len(seen),
        )  # fmt: skip
        if isinstance(executor, RayExecutor):
            elsewhere = (
                "time and memory are those of this machine; a Ray cluster shares the work among its places"
            )
            return replace(cost, notes=(*cost.notes, elsewhere))
        return cost

    def transfer(
        self,
        n_mixtures: int = FEWEST,
        parameters: int | None = None,
        learning_rate: float | None = None,
        token_budget: int | None = None,
        outcome: str | None = None,
        executor: Executor = "local",
        workers: int | None = None,
        progress: OnProgress | None = None,
    ) -> Transfer:
        """Do mixtures keep their order at another size or learning rate of the proxy? Trains the same ones under both, on the pool as it is.

        Parameters
        ----------
        n_mixtures: at least 16.
        parameters, learning_rate: of the other setting; four times the parameters if neither is given.
        token_budget: of each run; that of the study's runs by default.

        The runs go into folders of their own, each with its base proxy; the same call again trains nothing twice.

        Raises
        ------
        StudyError: too few mixtures, an unknown outcome, the study's own setting, proxies that are not the built-in ones, or an interrupt.
        """
        import pandas as pd

        mine = self.config
        if not mine.resizable:
            raise StudyError(
                "transfer compares settings of the built-in proxy; create a study without model=."
            )
        if n_mixtures < FEWEST:
            raise StudyError(
                f"{n_mixtures} mixtures say next to nothing about ranks; give at least {FEWEST}."
            )
        if parameters is None and learning_rate is None:
            parameters = 4 * mine.n_parameters
        other = mine.resized(parameters) if parameters is not None else mine
        other = replace(other, learning_rate=learning_rate) if learning_rate is not None else other
        if other == mine:
            raise StudyError(
                f"that is the setting of the study ({setting_name(mine)}); give other parameters or another learning rate."
            )
        directions = outcome_directions(self._need_corpus())
        wanted = outcome or next(iter(directions))
        if wanted not in directions:
            raise StudyError(
                f"unknown outcome {wanted!r}.{did_you_mean(wanted, directions)} Outcomes are {', '.join(directions)}."
            )
        mixtures = sample_mixtures(n_mixtures, len(self._need_corpus().domains), self.seed)
        budget, columns = token_budget or self._budget(), {}
        for name, config, first_seed in (("first", mine, 0), ("other", other, 1), ("first again", mine, 2)):
            specs = [
                RunSpec(tuple(row), budget, {}, self.seed, 3_000_003 + self.seed + first_seed * 10_007 + i, f"transfer:{name}")
                for i, row in enumerate(mixtures.tolist())
            ]  # fmt: skip
            columns[name] = self._elsewhere(config, specs, directions, executor, workers, progress, wanted)
        outcomes = pd.DataFrame(columns).rename_axis("mixture")
        return Transfer(
            outcomes, (setting_name(mine), setting_name(other)), (mine.n_parameters, other.n_parameters),
            (mine.learning_rate, other.learning_rate), rank_agreement(outcomes["first"], outcomes["other"], self.seed),
            rank_agreement(outcomes["first"], outcomes["first again"], self.seed), wanted, directions[wanted], budget,
        )  # fmt: skip

    def _elsewhere(
        self, config: Trainable, specs: list[RunSpec], directions: dict[str, bool], executor: Executor,
        workers: int | None, progress: OnProgress | None, outcome: str,
    ) -> list[float]:  # fmt: skip
        """Outcomes of runs under a setting that need not be the study's, from a folder inside it with the same data."""
        folder = self._need_folder() / TRANSFERRED / setting_name(config).replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / DATA).exists():
            try:
                os.symlink(os.path.relpath(self._need_folder() / DATA, folder), folder / DATA, True)
            except OSError:  # a system without links
                shutil.copytree(self._need_folder() / DATA, folder / DATA)
        store = Runs.open(folder / "runs.sqlite", create=True)
        try:
            store.declare_outcomes(directions)
            meta = {
                **self._meta,
                "config": config.to_dict(),
                "covariates": None,
            }  # scored by a base of its own
            inside = type(self)(folder, meta, self._need_corpus(), store)  # type: ignore[call-arg]
            stage = f"{setting_name(config)}: proxy runs"
            report = inside._launch(specs, store, executor, workers, progress, stage)
            if report.interrupted:
                raise StudyError("the comparison of settings was interrupted; the same call resumes it.")
            found = store.frame.set_index("key")[f"outcome.{outcome}"]
            return found.reindex([spec.key(inside._context) for spec in specs]).astype(float).tolist()
        finally:
            store.close()

    def _rungs(self, design: list[RunSpec], eta: int) -> list[RunSpec]:
        """Runs that halving will make: who goes on is not known yet, so the first ones stand for them on the higher rungs."""
        budgets = rungs(design[0].token_budget, eta, self.config.batch * self.config.context)
        counts = sizes(len(design), len(budgets), eta)
        return [replace(spec, token_budget=b) for b, n in zip(budgets, counts) for spec in design[:n]]

    def attach_lm_eval(self, path: str | Path, key: str | Mapping[str, str] | None = None) -> AttachedScores:
        """Record scores that an evaluation tool (lm_eval, OLMES, …) gave models of these runs, as further outcomes.

        path: a result file or a folder of them; key: as for :func:`causalmix_nb.runs.lm_eval.attach_lm_eval`.
        """
        return self._need_runs().attach_lm_eval(path, key)
