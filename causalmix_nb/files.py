"""Files that one can rely on: written whole or not at all, trained on by one process at a time, checked to be what they were.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder) / "note.json"
...     write_whole(path, "{}")
...     path.read_text(), [other.name for other in path.parent.iterdir()]
('{}', ['note.json'])
"""

from __future__ import annotations

import errno
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from causalmix_nb.errors import StudyError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = "training.lock"
_BLOCK = 1 << 20  # bytes that are read at once
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


# -- whole or not at all -----------------------------------------------------------------------------


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A new, empty file in the same folder, to be written in the block; when that ends well, it takes the place of ``path``.

    Its name is random and it is made, never opened, so that nothing that lies there under a guessed name is written through. A link is
    followed; the permissions of a file that is there are kept. Where the block raises, the new file goes and ``path`` stays as it is.

    durable: wait until the disk has it, so that it survives a loss of power too; not needed for what can be made again.

    Raises
    ------
    OSError: it cannot be written; :func:`why_not` makes a sentence of it.
    """
    real = Path(os.path.realpath(path))
    partial = real.with_name(f".{real.name[:100]}.{secrets.token_hex(8)}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(partial, flags, 0o666))
    try:
        yield partial
        with suppress(FileNotFoundError):
            partial.chmod(real.stat().st_mode & 0o777)
        if durable:
            _sync(partial)
        os.replace(partial, real)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    if durable:
        with suppress(OSError):  # not every system opens folders
            _sync(real.parent)


def write_whole(path: Path, content: str | bytes, durable: bool = True) -> None:
    """Replace a file by text (UTF-8, line ends as they are) or bytes, whole or not at all; errors as :func:`replacing`."""
    with replacing(path, durable) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def why_not(path: Path, error: OSError) -> str:
    """Why a file could not be written and what to do about it, without a full stop.

    >>> why_not(Path("a/b"), OSError(errno.ENOSPC, "No space left on device"))
    'cannot write a/b (No space left on device); free disk space'
    """
    if error.errno in FULL:
        do = "free disk space"
    elif error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL):
        do = "choose another name"
    elif error.errno == errno.ENOENT:
        do = f"make the folder {path.parent}"
    elif error.errno == errno.EROFS:
        do = "choose a folder that can be written"
    else:
        do = "make the folder writable"
    return f"cannot write {path} ({error.strerror or error}); {do}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- one process at a time ---------------------------------------------------------------------------


def lock_study(folder: Path) -> BaseFileLock:
    """The lock of a study, held; it is given back by :func:`unlock_study`, or when the process ends, however it ends.

    Raises
    ------
    StudyError: another process, or another job of this one, holds it, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(
        folder / LOCK, blocking=False, thread_local=False
    )  # a job takes it in one thread and gives it back in another
    try:
        lock.acquire()
    except Timeout:
        raise StudyError(
            "this study is being trained already; %causalmix attach watches it, %causalmix stop ends it."
        ) from None
    except OSError as error:
        raise StudyError(f"{why_not(folder / LOCK, error)}.") from None
    return lock


def unlock_study(lock: BaseFileLock | None) -> None:
    """Give a lock back; nothing without one."""
    if lock is not None:
        lock.release()


# -- still what they were ----------------------------------------------------------------------------


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
