"""The pool that comes with every installation."""

import pytest

from causalmix_nb.data.demo import DOMAINS, demo_pool
from causalmix_nb.errors import PoolError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pool(cache):
    return demo_pool(cache_dir=cache)


def test_it_holds_five_domains_of_real_text_and_five_million_characters(pool):
    assert pool.domains == DOMAINS
    real = [name for name in pool if pool[name].kind == "text"]
    assert len(real) >= 5
    assert sum(len(text) for name in real for text in pool[name].documents["text"]) >= 5_000_000


def test_every_answer_of_the_arithmetic_is_right(pool):
    documents = pool["arithmetic"].documents
    for prompt, answer in list(zip(documents["prompt"], documents["text"]))[:2000]:
        a, sign, b = prompt.rstrip("=").partition(next(c for c in prompt if c in "+*" or c == "-"))
        assert {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign] == int(answer)


def test_it_is_read_back_from_the_cache_unchanged(pool, cache):
    assert len(list(cache.glob("*.parquet"))) == 1
    assert demo_pool(cache_dir=cache).fingerprint == pool.fingerprint


def test_a_damaged_cache_is_named(pool, cache):
    next(cache.glob("*.parquet")).write_bytes(b"broken")
    with pytest.raises(PoolError, match="delete it"):
        demo_pool(cache_dir=cache)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert demo_pool(max_bytes=20_000, cache_dir=tmp_path / "file" / "cache").domains == DOMAINS
