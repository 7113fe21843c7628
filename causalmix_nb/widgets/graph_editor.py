"""The causal graph, edited by mouse or keyboard: every change is checked in Python, and the advice beside it follows.

The page sends small commands; Python applies them to the immutable graph and sends back what to draw. A cycle is refused here, and
marked on the page while the arrow is still being drawn, since the page knows which nodes cause which.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import traitlets

from causalmix_nb.cards.typesetting import Bundle, card
from causalmix_nb.errors import GraphError
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.plots.pictures import picture
from causalmix_nb.widgets.base import LiveWidget, answers, page

if TYPE_CHECKING:
    from causalmix_nb.runs.store import Runs

ACROSS, DOWN = 175, 84  # pixels between generations and between rows
TESTED = 15  # nodes up to which the graph is held against the runs at every change


class DagEditor(LiveWidget):
    """An editor of a causal graph.

    Parameters
    ----------
    graph: a :class:`CausalGraph` or its text. runs: held against the graph, if given.
    on_change: called with the new graph after every change.

    Attributes
    ----------
    graph: the graph as it stands; assign one (or its text) to replace it. view: what the page draws.
    """

    _esm = page("graph_editor.js")
    view: Any = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        graph: CausalGraph | str,
        runs: Runs | None = None,
        on_change: Callable[[CausalGraph], Any] | None = None,
    ) -> None:
        super().__init__()
        self._runs, self._on_change = runs, on_change
        self._places: dict[str, tuple[float, float]] = {}
        self._undo: list[CausalGraph] = []
        self._redo: list[CausalGraph] = []
        self._graph = graph if isinstance(graph, CausalGraph) else CausalGraph.parse(graph)
        self._show()
        self.on_msg(self._asked)

    @property
    def graph(self) -> CausalGraph:
        return self._graph

    @graph.setter
    def graph(self, graph: CausalGraph | str) -> None:
        self._become(graph if isinstance(graph, CausalGraph) else CausalGraph.parse(graph))

    def to_cell(self) -> str:
        """A cell that gives this graph."""
        return f"%%causalmix dag\n{self._graph.to_text()}"

    # -- commands --------------------------------------------------------------------------------------------

    @answers
    def _asked(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        what = content.get("do")
        if what == "move":
            x, y = float(content["x"]), float(content["y"])
            if content["a"] in self._graph.nodes and math.isfinite(x) and math.isfinite(y):
                self._places[content["a"]] = (x, y)
                nodes = [n | {"x": x, "y": y} if n["name"] == content["a"] else n for n in self.view["nodes"]]
                self.view = {**self.view, "nodes": nodes}  # the graph is the same, and so is what it says
        elif what == "undo" and self._undo:
            self._redo.append(self._graph)
            self._become(self._undo.pop(), remember=False)
        elif what == "redo" and self._redo:
            self._undo.append(self._graph)
            self._become(self._redo.pop(), remember=False)
        elif what not in ("undo", "redo"):
            graph = self._edited(content)
            if "x" in content and math.isfinite(content["x"]):
                self._places[content["a"].strip()] = (float(content["x"]), float(content["y"]))
            self._become(graph)

    def _edited(self, content: dict[str, Any]) -> CausalGraph:
        graph, what = self._graph, content.get("do")
        a, b = str(content.get("a", "")).strip(), str(content.get("b", "")).strip()
        if what == "add_node":
            if not a:
                raise GraphError("a node needs a name; type one first.")
            if a in graph.nodes:
                raise GraphError(f"there is a node {a!r} already; give the new one another name.")
            return graph.with_node(a)
        if what == "rename":
            return self._renamed(a, b)
        if what == "delete_node":
            return graph.without_node(a)
        if what == "reverse":
            return graph.without_edge(a, b).with_edge(b, a)
        done: dict[str, Callable[[str, str], CausalGraph]] = {
            "add_edge": graph.with_edge, "delete_edge": graph.without_edge,
            "add_hidden": graph.with_hidden, "delete_hidden": graph.without_hidden,
        }  # fmt: skip
        if what not in done:
            raise GraphError(f"the editor knows no command {what!r}.")
        return done[what](a, b)

    def _renamed(self, a: str, b: str) -> CausalGraph:
        graph = self._graph
        if not b:
            raise GraphError("a node needs a name; type one first.")
        if b in graph.nodes and b != a:
            raise GraphError(f"there is a node {b!r} already; give this one another name.")

        def new(name: str) -> str:
            return b if name == a else name

        pairs = [tuple((new(x), new(y)) for x, y in part) for part in (graph.edges, graph.hidden)]
        if a in self._places:
            self._places[b] = self._places.pop(a)
        return CausalGraph(pairs[0], pairs[1], tuple(new(name) for name in graph.nodes))

    def _become(self, graph: CausalGraph, remember: bool = True) -> None:
        if remember:
            self._undo, self._redo = [*self._undo[-99:], self._graph], []
        self._graph = graph
        self._show()
        if self._on_change is not None:
            self._on_change(graph)

    # -- what is drawn ---------------------------------------------------------------------------------------

    def _show(self) -> None:
        import networkx as nx

        graph, roles = self._graph, self._graph.roles
        layout = graph.layout()
        top = min((y for _, y in layout.values()), default=0.0)
        places = {n: (90 + ACROSS * x, 50 + DOWN * (y - top)) for n, (x, y) in layout.items()}
        places |= {name: place for name, place in self._places.items() if name in places}
        arrows = nx.DiGraph(list(graph.edges))
        arrows.add_nodes_from(graph.nodes)
        self.view = {
            "nodes": [
                {
                    "name": name, "x": places[name][0], "y": places[name][1], "role": roles.get(name, "other"),
                    "causes": sorted(nx.ancestors(arrows, name)),
                }
                for name in graph.nodes
            ],
            "edges": [list(pair) for pair in graph.edges], "hidden": [list(pair) for pair in graph.hidden],
            "advice": self.advice(), "undo": bool(self._undo), "redo": bool(self._redo),
        }  # fmt: skip
        self.changed()

    def advice(self) -> list[str]:
        """What the graph says about the effect: what to adjust for, what never to condition on and why, what the runs contradict."""
        graph = self._graph
        treatment, outcomes = graph._ends()
        sentences = [graph.caption()]
        if treatment and outcomes:
            bad = graph.bad_controls(treatment, outcomes[0])
            sentences += [f"Never condition on {name}: it {why}." for name, why in sorted(bad.items())]
        if self._runs is not None and len(self._runs) and len(graph.nodes) <= TESTED:
            table = graph.test(self._runs)
            wrong = table[table["verdict"] == "contradicts the graph"]
            sentences += [
                f"The runs contradict that {row.a} and {row.b} are independent{f' given {row.given}' if row.given else ''}."
                for row in wrong.itertuples()
            ]
            if len(table) and not len(wrong):
                sentences.append(
                    f"The runs contradict none of the {len(table)} independences that it claims."
                )
        return sentences

    def snapshot(self) -> Bundle:
        return Bundle(card("Causal graph", picture(self._graph.to_svg())), self._graph.to_text())

    def show_code(self) -> str:
        text = self._graph.to_text()
        plain = "\\" not in text and "'''" not in text
        written = f"'''\n{text}\n'''" if plain else repr(text)
        return f"{self.to_cell()}\n\nimport causalmix_nb as cm\ngraph = cm.CausalGraph.parse({written})"
