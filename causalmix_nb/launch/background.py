"""Proxies that train while the notebook stays free: one job per study, on a thread that drives the worker processes.

A job belongs to the process that started it and ends with it: what has finished is in the store, and running again does the rest. Who
trains holds a lock on the study's folder and writes down how far it is, so that a second notebook can watch, or ask it to stop, and cannot
train the same study at the same time. A lock dies with its process; a note that lies there without one tells of a death.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from causalmix_nb.errors import StudyError
from causalmix_nb.files import lock_study, unlock_study, write_whole
from causalmix_nb.launch.launch import OnProgress, Progress, RunReport

NOTE, STOP = "training.json", "training.stop"
EVERY = 0.5  # seconds between two notes on disk
RUNNING, FINISHED, STOPPED, FAILED, GONE = "running", "finished", "stopped", "failed", "gone"


@dataclass(frozen=True, slots=True)
class Standing:
    """How training of a study stands: of a job of this process, or read from disk. started: seconds since the epoch."""

    status: str
    progress: Progress
    pid: int
    started: float
    remark: str = ""
    asked: int = 0  # runs in all

    def __str__(self) -> str:
        p = self.progress
        ago = f"{max(0, time.time() - self.started):.0f} s ago"
        where = f"{p.done} of {p.total} in {p.stage}" if p.total else p.stage
        words = {
            RUNNING: f"training since {ago} in process {self.pid}: {where}",
            FINISHED: self.remark or "finished",
            STOPPED: self.remark or f"stopped at {where}: %causalmix run goes on",
            FAILED: self.remark,
            GONE: f"the process that trained (pid {self.pid}) is gone, at {where}; what had finished is kept: %causalmix run goes on",
        }
        return words[self.status]


class Job:
    """One launch in the background; made by :meth:`causalmix_nb.study.study.Study.start`.

    Attributes
    ----------
    progress: the latest :class:`causalmix_nb.launch.launch.Progress`. report: the :class:`causalmix_nb.launch.launch.RunReport` when it has ended.
    status: ``running``, ``finished``, ``stopped`` or ``failed``; error: why it failed.
    """

    def __init__(self, folder: Path, train: Callable[[OnProgress], RunReport], total: int) -> None:
        self.folder, self.started, self.asked = folder, time.time(), total
        self.progress = Progress("starting", 0, total)
        self.report: RunReport | None = None
        self.error: Exception | None = None
        self._done = False
        self._lock = lock_study(folder)
        self._stop, self._over, self._noted = threading.Event(), threading.Event(), 0.0
        (folder / STOP).unlink(missing_ok=True)
        self._note()
        self._work = train
        self._thread = threading.Thread(target=self._train, name="causalmix", daemon=True)

    def begin(self) -> Job:
        self._thread.start()
        return self

    @property
    def status(self) -> str:
        if not self._done:
            return RUNNING
        if self.error is not None:
            return FAILED
        return STOPPED if self.report is not None and self.report.interrupted else FINISHED

    def standing(self) -> Standing:
        return Standing(
            self.status,
            self.progress,
            os.getpid(),
            self.started,
            str(self.error or self.report or ""),
            self.asked,
        )

    def stop(self) -> None:
        """Ask it to stop; runs in flight are lost, finished ones stay."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has ended, at most so long; whether it has."""
        return self._over.wait(seconds)

    def _train(self) -> None:
        try:
            self.report = self._work(self._take)
        except Exception as error:  # shown by whoever looks
            self.error = error
        finally:
            self._done = True
            self._note()
            unlock_study(self._lock)
            self._over.set()  # last: who waited may start the next one

    def _take(self, progress: Progress) -> None:
        self.progress = progress
        if time.monotonic() - self._noted > EVERY:
            self._note()
            if (self.folder / STOP).exists():
                self._stop.set()
        if self._stop.is_set():
            raise KeyboardInterrupt  # what a Ctrl-C does to a launch that blocks

    def _note(self) -> None:
        self._noted = time.monotonic()
        now = self.standing()
        values = {**asdict(now), "progress": {k: _plain(v) for k, v in asdict(now.progress).items()}}
        with contextlib.suppress(OSError):  # a note nobody can read is no reason to stop training
            write_whole(self.folder / NOTE, json.dumps(values), durable=False)


def standing(folder: Path) -> Standing | None:
    """How training of a study stands by what is on disk; None if it never trained in the background."""
    try:
        values = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        noted: Any = values.pop("progress")
        noted.update({name: math.nan for name in ("tokens_per_second", "eta_seconds") if noted[name] is None})
        found = Standing(**values, progress=Progress(**noted))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if found.status == RUNNING and not is_training(folder):
        return replace(found, status=GONE)
    return found


def is_training(folder: Path) -> bool:
    """Whether some process holds the lock of a study."""
    try:
        unlock_study(lock_study(folder))
    except StudyError:
        return True
    return False


def ask_to_stop(folder: Path) -> None:
    """Ask whichever process trains a study to stop."""
    with contextlib.suppress(OSError):
        (folder / STOP).touch()


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
