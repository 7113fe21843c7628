"""Whether files are still what they were when they were written: a checksum at the first look, size and time of change after that."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from causalmix_nb.errors import StudyError

_BLOCK = 1 << 20


def checksum(path: Path) -> str:
    """Size and CRC-32 of a file, as text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x"
    ...     _ = path.write_bytes(b"123456789")
    ...     checksum(path)
    '9-cbf43926'
    """
    size = crc = 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return f"{size}-{crc:08x}"


def checksums(paths: Iterable[Path]) -> dict[str, str]:
    """File name -> :func:`checksum`."""
    return {path.name: checksum(path) for path in paths}


class Checked:
    """Files of a folder that must stay as they are; :meth:`check` is cheap enough to be called for every chunk of runs.

    Parameters
    ----------
    folder: where they lie.
    expected: file name -> checksum; none for folders written before there were any.
    remedy: what to do about a file that changed, the end of a sentence.
    """

    def __init__(self, folder: Path, expected: Mapping[str, str], remedy: str) -> None:
        self.folder, self.expected, self._remedy = folder, dict(expected), remedy
        self._seen: dict[str, tuple[int, int, int]] = {}

    def check(self) -> None:
        """Raise
        ------
        StudyError: a file that vanished, cannot be read or is another one now.
        """
        for name, expected in self.expected.items():
            path = self.folder / name
            try:
                stat = path.stat()
                mark = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
                if self._seen.get(name) == mark:
                    continue
                same = checksum(path) == expected
            except OSError as error:
                raise StudyError(f"{path} cannot be read ({error.strerror}); {self._remedy}.") from None
            if not same:
                raise StudyError(f"{path} has changed since it was written; {self._remedy}.")
            self._seen[name] = mark
