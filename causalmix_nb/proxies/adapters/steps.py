"""Training R adapters at once: AdamW with a schedule, a clip and an end of its own for every run, without a word from the device to the host.

A step is split into parts of few windows a run, so that activations fit; gradients add up. Whether a run's gradient is finite is noted on the
device: a run that diverged stands still from that step on and is dropped when the host next looks. Runs that are done leave as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.schedule import schedule

if TYPE_CHECKING:
    import torch

    from causalmix_nb.proxies.adapters.adapter_swarm import AdapterSwarm

LOOK_EVERY = 64  # steps between two looks of the host at which runs have diverged
BETAS, EPS = (0.9, 0.95), 1e-8
MEASURED = (3, 6)  # steps between which the speed is measured
COMPILE_SECONDS = 15.0  # that a new number of runs costs where blocks are compiled
HELD = 128  # windows of a run that are read at once
ROWS = 2**26  # numbers of the adapters that AdamW works on together where nothing fuses its steps


class Windows(Protocol):
    """The training data of a run, as :class:`causalmix_nb.data.windows.RunWindows` hands them out."""

    def __len__(self) -> int: ...

    def blocks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]: ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """How runs are trained. per_step: windows a run and step; at_once: windows of a run that are in the device's memory together."""

    per_step: int
    at_once: int
    context: int
    warmup: float = 0.05
    clip: float = 1.0
    weight_decay: float = 0.0


class AdamW:
    """AdamW (arXiv 1711.05101) on rows of adapters: a learning rate and a clip a run, and runs that stand still.

    Parameters
    ----------
    swarm: whose adapters it changes.
    rates: (steps, R) learning rates; 0 from the step on at which a run is done.
    """

    def __init__(self, swarm: AdapterSwarm, rates: np.ndarray, clip: float, weight_decay: float) -> None:
        import torch

        device = swarm.device
        self.swarm, self.clip, self.weight_decay, self.taken = swarm, clip, weight_decay, 0
        self.mean, self.square = torch.zeros_like(swarm.flat), torch.zeros_like(swarm.flat)
        self.rates = torch.as_tensor(rates, dtype=torch.float32, device=device)  # (steps, R)
        steps = np.arange(1, len(rates) + 1)
        unbias = np.stack([1 - BETAS[0] ** steps, np.sqrt(1 - BETAS[1] ** steps)], 1)
        self.unbias = torch.as_tensor(unbias, dtype=torch.float32, device=device)  # (steps, 2)
        self.diverged = torch.zeros(
            swarm.n_runs, dtype=torch.long, device=device
        )  # the step, counted from 1; 0: none
        self.norms = torch.zeros(swarm.n_runs, device=device)

    def step(self, fused: bool = False) -> None:
        """One step with the gradients that lie there, which are 0 afterwards."""
        import torch

        gradient, step = self.swarm.gradients(), self.taken
        self.taken += 1
        norms = torch.linalg.vector_norm(gradient, dim=1)  # (R,)
        fine = torch.isfinite(norms) & (self.diverged == 0)
        first = ~torch.isfinite(norms) & (self.diverged == 0)
        self.diverged += first * self.taken
        self.norms = norms
        factor = torch.clamp(self.clip / (norms + 1e-6), max=1.0)
        update = _update(fused)
        n_rows = len(gradient) if fused else max(1, ROWS // gradient.shape[1])
        for rows in torch.arange(len(gradient)).split(n_rows):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            update(
                self.swarm.flat[part], gradient[part], self.mean[part], self.square[part],
                self.rates[step][part, None], factor[part, None], fine[part, None], self.unbias[step], self.weight_decay,
            )  # fmt: skip
        gradient.zero_()

    def keep(self, rows: Sequence[int], flat: torch.Tensor) -> None:
        """Go on with some of the runs; flat: their adapters."""
        import torch

        at = torch.as_tensor(list(rows), device=flat.device)
        self.mean, self.square = self.mean[at], self.square[at]
        self.rates, self.diverged = self.rates[:, at].contiguous(), self.diverged[at]


@lru_cache(maxsize=2)
def _update(fused: bool) -> Callable:
    import torch

    def update(p, g, mean, square, rate, factor, fine, unbias, decay):  # type: ignore[no-untyped-def]
        """In place; p, g, mean, square (r, P), rate, factor, fine (r, 1), unbias (2,)."""
        with torch.no_grad():
            g = torch.where(fine, g * factor, 0.0)
            rate = torch.where(fine, rate, 0.0)
            mean.lerp_(g, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
            p.mul_(1 - rate * decay)
            p.sub_(mean / (square.sqrt() / unbias[1] + EPS) * (rate / unbias[0]))

    return torch.compile(update, dynamic=False) if fused else update


def fit_adapters(
    swarm: AdapterSwarm,
    data: Sequence[Windows],
    learning_rates: Sequence[float],
    recipe: Recipe,
    on_tokens: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
    compile_after: float | None = None,
) -> list[str | None]:
    """Train R runs, each on its own windows; afterwards the swarm holds the R trained adapters.

    Parameters
    ----------
    swarm: R adapters where the runs start.
    data: R; their lengths may differ.
    learning_rates: R peaks.
    recipe: how.
    on_tokens: called with the tokens trained on since the last call, over all runs.
    say: called with what is worth saying (a compiler that failed).
    compile_after: seconds that the steps to come must still take, on a GPU, for the blocks to be compiled; None never does it.

    Returns
    -------
    R reasons why a run broke off, None where it did not.
    """
    import torch

    R, steps = swarm.n_runs, [len(run) // recipe.per_step for run in data]
    if not len(data) == len(learning_rates) == R or min(steps) < 1:
        raise TrainingError(
            f"{R} adapters were given the windows of {len(data)} runs and {len(learning_rates)} learning rates, "
            f"at least {recipe.per_step} windows each are needed."
        )
    rates = np.zeros((max(steps), R))
    for run, (n, peak) in enumerate(zip(steps, learning_rates)):
        rates[:n, run] = schedule(n, peak, recipe.warmup)
    optimizer = AdamW(swarm, rates, recipe.clip, recipe.weight_decay)
    done: torch.Tensor | None = None  # where the adapters of runs that left are
    here = list(range(R))  # runs in the swarm, in order
    ended: dict[int, int] = {}  # run -> step at which it diverged
    feed = Feed(data, recipe, swarm)
    started, seconds = time.perf_counter(), 0.0
    may_compile = compile_after is not None and swarm.compiled is None and swarm.device.type == "cuda"

    def leave(staying: list[int]) -> None:
        nonlocal here, done
        flat = swarm.flat
        if done is None and not staying:
            return  # all are where they were
        done = torch.empty(R, swarm.n_weights, device=flat.device) if done is None else done
        for at, run in enumerate(here):
            done[run] = flat[at]
        if not staying:
            return
        rows = [here.index(run) for run in staying]
        optimizer.keep(rows, flat)
        swarm.set_runs(flat[torch.as_tensor(rows, device=flat.device)])
        here = staying

    for step in range(max(steps)):
        if step and step % LOOK_EVERY == 0:
            seconds = (time.perf_counter() - started) / step
            _note(optimizer.diverged, here, ended)
        if may_compile and step in MEASURED:  # the first steps are slow
            torch.cuda.synchronize()
            before, started = started, time.perf_counter()
            each = (started - before) / (MEASURED[1] - MEASURED[0])
            if step == MEASURED[1] and each * (max(steps) - step) > (compile_after or 0.0):
                swarm.compile(fullgraph=False)
        at_work = [run for run in here if steps[run] > step and run not in ended]
        if not at_work:
            break
        idle = 1 - len(at_work) / len(here)
        saved = idle * seconds * (max(steps[run] for run in at_work) - step)
        if idle and (swarm.compiled is None or saved > COMPILE_SECONDS):
            _note(optimizer.diverged, here, ended)
            leave([run for run in at_work if run not in ended] or at_work[:1])
        batch = feed.step(here, [run in at_work for run in here])
        try:
            one_step(swarm, optimizer, batch, recipe)
        except Exception as error:
            if swarm.compiled is None or isinstance(error, torch.OutOfMemoryError):
                raise
            if say:
                say(
                    f"the compiler failed ({type(error).__name__}: {str(error).splitlines()[0][:200]}); it goes on without"
                )
            swarm.uncompile()
            swarm.loss_way = "eager"
            swarm.gradients().zero_()
            optimizer.taken, may_compile = step, False
            one_step(swarm, optimizer, batch, recipe)
        if on_tokens:
            on_tokens(len(at_work) * recipe.per_step * recipe.context)
    _note(optimizer.diverged, here, ended)
    leave([])
    if done is not None:
        swarm.set_runs(done)
    lower = "lower the learning rate"
    return [
        f"training diverged: the gradient of step {ended[run]} of {steps[run]} is not finite; {lower}"
        if run in ended
        else None
        for run in range(R)
    ]


def one_step(swarm: AdapterSwarm, optimizer: AdamW, batch: list[tuple], recipe: Recipe) -> None:
    swarm.gradients()
    for windows, weights, rows in batch:
        if len(weights):
            swarm.backward(windows, weights, rows)
    optimizer.step(fused=swarm.compiled is not None)


def _note(diverged: torch.Tensor, here: Sequence[int], ended: dict[int, int]) -> None:
    for run, step in zip(here, diverged.tolist()):
        if step:
            ended.setdefault(run, step)


class Feed:
    """Windows of all runs, step by step: parts of (R, b, T + 1) with the weights of their targets."""

    def __init__(self, data: Sequence[Windows], recipe: Recipe, swarm: AdapterSwarm) -> None:
        size = max(1, HELD // recipe.per_step) * recipe.per_step
        self._runs = [run.blocks(size) for run in data]
        self._held: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0))] * len(data)
        self._recipe, self._device, self._block = recipe, swarm.device, swarm.row_block

    def _take(self, run: int) -> tuple[np.ndarray, np.ndarray]:
        n = self._recipe.per_step
        if len(self._held[run][0]) < n:
            self._held[run] = next(self._runs[run])
        windows, masks = self._held[run]
        self._held[run] = windows[n:], masks[n:]
        return windows[:n], masks[:n]

    def step(self, here: Sequence[int], at_work: Sequence[bool]) -> list[tuple]:
        """Of the runs in ``here``; one that is not at work gets zeros that nobody learns."""
        import torch

        n, T = self._recipe.per_step, self._recipe.context
        windows = np.zeros((len(here), n, T + 1), np.int64)
        masks = np.zeros((len(here), n, T), bool)
        for i, (run, works) in enumerate(zip(here, at_work)):
            if works:
                windows[i], masks[i] = self._take(run)
        share = 1 / np.maximum(1, masks.sum((1, 2)))  # (R,), of one learnt token in its run's loss
        parts = []
        for first in range(0, n, self._recipe.at_once):
            some, learnt = (
                windows[:, first : first + self._recipe.at_once],
                masks[:, first : first + self._recipe.at_once],
            )
            weights = np.broadcast_to(share[:, None, None], learnt.shape)[learnt].astype(np.float32)
            rows = None if learnt.all() else self._rows(learnt)
            if rows is not None:
                weights = np.pad(weights, (0, len(rows) - len(weights)))
            parts.append(tuple(None if a is None else self._there(torch.from_numpy(np.ascontiguousarray(a)))
                               for a in (some, weights, rows)))  # fmt: skip
        return parts

    def _rows(self, learnt: np.ndarray) -> np.ndarray:
        """Positions of learnt targets, filled up with the first position, of weight 0, where chunks must keep their shape."""
        rows = np.flatnonzero(learnt)
        return np.pad(rows, (0, -len(rows) % self._block))

    def _there(self, tensor: torch.Tensor) -> torch.Tensor:
        return (
            tensor.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else tensor
        )
