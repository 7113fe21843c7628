"""How the characters of a file are written, and the errors for a file that is something else than its name says."""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import IO, Any

from causalmix_nb.errors import PoolError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
AT_ONCE = 1 << 20  # characters of a file that are looked at together


def encoding_of(file: IO[bytes], given: str | None) -> tuple[str, bytes]:
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


def text_of(file: IO[bytes], encoding: str | None) -> tuple[IO[str], str]:
    """The characters of a file with its own line ends, and their encoding."""
    name, start = encoding_of(file, encoding)
    joined: Any = io.BufferedReader(Again(start, file), AT_ONCE)
    return io.TextIOWrapper(joined, encoding=name, newline=""), name


class Again(io.RawIOBase):
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


def wrong(path: Path, why: str) -> PoolError:
    """The error for a file that is something else than its name says."""
    return PoolError(f"{path.name} is not what its suffix says ({why}); check the file.")


def undecoded(path: Path, error: UnicodeDecodeError, given: str | None, where: str = "") -> PoolError:
    at = f"{where}: " if where else ""
    byte = f"byte 0x{error.object[error.start]:02x}" if error.start < len(error.object) else "its end"
    if given is not None or error.encoding.lower() not in ("utf-8", "utf8"):
        return wrong(path, f"{at}no {given or error.encoding} text, {byte}")
    return PoolError(
        f"{path.name} is not what its suffix says ({at}no UTF-8 text, {byte}); save it as UTF-8, or name how it is "
        "written, for example encoding='cp1252'."
    )
