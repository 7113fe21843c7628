"""What an import made of other people's tables: the parts of runs, and a report of what was read, joined, rescaled, left out and assumed."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causalmix_nb.finding import Finding
from causalmix_nb.runs.tables.shares import Shares
from causalmix_nb.runs.tables.tables import Sheet

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class ImportReport(Finding):
    """What an import made of other people's tables.

    title: how many runs, of which files. sentences: what was joined, rescaled, left out and assumed. table: one row per column of the files,
    with what it was read as and why. doubts: those of the sentences in which something was assumed that may be wrong.
    """

    title: str
    sentences: tuple[str, ...]
    table: pd.DataFrame
    doubts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.title, *(f"  {text}." for text in self.sentences)])

    def _repr_html_(self) -> str:
        remarks = "".join(f"<li>{html.escape(text)}</li>" for text in self.sentences)
        return f"<p><b>{html.escape(self.title)}</b></p><ul>{remarks}</ul>{self.table.to_html(escape=True)}"


@dataclass(frozen=True, slots=True)
class Imported:
    """Parts of runs, row by row. shares: (n, K); outcomes, state, scale: (n, …) frames; names: of the runs, "" where there is none."""

    domains: list[str]
    shares: Shares
    outcomes: pd.DataFrame
    state: pd.DataFrame | None
    scale: pd.DataFrame | None
    minimize: dict[str, bool]
    names: list[str]
    report: ImportReport | None


class Notes:
    """What is to be reported, collected as it is found. said, doubts: sentences; rows: of the table of columns."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.doubts: list[str] = []
        self.rows: list[dict[str, str]] = []

    def column(self, sheet: Sheet, k: int, kind: str, name: str = "", note: str = "") -> None:
        self.rows.append(
            {
                "table": sheet.name,
                "column": sheet.header[k] or "(no name)",
                "read as": kind,
                "name": name,
                "why": note,
            }
        )

    def report(self, title: str) -> ImportReport:
        import pandas as pd

        order = ["table", "column", "read as", "name", "why"]
        table = (
            pd.DataFrame(self.rows, columns=order)
            .drop_duplicates(["table", "column"], keep="last")
            .set_index("column")
        )
        doubts = tuple(dict.fromkeys(self.doubts))
        return ImportReport(
            title,
            (*doubts, *(text for text in dict.fromkeys(self.remarks) if text not in doubts)),
            table,
            doubts,
        )
