"""The estimators by name: each is one file of this folder that registers a :class:`Method`, or one of yours.

Whatever has to know something of a method (which are tried by ``auto``, what a quick fit leaves out, what help says) asks the member, never its
name; what a fitted model can do, it says itself (:class:`causalmix_nb.estimate.model.Model`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.registry import Registry


def never(problem: Problem) -> bool:
    """A method that is fitted when it is asked for by name only."""
    return False


def always(problem: Problem) -> bool:
    """A method that ``auto`` always tries."""
    return True


def as_asked(problem: Problem, random_state: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that hold as they were asked for."""
    return dict(options)


@dataclass(frozen=True, slots=True)
class Method:
    """An estimator: ``fit(problem, *, random_state=0, **options)`` returns a fitted model.

    summary: what it is, in half a line of help.
    uses_state: whether its surface depends on the state of the pool.
    quick: options of a fit that only has to predict, for one fold of many.
    tried: whether ``auto`` tries it on a problem. reference: it is tried to compare with, and never chosen.
    settle: from (problem, random_state, options asked for) the options to fit with; what holds for every fold is decided here, once.
    orthogonalises: whether it takes ``orthogonalise=False``, an effect that is not adjusted, for ablation.
    """

    name: str
    summary: str
    fit: Callable[..., Model]
    uses_state: bool = True
    quick: Mapping[str, Any] = field(default_factory=dict)
    tried: Callable[[Problem], bool] = never
    reference: bool = False
    settle: Callable[[Problem, int, Mapping[str, Any]], dict[str, Any]] = as_asked
    orthogonalises: bool = False


METHODS: Registry[Method] = Registry("method", "causalmix_nb.methods", FitError)
