"""Claims about the editor's Python side: commands change the graph, what makes no graph is refused and seen, undo goes back."""

from __future__ import annotations

import ast

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.runs.store import Runs
from causalmix_nb.widgets.graph_editor import DagEditor

GRAPH = CausalGraph.parse("state -> mixture -> score; state -> score")


@pytest.fixture
def editor():
    seen = []
    made = DagEditor(GRAPH, on_change=seen.append)
    made.seen = seen
    return made


def send(editor, what, **content):
    editor._asked(editor, {"do": what, **content}, [])


def written(editor):
    """The graph in the Python that the editor shows."""
    tree = ast.parse(editor.code.partition("\n\n")[2])
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return CausalGraph.parse(call.args[0].value)


def test_every_command_changes_the_graph_and_undo_and_redo_go_back_and_forth(editor):
    graphs = [editor.graph]
    for what, content in (
        ("add_node", {"a": " loss "}),
        ("add_edge", {"a": "mixture", "b": "loss"}),
        ("add_hidden", {"a": "loss", "b": "score"}),
        ("rename", {"a": "loss", "b": "mixed loss"}),
        ("reverse", {"a": "mixture", "b": "mixed loss"}),
        ("delete_edge", {"a": "mixed loss", "b": "mixture"}),
        ("delete_hidden", {"a": "score", "b": "mixed loss"}),
        ("delete_node", {"a": "mixed loss"}),
    ):
        send(editor, what, **content)
        assert editor.error == ""
        graphs.append(editor.graph)
    assert graphs[4] == CausalGraph.parse(
        'state -> mixture -> score; state -> score; mixture -> "mixed loss"; "mixed loss" <-> score'
    )
    assert graphs[-1] == GRAPH
    for graph in reversed(graphs[:-1]):
        send(editor, "undo")
        assert editor.graph == graph
    assert not editor.view["undo"]
    for graph in graphs[1:]:
        send(editor, "redo")
        assert editor.graph == graph
    assert editor.seen[-1] == GRAPH


@pytest.mark.parametrize(
    ("what", "content", "said"),
    [
        ("add_edge", {"a": "score", "b": "state"}, "cycle"),
        ("reverse", {"a": "state", "b": "score"}, "cycle"),
        ("add_node", {"a": "state"}, "there is a node 'state' already"),
        ("add_node", {"a": "  "}, "needs a name"),
        ("rename", {"a": "state", "b": "score"}, "already"),
        ("delete_edge", {"a": "score", "b": "state"}, "there is no arrow"),
        ("dance", {}, "knows no command 'dance'"),
    ],
)
def test_what_makes_no_graph_is_refused_in_the_widget(editor, what, content, said):
    send(editor, what, **content)
    assert said in editor.error
    assert editor.graph == GRAPH and not editor.seen


def test_the_page_knows_what_would_make_a_cycle_and_what_to_adjust_for(editor):
    nodes = {node["name"]: node for node in editor.view["nodes"]}
    assert nodes["score"]["causes"] == ["mixture", "state"]
    assert {name: node["role"] for name, node in nodes.items()} == {
        "state": "covariate", "mixture": "treatment", "score": "outcome",
    }  # fmt: skip
    assert "adjust for state" in editor.view["advice"][0]
    send(editor, "add_node", a="loss")
    send(editor, "add_edge", a="mixture", b="loss")
    send(editor, "add_edge", a="loss", b="score")
    assert any(text.startswith("Never condition on loss") for text in editor.view["advice"])


def test_runs_that_contradict_the_graph_are_told():
    rng = np.random.default_rng(0)
    s = rng.normal(size=200)
    T = 1 / (1 + np.exp(-s + 0.3 * rng.normal(size=200)))
    runs = Runs.from_frames(
        pd.DataFrame({"a": T, "b": 1 - T}), pd.DataFrame({"score": T}), state=pd.DataFrame({"quality": s})
    )
    editor = DagEditor("mixture -> score; quality", runs)
    assert any("The runs contradict that" in text for text in editor.view["advice"])
    send(editor, "add_edge", a="quality", b="mixture")
    assert any("contradict none of the" in text for text in editor.view["advice"])


def test_a_moved_node_stays_where_it_was_put(editor):
    send(editor, "move", a="state", x=300, y=200)
    send(editor, "add_node", a="new", x=50.0, y=60.0)
    places = {node["name"]: (node["x"], node["y"]) for node in editor.view["nodes"]}
    assert places["state"] == (300, 200) and places["new"] == (50, 60)
    send(editor, "rename", a="state", b="pool")
    assert {node["name"]: node["x"] for node in editor.view["nodes"]}["pool"] == 300


def test_python_and_page_hold_the_same_graph(editor):
    editor.graph = "mixture -> score"
    assert [node["name"] for node in editor.view["nodes"]] == ["mixture", "score"]
    assert CausalGraph.parse(editor.to_cell().partition("\n")[2]) == editor.graph
    assert written(editor) == editor.graph


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", 'a "quoted" -> one', "שלום", "x" * 200, "🙂"]
)
def test_names_are_text(editor, name):
    send(editor, "add_node", a=name)
    assert editor.error == ""
    assert name in editor.graph.nodes
    assert "<img src=x" not in editor.snapshot().html
    assert written(editor) == editor.graph
    assert CausalGraph.parse(editor.to_cell().partition("\n")[2]) == editor.graph
