"""Seeing is not doing: what runs with a mixture scored, beside what the mixture causes.

Where people chose mixtures after a look at the pool, runs that had much of a domain also had the pool that made them take much of it.
Their average outcome, E[Y | T = t], mixes what the mixture did with what the pool did; E[Y | do(T = t)] does not. The first is of no use
for deciding, and shown here to teach the difference.

Reference: J. Pearl, *Causality*, 2nd edition, 2009, section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causalmix_nb.estimate.model import Effect, Model, move
from causalmix_nb.methods.quick_surface import QuickSurface, quick_surfaces
from causalmix_nb.mixture import Mixture

DO = "Do: what the mixture would cause if you set it, with the pool as it is"
SEE = "See: what runs with such mixtures happened to score, whatever made people choose them"


def seen_surface(model: Model) -> QuickSurface:
    """The regression of the outcome on the mixture alone, from the runs of a model."""
    (surface,) = quick_surfaces([model.problem.without_state()])
    surface.baseline = model.baseline
    return surface


def see(
    model: Model, shares: Mapping[str, float], keep: str = "proportional", baseline: Mixture | None = None
) -> Effect:
    """How much better or worse than runs near the baseline did runs near a mixture score? Not what the mixture causes.

    Parameters
    ----------
    model: a fitted model; only its runs are used. shares, keep, baseline: as for :func:`causalmix_nb.do`.
    """
    after, before = move(model, shares, keep, baseline)
    return seen_surface(model).contrast(after, before, label="seen with such mixtures")


def why_they_differ(model: Model) -> str:
    """One sentence on the difference between seeing and doing, for these runs."""
    if not model.problem.state_names:
        return "No state is recorded with these runs, so nothing sets the two apart but the model."
    assignment: Any = model.diagnostics.get("assignment")
    told = f" Here {assignment}." if assignment else ""
    return (
        f"They differ where the state of the pool moved both the choice of the mixture and the outcome.{told}"
    )
