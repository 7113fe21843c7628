"""What the files of evaluation tools say: scores with their direction, from whichever tool wrote them.

Each tool is one entry of :data:`READERS`: which file names are its own, by what its content is known, how it is read. Three are there.

* The EleutherAI evaluation harness. 0.4 writes ``results`` -> task -> ``"<metric>,<filter>"`` -> value, beside ``"<metric>_stderr,<filter>"``, and
  says in ``higher_is_better`` which way is good; 0.3 wrote ``"<metric>"`` and ``"<metric>_stderr"``, and nothing on directions. Levanter writes
  the same, with ``averages`` over tasks.
* OLMES. ``metrics-all.jsonl`` and ``task-*-metrics.json`` hold a task each: ``task_name``, ``metrics``, ``task_config`` with ``primary_metric`` and
  the full name, ``metadata.alias``; ``metrics.json`` holds a list of them.
* Reports of marin: ``task_metrics`` -> task -> metric -> value.

A score is an outcome ``<task>.<metric>``. The file's own word on its direction counts, else the metric's name (:mod:`causalmix_nb.directions`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causalmix_nb.directions import direction_of
from causalmix_nb.errors import RunsError

NO_METRIC = frozenset("alias sample_len n_samples samples num_instances num_fewshot n_shot version".split())
SAID_BY_FILE, SAID_BY_NAME, UNSAID = "file", "name", ""


@dataclass(frozen=True, slots=True)
class Score:
    """One score. value: in its own units. lower: whether lower is better. said: who says so: "file", "name", or "" for nobody."""

    value: float
    lower: bool
    said: str


@dataclass(frozen=True, slots=True)
class Reader:
    """How files of one tool are read.

    files: patterns of names that no other tool gives, so that such a file must be readable; files of other names are looked into.
    knows: whether a content is the tool's. read: its scores. instead: patterns of files that say the same, best first: of those in one
    folder only the first kind is read.
    """

    name: str
    files: tuple[str, ...]
    knows: Callable[[Any], bool]
    read: Callable[[Any], dict[str, Score]]
    instead: tuple[str, ...] = ()


def read_scores(file: str | Path) -> dict[str, Score]:
    """Scores in one file of an evaluation tool, ``<task>.<metric>`` -> :class:`Score`.

    Raises
    ------
    RunsError: a file that cannot be read, that no tool known here wrote, or that holds no score.
    """
    file = Path(file)
    content = _content(file)
    reader = next((reader for reader in READERS if reader.knows(content)), None)
    if reader is None:
        raise RunsError(
            f"{file.name} is no result file of the evaluation harness, nor of {', '.join(r.name for r in READERS[1:])}; "
            "give a results_*.json that lm_eval --output_path wrote, or the metrics.json of OLMES."
        )
    found = reader.read(content)
    if not found:
        raise RunsError(
            f"{file.name} holds no score that is a number; was the evaluation run with --predict_only, or did it fail?"
        )
    return found


# -- JSON as it is ---------------------------------------------------------------------------------------------


class _Object(dict):
    """A JSON object that remembers which of its names were written twice."""

    twice: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found.twice = tuple(sorted({name for name in names if names.count(name) > 1}))
    return found


def _content(file: Path) -> Any:
    """The content of a JSON file, or the list of the lines of a JSONL file."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RunsError(f"cannot read {file} ({error.strerror}); check the path.") from None
    except UnicodeDecodeError:
        raise RunsError(
            f"{file.name} is not UTF-8 text, as JSON is; write the results again, or convert the file."
        ) from None
    try:
        if file.suffix == ".jsonl":
            return [json.loads(line, object_pairs_hook=_object) for line in text.split("\n") if line.strip()]
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise RunsError(
            f"{file.name} is nested deeper than any result file; is it a result file of the evaluation harness?"
        ) from None
    except ValueError as error:
        what = "empty" if not text.strip() else f"not JSON ({_first_line(error)})"
        raise RunsError(
            f"{file.name} is {what}, so it is no result file of the evaluation harness; was it written to the end?"
        ) from None


def _first_line(error: ValueError) -> str:
    return str(error).splitlines()[0][:80]


def _once(given: Any, where: str) -> Mapping[str, Any]:
    """An object of the file in which no name stands twice: which of two values counts would be a guess. Anything else counts as empty."""
    if not isinstance(given, Mapping):
        return {}
    if twice := getattr(given, "twice", ()):
        raise RunsError(
            f"{where} of the result file names {twice[0][:60]!r} twice; keep one of them, which counts cannot be told."
        )
    return given


def _number(value: Any) -> float | None:
    """A finite number, else None: scores that were not computed are "N/A", null, NaN or a text."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_score(metric: str) -> bool:
    return bool(metric.strip()) and not metric.endswith("_stderr") and metric not in NO_METRIC


def _score(value: float, metric: str, stated: Any = None) -> Score:
    """A score with its direction: as stated (true where higher is better), else by the metric's name, else higher is better."""
    if isinstance(stated, bool):
        return Score(value, not stated, SAID_BY_FILE)
    low = direction_of(metric)
    return Score(value, low is True, UNSAID if low is None else SAID_BY_NAME)


def _put(found: dict[str, Score], outcome: str, score: Score) -> None:
    """Take a score up; another one of the same name must not replace it without a word."""
    if outcome in found and found[outcome].value != score.value:
        raise RunsError(
            f"the file holds {outcome[:80]!r} twice, as {found[outcome].value:g} and {score.value:g}; keep the one that counts."
        )
    found[outcome] = score


# -- the evaluation harness ------------------------------------------------------------------------------------


def _is_harness(content: Any) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get("results"), Mapping)


def _harness(content: Any) -> dict[str, Score]:
    top = _once(content, "the top level")
    better = _once(top.get("higher_is_better"), "higher_is_better")
    found: dict[str, Score] = {}
    parts = [("results", _once(top["results"], "results")), ("groups", _once(top.get("groups"), "groups"))]
    new = "lm_eval_version" in top or any(
        "," in name for _, tasks in parts for m in tasks.values() if isinstance(m, Mapping) for name in m
    )
    for part, tasks in parts:
        for task, metrics in tasks.items():
            stated = _once(better.get(task), "higher_is_better")
            for metric, kind, value in _metrics(_once(metrics, f"{part}.{task}"), new):
                outcome = f"{task}.{metric}" + ("" if kind in ("", "none") else f".{kind}")
                _put(found, outcome, _score(value, metric, stated.get(metric)))
    for metric, value in _once(top.get("averages"), "averages").items():
        if (number := _number(value)) is not None and _is_score(metric):
            _put(found, f"averages.{metric}", _score(number, metric))
    return found


def _metrics(metrics: Mapping[str, Any], new: bool) -> Iterator[tuple[str, str, float]]:
    """Metric, filter and value. From version 0.4 on a metric is written with its filter, and what has none is no metric."""
    for name, value in metrics.items():
        metric, comma, kind = name.partition(",")
        number = _number(value)
        if number is not None and _is_score(metric) and bool(comma) == new:
            yield metric, kind.strip(), number


# -- OLMES -----------------------------------------------------------------------------------------------------


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
        task = _once(task, "a task")
        config = _once(task.get("task_config"), "task_config")
        alias = _once(config.get("metadata"), "metadata").get("alias")
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
        metrics = _once(task["metrics"], f"the metrics of {name}") if "metrics" in task else task
        for metric, value in metrics.items():
            number = _number(value)
            if number is None or not _is_score(metric) or metric in ("task_idx", "processing_time"):
                continue
            spoken = primary if metric == "primary_score" and isinstance(primary, str) else metric
            _put(found, f"{name}.{metric}", _score(number, spoken))
    return found


# -- marin -----------------------------------------------------------------------------------------------------


def _is_marin(content: Any) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get("task_metrics"), Mapping)


def _marin(content: Any) -> dict[str, Score]:
    top = _once(content, "the top level")
    return _harness({"results": top["task_metrics"], "averages": top.get("averages")})


READERS = (
    Reader("the evaluation harness", ("results*.json",), _is_harness, _harness),
    Reader(
        "OLMES",
        ("metrics-all.jsonl", "task-*-metrics.json"),
        _is_olmes,
        _olmes,
        instead=("metrics-all.jsonl", "metrics.json", "task-*-metrics.json"),
    ),
    Reader("marin", (), _is_marin, _marin),
)
