"""The record of runs: one row per proxy training, from a SQLite file, two DataFrames or other people's CSVs.

A run is (mixture, state, scale, seed) -> outcomes. A finished run is committed in one transaction before
anybody is told about it, so a crash loses at most the runs in flight; a run is known by a key made from what
was asked for, so that asking again finds it instead of repeating it.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import RunsError, did_you_mean
from causalmix_nb.runs.covariates import todays_state
from causalmix_nb.runs.csv_folder import write_csv
from causalmix_nb.runs.database import DATA, Database
from causalmix_nb.runs.directions import lower_is_better
from causalmix_nb.runs.lm_eval import AttachedScores, attach_lm_eval
from causalmix_nb.runs.tables.frames import of_frames
from causalmix_nb.runs.tables.import_report import Imported, ImportReport
from causalmix_nb.runs.tables.imports import read_tables, read_wide

if TYPE_CHECKING:
    import pandas as pd

_PARTS = ("mixture", "state", "scale", "outcome")


class Runs:
    """A table of runs; make one with :meth:`from_frames`, :meth:`from_csv`, :meth:`from_wide` or :meth:`open`.

    import_report: what was read of other people's tables, joined, rescaled, left out and assumed; None for runs of our own.

    >>> import pandas as pd
    >>> mixtures = pd.DataFrame({"math": [0.2, 0.8], "code": [0.8, 0.2]})
    >>> runs = Runs.from_frames(mixtures, pd.DataFrame({"loss": [1.2, 1.1]}), minimize=True)
    >>> runs.domains, runs.outcome_names, runs.minimize
    (('math', 'code'), ('loss',), {'loss': True})
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self.import_report: ImportReport | None = None

    @property
    def path(self) -> Path | None:
        """The file; None for runs in memory."""
        return self._db.path

    # -- making ------------------------------------------------------------------------------------------

    @classmethod
    def from_frames(
        cls,
        mixtures: pd.DataFrame,
        outcomes: pd.DataFrame | pd.Series,
        state: pd.DataFrame | None = None,
        scale: pd.DataFrame | None = None,
        minimize: bool | Iterable[str] | Mapping[str, bool] = False,
        normalise: bool = False,
    ) -> Runs:
        """Runs from DataFrames with one row per run and a common index.

        Parameters
        ----------
        mixtures: (n, K), one column per domain; shares may be rounded, in per cent or counts of tokens, which is then said.
        outcomes: (n, m), what each run scored, in its own units; NaN where it was not measured.
        state: (n, d) covariates measured before training, or None.
        scale: (n, s) model parameters, training tokens, …, all positive, or None.
        minimize: whether lower outcomes are better: for all of them, the names of those, or outcome -> whether.
        normalise: rescale shares that do not sum to 1 instead of refusing them.

        Labels of rows are the names of the runs; rows with equal labels are paired by where they stand, if all tables have them in one order.

        Raises
        ------
        RunsError: indices that differ, no row, columns of one name, or a column that is not numeric.
        MixtureError: shares that are no mixture.
        """
        made = of_frames(mixtures, outcomes, state, scale, minimize, normalise)
        return cls._imported(made)

    @classmethod
    def from_csv(
        cls,
        ratios: str | Path | pd.DataFrame,
        metrics: str | Path | pd.DataFrame,
        state: str | Path | pd.DataFrame | Sequence[str] | None = None,
        scale: str | Path | pd.DataFrame | Sequence[str] | None = None,
        *,
        on: str | None = None,
        minimize: bool | Iterable[str] | Mapping[str, bool] | None = None,
        drop_incomplete: bool = False,
        normalise: bool = False,
    ) -> Runs:
        """Runs from a table of ratios and one of metrics, as people, spreadsheets and trackers write them.

        The rows are joined by what names a run in both, whatever it is called there. Columns of trackers, settings and what does not sum with
        the shares are left out. What was read, joined, rescaled and assumed is in ``runs.import_report``; what of it may be wrong is warned of.

        Parameters
        ----------
        ratios: file (or DataFrame) with one row per run and one column per domain: shares, per cent or counts of tokens.
        metrics: file (or DataFrame) with one row per run and one column per metric.
        state, scale: a file of covariates each, one row per run, or names of columns of the first two.
        on: the column that names a run in all files; by default it is looked for.
        minimize: as in :meth:`from_frames`; None decides by the words of each name, unless the file itself has a row ``higher_is_better``.
        drop_incomplete: leave out metrics that some run lacks.
        normalise: rescale shares that do not sum to 1 instead of refusing them.

        Raises
        ------
        RunsError: a file that is missing or no table, tables that share no run, or a run with several rows.
        MixtureError: an empty share, or shares that do not sum to 1, by run and column.
        """
        made = read_tables(
            ratios, metrics, state, scale,
            on=on, minimize=minimize, drop_incomplete=drop_incomplete, normalise=normalise,
        )  # fmt: skip
        return cls._imported(made)

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
        normalise: bool = False,
    ) -> Runs:
        """Runs from one table with everything in it, columns told apart by their prefixes.

        Parameters
        ----------
        table: file or DataFrame with one row per run.
        ratio, metric, state, scale: prefixes, which are dropped; ``.`` and ``/`` may stand for ``_`` in the table, and a tracker's ``params.`` or
            ``metrics.`` before them. Other columns are left out. In a table without ``ratio_`` the columns that sum to 1 are the domains.
        on: the column that names a run, by default looked for.
        minimize, normalise: as in :meth:`from_csv`.

        Raises
        ------
        RunsError: a file that is missing or no table, or no column with one of the first two prefixes.
        MixtureError: an empty share, or shares that do not sum to 1, by run and column.

        >>> import pandas as pd
        >>> table = pd.DataFrame({"ratio_math": [0.2, 0.8], "ratio_code": [0.8, 0.2], "metric_gsm8k_acc": [0.1, 0.2], "metric_val_loss": [3.0, 2.9]})
        >>> runs = Runs.from_wide(table)
        >>> runs.domains, runs.minimize
        (('math', 'code'), {'gsm8k_acc': False, 'val_loss': True})
        """
        prefixes = {"ratio": ratio, "metric": metric, "state": state, "scale": scale}
        return cls._imported(read_wide(table, **prefixes, on=on, minimize=minimize, normalise=normalise))

    @classmethod
    def _imported(cls, made: Imported) -> Runs:
        """Runs of parts; each is known by its own name where it has one."""
        runs = cls(Database.memory())
        runs.import_report = made.report
        runs.declare_outcomes(made.minimize)
        names = made.names
        own = all(names) and len(set(names)) == len(names)
        keys = names if own else [f"{i:06d}-{name or i}" for i, name in enumerate(names)]
        parts = {"state": made.state, "scale": made.scale, "outcome": made.outcomes}
        mixtures = [dict(zip(made.domains, shares)) for shares in made.shares.T.tolist()]
        rows: list[dict[str, Any]] = [
            {"key": k, "label": name or None, "mixture": m} for k, name, m in zip(keys, names, mixtures)
        ]
        for part, frame in parts.items():
            columns = [] if frame is None else list(map(str, frame.columns))
            for row, values in zip(rows, [] if frame is None else frame.to_numpy(dtype=float).tolist()):
                row[part] = dict(zip(columns, values))
        runs.add(rows)
        if made.shares.totals is not None:
            runs.describe({key: {"tokens": float(n)} for key, n in zip(keys, made.shares.totals)})
        if made.report is not None and made.report.doubts:
            doubts = "; ".join(made.report.doubts)
            warnings.warn(
                f"assumed on import: {doubts}. All that was done is in runs.import_report.", stacklevel=3
            )
        return runs

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
        return cls(Database.open(Path(path), create, timeout))

    def close(self) -> None:
        self._db.close()

    # -- writing -----------------------------------------------------------------------------------------

    def declare_outcomes(self, minimize: Mapping[str, bool]) -> None:
        """Say which outcomes there are, and for which of them lower is better."""
        with self._db.writing() as write:
            write.executemany(
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
        with self._db.writing() as write:
            write.executemany(
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
        with self._db.writing() as write:
            for key, scores in outcomes.items():
                (text,) = write.execute("SELECT outcome FROM runs WHERE key = ?", (key,)).fetchone()
                merged = json.loads(text) | {name: float(value) for name, value in scores.items()}
                write.execute("UPDATE runs SET outcome = ? WHERE key = ?", (json.dumps(merged), key))

    def describe(self, data: Mapping[str, Mapping[str, float]]) -> None:
        """Note of runs what followed from how they were made, key -> name -> value: columns ``data.<name>``, which no fit conditions on."""
        with self._db.writing() as write:
            write.execute(DATA)
            write.executemany(
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
        """Record scores that an evaluation tool wrote; see :func:`causalmix_nb.runs.lm_eval.attach_lm_eval`."""
        return attach_lm_eval(self, path, key)

    def annotate(self, reasons: Mapping[str, str | None]) -> None:
        """Say of runs, key -> words, why they are as they are (a finished one: why it was not trained longer); None takes it back."""
        with self._db.writing() as write:
            write.executemany(
                "UPDATE runs SET reason = ? WHERE key = ?", [(words, key) for key, words in reasons.items()]
            )

    def back_up(self) -> None:
        """Bring the backup beside the store up to date; nothing is done where nothing has changed."""
        self._db.back_up()

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
            found = json.loads(text)
            names.update(dict.fromkeys(todays_state(found) if part == "state" else found))
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
                if part == "state":
                    values = todays_state(values)
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
        report = self.import_report
        noted = (
            f"; {len(report.sentences)} notes on their import in import_report"
            if report is not None and report.sentences
            else ""
        )
        return (
            f"Runs({len(self)} runs{f', {failed} failed' if failed else ''}; domains {', '.join(self.domains)}; "
            f"outcomes {', '.join(self.outcome_names)}{noted})"
        )

    def to_csv(self, folder: str | Path) -> tuple[Path, Path]:
        """Write ``ratios.csv`` and ``metrics.csv``, joined on ``run``, into a folder; :meth:`from_csv` reads them back.

        Where there are states or scales, ``state.csv`` and ``scale.csv`` are written beside them.

        Raises
        ------
        RunsError: a folder that cannot be written.
        """
        frame = self.frame
        return write_csv(frame[frame["status"] == "done"], Path(folder))
