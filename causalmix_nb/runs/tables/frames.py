"""DataFrames as the parts of runs: rows paired by their labels, columns as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import RunsError, did_you_mean
from causalmix_nb.runs.tables.import_report import Imported, Notes
from causalmix_nb.runs.tables.shares import decimals_of, distinct_names, rescale

if TYPE_CHECKING:
    import pandas as pd


def of_frames(
    mixtures: pd.DataFrame,
    outcomes: Any,
    state: Any,
    scale: Any,
    minimize: bool | Iterable[str] | Mapping[str, bool],
    normalise: bool,
) -> Imported:
    """Parts of runs from DataFrames with a common index; see ``Runs.from_frames``."""
    import pandas as pd

    frames: dict[str, pd.DataFrame] = {}
    for part, frame in {"mixture": mixtures, "state": state, "scale": scale, "outcome": outcomes}.items():
        if isinstance(frame, pd.Series):
            frame = frame.to_frame()
        if frame is not None and not isinstance(frame, pd.DataFrame):
            raise RunsError(
                f"the {part} table is a {type(frame).__name__}; give a DataFrame with one row per run."
            )
        if frame is not None:
            frames[part] = frame
    index = frames["mixture"].index if "mixture" in frames else pd.RangeIndex(0)
    if not len(index) or not frames["mixture"].shape[1]:
        raise RunsError("there is no run: the table of mixtures is empty; give one row per run.")
    if "outcome" not in frames:
        raise RunsError("there is no outcome; give a DataFrame with one column per metric.")
    positions = {part: _aligned(part, frame.index, index) for part, frame in frames.items()}
    numbers = {}
    for part, frame in frames.items():
        distinct_names(
            [str(c) for c in frame.columns],
            "domains" if part == "mixture" else f"columns of the {part} table",
        )
        values = (
            np.column_stack([_floats(frame, part, j) for j in range(frame.shape[1])])
            if frame.shape[1]
            else np.empty((len(frame), 0))
        )
        numbers[part] = pd.DataFrame(values[positions[part]], columns=[str(c) for c in frame.columns])
    T, domains = numbers["mixture"].to_numpy(), list(numbers["mixture"])
    shares = rescale(T, domains, [str(name) for name in index], decimals_of(T), None, normalise)
    names = list(numbers["outcome"])
    if isinstance(minimize, (bool, np.bool_)) or minimize is None:
        lower = set(names) if minimize else set()
    else:
        given = [minimize] if isinstance(minimize, str) else minimize
        lower = {str(name) for name in given if not isinstance(minimize, Mapping) or minimize[name]}
        for name in map(str, given):
            if name not in names:
                raise RunsError(f"minimize names {name!r}, which is no outcome.{did_you_mean(name, names)}")
    notes = Notes()
    notes.remarks += shares.remarks
    report = (
        notes.report(f"{len(T)} runs over {len(domains)} domains, from DataFrames")
        if shares.remarks
        else None
    )
    plain = isinstance(index, pd.RangeIndex) and index.name is None and index.start == 0 and index.step == 1
    called = [""] * len(index) if plain else [str(name) for name in index]
    state_, scale_ = (
        numbers[part] if part in numbers and numbers[part].shape[1] else None for part in ("state", "scale")
    )
    low = {name: name in lower for name in names}
    return Imported(domains, shares, numbers["outcome"], state_, scale_, low, called, report)


def _aligned(part: str, index: pd.Index, wanted: pd.Index) -> np.ndarray:
    """Rows of a table in the order of the mixtures: by label, or by position where all tables have the same labels in the same order."""
    if index.equals(wanted):
        return np.arange(len(wanted))
    common = wanted.intersection(index)
    if wanted.is_unique and index.is_unique and len(common) == len(wanted) == len(index):
        return index.get_indexer(wanted)
    both = "" if wanted.is_unique and index.is_unique else ", and labels come more than once"
    raise RunsError(
        f"the {part} table has other rows than the mixtures ({len(common)} of {len(wanted)} in common{both}); give every table the same index."
    )


def _floats(frame: pd.DataFrame, part: str, j: int) -> np.ndarray:
    """A column as floats, NaN where it says nothing; numbers kept as objects are numbers."""
    import pandas as pd

    column, name = frame.iloc[:, j], frame.columns[j]
    kind = pd.api.types
    if column.dtype == object and all(isinstance(v, (int, float, np.number)) for v in column.dropna()):
        column = column.astype("Float64") if column.isna().any() else column.astype(float)
    if not kind.is_numeric_dtype(column) or kind.is_complex_dtype(column):
        raise RunsError(f"column {str(name)!r} of the {part} table is not numeric; drop it or convert it.")
    return column.to_numpy(dtype=float, na_value=np.nan)
