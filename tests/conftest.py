"""A pool of real text small enough to train on in seconds, and a study of it that several tests read."""

import os
import shutil

import pytest

from causalmix_nb.data.pool import Pool
from causalmix_nb.study.study import Study
from tiny import TINY, sentences

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def pool() -> Pool:
    sums = [{"prompt": f"{a}+{b}=", "response": str(a + b)} for a in range(12) for b in range(12)]
    return Pool.from_dict({"apples": sentences("apple"), "bolts": sentences("bolt"), "sums": sums})


@pytest.fixture
def study(pool, tmp_path) -> Study:
    return Study.create(tmp_path / "study", pool, config=TINY)


@pytest.fixture(scope="session")
def _finished(pool, tmp_path_factory) -> Study:
    study = Study.create(tmp_path_factory.mktemp("finished") / "study", pool, config=TINY)
    study.run(24, 2_000, executor="inline")
    return study


@pytest.fixture
def finished(_finished, tmp_path) -> Study:
    """A study with 24 finished runs, in a folder of the test's own."""
    return Study.open(shutil.copytree(_finished.folder, tmp_path / "finished"))


@pytest.fixture(scope="session")
def two_nodes():
    """A Ray cluster of two nodes with one core each, simulated on this machine; the head has none. Its address is ``two_nodes.address``."""
    pytest.importorskip("ray", reason="needs the extra [ray]")
    os.environ.update(
        RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_agent_register_timeout_ms="120000"
    )
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 80 * 2**20}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1, num_gpus=1, **memory)
    yield cluster
    cluster.shutdown()
