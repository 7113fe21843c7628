"""Which way is better in a table: as its reader asks, else as the table itself says (a row ``higher_is_better``, an arrow in the header), else
by the words of each name (:mod:`causalmix_nb.runs.directions`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from causalmix_nb.errors import RunsError, did_you_mean, listed
from causalmix_nb.runs.directions import direction_of
from causalmix_nb.runs.tables.import_report import Notes
from causalmix_nb.runs.tables.tables import Sheet, normal

Minimize = bool | Iterable[str] | Mapping[str, bool] | None
SAYS = {
    "higherisbetter": False,
    "lowerisbetter": True,
    "minimize": True,
    "maximize": False,
    "direction": None,
    "goal": None,
    "better": None,
}
YES = frozenset("true yes 1 1.0 y t".split())
NO = frozenset("false no 0 0.0 n f".split())
ARROWS = {"↓": True, "↑": False, "lower is better": True, "higher is better": False}
LOW = frozenset("min minimize minimise lower low down smaller ↓ less".split())
HIGH = frozenset("max maximize maximise higher high up larger ↑ more".split())


def said_by_table(sheet: Sheet) -> tuple[Sheet, dict[str, bool]]:
    """A sheet without its row ``higher_is_better`` and the arrows in its header, and what they say: column -> whether lower is better."""
    stated: dict[str, bool] = {}
    header = []
    for name in sheet.header:
        bare, low = without_arrow(name)
        if low is not None:
            stated[bare] = low
        header.append(bare)
    rows = []
    for row in sheet.rows:
        word = next((normal(cell) for cell in row[:3] if normal(cell) in SAYS), None)
        if word is None:
            rows.append(row)
            continue
        for name, cell in zip(header, row):
            text = cell.casefold()
            if text in YES | NO and SAYS[word] is not None:
                stated[name] = SAYS[word] == (text in YES)
            elif text in LOW | HIGH:
                stated[name] = text in LOW
    return (replace(sheet, header=header, rows=rows) if rows else sheet), stated


def without_arrow(name: str) -> tuple[str, bool | None]:
    """A name without the arrow at its end, and whether the arrow says that lower is better.

    >>> without_arrow("perplexity (↓)"), without_arrow("quiz")
    (('perplexity', True), ('quiz', None))
    """
    text = name.rstrip(" )]")
    for mark, low in ARROWS.items():
        if text.casefold().endswith(mark) and (bare := text[: len(text) - len(mark)].rstrip(" ([")):
            return bare, low
    return name, None


def asked_names(minimize: Minimize) -> set[str]:
    """Outcomes that a reader names, as they are named and without an arrow.

    Raises
    ------
    RunsError: neither a truth value nor names.
    """
    if minimize is None or minimize in (True, False):
        return set()
    if not isinstance(minimize, Iterable):
        raise RunsError(
            f"minimize is {minimize!r}; give True, False, a list of outcomes or a mapping of outcome to True or False."
        )
    named = {minimize} if isinstance(minimize, str) else set(map(str, minimize))
    return named | {without_arrow(name)[0] for name in named}


def directions_of(
    names: Sequence[str],
    minimize: Minimize,
    stated: Mapping[str, bool],
    notes: Notes,
    columns: Mapping[str, str] | None = None,
) -> dict[str, bool]:
    """Outcome -> whether lower is better: as asked, else as the file says, else by the words of its name.

    columns: name of a column -> its outcome, for those who ask by what stands in the file.
    """
    if minimize is not None and not isinstance(minimize, Iterable):
        return dict.fromkeys(names, bool(minimize))
    asked: dict[str, bool] = {}
    if minimize is not None:
        given = [minimize] if isinstance(minimize, str) else list(minimize)
        for one in given:
            bare, _ = without_arrow(str(one))
            name = str(one) if str(one) in names else (columns or {}).get(bare, bare)
            asked[name] = bool(minimize[one]) if isinstance(minimize, Mapping) else True
        for name in asked:
            if name not in names:
                raise RunsError(f"minimize names {name!r}, which is no outcome.{did_you_mean(name, names)}")
        if not isinstance(minimize, Mapping):
            left = [
                name
                for name in names
                if name not in asked and (stated[name] if name in stated else direction_of(name))
            ]
            if left:
                notes.remarks.append(
                    f"minimize leaves out {listed(left, 3)}, so higher counts as better there, though the name or the file says lower; "
                    f"minimize={{{', '.join(f'{name!r}: True' for name in list(asked)[:2])}}} leaves the others as they are"
                )
            return {name: name in asked for name in names}
    found: dict[str, bool] = {}
    silent = []
    for name in names:
        low = asked[name] if name in asked else stated[name] if name in stated else direction_of(name)
        if low is None:
            silent.append(name)
        found[name] = bool(low)
    by_file = [name for name in names if name in stated and name not in asked]
    if by_file:
        notes.remarks.append(f"which way is better says the file itself for {listed(by_file, 3)}")
    for low, word in ((True, "lower"), (False, "higher")):
        low_ones = [name for name in names if found[name] is low and name not in silent]
        if low_ones:
            notes.remarks.append(f"{word} is better in {listed(low_ones, 4)}; minimize={{…}} says otherwise")
    if silent:
        many = len(silent) > 1
        notes.doubts.append(
            f"the name{'s' if many else ''} {listed(silent, 3)} {'do' if many else 'does'} not say which way is better: higher counts as better; "
            f"minimize={{{', '.join(f'{name!r}: True' for name in silent[:2])}{', …' if len(silent) > 2 else ''}}} says otherwise, "
            "False in place of True confirms it"
        )
    return found
