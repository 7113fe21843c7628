"""Finished runs as CSV files in a folder, for spreadsheets and for whoever reads tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from causalmix_nb.errors import RunsError

if TYPE_CHECKING:
    import pandas as pd

FILES = {"mixture": "ratios.csv", "outcome": "metrics.csv", "state": "state.csv", "scale": "scale.csv"}
_FORMULA = re.compile(r"[=+\-@\t\r](?![\d.]+([eE][-+]?\d+)?$)")


def write_csv(frame: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    """Write the mixtures and the outcomes of runs, joined on ``run``, and their states and scales where there are any.

    frame: as :attr:`causalmix_nb.runs.store.Runs.frame`. Returns the paths of the first two.

    Raises
    ------
    RunsError: a folder that cannot be written.
    """
    frame = frame.reset_index(drop=True)
    names = frame["label"].where(frame["label"].notna() & (frame["label"] != ""), None)
    named = names.notna().all() and names.is_unique  # runs of our own may share a label, such as "repeat"
    frame.insert(0, "run", names.map(as_text) if named else range(len(frame)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part, file in FILES.items():
            columns = {c: as_text(c.removeprefix(f"{part}.")) for c in frame if c.startswith(f"{part}.")}
            if columns or part in ("mixture", "outcome"):
                frame[["run", *columns]].rename(columns=columns).to_csv(folder / file, index=False)
    except OSError as error:
        raise RunsError(
            f"cannot write to {folder} ({error.strerror}); choose a folder that can be written."
        ) from None
    return folder / FILES["mixture"], folder / FILES["outcome"]


def as_text(cell: str) -> str:
    """A text that no spreadsheet runs as a formula: where it begins as one, with an apostrophe before it.

    >>> as_text("=1+1"), as_text("-web"), as_text("-1.5"), as_text("web")
    ("'=1+1", "'-web", '-1.5', 'web')
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def without_mark(cell: str) -> str:
    """What :func:`as_text` was given.

    >>> without_mark("'=1+1"), without_mark("'tis")
    ('=1+1', "'tis")
    """
    return cell[1:] if cell[:1] == "'" and as_text(cell[1:]) == cell else cell
