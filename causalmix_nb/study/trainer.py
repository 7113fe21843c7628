"""Training for a study: from a request to a design, to a launch, to the record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from causalmix_nb.design.repetition import as_target, mismatch, repetition
from causalmix_nb.design.simplex import RunSpec, design_runs
from causalmix_nb.errors import StudyError
from causalmix_nb.launch.background import Job, Standing, ask_to_stop, is_training, standing
from causalmix_nb.launch.cost import remember_speed
from causalmix_nb.launch.executor import as_executor
from causalmix_nb.launch.halving import halve, rungs
from causalmix_nb.launch.launch import AnyExecutor, OnProgress, RunReport, launch
from causalmix_nb.proxies.scores import Score, as_score
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.folder import StudyFolder
from causalmix_nb.study.meter import StateMeter
from causalmix_nb.study.request import RunRequest

if TYPE_CHECKING:
    import numpy as np


class Trains(Protocol):
    """Whatever has a trainer: a study."""

    @property
    def trainer(self) -> Trainer: ...


class Trainer:
    """Trains the proxies of a study, and nothing twice.

    files: of the study. meter: measures the states of its pool.
    locked: whether whoever made this trainer holds the study's lock, as a job in the background does.
    """

    def __init__(self, files: StudyFolder, meter: StateMeter | None = None, locked: bool = False) -> None:
        self.files, self.meter = files, meter or StateMeter(files)
        self._locked = locked
        self._asked: RunRequest | None = None

    # -- what was asked for --------------------------------------------------------------------------------

    def run(self, request: RunRequest, progress: OnProgress | None = None) -> RunReport:
        """Train what is asked for; see :meth:`causalmix_nb.study.study.Study.run`."""
        runs, specs = self.files.need_runs(), self.design(request)
        as_score(request.score, as_executor(request.executor).here)
        self._remember(request)

        def train(some: Sequence[RunSpec], stage: str) -> RunReport:
            return self.launch(some, runs, request.executor, request.workers, progress, stage, request.score)

        if request.halving is None:
            report = train(specs, "proxy runs")
        else:
            context = self.context
            report = halve(
                specs,
                request.halving,
                self.step,
                runs,
                lambda spec: spec.key(context),
                train,
                runs.outcome_names[0],  # the mean over the target's domains
                self.files.seed,
            )
        if request.score is not None:
            runs.declare_scores()
        if unmet := mismatch(self.files.need_corpus(), specs):
            report = replace(report, remark="; ".join(filter(None, (report.remark, unmet))))
        return report

    def start(self, request: RunRequest) -> Job:
        """:meth:`run` in the background; see :meth:`causalmix_nb.study.study.Study.start`."""
        path = self.files.need_path()
        request = replace(request, score=as_score(request.score, as_executor(request.executor).here))
        self.design(request)  # what is wrong with it is said now
        files = self.files.for_job()
        other = Trainer(files, self.meter.for_job(files), locked=True)
        job = Job(path, lambda progress: other.run(request, progress), request.n_runs)
        self._remember(request)
        return job.begin()

    def standing(self) -> Standing:
        """How training in the background stands, also that of another session.

        Raises
        ------
        StudyError: there was none.
        """
        found = standing(self.files.path) if self.files.path else None
        if found is None:
            raise StudyError("no proxies were trained in the background here; %causalmix run trains some.")
        return found

    def stop(self) -> None:
        """Ask whoever trains this study, here or elsewhere, to stop; finished runs stay.

        Raises
        ------
        StudyError: nobody does.
        """
        if self.files.path is None or not is_training(self.files.path):
            raise StudyError("no proxies are training in this study; there is nothing to stop.")
        ask_to_stop(self.files.path)

    @property
    def request(self) -> RunRequest | None:
        """What training was asked for last, here or in another session; None where nobody knows."""
        known = self.files.meta.get("request")
        if self._asked is not None or not known:
            return self._asked
        try:
            return RunRequest.from_dict(known)
        except StudyError:  # its score is gone; all else is known
            return RunRequest.from_dict({**known, "score": None})

    def unfinished(self) -> dict[str, Any]:
        """The arguments with which training goes on: of this session, else of the one that asked last.

        Raises
        ------
        StudyError: runs scored by a function of another session.
        """
        if self._asked is not None:
            return self._asked.arguments
        path = self.files.need_path()
        found, fresh = standing(path), StudyFolder.open(path)  # another process may have asked since
        fresh.need_runs().close()
        asked = {"n_runs": found.asked} if found and found.asked else {}
        if "request" in fresh.meta:
            return {**RunRequest.from_dict(fresh.meta["request"]).arguments, **asked}
        # of a version before
        return {"token_budget": fresh.token_budget, **fresh.meta.get("options", {}), **asked}

    def _remember(self, request: RunRequest) -> None:
        """Note what is asked for: the budget for later questions, all of it to go on with."""
        self._asked = request
        self.files.note(
            token_budget=request.token_budget,
            target_tokens=as_target(request.target_tokens, request.token_budget),
            request=request.to_dict(),
        )

    # -- design --------------------------------------------------------------------------------------------

    def design(self, request: RunRequest) -> list[RunSpec]:
        """The runs that a request asks for, at its full budget; a TrainingError for what cannot be made."""
        budget = request.token_budget
        if request.halving is not None:
            rungs(budget, request.halving, self.step)  # refuses what cannot be halved
        available = self.files.available() if request.states else None
        design = design_runs(
            self.files.domains, request.n_runs, budget, self.files.seed, request.states, available
        )
        target = as_target(request.target_tokens, budget)
        return [replace(spec, target_tokens=target) for spec in design] if target else design

    @property
    def step(self) -> int:
        """Tokens of a training step, which a rung of halving is a multiple of."""
        return self.files.config.batch * self.files.config.context

    @property
    def context(self) -> str:
        """What decides a run besides its own specification; keys of runs made before covariates had a
        definition stay what they were.
        """
        meta, covariates = self.files.meta, self.meter.covariates
        content = [meta["fingerprint"], meta["config"], meta["target"], meta["seed"]]
        return json.dumps(content + ([covariates] if covariates else []), sort_keys=True)

    # -- launch and record ---------------------------------------------------------------------------------

    def outcomes(
        self,
        specs: Sequence[RunSpec],
        store: str,
        outcome: str,
        stage: str,
        executor: AnyExecutor = "local",
        workers: int | None = None,
        progress: OnProgress | None = None,
    ) -> np.ndarray:
        """Outcome (n,) of n runs kept beside the designed ones, each trained once; NaN where one failed.

        store: name of the file in the study's folder. stage: what they are for, in words.

        Raises
        ------
        StudyError: an interrupt; the same call then goes on.
        """
        with self.files.store(store) as kept:
            report = self.launch(specs, kept, executor, workers, progress, stage)
            if report.interrupted:
                raise StudyError(f"interrupted ({stage}); the same call goes on where it was.")
            found = kept.frame.set_index("key")[f"outcome.{outcome}"]
        context = self.context
        return found.reindex([spec.key(context) for spec in specs]).to_numpy(dtype=float)

    def launch(
        self,
        specs: Sequence[RunSpec],
        store: Runs,
        executor: AnyExecutor = "local",
        workers: int | None = None,
        progress: OnProgress | None = None,
        stage: str = "proxy runs",
        score: str | Score | None = None,
    ) -> RunReport:
        """Train the runs that a store lacks and record them there, under the lock of the study."""
        with nullcontext() if self._locked else self.files.lock():
            return self._launch(specs, store, executor, workers, progress, stage, score)

    def _launch(
        self,
        specs: Sequence[RunSpec],
        store: Runs,
        executor: AnyExecutor,
        workers: int | None,
        progress: OnProgress | None,
        stage: str,
        score: str | Score | None,
    ) -> RunReport:
        files, context = self.files, self.context
        corpus, path, config = files.need_corpus(), files.need_path(), files.config
        corpus.check()
        self._keep_covariates(store)
        jobs = {spec.key(context): spec for spec in specs}
        done = store.keys("done")  # their states are recorded with them
        try:
            states = self.meter.of_runs({k: spec for k, spec in jobs.items() if k not in done}, progress)
        except KeyboardInterrupt:
            return RunReport(len(jobs), 0, 0, 0, 0.0, 0.0, interrupted=True)
        report = launch(
            path,
            jobs,
            states,
            store,
            config,
            files.target,
            executor=executor,
            workers=workers,
            seed=files.seed,
            progress=progress,
            stage=stage,
            score=score,
        )
        new = store.keys("done") - store.described().keys()
        store.describe({key: repetition(corpus, spec) for key, spec in jobs.items() if key in new})
        place = as_executor(executor)
        if not place.remark:  # the speed of a cluster says nothing about this machine
            n_workers = place.workers(len(jobs) - report.reused, workers, config)
            remember_speed(path, config, len(corpus.domains), report, n_workers)
        return report

    def _keep_covariates(self, store: Runs) -> None:
        """Note what the states of the designed runs are; another kind must not be mixed with it, nor finished
        runs trained again unasked.

        Raises
        ------
        StudyError: the store holds states of another scorer or definition.
        """
        if store is not self.files.runs:
            return
        before, now = self.files.meta.get("covariates"), self.meter.covariates
        done = len(store.keys("done"))
        if before != now and done:
            usual = "the study's own scorer"
            raise StudyError(
                f"the {done} finished runs of this study have states of another kind: "
                f"{before or usual} then, {now or usual} now; "
                "set study.scorer to the one of before, or create another study."
            )
        self.files.note(covariates=now)
