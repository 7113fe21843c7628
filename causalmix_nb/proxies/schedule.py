"""The learning rate over a run, and where its steps are taken: the same for every proxy that is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from accelerate import Accelerator


def schedule(n_steps: int, peak: float, warmup: float) -> np.ndarray:
    """Learning rates (n_steps,): a linear rise over a share ``warmup`` of the steps, then a linear fall to 0.

    >>> schedule(4, 1.0, 0.25).round(2).tolist()
    [1.0, 1.0, 0.67, 0.33]
    """
    rise = max(1, round(n_steps * warmup))
    step = np.arange(n_steps)
    return peak * np.minimum((step + 1) / rise, (n_steps - step) / max(1, n_steps - rise))


def accelerator() -> Accelerator:
    """Accelerate's view of this process, in its default precision."""
    from accelerate import Accelerator

    return Accelerator()
