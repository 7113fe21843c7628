"""The record of runs: one row per proxy training, from a SQLite file, two DataFrames or other people's CSVs.

A run is (mixture, state, scale, seed) -> outcomes. A finished run is committed in one transaction before
anybody is told about it, so a crash loses at most the runs in flight; a run is known by a key made from what
was asked for, so that asking again finds it instead of repeating it.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.backup import rescue, write_backup
from causalmix_nb.directions import lower_is_better
from causalmix_nb.errors import RunsError, did_you_mean
from causalmix_nb.mixture import as_shares

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.lm_eval import AttachedScores

SCHEMA_VERSION = 1
LOSSES = ("loss", "perplexity", "ppl", "bpb", "nll", "bits")  # in the name of an outcome: lower is better
ROUNDED = 5e-3  # tables with rounded shares sum to 1 only about so well
_LOCKED = "{path} is locked by another program; close what works on it (a notebook, a database browser), then repeat the step."
_PARTS = ("mixture", "state", "scale", "outcome")
_DATA = "CREATE TABLE IF NOT EXISTS data (key TEXT PRIMARY KEY, data TEXT NOT NULL)"  # made when first needed
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    key TEXT PRIMARY KEY, status TEXT NOT NULL, seed INTEGER, label TEXT,
    mixture TEXT NOT NULL, state TEXT NOT NULL, scale TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT
);
CREATE TABLE IF NOT EXISTS outcomes (name TEXT PRIMARY KEY, minimize INTEGER NOT NULL);
"""


class Runs:
    """A table of runs; make one with :meth:`from_frames`, :meth:`from_csv` or :meth:`open`.

    >>> import pandas as pd
    >>> mixtures = pd.DataFrame({"math": [0.2, 0.8], "code": [0.8, 0.2]})
    >>> runs = Runs.from_frames(mixtures, pd.DataFrame({"loss": [1.2, 1.1]}), minimize=True)
    >>> runs.domains, runs.outcome_names, runs.minimize
    (('math', 'code'), ('loss',), {'loss': True})
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self._db = connection
        self.path = path
        self._unsaved, self._saved_at, self._cost = False, -math.inf, 0.0  # of the backup

    # -- making ------------------------------------------------------------------------------------------

    @classmethod
    def from_frames(
        cls,
        mixtures: pd.DataFrame,
        outcomes: pd.DataFrame | pd.Series,
        state: pd.DataFrame | None = None,
        scale: pd.DataFrame | None = None,
        minimize: bool | Iterable[str] | Mapping[str, bool] = False,
    ) -> Runs:
        """Runs from DataFrames with one row per run and a common index.

        Parameters
        ----------
        mixtures: (n, K), one column per domain; shares may be rounded to three decimals.
        outcomes: (n, m), what each run scored, in its own units; NaN where it was not measured.
        state: (n, d) covariates measured before training, or None.
        scale: (n, s) model parameters, training tokens, …, all positive, or None.
        minimize: whether lower outcomes are better: for all of them, the names of those, or outcome -> whether.

        Raises
        ------
        RunsError: indices that differ, no row, or an outcome column that is not numeric.
        MixtureError: shares that are no mixture.
        """
        import pandas as pd

        outcomes = outcomes.to_frame() if isinstance(outcomes, pd.Series) else outcomes
        frames = {"mixture": mixtures, "state": state, "scale": scale, "outcome": outcomes}
        if not len(mixtures) or not mixtures.shape[1]:
            raise RunsError("there is no run: the table of mixtures is empty; give one row per run.")
        for part, frame in frames.items():
            if frame is None:
                continue
            if not frame.index.equals(mixtures.index):
                common = mixtures.index.intersection(frame.index)
                if len(common) != len(mixtures) or len(common) != len(frame) or not frame.index.is_unique:
                    raise RunsError(
                        f"the {part} table has other rows than the mixtures ({len(common)} of {len(mixtures)} in common); "
                        "give every table the same index."
                    )
            text = [str(c) for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
            if text:
                raise RunsError(
                    f"column {text[0]!r} of the {part} table is not numeric; drop it or convert it."
                )
        domains = [str(c) for c in mixtures.columns]
        shares = as_shares(mixtures, domains, tolerance=ROUNDED)
        names = [str(c) for c in outcomes.columns]
        lower = (
            set(names)
            if minimize is True
            else set()
            if minimize is False
            else {str(name) for name in minimize if not isinstance(minimize, Mapping) or minimize[name]}
        )
        for name in lower - set(names):
            raise RunsError(f"minimize names {name!r}, which is no outcome.{did_you_mean(name, names)}")
        runs = cls._memory()
        runs.declare_outcomes({name: name in lower for name in names})
        aligned = {part: frame.loc[mixtures.index] for part, frame in frames.items() if frame is not None}
        rows = []
        for i, index in enumerate(mixtures.index):
            row: dict[str, Any] = {
                "key": f"{i:06d}-{index}",
                "mixture": dict(zip(domains, shares[i].tolist())),
            }
            for part in ("state", "scale", "outcome"):
                if part in aligned:
                    row[part] = {str(c): float(v) for c, v in aligned[part].iloc[i].items()}
            rows.append(row)
        runs.add(rows)
        return runs

    @classmethod
    def from_csv(
        cls,
        ratios: str | Path,
        metrics: str | Path,
        *,
        on: str | None = None,
        minimize: bool | Iterable[str] | Mapping[str, bool] = True,
        drop_incomplete: bool = False,
    ) -> Runs:
        """Runs from a table of ratios and one of metrics, in the layouts that Olmix and RegMix publish.

        Parameters
        ----------
        ratios: CSV with one row per run and one column per domain.
        metrics: CSV with one row per run and one column per metric.
        on: the column that names a run in both; by default ``run``, ``run_id``, ``index`` or an unnamed first one.
        minimize: as in :meth:`from_frames`; published metrics are mostly losses, so True.
        drop_incomplete: leave out metrics that some run lacks.

        Raises
        ------
        RunsError: a file that is missing or not CSV, or tables that share no run.
        """
        import pandas as pd

        left, right = _read_table(ratios, on), _read_table(metrics, on)
        common = left.index.intersection(right.index)
        if not len(common):
            raise RunsError(
                f"{Path(ratios).name} and {Path(metrics).name} have no run in common; name the joining column with on=."
            )
        left, right = left.loc[common], right.loc[common]
        left = _as_shares_of_1(left.select_dtypes("number"))
        right = right.select_dtypes("number")
        right = right.dropna(axis=1) if drop_incomplete else right.dropna(axis=1, how="all")
        left.columns = _without_prefix(list(left.columns))
        right.columns = _without_prefix(list(right.columns))
        return cls.from_frames(pd.DataFrame(left), pd.DataFrame(right), minimize=minimize)

    @classmethod
    def from_wide(
        cls,
        table: str | Path | pd.DataFrame,
        *,
        ratio: str = "ratio_",
        metric: str = "metric_",
        state: str = "state_",
        scale: str = "scale_",
        on: str | None = None,
        minimize: bool | Iterable[str] | Mapping[str, bool] | None = None,
    ) -> Runs:
        """Runs from one table with everything in it, columns told apart by their prefixes.

        Parameters
        ----------
        table: CSV or DataFrame with one row per run.
        ratio, metric, state, scale: prefixes, which are dropped; ``.`` and ``/`` may stand for ``_`` in the table. Other columns are
            left out.
        on: the column that names a run, as in :meth:`from_csv`.
        minimize: as in :meth:`from_frames`; None decides by the name: a loss, perplexity, bpb, nll or bits is better when lower.

        Raises
        ------
        RunsError: a file that is missing or not CSV, or no column with one of the first two prefixes.

        >>> import pandas as pd
        >>> table = pd.DataFrame({"ratio_math": [0.2, 0.8], "ratio_code": [0.8, 0.2], "metric_gsm8k": [0.1, 0.2], "metric_val_loss": [3.0, 2.9]})
        >>> runs = Runs.from_wide(table)
        >>> runs.domains, runs.minimize
        (('math', 'code'), {'gsm8k': False, 'val_loss': True})
        """
        frame = _read_table(table, on) if isinstance(table, (str, Path)) else table
        parts = {part: _with_prefix(frame, prefix) for part, prefix in (("ratio", ratio), ("metric", metric))}
        for part, prefix in (("ratio", ratio), ("metric", metric)):
            if not parts[part].shape[1]:
                raise RunsError(
                    f"no column begins with {prefix!r}; name the prefix of the {part} columns with {part}=. "
                    f"Columns are {', '.join(map(str, frame.columns[:8]))}{'…' if frame.shape[1] > 8 else ''}."
                )
        shares, outcomes = _as_shares_of_1(parts["ratio"]), parts["metric"].dropna(axis=1, how="all")
        if minimize is None:
            minimize = [name for name in outcomes if any(word in name.lower() for word in LOSSES)]
        covariates, sizes = (_with_prefix(frame, prefix) for prefix in (state, scale))
        return cls.from_frames(
            shares,
            outcomes,
            covariates if covariates.shape[1] else None,
            sizes if sizes.shape[1] else None,
            minimize,
        )

    @classmethod
    def _memory(cls) -> Runs:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.executescript(_SCHEMA)
        return cls(connection, None)

    @classmethod
    def open(cls, path: str | Path, *, create: bool = False, timeout: float = 30.0) -> Runs:
        """Open the SQLite file of a study; several processes may read it while one writes.

        A store that is damaged, empty or gone is restored from the backup beside it (``runs.backup.sqlite``), with a warning that says so.
        timeout: seconds to wait for a process that holds the store locked.

        Raises
        ------
        RunsError: no such file (unless ``create``), a file that is no store of runs, one written by a newer version,
            or a folder that cannot be written.
        """
        path = Path(path)
        if said := rescue(path, timeout):
            warnings.warn(said, stacklevel=2)
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

    def close(self) -> None:
        self.back_up()
        self._db.close()

    # -- writing -----------------------------------------------------------------------------------------

    def declare_outcomes(self, minimize: Mapping[str, bool]) -> None:
        """Say which outcomes there are, and for which of them lower is better."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?)",
                [(name, int(low)) for name, low in minimize.items()],
            )

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Commit runs in one transaction.

        Each row has ``key`` and ``mixture``, and may have ``state``, ``scale``, ``outcome`` (dicts of floats),
        ``status`` ("done" or "failed"), ``seed``, ``label`` and ``reason``. A key that is there already as done
        is left as it is; a failed one is replaced.
        """
        records = [
            (
                row["key"],
                row.get("status", "done"),
                row.get("seed"),
                row.get("label"),
                *(json.dumps(row.get(part, {})) for part in _PARTS),
                row.get("reason"),
            )
            for row in rows
        ]
        with self._transaction():
            self._db.executemany(
                "INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT(key) DO UPDATE SET status=excluded.status, "
                "outcome=excluded.outcome, reason=excluded.reason WHERE runs.status != 'done'",
                records,
            )

    def add_outcomes(
        self, outcomes: Mapping[str, Mapping[str, float]], minimize: Mapping[str, bool] | None = None
    ) -> None:
        """Record further outcomes of finished runs, key -> outcome -> value, in one transaction; those of that name are replaced.

        minimize: outcome -> whether lower is better, for outcomes that are new.

        Raises
        ------
        RunsError: a key that no finished run has.
        """
        done = self.keys("done")
        for key in outcomes:
            if key not in done:
                raise RunsError(f"{key!r} is the key of no finished run.{did_you_mean(key, done)}")
        self.declare_outcomes(
            {name: low for name, low in (minimize or {}).items() if name not in self.minimize}
        )
        with self._transaction():
            for key, scores in outcomes.items():
                (text,) = self._db.execute("SELECT outcome FROM runs WHERE key = ?", (key,)).fetchone()
                merged = json.loads(text) | {name: float(value) for name, value in scores.items()}
                self._db.execute("UPDATE runs SET outcome = ? WHERE key = ?", (json.dumps(merged), key))

    def describe(self, data: Mapping[str, Mapping[str, float]]) -> None:
        """Note of runs what followed from how they were made, key -> name -> value: columns ``data.<name>``, which no fit conditions on."""
        with self._transaction():
            self._db.execute(_DATA)
            self._db.executemany(
                "INSERT OR REPLACE INTO data VALUES (?, ?)",
                [(key, json.dumps(values)) for key, values in data.items()],
            )

    def described(self) -> dict[str, dict[str, float]]:
        """What :meth:`describe` noted, key -> name -> value."""
        there = self._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'data'").fetchone()[0]
        rows = self._db.execute("SELECT key, data FROM data") if there else []
        return {key: json.loads(text) for key, text in rows}

    def declare_scores(self) -> None:
        """Declare outcomes that are recorded and not declared yet; the name says whether lower is better."""
        known, found = self.minimize, {}
        for (text,) in self._db.execute("SELECT outcome FROM runs WHERE status = 'done'"):
            found.update({name: lower_is_better(name) for name in json.loads(text) if name not in known})
        if found:
            self.declare_outcomes(found)

    def attach_lm_eval(self, path: str | Path, key: str | Mapping[str, str] | None = None) -> AttachedScores:
        """Record scores that an evaluation tool wrote; see :func:`causalmix_nb.lm_eval.attach_lm_eval`."""
        from causalmix_nb.lm_eval import attach_lm_eval

        return attach_lm_eval(self, path, key)

    def annotate(self, reasons: Mapping[str, str | None]) -> None:
        """Say of runs, key -> words, why they are as they are (a finished one: why it was not trained longer); None takes it back."""
        with self._transaction():
            self._db.executemany(
                "UPDATE runs SET reason = ? WHERE key = ?", [(words, key) for key, words in reasons.items()]
            )

    def back_up(self) -> None:
        """Bring the backup beside the store up to date; nothing is done where nothing has changed."""
        if self.path is not None and self._unsaved:
            start = time.monotonic()
            self._unsaved = not write_backup(self._db, self.path)
            self._saved_at = time.monotonic()
            self._cost = self._saved_at - start

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._db:
                yield
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

    # -- reading -----------------------------------------------------------------------------------------

    def keys(self, status: str | None = None) -> set[str]:
        """Keys of the recorded runs, optionally of one status ("done", "failed")."""
        query = "SELECT key FROM runs" + (" WHERE status = ?" if status else "")
        return {row[0] for row in self._db.execute(query, (status,) if status else ())}

    @property
    def minimize(self) -> dict[str, bool]:
        """Outcome name -> whether lower is better."""
        return {name: bool(low) for name, low in self._db.execute("SELECT * FROM outcomes ORDER BY rowid")}

    @property
    def outcome_names(self) -> tuple[str, ...]:
        return tuple(self.minimize)

    @property
    def domains(self) -> tuple[str, ...]:
        return self._names("mixture")

    @property
    def state_names(self) -> tuple[str, ...]:
        return self._names("state")

    @property
    def scale_names(self) -> tuple[str, ...]:
        return self._names("scale")

    def _names(self, part: str) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for (text,) in self._db.execute(f"SELECT DISTINCT {part} FROM runs ORDER BY rowid"):
            names.update(dict.fromkeys(json.loads(text)))
        return tuple(names)

    @property
    def frame(self) -> pd.DataFrame:
        """All runs as a tidy DataFrame, one row per run.

        Columns ``mixture.<domain>``, ``state.<name>``, ``scale.<name>``, ``outcome.<name>``, where noted ``data.<name>`` (tokens
        available, epochs), and the meta columns ``key``, ``status``, ``seed``, ``label``, ``reason``. Failed runs have NaN outcomes.
        """
        import pandas as pd

        query = (
            "SELECT key, status, seed, label, reason, mixture, state, scale, outcome FROM runs ORDER BY rowid"
        )
        rows, described = [], self.described()
        for key, status, seed, label, reason, *parts in self._db.execute(query):
            row = {"key": key, "status": status, "seed": seed, "label": label, "reason": reason}
            for part, text in zip(_PARTS, parts):
                values = json.loads(text)
                if part == "outcome" and status != "done":
                    values = dict.fromkeys(values, math.nan)
                row.update({f"{part}.{name}": value for name, value in values.items()})
            row.update({f"data.{name}": value for name, value in described.get(key, {}).items()})
            rows.append(row)
        frame = pd.DataFrame(rows, columns=None if rows else ["key", "status", "seed", "label", "reason"])
        shares = [column for column in frame if str(column).startswith("mixture.")]
        frame[shares] = frame[shares].fillna(0.0)
        for name in self.outcome_names:
            if f"outcome.{name}" not in frame:
                frame[f"outcome.{name}"] = math.nan
        return frame

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM runs").fetchone()[0])

    def __repr__(self) -> str:
        failed = len(self.keys("failed"))
        return (
            f"Runs({len(self)} runs{f', {failed} failed' if failed else ''}; domains {', '.join(self.domains)}; "
            f"outcomes {', '.join(self.outcome_names)})"
        )

    def to_csv(self, folder: str | Path) -> tuple[Path, Path]:
        """Write ``ratios.csv`` and ``metrics.csv``, joined on ``run``, into a folder; :meth:`from_csv` reads them back."""
        frame = self.frame
        frame = frame[frame["status"] == "done"].reset_index(drop=True)
        frame.insert(0, "run", range(len(frame)))
        folder = Path(folder)
        paths = folder / "ratios.csv", folder / "metrics.csv"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path, part in zip(paths, ("mixture", "outcome")):
                columns = [column for column in frame if column.startswith(f"{part}.")]
                frame[["run", *columns]].rename(
                    columns={c: c.removeprefix(f"{part}.") for c in columns}
                ).to_csv(path, index=False)
        except OSError as error:
            raise RunsError(
                f"cannot write to {folder} ({error.strerror}); choose a folder that can be written."
            ) from None
        return paths


def _read_table(path: str | Path, on: str | None) -> pd.DataFrame:
    import pandas as pd

    path = Path(path)
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise RunsError(f"no file {path}; check the path.") from None
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError):
        raise RunsError(
            f"{path.name} is not a CSV table; give a file with a header and one row per run."
        ) from None
    if on is not None and on not in frame:
        raise RunsError(f"{path.name} has no column {on!r}.{did_you_mean(on, frame.columns)}")
    keys = [on] if on else [c for c in ("run", "run_id", "index", "Unnamed: 0", "name") if c in frame]
    if not keys:
        return frame
    frame = frame.set_index(keys[0])
    if not frame.index.is_unique:
        raise RunsError(
            f"{path.name} names run {frame.index[frame.index.duplicated()][0]!r} twice; one row per run."
        )
    return frame.drop(
        columns=[c for c in frame if str(c).startswith("Unnamed") or c in ("run", "run_id", "name", "index")]
    )


def _as_shares_of_1(ratios: pd.DataFrame) -> pd.DataFrame:
    """Shares written in per cent as shares of 1."""
    sums = ratios.sum(axis=1)
    percent = (sums - 1).abs().max() > ROUNDED and (sums - 100).abs().max() <= 100 * ROUNDED
    return ratios / 100 if percent else ratios


def _with_prefix(frame: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Numeric columns that begin with a prefix, without it; its last sign may be ``_``, ``.`` or ``/``."""
    heads = tuple({prefix, *(prefix[:-1] + sign for sign in "_./" if prefix and prefix[-1] in "_./")})
    names = {column: str(column)[len(prefix) :] for column in frame if str(column).startswith(heads)}
    return frame[list(names)].rename(columns=names)


def _without_prefix(names: list[Any]) -> list[str]:
    """RegMix writes ``train_the_pile_arxiv`` and ``metric/the_pile_arxiv_val_loss``: drop what all columns share."""
    names = [str(name) for name in names]
    for prefix in ("train_the_pile_", "metric/the_pile_", "valid_the_pile_", "train_", "metric/"):
        if len(names) > 1 and all(name.startswith(prefix) for name in names):
            names = [name.removeprefix(prefix) for name in names]
    return names
