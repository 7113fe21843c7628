"""The formats in which people write graphs: how each is recognised, read and written. One entry a format.

A text is recognised by its content. What a format is recognised by is looked for outside quotes, and the first entry that
recognises the text reads it; what that reader cannot read it refuses by the format's name. Our own text comes last and takes
what no other format claims.

>>> read("digraph { state -> {mixture score} }").edges
[('state', 'mixture'), ('state', 'score')]
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causalmix_nb.errors import GraphError, did_you_mean, listed
from causalmix_nb.graph import braces, formulas, mermaid, objects, tables
from causalmix_nb.graph import text as graph_text
from causalmix_nb.graph.reading import Reading, masked
from causalmix_nb.graph.text import Pair, is_plain, quoted

Write = Callable[[Sequence[Pair], Sequence[Pair], Sequence[str]], str]
LARGEST = 300_000  # characters of a text


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write graphs.

    Parameters
    ----------
    says: what it is, for a sentence. recognise: whether a text is written in it. read: a text as a :class:`Reading`.
    write: arrows, hidden pairs and nodes as text. also: other words that people use for it.
    """

    says: str
    recognise: Callable[[str], bool]
    read: Callable[[str], Reading]
    write: Write
    also: tuple[str, ...] = ()


def _read_own(text: str) -> Reading:
    return Reading(*graph_text.read(text))


def _write_own(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    arrows = [f"{quoted(a)} -> {quoted(b)}" for a, b in edges]
    arrows += [f"{quoted(a)} <-> {quoted(b)}" for a, b in hidden]
    drawn = {name for pair in (*edges, *hidden) for name in pair}
    alone = [quoted(name) for name in nodes if name not in drawn]
    if not arrows:  # names without an arrow are read only where each is ended by a semicolon
        return " ".join(f"{name};" for name in alone)
    return "\n".join(arrows + alone)


FORMATS: dict[str, Format] = {
    "graphml": Format("GraphML", objects.is_graphml, objects.read_graphml, objects.write_graphml, ("yed",)),
    "bnlearn": Format("bnlearn's model string, [a][b|a]", tables.is_model, tables.read_model, tables.write_model),
    "json": Format(
        "JSON: node-link data, cytoscape, a list of arrows", objects.is_json, objects.read_json,
        objects.write_json, ("node-link", "cytoscape", "d3"),
    ),
    "gml": Format("GML", objects.is_gml, objects.read_gml, objects.write_gml),
    "dagitty": Format(
        "dagitty, dag { a -> b }", braces.is_dagitty, braces.read_dagitty, braces.write_dagitty, ("daggity", "ggdag", "dag"),
    ),
    "dot": Format("DOT, digraph { a -> b }", braces.is_dot, braces.read_dot, braces.write_dot, ("graphviz", "gv", "digraph", "pydot")),
    "mermaid": Format("mermaid, graph LR", mermaid.is_mermaid, mermaid.read_mermaid, mermaid.write_mermaid, ("flowchart", "mmd")),
    "causal-learn": Format(
        "the text of causal-learn and Tetrad", tables.is_discovered, tables.read_discovered,
        tables.write_discovered, ("causallearn", "tetrad"),
    ),
    "lavaan": Format(
        "lavaan, semopy and dagify, b ~ a", formulas.is_formulas, formulas.read_formulas,
        formulas.write_formulas, ("semopy", "dagify", "formula", "formulas", "r", "sem"),
    ),
    "edges": Format(
        "an edge list: CSV, TSV, networkx's", tables.is_table, tables.read_table, tables.write_table,
        ("csv", "tsv", "edgelist", "edge list", "table"),
    ),
    "causalmix": Format("the text of this package, a -> b; c <-> d", lambda text: True, _read_own, _write_own, ("text",)),
}  # fmt: skip
_STRANGERS = [  # what is recognised and cannot be read: how it starts, what it is, what to do
    (r"\s*<[?!A-Za-z]", "XML, and no GraphML", "export GraphML, DOT or a table of arrows"),
    (r"\s*network\s+\S*\s*\{", "BIF, a file of a Bayesian network", "load it with pgmpy and give the model"),
    (r"\s*@start\w+", "PlantUML", "write a -> b"),
    (r"\s*\\(?:begin|documentclass|usepackage|tikz)", "LaTeX", "write a -> b"),
    (r"\s*[^\s\"']+ [01EOUAX]\b[^\n]*@-?\d", "dagitty's old model code", "open it at dagitty.net and copy the new code, dag { … }"),
    (r"\x89PNG|%PDF|PK\x03\x04|\x1f\x8b", "no text but a binary file", "give the text of the graph"),
]  # fmt: skip
_BY_SUFFIX = {".csv": "edges", ".tsv": "edges", ".edgelist": "edges"}


def format_named(name: str) -> Format:
    """The format of a name, or of another word for it.

    Raises
    ------
    GraphError: no such format.
    """
    word = str(name).strip().lower()
    for key, found in FORMATS.items():
        if word == key or word in found.also or word.replace("_", "-") == key:
            return found
    also = {other: key for key, found in FORMATS.items() for other in (key, *found.also)}
    raise GraphError(
        f"there is no format {str(name)[:40]!r}.{did_you_mean(word, also)} Formats are {', '.join(sorted(FORMATS))}."
    )


def read(given: Any, format: str | None = None) -> Reading:
    """Read a graph: text in any of the formats, a file's path, or a graph of another package.

    Raises
    ------
    GraphError: what cannot be read, by the name of the format that was recognised or asked for.
    """
    asked = format_named(format) if format is not None else None
    if isinstance(given, os.PathLike):
        path = Path(given)
        given = _file(path)
        asked = asked or (
            FORMATS[_BY_SUFFIX[path.suffix.lower()]] if path.suffix.lower() in _BY_SUFFIX else None
        )
    if not isinstance(given, str):
        if given is None or isinstance(given, (int, float, bytes)):
            raise GraphError(
                f"a graph is text such as 'state -> mixture; mixture -> score', got {type(given).__name__}."
            )
        return objects.read_object(given)
    if len(given) > LARGEST:
        raise GraphError(
            f"the text of the graph has {len(given):,} characters; give one of at most {LARGEST:,}."
        )
    text = _inside(given)
    if not masked(text).strip(" \t\n;"):
        raise GraphError("the graph is empty; write at least one arrow, for example mixture -> score.")
    if asked is not None:
        if asked is FORMATS["lavaan"]:
            return formulas.read_formulas(text, named=True)
        return asked.read(text)
    found = next(each for each in FORMATS.values() if each.recognise(text))
    if found is FORMATS["causalmix"]:
        _refuse_strangers(text)
    return found.read(text)


def _refuse_strangers(text: str) -> None:
    for start, what, advice in _STRANGERS:
        if re.match(start, text):
            raise GraphError(f"this is {what}, which cannot be read as a graph; {advice}.")
    if tables.is_matrix(text):
        tables.read_table(text)
    if graph_text.names_a_file(text):
        raise GraphError(
            f"{text.strip()[:80]!r} is the name of a file; give pathlib.Path({text.strip()[:80]!r}) to read the graph in it."
        )


def _file(path: Path) -> str:
    try:
        if path.stat().st_size > 4 * LARGEST:
            raise GraphError(
                f"{path} is larger than a graph could be; give a file of at most {LARGEST:,} characters."
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise GraphError(f"there is no file {path}; give the path of a file that holds a graph.") from None
    except (OSError, ValueError):
        raise GraphError(f"{path} cannot be read as a file; give one that holds a graph.") from None
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise GraphError(f"{path} is no text in UTF-8; save it as UTF-8.") from None


def _inside(text: str) -> str:
    """The text without a byte-order mark, the fences of Markdown and R's call around it; lines keep their numbers."""
    text = re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff"))
    fenced = re.match(r"(\s*)(?:```|~~~)[^\n]*\n(.*?)\n?[ \t]*(?:```|~~~)\s*\Z", text, re.DOTALL)
    if fenced:
        text = f"{fenced[1]}\n{fenced[2]}"
    called = re.match(
        r"\A\s*+(?:[\w.]++\s*+(?:<-|=)\s*+)?(?:dagitty::)?dagitty\s*\(\s*(['\"])(.*)\1\s*\)\s*;?\s*\Z",
        text,
        re.DOTALL,
    )
    if called:
        text = "\n" * text.count("\n", 0, called.start(2)) + called[2].replace("\\" + called[1], called[1])
    return text


def write(name: str, edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    """A graph as text of one format, which that format's reader reads back as the same graph.

    Raises
    ------
    GraphError: no such format, or names that it cannot hold.
    """
    found = format_named(name)
    try:
        text = found.write(edges, hidden, nodes)
    except (ValueError, UnicodeError) as error:  # a library's, about a character that it cannot write
        if isinstance(error, GraphError):
            raise
        text = ""
    if found is FORMATS["causalmix"]:
        return text
    try:
        again = read(text, name).recorded()
        same = set(again[0]) == set(edges) and set(again[2]) == set(nodes)
        same = same and set(map(frozenset, again[1])) == set(map(frozenset, hidden))
    except GraphError:
        same = False
    if not same:
        strange = [name for name in nodes if not is_plain(name)] or list(nodes)
        raise GraphError(
            f"{found.says.split(',')[0].split(':')[0]} cannot hold every name of this graph ({listed(map(ascii, strange))}); rename these, or choose another format."
        )
    return text
