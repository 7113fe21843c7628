"""One reader of other people's tables: whatever wrote the file, its cells come out as trimmed text, with a note where it was guessed how.

Commas, semicolons, tabs, bars or aligned columns; UTF-8 with or without a mark, UTF-16 as Excel saves it, Windows-1252; gzip, Parquet, and
workbooks where openpyxl is installed. Title lines above the header, headers that come again, empty rows and columns and rows of totals are
what spreadsheets and ``cat a.csv b.csv`` leave in a table: they are dropped, and that is said. What the columns are is asked in
:mod:`causalmix_nb.runs.tables.columns`, what the numbers are in :mod:`causalmix_nb.runs.tables.numerals`.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import statistics
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import RunsError, listed
from causalmix_nb.runs.csv_folder import without_mark
from causalmix_nb.runs.tables.numerals import number_of

if TYPE_CHECKING:
    import pandas as pd

SIGNS = ",;\t|"  # between cells, the likeliest first
SNIFFED = 200  # rows that tell how a file is divided
LONGEST_CELL = 1 << 24
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\x00"))
_RULE = re.compile(r":?-{3,}:?|:?={3,}:?")  # the line under the header of a Markdown table


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table as text. name: of the file, for sentences; header: K names, trimmed, "" where there is none; rows: n lists of K trimmed cells;
    sign: what divides cells in the file, "" where nothing does; notes: what was guessed or dropped in reading."""

    name: str
    header: list[str]
    rows: list[list[str]]
    sign: str = ""
    notes: tuple[str, ...] = ()

    def column(self, k: int) -> list[str]:
        return [row[k] for row in self.rows]

    def without(self, columns: Sequence[int]) -> Sheet:
        keep = [k for k in range(len(self.header)) if k not in set(columns)]
        return replace(
            self, header=[self.header[k] for k in keep], rows=[[row[k] for k in keep] for row in self.rows]
        )


def read_sheet(table: str | Path | pd.DataFrame, called: str = "the table", labelled: bool = False) -> Sheet:
    """The cells of a file or a DataFrame.

    called: what sentences call a DataFrame. labelled: whether the labels of its rows count even where they are 0, 1, 2, ….

    Raises
    ------
    RunsError: no such file, one that is no table, or rows that do not fit the header.
    """
    if not isinstance(table, (str, Path)):
        return _tidy(*_of_frame(table, called, labelled))
    path = Path(table).expanduser()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RunsError(f"no file {path}; check the path.") from None
    except OSError as error:
        raise RunsError(f"cannot read {path} ({error.strerror}); give a CSV file.") from None
    name = path.name
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise RunsError(
                f"{name} is a damaged gzip file; compress it again, or give the CSV itself."
            ) from None
    if content[:4] == b"PAR1":
        return _tidy(*_of_frame(_parquet(content, name), name))
    if content[:4] == b"PK\x03\x04":
        return _tidy(name, *_workbook(content, name), "", [])
    text, notes = _decoded(content, name)
    sign, rows = _divided(text, name)
    header, rows, more = _header_of(rows, name)
    return _tidy(name, header, rows, sign, notes + more)


# -- from bytes to rows of cells --------------------------------------------------------------------------


def _decoded(content: bytes, name: str) -> tuple[str, list[str]]:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            try:
                return content.decode(encoding).removeprefix("\ufeff"), []
            except UnicodeDecodeError:
                raise _no_table(name) from None
    odd, even = content[1:2000:2].count(0), content[0:2000:2].count(0)
    if max(odd, even) > 0.4 * len(content[1:2000:2]) > 0 and min(odd, even) == 0:
        try:
            return content.decode("utf-16-le" if odd else "utf-16-be"), []
        except UnicodeDecodeError:
            raise _no_table(name) from None
    if any(byte < 32 and byte not in b"\t\n\r\x0b\x0c\x1a" for byte in content[:4000]):
        raise _no_table(name)
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError:
        note = f"the file {name} is not UTF-8 and was read as Windows-1252; if names look wrong, save it as UTF-8"
        return content.decode("cp1252", errors="replace"), [note]


def _no_table(name: str) -> RunsError:
    return RunsError(f"{name} is not a CSV table; give a file with a header and one row per run.")


def _divided(text: str, name: str) -> tuple[str, list[list[str]]]:
    """The sign between cells, and the rows of cells that are not empty."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip("\x1a\x0c")
    first = re.match(r'\s*"?sep=(.)"?\n', text)
    if first:  # Excel's own line
        return first[1], _split(text[first.end() :], first[1], name)
    found, best = "", (0.0, 0)
    lines = text.split("\n")
    sample = "\n".join(lines[:SNIFFED])
    whole = len(lines) <= SNIFFED
    for sign in SIGNS:
        if sign not in text:
            continue
        rows = [row for row in _split(sample, sign, name, strict=whole) if any(row)]
        if not rows:
            continue
        widths = Counter(len(row) for row in rows[:-1] or rows)  # the last one of a sample may be cut
        width, count = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))
        # A sign that divides all rows alike is the one; among those the one that makes more cells.
        score = (round(count / max(sum(widths.values()), 1), 3), width)
        if width > 1 and score > best:
            found, best = sign, score
    if not found:
        spaced = [re.split(r"\s{2,}|\t", line.strip()) for line in text.split("\n") if line.strip()]
        if not spaced or len({len(row) for row in spaced}) > 1 or len(spaced[0]) < 2:
            spaced = [line.split() for line in text.split("\n") if line.strip()]
        if spaced and len({len(row) for row in spaced}) == 1 and len(spaced[0]) > 1:
            return " ", [[_clean(cell) for cell in row] for row in spaced]
        found = ","
    return found, _split(text, found, name)


def _split(text: str, sign: str, name: str, strict: bool = True) -> list[list[str]]:
    was = csv.field_size_limit(LONGEST_CELL)
    try:
        try:
            rows = list(csv.reader(io.StringIO(text), delimiter=sign, skipinitialspace=True, strict=True))
        except csv.Error as error:
            if strict and "unexpected end" in str(error):  # a quote that is never closed swallows rows
                raise _no_table(name) from None
            rows = list(csv.reader(io.StringIO(text), delimiter=sign, skipinitialspace=True))
    except csv.Error:
        raise _no_table(name) from None
    finally:
        csv.field_size_limit(was)
    cells = [[without_mark(_clean(cell)) for cell in row] for row in rows]
    if sign == "|" and cells and all(not row[0] and not row[-1] for row in cells if len(row) > 2):
        cells = [row[1:-1] for row in cells if len(row) > 2]  # | a | b |
        cells = [row for row in cells if not all(_RULE.fullmatch(cell) for cell in row)]
    return cells


def _clean(cell: Any) -> str:
    """A cell or name without what nobody sees: marks, breaks, doubled and strange spaces."""
    text = str(cell)
    if text.isascii() and text.isprintable() and " " not in text:
        return text  # as most are
    return " ".join(text.translate(_INVISIBLE).split())


def _header_of(rows: list[list[str]], name: str) -> tuple[list[str], list[list[str]], list[str]]:
    """Header and rows: lines above the header that stand in one cell are titles or remarks."""
    rows = [row for row in rows if any(row)]
    if len(rows) < 2:
        raise _no_table(name)
    widths = Counter(len(row) for row in rows)
    width = max(widths, key=lambda w: (widths[w], w))
    start = 0
    while (
        start < len(rows) - 1
        and width > 1
        and sum(map(bool, rows[start])) == 1
        and (len(rows[start]) == 1 or rows[start][0])
        and not (
            width == 2 and all(len(row) == 2 and number_of(row[1]) is not None for row in rows[start + 1 :])
        )
    ):  # a header of one name above rows with a number each is R's, which writes names of rows without a header
        start += 1
    notes = [f"{start} line{'s' * (start > 1)} above the header of {name} left out"] if start else []
    return rows[start], rows[start + 1 :], notes


def counted_rows(frame: Any) -> bool:
    """Whether the rows of a DataFrame bear no labels of their own: 0, 1, 2, …, as nobody has named, chosen or sorted them."""
    index = None if isinstance(frame, (str, Path)) else getattr(frame, "index", None)
    return getattr(index, "name", None) is None and (index is None or list(index) == list(range(len(index))))


def numbered_rows(frame: Any) -> bool:
    """Whether the rows of a DataFrame are known by whole numbers without a name, as pandas counts them."""
    index = None if isinstance(frame, (str, Path)) else getattr(frame, "index", None)
    return (
        index is not None
        and hasattr(index, "nlevels")
        and index.name is None
        and index.nlevels == 1
        and index.dtype.kind in "iu"
    )


def _of_frame(
    frame: Any, name: str, labelled: bool = False
) -> tuple[str, list[str], list[list[str]], str, list[str]]:
    """A DataFrame as cells: floats as the shortest text that reads back as the same number."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise RunsError(
            f"a table is a CSV file or a DataFrame, got {type(frame).__name__}; give one of them."
        )
    if labelled or not counted_rows(frame):
        new = [str(n) if n is not None else "" for n in frame.index.names]
        index = pd.DataFrame([k if isinstance(k, tuple) else (k,) for k in frame.index], columns=new)
        columns = [*new, *frame.columns]
        frame = pd.concat([index, frame.reset_index(drop=True)], axis=1).set_axis(range(len(columns)), axis=1)
    else:
        columns = list(frame.columns)
        frame = frame.set_axis(range(len(columns)), axis=1)
    header = [".".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in columns]
    columns_of_text = []
    for k in range(len(header)):
        missing = frame[k].isna().to_numpy()
        columns_of_text.append(["" if gone else _clean(v) for v, gone in zip(frame[k].tolist(), missing)])
    rows = [list(row) for row in zip(*columns_of_text)] if header else []
    return name, [_clean(c) for c in header], rows, "", []


def _parquet(content: bytes, name: str) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(io.BytesIO(content))
    except Exception as error:  # pyarrow has many ways to say that a file is damaged
        raise RunsError(
            f"{name} cannot be read as Parquet ({_clean(error)[:80]}); write it again, or give a CSV."
        ) from None


def _workbook(content: bytes, name: str) -> tuple[list[str], list[list[str]]]:
    import pandas as pd

    try:
        frame = pd.read_excel(io.BytesIO(content), header=None, dtype=object)
    except ImportError:
        raise RunsError(
            f"{name} is a workbook, which needs openpyxl (pip install openpyxl); or save the sheet as CSV."
        ) from None
    except Exception as error:  # a zip file that is no workbook, a sheet that is damaged
        raise RunsError(
            f"{name} cannot be read as a workbook ({_clean(error)[:80]}); save the sheet as CSV."
        ) from None
    header, rows, _ = _header_of(
        [["" if pd.isna(v) else _clean(v) for v in row] for row in frame.to_numpy().tolist()], name
    )
    return header, rows


# -- from rows to a table ---------------------------------------------------------------------------------


def _tidy(name: str, header: list[str], rows: list[list[str]], sign: str, notes: list[str]) -> Sheet:
    """Rows as long as the header, without what is empty or comes again."""
    rows = [row for row in rows if any(row)]
    longest = max((len(row) for row in rows), default=0)
    if (
        rows
        and longest == len(header) + 1
        and all(len(row) == longest for row in rows)
        and any(r[-1] for r in rows)
    ):
        header = ["", *header]  # R writes the names of rows without a header
    width = len(header)
    for i, row in enumerate(rows):
        if any(row[width:]):
            raise RunsError(
                f"row {i + 1} of {name} has {len(row)} cells and its header {width}; put quotes around cells that hold "
                f"{'a comma' if sign == ',' else 'the sign between cells'}."
            )
    rows = [(row + [""] * width)[:width] for row in rows]
    again = sum(row == header for row in rows)
    if again:
        rows = [row for row in rows if row != header]
        notes = [*notes, f"the header of {name} came {again} more time{'s' * (again > 1)} among its rows"]
    kept = [k for k in range(width) if header[k] or any(row[k] for row in rows)]
    header, rows = [header[k] for k in kept], [[row[k] for k in kept] for row in rows]
    if not rows or not header:
        raise _no_table(name)
    named = [cell for cell in header if cell]
    numbers = [number_of(cell) for cell in named]
    counted = numbers in ([float(i) for i in range(len(named))], [float(i + 1) for i in range(len(named))])
    if named and all(number is not None for number in numbers) and not counted:
        raise RunsError(
            f"{name} has no header: its first row holds numbers ({listed(named, 3)}); name its columns."
        )
    return Sheet(name, header, rows, sign, tuple(notes))


def _total(values: list[float]) -> float:
    return sum(values)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


SUMS: dict[str, Callable[[list[float]], float]] = {
    **dict.fromkeys("total totals sum summe gesamt all".split() + [""], _total),
    **dict.fromkeys("mean average avg mittelwert".split(), _mean),
    "median": statistics.median, "std": statistics.stdev, "min": min, "max": max, "count": len,
}  # fmt: skip


def may_sum_up(name: str) -> bool:
    """Whether a row under a table may be its total or mean, by its name."""
    return _plain(name) in SUMS


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip(": ")


def without_totals(
    sheet: Sheet, columns: Mapping[int, list[float]], named: Sequence[str]
) -> tuple[Sheet, str]:
    """A sheet without rows of totals or means under it, told by their names and by their numbers; and the words for it.

    columns: position -> n numbers of the columns that tell. named: n names of the rows.
    """
    body, gone = len(sheet.rows), []
    while body > 2 and may_sum_up(named[body - 1]):
        body -= 1
    for i in range(body, len(sheet.rows)):
        pairs = [(values[i], SUMS[_plain(named[i])](values[:body])) for values in columns.values()]
        if pairs and all(abs(a - b) <= 6e-3 + 2e-3 * abs(b) for a, b in pairs):
            gone.append(i)
    if not gone:
        return sheet, ""
    what = listed([repr(named[i]) if named[i] else "without a name" for i in gone], 3)
    kept = [row for i, row in enumerate(sheet.rows) if i not in set(gone)]
    return replace(
        sheet, rows=kept
    ), f"the row{'s' * (len(gone) > 1)} {what} of {sheet.name} sums up the rows above and is no run"


def normal(name: str) -> str:
    """A name as it is compared: case, width, spaces and signs do not count.

    >>> normal("Run ID") == normal("run_id") == normal("ＲＵＮ-id")
    True
    """
    return re.sub(r"[\s_.\-/:#]+", "", unicodedata.normalize("NFKC", name).casefold())
