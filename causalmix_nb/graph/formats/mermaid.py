"""Flowcharts of mermaid as causal graphs: ``graph LR`` and ``a --> b & c``.

``-->``, ``-.->`` and ``==>`` of any length, with or without words on them, are arrows; with a head at both ends they are hidden
common causes. A node is called by its id, or by its label where the id only numbers it (``A[pool size]``). Subgraphs, classes,
styles, clicks and comments are no causes and are passed over; a class called ``latent`` marks what nobody recorded.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import NoReturn

from causalmix_nb.graph.formats.format import FORMATS, Format
from causalmix_nb.graph.reading import (
    LATENT_WORDS,
    Reading,
    bare,
    called,
    masked,
    refusal,
    renamed,
)
from causalmix_nb.graph.text import ATOM, Pair, no_meaning, unescaped

NAME = "mermaid"
_BEFORE = r"\s*+(?>(?:---[ \t]*\n.*?\n---[ \t]*(?:\n|$)|%%[^\n]*)\s*+)*+"
_HEADER = re.compile(
    _BEFORE + r"(?:(graph|flowchart(?:-elk)?)(?:[ \t]+(TB|TD|BT|RL|LR|[<>^v]))?)[ \t]*+(?:;|\n|%%|$)",
    re.DOTALL,
)
_OTHER = re.compile(
    _BEFORE + r"(sequenceDiagram|classDiagram|stateDiagram|erDiagram|gantt|pie|mindmap|journey|gitGraph|timeline"
    r"|quadrantChart|requirementDiagram|block-beta|sankey-beta|xychart-beta|C4\w+)\b", re.DOTALL,
)  # fmt: skip
_ID = re.compile(rf"(?:(?!:::|@[{{\-=]|%%){ATOM})+(?:-(?!\.)(?:(?!:::|@[{{\-=]|%%){ATOM})+)*")
_FULL = re.compile(
    r"(?P<tail>[ox<]?)(?:-{2,}(?=[ox>])|={2,}(?=[ox>])|-\.+-(?=[ox>])|-{3,}|={3,}|-\.+-)(?P<head>[ox>]?)"
    r"|(?P<short><->|->|<-(?!-))"
)
_WORDS = r"(?:[ \t]*\"[^\"\n]*\"[ \t]*|[^\n;]*?)"
_WITH_WORDS = [
    re.compile(rf"(?P<tail>[ox<]?)--(?![-ox>]){_WORDS}--+(?P<head>[-ox>])"),
    re.compile(rf"(?P<tail>[ox<]?)==(?![=ox>]){_WORDS}==+(?P<head>[=ox>])"),
    re.compile(rf"(?P<tail>[ox<]?)-\.(?![.\-]){_WORDS}\.+-(?P<head>[ox>]?)"),
    re.compile(r"(?P<tail><)-{2,}(?P<head>)"),
]
_SHAPES = [
    ("(((", [")))"]), ("((", ["))"]), ("([", ["])"]), ("[[", ["]]"]), ("[(", [")]"]), ("{{", ["}}"]),
    ("[/", ["/]", "\\]"]), ("[\\", ["\\]", "/]"]), ("[", ["]"]), ("(", [")"]), ("{", ["}"]), (">", ["]"]),
]  # fmt: skip
_NO_CAUSE = re.compile(
    r"(?:classDef|style|linkStyle|click|direction|accTitle)\b[^\n;]*|accDescr[ \t]*(?:\{[^}]*\}|[^\n]*)|end(?![\w\-])(?=[ \t]*(?:[;\n%]|$))"
)
_SIGNS = re.compile(r"-\.+->|(?<!=)==+>|-->[ \t]*\|")
_BESIDE = re.compile(r"&|\w[\[({]|(?<![<\-])-- ")  # mermaid's alone on a line with -->


def is_mermaid(text: str) -> bool:
    if _OTHER.match(text):
        return True
    found = _HEADER.match(text)
    plain = masked(text)
    drawn = re.search(r"--|==|-\.", plain)
    if found:
        return bool(found[2] or drawn)
    return bool(_SIGNS.search(plain)) or any(
        "-->" in line and _BESIDE.search(line) for line in plain.split("\n")
    )


def read_mermaid(text: str) -> Reading:
    """Read a flowchart, with its first line or without."""
    other = _OTHER.match(text)
    if other:
        raise refusal(NAME, f"a {other[1]} does not say what causes what; give a flowchart (graph LR)")
    return _Reader(text).flowchart()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        header = _HEADER.match(text) or re.compile(_BEFORE, re.DOTALL).match(text)
        self.at = header.end() if header else 0
        self.reading = Reading()
        self.labels: dict[str, str | None] = {}
        self.groups: set[str] = set()
        self.strange: dict[str, str] = {}  # id: why its label can be no name

    def fail(self, reason: str) -> NoReturn:
        number = self.text.count("\n", 0, self.at) + 1
        raise refusal(NAME, reason, number, self.text.split("\n")[number - 1])

    def took(self, pattern: str | re.Pattern[str]) -> re.Match[str] | None:
        found = re.compile(pattern).match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found

    def flowchart(self) -> Reading:
        while True:
            self.took(r"[\s;]+")
            if self.at == len(self.text):
                break
            if self.took(r"%%[^\n]*") or self.took(_NO_CAUSE):
                continue
            if found := self.took(r"subgraph\b[ \t]*(\"[^\"\n]*\"|[^\s\[;]*)[^\n;]*"):
                self.groups.add(found[1].strip('"'))
                continue
            if found := self.took(
                r"class[ \t]+([^\s;]+(?:[ \t]*,[ \t]*[^\s;,]+)*)[ \t]+([\w\-]+)(?=[ \t]*(?:[;\n]|$))"
            ):
                self.mark([name.strip() for name in found[1].split(",")], found[2])
                continue
            self.statement()
        inside = self.groups & set(self.labels)
        if inside:
            raise refusal(
                NAME,
                f"an arrow meets the subgraph {min(inside)!r}; draw it to the nodes in it, as in a --> b & c",
            )
        self.reading.nodes = list(self.labels)
        self.reading.latent &= set(self.labels)
        names = called(self.labels)
        for id_, reason in self.strange.items():
            if names[id_] != id_:
                raise refusal(NAME, f"the label of {id_}: {reason}")
        return renamed(self.reading, names)

    def mark(self, names: Sequence[str], kind: str) -> None:
        if kind.lower() in LATENT_WORDS:
            self.reading.latent |= set(names)

    def statement(self) -> None:
        left = self.nodes()
        while True:
            self.took(r"[ \t]+")
            if (
                self.at == len(self.text)
                or self.text[self.at] in ";\n"
                or self.text.startswith("%%", self.at)
            ):
                return
            if self.took(r"~~~+"):  # a link that is not drawn
                left = self.nodes()
                continue
            arrow = self.link()
            right = self.nodes()
            self.reading.join(left, arrow, right)
            left = right

    def nodes(self) -> list[str]:
        names = [self.node()]
        while self.took(r"[ \t]*&[ \t]*"):
            names.append(self.node())
        return list(dict.fromkeys(names))

    def node(self) -> str:
        self.took(r"[ \t]+")
        if found := self.took(r'"(?:[^"\\\n]|\\.)*"'):
            name = unescaped(found[0][1:-1])
        elif found := self.took(_ID):
            name = found[0]
        elif self.at == len(self.text) or self.text[self.at] in ";\n":
            self.fail("an arrow has no name beside it")
        else:
            self.fail(no_meaning(self.text[self.at]))
        label = self.label(name)
        if label is not None or name not in self.labels:
            self.labels[name] = label
        while found := self.took(r":::(\w+(?:-\w+)*)"):
            self.mark([name], found[1])
        return name

    def label(self, name: str) -> str | None:
        """What stands in the shape behind an id, or None."""
        if found := self.took(r"@\{[^}]*\}"):
            label = re.search(r"label[ \t]*:[ \t]*(?:\"([^\"]*)\"|([^,}\n]*))", found[0])
            return None if label is None else _decoded(label[1]) if label[1] is not None else label[2].strip()
        for opened, closers in _SHAPES:
            if not self.text.startswith(opened, self.at):
                continue
            for closed in closers:
                end = re.escape(closed)
                if found := self.took(rf"{re.escape(opened)}\s*\"([^\"]*)\"\s*{end}"):
                    return _decoded(found[1])
                if found := self.took(rf"{re.escape(opened)}([^\n\"]*?){end}"):
                    shown = re.sub(r"<br[ \t]*/?>", " ", found[1]).strip()
                    try:
                        return bare(shown)
                    except ValueError as error:
                        self.strange[name] = str(error)
                        return shown
            self.fail(f"a {opened} is not closed")
        return None

    def link(self) -> str:
        self.took(r"[\w\-]+@(?=[-=<ox])")  # the id of an edge
        found = self.took(_FULL)
        for pattern in () if found else _WITH_WORDS:
            found = self.took(pattern)
            if found:
                break
        if not found:
            sign = self.text[self.at]
            if re.match(ATOM, sign) or sign == '"':
                self.fail(
                    'two names stand side by side; give a label in brackets, as in n1["pool size"] --> mixture'
                )
            self.fail(no_meaning(sign))
        self.took(r"[ \t]*\|(?:\"[^\"\n]*\"|[^|\n])*\|")
        if found.groupdict().get("short"):
            return found["short"]
        ends = (found["tail"], found["head"].strip("-="))
        if "o" in ends or "x" in ends:
            self.fail("an edge ends in a circle or a cross, so its direction is not known; write -->")
        if not any(ends):
            self.fail("an edge has no arrowhead, so nothing says what causes what; write -->")
        return "<->" if all(ends) else "->" if ends[1] else "<-"


def _decoded(text: str) -> str:
    """A label in quotes: mermaid's ``#quot;`` and ``#35;`` as characters, its markdown without marks."""

    def character(found: re.Match[str]) -> str:
        if found[1].isdigit():
            code = int(found[1])
            return chr(code) if code < 0x110000 else found[0]
        return html.unescape(f"&{found[1]};")

    text = re.sub(r"<br[ \t]*/?>", " ", text)
    text = re.sub(r"^`(.*)`$", lambda found: re.sub(r"\*\*|__|\*", "", found[1]), text, flags=re.DOTALL)
    return re.sub(r"#(\d{1,7}|[A-Za-z]{2,12});", character, text)


# -- writing -------------------------------------------------------------------------------------------------

_RESERVED = frozenset(
    "end graph flowchart subgraph class classdef click style linkstyle direction default acctitle accdescr call href".split()
)


def write_mermaid(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    def plain(name: str) -> bool:
        return bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)) and name.lower() not in _RESERVED

    ids, lines = {name: name for name in nodes}, []
    if not all(map(plain, nodes)):  # labels name the nodes only where every id is a number
        ids = {name: f"n{number}" for number, name in enumerate(nodes)}
        for name in nodes:
            label = re.sub(r"[^\w .,:/+\-]|^ | $|(?<= ) ", lambda found: f"#{ord(found[0])};", name)
            lines.append(f'  {ids[name]}["{label}"]')
    arrows = [f"  {ids[a]} --> {ids[b]}" for a, b in edges] + [
        f"  {ids[a]} <-.-> {ids[b]}" for a, b in hidden
    ]
    drawn = {name for pair in (*edges, *hidden) for name in pair}
    alone = [f"  {ids[name]}" for name in nodes if name not in drawn and ids[name] == name]
    return "\n".join(["flowchart LR", *lines, *arrows, *alone])


FORMATS.register(
    Format(
        "mermaid", "mermaid, graph LR", is_mermaid, read_mermaid, write_mermaid, ("flowchart", "mmd"), turn=1
    )
)
