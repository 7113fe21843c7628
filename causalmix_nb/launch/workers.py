"""Worker processes on this machine: each trains one chunk of runs after the other and sends messages back as lines of JSON.

Workers live in their own session, so that an interrupt of the notebook does not hit them half-way; they end when the driver closes their
input, also when it was killed. A worker never touches the store.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import TrainingError
from causalmix_nb.launch.chunk import Chunks, Message, Take, attempt_all
from causalmix_nb.machine import tuned_allocator

EARLY = 3  # workers in a row that may end before they can train, before the launch gives up


def run_in_workers(
    setup: Mapping[str, Any],
    chunks: Chunks,
    jobs: Mapping[str, RunSpec],
    take: Take,
    n_workers: int,
    threads: int,
) -> None:
    """Train chunks in at most ``n_workers`` processes; one that dies is replaced, and its chunk is decided about by ``chunks``.

    Raises
    ------
    TrainingError: workers that end again and again before they have begun.
    """
    inbox: queue.Queue[tuple[int, Message | None]] = queue.Queue()
    workers: dict[int, _Worker] = {}
    numbers = itertools.count()
    early = 0  # workers in a row that ended before they could train
    try:
        while chunks or any(worker.keys for worker in workers.values()):
            for worker in workers.values():
                if chunks and not worker.keys:
                    worker.send(chunks.next(), jobs)
            while chunks and len(workers) < n_workers:
                i = next(numbers)
                workers[i] = _Worker(i, start_worker(setup, threads), inbox)
                workers[i].send(chunks.next(), jobs)
            try:
                i, message = inbox.get(timeout=0.5)
            except queue.Empty:
                take({})  # whoever watches may want to stop
                continue
            worker = workers[i]
            if message is None:
                reason = workers.pop(i).last_words()
                if worker.ready and worker.keys:
                    take(chunks.lost(worker.keys, reason))
                elif worker.keys:
                    early += 1
                    if early > EARLY:
                        raise TrainingError(
                            f"workers end before they can train ({reason}); run with --executor inline to see why."
                        )
                    chunks.put_back(worker.keys)
                continue
            if "ready" in message:
                worker.ready, early = True, 0
                continue
            if "too_large" in message:
                message = chunks.lost(worker.keys, message["too_large"], too_large=True)
                worker.keys = []
            elif "apart" in message:
                message = chunks.apart(worker.keys, message["apart"])
                worker.keys = []
            elif "results" in message:
                worker.keys = []
            take(message)
    finally:
        for worker in workers.values():
            worker.end()


class _Worker:
    """The driver's end of one worker process: what it trains, whether it has begun, its last lines on stderr."""

    def __init__(self, i: int, process: subprocess.Popen, inbox: queue.Queue) -> None:
        self.process, self.keys, self.ready = process, list[str](), False
        self._tail: list[str] = []
        self._drain = threading.Thread(target=self._read_errors, daemon=True)
        self._drain.start()
        threading.Thread(target=self._listen, args=(i, inbox), daemon=True).start()

    def send(self, keys: list[str], jobs: Mapping[str, RunSpec]) -> None:
        self.keys = keys
        _write(self.process, {"runs": {key: jobs[key].to_dict() for key in keys}})

    def _listen(self, i: int, inbox: queue.Queue) -> None:
        with contextlib.suppress(
            ValueError
        ):  # half a line of a worker that was killed, or closed while the launch ends
            for line in self.process.stdout:  # type: ignore[union-attr]
                inbox.put((i, json.loads(line)))
        inbox.put((i, None))

    def _read_errors(self) -> None:
        with contextlib.suppress(ValueError):
            for line in self.process.stderr:  # type: ignore[union-attr]
                self._tail[:] = [*self._tail[-20:], line.rstrip()]

    def last_words(self) -> str:
        """Why the process ended, as far as can be told."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self._drain.join(1)
        code = self.process.returncode
        last = next((line for line in reversed(self._tail) if line.strip()), "it said nothing")
        self.end()
        if code is None or code >= 0:
            return f"the worker ended: {last}"
        name = signal.Signals(-code).name
        return f"the worker was killed ({name}){', perhaps for lack of memory' if name == 'SIGKILL' else ''}"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]


def start_worker(setup: Mapping[str, Any], threads: int) -> subprocess.Popen:
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        **tuned_allocator(),
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "causalmix_nb.launch.workers"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    _write(worker, {"setup": dict(setup), "threads": threads})
    return worker


def _write(worker: subprocess.Popen, message: Message) -> None:
    with contextlib.suppress(BrokenPipeError):  # the listener reports the end of a worker
        worker.stdin.write(json.dumps(message) + "\n")  # type: ignore[union-attr]
        worker.stdin.flush()  # type: ignore[union-attr]


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
    importlib.import_module("accelerate")  # what takes time comes before the worker says that it is ready

    def send(message: Message) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    cache: dict[str, Any] = {}
    send({"ready": True})
    while True:
        jobs = {key: RunSpec.from_dict(spec) for key, spec in json.loads(lines.get())["runs"].items()}
        send(attempt_all(first["setup"], jobs, cache, lambda tokens: send({"tokens": tokens})))


if __name__ == "__main__":
    _worker_main()
