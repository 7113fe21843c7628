"""A tokenised pool in the tokens of a Hugging Face model, beside its bytes.

The bytes stay: they say how hard and how long a document is, and the state is measured on them. Beside them, every document is written as

    prompt tokens (not learnt) · response tokens (learnt) · end of text (learnt)

Prompt and response are tokenised apart, as they are when the model is asked: no token straddles the border, and the mask is exact. With a
chat template the prompt side is the template up to the assistant's turn, and what the template writes after it is the response side.

So that losses compare between tokenizers, every learnt token of a held-out document carries the UTF-8 bytes of the response that it stands
for (markup stands for none, the end of text for one, as it does where bytes are the tokens).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.data.corpus import Corpus, write_meta
from causalmix_nb.data.pool import BOILERPLATE
from causalmix_nb.errors import StudyError, TrainingError
from causalmix_nb.files import checksums

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

AT_ONCE = 512  # documents that are tokenised in one call


@dataclass(frozen=True, slots=True)
class TokenDocument:
    """One document: ids (n,), mask (n,) bool of what is learnt, n_bytes (n,) of the response behind each token."""

    ids: np.ndarray
    mask: np.ndarray
    n_bytes: np.ndarray


def tokenise(corpus: Corpus, tokenizer: PreTrainedTokenizerFast, chat_template: bool = True) -> Corpus:
    """Write a corpus's documents in a model's tokens, next to their bytes, and return the corpus that serves those.

    Parameters
    ----------
    corpus: a pool that :meth:`Corpus.build` has written.
    tokenizer: a fast one, with an end-of-text token.
    chat_template: use the tokenizer's template, if it has one, for documents with a prompt.

    Raises
    ------
    TrainingError: a chat template that does not write the conversation up to the answer first.
    StudyError: a folder that cannot be written.
    """
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    try:
        for k, domain in enumerate(corpus.domains):
            for part in ("train", "noisy", "heldout"):
                rows = _rows(corpus, domain, part)
                documents = list(encode(rows, tokenizer, chat_template))
                stem = corpus.folder / f"{k:02d}.{part}.ids"
                _save(stem, "", np.concatenate([d.ids for d in documents]).astype(dtype))
                _save(stem, ".mask", np.concatenate([d.mask for d in documents]))
                _save(stem, ".offsets", np.cumsum([0, *(len(d.ids) for d in documents)]))
                if part == "heldout":
                    _save(stem, ".bytes", np.concatenate([d.n_bytes for d in documents]))
        boilerplate = [d.ids.tolist() for d in encode([("", text) for text in BOILERPLATE], tokenizer, False)]
        meta = json.loads((corpus.folder / "corpus.json").read_text(encoding="utf-8"))
        tokens = {"vocabulary": len(tokenizer), "end": tokenizer.eos_token_id, "boilerplate": boilerplate}
        files = {**meta.get("files", {}), **checksums(sorted(corpus.folder.glob("*.ids*.npy")))}
        write_meta(corpus.folder, {**meta, "tokens": tokens, "files": files})
    except OSError as error:
        raise StudyError(
            f"cannot write to {corpus.folder} ({error.strerror}); choose a folder that can be written, with space left."
        ) from None
    return Corpus.open(corpus.folder)


def encode(
    rows: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerFast, chat_template: bool = True
) -> Iterator[TokenDocument]:
    """(prompt, text) pairs as token documents, in order; a prompt may be empty."""
    templated = chat_template and bool(tokenizer.chat_template)
    start, end = _start(tokenizer), int(tokenizer.eos_token_id)  # type: ignore[arg-type]
    for first in range(0, len(rows), AT_ONCE):
        some = rows[first : first + AT_ONCE]
        sides = [_turns(*row, tokenizer) if templated and row[0] else row for row in some]
        options: dict[str, Any] = {"add_special_tokens": False, "verbose": False}
        heads = tokenizer([head for head, _ in sides], **options)["input_ids"]
        tails = tokenizer([tail for _, tail in sides], return_offsets_mapping=True, **options)
        for (prompt, text), (_, tail), head, ids, offsets in zip(
            some, sides, heads, tails["input_ids"], tails["offset_mapping"]
        ):
            if templated and prompt:
                if end in ids:  # the template ends the turn itself, and what follows it is not learnt
                    ids = ids[: len(ids) - ids[::-1].index(end) - 1]
            else:
                head = [*start, *head]
            n_bytes = _bytes_behind(tail, text, np.array([b for _, b in offsets[: len(ids)]], dtype=int))
            mask = np.repeat([False, True], [len(head), len(ids) + 1])
            yield TokenDocument(
                np.array([*head, *ids, end]), mask, np.concatenate([np.zeros(len(head), int), n_bytes])
            )


def _turns(prompt: str, text: str, tokenizer: PreTrainedTokenizerFast) -> tuple[str, str]:
    """A prompt and its response in the tokenizer's template, cut where the assistant's turn begins."""
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
    head = str(tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True))
    whole = str(tokenizer.apply_chat_template(turns, tokenize=False))
    if not whole.startswith(head):
        raise TrainingError(
            "the chat template of this tokenizer writes a finished conversation differently from one that waits for "
            "an answer, so that the answer cannot be told from it; set chat_template=False."
        )
    return head, whole[len(head) :]


def _bytes_behind(tail: str, text: str, ends: np.ndarray) -> np.ndarray:
    """UTF-8 bytes of ``text`` within ``tail`` behind each token, (n_tokens + 1,), the last for the end of text.

    A token owns the characters from where the one before it ended, so that whatever a tokenizer does about white space or a character that
    it splits, the bytes add up to those of the text and one.
    """
    inner = text if text in tail else text.strip()  # templates like to strip
    first = max(0, tail.find(inner))
    sizes = np.array([len(character.encode()) for character in inner], dtype=int)
    before = np.concatenate([[0], np.cumsum(sizes)])  # bytes before each character
    reached = np.maximum.accumulate(np.clip(ends - first, 0, len(inner))) if len(ends) else ends
    done = before[reached]
    return np.diff(np.concatenate([[0], done, [before[-1] + 1]]))


def _start(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """What the tokenizer puts before a text by itself (a beginning-of-text token, or nothing)."""
    marked, bare = tokenizer("a").input_ids, tokenizer("a", add_special_tokens=False).input_ids
    return next((marked[:i] for i in range(len(marked)) if marked[i : i + len(bare)] == bare), [])


def _rows(corpus: Corpus, domain: str, part: str) -> list[tuple[str, str]]:
    """Prompts and texts of the documents, from their bytes."""
    documents = corpus.texts(domain, part)
    rows = []
    for a, b in zip(documents.offsets[:-1], documents.offsets[1:]):
        tokens, learnt = np.asarray(documents.tokens[a:b]), np.asarray(documents.mask[a:b])
        rows.append((bytes(tokens[~learnt]).decode(), bytes(tokens[learnt][:-1]).decode()))
    return rows


def _save(stem: Path, suffix: str, array: np.ndarray) -> None:
    np.save(stem.with_name(f"{stem.name}{suffix}.npy"), array)
