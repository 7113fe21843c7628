"""The text of this package, ``a -> b; c <-> d``, which takes what no other format claims."""

from __future__ import annotations

import re
from collections.abc import Sequence

from causalmix_nb.errors import GraphError
from causalmix_nb.graph import text as graph_text
from causalmix_nb.graph.formats import edge_list
from causalmix_nb.graph.formats.format import FORMATS, Format
from causalmix_nb.graph.reading import Reading
from causalmix_nb.graph.text import Pair, statements

_STRANGERS = [  # what is recognised and cannot be read: how it starts, what it is, what to do
    (r"\s*<[?!A-Za-z]", "XML, and no GraphML", "export GraphML, DOT or a table of arrows"),
    (r"\s*network\s+\S*\s*\{", "BIF, a file of a Bayesian network", "load it with pgmpy and give the model"),
    (r"\s*@start\w+", "PlantUML", "write a -> b"),
    (r"\s*\\(?:begin|documentclass|usepackage|tikz)", "LaTeX", "write a -> b"),
    (r"\s*[^\s\"']+ [01EOUAX]\b[^\n]*@-?\d", "dagitty's old model code", "open it at dagitty.net and copy the new code, dag { … }"),
    (r"\x89PNG|%PDF|PK\x03\x04|\x1f\x8b", "no text but a binary file", "give the text of the graph"),
]  # fmt: skip


def read_any(text: str) -> Reading:
    """Read a text that may be ours.

    Raises
    ------
    GraphError: it is something else that cannot be read, by the name of that; or a line that cannot be read.
    """
    _refuse_strangers(text)
    return read(text)


def read(text: str) -> Reading:
    """Read our own text."""
    return Reading(*graph_text.read(text))


def write(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    """One statement a line; names without an arrow are read only where each is ended by a semicolon."""
    lines = statements(edges, hidden, nodes)
    return "\n".join(lines) if edges or hidden else " ".join(f"{name};" for name in lines)


def _refuse_strangers(text: str) -> None:
    for start, what, advice in _STRANGERS:
        if re.match(start, text):
            raise GraphError(f"this is {what}, which cannot be read as a graph; {advice}.")
    if edge_list.is_matrix(text):
        edge_list.read_table(text)
    if graph_text.names_a_file(text):
        raise GraphError(
            f"{text.strip()[:80]!r} is the name of a file; give pathlib.Path({text.strip()[:80]!r}) to read the graph in it."
        )


FORMATS.register(
    Format(
        "causalmix",
        "the text of this package, a -> b; c <-> d",
        lambda text: True,
        read_any,
        write,
        ("text",),
        read_asked=read,
        turn=9,
    )
)
