"""One process trains a study at a time: a lock on its folder, which dies with the process that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from causalmix_nb.errors import StudyError

LOCK = "training.lock"


def lock_study(folder: Path) -> IO[str] | None:
    """The lock of a study, held; it is given back by :func:`unlock_study`, or when the process ends, however it ends.

    Raises
    ------
    StudyError: another process, or another job of this one, holds it, or the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two notebooks on one study are not kept apart there
        return None
    try:
        handle = open(folder / LOCK, "a", encoding="utf-8")  # noqa: SIM115 - held until training ends
    except OSError as error:
        raise StudyError(
            f"cannot write {folder / LOCK} ({error.strerror}); make the folder writable."
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise StudyError(
            "this study is being trained already; %causalmix attach watches it, %causalmix stop ends it."
        ) from None
    return handle


def unlock_study(handle: IO[str] | None) -> None:
    if handle is not None:
        handle.close()
