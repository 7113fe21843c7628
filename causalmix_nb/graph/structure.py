"""A graph as plain parts: what makes them a graph, and the same as networkx sees it.

The questions of :mod:`causalmix_nb.graph.identification`, :mod:`causalmix_nb.graph.independence` and :mod:`causalmix_nb.graph.suspects`
are asked of the networkx graph, in which a hidden common cause is a node of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence

import networkx as nx

from causalmix_nb.errors import GraphError, did_you_mean
from causalmix_nb.graph.text import Pair, quoted

Parts = tuple[tuple[Pair, ...], tuple[Pair, ...], tuple[str, ...]]  # arrows, hidden pairs, nodes


def checked(edges: Iterable[Pair], hidden: Iterable[Pair], nodes: Iterable[str]) -> Parts:
    """Parts without repeats, the nodes of all pairs among the nodes.

    Raises
    ------
    GraphError: no node, a name that is no text or blank, an arrow from a node to itself, or a cycle.
    """
    edges, hidden, nodes = tuple(edges), tuple(hidden), tuple(nodes)
    for pair in (*edges, *hidden):
        if isinstance(pair, str) or len(pair) != 2:
            raise GraphError(f"{pair!r} is no arrow; give pairs of names, such as ('mixture', 'score').")
    for name in (*nodes, *itertools.chain(*edges, *hidden)):
        if not isinstance(name, str) or not name.strip():
            raise GraphError(f"a node is called {name!r}; give every node a name that is text and not blank.")
    edges = tuple(dict.fromkeys((a, b) for a, b in edges))
    unordered = {frozenset(pair): (pair[0], pair[1]) for pair in reversed(hidden)}
    hidden = tuple(reversed(unordered.values()))
    nodes = tuple(dict.fromkeys([*nodes, *itertools.chain(*edges, *hidden)]))
    if not nodes:
        raise GraphError("the graph is empty; write at least one arrow, for example mixture -> score.")
    for a, b in (*edges, *hidden):
        if a == b:
            raise GraphError(f"{a!r} points at itself; nothing causes itself, so remove that arrow.")
    _refuse_cycle(edges, nodes)
    return edges, hidden, nodes


def _refuse_cycle(edges: Sequence[Pair], nodes: Sequence[str]) -> None:
    try:
        cycle = [a for a, _ in nx.find_cycle(nx.DiGraph(edges))]
    except nx.NetworkXNoCycle:
        return
    at = {name: i for i, name in enumerate(nodes)}
    start = min(range(len(cycle)), key=lambda i: at[cycle[i]])
    cycle = [quoted(name) for name in cycle[start:] + cycle[: start + 1]]
    cycle = cycle if len(cycle) <= 12 else [*cycle[:10], "…", cycle[-1]]
    raise GraphError(f"the graph has a cycle, {' -> '.join(cycle)}; remove or turn one of these arrows.")


def as_networkx(edges: Iterable[Pair], hidden: Iterable[Pair], nodes: Iterable[str]) -> nx.DiGraph:
    """Each hidden cause is a node ``("hidden", a, b)`` with the attribute ``latent=True``."""
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(nodes, latent=False)
    graph.add_edges_from(edges)
    for a, b in hidden:
        hide(graph, a, b)
    return graph


def hide(graph: nx.DiGraph, a: str, b: str) -> None:
    """Give two nodes a hidden common cause."""
    cause = ("hidden", a, b)  # no name is a tuple, so this never collides with one
    graph.add_node(cause, latent=True)
    graph.add_edges_from([(cause, a), (cause, b)])


def recorded(graph: nx.DiGraph) -> list[str]:
    """The nodes that are not latent, in the order of the graph."""
    return [node for node, latent in graph.nodes(data="latent") if not latent]


def check_known(names: Iterable[str], nodes: Sequence[str]) -> None:
    """Raises GraphError: a name that is no node's."""
    for name in names:
        if name not in nodes:
            raise GraphError(
                f"the graph has no node {name!r}.{did_you_mean(name, nodes)} Its nodes are {', '.join(nodes)}."
            )


def question(treatment: str | Collection[str], outcome: str, nodes: Sequence[str]) -> frozenset[str]:
    """The treatment as a set, after checking that the question makes sense.

    Raises
    ------
    GraphError: no treatment, a name that is no node's, or an outcome that is treatment too.
    """
    X = frozenset([treatment] if isinstance(treatment, str) else treatment)
    if not X:
        raise GraphError(
            "no treatment was given; name the node whose effect is asked for, for example 'mixture'."
        )
    check_known([*sorted(X, key=str), outcome], nodes)
    if outcome in X:
        raise GraphError(f"{outcome!r} is both treatment and outcome; name two different nodes.")
    return X
