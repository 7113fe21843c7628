"""Causal graphs as text: ``state -> mixture; mixture -> score``, ``a <-> b`` for a hidden common cause.

A statement stands on a line of its own or ends with ``;``. It is a chain of names joined by ``->`` (causes),
``<-`` (is caused by) or ``<->`` (hidden common cause), each as long as one likes (``-->``, or ``–>`` where an editor joined two hyphens); ``a, b -> c`` and
``{a b} -> c`` draw an arrow from each; a name alone is a node. ``#`` starts a comment. A name is any word, dots,
slashes and inner hyphens included (``math.loss``, ``gsm8k/acc``, ``gpt-2``); in quotes it may be any text.

Names without any arrow are a list, not a graph, and are refused, unless each is a statement of its own that ends with
``;`` (``s; score``): so is a graph written that has lost its arrows.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NoReturn

from causalmix_nb.errors import GraphError, listed

Pair = tuple[str, str]
Token = tuple[str, str]

MOST_ARROWS = 50_000

INVISIBLE = (  # controls, marks of direction, fillers, variation selectors, private use: nobody sees them in a name
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U0010ffff"
)
_SIGNS = r"""{}\[\]()<>~|=&\\^`"'“”„‟‘’‚‛«»‹›（）［］｛｝＜＞＝～｜＆，；–—―−‐‑\u2190-\u21ff\u27f0-\u27ff\u2900-\u297f"""
FOREIGN = re.compile(f"[{_SIGNS}{INVISIBLE}]")  # what is part of no name without quotes
ATOM = rf"[^\s,;\#\-{_SIGNS}{INVISIBLE}]"
NAME = rf"{ATOM}+(?:-(?!\.){ATOM}+)*"  # a hyphen inside, so that a-->b and a-.->b are arrows and no node a-

_TOKEN = re.compile(
    r"""(?P<space>[^\S\n]+) | (?P<comment>(?<![^\s;,}])\#[^\n]*|\#(?![^\n]*(?:->|<-|[↔→←]))[^\n]*) | (?P<end>[\n;]) | (?P<arrow><[-–—]+>|(?<![-–—])[-–—]+>|<[-–—]+|[↔→←⟷⟶⟵]) | (?P<comma>,)
    | (?P<open>\{) | (?P<close>\}) | (?P<quoted>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    + rf"| (?P<name>{NAME}) | (?P<other>\"(?:[^\"\\\n]|\\.)*+|'(?:[^'\\\n]|\\.)*+|.)",
    re.VERBOSE,
)
_FILE = re.compile(
    r"\A\s*+[^\n;,{}<>\"']+\.(?:dot|gv|gml|graphml|xml|json|csv|tsv|mmd|mermaid|txt|dag|edgelist|md|lavaan|r)\s*",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"\d*\.\d+")  # a weight that stands where a name belongs
_SHORT = {"↔": "<->", "→": "->", "←": "<-", "⟷": "<->", "⟶": "->", "⟵": "<-"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def read(text: str) -> tuple[list[Pair], list[Pair], list[str]]:
    """Read a graph from text into its arrows, its hidden pairs and its names, in the order of their mention.

    Raises
    ------
    GraphError: a line that cannot be read; the message names the line and what is wrong with it.

    >>> read('"pool size" -> mixture; a <-> b')
    ([('pool size', 'mixture')], [('a', 'b')], ['pool size', 'mixture', 'a', 'b'])
    """
    edges: list[Pair] = []
    hidden: list[Pair] = []
    nodes: list[str] = []
    ended = True
    for number, source, tokens, semicolon in _statements(text):
        groups = _chain(number, source, tokens)
        ended &= semicolon
        for (left, arrow), (right, _) in itertools.pairwise(groups):
            if len(edges) + len(hidden) + len(left) * len(right) > MOST_ARROWS:
                raise GraphError(
                    f"the graph has more than {MOST_ARROWS:,} arrows; give one that a person could draw."
                )
            for a, b in itertools.product(left, right):
                if arrow == "<->":
                    hidden.append((a, b))
                else:
                    edges.append((a, b) if arrow == "->" else (b, a))
        nodes += [name for names, _ in groups for name in names]
    nodes = list(dict.fromkeys(nodes))
    if nodes and not (edges or hidden or ended):
        what = "one name" if len(nodes) == 1 else f"{len(nodes)} names"
        raise GraphError(
            f"a graph says what causes what, got {what} without an arrow ({listed(nodes)}); "
            "write for example state -> mixture, or end a name with ; if it stands alone on purpose."
        )
    return edges, hidden, nodes


def _statements(text: str) -> Iterator[tuple[int, str, list[Token], bool]]:
    """Statements as (line number, the source line, tokens, whether ``;`` separates it), comments and spaces left out.

    The last statement of a line that holds a ``;`` counts as separated by it.
    """
    lines, number = text.split("\n"), 1
    tokens: list[Token] = []
    semicolon = False
    for match in _TOKEN.finditer(text + "\n"):
        kind, value = str(match.lastgroup), match.group()
        if kind == "end":
            semicolon = semicolon or value == ";"
            if tokens:
                yield number, lines[number - 1].strip(), tokens, semicolon
            tokens = []
            if value == "\n":
                number, semicolon = number + 1, False
        elif kind not in ("space", "comment"):
            tokens.append((kind, value))


def _chain(number: int, source: str, tokens: list[Token]) -> list[tuple[list[str], str]]:
    """A statement as groups of names, each with the arrow that follows it ("" after the last)."""

    def fail(reason: str) -> NoReturn:
        raise GraphError(
            f"cannot read line {number} of the graph, {shortened(source)!r}: {reason}; write for example state -> mixture."
        )

    strange = [value for kind, value in tokens if kind == "other"]
    if strange:
        fail(no_meaning(strange[-1]))
    groups: list[tuple[list[str], str]] = [([], "")]
    braces, wanted = False, True  # inside { }; a name must come
    before = ""
    for kind, value in tokens:
        names = groups[-1][0]
        if kind in ("name", "quoted"):
            if not (wanted or braces):
                fail(
                    'two names stand side by side; put a name with spaces in quotes, as in "pool size" -> mixture'
                )
            if kind == "name" and _FRACTION.fullmatch(value):
                fail(
                    f"{value} is a number where a name belongs; leave it out, or put it in quotes if it is a name"
                )
            names.append(unicodedata.normalize("NFC", value) if kind == "name" else unescaped(value[1:-1]))
            wanted = False
        elif kind == "open":
            if braces or not wanted:
                fail("a { stands where an arrow or a comma belongs")
            braces = True
        elif kind == "close":
            if not braces or wanted:
                fail("a } closes nothing, or no name stands before it")
            braces = False
        elif kind == "comma" or not braces:
            if wanted:
                fail("an arrow or a comma has no name beside it")
            wanted = True
            if kind == "arrow":
                groups[-1] = (names, _SHORT.get(value, re.sub("[-–—]+", "-", value)))
                groups.append(([], ""))
        else:
            fail("an arrow stands inside { }, which holds names only")
        before = kind
    if braces:
        fail("a { is not closed on its line")
    if wanted:
        fail("an arrow or a comma has no name beside it")
    if len(groups) == 1 and (len(groups[0][0]) > 1 or before == "close"):
        fail("it is a list of names without an arrow")
    return groups


def no_meaning(sign: str) -> str:
    """Why a sign that belongs to no name cannot be read."""
    if re.fullmatch(f"[{INVISIBLE}]", sign):
        return f"it holds the invisible character U+{ord(sign):04X}; delete it, or put the name in quotes if it belongs to it"
    if sign[:1] in ('"', "'"):
        return f"a quotation mark ({sign[0]}) is not closed"
    if sign in "“”„‟‘’‚‛«»‹›":
        return f'the quotation mark {sign} is not one that is read; write straight ones, as in "pool size"'
    return f"the sign {sign} has no meaning here; put it in quotes if it belongs to a name"


def unescaped(text: str) -> str:
    """What stands in quotes, with ``\\n``, ``\\u00e9``, ``\\\\`` … as the characters that they mean."""
    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", _character, text, flags=re.DOTALL)


def _character(match: re.Match[str]) -> str:
    code = match.group(1)
    return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)


def shortened(line: str) -> str:
    """A line for a sentence, not at any length."""
    return line if len(line) <= 80 else line[:79] + "…"


def is_plain(name: str) -> bool:
    """Whether a name is one plain word, which needs no quotes."""
    return (
        bool(re.fullmatch(NAME, name))
        and not _FRACTION.fullmatch(name)
        and unicodedata.is_normalized("NFC", name)
    )


def quoted(name: str) -> str:
    """A name as it stands in text: in quotes unless it is one plain word.

    >>> quoted("math.loss"), quoted("pool size")
    ('math.loss', '"pool size"')
    """
    return name if is_plain(name) else json.dumps(name, ensure_ascii=False)


def names_a_file(text: str) -> bool:
    """Whether a text is the name of a file that could hold a graph, and no graph.

    >>> names_a_file("graphs/first.dot"), names_a_file("a -> b.dot")
    (True, False)
    """
    return bool(_FILE.fullmatch(text))


def joined(names: Sequence[str]) -> str:
    """Names as they stand in a sentence.

    >>> joined(["math", "code", "legal"])
    'math, code and legal'
    """
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def statements(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> list[str]:
    """A graph as statements: arrows, hidden causes, then the nodes that have neither."""
    lines = [f"{quoted(a)} -> {quoted(b)}" for a, b in edges]
    lines += [f"{quoted(a)} <-> {quoted(b)}" for a, b in hidden]
    drawn = {name for pair in (*edges, *hidden) for name in pair}
    return lines + [quoted(name) for name in nodes if name not in drawn]
