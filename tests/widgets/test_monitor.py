"""Claims about the monitor: it shows what is on disk, its buttons do what they say, a notebook that runs by itself keeps the end."""

from __future__ import annotations

import json
import time

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from causalmix_nb.errors import StudyError
from causalmix_nb.launch import background
from causalmix_nb.widgets.base import STATIC, answers
from causalmix_nb.widgets.monitor import SwarmMonitor


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def test_the_page_is_told_of_every_run_and_of_the_end(study):
    study.start(8, 2_000, executor="inline")
    monitor = SwarmMonitor(study)
    assert monitor.wait(120)
    until(lambda: monitor.view["status"] == background.FINISHED)
    assert monitor.view["recorded"] == len(monitor.runs) == 8
    ranks = [run["rank"] for run in monitor.runs]
    assert max(ranks) == 0.88 and min(ranks) == 0  # the best run beats seven of eight
    assert "8 of 8 runs recorded" in monitor.snapshot().html
    assert monitor.report.done == 8


def test_stop_and_go_on_by_message_as_the_buttons_send_them(study):
    study.start(40, 40_000, executor="inline")
    monitor = SwarmMonitor(study)
    until(lambda: len(study.runs) > 0)
    monitor._asked(monitor, {"do": "stop"}, [])
    assert monitor.wait(60) and monitor.view["status"] == background.STOPPED
    assert monitor.error == ""
    done = len(study.runs)
    monitor._asked(monitor, {"do": "resume"}, [])
    assert study.job.status == background.RUNNING
    study.job.stop()
    assert study.job.wait(60) and len(study.runs) >= done
    assert study.job.asked == 40


def test_a_job_of_a_process_that_died_is_told_as_such(study):
    job = study.start(6, 2_000, executor="inline")
    job.wait(60)
    note = study.folder / background.NOTE
    note.write_text(note.read_text().replace('"finished"', '"running"'))
    study.job = None
    monitor = SwarmMonitor(study)
    assert monitor.view["status"] == background.GONE
    assert "is gone" in monitor.snapshot().text


def test_what_goes_wrong_in_a_callback_is_seen():
    class Page:
        error = "old"

        @answers
        def good(self):
            return 1

        @answers
        def bad(self):
            raise StudyError("write a share.")

        @answers
        def worse(self):
            return 1 / 0

    page = Page()
    assert page.good() == 1 and page.error == ""
    assert page.bad() is None and page.error == "write a share."
    page.worse()
    assert page.error == "ZeroDivisionError: division by zero"


def test_what_is_synced_of_512_runs_is_small_and_the_rows_are_sent_only_when_one_was_added(
    study, monkeypatch
):
    shares = dict.fromkeys(study.domains, 1 / 3)
    rows = [
        {"key": f"k{i}", "status": "done" if i % 9 else "failed", "reason": None if i % 9 else "x" * 200, "seed": i, "label": "",
         "mixture": shares, "state": {}, "scale": {}, "outcome": {"bpb": 2.0 + i / 512} if i % 9 else {}}
        for i in range(512)
    ]  # fmt: skip
    study.runs.add(rows)
    read = []
    frame = type(study.runs).frame
    monkeypatch.setattr(type(study.runs), "frame", property(lambda runs: read.append(1) or frame.fget(runs)))
    monitor = SwarmMonitor(study)
    for _ in range(20):
        monitor.look()
    assert len(monitor.runs) == 512
    assert len(read) <= 3  # a look at a store in which nothing is new does not read it
    state = {k: v for k, v in monitor.get_state().items() if k not in ("_esm", "_css")}
    assert len(json.dumps(state, default=str)) < 200_000
    sent = []
    monitor.observe(lambda change: sent.append(change.name), ["runs"])
    monitor.look()
    assert sent == []
    study.runs.add([{**rows[1], "key": "one more"}])
    monitor.look()
    assert sent == ["runs"]


def test_a_notebook_that_runs_by_itself_keeps_the_end_of_the_run(tmp_path):
    cells = [
        "%load_ext causalmix_nb",
        """import causalmix_nb as cm
mine = {name: [f"The {name} number {i} is {name}ish." for i in range(80)] for name in ("apples", "bolts")}
config = cm.ProxyConfig(d_model=16, n_layers=1, n_heads=2, context=32, batch=4, base_tokens=4_000)
study = cm.Study.create("causalmix_study", cm.Pool.from_dict(mine), config=config)""",
        "%causalmix run --runs 12 --budget 2k",
        "%causalmix fit --method linear",
        "%causalmix stop",
        "%causalmix explore",
        "%causalmix dag --edit",
        "%causalmix attach",
    ]
    book = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        book,
        timeout=120,
        resources={"metadata": {"path": str(tmp_path)}},
        allow_errors=True,
        kernel_name="python3",
    )
    client.execute()
    shown = "".join(str(output.get("data", {}).get("text/html", "")) for output in book.cells[2].outputs)
    assert "12 of 12 runs recorded" in shown
    assert any(output.output_type == "execute_result" for output in book.cells[3].outputs)
    assert "there is nothing to stop" in str(book.cells[4].outputs)
    for cell, words in ((5, "A mixture by hand"), (6, "Causal graph"), (7, "12 of 12 runs recorded")):
        mimes = [set(output.data) for output in book.cells[cell].outputs]
        assert any("application/vnd.jupyter.widget-view+json" in mime for mime in mimes)
        assert words in str(book.cells[cell].outputs)
    nbformat.validate(book)


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_the_page_is_small_and_builds_nothing_from_text(path):
    text = path.read_text()
    assert len(text) <= 60_000
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "Function(",
        "document.write",
        "import(",
    ):
        assert word not in text
    assert "https://" not in text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")
