"""One document of ten megabytes among two hundred: none is dropped unsaid, its pieces stay together, and the rest is heard."""

import numpy as np
import pytest

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.data.corpus_build import PIECE, cut_text, hold_out
from causalmix_nb.data.pool import Pool, content_hash
from causalmix_nb.errors import PoolError

SHORT = [f"document {i} of many, about {i * i} things. " * 20 for i in range(200)]
OTHER = [f"another {i}" for i in range(40)]


def long_text(seed, n_bytes=10_000_000):
    rng = np.random.default_rng(seed)
    words = np.array(["causal", "mixture", "domain", "share", "model", "gain", "effect", "naïve"])
    return " ".join(words[rng.integers(len(words), size=n_bytes // 6)])[: n_bytes - n_bytes // 40]


def documents(corpus, domain, part):
    held = corpus.texts(domain, part)
    return [held.text(i) for i in range(len(held))]


@pytest.mark.parametrize(
    ("seed", "n_bytes"), [(0, 10_000_000), (1, 1_000_000), (2, 1_000_000), (3, 1_000_000)]
)
def test_a_document_of_ten_megabytes_pushes_no_other_out(tmp_path, seed, n_bytes):
    pool = Pool.from_dict({"a": [*SHORT, long_text(seed, n_bytes)], "b": OTHER})
    corpus = Corpus.build(pool, tmp_path, seed=seed, max_bytes=n_bytes * 8 // 10)
    train, heldout = documents(corpus, "a", "train"), documents(corpus, "a", "heldout")
    assert set(SHORT) <= set(train) | set(heldout)
    assert 5 <= len(heldout) <= 50 and set(heldout) <= set(SHORT)
    kept = corpus.kept["a"]
    assert kept.documents == kept.kept == 201 and kept.cut == 1 and kept.bytes_kept <= n_bytes * 8 // 10
    assert "1 of 201 documents is cut into" in " ".join(corpus.notes)
    assert "% of the bytes are left out" in " ".join(corpus.notes)


def test_pieces_of_one_document_lie_on_one_side_and_make_it_up_again(tmp_path):
    long = [long_text(seed, 300_000) for seed in range(12)]
    corpus = Corpus.build(Pool.from_dict({"a": long, "b": OTHER}), tmp_path)
    train, heldout = documents(corpus, "a", "train"), documents(corpus, "a", "heldout")
    for text in long:
        sides = [sum(piece in text for piece in side) for side in (train, heldout)]
        assert min(sides) == 0
    assert sum(len(p.encode()) for p in train + heldout) == sum(len(t.encode()) for t in long)
    assert all(len(piece.encode()) <= PIECE for piece in train + heldout)
    assert corpus.kept["a"].heldout >= 1 and corpus.kept["a"].cut == 12


def test_books_that_are_too_many_each_give_way(tmp_path):
    books = [long_text(seed, 200_000) for seed in range(30)]
    corpus = Corpus.build(Pool.from_dict({"a": books, "b": OTHER}), tmp_path, max_bytes=3_000_000)
    kept = corpus.kept["a"]
    assert kept.kept == 30 and 2_000_000 < kept.bytes_kept <= 3_000_000
    pieces = documents(corpus, "a", "train") + documents(corpus, "a", "heldout")
    assert all(any(piece in book for piece in pieces) for book in books)


def test_what_max_bytes_leaves_out_is_said(tmp_path):
    corpus = Corpus.build(Pool.from_dict({"a": SHORT, "b": OTHER}), tmp_path, max_bytes=50_000)
    kept = corpus.kept["a"]
    assert kept.kept < 200 and kept.bytes_kept <= 52_000
    assert f"a: {200 - kept.kept} of 200 documents" in " ".join(corpus.notes)


def test_what_was_said_is_kept_with_the_study(tmp_path):
    pool = Pool.from_dict({"a": [*SHORT, None], "b": OTHER})
    Corpus.build(pool, tmp_path)
    assert Corpus.open(tmp_path).notes == ("a: 1 of 201 rows left out: 1 no text (row 201)",)


def test_a_plain_pool_has_nothing_to_say(tmp_path):
    assert Corpus.build(Pool.from_dict({"a": SHORT, "b": OTHER}), tmp_path).notes == ()


def test_a_domain_of_one_long_document_is_refused(tmp_path):
    with pytest.raises(PoolError, match="one document, which cannot be on both sides.*divide"):
        Corpus.build(Pool.from_dict({"a": [long_text(0, 500_000)], "b": OTHER}), tmp_path)


def test_of_two_long_documents_the_shorter_is_held_out(tmp_path):
    pair = [long_text(0, 400_000), long_text(1, 200_000)]
    corpus = Corpus.build(Pool.from_dict({"a": pair, "b": OTHER}), tmp_path)
    assert "".join(documents(corpus, "a", "heldout")) == pair[1]


def test_the_end_of_a_long_prompt_stands_next_to_its_answer(tmp_path):
    rows = [
        {"prompt": f"{i} " + "context " * 20_000 + f"question {i}", "response": f"answer {i}"}
        for i in range(10)
    ]
    corpus = Corpus.build(Pool.from_dict({"a": rows, "b": OTHER}), tmp_path)
    assert all(f"question {text[-1]}answer {text[-1]}" in text for text in documents(corpus, "a", "train"))
    assert "10 prompts are cut to their last 65,536 bytes" in " ".join(corpus.notes)


def test_a_long_answer_keeps_its_prompt_at_its_beginning(tmp_path):
    rows = [{"prompt": f"prompt {i}: ", "response": long_text(i, 150_000)} for i in range(5)]
    corpus = Corpus.build(Pool.from_dict({"a": rows, "b": OTHER}), tmp_path)
    pieces = documents(corpus, "a", "train") + documents(corpus, "a", "heldout")
    assert sorted(piece[:8] for piece in pieces if piece.startswith("prompt")) == [
        f"prompt {i}" for i in range(5)
    ]
    train = corpus.texts("a")
    assert not train.mask[0] and train.mask[len("prompt 0: ") : train.offsets[1]].all()


@pytest.mark.parametrize(
    "text", ["", "x", "é" * 100, "a b\nc\n\nd" * 9, "😀" * 33 + " " + "x" * 50, "\n" * 70]
)
@pytest.mark.parametrize("size", [4, 7, 64])
def test_a_text_is_cut_without_a_loss(text, size):
    pieces = cut_text(text, size)
    assert "".join(pieces) == text and all(0 < len(piece.encode()) <= size for piece in pieces)


def test_equal_long_documents_lie_on_one_side():
    hashes = np.array([content_hash(t) for t in ("a", "a", "b", "c", "d") for _ in range(3)])
    held = hold_out(hashes, np.full(15, 70_000), np.ones(15, bool))
    assert held.any() and not held.all()
    assert all(len(set(held[hashes == h])) == 1 for h in set(hashes))
