"""Causal graphs as text: ``state -> mixture; mixture -> score``, ``a <-> b`` for a hidden common cause.

A statement stands on a line of its own or ends with ``;``. It is a chain of names joined by ``->`` (causes),
``<-`` (is caused by) or ``<->`` (hidden common cause); ``a, b -> c`` draws an arrow from each; a name alone
is a node. ``#`` starts a comment. A name is any word, dots included (``math.loss``); in quotes it may be any
text.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence

from causalmix_nb.errors import GraphError

Pair = tuple[str, str]

_TOKEN = re.compile(
    r"""(?P<space>[^\S\n]+) | (?P<comment>\#[^\n]*) | (?P<end>[\n;]) | (?P<arrow><->|->|<-|↔|→|←) | (?P<comma>,)
    | (?P<quoted>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*') | (?P<name>(?:[^\s,;\#"'<>↔→←-]|-(?!>))+) | (?P<other>.)""",
    re.VERBOSE,
)
_PLAIN = {"↔": "<->", "→": "->", "←": "<-"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def read(text: str) -> tuple[list[Pair], list[Pair], list[str]]:
    """Read a graph from text into its arrows, its hidden pairs and its names, in the order of their mention.

    Raises
    ------
    GraphError: a line that cannot be read; the message names the line and what is wrong with it.

    >>> read('"pool size" -> mixture; a <-> b')
    ([('pool size', 'mixture')], [('a', 'b')], ['pool size', 'mixture', 'a', 'b'])
    """
    if not isinstance(text, str):
        raise GraphError(
            f"a graph is text such as 'state -> mixture; mixture -> score', got {type(text).__name__}."
        )
    edges, hidden, nodes = [], [], []
    for number, source, tokens in _statements(text):
        groups = _chain(number, source, tokens)
        for (left, arrow), (right, _) in itertools.pairwise(groups):
            for a, b in itertools.product(left, right):
                if arrow == "<->":
                    hidden.append((a, b))
                else:
                    edges.append((a, b) if arrow == "->" else (b, a))
        nodes += [name for names, _ in groups for name in names]
    return edges, hidden, list(dict.fromkeys(nodes))


def _statements(text: str) -> Iterator[tuple[int, str, list[tuple[str, str]]]]:
    """Statements as (line number, the source line, tokens), comments and spaces left out."""
    text = text.removeprefix("\ufeff")
    lines, number = text.split("\n"), 1
    tokens: list[tuple[str, str]] = []
    for match in _TOKEN.finditer(text + "\n"):
        kind, value = str(match.lastgroup), match.group()
        if kind == "end":
            if tokens:
                yield number, lines[number - 1].strip(), tokens
            tokens = []
            number += value == "\n"
        elif kind not in ("space", "comment"):
            tokens.append((kind, value))


def _chain(number: int, source: str, tokens: list[tuple[str, str]]) -> list[tuple[list[str], str]]:
    """A statement as groups of names, each with the arrow that follows it ("" after the last)."""
    source = source if len(source) <= 80 else source[:79] + "…"
    groups: list[tuple[list[str], str]] = [([], "")]
    expect_name = True
    for kind, value in tokens:
        if kind == "other" or (kind in ("name", "quoted")) != expect_name:
            break
        if expect_name:
            name = value if kind == "name" else re.sub(r"\\(u[0-9a-fA-F]{4}|.)", _unescaped, value[1:-1])
            groups[-1][0].append(name)
        elif kind == "arrow":
            groups[-1] = (groups[-1][0], _PLAIN.get(value, value))
            groups.append(([], ""))
        expect_name = not expect_name
    else:
        if not expect_name:
            return groups
    stray = [value for kind, value in tokens if kind == "other"]
    if stray:
        reason = f"the sign {stray[0]} has no meaning here; put it in quotes if it belongs to a name"
    elif expect_name:
        reason = "an arrow or a comma has no name beside it"
    else:
        reason = (
            'two names stand side by side; put a name with spaces in quotes, as in "pool size" -> mixture'
        )
    raise GraphError(
        f"cannot read line {number} of the graph, {source!r}: {reason}; write for example state -> mixture."
    )


def _unescaped(match: re.Match[str]) -> str:
    code = match.group(1)
    return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)


def quoted(name: str) -> str:
    """A name as it stands in text: in quotes unless it is one plain word.

    >>> quoted("math.loss"), quoted("pool size")
    ('math.loss', '"pool size"')
    """
    match = _TOKEN.fullmatch(name)
    return name if match and match.lastgroup == "name" else json.dumps(name, ensure_ascii=False)


def joined(names: Sequence[str]) -> str:
    """Names as they stand in a sentence.

    >>> joined(["math", "code", "legal"])
    'math, code and legal'
    """
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
