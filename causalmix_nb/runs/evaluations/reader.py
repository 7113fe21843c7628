"""What the files of evaluation tools say: scores with their direction, from whichever tool wrote them.

A file of this folder that reads a tool's files registers its reader at its end; yours may be registered from anywhere, also from a cell.
A score is an outcome ``<task>.<metric>``. The file's own word on its direction counts, else the metric's name
(:mod:`causalmix_nb.runs.directions`).

>>> def read(content):
...     return {name: score(value, name) for name, value in content["mine"].items()}
>>> reader = Reader("mine", "my tool", "its mine.json", lambda content: "mine" in content, read)
>>> READERS.register(reader).name in READERS
True
>>> READERS.remove("mine")
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causalmix_nb.errors import RunsError
from causalmix_nb.registry import Registry
from causalmix_nb.runs.directions import direction_of

NO_METRIC = frozenset("alias sample_len n_samples samples num_instances num_fewshot n_shot version".split())
FROM_FILE, FROM_NAME, UNKNOWN = "file", "name", ""


@dataclass(frozen=True, slots=True)
class Score:
    """One score. value: in its own units. lower: whether lower is better. said: who says so: "file", "name", or "" for nobody."""

    value: float
    lower: bool
    source: str


@dataclass(frozen=True, slots=True)
class Reader:
    """How files of one tool are read.

    name: in the registry; title: as people call the tool. gives: what to give of it, for a message.
    knows: whether a content is the tool's. read: its scores.
    files: patterns of names that no other tool gives, so that such a file must be readable; files of other names are looked into.
    instead: patterns of files that say the same, best first: of those in one folder only the first kind is read.
    """

    name: str
    title: str
    gives: str
    knows: Callable[[Any], bool]
    read: Callable[[Any], dict[str, Score]]
    files: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()


READERS: Registry[Reader] = Registry("evaluation reader", home=__package__ or "", error=RunsError)


def read_scores(file: str | Path) -> dict[str, Score]:
    """Scores in one file of an evaluation tool, ``<task>.<metric>`` -> :class:`Score`.

    Raises
    ------
    RunsError: a file that cannot be read, that no tool known here wrote, or that holds no score.
    """
    file = Path(file)
    content = _content(file)
    reader = next((reader for reader in READERS.values() if reader.knows(content)), None)
    if reader is None:
        raise RunsError(
            f"{file.name} is no result file of {either(reader.title for reader in READERS.values())}; "
            f"give {either(reader.gives for reader in READERS.values() if reader.gives)}."
        )
    found = reader.read(content)
    if not found:
        raise RunsError(
            f"{file.name} holds no score that is a number; was the evaluation run with --predict_only, or did it fail?"
        )
    return found


# -- JSON as it is ---------------------------------------------------------------------------------------------


class _Object(dict):
    """A JSON object that remembers which of its names were written twice."""

    twice: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found.twice = tuple(sorted({name for name in names if names.count(name) > 1}))
    return found


def _content(file: Path) -> Any:
    """The content of a JSON file, or the list of the lines of a JSONL file."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RunsError(f"cannot read {file} ({error.strerror}); check the path.") from None
    except UnicodeDecodeError:
        raise RunsError(
            f"{file.name} is not UTF-8 text, as JSON is; write the results again, or convert the file."
        ) from None
    try:
        if file.suffix == ".jsonl":
            return [json.loads(line, object_pairs_hook=_object) for line in text.split("\n") if line.strip()]
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise RunsError(
            f"{file.name} is nested deeper than any result file; is it a result file at all?"
        ) from None
    except ValueError as error:
        what = "empty" if not text.strip() else f"not JSON ({_first_line(error)})"
        raise RunsError(
            f"{file.name} is {what}, so it is no result file of {either(reader.title for reader in READERS.values())}; was it written to the end?"
        ) from None


def either(words: Iterable[str]) -> str:
    """Words as alternatives.

    >>> either(["a", "b", "c"])
    'a, b or c'
    """
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _first_line(error: ValueError) -> str:
    return str(error).splitlines()[0][:80]


def once(given: Any, where: str) -> Mapping[str, Any]:
    """An object of the file in which no name stands twice: which of two values counts would be a guess. Anything else counts as empty."""
    if not isinstance(given, Mapping):
        return {}
    if twice := getattr(given, "twice", ()):
        raise RunsError(
            f"{where} of the result file names {twice[0][:60]!r} twice; keep one of them, which counts cannot be told."
        )
    return given


def number(value: Any) -> float | None:
    """A finite number, else None: scores that were not computed are "N/A", null, NaN or a text."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def is_score(metric: str) -> bool:
    return bool(metric.strip()) and not metric.endswith("_stderr") and metric not in NO_METRIC


def score(value: float, metric: str, stated: Any = None) -> Score:
    """A score with its direction: as stated (true where higher is better), else by the metric's name, else higher is better."""
    if isinstance(stated, bool):
        return Score(value, not stated, FROM_FILE)
    low = direction_of(metric)
    return Score(value, low is True, UNKNOWN if low is None else FROM_NAME)


def put(found: dict[str, Score], outcome: str, score: Score) -> None:
    """Take a score up; another one of the same name must not replace it without a word."""
    if outcome in found and found[outcome].value != score.value:
        raise RunsError(
            f"the file holds {outcome[:80]!r} twice, as {found[outcome].value:g} and {score.value:g}; keep the one that counts."
        )
    found[outcome] = score
