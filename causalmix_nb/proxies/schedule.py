"""The learning rate over a run, and where its steps are taken: the same for every proxy that is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import Accelerator


def schedule(n_steps: int, peak: float, warmup: float) -> Iterator[float]:
    """Learning rates of ``n_steps`` steps: up to the peak over a share ``warmup`` of them, then down in proportion to the steps left.

    >>> list(schedule(4, 1.0, 0.5))
    [0.5, 1.0, 1.0, 0.5]
    """
    rise = max(1, round(n_steps * warmup))
    for step in range(n_steps):
        yield peak * min((step + 1) / rise, (n_steps - step) / max(1, n_steps - rise))


def accelerator() -> Accelerator:
    """Accelerate's view of this process, in its default precision."""
    from accelerate import Accelerator

    return Accelerator()
