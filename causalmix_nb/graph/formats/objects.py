"""Graphs of other packages, and the files that networkx reads: GML, GraphML, JSON.

Read are networkx, pgmpy, DoWhy, causal-learn, ananke, y0, pywhy-graphs and igraph, by what their objects offer; tables of arrows
in pandas; lists of pairs. What nobody recorded is told by ``latents`` or by a node's attributes (``observed="no"``,
``latent=True``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import networkx as nx

from causalmix_nb.errors import GraphError
from causalmix_nb.graph.formats.braces import with_causes
from causalmix_nb.graph.formats.causal_learn import read_discovered
from causalmix_nb.graph.formats.edge_list import arrow_of, records
from causalmix_nb.graph.formats.format import FORMATS, Format
from causalmix_nb.graph.reading import LATENT_WORDS, Reading, called, refusal, renamed, says_latent
from causalmix_nb.graph.text import Pair


def read_object(given: Any) -> Reading:
    """Read a graph of another package.

    Raises
    ------
    GraphError: an object that is no graph, or a graph whose edges have no direction.
    """
    kind = type(given).__name__
    if isinstance(given, nx.Graph):
        return of_networkx(given)
    if callable(getattr(given, "get_graph_edges", None)):  # causal-learn
        return read_discovered(str(given))
    if callable(getattr(getattr(given, "G", None), "get_graph_edges", None)):
        return read_discovered(str(given.G))
    if callable(getattr(given, "get_graphs", None)):  # pywhy-graphs
        return _mixed(
            {str(name): graph.edges() for name, graph in given.get_graphs().items()}, given.nodes, kind
        )
    if hasattr(given, "di_edges") and hasattr(given, "bi_edges"):  # ananke
        parts = {
            "directed": given.di_edges,
            "bidirected": given.bi_edges,
            "undirected": getattr(given, "ud_edges", ()),
        }
        return _mixed(parts, given.vertices, kind)
    if isinstance(getattr(given, "directed", None), nx.Graph) and isinstance(
        getattr(given, "undirected", None), nx.Graph
    ):
        return _mixed(  # y0, whose undirected edges are hidden common causes
            {"directed": given.directed.edges(), "bidirected": given.undirected.edges()},
            given.directed.nodes,
            kind,
        )
    if isinstance(getattr(given, "_graph", None), nx.Graph):  # DoWhy
        return of_networkx(given._graph)
    if callable(getattr(given, "get_edgelist", None)) and callable(
        getattr(given, "is_directed", None)
    ):  # igraph
        return _igraph(given)
    if hasattr(given, "columns") and callable(getattr(given, "to_dict", None)):  # pandas
        return _frame(given)
    if isinstance(given, Mapping):
        return _mapping(given)
    if isinstance(given, (list, tuple, set, frozenset)):
        return _pairs(given)
    if hasattr(given, "shape"):
        raise GraphError(
            "a matrix does not name its nodes, and packages differ in whether a row or a column is the cause; "
            "give (cause, effect) pairs or a networkx.DiGraph with names."
        )
    if hasattr(given, "nodes") and hasattr(given, "edges"):
        edges = given.edges() if callable(given.edges) else given.edges
        nodes = given.nodes() if callable(given.nodes) else given.nodes
        read = _mixed({"directed": edges}, nodes, kind)
        read.latent = {_name(node) for node in getattr(given, "latents", ())}
        return read
    raise GraphError(
        f"a graph is text such as 'state -> mixture; mixture -> score', or a graph of networkx, pgmpy or causal-learn; got {kind}."
    )


def _name(node: Any) -> str:
    """A node of another package as a name."""
    if isinstance(node, str):
        return node
    if isinstance(node, int) and not isinstance(node, bool) or type(node).__module__ == "numpy":
        return str(node)
    if isinstance(getattr(node, "name", None), str):
        return node.name
    raise GraphError(
        f"a node is {str(node)[:60]!r}, a {type(node).__name__}; give every node a name that is text."
    )


def _mixed(parts: Mapping[str, Iterable[Any]], nodes: Iterable[Any], kind: str) -> Reading:
    """A graph whose kinds of edges are kept apart."""
    reading = Reading(nodes=_distinct(nodes))
    for name, edges in parts.items():
        pairs = [tuple(edge)[:2] for edge in edges]
        if pairs and name not in ("directed", "bidirected"):
            raise GraphError(
                f"this is a {kind} with {name} edges, which do not say what causes what; give each a direction."
            )
        for a, b in pairs:
            reading.join([_name(a)], "->" if name == "directed" else "<->", [_name(b)])
    return reading


def _distinct(nodes: Iterable[Any]) -> list[str]:
    nodes = list(nodes)
    names = [_name(node) for node in nodes]
    if len(set(names)) < len(nodes):
        twice = next(name for name in names if names.count(name) > 1)
        raise GraphError(f"two nodes are both called {twice!r} as text; give each a name of its own.")
    return names


def of_networkx(graph: nx.Graph, format: str = "", by_label: bool = False) -> Reading:
    """Read a networkx graph, a subclass of it (pgmpy), or what networkx read from a file of some ``format``."""
    if not graph.is_directed():
        reason = "its edges have no direction, so nothing says what causes what"
        raise (
            refusal(format, f"{reason}; write it as directed")
            if format
            else GraphError(
                f"this is an undirected {type(graph).__name__}: {reason}; give a networkx.DiGraph."
            )
        )
    undirected = getattr(graph, "undirected_edges", None)
    if undirected:
        raise GraphError(
            f"this is a {type(graph).__name__} with undirected edges, a class of graphs; give one DAG of it, for example to_dag()."
        )
    known = set(getattr(graph, "latents", ()) or ())
    latent = [node for node, given in graph.nodes(data=True) if node in known or says_latent(given)]
    ids: dict[Any, str] = {}
    for node in graph:  # a latent node is never shown, so anything may stand for it
        ids[node] = f"\x00latent {len(ids)}" if node in latent and not isinstance(node, str) else _name(node)
    if len(set(ids.values())) < len(ids):
        _distinct(node for node in graph)
    reading = Reading(nodes=[ids[node] for node in graph], latent={ids[node] for node in latent})
    for a, b in dict.fromkeys(graph.edges()):
        reading.join([ids[a]], "->", [ids[b]])
    if not by_label and not all(isinstance(node, int) for node in graph):
        return reading
    return renamed(reading, called({ids[node]: _label(given) for node, given in graph.nodes(data=True)}))


def _label(attributes: Mapping[str, Any]) -> str | None:
    """What a node is called in its attributes: its label, or its name, as igraph writes it."""
    given = (attributes.get(key) for key in ("label", "name"))
    return next((str(label) for label in given if label is not None), None)


def _igraph(graph: Any) -> Reading:
    if not graph.is_directed():
        raise GraphError(
            "this is an undirected igraph.Graph, so nothing says what causes what; give a directed one."
        )
    key = next((key for key in ("name", "label") if key in graph.vs.attributes()), None)
    names = _distinct(graph.vs[key] if key else range(graph.vcount()))
    reading = Reading(nodes=names, latent={names[v.index] for v in graph.vs if says_latent(v.attributes())})
    for a, b in graph.get_edgelist():
        reading.join([names[a]], "->", [names[b]])
    return reading


def _frame(table: Any) -> Reading:
    columns = [str(name) for name in table.columns]
    rows = [dict(zip(columns, row)) for row in table.itertuples(index=False)]
    read = records(rows) if rows else None
    if read is None:
        raise GraphError(
            f"a table of arrows has the columns source and target, got {', '.join(columns)[:80]}; a table of nodes against nodes "
            "does not say whether a row or a column is the cause."
        )
    return read


def _pairs(given: Iterable[Any]) -> Reading:
    reading = Reading()
    for pair in given:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) not in (2, 3):
            raise GraphError(
                f"{str(pair)[:60]!r} is no arrow; give pairs of names, such as ('mixture', 'score')."
            )
        if len(pair) == 3 and isinstance(pair[2], str):
            raise GraphError(
                f"{str(pair)[:60]!r} is no arrow; give pairs of names, such as ('mixture', 'score')."
            )
        reading.join([_name(pair[0])], "->", [_name(pair[1])])
    return reading


# -- JSON ----------------------------------------------------------------------------------------------------

JSON = "JSON"


def is_json(text: str) -> bool:
    if not re.match(
        r'\s*(?:\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\})|\[\s*(?:[\[{\]]|"(?:[^"\\]|\\.)*"\s*[,\]]))', text
    ):
        return False
    return not re.search(r"\}\s*(?:<?-+>|<-)", text)


def read_json(text: str) -> Reading:
    """Read node-link data (networkx, D3), adjacency data of networkx, cytoscape's elements, or a list of arrows."""
    try:
        given = json.loads(text)
    except RecursionError:
        raise refusal(JSON, "it is nested too deep") from None
    except ValueError as error:
        place = getattr(error, "lineno", None)
        lines = text.split("\n")
        raise refusal(
            JSON, "it is not well-formed (a bracket, comma or quotation mark is missing)", place, lines[place - 1] if place else ""
        ) from None  # fmt: skip
    if isinstance(given, Mapping):
        return _mapping(given, JSON)
    given = given if isinstance(given, list) else []  # a number, a text, true, null
    if given and all(isinstance(row, Mapping) for row in given):
        found = records(given)
        if found is not None:
            return found
    elif given and all(isinstance(row, list) and len(row) == 2 for row in given):
        return _pairs(given)
    raise refusal(JSON, "a list of arrows holds pairs [cause, effect] or records with source and target")


def _mapping(given: Mapping[Any, Any], format: str = "a dict") -> Reading:
    elements = given.get("elements")
    if isinstance(elements, Mapping):  # cytoscape
        given = {
            key: [
                row.get("data", row) if isinstance(row, Mapping) else row for row in elements.get(key) or ()
            ]
            for key in ("nodes", "edges")
        }
    nodes, adjacency = given.get("nodes"), given.get("adjacency")
    links = next((given[key] for key in ("edges", "links") if isinstance(given.get(key), list)), None)
    if given.get("directed") is False:
        raise refusal(
            format, 'its edges have no direction, so nothing says what causes what; write "directed": true'
        )
    if not isinstance(nodes, list) or links is None and not isinstance(adjacency, list):
        raise refusal(
            format, 'neither "nodes" with "links" or "edges" nor networkx\'s adjacency data; a plain dict of names does not say '
            "which side is the cause, so give pairs (cause, effect)"
        )  # fmt: skip
    ids: list[Any] = []
    labels: dict[str, str | None] = {}
    latent = set()
    for row in nodes:
        record = row if isinstance(row, Mapping) else {"id": row}
        id_ = next(
            (record[key] for key in ("id", "key", "name", "label") if record.get(key) is not None), None
        )
        name = _name(id_)
        if name in labels:
            raise refusal(format, f"two nodes are called {name!r}")
        label = next((record[key] for key in ("label", "name") if isinstance(record.get(key), str)), None)
        labels[name] = label
        ids.append(id_ if any(record.get(key) is not None for key in ("id", "key")) else len(ids))
        if says_latent(record):
            latent.add(name)
    at = dict(zip([(type(id_) is int, id_) for id_ in ids], labels))
    reading = Reading(nodes=list(labels), latent=latent)

    def end(given: Any) -> str:
        given = given.get("id", given.get("name")) if isinstance(given, Mapping) else given
        name = at.get((type(given) is int, given)) if isinstance(given, (str, int)) else None
        if name is None:
            name = str(given) if isinstance(given, (str, int)) and str(given) in labels else None
        if name is None:
            raise refusal(format, f"an edge names the node {str(given)[:60]!r}, which is not among the nodes")
        return name

    if links is None:
        assert isinstance(adjacency, list)
        if len(adjacency) != len(ids) or not all(isinstance(row, list) for row in adjacency):
            raise refusal(format, "its adjacency has not one list for every node")
        for name, row in zip(labels, adjacency):
            reading.join([name], "->", [end(one) for one in row])
        return renamed(reading, called(labels))
    for link in links:
        pair = [link[0], link[1]] if isinstance(link, list) and len(link) == 2 else None
        if isinstance(link, Mapping):
            keys = next(
                (
                    (a, b)
                    for a, b in (("source", "target"), ("from", "to"), ("cause", "effect"))
                    if a in link and b in link
                ),
                None,
            )
            pair = [link[keys[0]], link[keys[1]]] if keys else None
        if pair is None:
            raise refusal(format, f"an edge is {str(link)[:60]}; it names its source and its target")
        arrow = _kind(link, format) if isinstance(link, Mapping) else "->"
        reading.join([end(pair[0])], arrow, [end(pair[1])])
    return renamed(reading, called(labels))


def _kind(link: Mapping[str, Any], format: str) -> str:
    """The arrow that the attributes of an edge say."""
    if link.get("directed") is False:
        raise refusal(format, "an edge has no direction, so nothing says what causes what")
    for key in ("type", "arrow", "edge_type", "kind", "direction"):
        given = link.get(key)
        if not isinstance(given, str) or not given.strip():
            continue
        if (
            given.strip().lower() in ("undirected", "none")
            or re.fullmatch(r"[<o\-][-–]+[>o\-]", given)
            and "o" in given
        ):
            raise refusal(format, f"an edge is of the type {given!r}, so its direction is not known")
        return arrow_of(given) or ("<->" if given.lower() in LATENT_WORDS else "->")
    return "->"


def write_json(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    """Node-link data as networkx reads it; a hidden cause is a node with ``observed: "no"``."""
    return json.dumps(nx.node_link_data(to_networkx(edges, hidden, nodes), edges="edges"), indent=1)


def to_networkx(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> nx.DiGraph:
    """The graph with each hidden cause as a node that has a name and ``observed="no"``."""
    arrows, causes = with_causes(edges, hidden, nodes)
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_nodes_from(causes, observed="no")
    graph.add_edges_from(arrows)
    return graph


# -- GML and GraphML -----------------------------------------------------------------------------------------

GML, GRAPHML = "GML", "GraphML"


def is_gml(text: str) -> bool:
    return bool(
        re.match(r"\s*+(?>(?:#[^\n]*|Creator[^\n]*|Version[^\n]*|comment[^\n]*)\s*+)*+graph\s*\[", text)
    )


def read_gml(text: str) -> Reading:
    """Read GML; a node is called by its label, or by its id if it has none."""
    try:
        graph = nx.parse_gml(text, label=None)
    except RecursionError:
        raise refusal(GML, "it is nested too deep") from None
    except Exception as error:  # networkx lets its own and several of Python's through
        raise refusal(GML, f"networkx says: {' '.join(str(error).split())[:160].rstrip('.')}") from None
    if not graph.is_directed():
        raise refusal(
            GML,
            "its edges have no direction (GML means so unless it says directed 1); write graph [ directed 1 …",
        )
    labels = {node: label for node, given in graph.nodes(data=True) if (label := _label(given)) is not None}
    if len(set(labels.values())) < len(labels):
        raise refusal(GML, "two nodes have the same label; give each its own")
    taken = set(labels.values())
    names = {node: labels.get(node, str(node)) for node in graph}
    if any(str(node) in taken for node in graph if node not in labels):
        raise refusal(
            GML, "the id of a node without a label is the label of another; give every node a label"
        )
    return of_networkx(nx.relabel_nodes(graph, names), GML)


def write_gml(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    return "\n".join(nx.generate_gml(to_networkx(edges, hidden, nodes)))


def is_graphml(text: str) -> bool:
    return bool(re.match(r"\s*<", text)) and "<graphml" in text[:5000]


def read_graphml(text: str) -> Reading:
    """Read GraphML, also as yEd writes it."""
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise refusal(
            GRAPHML, "it declares a DOCTYPE, which no graph needs and which can do harm; remove that line"
        )
    try:
        graph = nx.parse_graphml(text)
    except RecursionError:
        raise refusal(GRAPHML, "it is nested too deep") from None
    except Exception as error:
        raise refusal(GRAPHML, f"networkx says: {' '.join(str(error).split())[:160].rstrip('.')}") from None
    drawn = re.findall(r"<(?:\w+:)?Arrows\b[^>]*>", text)
    if any(not re.search(r"source=[\"']none", tag) or re.search(r"target=[\"']none", tag) for tag in drawn):
        raise refusal(
            GRAPHML, "yEd drew an edge whose only arrowhead is not at its target; draw every edge from cause to effect, "
            "and a hidden common cause as a node with observed = no"
        )  # fmt: skip
    return of_networkx(graph, GRAPHML, by_label=True)


def write_graphml(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str]) -> str:
    return "\n".join(nx.generate_graphml(to_networkx(edges, hidden, nodes)))


FORMATS.register(
    Format(
        "json",
        "JSON: node-link data, cytoscape, a list of arrows",
        is_json,
        read_json,
        write_json,
        ("node-link", "cytoscape", "d3"),
    )
)

FORMATS.register(Format("gml", "GML", is_gml, read_gml, write_gml))

FORMATS.register(Format("graphml", "GraphML", is_graphml, read_graphml, write_graphml, ("yed",)))
