"""bnlearn's model string: ``[cause][effect|cause:other cause]``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from causalmix_nb.errors import GraphError
from causalmix_nb.graph.formats.format import FORMATS, Format
from causalmix_nb.graph.reading import Reading, bare, fields, masked, refusal
from causalmix_nb.graph.text import Pair, quoted, unescaped

MODEL = "bnlearn's model string"


def is_model(text: str) -> bool:
    return bool(re.fullmatch(r"\A\s*+(?>(?:\[[^\[\]|,{]+(?:\|[^\[\]|,{]+)?\]\s*)+)", masked(text)))


def read_model(text: str) -> Reading:
    """Read ``[cause][effect|cause:other cause]``."""
    reading = Reading()
    hidden = masked(text)
    if not re.fullmatch(r"\A\s*+(?>(?:\[[^\[\]]*\]\s*)+)", hidden):
        raise refusal(MODEL, "it is a row of [node] and [node|cause:cause]")
    for found in re.finditer(r"\[([^\[\]]*)\]", hidden):
        inside = text[slice(*found.span(1))]
        effect, *causes = fields(inside, "|")
        if len(causes) > 1:
            raise refusal(MODEL, f"[{inside}] holds more than one |")
        names = []
        for field in [effect, *(fields(causes[0], ":") if causes else [])]:
            field = field.strip()
            try:
                names.append(
                    unescaped(field[1:-1]) if re.fullmatch(r'"(?:[^"\\]|\\.)*"', field) else bare(field)
                )
            except ValueError as error:
                raise refusal(MODEL, str(error)) from None
            if not names[-1]:
                raise refusal(MODEL, f"[{inside}] lacks a name")
        reading.nodes.append(names[0])
        reading.join(names[1:], "->", names[:1])
    return reading


def write_model(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    """``[a][b|a]``, which has no sign for a hidden cause."""
    if hidden:
        raise GraphError(
            "bnlearn's model string has no sign for a hidden common cause; choose another format, such as dagitty."
        )
    causes: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in edges:
        causes[b].append(_model_name(a))
    return "".join(
        f"[{_model_name(b)}{'|' if given else ''}{':'.join(given)}]" for b, given in causes.items()
    )


def _model_name(name: str) -> str:
    return json.dumps(name, ensure_ascii=False) if ":" in name else quoted(name)


FORMATS.register(Format("bnlearn", "bnlearn's model string, [a][b|a]", is_model, read_model, write_model))
