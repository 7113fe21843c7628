"""The training half of a study: proxies in this process, in the background or elsewhere, and the base that they continue from.

:class:`Training` is mixed into :class:`causalmix_nb.study.study.Study`, next to :class:`causalmix_nb.study.questions.Questions`, which needs no training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.design.repetition import as_target, mismatch, repetition
from causalmix_nb.design.simplex import RunSpec, design_runs
from causalmix_nb.errors import StudyError
from causalmix_nb.launch.background import Job, standing
from causalmix_nb.launch.cost import remember_speed
from causalmix_nb.launch.halving import halve, rungs
from causalmix_nb.launch.launch import Executor, OnProgress, Progress, RunReport, launch, workers_for
from causalmix_nb.lock import lock_study, unlock_study
from causalmix_nb.proxies.config import BASE, OnTokens, Trainable
from causalmix_nb.proxies.scores import Score, as_score
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
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.request import RunRequest

if TYPE_CHECKING:
    from causalmix_nb.data.corpus import Corpus

MEASURED = "measured.json"  # what a checkpoint has measured of the pool


class Training:
    """Expects the corpus, the store and the private helpers of :class:`causalmix_nb.study.study.Study`."""

    folder: Path | None
    runs: Runs | None
    scorer: Scorer | None
    job: Job | None
    model: Any
    recommendation: Any
    comparison: Any
    _meta: dict[str, Any]
    _measured: dict
    _asked: RunRequest | None = None
    _own_scorer: Scorer | None = None  # the one that the study made, of its base or its checkpoint
    _locked = False  # whether a job holds the study's lock for us

    if TYPE_CHECKING:

        @property
        def domains(self) -> tuple[str, ...]: ...

        @property
        def seed(self) -> int: ...

        @property
        def config(self) -> Trainable: ...

        @classmethod
        def open(cls, folder: str | Path) -> Any: ...

        def available(self, tilt: Any = None) -> dict[str, int]: ...

        def _need_corpus(self) -> Corpus: ...

        def _need_folder(self) -> Path: ...

        def _need_runs(self) -> Runs: ...

        def _budget(self) -> int: ...

        def _save(self) -> None: ...

    def run(
        self,
        n_runs: int = 128,
        token_budget: int = 100_000,
        executor: Executor = "local",
        workers: int | None = None,
        states: bool = True,
        progress: OnProgress | None = None,
        halving: int | None = None,
        target_tokens: float | None = None,
        score: str | Score | None = None,
    ) -> RunReport:
        """Train proxies over mixtures and states of the pool; finished runs are never repeated.

        Parameters
        ----------
        n_runs: runs in all; asking for more later adds the difference.
        token_budget: training tokens (bytes) of each run.
        executor: "local" – worker processes; "inline" – this process; "ray" or a :class:`RayExecutor` – a Ray cluster.
        workers: number of worker processes; by default one per core.
        states: vary the pool's state between runs; False trains on the pool as it is.
        progress: called with a :class:`Progress` a few times a second.
        halving: successive halving by this number (4 is usual): all runs at a small budget, the better part again at larger ones, the best at
            ``token_budget``. A fit then uses all of them, with the scale as a covariate. See :mod:`causalmix_nb.launch.halving`.

        target_tokens: of the training that the mixture is for, counted as the runs' are: every run sees so few documents of a domain that it
            repeats them as often as that training would. See :mod:`causalmix_nb.design.repetition`.
        score: a function of a trained proxy that returns a number, or several by name, recorded as further outcomes; for workers as
            ``"module:function"``. Runs that are there already are not scored again. See :mod:`causalmix_nb.proxies.scores`.

        An interrupt (Ctrl-C) stops the workers; what has finished stays, and the same call resumes.
        """
        runs = self._need_runs()
        request = RunRequest(n_runs, token_budget, executor, workers, states, halving, target_tokens, score)
        specs = self._design(request)
        as_score(score, executor == "inline")
        self._remember(request)

        def train(some: Sequence[RunSpec], stage: str) -> RunReport:
            return self._launch(some, runs, executor, workers, progress, stage, score)

        if halving is None:
            report = train(specs, "proxy runs")
        else:
            step = self.config.batch * self.config.context
            report = halve(
                specs,
                halving,
                step,
                runs,
                lambda spec: spec.key(self._context),
                train,
                self._ranked,
                self.seed,
            )
        if score is not None:
            runs.declare_scores()
        if said := mismatch(self._need_corpus(), specs):
            report = replace(report, said="; ".join(filter(None, (report.said, said))))
        self.model = self.recommendation = self.comparison = None
        return report

    def start(
        self,
        n_runs: int = 128,
        token_budget: int = 100_000,
        executor: Executor = "local",
        workers: int | None = None,
        states: bool = True,
        halving: int | None = None,
        target_tokens: float | None = None,
        score: str | Score | None = None,
    ) -> Job:
        """:meth:`run` in the background: returns at once with a job that can be watched, stopped and waited for.

        Raises
        ------
        StudyError: this study is being trained already, here or by another process.
        """
        folder = self._need_folder()
        request = RunRequest(
            n_runs,
            token_budget,
            executor,
            workers,
            states,
            halving,
            target_tokens,
            as_score(score, executor == "inline"),
        )
        self._design(request)  # what is wrong with it is said now
        given = self._given_scorer

        def train(progress: OnProgress) -> RunReport:
            mine = type(self).open(folder)  # with a connection to the store of its own
            mine._measured, mine._locked, mine.scorer = self._measured, True, given
            return mine.run(**request.arguments, progress=progress)

        job = Job(folder, train, n_runs)
        self._asked = request
        self._remember(request)
        self.model = self.recommendation = self.comparison = None
        self.job = job.begin()
        return job

    def resume(self) -> Job:
        """Go on in the background with what :meth:`start` was asked for last, or with as many runs as were asked for by anybody."""
        if self._asked is not None:
            return self.start(**self._asked.arguments)
        folder = self._need_folder()
        found, fresh = standing(folder), type(self).open(folder)  # another process may have asked since
        meta, budget = fresh._meta, fresh._budget()
        fresh.runs.close()
        asked = {"n_runs": found.asked} if found and found.asked else {}
        if "request" in meta:
            return self.start(**{**RunRequest.from_dict(meta["request"]).arguments, **asked})
        return self.start(
            **{"token_budget": budget, **meta.get("options", {}), **asked}
        )  # of a version before

    # -- inside ------------------------------------------------------------------------------------------

    @property
    def request(self) -> RunRequest | None:
        """What training was asked for last, here or in another session; None where nobody knows."""
        if self._asked is not None:
            return self._asked
        known = self._meta.get("request")
        try:
            return RunRequest.from_dict(known) if known else None
        except StudyError:  # its score is gone; all else is known
            return RunRequest.from_dict({**known, "score": None})  # type: ignore[dict-item]

    def _remember(self, request: RunRequest) -> None:
        """Note what is asked for: the budget for later questions, all of it to go on with."""
        self._asked = request
        remembered = {
            "token_budget": request.token_budget,
            "target_tokens": as_target(request.target_tokens, request.token_budget),
            "request": request.to_dict(),
        }
        if any(self._meta.get(name) != value for name, value in remembered.items()):
            self._meta.update(remembered)
            self._save()

    def _design(self, request: RunRequest) -> list[RunSpec]:
        n_runs, budget, states = request.n_runs, request.token_budget, request.states
        if request.halving is not None:
            rungs(
                budget, request.halving, self.config.batch * self.config.context
            )  # refuses what cannot be halved
        available = self.available() if states else None
        design = design_runs(self.domains, n_runs, budget, self.seed, states, available)
        target = as_target(request.target_tokens, budget)
        return [replace(spec, target_tokens=target) for spec in design] if target else design

    @property
    def _ranked(self) -> str:
        """The outcome that halving ranks: the mean over the target's domains."""
        return self._need_runs().outcome_names[0]

    @property
    def _given_scorer(self) -> Scorer | None:
        """The scorer that the user has set, if it is not the study's own."""
        return None if self.scorer is self._own_scorer else self.scorer

    @property
    def _covariates(self) -> str | None:
        """What the states of runs are, where they are not what the first stores hold: another definition, or another scorer."""
        given = self._given_scorer
        scorer = "" if given is None else f"scored by {identity_of(given)}"
        return "; ".join(filter(None, (DEFINITION if DEFINITION != FIRST_DEFINITION else "", scorer))) or None

    @property
    def _context(self) -> str:
        """What decides a run besides its own specification; keys of runs made before covariates had a definition stay what they were."""
        meta = self._meta
        content = [meta["fingerprint"], meta["config"], meta["target"], meta["seed"]]
        return json.dumps(content + ([self._covariates] if self._covariates else []), sort_keys=True)

    def _keep_covariates(self, store: Runs) -> None:
        """Note what the states in this store are; another kind must not be mixed with it, nor finished runs trained again unasked.

        Raises
        ------
        StudyError: the store holds states of another scorer or definition.
        """
        if store is not self.runs:
            return
        before, now = self._meta.get("covariates"), self._covariates
        if before != now and store.keys("done"):
            usual = "the study's own scorer"
            raise StudyError(
                f"the {len(store.keys('done'))} finished runs of this study have states by {before or usual}, and these would have states by "
                f"{now or usual}: no fit could tell them apart. Set study.scorer to the one of before, or create a study in another folder."
            )
        if before != now:
            self._meta["covariates"] = now
            self._save()

    @property
    def _has_base(self) -> bool:
        if self.folder is None:
            return False
        return (self.folder / BASE).exists() or not self.config.trains_scorer

    def _launch(
        self,
        specs: Sequence[RunSpec],
        store: Runs,
        executor: Executor,
        workers: int | None,
        progress: OnProgress | None,
        stage: str,
        score: str | Score | None = None,
    ) -> RunReport:
        lock = None if self._locked else lock_study(self._need_folder())
        try:
            return self._launch_alone(specs, store, executor, workers, progress, stage, score)
        finally:
            unlock_study(lock)

    def _launch_alone(
        self,
        specs: Sequence[RunSpec],
        store: Runs,
        executor: Executor,
        workers: int | None,
        progress: OnProgress | None,
        stage: str,
        score: str | Score | None = None,
    ) -> RunReport:
        corpus = self._need_corpus()
        corpus.check()
        self._keep_covariates(store)
        jobs = {spec.key(self._context): spec for spec in specs}
        try:
            scorer = self._scorer(progress)
            if self._given_scorer is not None and not self._has_base:
                self._train_base(progress)  # the runs start from it, whoever measures
            states: dict[str, dict[str, float]] = {}
            done = store.keys("done")  # their states are recorded with them
            pending = {key: spec for key, spec in jobs.items() if key not in done}
            for i, (key, spec) in enumerate(pending.items()):
                states[key] = flatten_state(
                    measure_state(corpus, scorer, spec.tilts, self.seed, self._measured)
                )
                if progress:
                    progress(Progress("state of the sub-pools", i + 1, len(pending)))
        except KeyboardInterrupt:
            return RunReport(len(jobs), 0, 0, 0, 0.0, 0.0, interrupted=True)
        release(scorer)  # the runs need the memory
        if scorer is self._own_scorer and self.config.measures_slowly:
            write_measured(self._need_folder() / MEASURED, self._measured)
        report = launch(
            self._need_folder(), jobs, states, store, self.config, self._meta["target"],
            executor=executor, workers=workers, seed=self.seed, progress=progress, stage=stage, score=score,
        )  # fmt: skip
        new = store.keys("done") - store.described().keys()
        store.describe({key: repetition(corpus, spec) for key, spec in jobs.items() if key in new})
        if executor in ("inline", "local"):  # the speed of a cluster says nothing about this machine
            n_left = len(jobs) - report.reused
            n_workers = 0 if executor == "inline" else workers_for(n_left, workers, self.config)
            remember_speed(self._need_folder(), self.config, len(corpus.domains), report, n_workers)
        return report

    @property
    def _knows_state(self) -> bool:
        """Whether the pool's own state can be told at once: by a base that is trained, or because a checkpoint has measured it."""
        if not self._has_base:
            return False
        if not self.config.measures_slowly:
            return True
        scorer = self._scorer()  # knows what was measured before, and loads nothing
        return all(measured_as(name, None, self.seed, scorer) in self._measured for name in self.domains)

    def _scorer(self, progress: OnProgress | None = None) -> Scorer:
        """The scorer of the state: the one given, or the base proxy, trained now if it is not there yet."""
        if self.scorer is None:
            self.scorer = self._own_scorer = self._train_base(progress)
            if self.config.measures_slowly:
                self._measured.update(read_measured(self._need_folder() / MEASURED, self.scorer))
        return self.scorer

    def _train_base(self, progress: OnProgress | None = None) -> Scorer:
        """The base that runs start from, trained now if it is not there yet, as a scorer."""
        folder, config = self._need_folder(), self.config
        told = _base_progress(config.base_tokens, progress)
        config.train_base(folder, self._need_corpus(), self.seed, told)
        return config.scorer(folder, self.seed)


def _base_progress(total: int, progress: OnProgress | None) -> OnTokens:
    """Tells how far the training of a base is."""
    import time

    start, done = time.monotonic(), 0

    def on_tokens(tokens: int) -> None:
        nonlocal done
        done += tokens
        if progress:
            speed = done / (time.monotonic() - start)
            progress(Progress("base proxy", done, total, 0, speed, max(0, total - done) / speed))

    return on_tokens
