"""Runs in worker processes of this machine, as many and as wide as it trains fastest: for daily use."""

from __future__ import annotations

from dataclasses import dataclass

from causalmix_nb.launch.executor import EXECUTORS, Work, workers_here
from causalmix_nb.launch.pace import Pace, pace_for
from causalmix_nb.launch.workers import run_in_workers
from causalmix_nb.machine import cores
from causalmix_nb.proxies.config import Trainable


@dataclass(frozen=True, slots=True)
class Local:
    """Train in worker processes; their number and the width of a swarm are what :func:`causalmix_nb.launch.pace.pace_for` finds."""

    name = "local"
    here = False
    remark = ""
    code = "'local'"
    options = ()

    def workers(self, n_runs: int, asked: int | None, config: Trainable) -> int:
        return workers_here(n_runs, asked, config)

    def train(self, work: Work) -> None:
        config, n = work.config, self.workers(len(work.jobs), work.workers, work.config)
        if config.fills_machine:
            pace = Pace(n, max(1, cores() // n), config.width(len(work.jobs), n))
        else:
            pace = pace_for(work.folder, config, work.budgets, work.workers)
        chunks = work.chunks(pace.workers, pace.width)
        run_in_workers(work.setup_for(n), chunks, work.jobs, work.take, pace.workers, pace.threads)


EXECUTORS.register(Local())
