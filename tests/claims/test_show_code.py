"""The code that the widgets show gives the same numbers in a fresh kernel, as magics and as Python."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from causalmix_nb.data.pool import Perturbation
from causalmix_nb.widgets.graph_editor import DagEditor
from causalmix_nb.widgets.monitor import SwarmMonitor


def named(name: str, lines: str) -> str:
    """The lines with what the last one returns kept under a name."""
    *before, last = lines.split("\n")
    return "\n".join([*before, f"{name} = {last}"])


def test_magics_and_python_of_all_widgets_reproduce_what_they_show(finished, tmp_path):
    job = finished.start(24, 2_000, executor="inline")
    assert job.wait(60)
    graph = DagEditor("state -> mixture; state -> score; mixture -> score; mixture -> loss")
    finished.set_graph(graph.graph)
    finished.fit("bpb.bolts", method="linear", random_state=3)
    explorer = finished.explore({"bolts": Perturbation(noise=0.5, keep=0.5)})
    explorer._asked(explorer, {"set": 1, "to": 0.61, "seq": 1}, [])
    assert explorer.error == ""
    magic, python = explorer.show_code().split("\n\n")
    cell, graph_python = graph.show_code().split("\n\n", 1)
    run_magic, run_python = SwarmMonitor(finished).show_code().split("\n\n")
    last = (
        "import json\nprint(json.dumps([magic.estimate, python.estimate, run1.requested, run2.requested, run1.reused, "
        "study.graph == graph]))"
    )
    sources = [
        f"{magic.splitlines()[0]}\n{magic.splitlines()[1]}", cell, named("magic", magic), graph_python, named("python", python),
        named("run1", run_magic), named("run2", run_python), last,
    ]  # fmt: skip
    book = new_notebook(cells=[new_code_cell(source) for source in sources])
    NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    nbformat.validate(book)
    said = json.loads(book.cells[-1].outputs[0]["text"])
    assert -said[0] == pytest.approx(explorer.answer["gain"], rel=1e-3, abs=1e-6)
    assert -said[1] == pytest.approx(explorer.answer["gain"], rel=1e-3, abs=1e-6)
    assert said[2:] == [24, 24, 24, True]
