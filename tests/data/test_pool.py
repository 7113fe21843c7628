"""Pools: where data come from, how they are split and perturbed, and what bad input gets."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from causalmix_nb.data.pool import (
    Perturbation,
    Pool,
    content_hash,
    corrupt_text,
    plan_perturbation,
    split_by_hash,
)
from causalmix_nb.errors import MixtureError, PoolError

A, B = ["one text", "another"], ["a third", "a fourth"]


def test_a_dict_of_texts_rows_frames_and_datasets_is_a_pool():
    pool = Pool.from_dict(
        {
            "a": A,
            "b": [{"prompt": "2+2=", "response": "4"}],
            "c": pd.DataFrame({"content": B}),
            "d": Dataset.from_dict({"text": B}),
        }
    )
    assert pool.domains == ("a", "b", "c", "d")
    assert [pool[name].kind for name in pool] == ["text", "instruction", "text", "text"]
    assert list(pool.describe()["documents"]) == [2, 1, 2, 2]


def test_chat_messages_become_prompt_and_last_answer():
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "4"},
    ]
    row = Pool.from_dict({"a": [{"messages": messages}], "b": B})["a"].documents[0]
    assert row == {"prompt": "Hi\nHello\n2+2?\n", "text": "4"}


def test_files_of_every_kind_are_domains_named_by_their_stem(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in A))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write("\n".join(json.dumps({"prompt": "p", "response": t}) for t in B))
    pd.DataFrame({"text": A}).to_parquet(tmp_path / "c.parquet")
    (tmp_path / "d.txt").write_text("First paragraph.\n\nSecond paragraph.")
    pd.DataFrame({"text": A}).to_csv(tmp_path / "e.csv", index=False)
    pool = Pool.parse(f"files:{tmp_path}/*")
    assert pool.domains == ("a", "b", "c", "d", "e")
    assert pool["b"].kind == "instruction"


def test_one_file_is_split_by_a_column(tmp_path):
    rows = [{"source": "x", "text": "1"}, {"source": "y", "text": "2"}, {"source": "x", "text": "3"}]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pool = Pool.from_files(tmp_path / "all.jsonl", domain_column="source")
    assert {name: pool[name].n_documents for name in pool} == {"x": 2, "y": 1}
    with pytest.raises(PoolError, match="no domain column 'sourc'. Did you mean 'source'"):
        Pool.from_files(tmp_path / "all.jsonl", domain_column="sourc")


def test_a_variable_of_the_notebook_is_a_pool():
    assert Pool.parse("mine", {"mine": {"a": A, "b": B}}).domains == ("a", "b")
    table = pd.DataFrame({"kind": ["a", "b"], "text": ["1", "2"]})
    assert Pool.parse("table", {"table": table}, domain_column="kind").domains == ("a", "b")
    with pytest.raises(PoolError, match="--domain"):
        Pool.parse("table", {"table": table})
    with pytest.raises(PoolError, match="no variable 'mien' in the notebook. Did you mean 'mine'"):
        Pool.parse("mien", {"mine": {}})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"a": A}, "a mixture needs at least 2"),
        ({}, "a mixture needs at least 2"),
        ({"a": A, "b": []}, "domain 'b' is empty"),
        ({"a": A, "b": ["", None]}, "no text in any"),
        ({"a": A, "b": [{"x": "1"}]}, "none of which is known to hold text"),
        ({"a": A, "b": 3}, "is a int; give a list of texts"),
    ],
)
def test_unusable_data_are_refused_with_a_sentence(data, said):
    with pytest.raises(PoolError, match=said):
        Pool.from_dict(data)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("b.jsonl", b"this is no json", "not what its suffix says"),
        ("b.parquet", b"nor is this parquet", "not what its suffix says"),
        ("b.txt", b"\xff\xfe\x00", "not what its suffix says"),
        ("b.jsonl.gz", b"not gzip", "not what its suffix says"),
        ("b.jsonl", b"", "is empty"),
        ("b.docx", b"x", "unknown suffix"),
    ],
)
def test_files_that_are_not_what_they_seem_are_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PoolError, match=said):
        Pool.from_files(tmp_path / name)


def test_a_missing_file_is_named():
    with pytest.raises(PoolError, match="no file matches 'nowhere/"):
        Pool.parse("files:nowhere/*.jsonl")


def test_an_unreachable_hub_is_said_in_one_sentence():
    with pytest.raises(PoolError, match=r"hub (cannot be reached|has no dataset)"):
        Pool.parse("hf:nobody/has-this-dataset", domain_column="source")


def test_an_unknown_domain_is_named():
    with pytest.raises(MixtureError, match="Did you mean 'bolts'"):
        Pool.from_dict({"apples": A, "bolts": B})["bolt"]


def test_train_and_heldout_documents_never_overlap():
    texts = [f"text {i % 40}" for i in range(200)] + ["text  7\n"]
    held = split_by_hash(np.array([content_hash(text) for text in texts]), 0.2)
    sides = [{" ".join(t.split()) for t, h in zip(texts, held) if h == side} for side in (False, True)]
    assert held.shape == (201,) and all(sides) and not sides[0] & sides[1]


@pytest.mark.parametrize("seed", range(10))
def test_two_distinct_documents_are_enough_for_both_sides(seed):
    held = split_by_hash(np.array([content_hash(text, seed) for text in ("a", "b", "b")]), 0.1)
    assert held.any() and not held.all()


def test_noise_nests_and_meets_its_share():
    little, much = (plan_perturbation(1000, Perturbation(noise=share), 0).noisy for share in (0.3, 0.6))
    assert not (little & ~much).any()
    assert abs(little.mean() - 0.3) < 0.05 and abs(much.mean() - 0.6) < 0.05


def test_perturbations_do_what_they_say():
    hardness = np.arange(1000.0)
    assert len(plan_perturbation(1000, Perturbation(keep=0.1), 0).index) < 150
    assert len(np.unique(plan_perturbation(1000, Perturbation(duplicates=1.0), 0).index)) <= 10
    assert plan_perturbation(1000, Perturbation(boilerplate=1.0), 0).boilerplate.all()
    assert plan_perturbation(1000, Perturbation(difficulty=1.0), 0, hardness).index.min() >= 499
    assert plan_perturbation(1000, Perturbation(difficulty=-1.0), 0, hardness).index.max() <= 500
    assert len(plan_perturbation(3, Perturbation(keep=1e-9), 0).index) == 1


def test_corrupted_text_has_the_same_characters():
    assert sorted(corrupt_text("hello wörld", 0)) == sorted("hello wörld")
    assert corrupt_text("hello world", 0) == corrupt_text("hello world", 0)


def test_a_perturbed_pool_differs_only_where_it_was_perturbed():
    texts = [f"document number {i} of many" for i in range(50)]
    pool = Pool.from_dict({"a": texts, "b": texts})
    perturbed = pool.perturbation({"a": Perturbation(noise=1.0)})
    assert not set(perturbed["a"].documents["text"]) & set(texts)
    assert list(perturbed["b"].documents["text"]) == texts


@pytest.mark.parametrize(
    "bad", [{"noise": 2}, {"noise": -1}, {"keep": 0}, {"difficulty": -3}, {"noise": float("nan")}]
)
def test_perturbations_outside_their_range_are_refused(bad):
    with pytest.raises(PoolError):
        Perturbation(**bad)


def test_equal_pools_have_equal_fingerprints():
    assert Pool.from_dict({"a": A, "b": B}).fingerprint == Pool.from_dict({"a": A, "b": B}).fingerprint
    assert Pool.from_dict({"a": A, "b": B}).fingerprint != Pool.from_dict({"a": A, "c": B}).fingerprint
