"""The EleutherAI evaluation harness, and what writes as it does (Levanter).

0.4 writes ``results`` -> task -> ``"<metric>,<filter>"`` -> value, beside ``"<metric>_stderr,<filter>"``, and says in ``higher_is_better``
which way is good; 0.3 wrote ``"<metric>"`` and ``"<metric>_stderr"``, and nothing on directions. Levanter adds ``averages`` over tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from causalmix_nb.runs.evaluations.reader import READERS, Reader, Score, is_score, number, once, put, score


def is_harness(content: Any) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get("results"), Mapping)


def harness(content: Any) -> dict[str, Score]:
    top = once(content, "the top level")
    better = once(top.get("higher_is_better"), "higher_is_better")
    found: dict[str, Score] = {}
    parts = [("results", once(top["results"], "results")), ("groups", once(top.get("groups"), "groups"))]
    new = "lm_eval_version" in top or any(
        "," in name for _, tasks in parts for m in tasks.values() if isinstance(m, Mapping) for name in m
    )
    for part, tasks in parts:
        for task, metrics in tasks.items():
            stated = once(better.get(task), "higher_is_better")
            for metric, kind, value in _metrics(once(metrics, f"{part}.{task}"), new):
                outcome = f"{task}.{metric}" + ("" if kind in ("", "none") else f".{kind}")
                put(found, outcome, score(value, metric, stated.get(metric)))
    for metric, value in once(top.get("averages"), "averages").items():
        if (finite := number(value)) is not None and is_score(metric):
            put(found, f"averages.{metric}", score(finite, metric))
    return found


def _metrics(metrics: Mapping[str, Any], new: bool) -> Iterator[tuple[str, str, float]]:
    """Metric, filter and value. From version 0.4 on a metric is written with its filter, and what has none is no metric."""
    for name, value in metrics.items():
        metric, comma, kind = name.partition(",")
        finite = number(value)
        if finite is not None and is_score(metric) and bool(comma) == new:
            yield metric, kind.strip(), finite


READERS.register(
    Reader(
        "harness",
        "the evaluation harness",
        "a results_*.json that lm_eval --output_path wrote",
        is_harness,
        harness,
        files=("results*.json",),
    )
)
