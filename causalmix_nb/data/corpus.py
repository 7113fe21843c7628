"""A pool as token arrays: tokenised once, memory-mapped, and seen through perturbations without copying the pool.

A :class:`Corpus` is a folder. Per domain and part (train, held-out) it keeps the documents' bytes end to end, a
mask of the bytes that count in the loss (the response, where there is a prompt), the offsets of the documents, and
for training a twin of every document with its characters shuffled, which is what a noisy document becomes.
A :class:`View` is one domain under one :class:`~causalmix_nb.data.pool.Perturbation`; it serves training windows, epoch by epoch.

Where the proxy is a Hugging Face model, :func:`causalmix_nb.data.tokens.tokenise` adds the same documents in its tokens. Windows then are of
those; difficulty, exact-match candidates and excerpts for the state still come from the bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from causalmix_nb.data.corpus_build import Kept, build_domain
from causalmix_nb.data.pool import BOILERPLATE, Perturbation, PerturbationPlan, Pool, plan_perturbation
from causalmix_nb.data.windows import END, RunWindows, Stream
from causalmix_nb.errors import StudyError
from causalmix_nb.files import Checked, checksums, write_whole
from causalmix_nb.mixture import Mixture, unknown_domain

FEWEST_DOCUMENTS = 8  # of a domain that a run sees, however few its tokens should be
VIEWED = 2_000_000  # documents in all the views that are kept for the next run; a dozen bytes each
MAX_BYTES = 8_000_000  # what is kept of one domain, in bytes, unless told otherwise
CHECKABLE = (
    16  # a domain whose held-out responses are at most so many bytes long is scored by exact match too
)


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents end to end: tokens (n_tokens,) unsigned, mask (n_tokens,) bool, offsets (n_documents + 1,) int64."""

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
        self.tokens: dict | None = meta.get("tokens")  # what is known of a model's tokens; None: bytes
        self._views: dict[tuple[str, Perturbation, int], View] = {}
        self._growth: dict[str, float] = {}
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
        max_bytes: what is kept of each domain, documents taken in a seeded random order; :attr:`kept` says what was left out.

        Raises
        ------
        PoolError: a domain with fewer than two distinct documents.
        StudyError: a folder that cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            available, kept = {}, {}
            for k, name in enumerate(pool.domains):
                available[name], held = build_domain(pool, name, folder, k, max_bytes, seed)
                kept[name] = held.to_dict()
            meta = {
                "domains": list(pool.domains),
                "fingerprint": pool.fingerprint,
                "natural": pool.natural.shares,
                "bytes": {name: pool[name].n_bytes for name in pool.domains},
            }
            stems = {f"{k:02d}" for k in range(len(pool.domains))}
            files = checksums(p for p in sorted(folder.glob("*.npy")) if p.name.split(".")[0] in stems)
            found = {"kept": kept, "read": list(pool.notes)}
            write_meta(folder, {**meta, "documents": available, "files": files, **found})
        except OSError as error:
            raise StudyError(
                f"cannot write to {folder} ({error.strerror}); choose a folder that can be written, with space left."
            ) from None
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        folder = Path(folder)
        try:
            return cls(folder, json.loads((folder / "corpus.json").read_text(encoding="utf-8")))
        except (OSError, json.JSONDecodeError):
            raise StudyError(
                f"{folder} holds no tokenised pool; create the study again from its pool."
            ) from None

    def check(self) -> None:
        """Raise :class:`StudyError`, naming the file, if a token array is not what :meth:`build` wrote."""
        self._files.check()

    @property
    def kept(self) -> dict[str, Kept]:
        """What is here of every domain; empty for a corpus that an earlier version wrote."""
        return {name: Kept(**values) for name, values in self._meta.get("kept", {}).items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing about how the pool was read, cut and held out, one sentence each."""
        remarks = [f"{name}: {line}" for name, kept in self.kept.items() for line in kept.remarks]
        return (*self._meta.get("read", ()), *remarks)

    @property
    def natural(self) -> Mixture:
        """Shares proportional to the size of the domains in the whole pool."""
        return Mixture(self._meta["natural"], normalise=True)

    def growth(self, domain: str) -> float:
        """How many times more text the pool has of a domain than is trained on here: some is held out, some was too much to keep."""
        if domain not in self._growth:
            kept = self.texts(domain)
            here = int(np.count_nonzero(kept.mask)) - len(kept)  # without the end marks
            self._growth[domain] = max(1.0, self._meta.get("bytes", {}).get(domain, 0) / max(1, here))
        return self._growth[domain]

    def documents(self, domain: str, part: str = "train") -> Documents:
        """Token arrays of one domain; part is "train", "heldout" or "noisy" (the shuffled twins of train)."""
        return self.texts(domain, part) if self.tokens is None else self._load(domain, f"{part}.ids")

    def texts(self, domain: str, part: str = "train") -> Documents:
        """The same documents as bytes, whatever the tokens."""
        return self._load(domain, part, "train" if part == "noisy" else part)

    def _load(self, domain: str, part: str, base: str | None = None) -> Documents:
        if domain not in self.domains:
            raise unknown_domain(domain, self.domains)
        return Documents(
            self._array(domain, part, mapped=True),
            self._array(domain, f"{base or part}.mask", mapped=True),
            self._array(domain, f"{base or part}.offsets"),
        )

    def _array(self, domain: str, name: str, mapped: bool = False) -> np.ndarray:
        path = self.folder / f"{self.domains.index(domain):02d}.{name}.npy"
        try:
            return np.load(path, mmap_mode="r" if mapped else None)
        except (OSError, ValueError):
            raise StudyError(
                f"the tokenised pool in {self.folder} is damaged: {path.name} cannot be read; create the study again."
            ) from None

    def view(self, domain: str, perturbation: Perturbation | None = None, seed: int = 0) -> View:
        """One domain as a sub-pool sees it."""
        key = (domain, perturbation or Perturbation(), seed)
        if key in self._views:
            self._views[key] = self._views.pop(key)  # the one used last stands last
        else:
            clean, noisy = self.documents(domain), self.documents(domain, "noisy")
            clean_text, noisy_text = self.texts(domain), self.texts(domain, "noisy")
            self._views[key] = View(clean, noisy, clean_text, noisy_text, self._boilerplate, *key)
            kept = sum(view.n_documents for view in self._views.values())
            while kept > VIEWED and len(self._views) > 1:
                kept -= self._views.pop(next(iter(self._views))).n_documents
        return self._views[key]

    @cached_property
    def _boilerplate(self) -> list[np.ndarray]:
        """The boilerplate in tokens, each piece with its end."""
        if self.tokens is None:
            return [np.frombuffer(text.encode() + bytes([END]), np.uint8) for text in BOILERPLATE]
        dtype = self.documents(self.domains[0]).tokens.dtype
        return [np.array(piece, dtype) for piece in self.tokens["boilerplate"]]

    def heldout_windows(self, domain: str, n_windows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Held-out windows (n, length + 1) and their masks (n, length) bool: the same ones at every call."""
        documents, take, n = self._heldout(domain, n_windows, length)
        return _windows(np.asarray(documents.tokens[take]), np.asarray(documents.mask[take]), n, length)

    def heldout_bytes(self, domain: str, n_windows: int, length: int) -> int:
        """Bytes of text behind the masked targets of those windows: what a loss is divided by to compare between tokenizers."""
        documents, take, n = self._heldout(domain, n_windows, length)
        sizes = np.ones(len(take), int)
        if self.tokens is not None:
            sizes = self._array(domain, "heldout.ids.bytes", mapped=True)[take]
        targets = slice(1, n * length + 1)
        return int(sizes[targets][np.asarray(documents.mask[take])[targets]].sum())

    def _heldout(self, domain: str, n_windows: int, length: int) -> tuple[Documents, np.ndarray, int]:
        """Held-out documents, the positions of the tokens that the windows are cut from, and how many windows."""
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
        return documents, take, max(1, min(n_windows, (len(take) - 1) // length))

    def checkable(
        self, domain: str, limit: int = 128, context: int = 128
    ) -> list[tuple[Sequence[int], Sequence[int]]]:
        """Held-out (prompt, response) tokens short enough to be scored by exact match; empty for other domains."""
        texts, documents = self.texts(domain, "heldout"), self.documents(domain, "heldout")
        sizes = [_sides(texts, i) for i in range(min(len(texts), limit))]
        prompted = sizes and all(len(prompt) for prompt, _ in sizes)
        if not prompted or np.median([len(response) for _, response in sizes]) > CHECKABLE:
            return []
        pairs = [_sides(documents, i) for i in range(len(sizes))]
        return [(p, r) for p, r in pairs if len(p) + len(r) <= context]


class View:
    """One domain under one perturbation: which documents there are, which of them are corrupted, and how many tokens."""

    def __init__(
        self,
        clean: Documents,
        noisy: Documents,
        clean_text: Documents,
        noisy_text: Documents,
        boilerplate: Sequence[np.ndarray],
        domain: str,
        perturbation: Perturbation,
        seed: int,
    ) -> None:
        self._clean, self._noisy, self.domain, self.perturbation = clean, noisy, domain, perturbation
        self._clean_text, self._noisy_text, self._boilerplate = clean_text, noisy_text, boilerplate
        scores = _difficulty(clean_text) if perturbation.difficulty else None
        # The plan's seed depends on the domain's name, so that domains are perturbed independently.
        self.plan: PerturbationPlan = plan_perturbation(
            len(clean), perturbation, seed + zlib.crc32(domain.encode()) % 10_000, scores
        )

    @cached_property
    def available_tokens(self) -> int:
        """Distinct training tokens: a copy of a document adds nothing."""
        return self.tokens_in(np.arange(self.n_documents))

    @property
    def n_documents(self) -> int:
        return len(self.plan.index)

    def rows(self, n_tokens: float | None, seed: int) -> np.ndarray:
        """Documents that hold about ``n_tokens`` distinct tokens: a seeded choice with all of its copies, never fewer than 8; None is all."""
        plan = self.plan
        if n_tokens is None or n_tokens >= self.available_tokens:
            return np.arange(self.n_documents)
        rng = np.random.default_rng([seed, 4, zlib.crc32(self.domain.encode())])
        real = rng.permutation(np.unique(plan.index[~plan.boilerplate]))
        ends = np.cumsum(self._clean.lengths[real])
        share = n_tokens / self.available_tokens
        many = int(np.abs(ends - share * ends[-1]).argmin()) + 1 if len(real) else 0
        chosen = np.isin(plan.index, real[: max(FEWEST_DOCUMENTS, many)]) & ~plan.boilerplate
        boilerplate = rng.permutation(np.flatnonzero(plan.boilerplate))
        chosen[boilerplate[: round(share * len(boilerplate))]] = True
        return np.flatnonzero(chosen)

    def tokens_in(self, rows: np.ndarray) -> int:
        """Distinct training tokens of some documents: a copy adds nothing."""
        plan = self.plan
        real = np.unique(plan.index[rows][~plan.boilerplate[rows]])
        boilerplate = sum(len(piece) for piece in self._boilerplate) if plan.boilerplate[rows].any() else 0
        return int(self._clean.lengths[real].sum()) + boilerplate

    def stream(self, seed: int, n_tokens: float | None = None) -> Stream:
        """The documents' tokens without end, in an order that depends on the seed and the domain.

        n_tokens: see only documents of so many distinct tokens, again and again.
        """
        rows = self.rows(n_tokens, seed)
        page = np.concatenate(self._boilerplate), np.ones(sum(map(len, self._boilerplate)), bool)
        plan, clean, noisy = self.plan, self._clean, self._noisy
        which = plan.index % len(self._boilerplate)
        sizes = np.array([len(piece) for piece in self._boilerplate])
        # In a model's tokens a corrupted document is longer than the clean one, so each has its own place and length.
        start = np.where(plan.noisy, noisy.offsets[plan.index], clean.offsets[plan.index])
        length = np.where(plan.noisy, noisy.lengths[plan.index], clean.lengths[plan.index])
        start = np.where(plan.boilerplate, (np.cumsum(sizes) - sizes)[which], start)
        length = np.where(plan.boilerplate, sizes[which], length)
        source = np.where(plan.boilerplate, 2, plan.noisy.astype(int))
        sources = [(clean.tokens, clean.mask), (noisy.tokens, noisy.mask), page]
        rng = np.random.default_rng([seed, zlib.crc32(self.domain.encode())])
        return Stream(sources, source[rows], start[rows], length[rows], rng)

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
            text = self._text(int(i))
            start = int(rng.integers(max(1, len(text) - length)))
            pieces.append(text[start : start + length].replace(b"\0", b"").decode(errors="replace"))
            have += len(pieces[-1])
            if have >= n_bytes:
                break
        return pieces

    def _text(self, i: int) -> bytes:
        source = int(self.plan.index[i])
        if self.plan.boilerplate[i]:
            return BOILERPLATE[source % len(BOILERPLATE)].encode() + bytes([END])
        documents = self._noisy_text if self.plan.noisy[i] else self._clean_text
        return bytes(documents.tokens[documents.offsets[source] : documents.offsets[source + 1]])


def seen_tokens(corpus: Corpus, view: View, token_budget: int, target_tokens: int | None) -> float | None:
    """Distinct tokens of a domain that repeat in a run as the whole domain repeats in a training on ``target_tokens``; None: no limit.

    The target sees the domain ``share · target_tokens / all of it`` times; a run of ``token_budget`` sees ``n`` tokens
    ``share · token_budget / n`` times. The share cancels out.
    """
    if target_tokens is None:
        return None
    return view.available_tokens * corpus.growth(view.domain) * token_budget / target_tokens


def run_windows(
    corpus: Corpus,
    mixture: Sequence[float],
    perturbations: Mapping[str, Perturbation],
    perturbation_seed: int,
    seed: int,
    n_windows: int,
    length: int,
    target_tokens: int | None = None,
) -> RunWindows:
    """The training data of one run of a sub-pool, to be taken in blocks.

    target_tokens: see each domain as often as a training on so many tokens of the whole pool would.
    """
    kept = [(name, share) for name, share in zip(corpus.domains, mixture) if share]
    streams = []
    for name, _ in kept:
        view = corpus.view(name, perturbations.get(name), perturbation_seed)
        few = seen_tokens(corpus, view, n_windows * length, target_tokens)
        streams.append(view.stream(seed, few))
    return RunWindows(
        streams, [share for _, share in kept], n_windows, length, np.random.default_rng([seed, 1])
    )


def _windows(tokens: np.ndarray, mask: np.ndarray, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut n windows that overlap by one token, so that every token but the first is a target once."""
    if len(tokens) < n * length + 1:
        tokens = np.concatenate([tokens, np.zeros(n * length + 1 - len(tokens), tokens.dtype)])
        mask = np.concatenate([mask, np.zeros(n * length + 1 - len(mask), bool)])
    start = np.arange(n)[:, None] * length
    return tokens[start + np.arange(length + 1)], mask[start + np.arange(1, length + 1)]


def _sides(documents: Documents, i: int) -> tuple[Sequence[int], Sequence[int]]:
    """A document's prompt and response; bytes where the tokens are bytes."""
    span = slice(documents.offsets[i], documents.offsets[i + 1])
    tokens, mask = np.asarray(documents.tokens[span]), np.asarray(documents.mask[span])
    sides = (tokens[~mask], tokens[mask])
    return tuple(bytes(side) if side.dtype == np.uint8 else side.tolist() for side in sides)  # type: ignore[return-value]


def write_meta(folder: Path, meta: Mapping) -> None:
    """Replace what a corpus says about itself, whole or not at all."""
    write_whole(folder / "corpus.json", json.dumps(dict(meta)))


def _difficulty(documents: Documents) -> np.ndarray:
    """Compressed size per byte of every document (n_documents,): a scorer-free measure of how hard it is."""
    spans = zip(documents.offsets[:-1], documents.offsets[1:])
    return np.array([len(zlib.compress(bytes(documents.tokens[a:b]), 6)) / max(1, b - a) for a, b in spans])
