"""Generated files of evaluation tools: what is read is what a plain reading finds, or one sentence refuses the file."""

import json
import math
import sys
import time
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from causalmix_nb.errors import CausalMixError
from causalmix_nb.runs.directions import lower_is_better
from causalmix_nb.runs.evaluations.reader import read_scores
from causalmix_nb.runs.lm_eval import _holds, _loose
from fuzzing import tries

MANY = tries(250)
names = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters=",\n\r"), min_size=1, max_size=12
).filter(str.strip) | st.sampled_from(
    ["acc", "acc_norm", "f1", "bits_per_byte", "word_perplexity", "glossary_f1", "orbits_acc", "exact_match", "score7", "质量"]
)  # fmt: skip
filters = st.sampled_from(["none", "strict-match", "flexible-extract"])
good = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
odd = st.none() | st.booleans() | st.just("N/A") | st.just(math.nan) | st.just(math.inf) | st.just(10**400) | st.lists(good, max_size=2) | st.dictionaries(names, good, max_size=2)  # fmt: skip
anything = st.recursive(
    good | odd | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


def plain(value) -> bool:
    """Whether a value is a number as a person would read it."""
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    )  # NaN fails the comparison


def read(tmp_path, text: str, name: str = "results.json"):
    """Scores, or the sentence that refuses them; anything else is a fault."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return {name: (score.value, score.lower) for name, score in read_scores(file).items()}
        except CausalMixError as refused:
            assert "\n" not in str(refused) and len(str(refused)) < 600
            return str(refused)
        finally:
            assert time.monotonic() - start < 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def told(pairs: list) -> dict | None:
    """Outcome -> value and direction; None where one outcome has two values, so that the file must be refused."""
    found: dict = {}
    for name, value, low in pairs:
        if name in found and found[name][0] != value:
            return None
        found[name] = (value, low)
    return found


def agrees(found, wanted) -> bool:
    if not wanted:
        return isinstance(found, str) and ("twice" in found) == (wanted is None)
    return found == wanted


def not_a_score(metric: str) -> bool:
    return metric.endswith("_stderr") or metric in (
        "alias", "sample_len", "n_samples", "samples", "num_instances", "num_fewshot", "n_shot", "version",
    )  # fmt: skip


@MANY
@given(st.dictionaries(names, st.dictionaries(names, good | odd, max_size=5), max_size=4), st.data())
@example({"t": {"acc": 10**400}}, None)
@example({"t": {"acc": True}}, None)
def test_files_of_version_0_3(folder, tasks, _):
    wanted = told(
        [
            (f"{task}.{metric}", float(value), lower_is_better(metric))
            for task, metrics in tasks.items()
            for metric, value in metrics.items()
            if plain(value) and not not_a_score(metric)
        ]
    )
    found = read(folder, json.dumps({"results": tasks, "versions": {}}))
    assert agrees(found, wanted)


@MANY
@given(
    st.dictionaries(
        names, st.dictionaries(st.tuples(names, filters), good | odd, min_size=1, max_size=4), min_size=1, max_size=3
    ),
    st.dictionaries(names, st.booleans() | st.none() | st.just("up"), max_size=4),
    st.booleans(),
)  # fmt: skip
def test_files_of_version_0_4(folder, tasks, better, everywhere):
    pairs, written = [], {}
    for task, metrics in tasks.items():
        rows = written.setdefault(task, {"alias": task, "sample_len": 7})
        for (metric, kind), value in metrics.items():
            rows[f"{metric},{kind}"] = value
            rows[f"{metric}_stderr,{kind}"] = 0.1
            stated = better.get(metric) if everywhere else None
            low = not stated if isinstance(stated, bool) else lower_is_better(metric)
            if plain(value) and not not_a_score(metric):
                pairs.append((f"{task}.{metric}" + ("" if kind == "none" else f".{kind}"), float(value), low))
    content = {"results": written, "lm_eval_version": "0.4.9"}
    if everywhere:
        content["higher_is_better"] = {task: better for task in tasks}
    assert agrees(read(folder, json.dumps(content)), told(pairs))


@MANY
@given(
    st.dictionaries(names, st.dictionaries(names, good | odd, max_size=4), min_size=1, max_size=4),
    st.sampled_from(["lines", "list", "nested"]),
)
def test_files_of_olmes(folder, tasks, kind):
    own = ("task_idx", "processing_time", "task", "task_name", "metrics", "task_config")
    tasks = {task: {m: v for m, v in metrics.items() if m not in own} for task, metrics in tasks.items()}
    wanted = told(
        [
            (f"{task}.{metric}", float(value), lower_is_better(metric))
            for task, metrics in tasks.items()
            for metric, value in metrics.items()
            if plain(value) and not not_a_score(metric)
        ]
    )
    if kind == "lines":
        rows = [json.dumps({"task_name": task, "metrics": metrics}) for task, metrics in tasks.items()]
        found = read(folder, "\n".join(rows), "metrics-all.jsonl")
    elif kind == "list":
        rows = [{"task": task, **metrics} for task, metrics in tasks.items()]
        found = read(folder, json.dumps({"all_primary_scores": [], "metrics": rows}))
    else:
        rows = [{"alias": task, "metrics": metrics} for task, metrics in tasks.items()]
        found = read(folder, json.dumps({"tasks": rows}))
    assert agrees(found, wanted)


@MANY
@given(
    anything
    | st.fixed_dictionaries(
        {},
        optional={
            name: anything
            for name in ("results", "groups", "higher_is_better", "metrics", "tasks", "task_name", "task_metrics", "averages", "task_config")
        },
    )
)  # fmt: skip
@example({"results": {"": {"": 1}}})
@example({"metrics": [], "tasks": [{"alias": []}]})
def test_any_json_is_read_or_refused_in_a_sentence(folder, content):
    found = read(folder, json.dumps(content))
    if isinstance(found, dict):
        assert found and all(math.isfinite(value) and isinstance(low, bool) for value, low in found.values())


@MANY
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80) | st.binary(max_size=80))
def test_any_file_is_refused_in_a_sentence(folder, content):
    file = folder / "any.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CausalMixError):
        read_scores(file)


@MANY
@given(st.text("ab1-_. /", max_size=8), st.text("ab1-_. /", max_size=14))
@example("mix-1", "mix-10")
@example("mix-1", "mix-1.5")
def test_a_name_is_held_only_as_whole_words(name, text):
    name, text = _loose(name), _loose(text)
    if not name or not _holds(text, name):
        return
    ends = [i for i in range(len(text)) if text.startswith(name, i)]
    assert any(
        (i == 0 or not text[i - 1].isalnum())
        and (i + len(name) == len(text) or not text[i + len(name)].isalnum())
        for i in ends
    )
