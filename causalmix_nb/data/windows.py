"""Documents as one endless stream of tokens, epoch by epoch, taken piece by piece without a Python loop over documents.

A :class:`Stream` is one domain as a run sees it. :class:`RunWindows` mixes the streams of a run by its shares and hands out its training
windows in blocks, so that memory holds a block and never a run or a pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

END = 0  # what ends a document in a stream of bytes; it occurs in no text
BLOCK = 2048  # windows of a run that are held at once


class Stream:
    """Tokens of documents in a seeded order, reshuffled at every further epoch.

    Parameters
    ----------
    sources: S pairs of token and mask arrays, each documents end to end.
    source: (m,) which of them a document lies in; start, length: (m,) where it lies there, in tokens.
    rng: of the order.
    """

    def __init__(
        self,
        sources: Sequence[tuple[np.ndarray, np.ndarray]],
        source: np.ndarray,
        start: np.ndarray,
        length: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        self._sources, self._source, self._start, self._length, self._rng = (
            sources,
            source,
            start,
            length,
            rng,
        )
        self._shuffle()

    def _shuffle(self) -> None:
        self._order = self._rng.permutation(len(self._length))
        self._ends = np.cumsum(self._length[self._order])
        self._at = 0  # tokens of this epoch that have been taken

    def take(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The next ``n`` tokens (n,) and their mask (n,)."""
        pieces, have = [], 0
        while have < n:
            size = min(n - have, int(self._ends[-1]) - self._at)
            if size:
                pieces.append(self._within_epoch(size))
                have += size
            if self._at == self._ends[-1]:
                self._shuffle()
        tokens, masks = zip(*pieces)
        return np.concatenate(tokens), np.concatenate(masks)

    def _within_epoch(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        first = int(np.searchsorted(self._ends, self._at, side="right"))
        last = int(np.searchsorted(self._ends, self._at + n, side="left"))
        documents = self._order[first : last + 1]
        ends = np.minimum(self._ends[first : last + 1], self._at + n)  # in tokens of the epoch
        begins = np.maximum(self._ends[first : last + 1] - self._length[documents], self._at)
        skipped = begins - (self._ends[first : last + 1] - self._length[documents])
        counts = ends - begins
        # The position of every token in its source: where its document's piece starts, plus how far it is into it.
        offset = np.repeat(self._start[documents] + skipped - (begins - self._at), counts)
        position = offset + np.arange(n)
        self._at += n
        where = np.repeat(self._source[documents], counts)
        if not where.any():
            tokens, mask = self._sources[0]
            return np.asarray(tokens[position]), np.asarray(mask[position])
        out = np.empty(n, self._sources[0][0].dtype), np.empty(n, bool)
        for s, (tokens, mask) in enumerate(self._sources):
            here = where == s
            out[0][here], out[1][here] = tokens[position[here]], mask[position[here]]
        return out


class RunWindows:
    """The training data of one run: ``n_windows`` windows of ``length`` targets in a seeded random order.

    The shares are met to within one window. A domain's windows follow its stream and overlap by one token, so that every token but the
    first is a target once. Runs whose streams have the same seed draw a domain's documents in the same order.

    Parameters
    ----------
    streams: K streams, one per domain. shares: (K,), summing to 1. rng: of the order in which domains take turns.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        shares: Sequence[float],
        n_windows: int,
        length: int,
        rng: np.random.Generator,
    ) -> None:
        exact = np.asarray(shares) * n_windows
        counts = np.floor(exact).astype(int)
        for k in np.argsort(counts - exact, kind="stable")[: n_windows - int(counts.sum())]:
            counts[k] += 1
        self._turns = rng.permutation(np.repeat(np.arange(len(streams)), counts))
        self._streams, self._length = streams, length
        self._last: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Windows (b, length + 1) and masks of their targets (b, length), ``size`` at a time, all of them in the end."""
        for start in range(0, len(self._turns), size):
            turns = self._turns[start : start + size]
            windows = masks = None
            for k in np.unique(turns):
                tokens, mask = self._next(int(k), int((turns == k).sum()))
                if windows is None or masks is None:
                    windows = np.empty((len(turns), self._length + 1), tokens.dtype)
                    masks = np.empty((len(turns), self._length), bool)
                windows[turns == k], masks[turns == k] = tokens, mask
            assert windows is not None and masks is not None  # a block has at least one window
            yield windows, masks

    def _next(self, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        head = self._last.get(k) or self._streams[k].take(1)
        more = self._streams[k].take(n * self._length)
        tokens, mask = (np.concatenate(pair) for pair in zip(head, more))
        self._last[k] = tokens[-1:], mask[-1:]
        return cut(tokens, n, self._length), cut(mask[1:], n, self._length, overlap=0)


def cut(row: np.ndarray, n: int, length: int, overlap: int = 1) -> np.ndarray:
    """``n`` windows of ``length`` + ``overlap`` entries, each starting ``length`` further, from a row that holds them all."""
    return row[np.arange(n)[:, None] * length + np.arange(length + overlap)]
