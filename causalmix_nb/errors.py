"""What bad input gets: one sentence that says what was given, what was expected and what to do next.

Every error this package raises on purpose is a :class:`CausalMixError`. In a notebook it shows as that one
sentence, without a frame of ours, and still fails the cell; a real bug keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CausalMixError(ValueError):
    """Input that cannot be used; the message says what to do next."""

    def _render_traceback_(self) -> list[str]:
        # IPython calls this in place of its own traceback. Names from data may hold what a terminal would obey.
        text = "".join(c if c.isprintable() else " " for c in str(self))
        return [f"{type(self).__name__}: {text}"]


class MixtureError(CausalMixError):
    """Shares that are not a point on the simplex, or name an unknown domain."""


class PoolError(CausalMixError):
    """A data pool that cannot be read, or a domain that cannot be used."""


class GraphError(CausalMixError):
    """A causal graph that cannot be parsed, or an effect that it does not identify."""


class RunsError(CausalMixError):
    """A table or store of runs that cannot be read or written."""


class FitError(CausalMixError):
    """Runs that do not carry the model that was asked for."""


class TrainingError(CausalMixError):
    """Proxy training that cannot start or cannot go on."""


class StudyError(CausalMixError):
    """A study folder that cannot be used, or a step asked for before the one it needs."""


class ExportError(CausalMixError):
    """A mixture, a report or a tutorial that cannot be written in the format or to the place asked for."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the option closest to ``name``, or an empty string.

    >>> did_you_mean("maths", ["math", "code"])
    " Did you mean 'math'?"
    >>> did_you_mean("zzz", ["math", "code"])
    ''
    """
    close = difflib.get_close_matches(str(name), [str(option) for option in options], n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def listed(names: Iterable[object], most: int = 8, longest: int = 40) -> str:
    """Names for a sentence: the first few, none of them endless or with a line of its own.

    >>> listed(["math", "code", "web"], most=2)
    'math, code and 1 more'
    """
    known = [name if name.isprintable() else repr(name)[1:-1] for name in map(str, names)]
    some = ", ".join(name if len(name) <= longest else f"{name[: longest - 1]}…" for name in known[:most])
    return some + (f" and {len(known) - most} more" if len(known) > most else "")
