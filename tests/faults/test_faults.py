"""What may go wrong while proxies train, and what must be left of the study: everything that was finished, and nothing that is wrong."""

import contextlib
import dataclasses
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from causalmix_nb.errors import CausalMixError, RunsError, StudyError
from causalmix_nb.files import lock_study, unlock_study
from causalmix_nb.proxies.config import DATA
from causalmix_nb.runs.backup import FINE, backup_of, condition
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.folder import RUNS
from causalmix_nb.study.study import Study
from tiny import TINY


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
    from causalmix_nb.design.simplex import design_runs
    from causalmix_nb.files import checksums
    from causalmix_nb.launch.chunk import attempt
    from causalmix_nb.proxies.config import BASE

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


# -- the store -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path):
    """A disk of 1 MB with the folder's content; skipped where it cannot be mounted."""
    inside = shutil.copytree(folder, folder.with_name("copied"))
    disk = folder.with_name("disk")
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(
            f"no small disk can be mounted here ({mounted.stderr.strip()}); the limit on file sizes is tested instead"
        )
    try:
        yield Path(shutil.copytree(inside, disk / "study"))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@contextlib.contextmanager
def no_file_grows(size: int):
    """As on a full disk: no file of this process can grow beyond that size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_named_keeps_what_was_finished_and_goes_on_with_space(study):
    study.run(8, 1_000, executor="inline")
    with small_disk(study.folder) as folder:
        study = Study.open(folder)
        before = outcomes(study)
        filler = folder / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        with pytest.raises(CausalMixError, match="free disk space"):
            study.run(48, 1_000, executor="inline")
        assert before.items() <= outcomes(Study.open(folder)).items()
        filler.unlink()
        assert Study.open(folder).run(48, 1_000, executor="inline").failed == 0
        assert len(Study.open(folder).runs.keys("done")) == 48
        study.runs.close()


def test_a_store_that_cannot_grow_is_named_and_nothing_is_half_written(study):
    study.run(8, 1_000, executor="inline")
    before = outcomes(study)
    with (
        no_file_grows((study.folder / RUNS).stat().st_size),
        pytest.raises(RunsError, match="free disk space"),
    ):
        study.run(64, 1_000, executor="inline")
    after = outcomes(Study.open(study.folder))
    assert before.items() <= after.items() and condition(study.folder / RUNS) == FINE
    assert study.run(64, 1_000, executor="inline").reused == len(after)
    assert len(study.runs.keys("done")) == 64


def test_a_study_that_may_only_be_read_is_read(study):
    """As an ordinary user: the superuser may write anywhere, so root steps down for this test."""
    study.run(8, 1_000, executor="inline")
    place = Path(tempfile.mkdtemp())
    folder = Path(shutil.copytree(study.folder, place / "study"))
    for path in [place, *place.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    was = os.geteuid()
    try:
        if was == 0:
            os.seteuid(65534)
        read = Study.open(folder)
        assert outcomes(read) == outcomes(study) and len(read.runs.frame) == 8
        with pytest.raises(StudyError, match="make the folder writable"):
            read.run(16, 1_000, executor="inline")
        with pytest.raises(RunsError, match="make the folder writable"):
            read.runs.add([{"key": "x", "mixture": {"apples": 1.0}}])
        read.runs.close()
    finally:
        os.seteuid(was)
        for path in [place, *place.rglob("*")]:
            path.chmod(0o700)
        shutil.rmtree(place)


def test_a_store_that_another_program_holds_is_named(study):
    study.run(8, 1_000, executor="inline")
    runs = Runs.open(study.folder / RUNS, timeout=0.1)
    other = sqlite3.connect(study.folder / RUNS, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for step in (
        lambda: runs.add([{"key": "x", "mixture": {"apples": 1.0}}]),
        lambda: Runs.open(study.folder / RUNS, timeout=0.1),
    ):
        with pytest.raises(RunsError, match="locked by another program; close what works on it"):
            step()
    other.execute("ROLLBACK")
    runs.add([{"key": "x", "mixture": {"apples": 1.0}}])
    assert len(Runs.open(study.folder / RUNS)) == 9


def test_two_kernels_do_not_train_one_study_at_once(study):
    held = lock_study(study.folder)
    with pytest.raises(StudyError, match="being trained already; %causalmix attach watches it"):
        study.run(8, 1_000, executor="inline")
    unlock_study(held)
    assert study.run(8, 1_000, executor="inline").done == 8


def scribble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[:4096] = b"x" * 4096
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, scribble, Path.unlink, lambda path: os.truncate(path, 0)])
def test_a_store_that_is_damaged_or_gone_is_restored_from_its_backup(study, damage):
    study.run(16, 1_000, executor="inline")
    before = outcomes(study)
    study.runs.close()
    damage(study.folder / RUNS)
    with pytest.warns(UserWarning, match="its backup with 16 finished runs was put in its place"):
        again = Study.open(study.folder)
    assert outcomes(again) == before
    assert again.run(24, 1_000, executor="inline").reused == 16
    assert outcomes(Study.open(study.folder)).items() >= before.items()
    assert len(list(study.folder.glob("runs.damaged*"))) == (damage in (truncate, scribble))


def test_a_damaged_store_without_a_good_backup_is_refused_and_left_alone(study):
    study.run(8, 1_000, executor="inline")
    store = study.folder / RUNS
    study.runs.close()
    for path in (store, backup_of(store)):
        truncate(path)
    left = store.read_bytes()
    with pytest.raises(RunsError, match="damaged, and there is no good backup"):
        Study.open(study.folder)
    assert store.read_bytes() == left


def test_a_damaged_store_is_not_restored_under_a_training(study):
    study.run(8, 1_000, executor="inline")
    truncate(study.folder / RUNS)
    held = lock_study(study.folder)
    with pytest.raises(RunsError, match="damaged and cannot be restored now: this study is being trained"):
        Study.open(study.folder)
    unlock_study(held)


def test_runs_that_an_older_copy_of_the_store_lacks_are_put_back(study):
    study.run(8, 1_000, executor="inline")
    older = shutil.copy2(study.folder / RUNS, study.folder / "older")
    study.run(16, 1_000, executor="inline")
    before = outcomes(study)
    study.runs.close()
    shutil.copy2(older, study.folder / RUNS)
    with pytest.warns(UserWarning, match="8 finished runs that runs.sqlite lacked were put back"):
        again = Study.open(study.folder)
    assert outcomes(again) == before


def test_runs_that_diverge_are_recorded_as_failed_with_the_reason(pool, tmp_path):
    study = Study.create(tmp_path / "study", pool, config=dataclasses.replace(TINY, learning_rate=1e30))
    report = study.run(8, 1_000, executor="inline")
    assert (report.done, report.failed) == (0, 8) and "diverged" in report.failures[0]
    assert study.runs.frame["outcome.bpb"].isna().all()


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
