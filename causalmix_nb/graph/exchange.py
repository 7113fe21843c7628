"""Graphs from outside and to outside: text in any format, files, and graphs of other packages.

A text is recognised by its content. What a format is recognised by is looked for outside quotes; what its reader cannot read it refuses
by the format's name. The formats are the files of :mod:`causalmix_nb.graph.formats`.

>>> read("digraph { state -> {mixture score} }").edges
[('state', 'mixture'), ('state', 'score')]
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from causalmix_nb.errors import GraphError, listed
from causalmix_nb.graph.formats.format import FORMATS, format_named, format_of
from causalmix_nb.graph.formats.objects import read_object
from causalmix_nb.graph.reading import Reading, masked
from causalmix_nb.graph.text import Pair, is_plain

LARGEST = 300_000  # characters of a text


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
        suffixes = {suffix: one for one in FORMATS.values() for suffix in one.suffixes}
        asked = asked or suffixes.get(path.suffix.lower())
    if not isinstance(given, str):
        if given is None or isinstance(given, (int, float, bytes)):
            raise GraphError(
                f"a graph is text such as 'state -> mixture; mixture -> score', got {type(given).__name__}."
            )
        return read_object(given)
    if len(given) > LARGEST:
        raise GraphError(
            f"the text of the graph has {len(given):,} characters; give one of at most {LARGEST:,}."
        )
    text = _inside(given)
    if not masked(text).strip(" \t\n;"):
        raise GraphError("the graph is empty; write at least one arrow, for example mixture -> score.")
    if asked is not None:
        return (asked.read_asked or asked.read)(text)
    return format_of(text).read(text)


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
