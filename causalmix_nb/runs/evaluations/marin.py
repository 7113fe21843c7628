"""Reports of marin: ``task_metrics`` -> task -> metric -> value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causalmix_nb.runs.evaluations.harness import harness
from causalmix_nb.runs.evaluations.reader import READERS, Reader, Score, once


def _is_marin(content: Any) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get("task_metrics"), Mapping)


def _marin(content: Any) -> dict[str, Score]:
    top = once(content, "the top level")
    return harness({"results": top["task_metrics"], "averages": top.get("averages")})


READERS.register(Reader("marin", "marin", "", _is_marin, _marin))
