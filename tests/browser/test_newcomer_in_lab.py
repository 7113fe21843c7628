"""The path of a newcomer in one notebook: a graph by mouse and by keyboard, proxies stopped and resumed, a fit, a slider, a file."""

import json

import browser.lab as jupyter
from browser.graphs import WANTED, by_keys, by_mouse

DEFAULT = "state -> mixture; state -> score; mixture -> score"
CELLS = (
    """%load_ext causalmix_nb
import causalmix_nb as cm
mine = {name: [f"The {name} number {i} is {name}ish." for i in range(80)] for name in ("apples", "bolts", "sums")}
config = cm.ProxyConfig(d_model=32, n_layers=1, n_heads=2, context=32, batch=4, base_tokens=8_000)
study = cm.Study.create("causalmix_study", cm.Pool.from_dict(mine), config=config)
%causalmix study open causalmix_study""",
    "%causalmix dag --edit",
    "%causalmix run --runs 16 --budget 60k",
    "%causalmix fit --method linear",
    "explorer = %causalmix explore\nexplorer",
)


def graph_is(page, text):
    jupyter.python(page, "study = %causalmix study")
    said = jupyter.python(page, f"print(study.graph == cm.CausalGraph.parse({text!r}), study.graph)")
    assert said.startswith("True"), said


def show(page, cell):
    """Bring a cell to the top of the page."""
    page.locator(".jp-Notebook .jp-CodeCell").nth(cell).evaluate("e => e.scrollIntoView({block: 'start'})")


def test_from_a_graph_to_a_file(page_of):
    page = page_of("newcomer.ipynb", *CELLS)
    jupyter.run_cell(page, 0)
    jupyter.ended(page, 0)

    jupyter.run_cell(page, 1)
    page.get_by_test_id("dag").wait_for(timeout=120_000)
    by_mouse(page)
    graph_is(page, WANTED)
    show(page, 1)
    jupyter.screens(page, "newcomer_graph")

    jupyter.python(page, f"study.set_graph({DEFAULT!r})")
    jupyter.run_cell(page, 1)
    page.wait_for_function("() => document.querySelectorAll('.cm-dag .node').length === 3", timeout=120_000)
    by_keys(page)
    graph_is(page, WANTED)

    jupyter.run_cell(page, 2)
    page.get_by_test_id("monitor").wait_for(timeout=120_000)
    page.wait_for_selector('[data-testid=monitor-line]:has-text("proxy runs")', timeout=120_000)
    page.get_by_test_id("monitor-stop").click()
    page.wait_for_selector('[data-testid=monitor-text]:has-text("interrupted")', timeout=120_000)
    done = int(jupyter.python(page, "print(len(study.runs.keys('done')))"))
    assert done < 16
    show(page, 2)
    jupyter.screens(page, "newcomer_stopped")
    page.get_by_test_id("monitor-resume").click()
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=monitor-text]').textContent.includes('interrupted')"
    )  # the button's message reaches the kernel beside the cells' (on a subshell), not before them
    jupyter.run_cell(page, 3)  # waits for the runs
    jupyter.ended(page, 3)
    told = jupyter.python(
        page, "print(study.job.status, len(study.runs.keys('done')), study.model.method)", 150_000
    )
    assert told == "finished 16 linear"
    page.wait_for_selector('[data-testid=monitor-bar][aria-valuenow="100"]', timeout=120_000)

    jupyter.run_cell(page, 4)
    explorer = page.get_by_test_id("explorer")
    explorer.wait_for(timeout=120_000)
    explorer.scroll_into_view_if_needed()
    slider = page.get_by_test_id("explorer-slider-1")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.33, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    for _ in range(100):
        share, total = json.loads(
            jupyter.python(page, "import json; print(json.dumps([explorer.shares[1], sum(explorer.shares)]))")
        )
        if abs(share - 0.6) < 0.03:
            break
        page.wait_for_timeout(300)
    assert abs(share - 0.6) < 0.03 and abs(total - 1) < 1e-9
    assert abs(float(page.get_by_test_id("explorer-field-1").input_value()) - 100 * share) < 0.06
    page.get_by_test_id("explorer-bars").click()
    page.get_by_test_id("explorer-triangle").click()
    page.wait_for_function(
        "() => document.querySelectorAll('[data-testid=explorer-bar]').length > 1", timeout=120_000
    )
    page.wait_for_selector("[data-testid=explorer-ternary] circle", state="attached", timeout=120_000)
    show(page, 4)
    jupyter.screens(page, "newcomer_explorer")
    page.set_viewport_size({"width": 800, "height": 1400})
    lock, frame = page.get_by_test_id("explorer-lock-0"), explorer.bounding_box()
    assert (
        lock.bounding_box()["x"] + lock.bounding_box()["width"] < frame["x"] + frame["width"]
    )  # nothing is cut off
    page.set_viewport_size({"width": 1280, "height": 1400})
    page.get_by_test_id("explorer-file").fill("mine.json")
    page.get_by_test_id("explorer-export").click()
    page.wait_for_selector('[data-testid=explorer-note]:has-text("mine.json")', timeout=120_000)
    written = json.loads((page_of.path("newcomer.ipynb").parent / "mine.json").read_text())["mixture"]
    assert abs(written["bolts"] - share) < 1e-5
    assert page.locator('.jp-OutputArea-output[data-mime-type*="error"]').count() == 0
