"""One JupyterLab and one Chromium for all browser tests; a page of its own for each, on which no script of a name may run."""

from __future__ import annotations

import os

import pytest

import browser.lab as jupyter


def pytest_terminal_summary(terminalreporter):
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if "tests/browser/" in report.nodeid
    ]
    if skipped and jupyter.missing():
        terminalreporter.write_line(f"{len(skipped)} browser tests were skipped: {jupyter.missing()}")


@pytest.fixture(scope="session")
def _notebooks(tmp_path_factory):
    lacking = jupyter.missing()
    if lacking:  # where a change is judged, tests that did not run are no tests
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacking)
    with jupyter.notebooks(tmp_path_factory.mktemp("lab")) as opened:
        yield opened


@pytest.fixture
def page_of(_notebooks):
    """Opens notebooks; afterwards nothing may have run that came from a name, and nothing may have left the machine."""
    yield _notebooks
    hacked = _notebooks.page is not None and _notebooks.page.evaluate("() => window.hacked !== undefined")
    strangers = _notebooks.strangers()
    _notebooks.close()
    _notebooks.page = None
    assert not hacked
    assert strangers == []
