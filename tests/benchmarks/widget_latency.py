"""How quick the widgets are: a drag of the explorer, an edit of a graph of 60 nodes, what is synced, what is loaded.

``python tests/benchmarks/widget_latency.py`` prints the figures of the Python side and, where there is a Chromium, those in JupyterLab
beside the floor: an anywidget that does nothing but echo a number.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import browser.lab as jupyter
import causalmix_nb as cm
from browser.test_explorer_in_lab import FAST, MOVES
from causalmix_nb.widgets.base import STATIC
from causalmix_nb.widgets.explorer import MixtureExplorer
from causalmix_nb.widgets.graph_editor import DagEditor
from causalmix_nb.widgets.monitor import SwarmMonitor

SETUP = f"""import sys
sys.path[:0] = [{str(Path(__file__).resolve().parents[1])!r}, {str(Path(__file__).resolve().parents[2])!r}]
from benchmarks.widget_latency import setup
explorer, graph = setup()
explorer"""
ECHO = '''import anywidget, traitlets
class Echo(anywidget.AnyWidget):
    _esm = """export default { render({ model, el }) {
      el.dataset.testid = "echo"; el.textContent = "0";
      el.ping = (x) => new Promise((done) => { const once = () => { model.off("change:back", once); done(); }; model.on("change:back", once); model.send({ x }); });
    } };"""
    back = traitlets.Float(0.0).tag(sync=True)
    def __init__(self):
        super().__init__()
        self.on_msg(lambda _, content, buffers: setattr(self, "back", content["x"]))
Echo()'''
PING = """async () => {
  const el = document.querySelector('[data-testid=echo]'), times = [];
  for (let i = 1; i < 40; i++) { const start = performance.now(); await el.ping(i); times.push(performance.now() - start); }
  return times;
}"""
DRAG = """async () => {  // one move of a node a frame; how long each takes to handle and to draw
  const node = document.querySelector('[data-testid="dag-node-node 30"]'), box = node.getBoundingClientRect(), times = [];
  const at = (type, i) => new PointerEvent(type, {clientX: box.x + 20 + 3 * i, clientY: box.y + 10 + i, bubbles: true, button: 0, buttons: 1});
  node.dispatchEvent(at('pointerdown', 0));
  for (let i = 1; i < 40; i++) {
    await new Promise(requestAnimationFrame);
    const start = performance.now();
    window.dispatchEvent(at('pointermove', i));
    node.getBoundingClientRect();  // forces the layout
    times.push(performance.now() - start);
  }
  window.dispatchEvent(at('pointerup', 40));
  return times;
}"""
EDIT = """async () => {
  const field = document.querySelector('[data-testid=dag-name]'), add = document.querySelector('[data-testid=dag-add]'), times = [];
  for (let i = 0; i < 12; i++) {
    const start = performance.now();
    field.value = `new ${i}`;
    add.click();
    while (!document.querySelector(`[data-testid="dag-node-new ${i}"]`)) await new Promise(requestAnimationFrame);
    times.push(performance.now() - start);
  }
  return times;
}"""


def setup() -> tuple[MixtureExplorer, cm.CausalGraph]:
    """An explorer of 17 domains, 512 runs and 13 outcomes, and a graph of 60 nodes and 120 arrows."""
    rng = np.random.default_rng(0)
    T, X = rng.dirichlet(np.ones(17), 512), rng.normal(size=(512, 3))
    scores = {
        f"score{j}": np.sqrt(T) @ rng.normal(size=17) + X[:, 0] + 0.1 * rng.normal(size=512)
        for j in range(13)
    }
    runs = cm.Runs.from_frames(
        pd.DataFrame(T, columns=[f"domain{i}" for i in range(17)]),
        pd.DataFrame(scores),
        state=pd.DataFrame(X, columns=list("abc")),
    )
    study = cm.Study.from_runs(runs, "state -> mixture; state -> score; mixture -> score")
    study.fit(method="gp")
    nodes = [f"node {i}" for i in range(58)] + ["mixture", "score"]
    pairs: dict[tuple[str, str], int] = {}
    while len(pairs) < 120:
        a, b = sorted(rng.choice(60, 2, replace=False).tolist())
        pairs[nodes[a], nodes[b]] = 1
    return study.explore(), cm.CausalGraph(tuple(pairs), (), tuple(nodes))


def told(what: str, milliseconds: list[float]) -> None:
    print(f"{what:<72} {statistics.median(milliseconds):7.1f} ms   worst {max(milliseconds):7.1f}")


def timed(act: Callable[[int], object], n: int = 25) -> list[float]:
    times = []
    for i in range(n):
        start = time.perf_counter()
        act(i)
        times.append(1000 * (time.perf_counter() - start))
    return times


def state_bytes(widget: object) -> int:
    state = widget.get_state()  # type: ignore[attr-defined]
    return len(json.dumps({k: v for k, v in state.items() if k not in ("_esm", "_css")}, default=str))


def python_side() -> None:
    explorer, graph = setup()

    def ask(**content: object) -> None:
        explorer._asked(explorer, content, [])
        assert explorer.error == ""

    told(
        "explorer, 17 domains, 512 runs: while it moves",
        timed(lambda i: ask(set=3, to=0.1 + 0.01 * i, final=False)),
    )
    told("explorer: when it rests", timed(lambda i: ask(set=3, to=0.1 + 0.01 * i)))
    told("explorer: opening the bars of 13 outcomes", timed(lambda i: ask(bars=True), 3))
    ask(three=[0, 1, 2])
    told(
        "explorer with bars and triangle: while it moves",
        timed(lambda i: ask(set=3, to=0.1 + 0.01 * i, final=False)),
    )
    told("explorer with bars and triangle: when it rests", timed(lambda i: ask(set=3, to=0.1 + 0.01 * i)))
    told("explorer: first look at 'see'", timed(lambda i: ask(mode="see"), 1))
    editor = DagEditor(graph)
    told(
        "editor, 60 nodes, 120 arrows: a new node",
        timed(lambda i: editor._asked(editor, {"do": "add_node", "a": f"n{i}"}, [])),
    )
    told(
        "editor: a node moved",
        timed(lambda i: editor._asked(editor, {"do": "move", "a": "node 3", "x": i, "y": 9}, [])),
    )
    print(
        f"state of the explorer with everything open: {state_bytes(explorer):,} bytes; of the editor: {state_bytes(editor):,}"
    )
    with tempfile.TemporaryDirectory() as folder:
        domains = [f"domain number {i}" for i in range(17)]
        study = cm.Study.create(
            folder, cm.Pool.from_dict({d: [f"Some text, number {i}." for i in range(40)] for d in domains})
        )
        assert study.runs is not None
        T = np.random.default_rng(0).dirichlet(np.ones(17), 512)
        study.runs.add([
            {"key": f"k{i}", "status": "done", "reason": None, "seed": i, "label": "", "mixture": dict(zip(domains, T[i].tolist())),
             "state": {}, "scale": {}, "outcome": {"bpb": float(T[i, 0])}} for i in range(512)
        ])  # fmt: skip
        monitor = SwarmMonitor(study)
        told("monitor, 512 runs: a look at the store", timed(lambda i: monitor.look()))
        print(f"state of the monitor: {state_bytes(monitor):,} bytes")
    for path in sorted(STATIC.glob("*.js")):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


def browser_side() -> None:
    with tempfile.TemporaryDirectory() as folder, jupyter.notebooks(Path(folder)) as open_cells:
        cells = (SETUP, "from causalmix_nb.widgets.graph_editor import DagEditor\nDagEditor(graph)", ECHO)
        page = open_cells("latency.ipynb", *cells)
        for i, wanted in enumerate(("explorer", "dag", "echo")):
            jupyter.run_cell(page, i)
            page.get_by_test_id(wanted).wait_for(state="attached", timeout=180_000)
        told("browser, the floor: an anywidget that echoes a number", page.evaluate(PING))
        told(
            "browser, explorer: from a move to its numbers",
            page.evaluate(MOVES, [0.05 + 0.02 * i for i in range(30)]),
        )
        fifty = [page.evaluate(FAST, [0.9 - 0.01 * i for i in range(50)]) for _ in range(5)]
        told("browser, explorer: fifty moves at once, to the numbers of the last", fifty)
        told("browser, editor of 60 nodes: a frame of a drag", page.evaluate(DRAG))
        told("browser, editor of 60 nodes: a new node, from the click to the page", page.evaluate(EDIT))
        open_cells.close()


if __name__ == "__main__":
    python_side()
    if jupyter.missing():
        print(jupyter.missing())
    else:
        browser_side()
