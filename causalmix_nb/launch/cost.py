"""What training will cost, said before it starts: time, memory and disk of a launch on this machine, or hours and money elsewhere.

Arithmetic is counted as ``6 · parameters · tokens`` (forward 2, backward 4; arXiv 2001.08361). Scoring a run is a forward pass over
the held-out windows, which for short runs is as much work as training, so both are counted. Speed is that of the study's last
launch where there was one, else it is measured here for less than a second. Memory is what the swarm holds, and what one Python with torch
takes before it holds anything.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from causalmix_nb.errors import TrainingError
from causalmix_nb.files import write_whole
from causalmix_nb.finding import Finding
from causalmix_nb.launch.pace import PROCESS
from causalmix_nb.machine import cores
from causalmix_nb.proxies.config import Speed, Trainable
from causalmix_nb.proxies.outcomes import EVAL_WINDOWS
from causalmix_nb.proxies.state import SAMPLE_BYTES

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.launch.launch import RunReport

SPEED = "speed.json"  # a note in the study's folder: how fast its last launch was
BINDER = 2e9  # bytes: mybinder.org restarts a session above this
KERNEL = 600e6  # bytes of a process that has read a pool and trained a base proxy
STARTUP = 5.0  # seconds until a worker has imported torch and read the pool
ROW = 2_000  # bytes of a run in the store
SECONDS = 0.4  # that a measurement of the speed takes


@dataclass(frozen=True, slots=True)
class Cost(Finding):
    """What a launch will take.

    n_runs: runs to train; finished: those asked for that are there already. tokens: trained in all, the base proxy included where it is
    not trained yet. flop: 6 · parameters · tokens. seconds: expected, None where nothing is left to do. memory, disk: bytes, memory of all
    processes together. speed: what the time is reckoned with. notes: what is worth knowing before it starts.
    """

    n_runs: int
    finished: int
    tokens: int
    parameters: int
    flop: float
    seconds: float
    memory: float
    disk: float
    workers: int
    speed: Speed
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"What {self.n_runs:,} runs will take"

    @property
    def fits_binder(self) -> bool:
        return self.memory <= BINDER

    @property
    def sentences(self) -> tuple[str, ...]:
        if not self.n_runs:
            return (f"nothing to train: all {self.finished:,} runs are there", *self.notes)
        where = (
            f"on {self.workers} worker{'s' if self.workers > 1 else ''}"
            if self.workers
            else "in this process"
        )
        first = (
            f"about {duration(self.seconds)} {where}; {gigabytes(self.memory)} of memory, "
            f"{self.tokens:,} tokens, {self.flop:.2g} FLOP"
        )
        sentences = [first]
        if not self.fits_binder:
            sentences.append(
                f"will not fit a Binder ({BINDER / 1e9:.0f} GB): fewer workers, or a smaller proxy, take less"
            )
        sentences.append(
            f"the time is a forecast without an interval, from {self.speed.source}: "
            f"{self.speed.tokens_per_second:,.0f} tokens/s; other work on the machine changes it"
        )
        if self.finished:
            sentences.append(f"{self.finished:,} runs are there already and are not trained again")
        return (*sentences, *self.notes)

    @property
    def table(self) -> pd.DataFrame:
        """One row per quantity, ``amount`` in words."""
        import pandas as pd

        rows = {
            "runs to train": f"{self.n_runs:,}",
            "runs there already": f"{self.finished:,}",
            "parameters of a proxy": f"{self.parameters:,}",
            "training tokens": f"{self.tokens:,}",
            "FLOP": f"{self.flop:.3g}",
            "time": f"about {duration(self.seconds)}",
            "memory": gigabytes(self.memory),
            "disk": gigabytes(self.disk),
        }
        return pd.DataFrame({"amount": pd.Series(rows)}).rename_axis("quantity")

    def __str__(self) -> str:
        line = self.sentences[0]
        if self.n_runs:
            line = f"{self.n_runs:,} runs: {line}"
        if self.n_runs and not self.fits_binder:
            line += f"; will not fit a Binder ({BINDER / 1e9:.0f} GB)"
        return line[0].upper() + line[1:] + "."


@dataclass(frozen=True, slots=True)
class TrainingCost(Finding):
    """What training costs on given hardware. flop: of all runs; device_hours: of all devices together; hours: on the clock; price:
    in the currency of the price per hour."""

    flop: float
    device_hours: float
    hours: float
    price: float
    n_runs: int
    n_devices: int

    @property
    def title(self) -> str:
        return (
            f"What {self.n_runs:,} runs cost on {self.n_devices:,} device{'s' if self.n_devices > 1 else ''}"
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        return (
            f"{self.flop:.2g} FLOP: {self.device_hours:,.4g} device-hours, {self.hours:,.3g} hours on the clock, a price of {self.price:,.0f}",
            "twice the runs, the tokens or the parameters cost twice as much; a model trained on tokens in proportion to its size costs "
            "four times as much when it is twice as large",
        )

    @property
    def table(self) -> pd.DataFrame:
        import pandas as pd

        values = {
            "FLOP": self.flop, "FLOP of a run": self.flop / self.n_runs, "device-hours": self.device_hours,
            "hours": self.hours, "price": self.price, "price of a run": self.price / self.n_runs,
        }  # fmt: skip
        return pd.DataFrame({"amount": pd.Series(values)}).rename_axis("quantity")

    def __str__(self) -> str:
        return self.sentences[0] + "."


def training_cost(
    n_parameters: float,
    tokens: float,
    n_runs: int = 1,
    peak_flops: float = 989e12,
    mfu: float = 0.3,
    n_devices: int = 1,
    price_per_hour: float = 2.5,
) -> TrainingCost:
    """What ``n_runs`` trainings cost on hardware that is not this machine.

    Parameters
    ----------
    n_parameters: of the model.
    tokens: that one run trains on, epochs counted.
    peak_flops: of one device, per second; 989e12 is an H100 in bfloat16 without sparsity.
    mfu: share of the peak that training reaches; 0.3 to 0.5 is usual, less for small models.
    n_devices: that work at the same time, on different runs or on one.
    price_per_hour: of one device.

    The cost grows in proportion to runs, parameters and tokens.

    Raises
    ------
    TrainingError: a number that is not positive, or a share of the peak above 1.

    The 512 runs of Qwen2.5-0.5B on 100 000 examples each (arXiv 2607.01104, about 5.5e20 FLOP in all). 494 million parameters are public; that
    every example counts 3 600 tokens over all epochs, and the price, are assumptions, the first chosen to meet the paper's figure:

    >>> paper = training_cost(494e6, 100_000 * 3_600, n_runs=512, mfu=0.3, n_devices=8, price_per_hour=2.5)
    >>> f"{paper.flop:.1e} FLOP, {paper.device_hours:.0f} device-hours, {paper.hours:.0f} hours on 8 devices, {paper.price:,.0f} dollars"
    '5.5e+20 FLOP, 511 device-hours, 64 hours on 8 devices, 1,279 dollars'

    The swarm of the quickstart, 128 proxies of 114 688 parameters on 100 000 tokens each, is 60 million times less:

    >>> f"{training_cost(114_688, 100_000, 128).flop:.1e} FLOP"
    '8.8e+12 FLOP'
    """
    given = {
        "n_parameters": n_parameters, "tokens": tokens, "n_runs": n_runs, "peak_flops": peak_flops, "mfu": mfu,
        "n_devices": n_devices,
    }  # fmt: skip
    for name, value in given.items():
        if not (math.isfinite(value) and value > 0):
            raise TrainingError(f"{name} is {value:g}; a cost needs a positive number there.")
    if mfu > 1:
        raise TrainingError(f"mfu is {mfu:g}; it is a share of the peak, so at most 1 (0.3 to 0.5 is usual).")
    if not price_per_hour >= 0:
        raise TrainingError(f"price_per_hour is {price_per_hour:g}; give 0 or more.")
    flop = 6.0 * n_parameters * tokens * n_runs
    hours = flop / (peak_flops * mfu) / 3600
    return TrainingCost(flop, hours, hours / n_devices, hours * price_per_hour, int(n_runs), int(n_devices))


def launch_cost(
    config: Trainable,
    budgets: Sequence[int],
    n_domains: int,
    speed: Speed,
    *,
    workers: int,
    width: int,
    finished: int = 0,
    base: bool = False,
    states: int = 0,
) -> Cost:
    """What a launch takes, from its numbers alone.

    Parameters
    ----------
    budgets: tokens of every run that is still to train.
    workers: processes besides this one; 0 trains here.
    width: runs that train as one swarm.
    base: whether the base proxy is still to be trained. states: domains of sub-pools whose state is still to be measured.
    """
    trained = sum(budgets) + (config.base_tokens if base else 0)
    work = trained + len(budgets) * scoring_tokens(config, n_domains)
    measuring = states * SAMPLE_BYTES / 3 * max(1, workers)  # by this process alone
    seconds = (work + measuring) / speed.tokens_per_second + (STARTUP if workers and budgets else 0.0)
    swarm = config.chunk_bytes(min(width, len(budgets)), max(budgets)) if budgets else 0.0
    memory = KERNEL + (workers * (PROCESS + swarm) if workers else swarm)
    disk = len(budgets) * ROW + (4 * config.n_parameters if base else 0)
    return Cost(
        len(budgets), finished, trained, config.n_parameters, 6.0 * config.n_parameters * trained, seconds, memory, disk,
        workers, speed,
    )  # fmt: skip


def scoring_tokens(config: Trainable, n_domains: int) -> float:
    """What scoring a run costs, in tokens of training: a forward pass is a third of a training step."""
    return EVAL_WINDOWS * n_domains * config.context / 3


def measured_speed(config: Trainable, workers: int, width: int, seconds: float = SECONDS) -> Speed:
    """The speed of training on this machine now, from a measurement in this process with one worker's share of the cores."""
    if config.fills_machine:
        return replace(config.speed(width, seconds), workers=workers)
    import torch

    before, n = torch.get_num_threads(), max(1, workers)
    torch.set_num_threads(max(1, cores() // n))
    try:
        one = config.speed(width, seconds)
    finally:
        torch.set_num_threads(before)
    return replace(one, tokens_per_second=one.tokens_per_second * n, workers=workers)


def remember_speed(folder: Path, config: Trainable, n_domains: int, report: RunReport, workers: int) -> None:
    """Note the speed of a launch that did enough to tell, for the next forecast."""
    work = report.tokens_per_second * report.seconds + report.done * scoring_tokens(config, n_domains)
    seconds = report.seconds - (STARTUP if workers else 0.0)
    if report.done < 4 or seconds < 2:
        return
    values = {"tokens_per_second": work / seconds, "workers": workers, "config": config.to_dict()}
    with contextlib.suppress(OSError):  # a forecast that must be measured again is no reason to fail
        write_whole(folder / SPEED, json.dumps(values), durable=False)


def remembered_speed(folder: Path | None, config: Trainable, workers: int) -> Speed | None:
    """The speed of the last launch with the same proxies; with another number of workers it is taken to be in proportion."""
    if folder is None:
        return None
    try:
        values = json.loads((folder / SPEED).read_text(encoding="utf-8"))
        speed, before = float(values["tokens_per_second"]), int(values["workers"])
        same = values["config"] == json.loads(json.dumps(config.to_dict()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not (same and math.isfinite(speed) and speed > 0):
        return None
    if before == workers:
        return Speed(speed, workers, "the study's last launch")
    at_work = min(max(1, workers), cores()) / min(max(1, before), cores())
    return Speed(speed * at_work, workers, f"the study's last launch, with {before or 'no'} workers")


def duration(seconds: float) -> str:
    """Seconds in words, to two digits at most.

    >>> duration(8.3), duration(247), duration(9000), duration(400_000)
    ('8 s', '4 min', '2.5 h', '4.6 days')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def gigabytes(count: float) -> str:
    """Bytes in words.

    >>> gigabytes(412e6), gigabytes(3.2e9), gigabytes(256_000)
    ('0.4 GB', '3.2 GB', '0.3 MB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
