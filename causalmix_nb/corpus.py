"""A pool as token arrays: tokenised once, memory-mapped, and seen through tilts without copying the pool.

A :class:`Corpus` is a folder. Per domain and part (train, held-out) it keeps the documents' bytes end to end, a
mask of the bytes that count in the loss (the response, where there is a prompt), the offsets of the documents, and
for training a twin of every document with its characters shuffled, which is what a noisy document becomes.
A :class:`View` is one domain under one :class:`~causalmix_nb.pool.Tilt`; it serves training windows, epoch by epoch.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from causalmix_nb.checksums import Checked, checksums
from causalmix_nb.errors import PoolError, StudyError
from causalmix_nb.mixture import Mixture, unknown_domain
from causalmix_nb.pool import (
    BOILERPLATE,
    Pool,
    Tilt,
    TiltPlan,
    content_hash,
    corrupt_text,
    plan_tilt,
    split_by_hash,
)
from causalmix_nb.proxy import END
from causalmix_nb.sampling import RunWindows, Stream

PARTS = (("train", False), ("heldout", True))
HELDOUT = 0.1  # share of a domain's documents that is kept for scoring
MAX_BYTES = 8_000_000  # what is kept of one domain, in bytes, unless told otherwise
CHECKABLE = (
    16  # a domain whose held-out responses are at most so many bytes long is scored by exact match too
)


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents end to end: tokens (n_tokens,) uint8, mask (n_tokens,) bool, offsets (n_documents + 1,) int64."""

    tokens: np.ndarray
    mask: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def text(self, i: int) -> str:
        return bytes(self.tokens[self.offsets[i] : self.offsets[i + 1] - 1]).decode(errors="replace")


class Corpus:
    """The token arrays of a pool, in a folder; make one with :meth:`build`, reopen it with :meth:`open`."""

    def __init__(self, folder: Path, meta: dict) -> None:
        self.folder, self._meta = folder, meta
        self.domains: tuple[str, ...] = tuple(meta["domains"])
        self.fingerprint: str = meta["fingerprint"]
        self._views: dict[tuple[str, Tilt, int], View] = {}
        self._files = Checked(
            folder, meta.get("files", {}), "restore it, or create the study again from its pool"
        )

    @classmethod
    def build(cls, pool: Pool, folder: str | Path, *, max_bytes: int = MAX_BYTES, seed: int = 0) -> Corpus:
        """Tokenise a pool into ``folder``; train and held-out documents are split by content and never overlap.

        Parameters
        ----------
        pool: the domains.
        folder: made if it is not there.
        max_bytes: what is kept of each domain, documents taken in a seeded random order.

        Raises
        ------
        PoolError: a domain with fewer than two distinct documents.
        StudyError: a folder that cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            available = {}
            for k, name in enumerate(pool.domains):
                available[name] = _build_domain(pool, name, folder, k, max_bytes, seed)
            meta = {
                "domains": list(pool.domains),
                "fingerprint": pool.fingerprint,
                "natural": pool.natural.shares,
            }
            partial = folder / "corpus.partial"
            stems = {f"{k:02d}" for k in range(len(pool.domains))}
            files = checksums(p for p in sorted(folder.glob("*.npy")) if p.name.split(".")[0] in stems)
            partial.write_text(json.dumps({**meta, "documents": available, "files": files}))
            partial.replace(folder / "corpus.json")
        except OSError as error:
            raise StudyError(
                f"cannot write to {folder} ({error.strerror}); choose a folder that can be written, with space left."
            ) from None
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        folder = Path(folder)
        try:
            return cls(folder, json.loads((folder / "corpus.json").read_text()))
        except (OSError, json.JSONDecodeError):
            raise StudyError(
                f"{folder} holds no tokenised pool; create the study again from its pool."
            ) from None

    def check(self) -> None:
        """Raise :class:`StudyError`, naming the file, if a token array is not what :meth:`build` wrote."""
        self._files.check()

    @property
    def natural(self) -> Mixture:
        """Shares proportional to the size of the domains in the whole pool."""
        return Mixture(self._meta["natural"], normalise=True)

    def documents(self, domain: str, part: str = "train") -> Documents:
        """Token arrays of one domain; part is "train", "heldout" or "noisy" (the shuffled twins of train)."""
        if domain not in self.domains:
            raise unknown_domain(domain, self.domains)
        stem = f"{self.domains.index(domain):02d}"
        base = "train" if part == "noisy" else part
        try:
            return Documents(
                np.load(self.folder / f"{stem}.{part}.npy", mmap_mode="r"),
                np.load(self.folder / f"{stem}.{base}.mask.npy", mmap_mode="r"),
                np.load(self.folder / f"{stem}.{base}.offsets.npy"),
            )
        except (OSError, ValueError):
            raise StudyError(
                f"the tokenised pool in {self.folder} is damaged; create the study again."
            ) from None

    def view(self, domain: str, tilt: Tilt | None = None, seed: int = 0) -> View:
        """One domain as a sub-pool sees it."""
        key = (domain, tilt or Tilt(), seed)
        if key not in self._views:
            self._views[key] = View(self.documents(domain), self.documents(domain, "noisy"), *key)
        return self._views[key]

    def heldout_windows(self, domain: str, n_windows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Held-out windows (n, length + 1) uint8 and their masks (n, length) bool: the same ones at every call."""
        documents = self.documents(domain, "heldout")
        rng = np.random.default_rng([3, zlib.crc32(domain.encode())])
        # At most a window's worth of each document, so that many documents are heard and none of them dominates.
        rows, have = [], 0
        for i in rng.permutation(len(documents)):
            size = int(documents.lengths[i])
            start = int(documents.offsets[i]) + int(rng.integers(max(1, size - length)))
            rows.append(np.arange(start, start + min(size, length)))
            have += len(rows[-1])
            if have > n_windows * length:
                break
        take = np.concatenate(rows)[: n_windows * length + 1]
        n = max(1, min(n_windows, (len(take) - 1) // length))
        return _windows(np.asarray(documents.tokens[take]), np.asarray(documents.mask[take]), n, length)

    def checkable(self, domain: str, limit: int = 128, context: int = 128) -> list[tuple[bytes, bytes]]:
        """Held-out (prompt, response) pairs short enough to be scored by exact match; empty for other domains."""
        documents = self.documents(domain, "heldout")
        pairs = []
        for i in range(min(len(documents), limit)):
            span = slice(documents.offsets[i], documents.offsets[i + 1])
            tokens, mask = np.asarray(documents.tokens[span]), np.asarray(documents.mask[span])
            pairs.append((bytes(tokens[~mask]), bytes(tokens[mask])))
        lengths = [len(response) for _, response in pairs]
        prompted = pairs and all(prompt for prompt, _ in pairs)
        if not prompted or np.median(lengths) > CHECKABLE:
            return []
        return [(p, r) for p, r in pairs if len(p) + len(r) <= context]


class View:
    """One domain under one tilt: which documents there are, which of them are corrupted, and how many tokens."""

    def __init__(self, clean: Documents, noisy: Documents, domain: str, tilt: Tilt, seed: int) -> None:
        self._clean, self._noisy, self.domain, self.tilt = clean, noisy, domain, tilt
        scores = _difficulty(clean) if tilt.difficulty else None
        # The plan's seed depends on the domain's name, so that domains are tilted independently.
        self.plan: TiltPlan = plan_tilt(len(clean), tilt, seed + zlib.crc32(domain.encode()) % 10_000, scores)

    @cached_property
    def available_tokens(self) -> int:
        """Distinct training tokens: a copy of a document adds nothing."""
        plan = self.plan
        real = np.unique(plan.index[~plan.boilerplate])
        boilerplate = sum(len(text.encode()) + 1 for text in BOILERPLATE) if plan.boilerplate.any() else 0
        return int(self._clean.lengths[real].sum()) + boilerplate

    @property
    def n_documents(self) -> int:
        return len(self.plan.index)

    def stream(self, seed: int) -> Stream:
        """The documents' tokens without end, in an order that depends on the seed and the domain."""
        furniture = [text.encode() + bytes([END]) for text in BOILERPLATE]
        page = np.frombuffer(b"".join(furniture), np.uint8), np.ones(sum(map(len, furniture)), bool)
        plan, clean, noisy = self.plan, self._clean, self._noisy
        which = plan.index % len(furniture)
        sizes = np.array([len(piece) for piece in furniture])
        start = np.where(plan.boilerplate, (np.cumsum(sizes) - sizes)[which], clean.offsets[plan.index])
        length = np.where(plan.boilerplate, sizes[which], clean.lengths[plan.index])
        source = np.where(plan.boilerplate, 2, plan.noisy.astype(int))
        sources = [(clean.tokens, clean.mask), (noisy.tokens, noisy.mask), page]
        rng = np.random.default_rng([seed, zlib.crc32(self.domain.encode())])
        return Stream(sources, source, start, length, rng)

    def windows(self, n_windows: int, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Training windows (n, length + 1) and masks of their targets (n, length)."""
        return next(
            RunWindows([self.stream(seed)], [1.0], n_windows, length, np.random.default_rng(seed)).blocks(
                n_windows
            )
        )

    def excerpts(self, n_bytes: int, length: int, seed: int = 0) -> list[str]:
        """Excerpts of at most ``length`` bytes, one from each of many documents, ``n_bytes`` in all.

        Many short pieces, since what is wrong with a sub-pool is wrong with a share of its documents.
        """
        rng = np.random.default_rng([seed, 2, zlib.crc32(self.domain.encode())])
        pieces, have = [], 0
        for i in rng.permutation(self.n_documents):
            tokens, _ = self._document(int(i))
            start = int(rng.integers(max(1, len(tokens) - length)))
            pieces.append(bytes(tokens[start : start + length]).replace(b"\0", b"").decode(errors="replace"))
            have += len(pieces[-1])
            if have >= n_bytes:
                break
        return pieces

    def _document(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        source = int(self.plan.index[i])
        if self.plan.boilerplate[i]:
            text = BOILERPLATE[source % len(BOILERPLATE)].encode()
            return np.append(np.frombuffer(text, np.uint8), np.uint8(END)), np.ones(len(text) + 1, bool)
        documents = self._noisy if self.plan.noisy[i] else self._clean
        span = slice(documents.offsets[source], documents.offsets[source + 1])
        return np.asarray(documents.tokens[span]), np.asarray(documents.mask[span])


def run_windows(
    corpus: Corpus,
    mixture: Sequence[float],
    tilts: Mapping[str, Tilt],
    tilt_seed: int,
    seed: int,
    n_windows: int,
    length: int,
) -> RunWindows:
    """The training data of one run of a sub-pool, to be taken in blocks."""
    kept = [(name, share) for name, share in zip(corpus.domains, mixture) if share]
    streams = [corpus.view(name, tilts.get(name), tilt_seed).stream(seed) for name, _ in kept]
    return RunWindows(
        streams, [share for _, share in kept], n_windows, length, np.random.default_rng([seed, 1])
    )


def _windows(tokens: np.ndarray, mask: np.ndarray, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut n windows that overlap by one token, so that every token but the first is a target once."""
    if len(tokens) < n * length + 1:
        tokens = np.concatenate([tokens, np.zeros(n * length + 1 - len(tokens), np.uint8)])
        mask = np.concatenate([mask, np.zeros(n * length + 1 - len(mask), bool)])
    start = np.arange(n)[:, None] * length
    return tokens[start + np.arange(length + 1)], mask[start + np.arange(1, length + 1)]


def _build_domain(pool: Pool, name: str, folder: Path, k: int, max_bytes: int, seed: int) -> int:
    """Write one domain's arrays, reading its documents twice and holding a batch of them at a time."""
    documents = pool[name].documents
    order = np.random.default_rng(seed).permutation(len(documents))
    sizes, hashes, have = [], [], 0
    for prompt, text in _read(documents, order):
        sizes.append((len(prompt.encode()), len(text.encode()) + 1))
        hashes.append(content_hash(f"{prompt}\0{text}", seed))
        have += sizes[-1][1]
        if have > max_bytes:
            break
    heldout = split_by_hash(np.array(hashes), HELDOUT)
    if heldout.all() or not heldout.any():
        raise PoolError(
            f"domain {name!r} has too few distinct documents to hold some out; add documents or drop it."
        )
    lengths = np.array(sizes)
    with contextlib.ExitStack() as files:

        def array(part: str, held: bool, dtype: type = np.uint8) -> _Array:
            n = int(lengths[heldout == held].sum())
            return files.enter_context(_Array(folder / f"{k:02d}.{part}.npy", dtype, n))

        sides = {held: (array(part, held), array(f"{part}.mask", held, bool)) for part, held in PARTS}
        noisy = array("noisy", False)
        for held, (n_prompt, n_text), (prompt, text) in zip(heldout, lengths, _read(documents, order)):
            tokens, mask = sides[bool(held)]
            tokens.add(_encode(prompt, text))
            mask.add(np.repeat([False, True], [n_prompt, n_text]))
            if not held:
                noisy.add(_encode(prompt, corrupt_text(text, seed)))
    for part, held in PARTS:
        ends = np.cumsum(lengths[heldout == held].sum(1))
        np.save(folder / f"{k:02d}.{part}.offsets.npy", np.concatenate([[0], ends]))
    return int((~heldout).sum())


def _read(documents: Any, order: np.ndarray, at_once: int = 512) -> Iterator[tuple[str, str]]:
    """(prompt, text) of documents in an order, a batch at a time."""
    for start in range(0, len(order), at_once):
        batch = documents[order[start : start + at_once].tolist()]
        yield from zip(batch["prompt"], batch["text"])


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


def _difficulty(documents: Documents) -> np.ndarray:
    """Compressed size per byte of every document (n_documents,): a scorer-free measure of how hard it is."""
    spans = zip(documents.offsets[:-1], documents.offsets[1:])
    return np.array([len(zlib.compress(bytes(documents.tokens[a:b]), 6)) / max(1, b - a) for a, b in spans])
