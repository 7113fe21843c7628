"""Files of evaluation tools, as people have them: every shape read as what it is, or refused in a sentence; every file with its own run."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.errors import RunsError
from causalmix_nb.runs.database import Database
from causalmix_nb.runs.evaluations.reader import READERS, read_scores
from causalmix_nb.runs.lm_eval import attach_lm_eval, read_lm_eval
from causalmix_nb.runs.store import Runs

PACKAGE = Path(__file__).parents[2] / "causalmix_nb"


def put(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def acc(value: float) -> dict:
    return {"results": {"arc": {"acc": value, "acc_stderr": 0.01}}}


def imported(*names: str) -> Runs:
    """Runs of a table whose index is the user's own names."""
    T = np.random.default_rng(0).dirichlet([1, 1], len(names))
    index = pd.Index(names)
    return Runs.from_frames(
        pd.DataFrame(T, columns=["a", "b"], index=index), pd.DataFrame({"loss": T[:, 0]}, index=index)
    )


def labelled(*labels: str) -> Runs:
    """Runs that carry the user's name as their label."""
    runs = Runs(Database.memory())
    runs.declare_outcomes({"loss": True})
    runs.add(
        [{"key": f"{i:06d}-{i}", "label": label, "mixture": {"a": 0.5, "b": 0.5}, "outcome": {"loss": 1.0}} for i, label in enumerate(labels)]
    )  # fmt: skip
    return runs


def by_name(runs: Runs, names, outcome="arc.acc") -> dict:
    frame = runs.frame
    values = frame[f"outcome.{outcome}"] if f"outcome.{outcome}" in frame else [np.nan] * len(frame)
    return {name: None if pd.isna(value) else value for name, value in zip(names, values)}


# -- what is in a file -------------------------------------------------------------------------------------------


def test_version_0_3_of_the_harness_writes_metrics_without_a_filter(tmp_path):
    file = put(
        tmp_path / "mix-01.json",
        {
            "results": {
                "hellaswag": {"acc": 0.3, "acc_stderr": 0.01, "acc_norm": 0.4, "acc_norm_stderr": 0.01},
                "wikitext": {"word_perplexity": 40.0, "byte_perplexity": 1.9, "bits_per_byte": 0.95},
                "wsc273": {"acc": 0.5, "acc_stderr": None},
            },
            "versions": {"hellaswag": 0},
            "config": {"model": "gpt2", "num_fewshot": 0},
        },
    )
    assert read_lm_eval(file) == {
        "hellaswag.acc": (0.3, False),
        "hellaswag.acc_norm": (0.4, False),
        "wikitext.word_perplexity": (40.0, True),
        "wikitext.byte_perplexity": (1.9, True),
        "wikitext.bits_per_byte": (0.95, True),
        "wsc273.acc": (0.5, False),
    }


def test_what_has_no_filter_in_a_file_of_version_0_4_is_no_metric(tmp_path):
    file = put(tmp_path / "r.json", {"results": {"a": {"acc,none": 0.3, "sample_len": 100, "weight": 3}}})
    assert set(read_lm_eval(file)) == {"a.acc"}


def test_groups_are_outcomes_too(tmp_path):
    content = {"results": {"mmlu_law": {"acc,none": 0.2}}, "groups": {"mmlu": {"acc,none": 0.3, "alias": "mmlu"}}}  # fmt: skip
    assert read_lm_eval(put(tmp_path / "r.json", content)) == {
        "mmlu_law.acc": (0.2, False),
        "mmlu.acc": (0.3, False),
    }


@pytest.mark.parametrize(
    ("metric", "stated", "lower"),
    [("word_perplexity", True, False), ("acc", False, True), ("acc", None, False), ("ter", None, True), ("glossary_f1", None, False), ("orbits_acc", None, False)],
)  # fmt: skip
def test_the_files_own_word_on_the_direction_wins_over_the_name(tmp_path, metric, stated, lower):
    content = {"results": {"t": {f"{metric},none": 0.5}}, "higher_is_better": {"t": {metric: stated}}}
    assert read_lm_eval(put(tmp_path / "r.json", content))[f"t.{metric}"] == (0.5, lower)


@pytest.mark.parametrize("better", [[], "yes", {"t": ["acc"]}, {"t": {"acc": "yes"}}, None])
def test_a_direction_that_is_none_is_passed_over(tmp_path, better):
    content = {"results": {"t": {"acc,none": 0.5}}, "higher_is_better": better}
    assert read_lm_eval(put(tmp_path / "r.json", content)) == {"t.acc": (0.5, False)}


OLMES_TASK = {
    "task_name": "arc_challenge",
    "task_hash": "6ea0",
    "model_hash": "b2ab",
    "task_config": {
        "task_name": "arc_challenge",
        "primary_metric": "acc_uncond",
        "metadata": {"alias": "arc_challenge:rc::olmes"},
    },
    "num_instances": 1172,
    "processing_time": 12.5,
    "metrics": {"acc_raw": 0.3, "acc_uncond": 0.35, "bits_per_byte_corr": 1.2, "primary_score": 0.35},
    "task_idx": 0,
}
OLMES_SAYS = {
    "arc_challenge:rc::olmes.acc_raw": (0.3, False),
    "arc_challenge:rc::olmes.acc_uncond": (0.35, False),
    "arc_challenge:rc::olmes.bits_per_byte_corr": (1.2, True),
    "arc_challenge:rc::olmes.primary_score": (0.35, False),
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics-all.jsonl", json.dumps(OLMES_TASK) + "\n\n"),
        ("task-000-arc_challenge-metrics.json", OLMES_TASK),
        (
            "metrics.json",
            {
                "all_primary_scores": ["arc_challenge:rc::olmes: 0.35"],
                "metrics": [
                    {
                        "task": "arc_challenge",
                        **OLMES_TASK["metrics"],
                        "num_instances": 1172,
                        "task_config": OLMES_TASK["task_config"],
                    }
                ],
                "model_config": {"model": "x"},
            },
        ),
        (
            "metrics.json",
            {
                "tasks": [
                    {
                        "alias": "arc_challenge:rc::olmes",
                        "metrics": OLMES_TASK["metrics"],
                        "task_config": {"primary_metric": "acc_uncond"},
                    }
                ]
            },
        ),
    ],
)
def test_every_file_of_olmes_says_the_same(tmp_path, name, content):
    assert read_lm_eval(put(tmp_path / name, content)) == OLMES_SAYS


def test_a_primary_score_of_olmes_is_as_good_as_its_primary_metric(tmp_path):
    task = {
        "task_name": "pile",
        "metrics": {"primary_score": 1.1},
        "task_config": {"primary_metric": "bits_per_byte"},
    }
    assert read_lm_eval(put(tmp_path / "m.json", task)) == {"pile.primary_score": (1.1, True)}


def test_results_and_reports_of_marin_are_read(tmp_path):
    averages = {"macro_avg_acc": 0.4}
    levanter = {"results": {"arc": {"acc,none": 0.3, "bpb,none": 1.1}}, "averages": averages}
    report = {"task_metrics": {"arc": {"acc,none": 0.3, "bpb,none": 1.1}}, "averages": averages}
    wanted = {"arc.acc": (0.3, False), "arc.bpb": (1.1, True), "averages.macro_avg_acc": (0.4, False)}
    for name, content in (("results.json", levanter), ("report.json", report)):
        assert read_lm_eval(put(tmp_path / name, content)) == wanted


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("{", "not JSON"),
        ("[" * 100_000, "nested deeper"),
        ('{"results": ' * 50_000, "nested deeper"),
        ('{"results": {"t": {"acc": ' + "9" * 10_000 + "}}}", "not JSON"),
        ('{"results": {"t": {"acc": 1e999, "f1": NaN}}}', "holds no score"),
        ('{"results": {"t": {"acc": ' + "9" * 400 + "}}}", "holds no score"),
        ('{"results": []}', "is no result file"),
        ('{"results": {"t": [1, 2]}}', "holds no score"),
        ('{"results": {"t": {"acc": [0.3]}}}', "holds no score"),
        ('{"results": {"t": {"acc": true}}}', "holds no score"),
        ('{"results": {"t": {"acc": 0.3, "acc": 0.4}}}', "names 'acc' twice"),
        ('{"results": {"t": {"acc": 0.3}, "t": {"acc": 0.4}}}', "names 't' twice"),
        ("[1, 2]", "is no result file"),
        ("null", "is no result file"),
        ('"results"', "is no result file"),
        ('[{"task": "a", "acc": 0.1}, {"task": "a", "acc": 0.2}]', "holds 'a.acc' twice"),
    ],
)
def test_what_is_no_result_file_is_refused_in_a_sentence(tmp_path, content, said):
    with pytest.raises(RunsError, match=said) as refused:
        read_scores(put(tmp_path / "results.json", content))
    assert len(str(refused.value)) < 400 and str(refused.value).endswith((".", "?"))


def test_a_number_that_cannot_be_leaves_the_others(tmp_path):
    file = put(
        tmp_path / "r.json", '{"results": {"t": {"acc": 0.3, "f1": NaN, "em": "N/A", "ppl": Infinity}}}'
    )
    assert read_lm_eval(file) == {"t.acc": (0.3, False)}


def test_names_are_utf_8_whatever_the_locale(tmp_path):
    put(tmp_path / "r.json", '{"results": {"质量_é": {"acc": 0.3}}}')
    code = (
        "import sys; from causalmix_nb.runs.lm_eval import read_lm_eval\n"
        "print(ascii(list(read_lm_eval(sys.argv[1]))))"
    )
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env["PYTHONPATH"] = str(PACKAGE.parent)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "r.json")],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ast.literal_eval(done.stdout) == ["质量_é.acc"]


def test_a_byte_order_mark_is_no_part_of_the_text_and_latin_1_is_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(acc(0.3)).encode())
    (tmp_path / "b.json").write_bytes('{"results": {"é": {"acc": 1}}}'.encode("latin-1"))
    assert read_lm_eval(tmp_path / "a.json") == {"arc.acc": (0.3, False)}
    with pytest.raises(RunsError, match="not UTF-8"):
        read_lm_eval(tmp_path / "b.json")


def opened_as_text(tree: ast.AST) -> list[str]:
    """Calls that open a file as text without saying in which encoding."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(
            keyword.arg in ("encoding", None) for keyword in node.keywords
        ):
            continue
        name = ast.unparse(node.func)
        owner, _, method = name.rpartition(".")
        is_file = name == "open" or (
            method == "open" and re.fullmatch(r"[a-z_]+", owner) and owner not in ("os", "cls", "self")
        )
        binary = any(
            isinstance(a, ast.Constant) and "b" in str(a.value)
            for a in node.args[1 if name == "open" else 0 :]
        )
        if method in ("read_text", "write_text") or (is_file and not binary):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_every_text_file_is_opened_in_a_stated_encoding(path):
    assert opened_as_text(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_the_search_for_text_files_finds_them():
    code = "open(p)\nopen(p, 'a')\npath.open('w')\np.read_text()\np.write_text(x)\nopen(p, 'rb')\nRuns.open(p)\np.open('wb')"
    assert len(opened_as_text(ast.parse(code))) == 5


# -- which run it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [imported, labelled])
def test_runs_are_found_by_the_names_that_people_gave_them(make, tmp_path):
    names = ("mix-01", "mix-02", "mix-10", "mix-1")
    for i, name in enumerate(names):
        put(tmp_path / name / "results_2026-01-01T00-00-00.json", acc(i / 10))
    runs = make(*names)
    attached = attach_lm_eval(runs, tmp_path)
    assert by_name(runs, names) == {"mix-01": 0.0, "mix-02": 0.1, "mix-10": 0.2, "mix-1": 0.3}
    assert attached.unmatched == () and not any("part of their name" in note for note in attached.notes)


@pytest.mark.parametrize(
    "path",
    [
        "mix-01.json", "mix-01/results.json", "mix-01/model/results_1.json", "results_mix-01.json", "mix_01/results.json", "Mix-01/results.json",
        "eval-mix-01-final/results.json", "org__mix-01/results_2026.json", "mix-01/metrics-all.jsonl",
    ],
)  # fmt: skip
def test_files_and_folders_may_be_named_in_these_ways(path, tmp_path):
    content = json.dumps(OLMES_TASK) if path.endswith("jsonl") else acc(0.3)
    put(tmp_path / "evals" / path, content)
    runs = imported("mix-01", "mix-02", "mix-010")
    attach_lm_eval(runs, tmp_path / "evals")
    outcome = "arc_challenge:rc::olmes.acc_raw" if path.endswith("jsonl") else "arc.acc"
    assert by_name(runs, ("mix-01", "mix-02", "mix-010"), outcome) == {
        "mix-01": 0.3,
        "mix-02": None,
        "mix-010": None,
    }


@pytest.mark.parametrize(
    "name", ["mix-10", "mix-1.5", "premix-1", "mix-1a", "1-mix", "mix", "mix-", "xmix-1x"]
)
def test_a_name_is_never_taken_for_another_that_it_is_the_beginning_of(name, tmp_path):
    put(tmp_path / "evals" / name / "results.json", acc(0.3))
    with pytest.raises(RunsError, match="holds the key of a run, or its name"):
        attach_lm_eval(imported("mix-1", "mix-2"), tmp_path / "evals")


def test_the_whole_name_counts_before_a_part_of_it(tmp_path):
    put(tmp_path / "base-model-v2" / "results.json", acc(0.2))
    put(tmp_path / "base-model" / "results.json", acc(0.1))
    runs = imported("base-model", "base-model-v2")
    attach_lm_eval(runs, tmp_path)
    assert by_name(runs, ("base-model", "base-model-v2")) == {"base-model": 0.1, "base-model-v2": 0.2}


def test_of_names_that_hold_each_other_the_longest_is_meant(tmp_path):
    put(tmp_path / "base-model-v2-final" / "results.json", acc(0.2))
    runs = imported("base-model", "base-model-v2")
    attached = attach_lm_eval(runs, tmp_path)
    assert by_name(runs, ("base-model", "base-model-v2")) == {"base-model": None, "base-model-v2": 0.2}
    assert any("base-model-v2-final is read as run base-model-v2" in said for said in attached.sentences)


@pytest.mark.parametrize(
    ("runs", "folder"),
    [
        (imported("mix-1", "mix-2"), "mix-1-and-mix-2"),
        (labelled("mix-1", "mix-1"), "mix-1"),
        (imported("mix-1", "mix_1"), "Mix 1"),
    ],
)
def test_a_name_that_is_two_runs_is_refused(runs, folder, tmp_path):
    put(tmp_path / folder / "results.json", acc(0.3))
    with pytest.raises(RunsError, match="holds the keys of 2 runs"):
        attach_lm_eval(runs, tmp_path)


def test_numbers_as_names_are_matched_in_full_only(tmp_path):
    put(tmp_path / "1" / "results_2026-01-02T03-04-05.json", acc(0.1))
    put(tmp_path / "7" / "results_2026-01-02T03-04-05.json", acc(0.7))
    runs = imported("1", "2", "2026")
    attached = attach_lm_eval(runs, tmp_path)
    assert by_name(runs, ("1", "2", "2026")) == {"1": 0.1, "2": None, "2026": None}
    assert attached.unmatched == ("7/results_2026-01-02T03-04-05.json",)


def test_a_mapping_may_say_the_name_of_a_run(tmp_path):
    put(tmp_path / "a" / "results.json", acc(0.1))
    runs = imported("mix-1", "mix-2")
    attach_lm_eval(runs, tmp_path, {"a": "mix-2"})
    attach_lm_eval(runs, tmp_path / "a" / "results.json", "mix-1")
    assert by_name(runs, ("mix-1", "mix-2")) == {"mix-1": 0.1, "mix-2": 0.1}


def test_labels_that_a_design_gave_are_no_names(tmp_path):
    put(tmp_path / "design" / "results.json", acc(0.1))
    with pytest.raises(RunsError, match="holds the key of a run"):
        attach_lm_eval(labelled("design", "repeat"), tmp_path)


# -- folders -----------------------------------------------------------------------------------------------------


def test_samples_and_other_json_files_in_a_folder_hold_no_scores(tmp_path):
    put(tmp_path / "mix-1" / "results_1.json", acc(0.1))
    put(tmp_path / "mix-1" / "samples_arc_1.json", acc(0.9))
    put(tmp_path / "mix-1" / "samples_arc_1.jsonl", "not json")
    put(tmp_path / "mix-1" / "config.json", {"a": 1})
    put(tmp_path / "mix-1" / "notes.json", "{")
    runs = imported("mix-1", "mix-2")
    attached = attach_lm_eval(runs, tmp_path)
    assert by_name(runs, ("mix-1", "mix-2")) == {"mix-1": 0.1, "mix-2": None}
    assert "left out, since 1 other JSON file holds no scores: notes.json" in attached.notes


def test_files_of_version_0_3_beside_those_of_0_4_are_read_too(tmp_path):
    put(tmp_path / "mix-1" / "results_1.json", {"results": {"arc": {"acc,none": 0.1}}})
    put(tmp_path / "mix-2.json", acc(0.2))
    runs = imported("mix-1", "mix-2")
    attach_lm_eval(runs, tmp_path)
    assert by_name(runs, ("mix-1", "mix-2")) == {"mix-1": 0.1, "mix-2": 0.2}


def test_a_folder_of_olmes_is_read_once(tmp_path):
    put(tmp_path / "mix-1" / "metrics-all.jsonl", json.dumps(OLMES_TASK))
    put(
        tmp_path / "mix-1" / "task-000-arc_challenge-metrics.json", OLMES_TASK | {"metrics": {"acc_raw": 9.0}}
    )
    put(tmp_path / "mix-1" / "task-000-arc_challenge-predictions.jsonl", "{")
    put(tmp_path / "mix-1" / "metrics.json", {"metrics": [OLMES_TASK | {"metrics": {"acc_raw": 9.0}}]})
    runs = imported("mix-1", "mix-2")
    attach_lm_eval(runs, tmp_path)
    assert by_name(runs, ("mix-1",), "arc_challenge:rc::olmes.acc_raw") == {"mix-1": 0.3}


def test_a_direction_that_nobody_says_is_asked_about(tmp_path):
    put(tmp_path / "mix-1" / "results.json", {"results": {"quiz": {"points": 3}}})
    attached = attach_lm_eval(imported("mix-1", "mix-2"), tmp_path)
    assert any("says which way quiz.points is better: taken as higher" in note for note in attached.sentences)


def test_files_that_contradict_each_other_on_a_direction_are_refused(tmp_path):
    for name, better in (("mix-1", True), ("mix-2", False)):
        content = {"results": {"t": {"acc,none": 0.5}}, "higher_is_better": {"t": {"acc": better}}}
        put(tmp_path / name / "results.json", content)
    with pytest.raises(RunsError, match="one file says that higher is better for 't.acc'"):
        attach_lm_eval(imported("mix-1", "mix-2"), tmp_path)


def test_a_declared_direction_that_a_file_contradicts_is_said(tmp_path):
    content = {"results": {"t": {"acc,none": 0.5}}, "higher_is_better": {"t": {"acc": True}}}
    put(tmp_path / "mix-1" / "results.json", content)
    runs = imported("mix-1", "mix-2")
    runs.declare_outcomes({"t.acc": True})
    attached = attach_lm_eval(runs, tmp_path)
    assert attached.minimize == {"t.acc": True} and any("say the opposite" in note for note in attached.notes)


def test_every_reader_knows_its_own_files_and_no_other():
    shown = {"harness": acc(0.1), "olmes": OLMES_TASK, "marin": {"task_metrics": {}}}
    for reader in READERS.values():
        assert [name for name, content in shown.items() if reader.knows(content)] == [reader.name]


def test_a_line_separator_inside_a_text_ends_no_line_of_jsonl(tmp_path):
    task = {"task_name": "a\u2028b", "metrics": {"acc": 0.3}}
    file = put(tmp_path / "metrics-all.jsonl", json.dumps(task, ensure_ascii=False) + "\r\n")
    assert read_lm_eval(file) == {"a\u2028b.acc": (0.3, False)}
