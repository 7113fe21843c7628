"""How long the examples of a pool's domains are, in bytes or in the tokens of the model that is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.data.documents.sources import Source
from causalmix_nb.decide.export.plan import BYTES, DomainSize, PoolSizes, positive
from causalmix_nb.errors import ExportError

if TYPE_CHECKING:
    from causalmix_nb.data.pool import Pool

# documents, and characters of them, that a tokenizer reads to know how long the tokens of a domain are
SAMPLED, SAMPLED_BYTES = 1000, 20_000_000


def describe_pool(pool: Pool) -> dict[str, dict[str, Any]]:
    """Domain -> rows that a trainer finds, bytes in them, and their source, as JSON."""
    return {
        name: {
            "rows": domain.n_rows or domain.n_documents,
            "bytes": _bytes_read(domain.documents),
            "source": (domain.origin or Source(columns=_own(domain.kind == "instruction"))).to_dict(),
        }
        for name, domain in pool.items()
    }


def _own(prompted: bool) -> dict[str, str]:
    """The columns that a domain's own documents have."""
    return {"prompt": "prompt", "response": "text"} if prompted else {"text": "text"}


def _bytes_read(documents: Any) -> int:
    """UTF-8 bytes of prompts and texts."""
    import pyarrow.compute as pc

    batches = documents.with_format("arrow").iter(4096)
    return sum(
        pc.sum(pc.binary_length(batch[side])).as_py() or 0 for batch in batches for side in ("prompt", "text")
    )


def pool_rows(pool: Pool, name: str, seed: int = 0) -> Iterator[tuple[str, str]]:
    """(prompt, text) of a domain's documents in a random order."""
    documents = pool[name].documents
    order = np.random.default_rng(seed).permutation(len(documents))
    for start in range(0, len(order), 100):
        batch = documents[order[start : start + 100].tolist()]
        yield from zip(batch["prompt"], batch["text"])


def describe_corpus(corpus: Corpus) -> dict[str, dict[str, Any]]:
    """The same for a pool of which only the tokenised part is here: what was too much to keep is counted by its size."""
    found = {}
    for name in corpus.domains:
        kept, growth = corpus.texts(name), corpus.growth(name)
        n_bytes = int(kept.lengths.sum()) - len(kept)  # without the end marks
        found[name] = {
            "rows": max(1, round(len(kept) * growth)),
            "bytes": max(1, round(n_bytes * growth)),
            "source": Source(columns=_own(not kept.mask[:100_000].all())).to_dict(),
        }
    return found


def corpus_rows(corpus: Corpus, name: str, seed: int = 0) -> Iterator[tuple[str, str]]:
    """(prompt, text) of a domain's tokenised documents in a random order."""
    kept = corpus.texts(name)
    for i in np.random.default_rng(seed).permutation(len(kept)):
        span = slice(int(kept.offsets[i]), int(kept.offsets[i + 1]) - 1)
        tokens, learnt = np.asarray(kept.tokens[span]), np.asarray(kept.mask[span])
        yield bytes(tokens[~learnt]).decode(errors="replace"), bytes(tokens[learnt]).decode(errors="replace")


def measure_sizes(
    described: Mapping[str, Mapping[str, Any]],
    rows_of: Callable[[str], Iterator[tuple[str, str]]],
    tokenizer: Any = None,
    max_length: int | None = None,
) -> PoolSizes:
    """How long the examples of every domain are.

    Parameters
    ----------
    described: what :func:`describe_pool` says.
    rows_of: domain -> (prompt, text) of its documents in a random order; some are read where a tokenizer or a cut is given.
    tokenizer: of the model that is trained: a Hugging Face tokenizer, its name or folder, or a function from a text to its
        tokens. None counts bytes. A prompt and its answer are counted in the tokenizer's chat template, if it has one.
    max_length: tokens after which the trainer cuts an example; None: never.

    Raises
    ------
    ExportError: a tokenizer that cannot be loaded, or a cut that is no positive number.
    """
    cut = positive(max_length, "max_length")
    count, unit = _counter(tokenizer)
    found = {}
    for name, facts in described.items():
        rows, n_bytes = max(1, int(facts["rows"])), max(1, int(facts["bytes"]))
        source = Source.from_dict(facts["source"]) if facts.get("source") else None
        mean, per_byte = n_bytes / rows, 1.0
        if count is not None or cut is not None:
            some = _some(rows_of(name))
            sizes = np.array([len(p.encode()) + len(t.encode()) for p, t in some], float)
            lengths = sizes if count is None else np.array(count(some), float)
            per_byte = float(lengths.sum() / sizes.sum())
            kept = float(np.minimum(lengths, cut).sum() / lengths.sum()) if cut else 1.0
            mean *= per_byte * kept
        found[name] = DomainSize(max(mean, 1e-9), rows, per_byte, source)
    return PoolSizes(found, unit, None if cut is None else round(cut))


def _some(rows: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    some, have = [], 0
    for prompt, text in rows:
        some.append((prompt, text))
        have += len(prompt) + len(text)
        if len(some) >= SAMPLED or have >= SAMPLED_BYTES:
            break
    return some


def _counter(tokenizer: Any) -> tuple[Callable[[list[tuple[str, str]]], list[int]] | None, str]:
    """What counts the tokens of (prompt, text) pairs, and the unit in words."""
    if tokenizer is None:
        return None, BYTES
    name = tokenizer if isinstance(tokenizer, str) else ""
    if name:
        try:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(name)
        except Exception as error:  # whatever a hub, a folder or a file of somebody's does
            first = str(error).strip().splitlines()
            raise ExportError(
                f"the tokenizer {name!r} cannot be loaded ({(first or [type(error).__name__])[0][:120]}); "
                "give a name on the hub, a local folder, or the tokenizer itself."
            ) from None
    if not callable(tokenizer):
        if not hasattr(tokenizer, "encode"):
            raise ExportError(
                f"the tokenizer is a {type(tokenizer).__name__}; give a tokenizer, its name, or a function from text to tokens."
            )
        encode = tokenizer.encode
        return (lambda rows: [len(encode(p + t)) for p, t in rows]), f"tokens of {type(tokenizer).__name__}"
    name = name or str(getattr(tokenizer, "name_or_path", "") or getattr(tokenizer, "__name__", "")) or "the tokenizer"  # fmt: skip
    if not hasattr(tokenizer, "apply_chat_template"):
        return (lambda rows: [len(tokenizer(p + t)) for p, t in rows]), f"tokens of {name}"
    return (lambda rows: _lengths(tokenizer, rows)), f"tokens of {name}"


def _lengths(tokenizer: Any, rows: list[tuple[str, str]]) -> list[int]:
    """Tokens of documents as a trainer with this tokenizer reads them."""
    template = bool(getattr(tokenizer, "chat_template", None))
    found = []
    for prompt, text in rows:
        if template and prompt:
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
            whole = tokenizer.apply_chat_template(turns, tokenize=False)
            found.append(len(tokenizer(whole, add_special_tokens=False, verbose=False)["input_ids"]))
        else:
            found.append(len(tokenizer(prompt + text, verbose=False)["input_ids"]))
    return found
