"""One row per run: rows that come twice, histories with a row a step, and mixtures with a row a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from causalmix_nb.errors import RunsError
from causalmix_nb.runs.tables.columns import Columns
from causalmix_nb.runs.tables.joining import key_column, key_rank, names_rows, plain_cell
from causalmix_nb.runs.tables.tables import Sheet, normal

STEPS = (
    "step",
    "globalstep",
    "trainglobalstep",
    "trainerglobalstep",
    "iteration",
    "iter",
    "steps",
    "iterations",
    "epoch",
    "trainepoch",
)

SEEDS = (
    "seed",
    "randomseed",
    "rngseed",
    "dataseed",
    "modelseed",
    "trainseed",
    "rep",
    "repeat",
    "replicate",
    "replica",
)


def _run_column(columns: Columns, on: str | None) -> int | None:
    """The column that is called as the names of runs are, where no such column names each row once."""
    sheet = columns.sheet
    if on is not None:
        return key_column(sheet, on)
    strong = [j for j in range(len(sheet.header)) if columns.kind(j) == "key"]
    if any(names_rows(sheet, j) for j in strong) or not strong:
        return None
    strong = [j for j in strong if sum(map(bool, sheet.column(j))) > len(sheet.rows) / 2] or strong
    return min(strong, key=lambda j: key_rank(columns, j))


def with_names(sheet: Sheet, on: str | None = None) -> tuple[Sheet, tuple[str, ...]]:
    """A sheet without the few rows that have no name where the others have one: they can be joined to nothing."""
    k = _run_column(Columns(sheet), on)
    nameless = 0 if k is None else sheet.column(k).count("")
    if k is None or not 0 < nameless < len(sheet.rows) / 2:
        return sheet, ()
    note = f"{nameless} row{'s' * (nameless > 1)} of {sheet.name} without a name {'were' if nameless > 1 else 'was'} left out"
    return replace(sheet, rows=[row for row in sheet.rows if row[k]]), (note,)


def one_row_a_run(sheet: Sheet, on: str | None = None) -> tuple[Sheet, tuple[str, ...]]:
    """A sheet with one row per run: rows that come twice counted once, a history reduced to each run's last values.

    Raises
    ------
    RunsError: several rows of one run, and nothing says which of them counts.
    """
    columns = Columns(sheet)
    k = _run_column(columns, on)
    if k is None:
        return sheet, ()
    cells = [plain_cell(cell) for cell in sheet.column(k)]
    if not any(n > 1 for name, n in Counter(cells).items() if name):
        return sheet, ()
    marks = [j for j in range(len(sheet.header)) if columns.kind(j) == "row"]
    unmarked = [tuple(cell for j, cell in enumerate(row) if j not in marks) for row in sheet.rows]
    if len(set(unmarked)) < len(unmarked):
        first: dict[tuple[str, ...], list[str]] = {}
        for row, whole in zip(unmarked, sheet.rows):
            first.setdefault(row, whole)
        rows = list(first.values())
        n = len(unmarked) - len(first)
        note = f"{n} row{'s come' if n > 1 else ' comes'} twice in {sheet.name}, cell by cell, and count{'s' * (n == 1)} once"
        reduced, notes = one_row_a_run(replace(sheet, rows=rows), on)
        return reduced, (note, *notes)
    if _seeded(columns, k) is not None:
        return sheet, ()  # seeds of one mixture are runs of their own
    steps = [
        j for j in range(len(sheet.header)) if normal(sheet.header[j]) in STEPS and columns.numbers[j].numeric
    ]
    for j in sorted(steps, key=lambda j: STEPS.index(normal(sheet.header[j]))):
        at = columns.numbers[j].values
        if len({(cell, step) for cell, step in zip(cells, at)}) == len(cells) and all(
            step == step for step in at
        ):
            rows = []
            of_run: dict[str, list[int]] = {}
            for i, cell in enumerate(cells):
                of_run.setdefault(cell, []).append(i)
            for some in of_run.values():
                history = sorted(some, key=lambda i: at[i])
                rows.append(
                    [
                        next((sheet.rows[i][c] for i in reversed(history) if sheet.rows[i][c]), "")
                        for c in range(len(sheet.header))
                    ]
                )
            note = f"{sheet.name} is a history: of each run the last value by {sheet.header[j]!r} is taken"
            return replace(sheet, rows=rows), (note,)
    if (
        on is None
        and not columns.numbers[k].numeric
        and normal(sheet.header[k]) not in ("run", "runid", "runname", "id")
    ):
        return sheet, ()  # a name of what was run, such as a model's, need not be the run's
    name, n = Counter(cells).most_common(1)[0]
    raise RunsError(
        f"{sheet.name} names run {name!r} {'twice' if n == 2 else f'{n} times'}; keep one row per run: the last step of each, the mean over seeds, "
        "or a name for each seed."
    )


def _seeded(columns: Columns, k: int) -> int | None:
    """The column that tells rows of one name apart as repeats with other seeds, or None."""
    cells = columns.sheet.column(k)
    if len(set(cells)) == len(cells) or not all(cells):
        return None
    seeds = [j for j, name in enumerate(columns.sheet.header) if normal(name) in SEEDS]
    return next(
        (j for j in seeds if len({(row[k], row[j]) for row in columns.sheet.rows}) == len(cells)), None
    )


def seeds_as_runs(tables: Mapping[str, Columns], on: str | None) -> tuple[dict[str, Columns], str]:
    """Tables in which each seed of a mixture is a run of its own, where the metrics have several seeds of a mixture; and the words for it.

    Tables that do not tell seeds apart say the same of all seeds of a mixture.
    """
    metrics = tables["metrics"]
    header = range(len(metrics.sheet.header))
    keys = [k for k in header if metrics.kind(k) == "key"] if on is None else [key_column(metrics.sheet, on)]
    unique = any(names_rows(metrics.sheet, k) for k in keys)
    found = next(((k, j) for k in keys if (j := _seeded(metrics, k)) is not None), None)
    if unique or found is None:
        return dict(tables), ""
    runs = Counter(row[found[0]] for row in metrics.sheet.rows)
    seeds: dict[str, list[str]] = {name: [] for name in runs}
    for row in metrics.sheet.rows:
        seeds[row[found[0]]].append(row[found[1]])
    out = {}
    for part, columns in tables.items():
        sheet = columns.sheet
        mine = [
            k
            for k in range(len(sheet.header))
            if columns.kind(k) == "key" and runs.keys() & set(sheet.column(k))
        ]
        if on is not None:
            mine = [key_column(sheet, on)]
        if not mine:
            return dict(tables), ""
        k = mine[0]
        j = _seeded(columns, k)
        if j is None and not names_rows(sheet, k):
            return dict(tables), ""
        rows = []
        for row in sheet.rows:
            for seed in [row[j]] if j is not None else seeds.get(row[k], [""]):
                name = (
                    f"{row[k]} {sheet.header[j] if j is not None else metrics.sheet.header[found[1]]} {seed}"
                    if seed
                    else row[k]
                )
                rows.append([*row[:k], name, *row[k + 1 :]])
        out[part] = Columns(replace(sheet, rows=rows))
    many = sum(n > 1 for n in runs.values())
    return (
        out,
        f"{many} mixture{'s' * (many > 1)} of {metrics.sheet.name} came with several seeds; each is a run of its own",
    )
