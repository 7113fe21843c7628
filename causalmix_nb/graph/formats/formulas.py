"""Formulas as causal graphs: lavaan's model syntax (also semopy's) and the R formulas of ``dagify``.

``y ~ x1 + x2`` says that x1 and x2 cause y, ``y ~~ x`` that they share a hidden cause, ``f =~ y1 + y2`` that f, which nobody
recorded, causes y1 and y2. Intercepts, variances, thresholds, constraints and defined parameters are no arrows. A coefficient
fixed to zero (``0*x``) is no arrow either. A label before a name (``a*x``) is read as lavaan's only where something in the text
is lavaan's alone, for in R it means an interaction of two causes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from causalmix_nb.graph.formats.format import FORMATS, Format
from causalmix_nb.graph.reading import Reading, masked, refusal
from causalmix_nb.graph.text import Pair, is_plain, no_meaning, unescaped

NAME = "a model of formulas (lavaan)"
_CALL = re.compile(r"\A\s*+(?:[\w.]++\s*+(?:<-|=)\s*+)?(?:ggdag::)?dagify\s*\(")
_OPERATOR = re.compile(r"=~|<~|~\*~|~~|:=|==|~|<|>|\|(?=\s*t\d)")
_ONLY_LAVAAN = re.compile(
    r"=~|<~|~~|:=|==|\b(?:start|equal|c|NA|label|prior|rv)\s*\([^()]*\)\s*\*|(?:\bNA|\d)\s*\*"
)
_TERM = re.compile(r"`((?:[^`\\]|\\.)*)`|(?:[^\W\d]|\.(?!\d))[\w.]*")


def is_formulas(text: str) -> bool:
    if _CALL.match(text):
        return True
    plain = re.sub(r"[#!][^\n]*", "", masked(text))
    return bool(re.search(r"[\w.)]\s*(?:~|=~|~~)\s*[\w.\-+(]", plain)) and not re.search(r"[{}]|->|<-", plain)


def read_formulas(text: str, named: bool = False) -> Reading:
    """Read formulas; ``named``: the format was asked for by its name, so that labels are lavaan's."""
    if _CALL.match(text):
        return _dagify(text)
    statements = _statements(text)
    labels = named or bool(_ONLY_LAVAAN.search(masked(re.sub(r"[#!][^\n]*", "", text))))
    reading = Reading()
    for number, statement in statements:
        _Formula(statement, number, reading, labels).read()
    known = {*reading.nodes, *(name for pair in reading.edges for name in pair)}
    used = {
        label
        for _, statement in statements
        for label in re.findall(r"(?<![\w.])([A-Za-z_.][\w.]*+)\s*\*", masked(statement))
    }
    both = sorted(used & known)
    if both:
        raise refusal(
            NAME,
            f"{both[0]!r} is a label in one place and a variable in another; give the label another name",
        )
    return reading


def _statements(text: str) -> list[tuple[int, str]]:
    """Statements with the line on which they begin; one goes on after an operator, or where the next line starts with one."""
    found: list[tuple[int, list[str]]] = []
    hidden = masked(text)
    number, at, ended = 1, 0, True
    for part in re.split(r"([\n;])", hidden):
        piece = text[at : at + len(part)]
        at += len(part)
        if part in ("\n", ";"):
            number += part == "\n"
            ended |= part == ";"
            continue
        comment = re.search(r"[#!]", part)
        piece = (piece[: comment.start()] if comment else piece).strip()
        if not piece:
            continue
        if not ended and (found[-1][1][-1][-1] in "+~*=" or piece[0] in "+*"):
            found[-1][1].append(piece)
        else:
            found.append((number, [piece]))
        ended = False
    return [(number, " ".join(pieces)) for number, pieces in found]


class _Formula:
    """One formula, read into the arrows that it says."""

    def __init__(self, text: str, number: int, reading: Reading, labels: bool) -> None:
        self.text, self.number, self.reading, self.labels = text, number, reading, labels

    def fail(self, reason: str) -> NoReturn:
        raise refusal(NAME, reason, self.number, self.text)

    def read(self) -> None:
        hidden = masked(self.text)
        if re.match(r"\s*(?:group|level|block|class)\s*:", hidden, re.IGNORECASE):
            self.fail("a model of several groups or levels is several graphs; give one of them")
        if re.search(r"\befa\s*\(", hidden):
            self.fail("a block of exploratory factors says no arrow; write the factors as f =~ y1 + y2")
        if re.search(r"->|<-\s*[A-Za-z_`]", hidden):
            self.fail("an arrow stands where a formula has a ~, as in score ~ mixture")
        found = _OPERATOR.search(hidden)
        if not found:
            self.fail("a formula has a ~, as in score ~ mixture")
        operator = found[0]
        if operator in (":=", "==", "<", ">"):
            return
        left, right = self.text[: found.start()], self.text[found.end() :]
        names = [name for name, _ in self.terms(left)]
        if not names:
            self.fail("nothing stands before the operator")
        if operator in ("~*~", "|"):
            self.reading.nodes += names
            return
        if _OPERATOR.search(masked(right)):
            self.fail("a formula has one operator; give every formula a line of its own")
        terms = self.terms(right)
        others = [name for name, kept in terms if kept]
        self.reading.nodes += [*names, *(name for name, _ in terms)]
        if operator == "~":
            self.reading.join(others, "->", names)
        elif operator == "~~":
            for name in names:
                self.reading.join([name], "<->", [other for other in others if other != name])
        else:
            self.reading.latent |= set(names)
            self.reading.join(names, "->" if operator == "=~" else "<-", others)

    def terms(self, side: str) -> list[tuple[str, bool]]:
        """The variables of one side, each with whether its coefficient may differ from zero."""
        found: list[tuple[str, bool]] = []
        for sign, term in self.summands(side):
            *before, last = self.factors(term)
            if all(
                re.fullmatch(r"(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d+)?", part) for part in [*before, last]
            ):
                continue  # an intercept
            if sign == "-":
                self.fail(f"{term!r} is taken away, which says no arrow; leave it out")
            kept = True
            for part in before:
                kept &= self.modifies(part)
            for name in self.split(last, ":"):  # an interaction: both are causes
                match = _TERM.fullmatch(name)
                if not match:
                    self.fail(self.why(name))
                if name == ".":
                    self.fail("a dot for all variables names none; write them out")
                found.append((unescaped(match[1]) if match[1] is not None else name, kept))
        return found

    def modifies(self, part: str) -> bool:
        """Whether a modifier lets its coefficient differ from zero."""
        if re.fullmatch(r"[-+]?(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d+)?", part):
            return float(part) != 0
        if part == "NA" or re.fullmatch(r"(?:start|equal|label|prior|rv|lower|upper)\(.*\)|\"[^\"]*\"", part):
            return True
        if found := re.fullmatch(r"c\((.*)\)", part):
            return not all(re.fullmatch(r"\s*0+(?:\.0*)?\s*", one) for one in found[1].split(","))
        if re.fullmatch(r"[A-Za-z_.][\w.]*", part):
            if self.labels:
                return True
            self.fail(
                f"{part}*… is a label in lavaan and an interaction of causes in R; write {part} + …, or pass format='lavaan'"
            )
        self.fail(self.why(part))

    def why(self, formula: str) -> str:
        if not formula:
            return "a + or a * has no name beside it"
        if re.search(r"\w\s*\(", formula):
            return f"{shortened_term(formula)} is a function of a variable; write the variable itself"
        if re.match(r"\(", formula):
            return (
                f"{shortened_term(formula)} stands in ( ), which is read nowhere but after c, start and equal"
            )
        odd = re.search(r"[^\w.\s]", formula)
        if odd:
            return no_meaning(odd[0]).replace("in quotes", "in backticks")
        return "two names stand side by side; put a name with spaces in backticks, as in score ~ `pool size`"

    def summands(self, side: str) -> list[tuple[str, str]]:
        """Terms with the sign before them."""
        hidden = masked(side)
        parts: list[tuple[str, str]] = []
        depth, at, sign = 0, 0, "+"
        for k, c in enumerate(hidden):
            depth += (c == "(") - (c == ")")
            exponent = k > 1 and hidden[k - 1] in "eE" and (hidden[k - 2].isdigit() or hidden[k - 2] == ".")
            if depth == 0 and c in "+-" and not exponent:
                if side[at:k].strip():
                    parts.append((sign, side[at:k].strip()))
                elif c == "+" and k and sign == "+" and side[:k].strip():
                    self.fail("a + has no name beside it")
                sign, at = c, k + 1
        last = side[at:].strip()
        if not last:
            self.fail(
                "a formula ends where a name must come" if side.strip() else "one side of a formula is empty"
            )
        return [*parts, (sign, last)]

    def factors(self, term: str) -> list[str]:
        return self.split(term, "*")

    def split(self, text: str, mark: str) -> list[str]:
        """Parts between marks outside quotes and brackets."""
        hidden, depth, at = masked(text), 0, 0
        parts = []
        for k, c in enumerate(hidden):
            depth += (c == "(") - (c == ")")
            if c == mark and depth == 0:
                parts.append(text[at:k].strip())
                at = k + 1
        return [*parts, text[at:].strip()]


def shortened_term(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _dagify(text: str) -> Reading:
    """Read a call of ggdag's ``dagify(y ~ x, latent = "u")``."""
    start = _CALL.match(text).end()  # type: ignore[union-attr]
    hidden = masked(text)
    depth, at, arguments = 1, start, []
    for k in range(start, len(text)):
        c = hidden[k]
        depth += (c in "([{") - (c in ")]}")
        if depth == 0 or c == "," and depth == 1:
            arguments.append((text.count("\n", 0, at) + 1, text[at:k]))
            at = k + 1
        if depth == 0:
            break
    if depth:
        raise refusal("a call of dagify", "a ( is not closed")
    reading = Reading()
    for number, argument in arguments:
        argument = re.sub(r"#[^\n]*", "", argument).strip()
        option = re.match(r"\A(\w++)\s*+=(?![=~])(.*)", argument, re.DOTALL)
        if option:
            if option[1] == "latent":
                reading.latent |= set(re.findall(r"[\"']([^\"']+)[\"']", option[2]))
        elif argument:
            formula = re.sub(r"~\s+~", "~~", re.sub(r"\s+", " ", argument))
            _Formula(formula, number, reading, False).read()
    reading.latent &= {*reading.nodes, *(name for pair in (*reading.edges, *reading.hidden) for name in pair)}
    return reading


def write_formulas(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    """lavaan's syntax; a node without arrows stands as its variance, ``seed ~~ seed``."""
    causes: dict[str, list[str]] = {}
    for a, b in edges:
        causes.setdefault(b, []).append(_written(a))
    lines = [f"{_written(b)} ~ {' + '.join(causes[b])}" for b in nodes if b in causes]
    lines += [f"{_written(a)} ~~ {_written(b)}" for a, b in hidden]
    drawn = {name for pair in (*edges, *hidden) for name in pair}
    lines += [f"{_written(name)} ~~ {_written(name)}" for name in nodes if name not in drawn]
    return "\n".join(lines)


def _written(name: str) -> str:
    if is_plain(name) and re.fullmatch(r"[^\W\d][\w.]*", name) and name not in ("NA", "TRUE", "FALSE"):
        return name
    escaped = re.sub(r"[\\`]", lambda found: "\\" + found[0], name)
    return "`" + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + "`"


FORMATS.register(
    Format(
        "lavaan",
        "lavaan, semopy and dagify, b ~ a",
        is_formulas,
        read_formulas,
        write_formulas,
        ("semopy", "dagify", "formula", "formulas", "r", "sem"),
        read_asked=partial(read_formulas, named=True),
        turn=3,
    )
)
