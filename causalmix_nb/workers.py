"""Worker processes on this machine: each trains one chunk of runs after the other and sends messages back as lines of JSON.

Workers live in their own session, so that an interrupt of the notebook does not hit them half-way; they end when the driver closes their
input, also when it was killed. A worker never touches the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from causalmix_nb.chunk import Message, Take, train_chunk
from causalmix_nb.design import RunSpec
from causalmix_nb.errors import TrainingError


def run_in_workers(
    setup: Mapping[str, Any],
    chunks: list[list[str]],
    jobs: Mapping[str, RunSpec],
    take: Take,
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
            workers[i] = start_worker(setup, threads)
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
                    _lost(take, busy.pop(i), tails[i])
                    if not busy and todo:
                        raise TrainingError(
                            f"all workers ended before their work ({_last(tails[i])}); run with --executor inline to see why."
                        )
                continue
            take(message)
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


def start_worker(setup: Mapping[str, Any], threads: int) -> subprocess.Popen:
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "causalmix_nb.workers"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    _write(worker, {"setup": dict(setup), "threads": threads})
    return worker


def _send(worker: subprocess.Popen, keys: list[str], jobs: Mapping[str, RunSpec]) -> list[str]:
    _write(worker, {"runs": {key: jobs[key].to_dict() for key in keys}})
    return keys


def _write(worker: subprocess.Popen, message: Message) -> None:
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


def _lost(take: Take, keys: list[str], tail: list[str]) -> None:
    reason = f"the worker ended: {_last(tail)}"
    take({"results": {key: {"outcomes": {}, "reason": reason} for key in keys}})


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

    def send(message: Message) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    cache: dict[str, Any] = {}
    while True:
        jobs = {key: RunSpec.from_dict(spec) for key, spec in json.loads(lines.get())["runs"].items()}
        send(train_chunk(first["setup"], jobs, cache, lambda tokens: send({"tokens": tokens})))


if __name__ == "__main__":
    _worker_main()
