"""The swarm monitor where people use it: the cell is free, what is interrupted is not the swarm, and a kernel's death is told."""

import browser.lab as jupyter

HOSTILE = "<img src=x onerror=window.hacked=1>"
CELLS = (
    f"""%load_ext causalmix_nb
import causalmix_nb as cm, time
mine = {{name: [f"The {{name[:6]}} number {{i}} is {{name[:5]}}ish." for i in range(80)] for name in ("apples", "bolts", {HOSTILE!r})}}
config = cm.ProxyConfig(d_model=32, n_layers=1, n_heads=2, context=32, batch=4, base_tokens=8_000)
made = cm.Study.create("causalmix_study", cm.Pool.from_dict(mine), config=config)
print("READY" + "-NOW")""",
    "%causalmix run --runs 48 --budget 200k",
    "print('ASLEEP' + '-NOW')\ntime.sleep(600)",
    "%load_ext causalmix_nb\n%causalmix attach",
    "%causalmix fit --method linear",
    "study = %causalmix study\nprint('ALL' + '-DONE', study.job.status, len(study.runs), len(set(study.runs.frame['key'])))",
)


def output(page, cell, text, timeout=200_000):
    page.locator(".jp-CodeCell").nth(cell).locator(
        f'.jp-OutputArea-output:has-text("{text}")'
    ).first.wait_for(timeout=timeout)


def some_runs(page):
    page.wait_for_function(
        "() => document.querySelectorAll('[data-testid=monitor-runs] > span:not(.todo)').length > 0",
        timeout=200_000,
    )


def test_stop_and_go_on_an_interrupt_elsewhere_and_a_kernel_that_dies_on_the_way(page_of):
    page = page_of("monitor.ipynb", *CELLS)
    jupyter.run_cell(page, 0)
    output(page, 0, "READY-NOW")
    jupyter.run_cell(page, 1)
    page.get_by_test_id("monitor").wait_for(timeout=200_000)
    jupyter.run_cell(page, 2)  # the cell is free while proxies train
    output(page, 2, "ASLEEP-NOW")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    output(page, 2, "KeyboardInterrupt")
    jupyter.python(page, "study = %causalmix study")
    assert jupyter.python(page, "print(study.job.status)") == "running"
    some_runs(page)

    page.get_by_test_id("monitor-stop").click()
    page.wait_for_selector('[data-testid=monitor-text]:has-text("interrupted")', timeout=200_000)
    page.get_by_test_id("monitor-runs").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert "%" in page.get_by_test_id("monitor-chosen").inner_text()
    page.get_by_test_id("monitor-resume").click()
    page.wait_for_selector('[data-testid=monitor-text]:has-text("training")', timeout=200_000)
    page.wait_for_selector('[data-testid=monitor-line]:has-text("proxy runs")', timeout=200_000)
    assert page.get_by_test_id("monitor-error").inner_text() == ""

    jupyter.save(page)
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page = page_of.open("monitor.ipynb")  # a reload, with the kernel that has forgotten everything
    jupyter.run_cell(page, 3)
    page.wait_for_selector('[data-testid=monitor-text]:has-text("is gone")', timeout=200_000)
    jupyter.python(page, "study = %causalmix study")
    kept = int(jupyter.python(page, "print(len(study.runs.keys('done')))"))
    assert 0 < kept < 48
    page.get_by_test_id("monitor-resume").click()
    page.wait_for_selector('[data-testid=monitor-text]:has-text("training")', timeout=200_000)
    jupyter.run_cell(page, 4)  # waits for the runs
    jupyter.run_cell(page, 5)
    output(page, 5, "ALL-DONE finished 48 48", 500_000)
    ended = f"{48 - kept} runs trained"
    book = jupyter.saved(page, page_of.path("monitor.ipynb"), lambda b: ended in jupyter.written(b.cells[3]))
    shown = jupyter.written(book.cells[3])
    assert "is gone" not in shown and ended in shown  # the final state, not the one that was shown first
