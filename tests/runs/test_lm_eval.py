"""Results of the EleutherAI evaluation harness become outcomes of the runs that they belong to."""

import json

import pandas as pd
import pytest

from causalmix_nb.errors import RunsError
from causalmix_nb.runs.lm_eval import attach_lm_eval, read_lm_eval
from causalmix_nb.runs.store import Runs


def results(acc=0.28, bits=1.1, better=True):
    """What lm_eval 0.4 writes, shortened."""
    content = {
        "results": {
            "hellaswag": {
                "alias": "hellaswag", "sample_len": 10042, "acc,none": acc, "acc_stderr,none": 0.0045,
                "acc_norm,none": round(acc + 0.02, 4), "acc_norm_stderr,none": 0.0046,
            },
            "wikitext": {
                "alias": "wikitext", "word_perplexity,none": 40.2, "word_perplexity_stderr,none": "N/A",
                "bits_per_byte,none": bits, "bits_per_byte_stderr,none": "N/A",
            },
            "gsm8k": {
                "alias": "gsm8k", "exact_match,strict-match": 0.01, "exact_match_stderr,strict-match": 0.002,
                "exact_match,flexible-extract": 0.02, "exact_match_stderr,flexible-extract": 0.003,
            },
        },
        "group_subtasks": {"hellaswag": [], "wikitext": [], "gsm8k": []},
        "configs": {"hellaswag": {"task": "hellaswag", "num_fewshot": 0}},
        "versions": {"hellaswag": 1.0, "wikitext": 2.0, "gsm8k": 3.0},
        "n-shot": {"hellaswag": 0, "wikitext": 0, "gsm8k": 5},
        "higher_is_better": {
            "hellaswag": {"acc": True, "acc_norm": True},
            "wikitext": {"word_perplexity": False, "bits_per_byte": False},
            "gsm8k": {"exact_match": True},
        },
        "config": {"model": "hf", "model_args": "pretrained=run,dtype=float32", "batch_size": "8"},
        "date": 1790000000.0,
        "lm_eval_version": "0.4.9",
    }  # fmt: skip
    if not better:
        del content["higher_is_better"]
    return json.dumps(content)


@pytest.fixture
def runs(tmp_path):
    store = Runs.open(tmp_path / "runs.sqlite", create=True)
    store.declare_outcomes({"bpb": True})
    rows = [
        {"key": f"{i:02d}abcdef", "mixture": {"a": i / 4, "b": 1 - i / 4}, "outcome": {"bpb": 3.0 - i}}
        for i in range(4)
    ]
    store.add([*rows, {"key": "failed01", "mixture": {"a": 1, "b": 0}, "status": "failed"}])
    return store


def written(tmp_path, **files):
    for path, text in files.items():
        target = tmp_path / "evals" / path.replace("__", "/").replace("_json", ".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path / "evals"


def test_metrics_of_every_task_become_outcomes_with_their_direction(tmp_path):
    file = tmp_path / "results_2026-01-02T03-04-05.678901.json"
    file.write_text(results())
    found = read_lm_eval(file)
    assert found["hellaswag.acc"] == (0.28, False) and found["hellaswag.acc_norm"] == (0.3, False)
    assert found["wikitext.bits_per_byte"] == (1.1, True) and found["wikitext.word_perplexity"][1]
    assert found["gsm8k.exact_match.strict-match"] == (0.01, False)
    assert not [name for name in found if "stderr" in name or "sample_len" in name]


def test_without_a_stated_direction_perplexities_and_bits_are_losses(tmp_path):
    (tmp_path / "r.json").write_text(results(better=False))
    found = read_lm_eval(tmp_path / "r.json")
    assert found["wikitext.bits_per_byte"][1] and found["wikitext.word_perplexity"][1]
    assert not found["hellaswag.acc"][1]


def test_folders_and_files_named_after_runs_are_matched(runs, tmp_path):
    folder = written(
        tmp_path,
        **{
            "00abcdef__model__results_2026-01-01_json": results(acc=0.1),
            "proxy-01abcdef-final__results_2026-01-01_json": results(acc=0.2),
            "results_02abcdef_json": results(acc=0.3),
            "somebody_else__results_1_json": results(acc=0.9),
        },
    )
    attached = attach_lm_eval(runs, folder)
    frame = runs.frame.set_index("key")["outcome.hellaswag.acc"]
    assert frame[["00abcdef", "01abcdef", "02abcdef"]].tolist() == [0.1, 0.2, 0.3]
    assert pd.isna(frame["03abcdef"]) and pd.isna(frame["failed01"])
    assert attached.unmatched == ("somebody_else/results_1.json",)
    said = " ".join(attached.sentences)
    assert "1 run has no file" in said and "1 file names no run" in said


def test_attached_scores_are_outcomes_like_others_and_old_ones_stay(runs, tmp_path):
    attach_lm_eval(runs, written(tmp_path, **{"00abcdef__results_json": results()}))
    assert runs.minimize["hellaswag.acc"] is False and runs.minimize["wikitext.bits_per_byte"] is True
    assert runs.outcome_names[0] == "bpb"
    assert runs.frame.set_index("key").loc["00abcdef", "outcome.bpb"] == 3.0


def test_of_two_results_of_one_run_the_later_one_counts(runs, tmp_path):
    folder = written(
        tmp_path,
        **{
            "00abcdef__results_2026-01-02_json": results(acc=0.7),
            "00abcdef__results_2026-01-01_json": results(acc=0.6),
        },
    )
    attach_lm_eval(runs, folder)
    assert runs.frame.set_index("key").loc["00abcdef", "outcome.hellaswag.acc"] == 0.7


def test_a_mapping_or_a_key_says_which_run_it_is(runs, tmp_path):
    folder = written(tmp_path, big__results_1_json=results(acc=0.5), small__results_1_json=results(acc=0.4))
    attach_lm_eval(runs, folder, {"big": "00abcdef", "small/results_1.json": "01abcdef"})
    attach_lm_eval(runs, folder / "big" / "results_1.json", "02abcdef")
    found = runs.frame.set_index("key")["outcome.hellaswag.acc"]
    assert found[["00abcdef", "01abcdef", "02abcdef"]].tolist() == [0.5, 0.4, 0.5]


@pytest.mark.parametrize(
    ("files", "key", "said"),
    [
        ({}, None, "there is nothing at"),
        ({"notes_txt": "x"}, None, "no results_"),
        ({"00abcdef__results_json": "{"}, None, "is no result file of the evaluation harness"),
        ({"00abcdef__results_json": '{"results": {}}'}, None, "holds no score"),
        ({"other__results_json": results()}, None, "holds the key of a run"),
        ({"00abcdef-01abcdef__results_json": results()}, None, "holds the keys of 2 runs"),
        ({"a__results_json": results()}, "00abcdfe", "Did you mean '00abcdef'"),
        ({"a__results_json": results()}, "failed01", "is the key of no finished run"),
        ({"a__results_json": results(), "b__results_json": results()}, "00abcdef", "2 result files, and one key"),
    ],
)  # fmt: skip
def test_what_cannot_be_attached_is_refused_in_a_sentence(runs, tmp_path, files, key, said):
    with pytest.raises(RunsError, match=said):
        attach_lm_eval(runs, written(tmp_path, **files), key)


def test_outcomes_of_unknown_runs_are_refused(runs):
    with pytest.raises(RunsError, match="'nobody' is the key of no finished run"):
        runs.add_outcomes({"nobody": {"x": 1.0}}, {"x": False})
    assert "x" not in runs.minimize


def test_a_finished_run_can_be_annotated_and_stays_finished(runs):
    runs.annotate({"00abcdef": "not trained longer: bpb 3 was last of 4"})
    row = runs.frame.set_index("key").loc["00abcdef"]
    assert row["status"] == "done" and row["outcome.bpb"] == 3.0 and "last of 4" in row["reason"]
    runs.annotate({"00abcdef": None})
    assert runs.frame.set_index("key").loc["00abcdef", "reason"] is None
