"""The product where people use it: JupyterLab in a real Chromium."""

from pathlib import Path

import nbformat

import browser.lab as jupyter

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<img src=x onerror=window.hacked=1>"


def test_the_path_from_pool_to_recommendation_runs_and_shows_pictures(page_of):
    page = page_of(
        "path.ipynb",
        "%load_ext causalmix_nb",
        f"""names = ["apples", "bolts", {HOSTILE!r}]
mine = {{name: [f"The {{name[:6]}} number {{i}} is {{name[:5]}}ish." for i in range(80)] for name in names}}""",
        """import causalmix_nb as cm
cm.Study.create("causalmix_study", cm.Pool.from_dict(mine), config=cm.ProxyConfig(base_tokens=20_000))""",
        "%causalmix dag",
        "%causalmix run --runs 12 --budget 2k --executor inline",
        "%causalmix fit --method gp",
        "%causalmix optimize",
        "print('ALL' + '-DONE')",
    )
    jupyter.run_all(page, "ALL-DONE", 120_000)
    page.wait_for_timeout(500)
    jupyter.picture(page, jupyter.SCREENS / "path.png")
    assert page.locator('.jp-OutputArea-output[data-mime-type*="error"]').count() == 0
    pictures = page.locator(".jp-OutputArea-output img")
    assert pictures.count() >= 3  # graph, returns, mixture
    assert all(pictures.nth(i).evaluate("e => e.naturalWidth > 0") for i in range(pictures.count()))
    assert page.evaluate("() => window.hacked === undefined")


def test_bad_input_is_one_sentence_and_the_kernel_lives(page_of):
    page = page_of("bad.ipynb", "%load_ext causalmix_nb", "%causalmix optimise", "")
    page.click('.lm-MenuBar-item:has-text("Run")')
    page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
    error = page.locator(".jp-OutputArea-output", has_text="Did you mean")
    error.first.wait_for(timeout=120_000)
    assert "Traceback" not in error.first.inner_text()
    assert len(error.first.inner_text().strip().splitlines()) <= 4


def test_the_saved_quickstart_keeps_its_pictures_without_a_kernel_run(page_of):
    saved = nbformat.read(ROOT / "notebooks" / "01_quickstart.ipynb", 4)
    page_of.path("saved.ipynb").parent.mkdir()
    nbformat.write(saved, page_of.path("saved.ipynb"))
    page = page_of.open("saved.ipynb")
    page.wait_for_selector(".jp-OutputArea-output img", timeout=120_000)
    jupyter.picture(page, jupyter.SCREENS / "quickstart.png")
    pictures = page.locator(".jp-OutputArea-output img")
    assert pictures.count() >= 5
    assert all(pictures.nth(i).evaluate("e => e.naturalWidth > 0") for i in range(pictures.count()))
