"""More than a hundred deaths by SIGKILL at seeded random moments: of drivers, of their workers, on a Ray cluster.

After each of them: what was announced is in the store, what was in the store is as it was, and the store opens. In the end the same call
finishes all runs, and they are those of a study that nobody disturbed. Drivers are forked from a process that has imported everything, so
that a life costs a tenth of a second and not five.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from causalmix_nb.launch.executors.ray_cluster import RayExecutor
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.folder import RUNS
from causalmix_nb.study.study import Study
from ray_nodes import ray_workers
from tiny import TINY

DRIVERS, WORKERS, RAY_WORKERS, RAY_DRIVERS = 90, 12, 3, 2
BUDGET = 1_000
killed: dict[str, int] = {}

ZYGOTE = """
import contextlib, importlib, json, os, sys
import torch
torch.set_num_threads(1)
from causalmix_nb.launch.executors.ray_cluster import RayExecutor
from causalmix_nb.study.study import Study

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def learn(folder):
    "Import what a first driver imported; nothing is computed here, so that forking stays safe."
    reads, writes = os.pipe()
    if os.fork() == 0:
        Study.open(folder).run(16, 1_000, executor="inline", states=False)
        with open(writes, "w") as file:
            file.write(json.dumps(sorted(sys.modules)))
        os._exit(0)
    os.close(writes)
    with open(reads) as file:
        for name in json.load(file):
            if name not in sys.modules:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
    os.wait()

learn(sys.argv[1])
for line in sys.stdin:
    folder, n, address = json.loads(line)
    child = os.fork()
    if child == 0:
        say("pid", os.getpid())
        def announce(p):
            if p.stage == "proxy runs":
                say("announced", n - p.total + p.done)
        executor = RayExecutor(address) if address else "inline"
        Study.open(folder).run(n, 1_000, executor=executor, states=False, progress=announce)
        say("finished")
        os._exit(0)
    os.waitpid(child, 0)
    say("ended")
"""


class Drivers:
    """Starts drivers of a study and kills them."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        self._zygote = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def run_and_kill(self, folder, n, seconds=None, announcements=None, address=None) -> tuple[int, bool]:
        """Kill a driver after so many seconds, or at its announcement of that number; runs it announced, whether it was killed."""
        self._zygote.stdin.write(json.dumps([str(folder), n, address]).encode() + b"\n")
        self._zygote.stdin.flush()
        announced, pid, heard = 0, 0, 0
        while True:
            word, _, value = self._zygote.stdout.readline().decode().strip().partition(" ")
            if word == "pid":
                pid = int(value)
                if seconds is not None:
                    killer = threading.Timer(seconds, self._kill, [pid])
                    killer.start()
            elif word == "announced":
                heard += int(value) > announced
                announced = max(announced, int(value))
                if heard == announcements:
                    self._kill(pid)
            elif word == "finished":
                pid = 0
            else:
                assert word == "ended", "the process that starts drivers died"
                break
        if seconds is not None:
            killer.cancel()
            killer.join()
        return announced, pid != 0

    @staticmethod
    def _kill(pid) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        self._zygote.stdin.close()
        self._zygote.wait()
        self._zygote.stdout.close()


@pytest.fixture(scope="module")
def drivers(pool, tmp_path_factory):
    made = Drivers(Study.create(tmp_path_factory.mktemp("first") / "study", pool, config=TINY).folder)
    yield made
    made.close()


def stored(folder) -> dict[str, tuple[str, str]]:
    """Key -> status and outcome as they are stored, to the last digit."""
    runs = Runs.open(folder / RUNS)
    rows = runs._db.execute("SELECT key, status, outcome FROM runs").fetchall()
    runs.close()
    assert len({key for key, _, _ in rows}) == len(rows)
    return {key: (status, outcome) for key, status, outcome in rows}


def finished(rows) -> dict:
    return {key: row for key, row in rows.items() if row[0] == "done"}


def assert_same_runs(folder, undisturbed) -> None:
    there, here = (Runs.open(f / RUNS).frame.set_index("key").sort_index() for f in (folder, undisturbed))
    assert list(there.index) == list(here.index) and (there["status"] == "done").all()
    columns = [c for c in here if c.startswith(("outcome.bpb", "mixture.", "state."))]
    assert np.allclose(there[columns], here[columns], atol=2e-3)


@pytest.fixture
def begun(study) -> Study:
    """A study with its base proxy and eight runs, and an untouched copy of it beside it."""
    study.run(8, BUDGET, executor="inline", states=False)
    shutil.copytree(study.folder, study.folder.with_name("undisturbed"))
    return study


def undisturbed(study, n) -> Path:
    other = Study.open(study.folder.with_name("undisturbed"))
    assert other.run(n, BUDGET, executor="inline", states=False).failed == 0
    return other.folder


def test_drivers_that_are_killed_lose_nothing_they_announced(begun, drivers):
    rng, folder = random.Random(0), begun.folder
    n, before, deaths, longest = 48, stored(folder), 0, 0.3
    while deaths < DRIVERS:
        moment = (
            {"announcements": rng.randint(1, 2)}
            if rng.random() < 0.3
            else {"seconds": rng.uniform(0, longest)}
        )
        announced, dead = drivers.run_and_kill(folder, n, **moment)
        now = stored(folder)
        assert len(finished(now)) >= announced
        assert finished(before).items() <= now.items()
        if (
            "seconds" in moment and dead
        ):  # about every second life should finish something, on a slow machine too
            longest *= 1.2 if len(now) == len(before) else 0.9
        deaths, before = deaths + dead, now
        n += 0 if len(finished(now)) < n else 16
    killed["drivers"] = deaths
    begun.runs.close()
    again = Study.open(folder)
    assert again.run(n, BUDGET, executor="inline", states=False).failed == 0
    assert finished(before).items() <= stored(folder).items()
    assert_same_runs(folder, undisturbed(begun, n))


def test_workers_that_are_killed_lose_nothing_that_was_finished(begun):
    rng, deaths, n, done = random.Random(1), [], 160, 0

    def kill(progress):
        nonlocal done
        if progress.stage != "proxy runs" or len(deaths) == WORKERS or progress.done == done:
            return  # each death follows some work: a launch rightly gives up if no worker ever begins
        workers = children()
        if workers and rng.random() < 0.5:
            done = progress.done
            deaths.append(rng.choice(workers) if len(deaths) % 2 else min(workers))
            os.kill(deaths[-1], signal.SIGKILL)

    before = stored(begun.folder)
    while len(deaths) < WORKERS:
        report = begun.run(n, BUDGET, workers=2, states=False, progress=kill)
        now = stored(begun.folder)
        assert finished(before).items() <= now.items() and not report.interrupted
        before, n = now, n + 48
    n -= 48
    killed["workers"] = len(deaths)
    assert begun.run(n, BUDGET, executor="inline", states=False).failed == 0
    assert finished(before).items() <= stored(begun.folder).items()
    assert_same_runs(begun.folder, undisturbed(begun, n))


def test_a_ray_cluster_whose_processes_and_drivers_are_killed_loses_nothing(begun, drivers, two_nodes):
    rng, deaths, folder, n = random.Random(2), [], begun.folder, 64
    before = stored(folder)
    for _ in range(RAY_DRIVERS):
        announced, dead = drivers.run_and_kill(
            folder, n, announcements=rng.randint(1, 2), address=two_nodes.address
        )
        now = stored(folder)
        assert dead and len(finished(now)) >= announced and finished(before).items() <= now.items()
        before = now

    def kill(progress):
        if progress.stage == "proxy runs" and len(deaths) < RAY_WORKERS:
            for pid in ray_workers()[:1]:
                os.kill(pid, signal.SIGKILL)
                deaths.append(pid)

    report = begun.run(n, BUDGET, RayExecutor(two_nodes.address), states=False, progress=kill)
    assert report.failed == 0 and finished(before).items() <= stored(folder).items()
    killed["Ray"] = RAY_DRIVERS + len(deaths)
    assert_same_runs(folder, undisturbed(begun, n))


def test_there_were_a_hundred_deaths(capsys):
    with capsys.disabled():
        print(f"\n{sum(killed.values())} kills: {', '.join(f'{n} of {who}' for who, n in killed.items())}")
    if len(killed) < 2:
        pytest.skip("the tests that kill were not all run")
    assert sum(killed.values()) >= 100


def children() -> list[int]:
    """Worker processes of this process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            mine = int(parent) == os.getpid() and state != "Z"
            if mine and b"causalmix_nb.launch.workers" in (path.parent / "cmdline").read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
