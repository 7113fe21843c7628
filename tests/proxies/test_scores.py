"""Scores of one's own become outcomes, in this process and in workers; what cannot be scored is said in a sentence."""

import sys

import pytest

from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.scores import as_score, load_score
from causalmix_nb.study.study import Study

FILE = '''
import torch


def apples(proxy):
    """How likely the proxy finds a sentence."""
    text = b"The apple number 3 is appleish."
    windows = torch.tensor([list(text)])[None]
    return {"apple_bits": float(proxy.token_losses(windows).mean()), "always": 1.0}


def broken(proxy):
    raise ValueError("no idea")


def words(proxy):
    return "well"


def clash(proxy):
    return {"bpb": 0.0}


CONSTANT = 3
'''


@pytest.fixture
def scores(tmp_path, monkeypatch):
    """A file with scores in the folder that the test runs in."""
    (tmp_path / "own_scores.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_scores"
    sys.modules.pop("own_scores", None)


def test_a_function_of_this_process_scores_every_proxy(study):
    def quiz(proxy):
        assert proxy.n_runs == 1
        return float(next(iter(proxy)).abs().sum())

    report = study.run(8, 1_000, executor="inline", score=quiz)
    assert report.done == 8
    found = study.runs.frame["outcome.quiz"]
    assert found.notna().all() and found.nunique() > 1  # each run has weights of its own
    assert study.runs.minimize["quiz"] is False and study.runs.outcome_names[0] == "bpb"


def test_workers_import_a_score_by_its_name(study, scores):
    study.run(8, 1_000, workers=1, score=f"{scores}:apples")
    frame = study.runs.frame
    assert frame["outcome.apple_bits"].notna().all() and (frame["outcome.always"] == 1).all()
    assert study.runs.minimize["apple_bits"] is True  # bits: lower is better


def test_a_function_of_a_file_is_named_for_workers_by_itself(scores):
    function = load_score(f"{scores}:apples")
    assert as_score(function, here=False) == "own_scores:apples" and as_score(function, here=True) is function


def test_a_score_does_not_change_what_a_run_is(study):
    study.run(8, 1_000, executor="inline")
    again = study.run(8, 1_000, executor="inline", score=lambda proxy: 1.0)
    assert (again.done, again.reused) == (0, 8)


def test_runs_whose_score_fails_are_recorded_with_the_reason(study, scores):
    report = study.run(8, 1_000, executor="inline", score=f"{scores}:broken")
    assert (
        report.failed == 8
        and "the score broken failed on a trained proxy: ValueError: no idea" in report.failures[0]
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [("words", "returned a str; return a number"), ("clash", "returns 'bpb', which is an outcome already")],
)
def test_scores_that_are_no_scores_are_named_in_the_record(study, scores, name, said):
    assert said in study.run(8, 1_000, executor="inline", score=f"{scores}:{name}").failures[0]


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ("own_scores", "is no 'module:function'"),
        ("no_such_module:quiz", "cannot be imported"),
        ("own_scores:quiz", "has no function 'quiz'"),
        ("own_scores:CONSTANT", "is a int; a score is a function"),
        (3, "score is a int; give a function"),
        (lambda proxy: 1.0, "workers cannot see .* give 'module:function', or use executor='inline'"),
    ],
)
def test_scores_that_cannot_be_used_are_refused_before_anything_is_trained(study, scores, score, said):
    for step in (study.run, study.start, study.cost):
        with pytest.raises(TrainingError, match=said):
            step(8, 1_000, score=score)
    assert not len(study.runs) and not study.trainer.meter.has_base


def test_a_study_with_scores_opens_again_and_fits_them(study):
    study.run(
        24, 1_000, executor="inline", score=lambda proxy: {"weight": float(next(iter(proxy)).abs().sum())}
    )
    again = Study.open(study.folder)
    assert "weight" in again.runs.outcome_names
    assert again.fit("weight", method="gp").outcome == "weight"
