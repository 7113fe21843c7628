"""Graphs as lists of arrows: tables with two columns (CSV, TSV).

The first row may name the columns (``source,target``, ``from,to``, ``cause,effect``, ``parent,child``, in either
order); a column ``type`` says ``->``, ``<->`` (or *directed*, *bidirected* …). Without such a row the first column is the cause.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from causalmix_nb.errors import listed
from causalmix_nb.graph.formats.format import FORMATS, Format
from causalmix_nb.graph.reading import Reading, bare, refusal
from causalmix_nb.graph.text import Pair, is_plain

TABLE = "an edge list"
_PAIRS = [
    ("source", "target"), ("src", "dst"), ("src", "tgt"), ("src", "dest"), ("from", "to"), ("cause", "effect"),
    ("parent", "child"), ("tail", "head"), ("start", "end"), (":start_id", ":end_id"), ("from_node", "to_node"),
    ("node_from", "node_to"), ("source_node", "target_node"), ("source_id", "target_id"), ("predecessor", "successor"), ("name", "to"),
    ("parent", "node"), ("parent", "name"), ("source", "destination"), ("source", "dest"), ("source", "sink"), ("origin", "destination"),
    ("from_id", "to_id"), ("from_name", "to_name"), ("source_name", "target_name"), ("edge_source", "edge_target"), ("src_id", "dst_id"),
    ("start_node", "end_node"), ("antecedent", "consequent"), ("ancestor", "descendant"), ("influencer", "influenced"),
    ("cause", "outcome"), ("regulator", "target"),
]  # fmt: skip
_MAYBE = {  # that may also be nodes
    ("node1", "node2"), ("node_1", "node_2"), ("v1", "v2"), ("x", "y"), ("u", "v"), ("i", "j"), ("var1", "var2"), ("variable1", "variable2"),
    ("variable_1", "variable_2"), ("treatment", "outcome"), ("exposure", "outcome"), ("upstream", "downstream"), ("driver", "response"),
    ("independent", "dependent"),
}  # fmt: skip
_HEADERS = frozenset(
    "source target from to cause causes effect effects parent parents child children lhs rhs".split()
)
_TYPES = (
    "type",
    "edge",
    "edge_type",
    "edgetype",
    "kind",
    "relation",
    "relationship",
    "arrow",
    "direction",
    "interaction",
)
_ARROW = re.compile(r"<-+>|(?<!-)-+>|<-+|[→←↔]")
_WORDS = {
    "->": ("directed", "direct", "causes", "cause", "causal", "arrow", "forward", "edge", "1", "true", "yes", ""),
    "<-": ("reverse", "reversed", "backward", "back", "caused by", "is caused by", "caused_by"),
    "<->": (
        "bidirected", "bidirectional", "bi-directed", "both", "hidden", "latent", "confounded", "confounding",
        "confounder", "unobserved", "hidden common cause", "hidden cause",
    ),
}  # fmt: skip
_SAYS = {word: arrow for arrow, words in _WORDS.items() for word in words}

Cell = tuple[str, bool]  # text, whether it stood in quotes
Row = tuple[int, list[Cell]]


def arrow_of(word: str) -> str | None:
    """The arrow that the type of an edge means, None if it means none: ``-->``, ``directed``, ``<->``, ``hidden`` …"""
    word = word.strip().lower()
    if _ARROW.fullmatch(word):
        return {"→": "->", "←": "<-", "↔": "<->"}.get(word) or re.sub("-+", "-", word)
    return _SAYS.get(word.replace("_", " ")) or _SAYS.get(word)


# -- tables --------------------------------------------------------------------------------------------------


def _rows(text: str, mark: str) -> list[Row]:
    """Rows of a table as (line number, cells); blank rows and ``#`` comments left out."""
    plain, end = (r"\S*", r"[^\S\n]+") if mark == " " else (rf"[^\n{mark}]*", mark)
    cell = re.compile(rf' *+"((?:[^"]|"")*+)" *+({end}|\n|\Z)|({plain})({end}|\n|\Z)')
    rows: list[Row] = []
    cells: list[Cell] = []
    number = start = 1
    for found in cell.finditer(text):
        inside, quoted = (found[1], True) if found[1] is not None else (found[3].strip(), False)
        if mark != " " or inside or quoted:
            cells.append((inside.replace('""', '"') if quoted else inside, quoted))
        number += found[0].count("\n")
        if (found[2] or found[4] or "\n") == "\n":
            if any(word or quoted for word, quoted in cells) and not (
                cells[0][0][:1] == "#" and not cells[0][1]
            ):
                rows.append((start, cells))
            cells, start = [], number
    return rows


def _columns(cells: Sequence[Cell]) -> dict[str, int] | None:
    """Which column is the cause, which the effect and which the type of an edge, if the cells name them."""
    names = [re.sub(r"[\s\-]+", "_", word.strip().lower()) for word, _ in cells]
    for cause, effect in _PAIRS:
        if names.count(cause) == 1 and names.count(effect) == 1:
            found = {"cause": names.index(cause), "effect": names.index(effect)}
            kinds = [names.index(name) for name in _TYPES if name in names]
            return found | ({"type": kinds[0]} if kinds else {})
    return None


def _maybe_columns(rows: Sequence[Row]) -> dict[str, int] | None:
    """The columns of a table whose first row are words that may be nodes too, if no other row has them."""
    first, *others = ([word.strip().lower() for word, _ in cells] for _, cells in rows)
    if (
        len(first) > 1
        and (first[0], first[1]) in _MAYBE
        and not {*first[:2]} & {name for row in others for name in row}
    ):
        return {"cause": 0, "effect": 1}
    return None


def _is_arrow(cell: Cell) -> bool:
    return not cell[1] and bool(_ARROW.fullmatch(cell[0]))


def _table(text: str) -> tuple[list[Row], dict[str, int], bool] | None:
    """Rows, the columns that matter, and whether the first row named them; None if the text is no such table."""
    first = next((line for line in text.split("\n") if line.strip() and not line.startswith("#")), "")
    for mark in "\t;, ":
        if mark not in first:
            continue
        rows = _rows(text, mark)
        columns = _columns(rows[0][1]) if rows else None
        if columns is None and len(rows) > 1 and mark != " ":
            columns = _maybe_columns(rows)
        if columns and not any(map(_is_arrow, rows[0][1])):
            return (rows[1:], columns, True) if len(rows) > 1 else None
        if mark == " ":
            data = re.compile(
                r"[^\S\n]*\{[^{}\n]*\}[^\S\n]*$", re.MULTILINE
            )  # what networkx writes of an edge
            marked = bool(data.search(text))
            rows = _rows(data.sub("", text), mark)
        wide = {len(cells) for _, cells in rows}
        if (
            len(wide) != 1
            or not wide <= {2, 3}
            or any(not word.strip() for _, row in rows for word, _ in row)
        ):
            continue
        columns = {"cause": 0, "effect": 1}
        if wide == {3}:
            kind = next(
                (k for k in (1, 2) if mark != " " and all(_is_arrow(row[k]) for _, row in rows)), None
            )
            if kind is not None:
                columns = {"cause": 0, "effect": 3 - kind, "type": kind}
            elif not all(re.fullmatch(r"[-+]?[\d.]+(?:e[-+]?\d+)?", row[2][0]) for _, row in rows):
                continue
        arrows = [cell for _, row in rows for k, cell in enumerate(row) if k != columns.get("type")]
        if any(_ARROW.search(word) and not quoted for word, quoted in arrows):
            continue
        if mark == " " and not marked:  # two words a line: arrows only if they hang together
            causes, effects = ({row[k][0] for _, row in rows} for k in (0, columns["effect"]))
            if not causes & effects and "type" not in columns:
                continue
        if len(rows) > 1 or mark == " " and marked or wide == {3}:
            return rows, columns, False
    return None


def is_table(text: str) -> bool:
    return _table(text) is not None


def is_matrix(text: str) -> bool:
    """Whether a text is a table of nodes against nodes."""
    for mark in "\t;,":
        rows = _rows(text, mark)
        wide = {len(cells) for _, cells in rows}
        if len(rows) < 3 or len(wide) != 1 or next(iter(wide)) not in (len(rows), len(rows) - 1):
            continue
        cells = [word for _, row in rows[1:] for word, _ in row[1 if next(iter(wide)) == len(rows) else 0 :]]
        if all(re.fullmatch(r"-?\d*\.?\d+", word) for word in cells):
            return True
    return False


def read_table(text: str) -> Reading:
    """Read a table with one arrow a row."""
    if is_matrix(text):
        raise refusal(
            TABLE, "it is a table of nodes against nodes, and tools differ in whether a row or a column is the cause; "
            "give one arrow a row, under the header source,target"
        )  # fmt: skip
    found = _table(text)
    if found is None:  # asked for by name
        marks = [mark for mark in "\t;, " if mark in text.strip()]
        rows = _rows(text, marks[0]) if marks else []
        if not rows or any(len(row) != 2 for _, row in rows):
            raise refusal(
                TABLE, "a row has a cause and an effect; give two columns, under the header source,target"
            )
        found = rows, {"cause": 0, "effect": 1}, False
    rows, columns, named = found
    first, *others = ([word.strip().lower() for word, _ in cells] for _, cells in rows)
    heads = [name for name in first if name in _HEADERS and not any(name in row for row in others)]
    if heads and others and not named:
        raise refusal(
            TABLE, f"its first row seems to name the columns ({heads[0]}), and does not say which is the cause; call them source,target",
            rows[0][0], ", ".join(first),
        )  # fmt: skip
    reading = Reading()
    for number, row in rows:
        line = ", ".join(word for word, _ in row)
        row = [*row, *[("", False)] * (max(columns.values()) + 1 - len(row))] if named else row
        ends = []
        for column in ("cause", "effect"):
            word, quoted = row[columns[column]]
            try:
                ends.append(word if quoted else bare(word))
            except ValueError as error:
                raise refusal(TABLE, str(error), number, line) from None
        kind = row[columns["type"]][0] if "type" in columns else ""
        names = [name for name in ends if name.strip()]
        reading.nodes += names
        if len(names) == 2:
            arrow = arrow_of(kind)
            if arrow is None:
                raise refusal(
                    TABLE, f"the edge is of the type {kind!r}; what is read is -> (directed) and <-> (a hidden common cause)", number, line
                )  # fmt: skip
            reading.join([names[0]], arrow, [names[1]])
        elif not names or not named or ends[1].strip():
            raise refusal(TABLE, "a row has a cause and an effect, and one is blank", number, line)
    return reading


def write_table(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    drawn = {name for pair in (*edges, *hidden) for name in pair}
    rows = [(a, b, "->") for a, b in edges] + [(a, b, "<->") for a, b in hidden]
    rows += [(name, "", "") for name in nodes if name not in drawn]
    return "\n".join(["source,target,type", *[f"{_cell(a)},{_cell(b)},{kind}" for a, b, kind in rows]])


def _cell(name: str) -> str:
    return name if not name or is_plain(name) else '"' + name.replace('"', '""') + '"'


def records(rows: Sequence[Mapping[str, object]]) -> Reading | None:
    """Arrows given as records that name their cause and their effect, or None if they do not."""
    reading = Reading()
    for row in rows:
        columns = _columns([(str(name), False) for name in row])
        if columns is None:
            return None
        cells = list(row.values())
        kind = cells[columns["type"]] if "type" in columns else ""
        arrow = arrow_of("" if kind is None else str(kind))
        if arrow is None:
            raise refusal(
                TABLE, f"an edge is of the type {str(kind)!r}; what is read is {listed(['->', '<->'])}, directed and bidirected"
            )  # fmt: skip
        cause, effect = (_as_text(cells[columns[end]]) for end in ("cause", "effect"))
        if not cause:
            raise refusal(TABLE, "a row has a cause and an effect, and the cause is missing")
        reading.nodes.append(cause)
        if effect:
            reading.join([cause], arrow, [effect])
    return reading


def _as_text(cell: object) -> str:
    """A cell as text, "" where it is missing."""
    missing = cell is None or cell != cell or type(cell).__name__ in ("NAType", "NaTType")
    return "" if missing else str(cell).strip()


FORMATS.register(
    Format(
        "edges",
        "an edge list: CSV, TSV, networkx's",
        is_table,
        read_table,
        write_table,
        also=("csv", "tsv", "edgelist", "edge list", "table"),
        suffixes=(".csv", ".tsv", ".edgelist"),
        turn=4,
    )
)
