"""A second copy of a store of runs, and what is done with it when the first one is damaged or gone.

The copy is made with SQLite's own online backup, checked, and put in place whole or not at all. It is only ever replaced by one that has at
least as many finished runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from causalmix_nb.errors import RunsError, StudyError
from causalmix_nb.files import lock_study, unlock_study

FINE, MISSING, DAMAGED, BUSY = "fine", "missing", "damaged", "busy"
_DONE = "SELECT count(*) FROM runs WHERE status = 'done'"


def backup_of(path: Path) -> Path:
    """Where the copy of a store lies.

    >>> backup_of(Path("study/runs.sqlite")).name
    'runs.backup.sqlite'
    """
    return path.with_name(f"{path.stem}.backup{path.suffix}")


def write_backup(store: sqlite3.Connection, path: Path) -> bool:
    """Copy an open store next to its file; whether that went well. A copy that cannot be written never stops the training."""
    target = backup_of(path)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        copy = sqlite3.connect(partial)
        try:
            store.backup(copy)
            good = copy.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            good = good and _finished(copy) >= (_count(target) if target.exists() else 0)
        finally:
            copy.close()
        if good:
            os.replace(partial, target)
        return good
    except (sqlite3.Error, OSError):
        return False
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def rescue(path: Path, timeout: float = 30.0) -> str | None:
    """Look whether a store can be trusted, before it is opened, and put back what only its backup has; what was done, in one sentence.

    Raises
    ------
    RunsError: a damaged store with no backup, with a damaged one, or while it is being trained.
    """
    backup, how = backup_of(path), condition(path, timeout)
    if how == BUSY or (how == MISSING and not backup.exists()):
        return None  # said by whoever opens it
    if how == FINE:
        return _put_back(path, backup) if backup.exists() else None
    if condition(backup, timeout) != FINE:
        raise RunsError(
            f"{path} is not a store of runs, or it is damaged, and there is no good backup beside it; give the runs.sqlite of a study."
        )
    try:
        lock = lock_study(path.parent)
    except StudyError as error:
        raise RunsError(f"{path} is {how} and cannot be restored now: {error}") from None
    try:
        kept = _set_aside(path) if how == DAMAGED else None
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        shutil.copyfile(backup, partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise RunsError(
            f"{path} is {how} and cannot be restored from {backup.name} ({error.strerror}); free disk space or make the folder writable."
        ) from None
    finally:
        unlock_study(lock)
    text = f"{path} was {how}; its backup with {_count(path)} finished runs was put in its place"
    return text + (f", and what was there is kept as {kept.name}." if kept else ".")


def condition(path: Path, timeout: float = 30.0) -> str:
    """Whether a store can be read: "fine", "missing" (an empty file counts as such), "damaged" or "busy"."""
    try:
        if not path.exists() or not path.stat().st_size:
            return MISSING
        connection = sqlite3.connect(path, timeout=timeout)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except (sqlite3.OperationalError, PermissionError):
        return BUSY
    except sqlite3.DatabaseError:
        return DAMAGED
    return FINE if found == "ok" else DAMAGED


def _put_back(path: Path, backup: Path) -> str | None:
    """Runs that are finished in the backup and not in the store: an older copy of it was put there, or it was made anew."""
    try:
        store = sqlite3.connect(path, timeout=5)
    except sqlite3.Error:
        return None
    try:
        store.execute("ATTACH ? AS backup", (str(backup),))
        missing = "status = 'done' AND key NOT IN (SELECT key FROM main.runs WHERE status = 'done')"
        n = store.execute(f"SELECT count(*) FROM backup.runs WHERE {missing}").fetchone()[0]
        if not n:
            return None
        with store:
            store.execute(f"INSERT OR REPLACE INTO main.runs SELECT * FROM backup.runs WHERE {missing}")
            store.execute("INSERT OR IGNORE INTO main.outcomes SELECT * FROM backup.outcomes")
    except (
        sqlite3.Error
    ):  # another table, another format, read-only, busy: whoever opens it says what is wrong
        return None
    finally:
        store.close()
    return f"{n} finished runs that {path.name} lacked were put back from {backup.name}."


def _set_aside(path: Path) -> Path:
    n = 0
    while (kept := path.with_name(f"{path.stem}.damaged{n or ''}{path.suffix}")).exists():
        n += 1
    os.replace(path, kept)
    for suffix in (
        "-journal",
        "-wal",
        "-shm",
    ):  # they belong to the damaged file; beside another one they would do harm
        with contextlib.suppress(OSError):
            os.replace(f"{path}{suffix}", f"{kept}{suffix}")
    return kept


def _finished(store: sqlite3.Connection) -> int:
    return int(store.execute(_DONE).fetchone()[0])


def _count(path: Path) -> int:
    """Finished runs of a store on disk; 0 if it cannot be read."""
    try:
        store = sqlite3.connect(path)
        try:
            return _finished(store)
        finally:
            store.close()
    except sqlite3.Error:
        return 0
