"""A pool of real text small enough to train on in seconds, and a study of it that several tests read."""

import os
import shutil

import pytest

from causalmix_nb.pool import Pool
from causalmix_nb.proxy import ProxyConfig
from causalmix_nb.study import Study

os.environ.setdefault("HF_HUB_OFFLINE", "1")

TINY = ProxyConfig(d_model=16, n_layers=1, n_heads=2, context=32, batch=4, base_tokens=4_000)


def sentences(word: str, n: int = 60) -> list[str]:
    return [f"The {word} number {i} is {word}ish, and so is {word} {i * 7 % 13}." for i in range(n)]


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
