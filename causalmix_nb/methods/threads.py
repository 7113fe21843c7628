"""Linear algebra of some hundred rows on one thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_LOCK = threading.RLock()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run NumPy's and SciPy's linear algebra on one thread, and put the number of threads back; ``@one_thread()`` does so for a function.

    Matrices of a few hundred rows gain nothing from a second thread, lose up to tenfold where cores are shared, and are
    the same bit by bit only if sums are taken in the same order.
    """
    with _LOCK, _libraries().limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _libraries() -> Any:
    import scipy.linalg.lapack  # brings a library of its own, which has to be known too  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
