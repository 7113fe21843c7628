"""Linear algebra of some hundred rows: torch on one thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_LOCK = threading.RLock()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, and put its number of threads back; ``@one_thread()`` does so for a function.

    Matrices of a few hundred rows gain nothing from a second thread, lose up to tenfold where cores are shared, and are
    the same bit by bit only if sums are taken in the same order.
    """
    import torch

    with _LOCK:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
