"""Runs in this process: for debugging, since a bug ends them with its traceback, and where one worker is enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from causalmix_nb.launch.chunk import attempt
from causalmix_nb.launch.executor import EXECUTORS, Work
from causalmix_nb.proxies.config import Trainable


@dataclass(frozen=True, slots=True)
class Inline:
    """Train in the process that asks; the cell is busy until all runs are done."""

    name = "inline"
    here = True
    remark = ""
    code = "'inline'"
    options = ()

    def workers(self, n_runs: int, asked: int | None, config: Trainable) -> int:
        return 0

    def train(self, work: Work) -> None:
        cache: dict[str, Any] = {}
        chunks, setup = work.chunks(1, work.config.width(len(work.jobs))), work.setup_for(1)
        while chunks:
            keys = chunks.next()
            message = attempt(
                setup,
                {key: work.jobs[key] for key in keys},
                cache,
                lambda tokens: work.take({"tokens": tokens}),
            )
            if "too_large" in message:
                message = chunks.lost(keys, message["too_large"], too_large=True)
            elif "apart" in message:
                message = chunks.apart(keys, message["apart"])
            work.take(message)


EXECUTORS.register(Inline())
