"""Graphs in braces: DOT (``digraph { a -> b }``) and dagitty (``dag { a -> b }``), which borrowed DOT's grammar.

Read are chains of edges, node sets (``{a b} -> {c d}``), subgraphs, attributes and their defaults, ports, quoted names and all
kinds of comments. ``dir=both`` and ``<->`` say a hidden common cause; a node with ``observed="no"`` or ``latent`` was not
recorded. What has no direction (``--``, ``dir=none``, circles of a PAG) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from causalmix_nb.graph.formats.format import FORMATS, Format
from causalmix_nb.graph.reading import Reading, called, fresh, masked, refusal, renamed, says_latent
from causalmix_nb.graph.text import ATOM, Pair, is_plain, no_meaning

DEEPEST = 50  # braces inside braces
_LETTER = ATOM.replace(r"[^", r"[^:=\[\]{}")
_TOKEN = re.compile(
    rf"""(?P<space>\s+) | (?P<comment>//[^\n]*|/\*.*?\*/|(?<!\S)\#[^\n]*)
    | (?P<edge><-+@|<-+>|<-+|@-+>|@-+@|@--+|-+>|--+@?|[↔→←]) | (?P<punctuation>[{{}}\[\];,=:])
    | (?P<quoted>"(?:[^"\\]|\\.)*") | (?P<single>'(?:[^'\\]|\\.)*') | (?P<html><[^>]*>?)
    | (?P<number>-(?:\d+\.?\d*|\.\d+)) | (?P<word>{_LETTER}+(?:-{_LETTER}+)*) | (?P<other>"(?:[^"\\]|\\.)*+|'(?:[^'\\]|\\.)*+|.)""",
    re.VERBOSE | re.DOTALL,
)
_HEADER = re.compile(
    r"\A\s*+(?>(?://[^\n]*|/\*.*?\*/|\#[^\n]*)\s*+)*+(strict\s+)?([A-Za-z]+)(?:\s+[^\s{\[\"]+|\s*\"[^\"]*\")?\s*([{\[])",
    re.DOTALL,
)
_DOT = ("digraph", "graph", "diagraph", "digrap", "digraf")
_DAGITTY = {
    "dag": "", "mag": "a maximal ancestral graph", "pdag": "a class of graphs in which some arrows have no direction",
    "pag": "a class of graphs in which some arrows have no direction",
}  # fmt: skip


def is_dot(text: str) -> bool:
    found = _HEADER.match(text)
    if not found or found[2].lower() not in _DOT:
        return False
    return found[3] == "{" or found[2].lower() != "graph" and "->" in masked(text)  # graph [ is GML


def is_dagitty(text: str) -> bool:
    found = _HEADER.match(text)
    return bool(found) and found[2].lower() in _DAGITTY and found[3] == "{"  # type: ignore[index]


def read_dot(text: str) -> Reading:
    """Read one ``digraph`` of DOT."""
    return _Reader(text, "DOT").graph()


def read_dagitty(text: str) -> Reading:
    """Read the model code of dagitty, a ``dag { … }``."""
    return _Reader(text, "DAGitty model code").graph()


@dataclass(slots=True)
class _Scope:
    """The defaults inside one pair of braces, and the nodes that were mentioned there."""

    node: dict[str, str] = field(default_factory=dict)
    edge: dict[str, str] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)


class _Reader:
    """One pass over the tokens, by recursive descent."""

    def __init__(self, text: str, format: str) -> None:
        self.format, self.dot = format, format == "DOT"
        self.lines = text.split("\n")
        self.tokens: list[tuple[str, str, int]] = []
        number = 1
        for found in _TOKEN.finditer(text):
            kind, value = str(found.lastgroup), found.group()
            if kind not in ("space", "comment"):
                self.tokens.append((kind, value, number))
            number += value.count("\n")
        self.tokens.append(("end", "", number))
        self.at = 0
        self.reading = Reading()
        self.attributes: dict[str, dict[str, str]] = {}
        self.subgraphs: dict[str, list[str]] = {}

    # -- tokens ----------------------------------------------------------------------------------------------

    def peek(self, ahead: int = 0) -> str:
        """The sign that comes, "" for a name or the end."""
        kind, value, _ = self.tokens[min(self.at + ahead, len(self.tokens) - 1)]
        return value if kind in ("punctuation", "edge") else ""

    def word(self) -> str:
        """The word that comes, in small letters, "" if it stands in quotes or is none."""
        kind, value, _ = self.tokens[self.at]
        return value.lower() if kind == "word" else ""

    def take(self) -> str:
        value = self.tokens[self.at][1]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return value

    def fail(self, reason: str, number: int | None = None) -> NoReturn:
        number = self.tokens[self.at][2] if number is None else number
        raise refusal(self.format, reason, number, self.lines[min(number, len(self.lines)) - 1])

    def text(self) -> str:
        """A name, as it stands or in quotes."""
        kind, value, _ = self.tokens[self.at]
        if kind in ("quoted", "single"):
            self.at += 1
            label = re.sub(r"\\\n", "", value[1:-1])
            label = re.sub(r'\\(["\'])', r"\1", label) if self.dot else re.sub(r"\\(.)", r"\1", label)
            while self.dot and self.tokens[self.at][:2] == ("word", "+"):  # "long " + "name"
                self.at += 1
                label += self.text()
            return label
        if kind in ("word", "number"):
            if value == "+":
                self.fail("a + joins two texts in quotes and nothing else")
            return self.take()
        if kind == "html":
            self.fail("a name in HTML (<…>) cannot be read; write the name as plain text")
        if kind == "end":
            self.fail("it ends where a name must come; a { is not closed")
        if kind == "edge":
            self.fail("an arrow has no name beside it")
        self.fail(no_meaning(value))

    # -- grammar ---------------------------------------------------------------------------------------------

    def graph(self) -> Reading:
        if self.word() == "strict":
            self.take()
        word = self.word()
        self.take()
        if self.peek() != "{" and self.tokens[self.at][0] in ("word", "number", "quoted", "single"):
            self.text()
        if word == "graph":
            self.fail(
                "a graph of DOT has no arrows, so nothing says what causes what; write digraph and ->", 1
            )
        if word not in _DOT and (self.dot or word not in _DAGITTY):
            self.fail(f"it starts with {'digraph' if self.dot else 'dag'} {{ and ends with }}", 1)
        if word != "digraph" and word in _DOT:
            self.fail(f"{word!r} is no kind of graph; did you mean digraph", 1)
        if _DAGITTY.get(word):
            self.fail(
                f"a {word} is {_DAGITTY[word]}, not one graph of what causes what; give a dag in which every arrow has its direction",
                1,
            )
        if self.peek() != "{":
            self.fail("the statements of a graph stand in { }")
        self.block(_Scope(), 0)
        if self.tokens[self.at][0] != "end":
            self.fail("something follows the closing }; give one graph")
        known = self.attributes
        self.reading.nodes = list(known)
        self.reading.latent = {name for name, given in known.items() if says_latent(given)}
        for name, given in known.items():
            if not self.dot and ("l" in given or "u" in given):  # dagitty's short words
                self.reading.latent.add(name)
            if not self.dot and "selected" in given:
                raise refusal(
                    self.format,
                    f"{name!r} is marked as selected (the data were picked by it), which these graphs cannot say; "
                    "leave the mark out if all runs were kept",
                )
        if not self.dot:
            return self.reading
        return renamed(self.reading, called({name: given.get("label") for name, given in known.items()}))

    def block(self, scope: _Scope, depth: int) -> None:
        """What stands between { and }."""
        if depth > DEEPEST:
            self.fail(f"braces stand in braces more than {DEEPEST} deep")
        opened = self.tokens[self.at][2]
        self.take()
        while self.peek() != "}":
            if self.tokens[self.at][0] == "end":
                self.fail("a { is not closed", opened)
            if self.peek() in (";", ","):
                self.take()
                continue
            self.statement(scope, depth)
        self.take()

    def statement(self, scope: _Scope, depth: int) -> None:
        word = self.word()
        if self.dot and word in ("graph", "node", "edge") and self.peek(1) in ("[", ";", "}"):
            self.take()
            given = self.attribute_lists()
            (scope.node if word == "node" else scope.edge if word == "edge" else {}).update(given)
            return
        if self.peek(1) == "=":  # an attribute of the graph
            self.text()
            self.take()
            self.value()
            return
        groups, arrows, numbers = [self.side(scope, depth)], [], []
        while self.tokens[self.at][0] == "edge":
            numbers.append(self.tokens[self.at][2])
            arrows.append(self.take())
            groups.append(self.side(scope, depth))
        given = self.attribute_lists() if self.peek() == "[" else {}
        if not arrows:
            for name in groups[0]:
                self.attributes[name] |= given
        for left, arrow, right, number in zip(groups, arrows, groups[1:], numbers):
            self.reading.join(left, self.direction(arrow, {**scope.edge, **given}, number), right)

    def side(self, scope: _Scope, depth: int) -> list[str]:
        """One side of an edge: names separated by commas, or a set of nodes in braces."""
        names = list(self.end_of_edge(scope, depth))
        while self.peek() == ",":
            self.take()
            names += self.end_of_edge(scope, depth)
        return list(dict.fromkeys(names))

    def end_of_edge(self, scope: _Scope, depth: int) -> list[str]:
        called_ = ""
        if self.dot and self.word() == "subgraph":
            self.take()
            called_ = self.text() if self.peek() != "{" else ""
            if self.peek() != "{":
                if called_ not in self.subgraphs:
                    self.fail(f"there is no subgraph {called_!r} before this line")
                return self.subgraphs[called_]
        if self.peek() == "{":
            inner = _Scope(dict(scope.node), dict(scope.edge))
            self.block(inner, depth + 1)
            scope.names |= inner.names
            if called_:
                self.subgraphs[called_] = list(inner.names)
            return list(inner.names)
        name = self.text()
        if self.dot:
            for _ in range(2):  # a port and a compass point
                if self.peek() == ":":
                    self.take()
                    self.text()
        scope.names[name] = None
        self.attributes.setdefault(name, dict(scope.node))
        return [name]

    def attribute_lists(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while self.peek() == "[":
            opened = self.tokens[self.at][2]
            self.take()
            while self.peek() != "]":
                if self.tokens[self.at][0] == "end":
                    self.fail("a [ is not closed", opened)
                if self.peek() in (",", ";"):
                    self.take()
                    continue
                key = self.text().lower()
                if self.peek() == "=":
                    self.take()
                    found[key] = self.value()
                else:
                    found[key] = ""
            self.take()
        return found

    def value(self) -> str:
        """The value of an attribute; one in HTML counts as none."""
        if self.tokens[self.at][0] != "html":
            return self.text()
        depth = 0
        while True:
            kind, value, _ = self.tokens[self.at]
            if kind == "end":
                self.fail("a text in HTML (<…>) is not closed")
            depth += value.count("<") - value.count(">")
            self.at += 1
            if depth <= 0:
                return ""

    def direction(self, arrow: str, given: dict[str, str], number: int) -> str:
        """``->``, ``<-`` or ``<->`` of an edge."""
        drawn_as = arrow
        arrow = {"→": "->", "←": "<-", "↔": "<->"}.get(arrow, re.sub("-+", "-", arrow))
        if arrow not in ("->", "<-", "<->"):
            self.fail(
                f"the edge {drawn_as} has no direction; write ->, or <-> for a hidden common cause", number
            )
        if not self.dot:
            return arrow
        drawn = given.get("dir", "forward").lower()
        head = drawn in ("forward", "both") and given.get("arrowhead", "normal").lower() != "none"
        tail = drawn in ("back", "both") and given.get("arrowtail", "normal").lower() != "none"
        circle = (given.get("arrowhead", ""), given.get("arrowtail", ""))
        if drawn not in ("forward", "back", "both", "none") or not (head or tail):
            self.fail("an edge is drawn without an arrowhead, so nothing says what causes what", number)
        if (
            head
            and circle[0].lower() in ("odot", "circle")
            or tail
            and circle[1].lower() in ("odot", "circle")
        ):
            self.fail("an edge ends in a circle, so its direction is not known", number)
        if head and tail or arrow == "<->":
            return "<->"
        return arrow if head else {"->": "<-", "<-": "->"}[arrow]


# -- writing -------------------------------------------------------------------------------------------------


def with_causes(
    edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]
) -> tuple[list[Pair], list[str]]:
    """Arrows with each hidden cause as a node of its own, and the names of these: for formats that have no ``<->``."""
    causes: list[str] = []
    arrows = list(edges)
    for a, b in hidden:
        cause = fresh(f"U_{a}_{b}", {*nodes, *causes})
        causes.append(cause)
        arrows += [(cause, a), (cause, b)]
    return arrows, causes


def write_dot(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    """DOT; a hidden cause is a node with ``observed="no"``, as DoWhy reads it."""
    arrows, causes = with_causes(edges, hidden, nodes)
    lines = [f"  {_dot_name(name)};" for name in nodes]
    lines += [f'  {_dot_name(name)} [observed="no", style=dashed];' for name in causes]
    lines += [f"  {_dot_name(a)} -> {_dot_name(b)};" for a, b in arrows]
    return "\n".join(["digraph {", *lines, "}"])


def write_dagitty(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    lines = [_dagitty_name(name) for name in nodes]
    lines += [f"{_dagitty_name(a)} -> {_dagitty_name(b)}" for a, b in edges]
    lines += [f"{_dagitty_name(a)} <-> {_dagitty_name(b)}" for a, b in hidden]
    return "\n".join(["dag {", *lines, "}"])


def _dot_name(name: str) -> str:
    """A name of DOT, where only the quotation mark is escaped (so a backslash cannot stand before one)."""
    keyword = name.lower() in ("graph", "digraph", "subgraph", "node", "edge", "strict")
    if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and not keyword:
        return name
    return '"' + name.replace('"', '\\"') + '"'


def _dagitty_name(name: str) -> str:
    if is_plain(name) and re.fullmatch(r"[\w.]+", name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


FORMATS.register(
    Format(
        "dagitty",
        "dagitty, dag { a -> b }",
        is_dagitty,
        read_dagitty,
        write_dagitty,
        ("daggity", "ggdag", "dag"),
    )
)

FORMATS.register(
    Format(
        "dot", "DOT, digraph { a -> b }", is_dot, read_dot, write_dot, ("graphviz", "gv", "digraph", "pydot")
    )
)
