"""One process trains a study at a time: a lock on its folder, which dies with the process that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from causalmix_nb.errors import StudyError
from causalmix_nb.files import why_not

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = "training.lock"


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
    if lock is not None:
        lock.release()
