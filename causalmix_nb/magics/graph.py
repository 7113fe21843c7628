"""The subcommand of the causal graph: given, shown, edited, tested, and set on the study."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.graph.text import names_a_file
from causalmix_nb.magics.language import MagicError

if TYPE_CHECKING:
    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.magics.display import ResultDisplay
    from causalmix_nb.study.study import Study

Arguments = argparse.Namespace
Namespace = Mapping[str, Any]


class GraphMagics:
    """Expects the shell, the display and the current study of :class:`causalmix_nb.magics.magics.CausalMixMagics`."""

    shell: Any
    display: ResultDisplay
    study: Study | None
    _graph: str | None

    if TYPE_CHECKING:

        def _folder(self, args: Arguments) -> Path: ...

        def _current(self, args: Arguments) -> Study: ...

        def _names(self, kind: str) -> list[str]: ...

    def _dag(self, args: Arguments, ns: Namespace, cell: str | None = None) -> Any:
        text = cell if cell is not None else self._given_graph(args.source, ns) if args.source else None
        graph, note = self._set_graph(text) if text is not None else (self._graph_now(args), "")
        if args.test:
            study = self._current(args)
            if not study.runs:
                raise StudyError("there is no run to test the graph with; %causalmix run trains proxies.")
            tested = graph.test(study.runs, method=args.method)
            if not len(tested):
                print("The graph claims no independence that the runs could contradict: nothing to test.")
            for words in graph.suspects(study.runs, method=args.method)["words"].head(5):
                print(words[0].upper() + words[1:] + ".")
            return tested
        if args.edit and not args.to_cell and hasattr(self.shell, "kernel"):
            from causalmix_nb.widgets.graph_editor import DagEditor

            runs = self.study.runs if self.study is not None else None
            return DagEditor(graph, runs, lambda new: self._set_graph(new.to_text()))
        if args.edit or args.to_cell:
            self.shell.set_next_input(f"%%causalmix dag\n{graph.to_text()}")
            note = "The next cell holds this graph as text: change it there and run the cell."
        self.display.attach(graph, note)
        return graph

    def _given_graph(self, source: str, ns: Namespace) -> str:
        from causalmix_nb.graph.graph import CausalGraph

        value = ns.get(source, source) if source.isidentifier() else source
        if value is source and source.isidentifier():
            raise MagicError(
                f"there is no variable {source!r}.{did_you_mean(source, self._names('variable'))} Give a graph or its text."
            )
        if value is source and (names_a_file(source) or len(source) < 300 and Path(source).is_file()):
            value = Path(source).expanduser()
        return value if isinstance(value, str) else CausalGraph.parse(value).to_text()

    def _graph_now(self, args: Arguments) -> CausalGraph:
        from causalmix_nb.graph.graph import CausalGraph
        from causalmix_nb.study.study import DEFAULT_GRAPH, META

        if self.study is None and not (self._folder(args) / META).exists():
            return CausalGraph.parse(self._graph or DEFAULT_GRAPH)
        return self._current(args).graph

    def _set_graph(self, text: str) -> tuple[CausalGraph, str]:
        from causalmix_nb.graph.graph import CausalGraph

        graph = CausalGraph.parse(text)
        if self.study is None:
            self._graph = graph.to_text()
            return graph, "It goes into the study that %causalmix pool starts or opens."
        if graph == self.study.graph:
            return graph, ""
        fitted = self.study.model is not None
        self.study.set_graph(graph)
        return (
            graph,
            "What was fitted under the other graph is dropped; %causalmix fit again." if fitted else "",
        )
