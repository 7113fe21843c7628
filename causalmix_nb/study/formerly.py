"""Arguments that had another name once: the old one is still taken, with a word about the new one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def formerly(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Of a function: take these old names of its arguments too, old=new.

    >>> @formerly(tilt="perturbation")
    ... def state(perturbation=None):
    ...     return perturbation
    >>> with warnings.catch_warnings(action="ignore"):
    ...     state(tilt=1)
    1
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **given: P.kwargs) -> R:
            for old in names.keys() & given.keys():
                warnings.warn(f"{old}= is called {names[old]}= now", FutureWarning, stacklevel=2)
                given[names[old]] = given.pop(old)
            return function(*args, **given)

        return call

    return wrap
