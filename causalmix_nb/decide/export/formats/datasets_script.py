"""Scripts over ``datasets``: they load the pool's own files, draw the plan, and hold the mixed rows in ``mixed``.

Where lengths are known, the script draws documents in a random order until a domain has its tokens: exact to a document, however unequal the
documents are. Where nothing is known of them it interleaves by probability and stops when a domain runs out, so that nothing
is read twice.
"""

from __future__ import annotations

import os
from pathlib import Path

from causalmix_nb.data.documents.sources import Source
from causalmix_nb.decide.export.formats.format import FORMATS, Format, Written
from causalmix_nb.decide.export.plan import ExportPlan, PlannedDomain, probabilities
from causalmix_nb.decide.export.text import comments, printable

DRAW = '''

def size(value):
    """Bytes of text in a value: a text, or the turns of a conversation."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(size(inner) for key, inner in value.items() if key not in ("role", "from"))
    return sum(map(size, value)) if isinstance(value, list) else 0


def draw(rows, wanted, per_byte):
    """Rows of about so many tokens (examples, without per_byte): all as often as they fit in whole, then some at random."""
    rows, lengths, have = rows.shuffle(seed=SEED), [], 0.0
    for batch in rows.iter(1000):
        for values in zip(*batch.values()):
            lengths.append(min(size(list(values)) * per_byte, MAX_LENGTH) if per_byte else 1)
            have += lengths[-1]
        if have > wanted:
            break
    if not have:
        raise SystemExit("a domain has no text; check where its files are")
    times, rest = divmod(wanted, have) if have <= wanted else (0, wanted)
    ends = np.concatenate([[0.0], np.cumsum(lengths)])
    some = list(range(int(np.searchsorted(ends, rest + 1e-6)) - 1))
    left = rest - ends[len(some)]
    off = np.abs(left - np.array(lengths[len(some) :]))  # the last one is the one that fits best
    if len(off) and (off.min() < left or not (times or some)):
        some.append(len(some) + int(off.argmin()))
    parts = [rows] * int(times) + [rows.select(some)] * bool(some)
    return concatenate_datasets(parts), round(times * have + sum(lengths[i] for i in some))

'''

PAIR = '''

def chosen(rows, column, value):
    """The rows whose column names this domain, by its number where the column has names for numbers."""
    names = getattr(rows.features[column], "names", None) or ()

    def named(cell):
        if isinstance(cell, int) and not isinstance(cell, bool) and 0 <= cell < len(names):
            return names[cell].strip()
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)
        return str(cell).strip()

    return rows.filter(lambda row: row[column] is not None and named(row[column]) == value)


def texts(rows, columns):
    """Only these columns, as text, and only rows that have some in the last of them."""
    rows = rows.select_columns(list(columns))
    for column in columns:
        if isinstance(rows.features[column], Value):
            rows = rows.cast_column(column, Value("string"))
    last = columns[-1]
    return rows.filter(lambda row: bool(str(row[last] or "").strip()))


def chats(rows, column):
    """Only the conversations, and only rows that have one."""
    return rows.select_columns([column]).filter(lambda row: bool(row[column]))


def pairs(rows, asking, response):
    """Rows as prompt and completion."""

    def pair(row):
        asked = [row[column] for column in asking if row[column]]
        turns = asked[0] if asked and isinstance(asked[0], list) else "\\n".join(asked)
        return {"prompt": turns, "completion": row[response]}

    rows = texts(rows, [*asking, response])
    return rows.map(pair, remove_columns=rows.column_names)

'''

MAIN = """

if __name__ == "__main__":
    import sys

    for name, count in drawn.items():
        print(f"{name}: {count:,} {UNIT}, {count / sum(drawn.values()):.4%}")
    print(f"{len(mixed):,} examples in all")
    if len(sys.argv) > 1:  # a file for trainers that only read one
        mixed.to_json(sys.argv[1], force_ascii=False)
"""


def script(plan: ExportPlan, normal: bool = False) -> str:
    """A script that makes ``mixed``, a ``datasets.Dataset``, and ends with :data:`MAIN` where it draws by tokens.

    normal: bring the rows of all domains to the same columns, also where they have the same ones of other names.
    """
    return _drawn(plan, normal) if plan.measured and plan.tokens is not None else _interleaved(plan)


def _interleaved(plan: ExportPlan) -> str:
    """By probability, each domain once at most."""
    lines = [f"    {_load(domain, '')}{_only(domain)},  # {printable(domain.name)}" for domain in plan.used]
    chances = probabilities(plan.used)
    per = "" if plan.measured else ", equal to the shares of tokens for equally long ones"
    return comments(plan) + "\n".join(
        [
            "from datasets import concatenate_datasets, interleave_datasets, load_dataset  # noqa: F401",
            "",
            "sources = [",
            *lines,
            "]",
            "mixed = interleave_datasets(",
            "    sources,",
            f"    probabilities={chances},  # of an example{per}",
            "    seed=0,",
            "    stopping_strategy='first_exhausted',  # nothing is read twice",
            ")",
            "",
        ]
    )


def _drawn(plan: ExportPlan, normal: bool) -> str:
    """By tokens, as many as the plan has of each domain."""
    root, counted = _root(plan), any(domain.per_byte is None for domain in plan.used)
    kinds = {domain.source.kind if domain.source else "" for domain in plan.used}
    same = len({tuple(domain.source.columns.items()) if domain.source else () for domain in plan.used}) == 1
    more = []
    if "messages" in kinds and len(kinds) > 1:
        more.append(
            "Note: some domains are conversations and others are not; a trainer wants one kind of rows."
        )
    lines = [
        comments(plan, *more) + "import os",
        "",
        "import numpy as np",
        "from datasets import Value, concatenate_datasets, load_dataset",
        "",
        f"ROOT = {root!r}  # where the files lie; change it when they move",
        f"TOKENS = {plan.tokens}  # to train on, in {printable(plan.unit)}",
        f"CUT = {plan.max_length!r}  # tokens after which the trainer cuts an example; None: never",
        'MAX_LENGTH = CUT or float("inf")',
        "SEED = 0",
        PAIR.rstrip("\n") + DRAW.rstrip("\n"),
        "",
        "",
        "rows = {",
    ]
    for domain in plan.used:
        loaded = _rows(_load(domain, root), domain, normal or not same, kinds)
        lines.append(f"    {domain.name!r}: lambda: {loaded},")
    if counted:
        lines += ["}", "plan = {  # examples to draw"]
        lines += [f"    {domain.name!r}: ({domain.draw!r}, None)," for domain in plan.used]
    else:
        lines += ["}", "plan = {  # tokens to draw, tokens in a byte of text"]
        lines += [
            f"    {domain.name!r}: ({domain.share!r} * TOKENS, {domain.per_byte!r})," for domain in plan.used
        ]
    lines += [
        "}",
        f"UNIT = {'examples' if counted else 'tokens'!r}",
        "parts, drawn = [], {}",
        "for name, (wanted, per_byte) in plan.items():",
        "    part, drawn[name] = draw(rows[name](), wanted, per_byte)",
        "    parts.append(part)",
        "mixed = concatenate_datasets(parts).shuffle(seed=SEED)",
    ]
    return "\n".join(lines) + "\n" + MAIN


def _rows(loaded: str, domain: PlannedDomain, normal: bool, kinds: set[str]) -> str:
    """The rows that a domain draws from, as Python: its own columns, or those that all domains share."""
    source = domain.source or Source(columns={"text": "text"})
    columns = source.columns
    if source.domain_column:
        loaded = f"chosen({loaded}, {source.domain_column!r}, {source.domain!r})"
    if "messages" in columns:
        return f"chats({loaded}, {columns['messages']!r})"
    if "response" in columns:
        asking = [columns[what] for what in ("system", "prompt", "input") if what in columns]
        if normal:
            return f"pairs({loaded}, {asking!r}, {columns['response']!r})"
        return f"texts({loaded}, {[*asking, columns['response']]!r})"
    if "text" in columns:
        text = f"texts({loaded}, [{columns['text']!r}])"
        if "pair" in kinds:
            return f"pairs({loaded}, [], {columns['text']!r})"
        rename = normal and columns["text"] != "text"
        return f'{text}.rename_column({columns["text"]!r}, "text")' if rename else text
    return loaded


def _load(domain: PlannedDomain, root: str) -> str:
    """The call that loads a domain's rows, as Python; a domain that nobody knows anything of goes by its own name."""
    source = domain.source
    if source is None:
        return f"load_dataset({domain.name!r}, split='train')"
    if source.hub:
        return f"load_dataset({source.hub!r}, split={source.split!r})"
    calls = []
    for loader, files in _by_loader(source).items():
        inside = [_joined(path, root) for path in files]
        how = ", sample_by='paragraph'" if loader == "text" else ""
        if loader == "csv":  # NA and None are words
            how = ", keep_default_na=False, na_values=['']"
        how += "".join(f", {name}={value!r}" for name, value in source.options.items())
        calls.append(f"load_dataset({loader!r}, data_files=[{', '.join(inside)}], split='train'{how})")
    return calls[0] if len(calls) == 1 else f"concatenate_datasets([{', '.join(calls)}])"


def _only(domain: PlannedDomain) -> str:
    """The choice of a domain's rows, where it shares a table with others."""
    source = domain.source
    if source is None or not source.domain_column:
        return ""
    return f".filter(lambda row: str(row[{source.domain_column!r}]).strip() == {source.domain!r})"


def _joined(path: str, root: str) -> str:
    return f"os.path.join(ROOT, {os.path.relpath(path, root)!r})" if root else repr(path)


def _by_loader(source: Source) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in source.files:
        found.setdefault(Source(files=(path,)).loader or "json", []).append(path)
    return found


def _root(plan: ExportPlan) -> str:
    """The folder that all files share; empty where there is none."""
    folders = [str(Path(path).parent) for d in plan.used if d.source for path in d.source.files]
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # on several drives
        return ""


FORMATS.register(
    Format(
        "datasets",
        "a script that draws it",
        lambda plan, folder: Written(script(plan)),
        suffixes=(".py",),
        serves={
            "axolotl": "Axolotl concatenates its datasets and has no mixing probabilities; "
            "export --format datasets to mix.py, run `python mix.py mixed.jsonl`, and train on mixed.jsonl."
        },
    )
)
