"""A launch: the runs that are not recorded yet are handed to an executor, and what comes back is recorded.

The driver alone writes the store: each finished chunk comes back to it as one message, it commits that and only then announces it. Where
runs execute, and how they are grouped into chunks, is :mod:`causalmix_nb.launch.executor`; what trains a chunk is
:mod:`causalmix_nb.launch.chunk`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.files import checksums
from causalmix_nb.launch.executor import Executor, Work, as_executor
from causalmix_nb.proxies.config import BASE, DATA, Trainable
from causalmix_nb.proxies.scores import Score, as_score
from causalmix_nb.runs.store import Runs


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a long step stands. eta_seconds is NaN until a speed is known."""

    stage: str
    done: int
    total: int
    failed: int = 0
    tokens_per_second: float = float("nan")
    eta_seconds: float = float("nan")
    best: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a launch did: how many runs were asked for, found finished already, done and failed now."""

    requested: int
    reused: int
    done: int
    failed: int
    seconds: float
    tokens_per_second: float
    interrupted: bool = False
    failures: tuple[str, ...] = ()
    retried: int = 0  # runs that were tried again because the process that trained them died
    remark: str = ""  # how it was gone about, where that is worth saying

    def __str__(self) -> str:
        parts = [f"{self.done} runs trained in {self.seconds:.0f} s"]
        if self.done:
            parts[0] += f" ({self.tokens_per_second:,.0f} tokens/s)"
        if self.reused:
            parts.append(f"{self.reused} were there already")
        if self.retried:
            parts.append(f"{self.retried} were tried again after their process died")
        if self.failed:
            parts.append(f"{self.failed} failed ({self.failures[0]})")
        left = self.requested - self.reused - self.done - self.failed
        if self.interrupted:
            parts.append(f"interrupted with {left} to go: the same call resumes")
        if self.remark:
            parts.append(self.remark)
        return "; ".join(parts) + "."


AnyExecutor = str | Executor  # what a caller may give
OnProgress = Callable[[Progress], None]


def launch(
    folder: Path,
    jobs: Mapping[str, RunSpec],
    states: Mapping[str, Mapping[str, float]],
    runs: Runs,
    config: Trainable,
    target: Mapping[str, float] | None = None,
    *,
    executor: AnyExecutor = "local",
    workers: int | None = None,
    seed: int = 0,
    progress: OnProgress | None = None,
    stage: str = "proxy runs",
    score: str | Score | None = None,
) -> RunReport:
    """Train the runs that are not recorded as done yet, and record each as it finishes.

    Parameters
    ----------
    folder: the study's folder, with its tokenised pool and base proxy.
    jobs: key -> run to make.
    states: key -> state of the run's sub-pool, recorded with it.
    runs: the store; only this process writes it.
    executor: "local" – worker processes, one per core; "inline" – this process; "ray" or a :class:`~causalmix_nb.RayExecutor` – a cluster.
    workers: number of worker processes; without it what the executor finds best.
    progress: called after every message of a worker, in this thread.
    score: a function of a trained proxy whose results become outcomes, or its name as "module:function" (:mod:`causalmix_nb.proxies.scores`).

    Raises
    ------
    TrainingError: an unknown executor, or workers that end without a result.
    """
    executor = as_executor(executor)
    done = runs.keys("done")
    pending = {key: spec for key, spec in jobs.items() if key not in done}
    recorder = _Recorder(
        Corpus.open(folder / DATA).domains, jobs, states, runs, config, len(pending), progress, stage
    )
    setup = {
        "folder": str(folder), "config": config.to_dict(), "target": target, "seed": seed,
        "base": checksums([folder / BASE] if (folder / BASE).exists() else []),
        "score": as_score(score, executor.here),
    }  # fmt: skip
    interrupted = False
    try:
        if pending:
            executor.train(Work(pending, config, setup, workers, recorder.take))
        else:
            recorder.take({})
    except KeyboardInterrupt:
        interrupted = True
    finally:
        runs.back_up()
    return recorder.report(len(jobs), len(jobs) - len(pending), interrupted)


class _Recorder:
    """Commits results and tells how far the launch is."""

    def __init__(
        self,
        domains: Sequence[str],
        jobs: Mapping[str, RunSpec],
        states: Mapping[str, Mapping[str, float]],
        runs: Runs,
        config: Trainable,
        total: int,
        progress: OnProgress | None,
        stage: str,
    ) -> None:
        self._domains = tuple(domains)
        self._jobs, self._states, self._runs, self._config = jobs, states, runs, config
        self._total, self._progress, self._stage = total, progress, stage
        self._start, self._tokens = time.monotonic(), 0
        self._budget = sum(spec.token_budget for spec in jobs.values()) / max(1, len(jobs)) * total
        self.finished: dict[str, str | None] = {}
        self._remark, self._retried = "", 0
        self._notes: dict[str, None] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        self._tokens += message.get("tokens", 0)
        if "results" in message:
            self._runs.add([self._row(key, result) for key, result in message["results"].items()])
            self.finished.update({key: result["reason"] for key, result in message["results"].items()})
        if "note" in message:
            self._notes[message["note"]] = None
        self._remark = message.get("remark", message.get("note", self._remark))
        self._retried += message.get("retried", 0)
        if self._progress:
            seconds = time.monotonic() - self._start
            speed = self._tokens / seconds if self._tokens else float("nan")
            eta = max(0.0, self._budget - self._tokens) / speed if self._tokens else float("nan")
            failed = sum(reason is not None for reason in self.finished.values())
            self._progress(
                Progress(
                    self._stage,
                    len(self.finished) - failed,
                    self._total,
                    failed,
                    speed,
                    eta,
                    message=self._remark,
                )
            )

    def _row(self, key: str, result: Mapping[str, Any]) -> dict[str, Any]:
        spec = self._jobs[key]
        return {
            "key": key,
            "status": "failed" if result["reason"] else "done",
            "reason": result["reason"],
            "seed": spec.seed,
            "label": spec.label,
            "mixture": dict(zip(self._domains, spec.mixture)),
            "state": dict(self._states[key]),
            "scale": {"parameters": self._config.n_parameters, "tokens": spec.token_budget},
            "outcome": result["outcomes"],
        }

    def report(self, requested: int, reused: int, interrupted: bool) -> RunReport:
        seconds = time.monotonic() - self._start
        reasons = [reason for reason in self.finished.values() if reason]
        return RunReport(
            requested, reused, len(self.finished) - len(reasons), len(reasons), seconds,
            self._tokens / max(seconds, 1e-9), interrupted, tuple(dict.fromkeys(reasons)), self._retried, "; ".join(self._notes),
        )  # fmt: skip
