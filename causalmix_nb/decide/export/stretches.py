"""Rows of a file whose tokens meet a budget to a row, named as stretches: for trainers that read parts of a file but count rows, not tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from causalmix_nb.data.documents.files import read_rows
from causalmix_nb.data.documents.sources import Source
from causalmix_nb.errors import PoolError

LARGEST = (
    2**30
)  # bytes of a file that is read for the lengths of its rows; a sample of a larger one is close by its number of rows
PIECES = 16  # of a file, each of which gives its part, so that a file in some order is read from all of it

Stretch = tuple[int, int]  # rows from, to


def row_bytes(source: Source) -> np.ndarray | None:
    """Bytes of text (n,) in the rows of a file, a row a line of plain text; None where they are not here, or too much to read."""
    if len(source.files) != 1 or source.domain_column or not source.columns:
        return None
    path = Path(source.files[0])
    try:
        if path.stat().st_size > LARGEST:
            return None
        if source.loader == "text":
            with open(path, "rb") as file:
                return np.array([len(line.rstrip(b"\r\n")) for line in file], dtype=float)
        columns = tuple(source.columns.values())
        found = []
        for row, _ in read_rows(path, columns):
            if not isinstance(row, Mapping):
                return None  # the trainer stops at what we leave out
            found.append(_bytes(row.get(column) for column in columns))
    except (OSError, PoolError):
        return None
    return np.array(found, dtype=float)


def _bytes(values: Iterable[Any]) -> int:
    """Bytes of the texts in values: texts, or the turns of conversations."""
    n = 0
    for value in values:
        if isinstance(value, str):
            n += len(value.encode(errors="replace"))
        elif isinstance(value, Mapping):
            n += _bytes(inner for key, inner in value.items() if key not in ("role", "from"))
        elif isinstance(value, (list, tuple, np.ndarray)):
            n += _bytes(value)
    return n


def stretches(lengths: np.ndarray, wanted: float) -> tuple[int, list[Stretch]]:
    """How often all rows are read, and which are read once more, so that the tokens wanted are met as nearly as whole rows allow.

    Every piece of the file gives its part, from its beginning; the last row is the one that fits best.

    lengths: tokens of the rows (n,), some above 0.

    >>> stretches(np.array([10.0, 20.0, 30.0, 40.0]), 230.0)
    (2, [(2, 3)])
    """
    ends = np.concatenate([[0.0], np.cumsum(lengths)])
    times, rest = divmod(wanted, ends[-1])
    bounds = np.searchsorted(ends, np.linspace(0, ends[-1], PIECES + 1))
    taken, have = np.zeros(len(lengths), dtype=bool), 0.0
    for i, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:]), 1):
        goal = ends[start] + rest * i / PIECES - have
        end = min(int(np.searchsorted(ends, goal + 1e-6, side="right")) - 1, stop)
        if end > start:
            taken[start:end] = True
            have += ends[end] - ends[start]
    left = rest - have
    off = np.where(taken, np.inf, np.abs(left - lengths))
    if off.min() < left or not (times or taken.any()):  # the last one is the one that fits best
        taken[int(off.argmin())] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[False], taken, [False]]).astype(int)))
    return int(times), [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
