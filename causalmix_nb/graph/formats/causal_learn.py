"""The text of causal-learn and Tetrad: what ``print(graph)`` shows, nodes and then numbered edges."""

from __future__ import annotations

import re
from collections.abc import Sequence

from causalmix_nb.graph.formats.format import FORMATS, Format
from causalmix_nb.graph.reading import Reading, bare, fields, masked, refusal
from causalmix_nb.graph.text import Pair, quoted, unescaped

DISCOVERED = "causal-learn's text"
_EDGE = re.compile(r"\d+\.\s*(.*?)\s*(?<!\S)([<o\-]-[>o\-])(?!\S)\s*(.*)")


def is_discovered(text: str) -> bool:
    return bool(re.search(r"^[ \t]*Graph (?:Nodes|Edges):", masked(text), re.MULTILINE))


def read_discovered(text: str) -> Reading:
    """Read what ``print(graph)`` of causal-learn and Tetrad shows: nodes, then numbered edges."""
    if not is_discovered(text):
        raise refusal(DISCOVERED, "it has two parts, Graph Nodes: and Graph Edges:")
    reading = Reading()
    part = ""
    for number, line in enumerate(text.split("\n"), 1):
        statement = line.strip()
        if not statement:
            continue
        if re.fullmatch(r"[A-Z][\w /\-]*:.*", statement) and not re.match(r"\d", statement):
            part, _, statement = statement.partition(":")
            statement = statement.strip()
            if not statement:
                continue
        if part == "Graph Nodes":
            some = fields(statement, ";" if ";" in masked(statement) else ",")
            reading.nodes += [_name(field, number, line, reading) for field in some if field.strip()]
        elif part == "Graph Edges":
            found = _EDGE.fullmatch(masked(statement))
            if not found:
                raise refusal(DISCOVERED, "an edge is written as 1. a --> b", number, line)
            left, arrow, right = (statement[slice(*found.span(k))] for k in (1, 2, 3))
            more = re.search(r"(?:\s+(?:dd|nl|pd|pl|[\d.]+%?))+$|\s*\[.*\]\s*;?.*$", masked(right))
            right = right[: more.start()] if more else right
            if "o" in arrow or arrow == "---":
                raise refusal(
                    DISCOVERED, f"the edge {arrow} has no certain direction: this is a class of graphs (a CPDAG or PAG), not one; "
                    "decide every direction, and write --> or <->", number, line
                )  # fmt: skip
            a, b = _name(left, number, line, reading), _name(right, number, line, reading)
            reading.nodes += [a, b]
            reading.join([a], {"-->": "->", "<--": "<-", "<->": "<->"}.get(arrow, "->"), [b])
    return reading


def _name(field: str, number: int, line: str, reading: Reading) -> str:
    """A name of causal-learn's text; one in ( ) is Tetrad's sign for a latent node."""
    field = field.strip()
    if re.fullmatch(r'"(?:[^"\\]|\\.)*"', field):
        return unescaped(field[1:-1])
    latent = re.fullmatch(r"\(([^()]+)\)", field)
    try:
        name = bare(latent[1] if latent else field)
    except ValueError as error:
        raise refusal(DISCOVERED, str(error), number, line) from None
    if not name:
        raise refusal(DISCOVERED, "an edge has no name beside it", number, line)
    if latent:
        reading.latent.add(name)
    return name


def write_discovered(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    lines = [f"{quoted(a)} --> {quoted(b)}" for a, b in edges]
    lines += [f"{quoted(a)} <-> {quoted(b)}" for a, b in hidden]
    numbered = [f"{k}. {line}" for k, line in enumerate(lines, 1)]
    return "\n".join(["Graph Nodes:", ";".join(map(quoted, nodes)), "", "Graph Edges:", *numbered])


FORMATS.register(
    Format(
        "causal-learn",
        "the text of causal-learn and Tetrad",
        is_discovered,
        read_discovered,
        write_discovered,
        also=("causallearn", "tetrad"),
        turn=2,
    )
)
