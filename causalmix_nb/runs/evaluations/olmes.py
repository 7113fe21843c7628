"""OLMES: ``metrics-all.jsonl`` and ``task-*-metrics.json`` hold a task each, ``metrics.json`` a list of them.

A task has ``task_name``, ``metrics``, and ``task_config`` with ``primary_metric`` and the full name, ``metadata.alias``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causalmix_nb.runs.evaluations.reader import READERS, Reader, Score, is_score, number, once, put, score


def _olmes_tasks(content: Any) -> list[Mapping[str, Any]]:
    """The tasks in any of its files; none in a file that is not its own."""
    tasks = content if isinstance(content, list) else [content]
    if isinstance(content, Mapping) and "task_name" not in content:
        tasks = next(
            (content[name] for name in ("metrics", "tasks") if isinstance(content.get(name), list)), []
        )
    known = [
        task
        for task in tasks
        if isinstance(task, Mapping) and not {"task_name", "task", "alias", "task_config"}.isdisjoint(task)
    ]
    return known if len(known) == len(tasks) else []


def _is_olmes(content: Any) -> bool:
    return bool(_olmes_tasks(content))


def _olmes(content: Any) -> dict[str, Score]:
    found: dict[str, Score] = {}
    for task in _olmes_tasks(content):
        task = once(task, "a task")
        config = once(task.get("task_config"), "task_config")
        alias = once(config.get("metadata"), "metadata").get("alias")
        name = next(
            (
                n
                for n in (alias, task.get("alias"), task.get("task_name"), task.get("task"))
                if isinstance(n, str) and n
            ),
            None,
        )
        if name is None:
            continue
        primary = config.get("primary_metric")
        metrics = once(task["metrics"], f"the metrics of {name}") if "metrics" in task else task
        for metric, value in metrics.items():
            finite = number(value)
            if finite is None or not is_score(metric) or metric in ("task_idx", "processing_time"):
                continue
            spoken = primary if metric == "primary_score" and isinstance(primary, str) else metric
            put(found, f"{name}.{metric}", score(finite, spoken))
    return found


READERS.register(
    Reader(
        "olmes",
        "OLMES",
        "the metrics.json of OLMES",
        _is_olmes,
        _olmes,
        files=("metrics-all.jsonl", "task-*-metrics.json"),
        instead=("metrics-all.jsonl", "metrics.json", "task-*-metrics.json"),
    )
)
