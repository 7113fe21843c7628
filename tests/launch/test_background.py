"""Claims about training in the background: the cell is free, a stop keeps what is done, one process at a time, a death is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from causalmix_nb.errors import StudyError, TrainingError
from causalmix_nb.launch import background
from causalmix_nb.launch.executor import EXECUTORS
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.study import Study
from tiny import TINY


class NoRoom:
    """An executor that cannot train."""

    name, here, remark = "no room", False, ""

    def workers(self, n_runs, asked, config):
        return 1

    def train(self, work):
        raise TrainingError(f"there is no room for {len(work.jobs)} runs; make some.")


def started(folder):
    """Another process that trains the study; its last line is printed when it has begun."""
    code = f"""
        import time
        from causalmix_nb.study.study import Study
        study = Study.open({str(folder)!r})
        job = study.start(200, 20_000, executor="local", workers=2)
        print("started", flush=True)
        job.wait()
        print(job.status, flush=True)
    """
    other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline().strip() == "started"
    return other


def children_of(pid):
    found = []
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = Path(f"/proc/{other}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == pid:
            found.append(int(other))
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.1)


def test_a_job_returns_at_once_and_its_runs_are_those_of_a_launch_that_blocks(study, tmp_path, pool):
    before = time.monotonic()
    job = study.start(6, 2_000, executor="inline")
    assert time.monotonic() - before < 2
    assert job.wait(120) and job.status == background.FINISHED
    assert job.report.done == 6
    other = Study.create(tmp_path / "other", pool, config=TINY)
    other.run(6, 2_000, executor="inline")
    columns = [name for name in other.runs.frame if name.startswith("outcome.")]
    a, b = (s.runs.frame.set_index("key")[columns].sort_index() for s in (study, other))
    assert a.equals(b)
    assert background.standing(study.folder).status == background.FINISHED


def test_a_stop_keeps_what_is_done_and_the_same_call_goes_on(study):
    job = study.start(40, 40_000, executor="inline")
    until(lambda: len(study.runs) > 0)
    job.stop()
    assert job.wait(60) and job.status == background.STOPPED
    done = len(study.runs)
    assert 0 < done < 40
    assert "the same call resumes" in str(job.standing())
    seen = study.run(40, 40_000, executor="inline")
    assert seen.reused == done and seen.done == 40 - done


def test_what_is_wrong_with_a_job_is_said_before_it_starts(study):
    with pytest.raises(TrainingError, match="ask for at least"):
        study.start(2)
    assert study.job is None


def test_a_job_that_fails_says_why(study):
    EXECUTORS.register(NoRoom())
    try:
        job = study.start(6, 2_000, executor="no room")
        assert job.wait(60) and job.status == background.FAILED
        assert "there is no room for 6 runs" in str(job.standing())
    finally:
        EXECUTORS.remove("no room")


def test_an_executor_that_there_is_not_is_named_before_a_job_starts(study):
    with pytest.raises(TrainingError, match="unknown executor 'nowhere'. Executors are inline, local, ray"):
        study.start(6, 2_000, executor="nowhere")
    assert study.job is None


def test_one_process_trains_a_study_and_another_watches_and_stops_it(study):
    other = started(study.folder)
    try:
        with pytest.raises(StudyError, match="being trained already; %causalmix attach"):
            study.start(6, 2_000)
        seen = background.standing(study.folder)
        assert seen.status == background.RUNNING and seen.pid == other.pid
        assert f"in process {other.pid}" in str(seen)
        background.ask_to_stop(study.folder)
        assert other.stdout.readline().strip() == background.STOPPED
    finally:
        other.kill()
        other.wait()


def test_a_killed_process_leaves_no_worker_and_attach_tells_the_truth(study):
    other = started(study.folder)
    until(lambda: len(children_of(other.pid)) == 2 and len(study.runs) > 0)
    workers = children_of(other.pid)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    until(lambda: not any(map(alive, workers)), 10)
    seen = background.standing(study.folder)
    assert seen.status == background.GONE and "what had finished is kept" in str(seen)
    kept = len(Runs.open(study.folder / "runs.sqlite"))
    assert kept >= 1
    job = study.start(8, 20_000, executor="inline")  # the lock died with its process
    assert job.wait(120) and job.status == background.FINISHED


def test_a_note_that_is_broken_is_no_note(study):
    (study.folder / background.NOTE).write_text('{"status": "running"')
    assert background.standing(study.folder) is None
    (study.folder / background.NOTE).write_text(json.dumps({"status": "running"}))
    assert background.standing(study.folder) is None
