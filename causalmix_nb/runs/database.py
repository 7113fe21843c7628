"""The SQLite file that runs are kept in: opened, restored, locked, written in transactions, backed up."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from causalmix_nb.errors import RunsError
from causalmix_nb.runs.backup import rescue, write_backup

DATA = "CREATE TABLE IF NOT EXISTS data (key TEXT PRIMARY KEY, data TEXT NOT NULL)"  # made when first needed
SCHEMA_VERSION = 1
_LOCKED = "{path} is locked by another program; close what works on it (a notebook, a database browser), then repeat the step."
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    key TEXT PRIMARY KEY, status TEXT NOT NULL, seed INTEGER, label TEXT,
    mixture TEXT NOT NULL, state TEXT NOT NULL, scale TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT
);
CREATE TABLE IF NOT EXISTS outcomes (name TEXT PRIMARY KEY, minimize INTEGER NOT NULL);
"""


class Database:
    """One file, or a database in memory where ``path`` is None; make one with :meth:`open` or :meth:`memory`."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self._connection, self.path = connection, path
        self._unsaved, self._saved_at, self._cost = False, -math.inf, 0.0  # of the backup

    @classmethod
    def memory(cls) -> Database:
        """An empty one that no file holds."""
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.executescript(_SCHEMA)
        return cls(connection, None)

    @classmethod
    def open(cls, path: Path, create: bool, timeout: float) -> Database:
        """The file at a path; what happens and what is raised is said in :meth:`causalmix_nb.runs.store.Runs.open`."""
        if text := rescue(path, timeout):
            warnings.warn(text, stacklevel=3)
        try:
            if not create and not path.exists():
                raise RunsError(f"no runs at {path}; check the path, or start a study with Study.create().")
            connection = sqlite3.connect(path, timeout=timeout, check_same_thread=False)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise RunsError(
                    f"{path} was written by a newer version (format {version}, this one reads {SCHEMA_VERSION}); upgrade causalmix_nb."
                )
            with contextlib.suppress(sqlite3.OperationalError):  # a read-only store stays readable
                # A rollback journal, not a write-ahead log: the store is then one file that can be copied at any moment, lies on a shared
                # file system and opens from a read-only one. Runs are committed every few seconds at most, so readers hardly ever wait.
                connection.execute("PRAGMA journal_mode=DELETE")
                connection.execute("PRAGMA synchronous=EXTRA")  # the end of the journal reaches the disk too
            if version < SCHEMA_VERSION:
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    raise RunsError(
                        f"{path} is a database, but not a store of runs; give the runs.sqlite of a study."
                    )
                connection.executescript(_SCHEMA)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                connection.commit()
        except (sqlite3.OperationalError, PermissionError) as error:
            if "locked" in str(error):
                raise RunsError(_LOCKED.format(path=path)) from None
            raise RunsError(f"cannot open {path} ({error}); is its folder there and writable?") from None
        except sqlite3.DatabaseError:
            raise RunsError(
                f"{path} is not a store of runs, or it is damaged; give the runs.sqlite of a study."
            ) from None
        return cls(connection, path)

    def execute(self, query: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Rows that a query finds."""
        return self._connection.execute(query, values)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all that is written in the block, or nothing.

        Raises
        ------
        RunsError: a file that is locked, damaged, or cannot be written.
        """
        try:
            with self._connection:
                yield self._connection
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise  # a mistake of ours
            if "locked" in str(error):
                raise RunsError(_LOCKED.format(path=self.path)) from None
            if not isinstance(error, sqlite3.OperationalError) or "no such table" in str(error):
                raise RunsError(
                    f"{self.path} is damaged ({error}); open the study again, and its backup is put back."
                ) from None
            raise RunsError(
                f"cannot write runs to {self.path} ({error}); free disk space or make the folder writable, then run again."
            ) from None
        self._unsaved = True
        if (
            time.monotonic() - self._saved_at >= 20 * self._cost
        ):  # at most a twentieth of the time goes into backups
            self.back_up()

    def back_up(self) -> None:
        """Bring the backup beside the file up to date; nothing is done where nothing has changed."""
        if self.path is not None and self._unsaved:
            start = time.monotonic()
            self._unsaved = not write_backup(self._connection, self.path)
            self._saved_at = time.monotonic()
            self._cost = self._saved_at - start

    def close(self) -> None:
        """Back up and close."""
        self.back_up()
        self._connection.close()
