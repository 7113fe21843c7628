"""Widgets full of hostile names: text only, reachable by keyboard, accessible in light and dark, and kept in the saved notebook."""

import subprocess
import sys

import nbformat

import browser.lab as jupyter

NAMES = (
    "<img src=x onerror=window.hacked=1>",
    "'quoted' \"name\" & co",
    "\U0001f99c emoji \U0001f600",
    "\u05e9\u05dc\u05d5\u05dd \u0639\u0631\u0628\u064a",
    "x" * 200,
)
SETUP = f"""%load_ext causalmix_nb
import numpy as np, pandas as pd, causalmix_nb as cm
from causalmix_nb.widgets.graph_editor import DagEditor
from causalmix_nb.widgets.monitor import SwarmMonitor
names = {list(NAMES)!r}
rng = np.random.default_rng(0)
T = rng.dirichlet(np.ones(5), 80)
scores = {{name: np.sqrt(T) @ rng.normal(size=5) + 0.05 * rng.normal(size=80) for name in names}}
runs = cm.Runs.from_frames(pd.DataFrame(T, columns=names), pd.DataFrame(scores))
imported = cm.Study.from_runs(runs, "mixture -> score")
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.quick_surface import quick_surfaces
imported.model = imported.prepared(quick_surfaces([Problem.from_runs(runs, names[0])])[0])
trained = cm.Study.create("trained", cm.Pool.from_dict({{name: [f"Some text number {{i}}." for i in range(60)] for name in names}}))
def row(i, status, reason, outcome):
    return {{"key": f"run{{i}}", "status": status, "reason": reason, "seed": i, "label": "", "mixture": dict(zip(names, T[i])), "state": {{}},
            "scale": {{}}, "outcome": outcome}}
trained.runs.add([row(i, "done", None, {{"bpb": 2.0 + T[i, 0]}}) for i in range(20)])
trained.runs.add([row(20 + i, "failed", name, {{}}) for i, name in enumerate(names)])"""
EDITOR = "editor = DagEditor('mixture -> score')\nfor name in names: editor.graph = editor.graph.with_node(name).with_edge(name, 'mixture')\neditor"
EXPLORER = "explorer = imported.explore()\nexplorer"
MONITOR = "monitor = SwarmMonitor(trained)\nmonitor"
WIDGETS = {".cm-dag": "Causal graph", ".cm-explorer": "A mixture by hand", ".cm-monitor": "Proxy runs"}
# what Tab reaches inside a widget, and whether each shows that it has the focus
REACHED = """selector => {
  const root = document.querySelector(selector), can = 'button, input, select, [tabindex="0"]';
  const all = [...root.querySelectorAll(can)].filter(e => !e.disabled && e.getClientRects().length);
  all.forEach((e, i) => { e.dataset.stop = i; });
  return all.length;
}"""
FOCUSED = """selector => {
  const e = document.activeElement, root = document.querySelector(selector);
  if (!root.contains(e) || e.dataset.stop === undefined) return null;
  const style = getComputedStyle(e), shape = e.querySelector('.shape, .line');
  const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  const thick = shape && parseFloat(getComputedStyle(shape).strokeWidth) >= 3.9;
  return [Number(e.dataset.stop), Boolean(ring || thick), e.dataset.testid ?? e.outerHTML.slice(0, 80)];
}"""


def opened(page_of, name):
    page = page_of(name, SETUP, EDITOR, EXPLORER, MONITOR, "print('ALL' + '-DONE')")
    for cell in range(5):
        jupyter.run_cell(page, cell)
    page.wait_for_selector('.jp-OutputArea-output:has-text("ALL-DONE")', timeout=120_000)
    for selector in WIDGETS:
        page.locator(selector).wait_for(timeout=120_000)
    for button in ("explorer-bars", "explorer-triangle", "explorer-code", "dag-code", "monitor-code"):
        page.get_by_test_id(button).click()
    page.get_by_test_id("explorer-see").click()
    page.wait_for_selector("[data-testid=explorer-see][aria-pressed=true]", timeout=120_000)
    page.wait_for_function(
        "() => document.querySelectorAll('[data-testid=explorer-bar]').length === 5", timeout=120_000
    )
    return page


def test_names_are_text_every_control_has_the_keyboard_and_axe_is_content(page_of):
    page = opened(page_of, "controls.ipynb")
    for selector in WIDGETS:
        told = page.locator(selector).inner_text()
        assert "<img src=x" in told, selector
        assert page.locator(f"{selector} img").count() == 0
        n = page.evaluate(REACHED, selector)
        page.locator(f"{selector} [data-stop='0']").focus()
        stops = {}
        for _ in range(n + 5):
            at = page.evaluate(FOCUSED, selector)
            if at is None:
                break
            stops[at[0]] = at[1:]
            page.keyboard.press("Tab")
        assert len(stops) == n, (selector, n, sorted(stops))
        assert [name for ring, name in stops.values() if not ring] == []
    jupyter.screens(page, "hostile")
    for on in (False, True):
        jupyter.dark(page, on)
        for selector in WIDGETS:
            assert jupyter.severe(page, selector) == [], ("dark" if on else "light", selector)
    jupyter.dark(page, False)
    page.evaluate("() => document.querySelector('.cm-dag').appendChild(document.createElement('input'))")
    assert any("label" in words for words in jupyter.severe(page, ".cm-dag"))  # it would have been found
    page.emulate_media(reduced_motion="reduce")
    moving = """() => [...document.querySelectorAll('.cm-dag *, .cm-explorer *, .cm-monitor *')]
      .filter(e => { const s = getComputedStyle(e); return parseFloat(s.transitionDuration) > 0 || s.animationName !== 'none'; }).length"""
    assert page.evaluate(moving) == 0


def test_a_saved_notebook_shows_the_last_state_without_a_kernel_and_offline(page_of):
    page = opened(page_of, "kept.ipynb")
    jupyter.python(page, "explorer.mixture = dict(zip(names, [0.6, 0.1, 0.1, 0.1, 0.1]))")
    page.get_by_test_id("dag-name").fill("added last")
    page.get_by_test_id("dag-add").click()
    page.get_by_test_id("dag-node-added last").wait_for(timeout=120_000)
    path = page_of.path("kept.ipynb")
    book = jupyter.saved(
        page,
        path,
        lambda b: (
            "added last" in jupyter.written(b.cells[1]) and "60%" in jupyter.written(b.cells[2], "text/plain")
        ),
    )
    assert path.stat().st_size < 1_000_000
    nbformat.validate(book)
    kept = [jupyter.written(cell) for cell in book.cells]
    assert "added last" in kept[1] and "seen" not in kept[1]
    assert "60%" in jupyter.written(book.cells[2], "text/plain")
    assert "Causal effect (do)" in kept[2]

    assert page_of.strangers() == []
    page_of.close()  # and the kernel ends
    book.cells[0].source += "\n# changed outside, so that it is not trusted"
    for name, trusted in (("kept.ipynb", True), ("untrusted.ipynb", False)):
        if not trusted:
            page_of.path(name).parent.mkdir(exist_ok=True)
            nbformat.write(book, page_of.path(name))
        again = page_of.open(name)
        for cell, title in zip((1, 2, 3), WIDGETS.values()):
            shown = again.locator(".jp-CodeCell").nth(cell)
            shown.get_by_text(title).first.wait_for(timeout=120_000)
            if cell < 3:
                picture = shown.locator(".jp-OutputArea-output img").first
                assert picture.is_visible() and picture.evaluate("e => e.naturalWidth > 0")
        assert again.evaluate("() => window.hacked === undefined")
        again.screenshot(path=str(jupyter.SCREENS / f"reopened_{'trusted' if trusted else 'untrusted'}.png"))

    off = {
        name: ""
        for name in (
            "mathjax_url",
            "require_js_url",
            "jquery_url",
            "mermaid_js_url",
            "jupyter_widgets_base_url",
        )
    }
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "html",
        str(path),
        *(f"--HTMLExporter.{k}={v}" for k, v in off.items()),
    ]
    subprocess.run(command, check=True, capture_output=True)
    page_of.asked.clear()
    offline = page_of.new_page()
    offline.goto(path.with_suffix(".html").as_uri())
    for title in WIDGETS.values():
        offline.get_by_text(title).first.wait_for(timeout=120_000)
    assert (
        offline.evaluate("() => [...document.querySelectorAll('img')].filter(e => !e.naturalWidth).length")
        == 0
    )
    assert page_of.strangers() == []
    offline.screenshot(path=str(jupyter.SCREENS / "exported.png"), full_page=True)
