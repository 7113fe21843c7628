"""The swarm monitor where people use it: the cell is free at once, stop and go on by button, a reopened notebook keeps its picture."""

from pathlib import Path

import browser.lab as jupyter
import nbformat
import pytest

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(jupyter.CHROMIUM is None, reason="needs chromium (apt-get install chromium)")
SCREENS = Path(__file__).resolve().parents[2] / "build" / "screens"
HOSTILE = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    with jupyter.notebooks(tmp_path_factory.mktemp("lab")) as open_cells:
        yield open_cells


def test_proxies_train_in_the_background_stop_and_go_on_by_button(page_of):
    page = page_of(
        "monitor.ipynb",
        f"""%load_ext causalmix_nb
import causalmix_nb as cm, time
mine = {{name: [f"The {{name[:6]}} number {{i}} is {{name[:5]}}ish." for i in range(80)] for name in ("apples", "bolts", {HOSTILE!r})}}
made = cm.Study.create("causalmix_study", cm.Pool.from_dict(mine), config=cm.ProxyConfig(base_tokens=20_000))
print("READY" + "-NOW")""",
        "%causalmix run --runs 96 --budget 60k",
        "study = %causalmix study\nprint('STANDS', study.job.status, len(study.runs))",
        "%causalmix fit --method linear",
        "print('ALL' + '-DONE', study.job.status, len(study.runs), len(set(study.runs.frame['key'])))",
    )
    jupyter.run_cell(page, 0)
    page.wait_for_selector('.jp-OutputArea-output:has-text("READY-NOW")', timeout=60_000)
    jupyter.run_cell(page, 1)
    monitor = page.get_by_test_id("monitor")
    monitor.wait_for(timeout=30_000)
    jupyter.run_cell(page, 2)  # the cell is free while proxies train
    page.wait_for_selector('.jp-OutputArea-output:has-text("STANDS running")', timeout=30_000)
    page.wait_for_function(
        "() => document.querySelectorAll('[data-testid=monitor-runs] > span:not(.todo)').length > 0",
        timeout=90_000,
    )
    jupyter.picture(page, SCREENS / "monitor_running.png")
    page.get_by_test_id("monitor-stop").click()
    page.wait_for_selector('[data-testid=monitor-said]:has-text("interrupted")', timeout=30_000)
    assert page.locator(".causalmix-snapshot-").count() == 0
    jupyter.dark(page)
    jupyter.picture(page, SCREENS / "monitor_stopped_dark.png")
    jupyter.dark(page, False)
    page.get_by_test_id("monitor-resume").click()
    page.wait_for_selector('[data-testid=monitor-said]:has-text("training")', timeout=30_000)
    jupyter.run_cell(page, 3)  # waits for the runs
    jupyter.run_cell(page, 4)
    page.wait_for_selector('.jp-OutputArea-output:has-text("ALL-DONE finished 96 96")', timeout=120_000)
    assert page.get_by_test_id("monitor-error").inner_text() == ""
    page.wait_for_timeout(1500)
    jupyter.picture(page, SCREENS / "monitor_finished.png")
    assert page.evaluate("() => window.hacked === undefined")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1500)
    saved = nbformat.read(page_of.root / "monitor.ipynb", 4)
    kept = "".join(
        output.get("data", {}).get("text/html", "") for output in saved.cells[1].outputs if "data" in output
    )
    assert "96 of 96 runs are there" in kept  # the final state, not the one that was shown first
