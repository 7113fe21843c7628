"""JSON as rows, one after another: lines of objects, an array of them, values one after another, a table in one object.

Only a piece of a file is in memory at a time. A line that is broken is passed on as :class:`~causalmix_nb.data.documents.documents.Unread`, with its number.
"""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from causalmix_nb.data.documents.chats import is_chat
from causalmix_nb.data.documents.documents import Placed, Row, Unread
from causalmix_nb.data.documents.encodings import AT_ONCE, Again, encoding_of, text_of, undecoded, wrong
from causalmix_nb.errors import PoolError


def json_lines(file: IO[bytes], path: Path, encoding: str | None) -> Iterator[Placed]:
    """JSON lines. One broken line is passed on as such; where none is whole, the file is no JSON lines."""
    name, start = encoding_of(file, encoding)
    stream = io.BufferedReader(Again(start, file), AT_ONCE)
    if name not in ("utf-8", "utf-8-sig") or b"\r" in start[:-1].replace(b"\r\n", b""):
        yield from json_values(stream, path, name)
        return
    whole, foreign, native, broken, error = 0, 0, 0, "", None
    for number, line in enumerate(stream, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        where = f"line {number:,}"
        try:
            text = line.decode()
        except UnicodeDecodeError as failed:
            error = error or (where, failed)
            foreign += line.endswith(b"\n")  # else it is the end of a writer that was stopped
            yield Unread("a line that is no UTF-8"), where
            continue
        native += not text.isascii()
        rows = _value(text)
        opens = number == 1 and text.lstrip()[:1] in ("[", "{")
        if (
            opens and isinstance(rows[0], Unread) and stream.peek(1)
        ):  # one value over several lines, if it is any
            yield from json_values(io.BufferedReader(Again(line, stream), AT_ONCE), path, None)
            return
        for row in rows:
            if isinstance(row, Unread):
                broken = broken or f"{where}: {row.reason}"
            else:
                whole += 1
            yield row, where
    if error and foreign and not native:  # no line proves that the file is UTF-8 with some damage
        raise undecoded(path, error[1], encoding, error[0])
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
        return [Unread("JSON nested too deeply")]
    except ValueError as error:
        try:
            if not text.endswith(","):
                raise error
            value = json.loads(text[:-1])
        except (ValueError, RecursionError):
            return [Unread(f"broken JSON ({_why(error)})")]
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
    return {"messages": value} if is_chat(value) else Unread("JSON that is no object")


def _why(error: ValueError) -> str:
    return getattr(error, "msg", str(error))[:60]


def json_values(file: IO[bytes], path: Path, encoding: str | None) -> Iterator[Placed]:
    """A file of JSON values: one array of rows, an object that holds one, or values one after another."""
    text, _ = text_of(file, encoding)
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
                yield Unread("JSON that breaks off"), where
                return
            if array or not pieces.skip_line():
                raise wrong(path, why) from None
            broken = broken or why
            yield Unread("broken JSON"), where
            continue
        rows = [value]
        if number == 1 and not array and isinstance(value, dict):
            rows = _inner(value) or rows
        for i, inner in enumerate(rows, 1):
            row = _row(inner)
            place = where if len(rows) == 1 else f"row {i:,}"
            whole += not isinstance(row, Unread)
            yield row, place
    if array and first != "]":
        yield Unread("JSON that breaks off"), f"row {number + 1:,}"
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
    alike = all(held.keys() == columns[0].keys() for held in columns)
    if columns and len(columns) == len(value) and alike and all(str(key).isdigit() for key in columns[0]):
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
