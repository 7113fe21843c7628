"""The columns of one table as shares, outcomes and covariates, with a note of every column that is none of them.

What a name says stands in :mod:`causalmix_nb.runs.tables.columns`, what numbers say in :mod:`causalmix_nb.runs.tables.shares`; here they decide together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import MixtureError, RunsError, listed
from causalmix_nb.runs.run_rows import one_row_a_run, with_names
from causalmix_nb.runs.tables.better import said_by_table
from causalmix_nb.runs.tables.columns import (
    METRICS,
    NOT_METRICS,
    RATIOS,
    SETTING_HEADS,
    Columns,
    metric_name,
    of_charts,
    spread_of,
    unambiguous,
    without_common_head,
)
from causalmix_nb.runs.tables.import_report import Notes
from causalmix_nb.runs.tables.numerals import EXACT, FAILED
from causalmix_nb.runs.tables.shares import Found, Shares, distinct_names, find_shares, rescale
from causalmix_nb.runs.tables.tables import Sheet, may_sum_up, normal, read_sheet, without_totals

if TYPE_CHECKING:
    import pandas as pd

FINISHED = frozenset("finished success succeeded done completed complete ok".split())
WHY = {"key": "names the run", "row": "numbers the rows", "tracker": "a tracker's own", "setting": "a setting", "size": "a size",
       "total": "the sum of the shares"}  # fmt: skip


def prepared(
    table: Any,
    on: str | None,
    notes: Notes,
    nameless: bool = True,
    called: str = "the table",
    labelled: bool = False,
) -> tuple[Columns, dict[str, bool]]:
    """A sheet with one row per run, and column -> whether lower is better where the sheet says so itself."""
    sheet, stated = said_by_table(of_charts(read_sheet(table, called, labelled)))
    sheet, twice = unambiguous(sheet)
    names = _row_names(sheet)
    if names is not None and len(sheet.rows) > 2 and may_sum_up(names[-1]):
        columns = Columns(sheet)
        numbers = {k: found.values for k, found in enumerate(columns.numbers)
                if found.n_numbers == len(sheet.rows) and columns.kind(k) not in ("key", "row", "tracker")}  # fmt: skip
        sheet, note = without_totals(sheet, numbers, names)
        notes.doubts += [note] if note else []
    if not nameless:  # rows that are to be joined
        sheet, without = with_names(sheet, on)
        notes.doubts += without
    sheet, history = one_row_a_run(sheet, on)
    notes.remarks += [*sheet.notes, *twice, *history]
    return Columns(sheet), stated


def _row_names(sheet: Sheet) -> list[str] | None:
    columns = Columns(sheet)
    for kinds in (("key",), ("row",)):
        for k in range(len(sheet.header)):
            if columns.kind(k) in kinds:
                return sheet.column(k)
    words = [
        k
        for k in range(len(sheet.header))
        if any(re.search(r"[^\W\d_]", cell) for cell in sheet.column(k)[:-1])
    ]
    return sheet.column(words[0]) if words else None


def bare_name(name: str) -> str:
    """A setting's name without what a tracker puts before it."""
    for head in SETTING_HEADS:
        if name.startswith(head) and len(name) > len(head):
            return name[len(head) :]
    return name


def values_of(
    columns: Columns, ks: Sequence[int], rows: Sequence[int]
) -> tuple[np.ndarray, list[int | None], dict[tuple[int, int], str]]:
    """Numbers of some columns and rows, those with % as shares of 1; most decimals of each column; and the words between them."""
    out = np.full((len(rows), len(ks)), np.nan)
    decimals: list[int | None] = []
    words = {}
    for j, k in enumerate(ks):
        found = columns.numbers[k]
        scale = np.array([0.01 if i in found.percent else 1.0 for i in rows])
        out[:, j] = np.array([found.values[i] for i in rows]) * scale
        exact = found.decimals is None or found.decimals >= EXACT
        decimals.append(None if exact else found.decimals + (2 if found.percent else 0))  # type: ignore[operator]
        words.update({(r, j): found.words[i] for r, i in enumerate(rows) if i in found.words})
    return out, decimals, words


def domain_columns(columns: Columns, rows: Sequence[int], taken: set[int], normalise: bool) -> Found | None:
    """Which columns are shares: those of a known beginning, else those that sum to 1, else (to be rescaled or refused) all that may be."""
    header = columns.sheet.header
    numeric = [k for k in range(len(header)) if columns.numbers[k].numeric and k not in taken]
    usual = [k for k in numeric if not columns.kind(k) and not header[k].startswith(METRICS)]
    groups = {head: [k for k in usual if bare_name(header[k]).startswith(head)] for head in RATIOS}
    groups = {head: ks for head, ks in groups.items() if len(ks) > 1}
    named = {k: WHY.get(columns.kind(k), "a metric") for k in numeric if k not in usual}

    def among(ks: Sequence[int]) -> Found | None:
        values, decimals, _ = values_of(columns, ks, rows)
        found = find_shares(values, decimals)
        if found is not None and found.rival:
            one, other = ([header[ks[j]] for j in some] for some in (found.domains, found.rival))
            raise RunsError(
                f"two sets of columns of {columns.sheet.name} sum to 1, {listed(one, 3)} and {listed(other, 3)}; drop one of them, or name the prefix "
                "of the shares with from_wide(ratio=)."
            )
        return found and Found([ks[j] for j in found.domains], {ks[j]: why for j, why in found.out.items()})

    for ks in sorted(groups.values(), key=len, reverse=True):
        found = among(ks)
        if found is not None and not found.out:
            return Found(
                ks, {**named, **{k: "does not begin as the shares do" for k in usual if k not in ks}}
            )
    found = among(usual)
    if found is None:  # perhaps a domain is called as a tracker calls its columns
        others = [k for k in numeric if columns.kind(k) not in ("row", "total")]
        found = among(others) if len(others) > len(usual) else None
        if found is not None and not normalise:
            return Found(found.domains, {**named, **found.out})
    if found is not None:
        return Found(found.domains, {**named, **found.out})
    if groups:
        best = max(groups.values(), key=len)
        return Found(
            best, {**named, **{k: "does not begin as the shares do" for k in usual if k not in best}}
        )
    return None


def loose_domains(columns: Columns, rows: Sequence[int], taken: set[int], normalise: bool) -> list[int]:
    """All columns that may be shares, of a table where none sum to 1."""
    header = columns.sheet.header
    usual = [
        k
        for k in range(len(header))
        if k not in taken
        and columns.numbers[k].numeric
        and not columns.kind(k)
        and not header[k].startswith(METRICS)
    ]
    if not usual or normalise:
        return usual
    values, _, _ = values_of(columns, usual, rows)
    with np.errstate(invalid="ignore"):
        inside = np.nanmean((values >= 0) & (values <= 1), axis=0) >= 0.5
    return [k for k, fits in zip(usual, inside) if fits] if inside.sum() > 1 else usual


def domain_shares(
    columns: Columns, found: Found, rows: list[int], names: list[str], normalise: bool, notes: Notes
) -> tuple[list[str], Shares, list[int]]:
    """Domains, their shares, and which of the rows have any."""
    sheet, ks = columns.sheet, found.domains
    for k in ks:
        if columns.numbers[k].doubt:
            raise RunsError(
                f"column {sheet.header[k]!r} of {sheet.name} cannot be read: {columns.numbers[k].doubt}; write it without the sign."
            )
    domains = without_common_head([bare_name(sheet.header[k]) for k in ks], RATIOS)
    distinct_names(domains)
    distinct_names([sheet.header[k] for k in ks])
    kept = [r for r, i in enumerate(rows) if any(sheet.rows[i][k] for k in ks)]
    if len(kept) < len(rows):
        bare = [names[r] or f"row {rows[r] + 1}" for r in range(len(rows)) if r not in set(kept)]
        notes.doubts.append(
            f"{len(bare)} of the runs have no share at all and were left out: {listed(bare, 3)}"
        )
    if not kept:
        raise MixtureError(f"no run of {sheet.name} has a share; give every domain a share between 0 and 1.")
    some = [rows[r] for r in kept]
    values, decimals, words = values_of(columns, ks, some)
    most = (
        None
        if any(d is None for d in decimals)
        else max((d for d in decimals if d is not None), default=None)
    )
    run_names = [names[r] or f"row {rows[r] + 1}" for r in kept]
    shares = rescale(values, domains, run_names, most, words, normalise)
    if any(columns.numbers[k].percent for k in ks):
        notes.remarks.append("shares are in per cent")
    notes.remarks += shares.remarks
    notes.doubts += shares.doubts
    never = [domain for j, domain in enumerate(domains) if not shares.T[:, j].any()]
    if never:
        notes.remarks.append(
            f"no run has any of {listed(never)}, so nothing can be learnt of it from these runs"
        )
    for k, domain in zip(ks, domains):
        notes.column(sheet, k, "domain", domain, "0 in every run" if domain in never else "")
    return domains, shares, kept


# -- outcomes and covariates ------------------------------------------------------------------------------


def outcome_columns(columns: Columns, ks: Iterable[int], wanted: set[str], notes: Notes) -> dict[int, str]:
    """Columns that are outcomes -> their names; of the others is noted why they are none."""
    sheet = columns.sheet
    names = {k: metric_name(sheet.header[k]) for k in ks}
    found: dict[int, str] = {}
    for k, name in names.items():
        numbers, kind = columns.numbers[k], columns.kind(k)
        base = spread_of(sheet.header[k], sheet.header)
        asked = bool({name, sheet.header[k]} & wanted)
        why = ""
        if not sheet.header[k]:
            why = "has no name"
        elif kind and not asked:
            why = WHY[kind] + ("; scale= takes it" if kind == "size" and numbers.numeric else "")
        elif sheet.header[k].startswith(NOT_METRICS) and not asked:
            why = "a setting, not a result"
        elif base is not None:
            why = f"the spread of {base!r}"
        elif not numbers.n_numbers and all(word.casefold() in FAILED for word in numbers.words.values()):
            why = "is empty"
        elif not numbers.numeric:
            why = "holds words"
        elif numbers.doubt:
            why = f"cannot be read: {numbers.doubt}"
            notes.doubts.append(
                f"column {sheet.header[k]!r} of {sheet.name} was left out: {numbers.doubt}; write it without the sign"
            )
        if why:
            notes.column(sheet, k, "left out", "", why)
        else:
            found[k] = name
    return found


def outcome_frame(
    columns: Columns, found: Mapping[int, str], rows: Sequence[int], drop_incomplete: bool, notes: Notes
) -> pd.DataFrame:
    import pandas as pd

    sheet, frames = columns.sheet, {}
    distinct_names(list(found.values()), "outcomes")
    for k, name in found.items():
        numbers = columns.numbers[k]
        values = np.array([numbers.values[i] for i in rows])
        marked = np.array([i in numbers.percent for i in rows], dtype=bool)
        if marked.any() and not marked.all() and np.nanmax(np.abs(values[~marked]), initial=0.0) <= 1:
            values = np.where(marked, values / 100, values)  # 45% beside 0.47
        gone = int(np.isnan(values).sum())
        words = Counter(numbers.words[i] for i in rows if i in numbers.words)
        if gone == len(values) or (gone and drop_incomplete):
            notes.column(
                sheet, k, "left out", "", "is empty" if gone == len(values) else f"is missing in {gone} runs"
            )
            continue
        if "±" in (text := "".join(sheet.column(k))) or "+/-" in text:
            notes.remarks.append(f"of outcome {name} the numbers are taken without the spread after ±")
        if gone:
            held = ", ".join(f"{word[:24]!r}" for word, _ in words.most_common(3))
            notes.remarks.append(
                f"outcome {name} is missing in {gone} of {len(values)} runs{f', where it says {held}' if held else ''}"
            )
        notes.column(sheet, k, "outcome", name)
        frames[name] = values
    return pd.DataFrame(frames)


def covariate_frame(
    columns: Columns, ks: Iterable[int] | Mapping[int, str], part: str, rows: Sequence[int], notes: Notes
) -> pd.DataFrame | None:
    import pandas as pd

    sheet = columns.sheet
    usable = []
    for k in ks:
        numbers, kind = columns.numbers[k], columns.kind(k)
        kind = "" if isinstance(ks, Mapping) else kind
        why = (
            WHY[kind]
            if kind in ("key", "row", "tracker", "total")
            else ""
            if numbers.numeric
            else "holds words"
        )
        if numbers.doubt and not why:
            raise RunsError(
                f"column {sheet.header[k]!r} of {sheet.name} cannot be read: {numbers.doubt}; write it without the sign."
            )
        if why:
            notes.column(sheet, k, "left out", "", why)
        else:
            usable.append(k)
    if not usable:
        return None
    if isinstance(ks, Mapping):  # told apart by their prefixes already
        names = [ks[k] for k in usable]
    else:
        names = without_common_head(
            [bare_name(sheet.header[k]) for k in usable], [f"{part}{sign}" for sign in "._/"]
        )
    distinct_names(names, f"columns of the {part}")
    values, _, _ = values_of(columns, usable, rows)
    for k, name, column in zip(usable, names, values.T):
        notes.column(sheet, k, part, name)
        if gone := int(np.isnan(column).sum()):
            notes.doubts.append(
                f"{part} {name!r} is missing in {gone} of {len(column)} runs; fill it in before a fit that adjusts for it"
            )
    return pd.DataFrame(values, columns=names)


def note_unfinished(columns: Columns, rows: Sequence[int], notes: Notes) -> None:
    """Say which runs a tracker calls unfinished: their scores are of where they stopped."""
    for k, name in enumerate(columns.sheet.header):
        if normal(name) in ("state", "status") and not columns.numbers[k].numeric:
            found = Counter(
                word for i in rows if (word := columns.sheet.rows[i][k].casefold()) and word not in FINISHED
            )
            if found and sum(found.values()) < len(rows):
                what = ", ".join(f"{n} run{'s' * (n > 1)} ({word[:20]})" for word, n in found.most_common(3))
                notes.doubts.append(
                    f"a tracker says in {columns.sheet.name} that {what} did not finish; what they scored is kept"
                )


def no_outcome(columns: Columns, notes: Notes) -> RunsError:
    why = [
        f"{row['column']} ({row['why']})"
        for row in notes.rows
        if row["table"] == columns.sheet.name and row["read as"] == "left out"
    ]
    return RunsError(
        f"{columns.sheet.name} has no column of numbers that is an outcome; it has {listed(why, 4, 90) or 'no other column'}."
    )


def note_left_out(notes: Notes) -> None:
    """One sentence about columns that were left out although they may have been meant."""
    meant = ("holds words", "does not", "is no", "is empty", "a size", "is missing in")
    used = {row["column"] for row in notes.rows if row["read as"] not in ("left out", "run")}
    odd = [
        row
        for row in notes.rows
        if row["read as"] == "left out" and row["why"].startswith(meant) and row["column"] not in used
    ]
    if odd:
        what = [row["column"] + f" ({row['why']})" for row in odd]
        notes.remarks.append(f"left out: {listed(what, 5, 70)}")


def note_other_columns(columns: Columns, found: Found, taken: set[int], notes: Notes) -> None:
    """Note of the columns that are no domains why they are none."""
    for k in range(len(columns.sheet.header)):
        if k in taken:
            notes.column(columns.sheet, k, "run")
        elif k not in found.domains:
            numbers = columns.numbers[k]
            why = (
                found.out.get(k)
                or WHY.get(columns.kind(k))
                or (
                    "holds words" if numbers.words else "is empty" if not numbers.n_numbers else "is no share"
                )
            )
            notes.column(columns.sheet, k, "left out", "", why)
