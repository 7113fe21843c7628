"""What a request for training would take, before anything is trained."""

from __future__ import annotations

import math
from dataclasses import replace

from causalmix_nb.data.pool import Perturbation
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.launch.cost import Cost, launch_cost, measured_speed, remembered_speed
from causalmix_nb.launch.executor import as_executor
from causalmix_nb.launch.halving import rungs, sizes
from causalmix_nb.proxies.config import Speed
from causalmix_nb.proxies.scores import as_score
from causalmix_nb.study.request import RunRequest
from causalmix_nb.study.trainer import Trainer


def forecast(trainer: Trainer, request: RunRequest) -> Cost:
    """Time, memory, disk and arithmetic that a request takes, without the runs that are there already.

    Raises
    ------
    TrainingError: what the run would refuse.
    """
    executor = as_executor(request.executor)
    files, config = trainer.files, trainer.files.config
    domains, done = files.need_corpus().domains, files.need_runs().keys("done")
    as_score(request.score, executor.here)
    asked = trainer.design(request)
    if request.halving is not None:
        asked = _rungs(asked, request.halving, trainer.step)
    context = trainer.context
    pending = [spec for spec in asked if spec.key(context) not in done]
    n_workers = executor.workers(len(pending), request.workers, config)
    width = config.width(len(pending), n_workers or 1)
    speed = remembered_speed(files.path, config, n_workers)
    if speed is None and pending:
        speed = measured_speed(config, n_workers, min(width, len(pending)))
    cost = launch_cost(
        config,
        [spec.token_budget for spec in pending],
        len(domains),
        speed or Speed(math.inf, n_workers, ""),
        workers=n_workers,
        width=width,
        finished=len(asked) - len(pending),
        base=config.has_base and not trainer.meter.has_base,
        states=trainer.meter.unmeasured(
            (name, spec.perturbations.get(name) or Perturbation()) for spec in asked for name in domains
        ),
    )
    return replace(cost, notes=(*cost.notes, executor.remark)) if executor.remark else cost


def _rungs(design: list[RunSpec], eta: int, step: int) -> list[RunSpec]:
    """Runs that halving will make: who goes on is not known yet, so the first ones stand for them on the
    higher rungs.
    """
    budgets = rungs(design[0].token_budget, eta, step)
    counts = sizes(len(design), len(budgets), eta)
    return [replace(spec, token_budget=b) for b, n in zip(budgets, counts) for spec in design[:n]]
