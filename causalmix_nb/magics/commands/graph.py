"""The subcommand of the causal graph: given, shown, edited, tested, and set on the study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.question import Argument
from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.graph.text import names_a_file
from causalmix_nb.magics.command import COMMANDS, Command
from causalmix_nb.magics.language import MagicError
from causalmix_nb.magics.session import Session

if TYPE_CHECKING:
    from causalmix_nb.graph.graph import CausalGraph


def dag(
    session: Session,
    source: str | None,
    show: bool,
    edit: bool,
    to_cell: bool,
    test: bool,
    method: str,
    to: str | None,
    cell: str | None,
) -> Any:
    text = cell if cell is not None else _given(session, source) if source else None
    graph, note = _set(session, text) if text is not None else (_now(session), "")
    if test:
        return _test(session, graph, method)
    if to:
        print(graph.to_text(to))
        return None
    if edit and not to_cell and session.is_notebook:
        from causalmix_nb.widgets.graph_editor import DagEditor

        runs = session.study.runs if session.study is not None else None
        return DagEditor(graph, runs, lambda new: _set(session, new.to_text()))
    if edit or to_cell:
        session.shell.set_next_input(f"%%causalmix dag\n{graph.to_text()}")
        note = "The next cell holds this graph as text: change it there and run the cell."
    session.display.attach(graph, note)
    return graph


def _given(session: Session, source: str) -> str:
    """The text of a graph that is named: a variable, a file, or itself."""
    from causalmix_nb.graph.graph import CausalGraph

    value = session.variables.get(source, source) if source.isidentifier() else source
    if value is source and source.isidentifier():
        near = did_you_mean(source, session.names("variable"))
        raise MagicError(f"there is no variable {source!r}.{near} Give a graph or its text.")
    if value is source and (names_a_file(source) or len(source) < 300 and Path(source).is_file()):
        value = Path(source).expanduser()
    return value if isinstance(value, str) else CausalGraph.parse(value).to_text()


def _now(session: Session) -> CausalGraph:
    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.study.study import DEFAULT_GRAPH

    if session.study is None and not session.has_study():
        return CausalGraph.parse(session.early_graph or DEFAULT_GRAPH)
    return session.current().graph


def _set(session: Session, text: str) -> tuple[CausalGraph, str]:
    """Make a text the graph of the study; returns the graph and what that did."""
    from causalmix_nb.graph.graph import CausalGraph

    graph, study = CausalGraph.parse(text), session.study
    if study is None:
        session.early_graph = graph.to_text()
        return graph, "It goes into the study that %causalmix pool starts or opens."
    if graph == study.graph:
        return graph, ""
    fitted = study.model is not None
    study.set_graph(graph)
    return graph, "What was fitted under the other graph is dropped; %causalmix fit again." if fitted else ""


def _test(session: Session, graph: CausalGraph, method: str) -> Any:
    runs = session.current().runs
    if not runs:
        raise StudyError("there is no run to test the graph with; %causalmix run trains proxies.")
    tested = graph.test(runs, method=method)
    if not len(tested):
        print("The graph claims no independence that the runs could contradict: nothing to test.")
    for words in graph.suspects(runs, method=method)["words"].head(5):
        print(words[0].upper() + words[1:] + ".")
    return tested


COMMANDS.register(
    Command(
        "dag",
        "Show, edit or test the causal graph; write it in a %%causalmix dag cell.",
        "%causalmix dag --show",
        dag,
        (
            Argument(
                "source",
                "a variable with a graph or its text, the text in quotes, or a file (graph.dot)",
                words="?",
                completes="variable",
            ),
            Argument("--show", "draw the graph, with what to adjust for (also without this option)", "flag"),
            Argument(
                "--edit",
                "edit the graph by mouse or keyboard (in a terminal: as text in the next cell)",
                "flag",
            ),
            Argument("--to-cell", "put the graph as text into the next cell", "flag"),
            Argument("--test", "test the independences that the graph implies on the runs", "flag"),
            Argument(
                "--method",
                "of the test: distance sees dependence of any shape and asks for more runs (linear)",
                "choice",
                "linear",
                choices=("linear", "distance"),
            ),
            Argument(
                "--to",
                "print the graph as other tools read it: {names}",
                metavar="FORMAT",
                completes="graph format",
            ),
        ),
        step="graph",
        cell="node",
    )
)
