"""The graph editor where people use it: the same graph by mouse and by keyboard alone, a cycle refused, names shown as text."""

from pathlib import Path

import browser.lab as jupyter
import pytest

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(jupyter.CHROMIUM is None, reason="needs chromium (apt-get install chromium)")
SCREENS = Path(__file__).resolve().parents[2] / "build" / "screens"
HOSTILE = "<img src=x onerror=window.hacked=1>"
WANTED = "state -> mixture -> loss -> score; state -> score; mixture -> score; quality <-> score"


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    with jupyter.notebooks(tmp_path_factory.mktemp("lab")) as open_cells:
        yield open_cells


def is_wanted(page, cell):
    jupyter.run_cell(page, cell)
    output = page.locator(".jp-CodeCell").nth(cell).locator('.jp-OutputArea-output:has-text("GRAPH")')
    output.wait_for(timeout=15_000)
    said = output.inner_text()
    assert "GRAPH True" in said, said


def start(page_of, name):
    page = page_of(
        name,
        "%load_ext causalmix_nb\nfrom causalmix_nb import CausalGraph\nfrom causalmix_nb.dag_editor import DagEditor",
        "editor = DagEditor('state -> mixture')\neditor",
        f"print('GRAPH', editor.graph == CausalGraph.parse({WANTED!r}), editor.graph)",
    )
    jupyter.run_cell(page, 0)
    jupyter.run_cell(page, 1)
    page.get_by_test_id("dag").wait_for(timeout=30_000)
    page.get_by_test_id("dag").scroll_into_view_if_needed()
    return page


def drag(page, a, b):
    boxes = [page.get_by_test_id(f"dag-node-{name}").bounding_box() for name in (a, b)]
    (x0, y0), (x1, y1) = ((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes)
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2, steps=4)
    page.mouse.move(x1, y1, steps=4)
    return page.mouse


def test_a_graph_by_mouse_with_a_cycle_refused(page_of):
    page = start(page_of, "mouse.ipynb")
    for name in ("loss", "score", "quality"):
        page.get_by_test_id("dag-name").fill(name)
        page.get_by_test_id("dag-add").click()
        page.get_by_test_id(f"dag-node-{name}").wait_for(timeout=5000)
    page.get_by_test_id("dag-arrow").click()
    for a, b in [("mixture", "loss"), ("loss", "score"), ("state", "score"), ("mixture", "score")]:
        drag(page, a, b).up()
        page.get_by_test_id(f"dag-edge-{a}-{b}").wait_for(state="attached", timeout=5000)
    drag(page, "score", "state")  # while it is drawn, the reason is there
    assert "would make a cycle: state already causes score" in page.get_by_test_id("dag-status").inner_text()
    page.screenshot(path=str(SCREENS / "dag_cycle.png"))
    page.mouse.up()
    page.get_by_test_id("dag-hidden").click()
    drag(page, "quality", "score").up()
    page.get_by_test_id("dag-hidden-quality-score").wait_for(state="attached", timeout=5000)
    is_wanted(page, 2)
    assert "adjust for state" in page.get_by_test_id("dag-advice").inner_text()
    assert "Never condition on loss" in page.get_by_test_id("dag-advice").inner_text()
    jupyter.picture(page, SCREENS / "dag_mouse.png")
    page.get_by_test_id("dag-name").fill(HOSTILE)
    page.get_by_test_id("dag-add").click()
    page.wait_for_function("() => document.querySelectorAll('.cm-dag .node').length === 6")
    assert page.evaluate("() => window.hacked === undefined")
    jupyter.dark(page)
    page.set_viewport_size({"width": 800, "height": 1200})
    page.wait_for_timeout(700)
    page.screenshot(path=str(SCREENS / "dag_dark_800.png"))
    jupyter.dark(page, False)
    page.set_viewport_size({"width": 1280, "height": 1400})
    page.get_by_test_id("dag-undo").click()
    page.wait_for_function("() => document.querySelectorAll('.cm-dag .node').length === 5")


def test_the_same_graph_by_keyboard_alone(page_of):
    page = start(page_of, "keys.ipynb")
    page.get_by_test_id("dag-name").focus()
    for name in ("loss", "score", "quality"):
        page.get_by_test_id("dag-name").focus()
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.get_by_test_id(f"dag-node-{name}").wait_for(timeout=5000)

    def to(name):
        """Tab through the editor until a node has the focus."""
        for _ in range(40):
            if page.evaluate("() => document.activeElement?.key ?? null") == name:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab never reached {name}")

    for a, key, b in [("mixture", "e", "loss"), ("loss", "e", "score"), ("state", "e", "score"), ("mixture", "e", "score"), ("quality", "h", "score")]:  # fmt: skip
        page.get_by_test_id("dag-name").focus()
        to(a)
        page.keyboard.press(key)
        page.get_by_test_id("dag-name").focus()
        to(b)
        page.keyboard.press("Enter")
        page.get_by_test_id(f"dag-{'edge' if key == 'e' else 'hidden'}-{a}-{b}").wait_for(
            state="attached", timeout=5000
        )
    is_wanted(page, 2)
    page.get_by_test_id("dag-name").focus()
    to("quality")
    page.keyboard.press("Delete")
    page.get_by_test_id("dag-node-quality").wait_for(state="detached", timeout=5000)
    page.get_by_test_id("dag-undo").focus()
    page.keyboard.press("Control+z")
    page.get_by_test_id("dag-node-quality").wait_for(timeout=5000)
    page.get_by_test_id("dag-name").focus()
    to("loss")
    page.keyboard.press("F2")
    page.keyboard.type("mixed loss")
    page.keyboard.press("Enter")
    page.get_by_test_id("dag-node-mixed loss").wait_for(timeout=5000)
    jupyter.picture(page, SCREENS / "dag_keys.png")
    assert page.get_by_test_id("dag-error").inner_text() == ""
