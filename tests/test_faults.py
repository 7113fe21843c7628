"""What may go wrong while proxies train, and what must be left of the study: everything that was finished, and nothing that is wrong."""

import os
import shutil
import time
from pathlib import Path

import pytest
from conftest import TINY

from causalmix_nb.chunk import DATA
from causalmix_nb.errors import StudyError
from causalmix_nb.study import Study


def outcomes(study):
    """Key -> status and outcome as they are stored, to the last digit."""
    return {
        key: (status, outcome)
        for key, status, outcome in study.runs._db.execute("SELECT key, status, outcome FROM runs")
    }


# -- the pool's files ------------------------------------------------------------------------------------


def overwrite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-40:] = b"x" * 40
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes()[:-1] + b"x")
    os.replace(other, path)


@pytest.mark.parametrize("damage", [overwrite, truncate, replace, Path.unlink])
def test_a_file_of_the_pool_that_is_not_what_it_was_stops_the_launch(study, damage):
    study.run(8, 1_000, executor="inline")
    before = outcomes(study)
    damage(study.folder / DATA / "01.train.npy")
    with pytest.raises(
        StudyError, match=r"01\.train\.npy (has changed|cannot be read).*create the study again"
    ):
        study.run(16, 1_000, executor="inline")
    with pytest.raises(StudyError, match=r"01\.train\.npy"):
        Study.open(study.folder).run(16, 1_000, executor="inline")
    assert outcomes(study) == before


@pytest.mark.parametrize("damage", [overwrite, replace, Path.unlink])
@pytest.mark.parametrize("executor", ["inline", "local"])
def test_nothing_is_recorded_of_data_that_change_under_the_training(study, damage, executor):
    path = study.folder / DATA / "00.heldout.npy"
    kept = shutil.copy2(path, study.folder / "kept")
    study.run(8, 1_000, executor="inline")
    done = []

    def at_the_second_chunk(progress):
        if progress.stage == "proxy runs" and progress.done > 8 and not done:
            done.append(progress.done)
            damage(path)

    report = study.run(48, 1_000, executor=executor, workers=1, progress=at_the_second_chunk)
    assert report.done == done[0] and report.failed == 40 - done[0]
    assert "00.heldout.npy" in report.failures[0] and len(report.failures) == 1
    shutil.copy2(kept, path)
    again = Study.open(study.folder).run(48, 1_000, executor="inline")
    assert (again.done, again.failed) == (40 - done[0], 0)


def test_a_base_proxy_that_changes_under_the_training_is_not_trained_on(study):
    from causalmix_nb.checksums import checksums
    from causalmix_nb.chunk import BASE, attempt
    from causalmix_nb.design import design_runs

    study.run(8, 1_000, executor="inline")
    jobs = {str(i): spec for i, spec in enumerate(design_runs(study.domains, 8, 1_000))}
    setup = {
        "folder": str(study.folder),
        "config": TINY.to_dict(),
        "target": None,
        "seed": 0,
        "base": checksums([study.folder / BASE]),
    }
    good = attempt(setup, jobs, {}, lambda tokens: None)["results"]
    assert all(result["reason"] is None for result in good.values())
    overwrite(study.folder / BASE)
    bad = attempt(setup, jobs, {}, lambda tokens: None)["results"]
    assert {result["reason"] for result in bad.values()} == {
        f"{study.folder / BASE} has changed since it was written; start the launch again, with the base proxy as it is now."
    }


# -- the clock -------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_changes_nothing(study, monkeypatch):
    real, jump = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(jump) * 1e6)
    seen = []
    job = study.start(16, 2_000, executor="inline")
    while not job.wait(0.05):
        seen.append(job.progress)
    assert job.report.done == 16 and 0 < job.report.seconds < 600
    assert all(not p.eta_seconds < 0 for p in seen)
    assert "16 runs trained" in str(job.standing())
