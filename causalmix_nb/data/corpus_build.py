"""Writing a domain's documents as byte arrays: which are kept, where long ones are cut, which are held out.

A document longer than a piece is cut into pieces, which are documents of their own in the arrays but one document for the hold-out: all of its
pieces lie on one side. Where a domain is larger than what may be kept, long documents give way first: each keeps at most so much, the same for
all, in pieces chosen at random; only if that is not enough are whole documents left out, at random too. What was done is written down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.data.pool import Pool, content_hash, corrupt_text, split_by_hash
from causalmix_nb.data.windows import END
from causalmix_nb.errors import PoolError

if TYPE_CHECKING:
    import datasets

PARTS = (("train", False), ("heldout", True))
HELDOUT = 0.1  # share of a domain's documents that is kept for scoring
PIECE = 65_536  # bytes of a document above which it is cut
PIECES = 16  # that what is kept of a domain should hold at least, so that no document is all of it
SMALLEST = 4096  # bytes of a piece, however little is kept


@dataclass(frozen=True, slots=True)
class Kept:
    """What a corpus holds of one domain of the pool.

    >>> Kept(documents=201, kept=201, cut=1, pieces=120, bytes=10_200_000, bytes_kept=7_900_000, heldout=20, bytes_heldout=20_000).remarks
    ('1 of 201 documents is cut into 120 pieces', '23 % of the bytes are left out, of long documents, to keep to max_bytes', 'held out: 20 documents with 0.3 % of the bytes')
    """

    documents: int  # of the pool
    kept: int  # of these, in whole or in part
    cut: int  # documents in pieces
    pieces: int  # that the cut documents are kept in
    bytes: int  # of text in the pool
    bytes_kept: int
    heldout: int  # documents (not pieces) that are held out
    bytes_heldout: int
    prompts_cut: int = 0  # to their end, which stands next to the answer

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was cut, left out or held out in an unusual measure, one sentence each; nothing where all is as usual."""
        lines = []
        if self.cut:
            lines.append(
                f"{self.cut:,} of {self.documents:,} documents {'is' if self.cut == 1 else 'are'} cut into {self.pieces:,} pieces"
            )
        missing = f"{100 * (1 - self.bytes_kept / max(1, self.bytes)):.2g} % of the bytes"
        if self.kept < self.documents:
            n = self.documents - self.kept
            lines.append(
                f"{n:,} of {self.documents:,} documents ({missing}) are left out at random, to keep to max_bytes"
            )
        elif self.bytes_kept < self.bytes:
            lines.append(f"{missing} are left out, of long documents, to keep to max_bytes")
        if self.prompts_cut:
            lines.append(f"{self.prompts_cut:,} prompts are cut to their last {PIECE:,} bytes")
        share = self.bytes_heldout / max(1, self.bytes_kept)
        if self.cut and not HELDOUT / 2 <= share <= 2 * HELDOUT:
            lines.append(f"held out: {self.heldout:,} documents with {100 * share:.1g} % of the bytes")
        return tuple(lines)

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the documents of a domain are kept: in which order (n,), and of each at most so many bytes in pieces of so many."""

    order: np.ndarray
    sizes: np.ndarray  # (n,) bytes of text of every document
    limit: int  # bytes kept of one document
    piece: int
    seed: int


def plan_documents(documents: datasets.Dataset, max_bytes: int, seed: int) -> Plan:
    """Decide what is kept of a domain before it is read: documents in a random order, long ones at most up to one limit."""
    sizes = _sizes(documents)
    piece = int(min(PIECE, max(SMALLEST, max_bytes // PIECES)))
    limit = int(sizes.max(initial=0))
    if limit > piece and sizes.sum() + len(sizes) > max_bytes:
        limit = max(piece, _level(sizes, max_bytes - len(sizes)))
        long = np.minimum(sizes[sizes > piece], limit)  # every piece has an end mark of its own
        limit = max(piece, _level(sizes, max_bytes - len(sizes) - int((2 * long // piece + 2).sum())))
    return Plan(np.random.default_rng(seed).permutation(len(sizes)), sizes, limit, piece, seed)


def build_domain(pool: Pool, name: str, folder: Path, k: int, max_bytes: int, seed: int) -> tuple[int, Kept]:
    """Write one domain's arrays, reading its documents twice and holding a batch of them at a time.

    Returns the number of training documents (pieces where they are cut) and what was kept.

    Raises
    ------
    PoolError: fewer than two distinct documents.
    """
    documents = pool[name].documents
    plan = plan_documents(documents, max_bytes, seed)
    sizes, hashes, owners, have, prompts_cut = [], [], [], 0, 0
    for owner, hashed, prompt, text, shorter in _pieces(documents, plan):
        prompts_cut += shorter
        sizes.append((len(prompt.encode()), len(text.encode()) + 1))
        hashes.append(hashed)
        owners.append(owner)
        have += sizes[-1][1]
        if have > max_bytes:
            break
    lengths, of = np.array(sizes), np.array(owners)
    heldout = hold_out(np.array(hashes), lengths[:, 1], cut=plan.sizes[of] > plan.piece)
    if heldout.all() or not heldout.any():
        one = len(np.unique(of)) == 1 and len(documents) == 1
        raise PoolError(
            f"domain {name!r} has too few distinct documents to hold some out"
            + (" (it is one document, which cannot be on both sides)" if one else "")
            + "; add documents, divide what it has into documents of its own, or drop it."
        )
    with contextlib.ExitStack() as files:

        def array(part: str, held: bool, dtype: type = np.uint8) -> _Array:
            n = int(lengths[heldout == held].sum())
            return files.enter_context(_Array(folder / f"{k:02d}.{part}.npy", dtype, n))

        sides = {held: (array(part, held), array(f"{part}.mask", held, bool)) for part, held in PARTS}
        noisy = array("noisy", False)
        for held, (n_prompt, n_text), (_, _, prompt, text, _) in zip(
            heldout, lengths, _pieces(documents, plan)
        ):
            tokens, mask = sides[bool(held)]
            tokens.add(_encode(prompt, text))
            mask.add(np.repeat([False, True], [n_prompt, n_text]))
            if not held:
                noisy.add(_encode(prompt, corrupt_text(text, seed)))
    for part, held in PARTS:
        ends = np.cumsum(lengths[heldout == held].sum(1))
        np.save(folder / f"{k:02d}.{part}.offsets.npy", np.concatenate([[0], ends]))
    cut = plan.sizes[of] > plan.piece
    kept = Kept(
        documents=len(documents),
        kept=len(np.unique(of)),
        cut=len(np.unique(of[cut])),
        pieces=int(cut.sum()),
        bytes=int(plan.sizes.sum()),
        bytes_kept=int(lengths[:, 1].sum()) - len(lengths),
        heldout=len(np.unique(of[heldout])),
        bytes_heldout=int(lengths[heldout, 1].sum()) - int(heldout.sum()),
        prompts_cut=prompts_cut,
    )
    return int((~heldout).sum()), kept


def hold_out(hashes: np.ndarray, sizes: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Which pieces are held out, shape (n,) bool: those of equal documents together, about a tenth of the documents.

    A document that was cut and has more than a tenth of the bytes is not held out while there is another: scores would be of it alone, and
    little would be left to train on.

    Parameters
    ----------
    hashes: (n,) of the piece's whole document, equal for equal documents.
    sizes: (n,) bytes of every piece.
    cut: (n,) bool, pieces of documents that were cut.
    """
    distinct, of = np.unique(hashes, return_inverse=True)
    shares = np.bincount(of, sizes) / sizes.sum()
    large = (shares > HELDOUT) & (np.bincount(of, cut) > 0)
    if not large.any() or len(distinct) < 2:
        return split_by_hash(hashes, HELDOUT)
    if large.all():  # two long documents or more: the smallest serves
        return of == int(shares.argmin())
    small = distinct[~large]
    threshold = max(HELDOUT, float(np.nextafter(small[0], 2)))
    return ~large[of] & (hashes < threshold)


def cut_text(text: str, size: int) -> list[str]:
    """A text in pieces of at most ``size`` UTF-8 bytes which make it up again, cut behind a paragraph, a line or a word where there is one near.

    >>> cut_text("one line\\nanother line", 14)
    ['one line\\n', 'another line']
    """
    pieces, start = [], 0
    while start < len(text):
        piece = text[start : start + size]
        if len(data := piece.encode()) > size:  # characters of several bytes
            piece = data[:size].decode(errors="ignore")
        if start + len(piece) < len(text):
            ends = (
                piece.rfind(mark, len(piece) // 2) + len(mark)
                for mark in ("\n\n", "\n", " ")
                if mark in piece[len(piece) // 2 :]
            )
            piece = piece[: next(ends, len(piece))]
        pieces.append(piece)
        start += len(piece)
    return pieces


def _pieces(
    documents: datasets.Dataset, plan: Plan, at_once: int = 512
) -> Iterator[tuple[int, float, str, str, bool]]:
    """(document, its hash, prompt, text, whether the prompt is cut) of every piece that is kept, in the plan's order, a batch of documents at a time."""
    at_once = at_once if plan.sizes.max(initial=0) <= plan.piece else 16
    for start in range(0, len(plan.order), at_once):
        some = plan.order[start : start + at_once].tolist()
        batch = documents[some]
        for i, prompt, text in zip(some, batch["prompt"], batch["text"]):
            hashed = content_hash(f"{prompt}\0{text}", plan.seed)
            whole, prompt = prompt, _tail(prompt, PIECE)
            shorter = len(prompt) < len(whole)
            if plan.sizes[i] <= plan.piece:
                yield i, hashed, prompt, text, shorter
                continue
            pieces = cut_text(text, plan.piece)
            chosen = list(range(len(pieces)))
            if plan.sizes[i] > plan.limit:  # at random, and the first where a prompt belongs to it
                rest = np.random.default_rng([plan.seed, 5, i]).permutation(
                    np.arange(bool(prompt), len(pieces))
                )
                chosen, room = [], plan.limit
                for j in [0, *rest] if prompt else rest:
                    size = len(pieces[j].encode())
                    if size > room and chosen and room < SMALLEST:
                        break
                    if size > room:
                        pieces[j] = cut_text(pieces[j], room)[0]
                    chosen.append(int(j))
                    room -= len(pieces[j].encode())
                    if room < SMALLEST:
                        break
                chosen.sort()
            for j in chosen:
                yield i, hashed, prompt if j == 0 else "", pieces[j], shorter and j == 0


def _tail(prompt: str, size: int) -> str:
    """The end of a prompt that is longer than a piece: what stands next to the answer."""
    if len(prompt) <= size // 4 or len(data := prompt.encode()) <= size:
        return prompt
    return data[-size:].decode(errors="ignore")


def _sizes(documents: datasets.Dataset) -> np.ndarray:
    """UTF-8 bytes of the text of every document, shape (n,)."""
    import pyarrow.compute as pc

    batches: list[Any] = [
        pc.binary_length(batch["text"]).to_numpy() for batch in documents.with_format("arrow").iter(4096)
    ]
    return np.concatenate(batches).astype(np.int64) if batches else np.zeros(0, np.int64)


def _level(sizes: np.ndarray, total: int) -> int:
    """The most that each may keep so that together they keep ``total``; 0 where even the smallest are too many."""
    low, high = 0, int(sizes.max())
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(sizes, middle).sum()) <= total:
            low = middle
        else:
            high = middle - 1
    return low


def _encode(prompt: str, text: str) -> np.ndarray:
    """One document's bytes and its end mark."""
    data = prompt.encode().replace(b"\0", b" ") + text.encode().replace(b"\0", b" ") + bytes([END])
    return np.frombuffer(data, np.uint8)


class _Array:
    """A one-dimensional ``.npy`` file of known length that is written piece by piece and never held in memory."""

    def __init__(self, path: Path, dtype: type, n: int) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - closed on exit
        described = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": (n,),
        }
        np.lib.format.write_array_header_1_0(self._file, described)

    def add(self, piece: np.ndarray) -> None:
        self._file.write(piece.tobytes())

    def __enter__(self) -> _Array:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
