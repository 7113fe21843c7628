"""Which row of one table belongs to which row of another: by what both call a run, never by where a row happens to stand if anything speaks
against it.

A key is a column that names each run once. It need not be spelled alike in both tables (``run``, ``Name``, ``ID``); what counts is that both hold
the same runs. A number of a row, as pandas writes it, is a key only where there is no better one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from causalmix_nb.errors import RunsError, did_you_mean, listed
from causalmix_nb.runs.tables.columns import KEYS, Columns
from causalmix_nb.runs.tables.tables import Sheet, normal


@dataclass(frozen=True, slots=True)
class Join:
    """Rows that belong together. rows: for each table the rows, in the order of the first; names: what each run is called, "" where it has
    no name; keys: for each table the column that was used, or None; said, doubts: sentences for the report."""

    rows: list[list[int]]
    names: list[str]
    keys: list[int | None]
    remarks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def plain_cell(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell)


def _whole(cell: str) -> str:
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", plain_cell(cell))


def _folded(cell: str) -> str:
    return _whole(cell).casefold()


def _unpadded(cell: str) -> str:
    return re.sub(r"^0+(?=\d+$)", "", _folded(cell))


def _unsigned(cell: str) -> str:
    return re.sub(r"[\W_]+", "-", re.sub(r"(?<![\d.,p])0+(?=\d)", "", _folded(cell))).strip("-")


# How names are compared, the strictest first: 1 and 1.0, Mix-01 and mix-01, 001 and 1 are the same run where nothing else bears the name.
ALIKE: tuple[tuple[Callable[[str], str], str], ...] = (
    (plain_cell, ""),
    (_whole, "1.0 counts as 1"),
    (_folded, "upper and lower case count as one"),
    (_unpadded, "leading zeros do not count"),
    (_unsigned, "signs and leading zeros do not count"),  # only where no run is left over
)


def key_column(sheet: Sheet, on: str) -> int:
    """The column that a user names, by its name or by what it comes to without signs and case."""
    if on in sheet.header:
        return sheet.header.index(on)
    alike = [k for k, name in enumerate(sheet.header) if normal(name) == normal(on)]
    if len(alike) == 1:
        return alike[0]
    raise RunsError(
        f"{sheet.name} has no column {on!r}.{did_you_mean(on, [name for name in sheet.header if name])}"
    )


def name_column(columns: Columns) -> int | None:
    """The column that names the runs of one table: the best one by its name, else the first of words that are all different."""
    sheet = columns.sheet
    found = [k for k in range(len(sheet.header)) if columns.kind(k) == "key" and names_rows(sheet, k)]
    if found:
        return min(found, key=lambda k: key_rank(columns, k))
    return next((k for k in range(len(sheet.header)) if _of_words(columns, k) and names_rows(sheet, k)), None)


def _of_words(columns: Columns, k: int) -> bool:
    return not columns.numbers[k].numeric and columns.kind(k) in ("", "key")


def names_rows(sheet: Sheet, k: int) -> bool:
    cells = [plain_cell(cell) for cell in sheet.column(k)]
    return all(cells) and len(set(cells)) == len(cells)


def join(tables: Sequence[Columns], on: str | None = None) -> Join:
    """The rows of several tables that are of one run.

    Raises
    ------
    RunsError: tables that share no run, two columns that pair the rows differently, or no key and another number of rows.
    """
    sheets = [columns.sheet for columns in tables]
    first, rows = sheets[0], [list(range(len(sheets[0].rows)))]
    names: list[str] = []
    keys: list[int | None] = [None]
    remarks: list[str] = []
    doubts: list[str] = []
    kept = rows[0]
    for columns in tables[1:]:
        sheet = columns.sheet
        left, right, pairs, how = _pairs(tables[0], columns, on, doubts)
        if keys[0] is None or (tables[0].kind(keys[0]) == "row" and left is not None):
            keys[0] = left
        keys.append(right)
        if how:
            remarks.append(how)
        lost = [i for i in kept if i not in pairs]
        kept = [i for i in kept if i in pairs]
        extra = set(range(len(sheet.rows))) - set(pairs.values())
        for here, there, gone, k in ((first, sheet, lost, left), (sheet, first, sorted(extra), right)):
            if gone and k is not None:
                one = len(gone) == 1
                doubts.append(
                    f"{len(gone)} run{'' if one else 's'} of {here.name} {'is' if one else 'are'} not in {there.name} and "
                    f"{'was' if one else 'were'} left out: {listed([here.rows[i][k] or '(no name)' for i in gone], 3)}"
                )
        rows.append([pairs.get(i, -1) for i in range(len(first.rows))])
    chosen = [[found[i] for i in kept] for found in rows]
    best = keys[0] if keys[0] is not None and tables[0].kind(keys[0]) != "row" else name_column(tables[0])
    if best is not None:
        names = [first.rows[i][best] for i in kept]
    for j, columns in enumerate(tables[1:], start=1):  # only another table may have names
        if not names and (k := name_column(columns)) is not None:
            names = [columns.sheet.rows[i][k] for i in chosen[j]]
    if not names and keys[0] is not None:
        names = [first.rows[i][keys[0]] for i in kept]
    return Join(chosen, names or [""] * len(kept), keys, tuple(remarks), tuple(doubts))


def _pairs(
    ca: Columns, cb: Columns, on: str | None, doubts: list[str]
) -> tuple[int | None, int | None, dict[int, int], str]:
    """Columns of a key, row of the one table -> row of the other, and how they were joined."""
    a, b = ca.sheet, cb.sheet
    if on is not None:
        left, right = key_column(a, on), key_column(b, on)
        pairs, how = _matched(a, left, b, right)
        if not pairs:
            raise _nothing_in_common(a, b, left, right)
        return left, right, pairs, how
    ranked = []
    lefts, rights = (
        [
            k
            for k in range(len(c.sheet.header))
            if (c.kind(k) in ("key", "row") or _of_words(c, k)) and names_rows(c.sheet, k)
        ]
        for c in (ca, cb)
    )
    for left in lefts:
        for right in rights:
            weak = ca.kind(left) == "row" or cb.kind(right) == "row"
            named = {ca.kind(left), cb.kind(right)} <= {"key", "row"}
            if not (named or (_of_words(ca, left) and _of_words(cb, right))):
                continue
            pairs, how = _matched(a, left, b, right)
            share = len(pairs) / min(len(a.rows), len(b.rows))
            mixed = weak and ca.kind(left) != cb.kind(right)  # runs numbered in one table, rows in the other
            if (
                not pairs
                or (mixed and not len(pairs) == len(a.rows) == len(b.rows))
                or (not named and share < 0.5)
            ):
                continue
            same = normal(a.header[left]) == normal(b.header[right])
            order = key_rank(ca, left) + key_rank(cb, right)
            ranked.append((weak, -round(share, 6), not same, order, left, right, pairs, how))
    ranked.sort(key=lambda entry: entry[:6])
    strong = [entry for entry in ranked if not entry[0]]
    if strong:
        *_, left, right, pairs, how = strong[0]
        for entry in strong[1:]:  # a second name that is as good and says something else
            if entry[1] == strong[0][1] and entry[2] == strong[0][2] is False and entry[6] != pairs:
                raise RunsError(
                    f"{a.name} and {b.name} have {a.header[left]!r} and {a.header[entry[4]]!r} in common, which pair their rows differently; "
                    "name the joining column with on=."
                )
        return left, right, pairs, how
    shared = _shared(ca, cb)
    if shared is not None:
        return shared
    named_a, named_b = _named(ca), _named(cb)
    alike = (
        named_a is not None and named_b is not None and normal(a.header[named_a]) == normal(b.header[named_b])
    )
    if named_a is not None and named_b is not None and (alike or not ranked):
        raise _nothing_in_common(a, b, named_a, named_b)
    if ranked:
        *_, left, right, pairs, how = ranked[0]
        counted = [
            list(map(str, range(start, start + len(sheet.rows)))) for sheet in (a, b) for start in (0, 1)
        ]
        plain = a.column(left) in counted and b.column(right) in counted
        numbered = normal(a.header[left]) == normal(b.header[right]) in ("index", "idx")
        if plain and len(a.rows) == len(b.rows) and set(a.column(left)) != set(b.column(right)):
            raise RunsError(
                f"{a.name} and {b.name} number their rows differently, one from 0 and one from 1; add a column that names the run to both."
            )
        if len(a.rows) != len(b.rows) and plain and not numbered:
            raise RunsError(
                f"{a.name} has {len(a.rows)} rows and {b.name} {len(b.rows)}, with nothing but numbers of rows to join them; add a column "
                "that names the run to both."
            )
        if not numbered:
            doubts.append(
                f"the tables {a.name} and {b.name} name no runs and were joined by their row numbers"
            )
        return left, right, pairs, how
    return None, None, _by_position(ca, cb, doubts), ""


def _shared(a: Columns, b: Columns) -> tuple[int, int, dict[int, int], str] | None:
    """Any other column of both tables that names each run once, with the same cells in both: numbers that a lab gives to its recipes."""
    for left, name in enumerate(a.sheet.header):
        if name and name in b.sheet.header and not a.kind(left):
            right = b.sheet.header.index(name)
            if (
                names_rows(a.sheet, left)
                and set(a.sheet.column(left)) == set(b.sheet.column(right))
                and names_rows(b.sheet, right)
            ):
                return left, right, *_matched(a.sheet, left, b.sheet, right)
    return None


def key_rank(columns: Columns, k: int) -> int:
    """How good a key a column is by its name, the best 0; a number of a row without a name is the worst."""
    name = normal(columns.sheet.header[k])
    if name in KEYS:
        return KEYS.index(name)
    return len(KEYS) + k + (0 if columns.kind(k) != "row" or name in ("index", "idx") else 10_000)


def _named(columns: Columns) -> int | None:
    """A column that names the runs by its name, whatever its cells."""
    header = columns.sheet.header
    found = [k for k in range(len(header)) if columns.kind(k) == "key" and names_rows(columns.sheet, k)]
    return min(found, key=lambda k: key_rank(columns, k)) if found else None


def _matched(a: Sheet, left: int, b: Sheet, right: int) -> tuple[dict[int, int], str]:
    """Row of ``a`` -> row of ``b`` with the same name; of the ways to compare names the strictest that finds most."""
    best: tuple[dict[int, int], str] = ({}, "")
    for form, words in ALIKE:
        there = {form(cell): i for i, cell in enumerate(b.column(right)) if cell}
        here = {form(cell): i for i, cell in enumerate(a.column(left)) if cell}
        if len(there) < sum(map(bool, b.column(right))) or len(here) < sum(map(bool, a.column(left))):
            continue  # two names of one table would become one
        pairs = {i: there[name] for name, i in here.items() if name in there}
        if form is _unsigned and len(pairs) < min(len(here), len(there)):
            continue
        if len(pairs) > len(best[0]):
            best = pairs, words
    pairs, words = best
    names = [repr(name) if name else "the row number" for name in (a.header[left], b.header[right])]
    columns = " and ".join(dict.fromkeys(names))
    return pairs, f"rows of {a.name} and {b.name} are joined by {columns}" + (f" ({words})" if words else "")


def _nothing_in_common(a: Sheet, b: Sheet, left: int, right: int) -> RunsError:
    return RunsError(
        f"{a.name} and {b.name} have no run in common ({a.header[left]!r}: {listed(a.column(left), 2)}; {b.header[right]!r}: "
        f"{listed(b.column(right), 2)}); name the joining column with on=, or write the names alike in both."
    )


def _no_other_order(a: Columns, b: Columns) -> None:
    """Refuse tables in which the same whole numbers stand in another order, whatever they are called: they may name the runs."""
    found: list[dict[frozenset[float], int]] = []
    for columns in (a, b):
        whole = [
            k for k, numbers in enumerate(columns.numbers)
            if numbers.n_numbers == len(numbers.values) > 1 and not columns.kind(k) and all(v == int(v) for v in numbers.values)
            and len(set(numbers.values)) == len(numbers.values)
        ]  # fmt: skip
        found.append({frozenset(columns.numbers[k].values): k for k in whole})
    for same in found[0].keys() & found[1].keys():
        k, j = found[0][same], found[1][same]
        if a.numbers[k].values != b.numbers[j].values:
            raise RunsError(
                f"{a.sheet.name} and {b.sheet.name} hold the same numbers in another order ({a.sheet.header[k]!r}, {b.sheet.header[j]!r}); if they "
                "name the runs, give both columns one name and pass it as on=, else add a column that names the run to both."
            )


def _by_position(a: Columns, b: Columns, doubts: list[str]) -> dict[int, int]:
    """Row by row, where both tables have as many rows and nothing speaks against it."""
    x, y = a.sheet, b.sheet
    for columns in (a, b):
        for k, name in enumerate(columns.sheet.header):
            cells = columns.sheet.column(k)
            if normal(name) in KEYS[:10] and len(set(cells)) < len(cells) and all(cells):
                twice = Counter(cells).most_common(1)[0][0]
                raise RunsError(
                    f"{columns.sheet.name} names run {twice!r} twice; one row per run, or name another column with on=."
                )
            numbers = columns.numbers[k].values
            ends = [re.search(r"\d+$", cell) for cell in cells]
            if all(ends) and not columns.numbers[k].n_numbers:  # run-2, run-0, run-1
                numbers = [float(end[0]) for end in ends if end]
            mixed_up = (
                (columns.numbers[k].n_numbers == len(cells) or all(ends))
                and numbers != sorted(numbers)
                and len(set(numbers)) == len(numbers)
            )
            if columns.kind(k) in ("row", "key") and mixed_up:
                raise RunsError(
                    f"the rows of {columns.sheet.name} are out of order ({name or 'row number'}: {listed(cells, 3)}), and {x.name} and {y.name} "
                    "share no column that names the run; add one to both."
                )
    marks = [
        [col.sheet.column(k) for k in range(len(col.sheet.header)) if col.kind(k) == "row"] for col in (a, b)
    ]
    if marks[0] and marks[1] and marks[0][0] != marks[1][0]:
        raise RunsError(
            f"{x.name} and {y.name} number their rows differently; add a column that names the run to both."
        )
    _no_other_order(a, b)
    shared = [(k, y.header.index(name)) for k, name in enumerate(x.header) if name and name in y.header]
    for k, j in shared:
        differ = x.column(k) != y.column(j)
        if differ and a.kind(k) == "key":
            raise RunsError(
                f"{x.name} and {y.name} pair rows of other names in {x.header[k]!r}; name the joining column with on=."
            )
        if differ and sorted(x.column(k)) == sorted(y.column(j)):
            raise RunsError(
                f"{x.name} and {y.name} hold {x.header[k]!r} in another order; add a column that names the run to both."
            )
    if len(x.rows) != len(y.rows):
        raise RunsError(
            f"{x.name} has {len(x.rows)} rows and {y.name} {len(y.rows)}, and no column names the run in both; add one, or name it with on=."
        )
    doubts.append(f"no column names the run in both {x.name} and {y.name}: they were joined row by row")
    return {i: i for i in range(len(x.rows))}
