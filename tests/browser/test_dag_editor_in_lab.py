"""The graph editor where people use it: a cycle refused as it is drawn, what goes wrong is seen, undo, rename and delete by keyboard."""

import browser.lab as jupyter
from browser.graphs import centre, drag, drawn, to

GRAPH = "state -> mixture -> score; state -> score; quality"


def start(page_of, name, more=""):
    page = page_of(
        name,
        f"from causalmix_nb.widgets.graph_editor import DagEditor\neditor = DagEditor({GRAPH!r}{more})\neditor",
    )
    jupyter.run_cell(page, 0)
    page.get_by_test_id("dag").wait_for(timeout=120_000)
    return page


def test_a_cycle_is_refused_while_it_is_drawn_and_the_advice_follows_the_graph(page_of):
    page = start(page_of, "cycle.ipynb")
    page.get_by_test_id("dag-arrow").click()
    drag(page, "score", "state")  # while it is drawn, the reason is there
    assert "would make a cycle: state already causes score" in page.get_by_test_id("dag-status").inner_text()
    page.mouse.up()
    page.wait_for_timeout(300)
    assert "score -> state" not in jupyter.python(page, "print(editor.graph)")
    assert "adjust for state" in page.get_by_test_id("dag-advice").inner_text()
    drag(page, "quality", "state").up()
    drawn(page, "edge", "quality", "state")
    page.get_by_test_id("dag-arrow").click()
    page.get_by_test_id("dag-edge-quality-state").click(force=True)
    page.get_by_test_id("dag-reverse").click()
    drawn(page, "edge", "state", "quality")
    jupyter.python(
        page, "editor.graph = 'mixture -> loss -> score; mixture -> score'"
    )  # and the other way round
    page.get_by_test_id("dag-node-loss").wait_for(timeout=120_000)
    page.wait_for_selector('[data-testid=dag-advice]:has-text("Never condition on loss")', timeout=120_000)
    assert page.get_by_test_id("dag-node-quality").count() == 0


def test_rename_delete_and_undo_by_keyboard(page_of):
    page = start(page_of, "keys.ipynb")
    to(page, "quality")
    page.keyboard.press("Delete")
    page.get_by_test_id("dag-node-quality").wait_for(state="detached", timeout=120_000)
    page.get_by_test_id("dag-undo").focus()
    page.keyboard.press("Control+z")
    page.get_by_test_id("dag-node-quality").wait_for(timeout=120_000)
    to(page, "quality")
    page.keyboard.press("F2")
    page.keyboard.type("text quality")
    page.keyboard.press("Enter")
    page.get_by_test_id("dag-node-text quality").wait_for(timeout=120_000)
    page.get_by_test_id("dag-edge-state-score").focus()
    page.keyboard.press("Delete")
    page.get_by_test_id("dag-edge-state-score").wait_for(state="detached", timeout=120_000)
    to(page, "score")
    before = page.get_by_test_id("dag-node-score").get_attribute("transform")
    page.keyboard.press("Alt+ArrowDown")
    page.wait_for_function(
        "before => document.querySelector('[data-testid=dag-node-score]').getAttribute('transform') !== before",
        arg=before,
    )
    assert page.evaluate("() => document.activeElement.key") == "score"  # the focus stays through a redraw
    assert page.get_by_test_id("dag-error").inner_text() == ""
    same = "print(editor.graph == type(editor.graph).parse('state -> mixture -> score; \"text quality\"'))"
    assert jupyter.python(page, same) == "True"


def test_an_error_in_a_callback_is_seen_in_the_widget(page_of):
    page = start(page_of, "error.ipynb", ", on_change=lambda graph: 1 / 0")
    page.get_by_test_id("dag-name").fill("more")
    page.get_by_test_id("dag-add").click()
    page.wait_for_selector('[data-testid=dag-error]:has-text("ZeroDivisionError")', timeout=120_000)


CROSSED = """() => {
  const nodes = [...document.querySelectorAll("[data-testid=dag-svg] .node")].map((g) => [g.key, g.querySelector(".shape").getBoundingClientRect()]);
  const found = [];
  for (const edge of document.querySelectorAll("[data-testid=dag-svg] .edge")) {
    const line = edge.querySelector(".line"), ground = line.getScreenCTM();
    for (let part = 0.02; part < 1; part += 0.02) {
      const { x, y } = line.getPointAtLength(part * line.getTotalLength()).matrixTransform(ground);
      for (const [name, box] of nodes) if (x > box.left && x < box.right && y > box.top && y < box.bottom) found.push(`${edge.key} through ${name}`);
    }
  }
  return [nodes.length, [...new Set(found)]];
}"""


def test_no_arrow_runs_through_a_node_also_after_one_was_moved(page_of):
    page = start(page_of, "routes.ipynb")
    graph = "state -> mixture; state -> score; mixture -> mixed_loss -> score; mixture -> score; state -> mixed_loss; state <-> score"
    jupyter.python(page, f"editor.graph = {graph!r}")
    drawn(page, "edge", "mixture", "mixed_loss")
    assert page.evaluate(CROSSED) == [4, []]
    page.get_by_test_id("dag").screenshot(path=str(jupyter.SCREENS / "arrows.png"))
    (x0, y0), (x1, y1) = (centre(page, name) for name in ("mixture", "score"))
    page.mouse.move(*centre(page, "mixed_loss"))
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2, steps=4)  # onto the straight line from mixture to score
    page.mouse.up()
    page.wait_for_function(f"() => ({CROSSED})()[1].length === 0")
    x, y = centre(page, "mixed_loss")
    assert abs(x - (x0 + x1) / 2) < 5 and abs(y - (y0 + y1) / 2) < 5
