"""Claims about training on a Ray cluster: the same runs, no shared disk, nothing lost with a node, one sentence where something is missing."""

import doctest
import glob
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import causalmix_nb as cm
from causalmix_nb.errors import TrainingError
from causalmix_nb.launch.executor import as_executor
from causalmix_nb.launch.executors.ray_cluster import RayExecutor
from causalmix_nb.study.study import Study
from ray_nodes import ray_workers
from tiny import TINY


def left_behind():
    return glob.glob(f"{tempfile.gettempdir()}/causalmix-{os.getuid()}-*")


def parent_of(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None  # it has just ended
    return int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])


def test_runs_of_a_cluster_are_those_of_this_process(pool, study, tmp_path, two_nodes):
    before = left_behind()
    seen = []
    report = study.run(24, 2_000, executor=RayExecutor(two_nodes.address), progress=seen.append)
    assert (report.done, report.failed, report.retried) == (24, 0, 0)
    assert any("2 places of a Ray cluster" in p.message for p in seen)
    assert seen[-1].done == 24 and seen[-1].tokens_per_second > 0
    other = Study.create(tmp_path / "other", pool, config=TINY)
    other.run(24, 2_000, executor="inline")
    there, here = (s.runs.frame.set_index("key").sort_index() for s in (study, other))
    assert list(there.index) == list(here.index)
    same = ["seed", "label", *(c for c in here if c.startswith(("mixture.", "state.", "scale.")))]
    assert there[same].equals(here[same])
    outcomes = [c for c in here if c.startswith("outcome.bpb")]
    assert np.allclose(there[outcomes], here[outcomes], atol=2e-3)
    assert left_behind() == before  # the nodes are as they were
    import ray

    assert not ray.is_initialized()
    assert (
        study.run(24, 2_000, executor=RayExecutor("127.0.0.1:9")).reused == 24
    )  # nothing to do, nobody to call


def test_a_quarter_of_a_gpu_trains_four_chunks_on_each(study, two_nodes):
    seen = []
    wanted = RayExecutor(two_nodes.address, cpus_per_chunk=0, gpus_per_chunk=0.25)
    report = study.run(16, 1_000, executor=wanted, progress=seen.append)
    assert report.done == 16 and any("8 places of a Ray cluster" in p.message for p in seen)
    with pytest.raises(
        TrainingError, match="no node of the Ray cluster offers the 1 CPU and 2 GPU of a chunk"
    ):
        study.run(24, 1_000, executor=RayExecutor(two_nodes.address, gpus_per_chunk=2))


def test_a_node_that_is_lost_costs_only_its_runs_in_flight_and_they_are_tried_again(study, two_nodes):
    node = two_nodes.add_node(num_cpus=2, object_store_memory=80 * 2**20)
    lost = threading.Event()

    (raylet,) = (info.process.pid for info in node.all_processes["raylet"])

    def lose(progress):
        # a node whose processes are only starting loses nothing: Ray gives its tasks to another one
        busy = any(parent_of(pid) == raylet for pid in ray_workers())
        if progress.stage == "proxy runs" and progress.done >= 4 and busy and not lost.is_set():
            lost.set()
            two_nodes.remove_node(node, allow_graceful=False)

    report = study.run(48, 40_000, executor=RayExecutor(two_nodes.address), progress=lose)
    assert lost.is_set() and (report.done, report.failed) == (48, 0)
    assert 0 < report.retried <= 24
    assert len(study.runs) == 48 == len(study.runs.keys("done"))


def test_a_killed_process_of_ray_costs_nothing_but_time(study, two_nodes):
    killed = []

    def kill(progress):
        if progress.stage == "proxy runs" and progress.tokens_per_second > 0 and not killed:
            for pid in ray_workers():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    report = study.run(16, 40_000, executor=RayExecutor(two_nodes.address), progress=kill)
    assert killed and report.retried and (report.done, report.failed) == (16, 0)
    assert len(study.runs) == 16


def test_a_stop_cancels_the_tasks_and_the_same_call_goes_on(study, two_nodes):
    def stop(progress):
        if progress.stage == "proxy runs" and progress.done:
            raise KeyboardInterrupt

    before = left_behind()  # of processes that were killed
    report = study.run(48, 20_000, executor=RayExecutor(two_nodes.address), progress=stop)
    assert report.interrupted and 0 < report.done < 48
    deadline = time.monotonic() + 60  # clean-up is a task of the cluster too, and a busy one takes its time
    while (ray_workers() or set(left_behind()) - set(before)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not ray_workers() and set(left_behind()) <= set(before)
    assert study.run(48, 1_000, executor="inline").failed == 0


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:9", "no Ray cluster can be reached at 127.0.0.1:9 .*ray start --head"),
        ("ray://127.0.0.1:10001", "address of a Ray client"),
        ("http://head", "give host:port, or auto"),
    ],
)
def test_no_cluster_at_the_address_is_said_in_one_sentence(study, address, said):
    pytest.importorskip("ray", reason="needs the extra [ray]")
    with pytest.raises(TrainingError, match=said):
        study.run(8, 1_000, executor=RayExecutor(address))


def test_without_ray_the_extra_is_named(study):
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from causalmix_nb.study.study import Study\n"
        "try: Study.open(sys.argv[1]).run(8, 1_000, executor='ray')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(study.folder)], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == (
        "TrainingError training on a Ray cluster needs Ray; install it with: pip install 'causalmix_nb[ray]'"
    )


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"cpus_per_chunk": -1}, "at least 0"),
        ({"cpus_per_chunk": 0}, "neither a CPU nor a GPU"),
        ({"gpus_per_chunk": 1.5}, "whole GPUs above"),
        ({"retries": 0.5}, "whole number"),
    ],
)
def test_executors_that_cannot_work_are_refused(bad, said):
    with pytest.raises(TrainingError, match=said):
        cm.RayExecutor(**bad)


def test_the_magic_makes_the_executor():
    from causalmix_nb.magics.options import EXECUTOR
    from causalmix_nb.magics.parser import parse

    def chosen(line):
        return EXECUTOR.value(vars(parse(line)))

    assert chosen("run --executor ray --address auto --gpus 0.25") == RayExecutor("auto", gpus_per_chunk=0.25)
    assert as_executor(chosen("run --executor ray")) == RayExecutor() and chosen("run") == "local"
    with pytest.raises(TrainingError, match="add --executor ray"):
        chosen("run --gpus 0.25")


def test_the_costs_in_the_readme_are_computed():
    done = doctest.testfile("../../README.md")
    assert done.attempted >= 5 and done.failed == 0
