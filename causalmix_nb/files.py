"""Files that are written whole or not at all: whoever reads one finds what was there before, or all of what is there now.

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
