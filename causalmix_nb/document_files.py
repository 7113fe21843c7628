"""Files of documents as rows, one after another: JSON lines, JSON, Parquet, Arrow, CSV and text, compressed or not.

A row is a mapping of column to value. A line that is broken is passed on as :class:`~causalmix_nb.documents.Unread`, with its number; a file
that is not what it seems is refused. Only a piece of a file is in memory at a time. What a file is compressed with is read off its first bytes.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import json
import lzma
import re
import sys
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from causalmix_nb.chats import is_chat
from causalmix_nb.documents import Row, Unread, needed
from causalmix_nb.errors import PoolError

KINDS = {
    ".jsonl": "lines", ".ndjson": "lines", ".json": "json", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow",
    ".csv": "csv", ".tsv": "csv", ".txt": "text", ".md": "text",
}  # fmt: skip
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
AT_ONCE = 1 << 20  # characters of a file that are looked at together
ROWS = 256  # of a Parquet or Arrow file that are turned into Python objects together

Placed = tuple["Row | Unread", str]  # a row and what it is called


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
                yield from _lines(file, path, encoding)
            elif kind == "json":
                yield from _json(file, path, encoding)
            elif kind == "csv":
                yield from _csv(file, path, encoding, "\t" if suffix == ".tsv" else None)
            else:
                yield from _paragraphs(file, path, encoding)
    except UnicodeDecodeError as error:
        raise _undecoded(path, error, encoding) from None
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile):
        raise PoolError(
            f"{path.name} is not what its suffix says (the compressed data are damaged or end too early); "
            "copy or download it again."
        ) from None
    except OSError as error:
        raise PoolError(f"{path.name} cannot be read ({error.strerror or error}); check the file.") from None


def wrong(path: Path, why: str) -> PoolError:
    """The error for a file that is something else than its name says."""
    return PoolError(f"{path.name} is not what its suffix says ({why}); check the file.")


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
            yield lzma.LZMAFile(raw)  # type: ignore[misc]
        elif how == "zstd":
            import pyarrow as pa

            yield io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw), "zstd"), AT_ONCE)
        else:
            yield raw


def _encoding_of(file: IO[bytes], given: str | None) -> tuple[str, bytes]:
    """How a file's characters are written, from its mark or the zeros of UTF-16, and the bytes that were read to see."""
    start = file.read(4096)
    if given is not None:
        return given, start
    for mark, name in MARKS:
        if start.startswith(mark):
            return name, start
    even, odd = start[0::2].count(0), start[1::2].count(0)
    half = max(1, len(start) // 2)
    if odd > 0.4 * half and even < 0.1 * half:
        return "utf-16-le", start
    if even > 0.4 * half and odd < 0.1 * half:
        return "utf-16-be", start
    return "utf-8", start


def _text_of(file: IO[bytes], encoding: str | None) -> tuple[IO[str], str]:
    """The characters of a file with its own line ends, and their encoding."""
    name, start = _encoding_of(file, encoding)
    joined: Any = io.BufferedReader(_Again(start, file), AT_ONCE)
    return io.TextIOWrapper(joined, encoding=name, newline=""), name


class _Again(io.RawIOBase):
    """A stream whose first bytes have been read already, from its beginning."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._start[: len(buffer)] or self._rest.read(len(buffer))
        self._start = self._start[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _lines(file: IO[bytes], path: Path, encoding: str | None) -> Iterator[Placed]:
    """JSON lines. One broken line is passed on as such; where none is whole, the file is no JSON lines."""
    name, start = _encoding_of(file, encoding)
    stream = io.BufferedReader(_Again(start, file), AT_ONCE)
    if name not in ("utf-8", "utf-8-sig") or b"\r" in start[:-1].replace(b"\r\n", b""):
        yield from _json(stream, path, name)
        return
    whole, foreign, native, broken, error = 0, 0, 0, "", None
    for number, line in enumerate(stream, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        where = f"line {number:,}"
        try:
            text = line.decode()
        except UnicodeDecodeError as undecoded:
            error = error or (where, undecoded)
            foreign += line.endswith(b"\n")  # else it is the end of a writer that was stopped
            yield Unread("a line that is no UTF-8", where), where
            continue
        native += not text.isascii()
        rows = _value(text)
        if (
            number == 1
            and rows
            and isinstance(rows[0], Unread)
            and text.lstrip()[:1] in ("[", "{")
            and stream.peek(1)
        ):
            # One value over several lines, if it is any.
            yield from _json(io.BufferedReader(_Again(line, stream), AT_ONCE), path, None)
            return
        for row in rows:
            if isinstance(row, Unread):
                broken = broken or f"{where}: {row.reason}"
                row = Unread(row.reason, where)
            else:
                whole += 1
            yield row, where
    if error and foreign and not native:  # no line proves that the file is UTF-8 with some damage
        raise _undecoded(path, error[1], encoding, error[0])
    if not whole and broken:
        raise wrong(path, broken)


def _value(text: str) -> list[Row | Unread]:
    """The rows on a line: none where it is blank, Unread where it is broken."""
    text = text.strip().strip("\x1e")  # RFC 7464 marks records so
    if not text:
        return []
    try:
        value = json.loads(text)
    except RecursionError:
        return [Unread("JSON nested too deeply", "")]
    except ValueError as error:
        try:
            if not text.endswith(","):
                raise error
            value = json.loads(text[:-1])
        except (ValueError, RecursionError):
            return [Unread(f"broken JSON ({_why(error)})", "")]
    if (
        isinstance(value, list)
        and value
        and all(isinstance(row, dict) for row in value)
        and not is_chat(value)
    ):
        return value
    return [_row(value)]


def _row(value: Any) -> Row | Unread:
    """A JSON value as a row: an object is one, a text is a document, a list of turns is a conversation."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"text": value}
    return {"messages": value} if is_chat(value) else Unread("JSON that is no object", "")


def _why(error: ValueError) -> str:
    return getattr(error, "msg", str(error))[:60]


def _json(file: IO[bytes], path: Path, encoding: str | None) -> Iterator[Placed]:
    """A file of JSON values: one array of rows, an object that holds one, or values one after another."""
    text, _ = _text_of(file, encoding)
    pieces = _Values(text)
    array = pieces.peek() == "["
    if array:
        pieces.skip(1)
    number, whole, broken = 0, 0, ""
    while (first := pieces.peek(",")) and not (array and first == "]"):
        number += 1
        where = f"row {number:,}" if array else f"value {number:,}"
        try:
            value = pieces.take()
        except RecursionError:
            raise PoolError(
                f"{path.name}, {where}: JSON nested too deeply to be read; check the file."
            ) from None
        except ValueError as error:
            why = f"{where}: {_why(error)}"
            if whole and pieces.ended:  # a writer that was stopped
                yield Unread("JSON that breaks off", where), where
                return
            if array or not pieces.skip_line():
                raise wrong(path, why) from None
            broken = broken or why
            yield Unread("broken JSON", where), where
            continue
        rows = [value]
        if number == 1 and not array and isinstance(value, dict):
            rows = _inner(value) or rows
        for i, inner in enumerate(rows, 1):
            row = _row(inner)
            place = where if len(rows) == 1 else f"row {i:,}"
            whole += not isinstance(row, Unread)
            yield (Unread(row.reason, place) if isinstance(row, Unread) else row), place
    if array and first != "]":
        yield Unread("JSON that breaks off", f"row {number + 1:,}"), f"row {number + 1:,}"
    elif array:
        pieces.skip(1)
        if pieces.peek():
            raise wrong(path, "something follows the JSON array")
    if number and not whole:
        raise wrong(path, broken or "no JSON object in it")


def _inner(value: dict[str, Any]) -> list[Any] | None:
    """The rows of an object that is a whole table: ``{"data": [{…}, …]}``, ``{"text": {"0": …}}`` as pandas writes it."""
    lists = [held for held in value.values() if isinstance(held, list)]
    if len(lists) == 1 and len(lists[0]) and all(isinstance(row, dict) for row in lists[0]):
        named = next(key for key, held in value.items() if held is lists[0])
        if named.lower() in (
            "data",
            "rows",
            "train",
            "examples",
            "instances",
            "records",
            "documents",
            "items",
        ):
            return lists[0]
    columns = [held for held in value.values() if isinstance(held, dict)]
    if columns and len(columns) == len(value) and all(held.keys() == columns[0].keys() for held in columns):
        if all(str(key).isdigit() for key in columns[0]):
            return [{name: held[key] for name, held in value.items()} for key in columns[0]]
    return None


class _Values:
    """JSON values one after another, from a text that is read a piece at a time."""

    def __init__(self, text: IO[str]) -> None:
        self._text, self._buffer, self._at, self.ended = text, "", 0, False
        self._decoder = json.JSONDecoder()

    def peek(self, between: str = "") -> str:
        """The next character that is neither white space nor one of those, or nothing at the end."""
        while True:
            rest = self._buffer[self._at : self._at + 64].lstrip(" \t\r\n\x1e\ufeff" + between)
            if rest:
                self._at += min(64, len(self._buffer) - self._at) - len(rest)
                return rest[0]
            self._at = min(self._at + 64, len(self._buffer))
            if self._at >= len(self._buffer) and not self._more(AT_ONCE):
                return ""

    def skip(self, n: int) -> None:
        self._at += n

    def take(self) -> Any:
        """The next value; ValueError where there is none."""
        piece = AT_ONCE
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except ValueError as error:
                # What is wrong at the end may only be that the rest has not been read; read twice as much each time.
                at_end = getattr(error, "pos", 0) >= len(self._buffer) - 16
                if not (at_end or "Unterminated" in str(error)) or not self._more(piece):
                    raise
                piece *= 2
                continue
            if end == len(self._buffer) and self._more(piece):  # a number may go on
                continue
            self._at = end
            return value

    def skip_line(self) -> bool:
        """Go to the next line; False where there is none."""
        while (end := self._buffer.find("\n", self._at)) < 0:
            if not self._more(AT_ONCE):
                return False
        self._at = end + 1
        return True

    def _more(self, n: int) -> bool:
        piece = "" if self.ended else self._text.read(n)
        self.ended = self.ended or not piece
        self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(piece)


def _csv(file: IO[bytes], path: Path, encoding: str | None, delimiter: str | None) -> Iterator[Placed]:
    """A table of text: every cell is the text it is, the words NA and None too; an empty cell is missing."""
    text, _ = _text_of(file, encoding)
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
                    yield Unread("more cells than the header has", where), where
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
    text, _ = _text_of(file, encoding)
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


def _undecoded(path: Path, error: UnicodeDecodeError, given: str | None, where: str = "") -> PoolError:
    at = f"{where}: " if where else ""
    byte = f"byte 0x{error.object[error.start]:02x}" if error.start < len(error.object) else "its end"
    if given is not None or error.encoding.lower() not in ("utf-8", "utf8"):
        return wrong(path, f"{at}no {given or error.encoding} text, {byte}")
    return PoolError(
        f"{path.name} is not what its suffix says ({at}no UTF-8 text, {byte}); save it as UTF-8, or name how it is "
        "written, for example encoding='cp1252'."
    )
