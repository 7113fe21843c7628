"""Graphs that a study has kept, read as they were meant when they were written, whichever version wrote them.

What ``to_text`` writes is one name or one arrow a statement, today and before. Earlier versions left more
signs without quotes (``loss(val)``, ``{a}``, ``y~x``) and wrote a graph without arrows as names on lines,
which a person's text may no longer be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.graph.text import unescaped
from causalmix_nb.runs.covariates import todays

_NAME = r"""(?:"(?:[^"\\\n]|\\.)*+"|(?:[^\s,;\#"'<>↔→←-]|-(?!>))+)"""
_STATEMENT = re.compile(rf"({_NAME})(?: (<->|->) ({_NAME}))?(?:[;\n] ?|\Z)")


def kept_graph(text: str) -> CausalGraph:
    """The graph of a study's file; one that somebody put there by hand is read as :meth:`CausalGraph.parse`
    reads it.

    Raises
    ------
    GraphError: a text that nothing wrote and nobody can read.

    >>> kept_graph("loss(val) -> mixture\\nseed")
    CausalGraph('"loss(val)" -> mixture; seed')
    >>> kept_graph("dag { a -> {b c} }")
    CausalGraph('a -> b; a -> c')
    """
    edges: list[tuple[str, str]] = []
    hidden: list[tuple[str, str]] = []
    nodes: list[str] = []
    at = 0
    while at < len(text):
        found = _STATEMENT.match(text, at)
        if not found:
            return CausalGraph.parse(text)
        at = found.end()
        names = [unescaped(name[1:-1]) if name[0] == '"' else name for name in found.group(1, 3) if name]
        nodes += names
        if found[2]:
            (hidden if found[2] == "<->" else edges).append((names[0], names[1]))
    return CausalGraph(tuple(edges), tuple(hidden), tuple(nodes))


def by_todays_names(graph: CausalGraph, domains: Sequence[str]) -> CausalGraph:
    """A graph in which covariates of a pool's state have the names that they are measured under today.

    domains: of the pool; a node is a covariate of one of them, or of all if it names none.

    >>> by_todays_names(CausalGraph.parse("code.hes, style -> score; mine.style -> score"), ["code"])
    CausalGraph('code.top_token_entropy -> score; readability_grade -> score; mine.style -> score')
    """

    def name(node: str) -> str:
        return todays(node) if node.rpartition(".")[0] in ("", *domains) else node

    def pairs(some: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        return tuple((name(a), name(b)) for a, b in some)

    return CausalGraph(pairs(graph.edges), pairs(graph.hidden), tuple(map(name, graph.nodes)))
