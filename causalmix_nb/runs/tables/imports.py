"""Tables of other people as the parts of runs.

Cells come from :mod:`causalmix_nb.runs.tables.tables`, what columns are from :mod:`causalmix_nb.runs.tables.import_columns`, which rows belong together from
:mod:`causalmix_nb.runs.tables.joining`. Here they meet, for two files (:func:`read_tables`) and for a table with everything in it (:func:`read_wide`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import RunsError, did_you_mean, listed
from causalmix_nb.runs.run_rows import seeds_as_runs
from causalmix_nb.runs.tables.better import Minimize, asked_names, directions_of
from causalmix_nb.runs.tables.columns import (
    METRICS,
    RATIOS,
    Columns,
    metric_name,
    read_alike,
    without_common_head,
)
from causalmix_nb.runs.tables.import_columns import (
    WHY,
    bare_name,
    covariate_frame,
    domain_columns,
    domain_shares,
    loose_domains,
    no_outcome,
    note_left_out,
    note_other_columns,
    note_unfinished,
    outcome_columns,
    outcome_frame,
    prepared,
    values_of,
)
from causalmix_nb.runs.tables.import_report import Imported, Notes
from causalmix_nb.runs.tables.joining import join, key_column, name_column
from causalmix_nb.runs.tables.shares import Found, distinct_names
from causalmix_nb.runs.tables.tables import counted_rows, numbered_rows

if TYPE_CHECKING:
    import pandas as pd


def read_tables(
    ratios: Any,
    metrics: Any,
    state: Any = None,
    scale: Any = None,
    *,
    on: str | None = None,
    minimize: Minimize = None,
    drop_incomplete: bool = False,
    normalise: bool = False,
) -> Imported:
    """Parts of runs from a table of ratios and one of metrics, and perhaps one of states and one of scales; see ``Runs.from_csv``."""
    notes = Notes()
    given = {"ratios": ratios, "metrics": metrics, "state": state, "scale": scale}
    tables, stated = {}, {}
    frames = {
        part: table
        for part, table in given.items()
        if table is not None and not isinstance(table, (list, tuple))
    }
    # DataFrames of which one was sorted or cut down belong together by their labels, not by where a row stands now.
    labelled = all(map(numbered_rows, frames.values())) and not all(map(counted_rows, frames.values()))
    for part, table in frames.items():
        tables[part], directions = prepared(table, on, notes, nameless=False, called=part, labelled=labelled)
        stated.update(
            {metric_name(name): low for name, low in directions.items()} if part == "metrics" else {}
        )
    tables, seeds = seeds_as_runs(tables, on)
    tables = read_alike(tables)
    notes.remarks += [seeds] if seeds else []
    order = list(tables)
    joined = join([tables[part] for part in order], on)
    notes.remarks += joined.remarks
    notes.doubts += joined.doubts
    rows = dict(zip(order, joined.rows))
    keys = {part: {k} - {None} for part, k in zip(order, joined.keys)}
    asked = _asked_columns(
        tables, {part: given[part] for part in ("state", "scale") if isinstance(given[part], (list, tuple))}
    )
    left, right = tables["ratios"], tables["metrics"]
    taken = {
        part: {k for where, k in asked.values() if where == part} | {k for k in keys[part] if k is not None}
        for part in order
    }
    found = domain_columns(left, rows["ratios"], taken["ratios"], normalise)
    if found is None:
        found = Found(loose_domains(left, rows["ratios"], taken["ratios"], normalise))
    if not found.domains:
        raise RunsError(f"{left.sheet.name} has no column of shares; give one column of numbers per domain.")
    note_other_columns(left, found, taken["ratios"], notes)
    domains, shares, kept = domain_shares(left, found, rows["ratios"], joined.names, normalise, notes)
    rows = {part: [some[r] for r in kept] for part, some in rows.items()}
    wanted = asked_names(minimize)
    again = {
        k for k, name in enumerate(right.sheet.header)
        if name in left.sheet.header and (j := left.sheet.header.index(name)) in found.domains
        and np.allclose(values_of(right, [k], rows["metrics"])[0], values_of(left, [j], rows["ratios"])[0], equal_nan=True)
    }  # fmt: skip
    for k in again:
        notes.column(right.sheet, k, "left out", "", "the share again")
    free = [k for k in range(len(right.sheet.header)) if k not in taken["metrics"] | again]
    scores = outcome_columns(right, free, wanted, notes)
    for k in {k for k in keys["metrics"] if k is not None}:
        notes.column(right.sheet, k, "run")
    names = without_common_head(list(scores.values()), ("metric/the_pile_", "valid_the_pile_", *METRICS))
    outcomes = outcome_frame(right, dict(zip(scores, names)), rows["metrics"], drop_incomplete, notes)
    if not outcomes.shape[1]:
        raise no_outcome(right, notes)
    covariates: dict[str, pd.DataFrame | None] = {}
    for part in ("state", "scale"):
        if part in tables:
            free = [k for k in range(len(tables[part].sheet.header)) if k not in taken[part]]
            covariates[part] = covariate_frame(tables[part], free, part, rows[part], notes)
            if covariates[part] is None:
                raise RunsError(
                    f"{tables[part].sheet.name} has no column of numbers for the {part}; give one column per covariate."
                )
        else:
            covariates[part] = _asked(
                tables, {name: at for name, at in asked.items() if name[0] == part}, part, rows, notes
            )
    for part in ("ratios", "metrics"):
        note_unfinished(tables[part], rows[part], notes)
    short = dict(zip(scores.values(), names))
    low = directions_of(
        list(outcomes.columns),
        minimize,
        {short.get(n, n): b for n, b in stated.items()},
        notes,
        {right.sheet.header[k]: short[name] for k, name in scores.items()},
    )
    files = " and ".join(dict.fromkeys(tables[part].sheet.name for part in ("ratios", "metrics")))
    title = _title(len(kept), len(domains), outcomes.shape[1], files)
    note_left_out(notes)
    return Imported(
        domains,
        shares,
        outcomes,
        covariates["state"],
        covariates["scale"],
        low,
        [joined.names[r] for r in kept],
        notes.report(title),
    )


def _asked_columns(
    tables: Mapping[str, Columns], named: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], tuple[str, int]]:
    """(part, name) of covariates that are named by their columns -> the table and column they stand in."""
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for part, names in named.items():
        for name in map(str, names):
            where = [
                (table, tables[table].sheet.header.index(name))
                for table in ("ratios", "metrics")
                if name in tables[table].sheet.header
            ]
            if not where:
                known = [
                    column
                    for table in ("ratios", "metrics")
                    for column in tables[table].sheet.header
                    if column
                ]
                raise RunsError(
                    f"{part} names {name!r}, which is a column of neither table.{did_you_mean(name, known)}"
                )
            found[part, name] = where[0]
    return found


def _asked(
    tables: Mapping[str, Columns],
    asked: Mapping[tuple[str, str], tuple[str, int]],
    part: str,
    rows: Mapping[str, list[int]],
    notes: Notes,
) -> pd.DataFrame | None:
    import pandas as pd

    out = {}
    for (_, name), (where, k) in asked.items():
        if not tables[where].numbers[k].numeric:
            raise RunsError(
                f"column {name!r} of {tables[where].sheet.name} holds no numbers, so it is no {part}."
            )
        out[bare_name(name)] = values_of(tables[where], [k], rows[where])[0][:, 0]
        notes.column(tables[where].sheet, k, part, bare_name(name))
    return pd.DataFrame(out) if out else None


def read_wide(
    table: Any,
    *,
    ratio: str = "ratio_",
    metric: str = "metric_",
    state: str = "state_",
    scale: str = "scale_",
    on: str | None = None,
    minimize: Minimize = None,
    normalise: bool = False,
) -> Imported:
    """Parts of runs from one table with everything in it; see ``Runs.from_wide``."""
    notes = Notes()
    columns, directions = prepared(table, on, notes)
    header, rows = columns.sheet.header, list(range(len(columns.sheet.rows)))
    key = name_column(columns) if on is None else key_column(columns.sheet, on)
    names = columns.sheet.column(key) if key is not None else [""] * len(rows)
    begins = partial(_beginning, columns)
    parts = {
        part: begins(head)
        for part, head in (("ratio", ratio), ("metric", metric), ("state", state), ("scale", scale))
    }
    named = {k for ks in parts.values() for k in ks} | ({key} if key is not None else set())
    prefixed = True
    if not parts["ratio"] and ratio == "ratio_":
        found = domain_columns(columns, rows, named, normalise)
        parts["ratio"] = (
            dict.fromkeys(found.domains, "") if found is not None and (len(found.domains) > 1) else {}
        )
        prefixed = False
    wanted = asked_names(minimize)
    scores: dict[int, str] = {}
    if parts["metric"]:
        for k, name in parts["metric"].items():
            scores.update(dict.fromkeys(outcome_columns(columns, [k], {name, header[k]}, notes), name))
    elif metric == "metric_" and parts["ratio"]:
        free = [k for k in range(len(header)) if k not in named and k not in parts["ratio"]]
        scores = outcome_columns(columns, free, wanted, notes)
    if not prefixed and parts["ratio"] and not scores:
        raise RunsError(
            f"no column begins with {ratio!r}, and beside those that sum to 1 there is none for an outcome; give the metrics as a second table, or "
            f"name the prefixes with ratio= and metric=. Columns are {', '.join(header[:8])}{'…' if len(header) > 8 else ''}."
        )
    for part, prefix, ks in (("ratio", ratio, parts["ratio"]), ("metric", metric, scores)):
        if not ks:
            raise RunsError(
                f"no column begins with {prefix!r}; name the prefix of the {part} columns with {part}=. "
                f"Columns are {', '.join(map(str, header[:8]))}{'…' if len(header) > 8 else ''}."
            )
    for k in range(len(header)):
        if k not in named | set(scores) | set(parts["ratio"]):
            notes.column(columns.sheet, k, "left out", "", WHY.get(columns.kind(k), "belongs to no part"))
    if key is not None:
        notes.column(columns.sheet, key, "run")
    if not prefixed:
        shown = [header[k] for k in parts["ratio"]]
        begun = any(all(bare_name(name).startswith(head) for name in shown) for head in RATIOS)
        remarks = notes.remarks if begun else notes.doubts
        remarks.append(
            f"no column begins with {ratio!r}: the domains are those that sum to 1, {listed(shown, 4)}"
        )
    domains, shares, kept = domain_shares(columns, Found(list(parts["ratio"])), rows, names, normalise, notes)
    if prefixed:
        domains = list(parts["ratio"].values())
        distinct_names(domains)
    outcomes = outcome_frame(columns, scores, kept, False, notes)
    if not outcomes.shape[1]:
        raise no_outcome(columns, notes)
    covariates = {
        part: covariate_frame(columns, parts[part], part, kept, notes) for part in ("state", "scale")
    }
    stated = {
        new: directions[old]
        for k, new in scores.items()
        for old in {header[k], metric_name(header[k])}
        if old in directions
    }
    note_unfinished(columns, kept, notes)
    low = directions_of(
        list(outcomes.columns), minimize, stated, notes, {header[k]: name for k, name in scores.items()}
    )
    title = _title(len(kept), len(domains), outcomes.shape[1], columns.sheet.name)
    return Imported(
        domains,
        shares,
        outcomes,
        covariates["state"],
        covariates["scale"],
        low,
        [names[r] for r in kept],
        notes.report(title),
    )


def _title(n_runs: int, n_domains: int, n_outcomes: int, source: str) -> str:
    counts = ((n_runs, "run"), (n_domains, "domain"), (n_outcomes, "outcome"))
    runs, domains, outcomes = (f"{n} {word}{'s' * (n != 1)}" for n, word in counts)
    return f"{runs} over {domains} with {outcomes}, from {source}"


def _beginning(columns: Columns, prefix: str) -> dict[int, str]:
    """Columns that begin with a prefix -> their names without it; its last sign may be ``_``, ``.`` or ``/``, and trackers put more before it."""
    found = {}
    signs = "_./" if prefix and prefix[-1] in "_./" else ""
    heads = tuple(
        {prefix, *(prefix[:-1] + sign for sign in signs), *(prefix[:-1] + "s" + sign for sign in signs)}
    )
    for k, name in enumerate(columns.sheet.header):
        for bare in (
            name,
            bare_name(name),
            metric_name(name) if name.startswith(("metrics.", "summary.")) else name,
        ):
            low = bare.casefold()
            head = next((h for h in heads if low.startswith(h.casefold()) and len(bare) > len(h)), None)
            if head is not None:
                found[k] = bare[len(head) :]
                break
    return found
