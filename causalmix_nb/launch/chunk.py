"""One chunk of runs, trained as one swarm, and how it travels: what every executor does the same way.

A chunk is a few runs with one token budget. Messages are plain dicts that JSON can carry: ``{"tokens": n}`` while it trains,
``{"results": {key: {"outcomes": …, "reason": …}}}`` when it is done, ``{"too_large": why}`` when memory did not suffice, ``{"apart": why}``
when its runs cannot be trained together.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import CausalMixError
from causalmix_nb.files import Checked
from causalmix_nb.proxies.config import BASE_CHANGED, DATA, NoRunAxis, as_config

RETRIES = 1  # times that a chunk whose process died is tried again as it was
EVERY = 0.2  # seconds between two reports of tokens

Message = Mapping[str, Any]
Take = Callable[[Message], None]


class Chunks:
    """Chunks that wait for a process, and what becomes of one whose process died.

    A chunk that died is tried again as it was: most deaths come from outside. If it goes on dying, memory is the usual reason, and it goes
    on in halves, down to single runs; a single run that dies has failed.

    >>> chunks = Chunks([["a", "b"], ["c"]])
    >>> chunks.next()
    ['a', 'b']
    >>> _ = chunks.lost(["a", "b"], "killed"), chunks.lost(["a", "b"], "killed")
    >>> [chunks.next() for _ in range(4)]
    [['c'], ['a', 'b'], ['a'], ['b']]
    >>> chunks.lost(["a"], "killed")["results"]
    {'a': {'outcomes': {}, 'reason': 'killed'}}
    """

    def __init__(self, chunks: Iterable[Sequence[str]], retries: int = RETRIES) -> None:
        self._waiting = deque(list(keys) for keys in chunks)
        self._deaths: Counter[str] = Counter()
        self._retries = retries

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> list[str]:
        """The next chunk to train; one must be waiting."""
        return self._waiting.popleft()

    def put_back(self, keys: Sequence[str]) -> None:
        """A chunk that was handed out but never begun."""
        self._waiting.appendleft(list(keys))

    def lost(self, keys: Sequence[str], reason: str, too_large: bool = False) -> Message:
        """Decide about a chunk whose process died, or that did not fit (then it is not tried again at this size)."""
        self._deaths.update(keys)
        halves = [part for part in (list(keys[::2]), list(keys[1::2])) if part]
        if not too_large and max(self._deaths[key] for key in keys) <= self._retries:
            self._waiting.append(list(keys))
        elif len(halves) == 2:
            self._waiting.extend(halves)
        else:
            return failed(keys, reason)
        how = "tried again" if self._waiting[-1] == list(keys) else "tried again in two halves"
        return {"retried": len(keys), "remark": f"{len(keys)} runs are {how}: {reason}"}

    def apart(self, keys: Sequence[str], why: str) -> Message:
        """These and all that wait are trained one after another.

        >>> chunks = Chunks([["a", "b"], ["c", "d"]])
        >>> chunks.apart(chunks.next(), "no room")["note"], chunks.next(), len(chunks)
        ('the runs are trained one after another: no room', ['a'], 3)
        """
        self._waiting = deque([key] for chunk in (keys, *self._waiting) for key in chunk)
        return {"note": f"the runs are trained one after another: {why}"}


def failed(keys: Iterable[str], reason: str) -> Message:
    """The results of a chunk that came to nothing."""
    return {"results": {key: {"outcomes": {}, "reason": reason} for key in keys}}


def attempt(
    setup: Mapping[str, Any], jobs: Mapping[str, RunSpec], cache: dict[str, Any], emit: Callable[[int], None]
) -> Message:
    """:func:`train_chunk`; what can be said in one sentence becomes the reason of failed runs, a bug stays an exception."""
    try:
        return train_chunk(setup, jobs, cache, emit)
    except NoRunAxis as error:
        return {"apart": str(error)}
    except CausalMixError as error:
        cache.clear()
        return failed(jobs, str(error))
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        return {"too_large": f"{len(jobs)} proxies at once do not fit into memory; ask for smaller proxies"}


def attempt_all(
    setup: Mapping[str, Any], jobs: Mapping[str, RunSpec], cache: dict[str, Any], emit: Callable[[int], None]
) -> Message:
    """:func:`attempt`, far from anybody who could read a traceback: a bug becomes the reason too, and the next chunk is trained."""
    meter = Meter(emit)
    try:
        message = attempt(setup, jobs, cache, meter)
    except Exception as error:
        message = failed(jobs, f"training broke off: {type(error).__name__}: {error}")
    return {**message, "tokens": meter.rest}


def train_chunk(
    setup: Mapping[str, Any], jobs: Mapping[str, RunSpec], cache: dict[str, Any], emit: Callable[[int], None]
) -> Message:
    """Train one chunk of runs and return its results as a message; ``cache`` keeps what chunks share.

    Raises
    ------
    StudyError: a file of the study that is not what it was when the launch began; nothing trained on it is returned.
    """
    folder = Path(setup["folder"])
    if "files" not in cache:
        cache["files"] = Corpus.open(folder / DATA), Checked(folder, setup["base"], BASE_CHANGED)
    for files in cache["files"]:
        files.check()
    if "train" not in cache:
        cache["train"] = as_config(setup["config"]).trainer(setup, cache["files"][0])
    trained = cache["train"](list(jobs.values()), emit)
    for files in cache["files"]:
        files.check()  # nothing is recorded of data that changed under the training
    return {
        "results": {key: {"outcomes": run.outcomes, "reason": run.reason} for key, run in zip(jobs, trained)}
    }


class Meter:
    """Reports of tokens a few times a second, however short the steps are; ``rest`` is what has not been reported."""

    def __init__(self, emit: Callable[[int], None]) -> None:
        self._emit, self.rest, self._last = emit, 0, time.monotonic()

    def __call__(self, tokens: int) -> None:
        self.rest += tokens
        now = time.monotonic()
        if now - self._last >= EVERY:
            self._emit(self.rest)
            self.rest, self._last = 0, now


def _is_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text
