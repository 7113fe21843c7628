"""Where runs execute: in this process, or in worker processes on this machine.

The driver alone writes the store: a worker sends each finished chunk back as one line of JSON, the driver commits it
and only then announces it. Workers live in their own session, so that an interrupt of the notebook does not hit them
half-way; they end when the driver closes their input, also when it was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causalmix_nb.corpus import Corpus
from causalmix_nb.design import RunSpec
from causalmix_nb.errors import TrainingError, did_you_mean
from causalmix_nb.proxy import ProxyConfig, load_weights
from causalmix_nb.runs import Runs

EXECUTORS = ("local", "inline")
WIDTH = 8  # runs that train as one swarm: measured best on two cores, and little lost when a chunk is
DATA, BASE = "data", "base.safetensors"  # where a study keeps its tokens and its base proxy


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

    def __str__(self) -> str:
        parts = [f"{self.done} runs trained in {self.seconds:.0f} s"]
        if self.done:
            parts[0] += f" ({self.tokens_per_second:,.0f} tokens/s)"
        if self.reused:
            parts.append(f"{self.reused} were there already")
        if self.failed:
            parts.append(f"{self.failed} failed ({self.failures[0]})")
        left = self.requested - self.reused - self.done - self.failed
        if self.interrupted:
            parts.append(f"interrupted with {left} to go: the same call resumes")
        return "; ".join(parts) + "."


OnProgress = Callable[[Progress], None]


def launch(
    folder: Path,
    jobs: Mapping[str, RunSpec],
    states: Mapping[str, Mapping[str, float]],
    runs: Runs,
    config: ProxyConfig,
    target: Mapping[str, float] | None = None,
    *,
    executor: str = "local",
    workers: int | None = None,
    seed: int = 0,
    progress: OnProgress | None = None,
    stage: str = "proxy runs",
) -> RunReport:
    """Train the runs that are not recorded as done yet, and record each as it finishes.

    Parameters
    ----------
    folder: the study's folder, with its tokenised pool and base proxy.
    jobs: key -> run to make.
    states: key -> state of the run's sub-pool, recorded with it.
    runs: the store; only this process writes it.
    executor: "local" – worker processes, one per core; "inline" – this process.
    workers: number of worker processes.
    progress: called after every message of a worker, in this thread.

    Raises
    ------
    TrainingError: an unknown executor, or workers that end without a result.
    """
    if executor not in EXECUTORS:
        raise TrainingError(
            f"unknown executor {executor!r}.{did_you_mean(executor, EXECUTORS)} Executors are {', '.join(EXECUTORS)}."
        )
    done = runs.keys("done")
    pending = [key for key in jobs if key not in done]
    book = _Book(
        Corpus.open(folder / DATA).domains, jobs, states, runs, config, len(pending), progress, stage
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    n_workers = max(1, min(workers or cores, -(-len(pending) // 2)))
    chunks = _chunks(pending, jobs, n_workers if executor == "local" else 1)
    interrupted = False
    setup = {"folder": str(folder), "config": config.to_dict(), "target": target, "seed": seed}
    try:
        if executor == "inline" or not chunks:
            cache: dict[str, Any] = {}
            for chunk in chunks:
                todo = {key: jobs[key] for key in chunk}
                book.take(_work(setup, todo, cache, lambda tokens: book.take({"tokens": tokens})))
        else:
            _run_workers(setup, chunks, jobs, book, n_workers, max(1, cores // n_workers))
    except KeyboardInterrupt:
        interrupted = True
    return book.report(len(jobs), len(jobs) - len(pending), interrupted)


class _Book:
    """Commits results and tells how far the launch is."""

    def __init__(
        self,
        domains: Sequence[str],
        jobs: Mapping[str, RunSpec],
        states: Mapping[str, Mapping[str, float]],
        runs: Runs,
        config: ProxyConfig,
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

    def take(self, message: Mapping[str, Any]) -> None:
        self._tokens += message.get("tokens", 0)
        if "results" in message:
            self._runs.add([self._row(key, result) for key, result in message["results"].items()])
            self.finished.update({key: result["reason"] for key, result in message["results"].items()})
        if self._progress:
            seconds = time.monotonic() - self._start
            speed = self._tokens / seconds if self._tokens else float("nan")
            eta = max(0.0, self._budget - self._tokens) / speed if self._tokens else float("nan")
            failed = sum(reason is not None for reason in self.finished.values())
            self._progress(
                Progress(self._stage, len(self.finished) - failed, self._total, failed, speed, eta)
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
            self._tokens / max(seconds, 1e-9), interrupted, tuple(dict.fromkeys(reasons)),
        )  # fmt: skip


def _chunks(pending: Sequence[str], jobs: Mapping[str, RunSpec], n_workers: int) -> list[list[str]]:
    """Groups of runs with one token budget, evenly sized so that no worker idles at the end."""
    chunks = []
    budgets = sorted({jobs[key].token_budget for key in pending})
    for budget in budgets:
        keys = [key for key in pending if jobs[key].token_budget == budget]
        n = -(-len(keys) // WIDTH)
        n = min(len(keys), -(-n // n_workers) * n_workers)
        chunks += [list(keys[i::n]) for i in range(n)]
    return chunks


def _work(
    setup: Mapping[str, Any], jobs: Mapping[str, RunSpec], cache: dict[str, Any], emit: Callable[[int], None]
) -> dict[str, Any]:
    """Train one chunk of runs and return its results as a message; ``cache`` keeps what chunks share."""
    from causalmix_nb.outcomes import Evaluator
    from causalmix_nb.train import train_runs

    folder, config = Path(setup["folder"]), ProxyConfig(**setup["config"])
    if not cache:
        corpus = Corpus.open(folder / DATA)
        cache.update(
            corpus=corpus,
            evaluate=Evaluator(corpus, config.context, setup["target"]),
            base=load_weights(folder / BASE) if config.base_tokens else None,
        )
    trained = train_runs(
        cache["corpus"], list(jobs.values()), config, cache["base"], cache["evaluate"], emit, setup["seed"]
    )
    return {
        "results": {key: {"outcomes": run.outcomes, "reason": run.reason} for key, run in zip(jobs, trained)}
    }


def _run_workers(
    setup: Mapping[str, Any],
    chunks: list[list[str]],
    jobs: Mapping[str, RunSpec],
    book: _Book,
    n_workers: int,
    threads: int,
) -> None:
    inbox: queue.Queue[tuple[int, dict | None]] = queue.Queue()
    todo = list(chunks)
    workers: dict[int, subprocess.Popen] = {}
    busy: dict[int, list[str]] = {}
    tails: dict[int, list[str]] = {}
    try:
        for i in range(min(n_workers, len(chunks))):
            workers[i] = _start_worker(setup, threads)
            tails[i] = []
            threading.Thread(target=_listen, args=(i, workers[i], inbox), daemon=True).start()
            threading.Thread(target=_drain, args=(workers[i], tails[i]), daemon=True).start()
            busy[i] = _send(workers[i], todo.pop(0), jobs)
        while busy:
            try:
                i, message = inbox.get(timeout=0.5)  # a timeout lets an interrupt through
            except queue.Empty:
                continue
            if message is None:
                if i in busy:
                    _lost(book, busy.pop(i), tails[i])
                    if not busy and todo:
                        raise TrainingError(
                            f"all workers ended before their work ({_last(tails[i])}); run with --executor inline to see why."
                        )
                continue
            book.take(message)
            if "results" in message:
                del busy[i]
                if todo:
                    busy[i] = _send(workers[i], todo.pop(0), jobs)
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
            for stream in (worker.stdin, worker.stdout, worker.stderr):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]


def _start_worker(setup: Mapping[str, Any], threads: int) -> subprocess.Popen:
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "causalmix_nb.launch"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    _write(worker, {"setup": dict(setup), "threads": threads})
    return worker


def _send(worker: subprocess.Popen, keys: list[str], jobs: Mapping[str, RunSpec]) -> list[str]:
    _write(worker, {"runs": {key: jobs[key].to_dict() for key in keys}})
    return keys


def _write(worker: subprocess.Popen, message: Mapping[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the listener reports the end of a worker
        worker.stdin.write(json.dumps(message) + "\n")  # type: ignore[union-attr]
        worker.stdin.flush()  # type: ignore[union-attr]


def _listen(i: int, worker: subprocess.Popen, inbox: queue.Queue) -> None:
    with contextlib.suppress(ValueError):  # closed while the launch ends
        for line in worker.stdout:  # type: ignore[union-attr]
            inbox.put((i, json.loads(line)))
    inbox.put((i, None))


def _drain(worker: subprocess.Popen, tail: list[str]) -> None:
    with contextlib.suppress(ValueError):
        for line in worker.stderr:  # type: ignore[union-attr]
            tail[:] = [*tail[-20:], line.rstrip()]


def _lost(book: _Book, keys: list[str], tail: list[str]) -> None:
    reason = f"the worker ended: {_last(tail)}"
    book.take({"results": {key: {"outcomes": {}, "reason": reason} for key in keys}})


def _last(tail: Sequence[str]) -> str:
    return next(
        (line for line in reversed(tail) if line.strip()), "no message; was it killed, or out of memory?"
    )


def _worker_main() -> None:
    """One worker: reads chunks from stdin, writes messages to stdout, ends with its driver."""
    import torch

    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)  # the driver is gone, or done with us

    out = sys.stdout
    sys.stdout = sys.stderr  # nothing else may write on the channel
    threading.Thread(target=read, daemon=True).start()
    first = json.loads(lines.get())
    torch.set_num_threads(first["threads"])

    def send(message: Mapping[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    cache: dict[str, Any] = {}
    while True:
        jobs = {key: RunSpec.from_dict(spec) for key, spec in json.loads(lines.get())["runs"].items()}
        send(_work(first["setup"], jobs, cache, lambda tokens: send({"tokens": tokens})))


if __name__ == "__main__":
    _worker_main()
