"""Files of documents as rows, one after another: JSON lines, JSON, Parquet, Arrow, CSV and text, compressed or not.

A row is a mapping of column to value. A line that is broken is passed on as :class:`~causalmix_nb.data.documents.documents.Unread`, with its number; a file
that is not what it seems is refused. Only a piece of a file is in memory at a time. What a file is compressed with is read off its first bytes.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import lzma
import re
import sys
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from causalmix_nb.data.documents.documents import Placed, Row, Unread, needed
from causalmix_nb.data.documents.encodings import AT_ONCE, text_of, undecoded, wrong
from causalmix_nb.data.documents.json_rows import json_lines, json_values
from causalmix_nb.errors import PoolError

KINDS = {
    ".jsonl": "lines", ".ndjson": "lines", ".json": "json", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow",
    ".csv": "csv", ".tsv": "csv", ".txt": "text", ".md": "text",
}  # fmt: skip
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
ROWS = 256  # of a Parquet or Arrow file that are turned into Python objects together


def domain_name(path: Path) -> str:
    """The name of a file without its suffixes.

    >>> domain_name(Path("data/math.v2.jsonl.gz"))
    'math.v2'
    """
    return _bare(path).rsplit(".", 1)[0]


def read_rows(
    path: Path, columns: Collection[str | None] = (), encoding: str | None = None
) -> Iterator[Placed]:
    """The rows of a file, each with its place (``"line 17"``).

    Parameters
    ----------
    columns: those that are asked for by name, besides the ones with a known name; others of a Parquet or Arrow file are not read.
    encoding: of a text file that is neither UTF-8 nor marked as something else.

    Raises
    ------
    PoolError: an unknown suffix, a file that is empty, damaged or something else than its suffix says.
    """
    suffix = Path(_bare(path)).suffix.lower()
    if path.is_dir():
        raise PoolError(f"{path.name} is a folder; name the files in it, for example {path.name}/*.jsonl.")
    if suffix not in KINDS:
        raise PoolError(
            f"{path.name} has an unknown suffix; files may end in {', '.join(KINDS)} (and {', '.join(COMPRESSED)})."
        )
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise PoolError(
                f"there is no encoding {encoding!r}; name one that Python knows, such as 'cp1252'."
            ) from None
    try:
        if not path.stat().st_size:
            raise PoolError(f"{path.name} is empty; leave it out or give it documents.")
        kind = KINDS[suffix]
        if kind in ("parquet", "arrow"):
            yield from _arrow_rows(path, kind, columns)
            return
        with _opened(path) as file:
            if kind == "lines":
                yield from json_lines(file, path, encoding)
            elif kind == "json":
                yield from json_values(file, path, encoding)
            elif kind == "csv":
                yield from _csv(file, path, encoding, "\t" if suffix == ".tsv" else None)
            else:
                yield from _paragraphs(file, path, encoding)
    except UnicodeDecodeError as error:
        raise undecoded(path, error, encoding) from None
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile):
        raise PoolError(
            f"{path.name} is not what its suffix says (the compressed data are damaged or end too early); "
            "copy or download it again."
        ) from None
    except OSError as error:
        why = (error.strerror or str(error)).split("\n")[0][:120]
        raise PoolError(f"{path.name} cannot be read ({why}); check the file.") from None


def paragraphs(text: str, size: int = 2000) -> list[str]:
    """A text in pieces of at most about ``size`` characters, cut at paragraphs, then lines, then anywhere."""
    pieces: list[str] = []
    for paragraph in text.split("\n\n"):
        for start in range(0, max(1, len(paragraph)), size):
            piece = paragraph[start : start + size]
            if pieces and len(pieces[-1]) + len(piece) < size:
                pieces[-1] += "\n\n" + piece
            elif piece.strip():
                pieces.append(piece)
    return pieces


def _bare(path: Path) -> str:
    """The file's name without what says how it is compressed."""
    return path.name[: -len(path.suffix)] if path.suffix.lower() in COMPRESSED else path.name


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where it is compressed, whatever its name says."""
    with open(path, "rb") as raw:
        start = raw.read(6)
        raw.seek(0)
        how = next((name for magic, name in MAGIC.items() if start.startswith(magic)), None)
        if how == "gzip":
            yield gzip.GzipFile(fileobj=raw)  # type: ignore[misc]
        elif how == "bz2":
            yield bz2.BZ2File(raw)  # type: ignore[misc]
        elif how == "xz":
            yield lzma.LZMAFile(raw)  # type: ignore[misc]  # noqa: SIM115
        elif how == "zstd":
            import pyarrow as pa

            yield io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw), "zstd"), AT_ONCE)
        else:
            yield raw


def _csv(file: IO[bytes], path: Path, encoding: str | None, delimiter: str | None) -> Iterator[Placed]:
    """A table of text: every cell is the text it is, the words NA and None too; an empty cell is missing."""
    text, _ = text_of(file, encoding)
    head = text.readline().removeprefix("\ufeff")
    while head and not head.strip():
        head = text.readline()
    if head.lower().startswith("sep=") and len(head.strip()) == 5:  # for Excel
        delimiter, head = head[4], text.readline()
    with _any_cell_size():
        reader = csv.reader(_Head(head, text), delimiter=delimiter or _delimiter(head), strict=True)
        try:
            names = _distinct(next(reader, []))
            for cells in reader:
                where = f"line {reader.line_num:,}"
                if not cells:
                    continue
                if len(cells) > len(names):
                    yield Unread("more cells than the header has"), where
                    continue
                cells += [""] * (len(names) - len(cells))
                yield dict(zip(names, (cell or None for cell in cells))), where
        except csv.Error as error:
            raise wrong(path, f"line {reader.line_num:,}: {error}") from None


class _Head:
    """Lines, of which the first has been read already."""

    def __init__(self, head: str, rest: IO[str]) -> None:
        self._head, self._rest = head, rest

    def __iter__(self) -> _Head:
        return self

    def __next__(self) -> str:
        if self._head:
            line, self._head = self._head, ""
            return line
        return next(self._rest)


def _delimiter(head: str) -> str:
    """What parts the names of a header: the most frequent of a comma, a semicolon, a tab and a bar."""
    return max(",;\t|", key=re.sub('"[^"]*"', "", head).count)


def _distinct(names: list[str]) -> list[str]:
    """Names of columns, repeated ones numbered as pandas does."""
    found: list[str] = []
    for name in names:
        name = name.strip()
        again = sum(1 for other in found if other == name or other.startswith(f"{name}."))
        found.append(f"{name}.{again}" if name in found else name)
    return found


@contextlib.contextmanager
def _any_cell_size() -> Iterator[None]:
    """Let a cell of a CSV file be as long as it is."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _paragraphs(file: IO[bytes], path: Path, encoding: str | None) -> Iterator[Placed]:
    """A text, cut at its paragraphs."""
    text, _ = text_of(file, encoding)
    whole = text.read().replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    for i, piece in enumerate(paragraphs(whole), 1):
        yield {"text": piece}, f"piece {i:,}"


def _arrow_rows(path: Path, kind: str, columns: Collection[str | None]) -> Iterator[Placed]:
    """The rows of a Parquet or Arrow file, of the columns that are needed."""
    import pyarrow as pa

    number = 0
    try:
        for batch in _parquet(path, columns) if kind == "parquet" else _ipc(path):
            if len(set(batch.schema.names)) < len(batch.schema.names):
                raise wrong(path, "two columns have the same name")
            for row in table_rows(batch.select(needed(batch.schema.names, columns))):
                number += 1
                yield row, f"row {number:,}"
    except (pa.ArrowException, UnicodeDecodeError, ValueError, OverflowError) as error:
        if isinstance(error, PoolError):
            raise
        raise wrong(path, str(error).split("\n")[0][:120]) from None


def table_rows(table: Any) -> Iterator[Row]:
    """The rows of an Arrow table or batch, a few of them as Python objects at a time."""
    for start in range(0, table.num_rows, ROWS):
        yield from table.slice(start, ROWS).to_pylist()


def _parquet(path: Path, columns: Collection[str | None]) -> Iterator[Any]:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        yield from file.iter_batches(ROWS, columns=needed(file.schema_arrow.names, columns))


def _ipc(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        try:
            reader = pa.ipc.open_file(file)
            yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            file.seek(0)
            yield from pa.ipc.open_stream(file)
