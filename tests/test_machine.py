"""What this process may use of its machine, also where a container or a hub gives it less."""

import os
import subprocess
import sys

import psutil
import pytest

from causalmix_nb import machine


def test_as_many_cores_as_the_process_is_bound_to():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processes are not bound to cores here")
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from causalmix_nb.machine import cores; print(cores())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "1"


def test_no_more_cores_than_a_container_is_allowed(monkeypatch):
    from joblib.externals.loky.backend import context

    monkeypatch.setattr(context.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(context, "_cpu_count_affinity", lambda n: 64)
    monkeypatch.setattr(context, "_cpu_count_cgroup", lambda n: 3)
    assert machine.cores() == 3


def test_the_memory_is_what_the_system_says_and_no_more_than_a_hub_allows(monkeypatch):
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    assert 0 < machine.free_memory() <= psutil.virtual_memory().total
    mine = psutil.Process().memory_info().rss
    monkeypatch.setenv("MEM_LIMIT", str(mine + machine.SERVER + 50e6))
    assert machine.free_memory() == pytest.approx(50e6, abs=20e6)
    monkeypatch.setenv("MEM_LIMIT", "much")
    assert machine.free_memory() > 100e6
