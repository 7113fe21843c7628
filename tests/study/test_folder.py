"""Claims about what is kept of a study: written whole, known to whoever trains it, shared and not copied by
other proxies of its tokens.
"""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from causalmix_nb.data.pool import Perturbation
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import MixtureError, StudyError
from causalmix_nb.proxies.config import BASE, DATA
from causalmix_nb.study.folder import META, StudyFolder
from causalmix_nb.study.study import Study
from tiny import TINY

WIDER = replace(TINY, d_model=32)


class Flat:
    """A scorer to which every token is equally surprising."""

    identity = "flat"

    def score(self, texts):
        n = sum(len(text.encode()) for text in texts)
        return np.ones(n), np.ones(n), n


def specs(study, n=3, budget=1_000):
    return [RunSpec((0.5, 0.3, 0.2), budget, {}, study.seed, 100 + i, "test") for i in range(n)]


def on_disk(study):
    return json.loads((study.folder / META).read_text(encoding="utf-8"))


# -- files ---------------------------------------------------------------------------------------------------


def test_what_is_noted_is_there_when_the_study_is_opened_again(study):
    study.files.note(token_budget=3_000)
    assert Study.open(study.folder).token_budget == 3_000


def test_a_note_that_cannot_be_written_leaves_the_one_before(study, monkeypatch):
    before = on_disk(study)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StudyError, match="No space left on device.*free disk space, then repeat"):
        study.files.note(token_budget=3_000)
    assert on_disk(study) == before


def test_what_a_job_notes_is_not_lost_when_the_study_writes_next(study):
    study.scorer = Flat()
    assert study.start(8, 1_000, executor="inline", states=False).wait(60)
    study.set_graph("mixture -> score")
    assert on_disk(study)["covariates"] == "scored by flat"
    with pytest.raises(
        StudyError, match=r"8 finished runs of this study have states of another kind: scored by flat then"
    ):
        Study.open(study.folder).run(9, 1_000, executor="inline", states=False)


def test_one_process_trains_at_a_time(study):
    with study.files.lock(), pytest.raises(StudyError, match="being trained already"):
        study.run(8, 1_000, executor="inline")
    assert study.run(8, 1_000, executor="inline").done == 8


@pytest.mark.parametrize(
    ("perturbation", "error", "message"),
    [
        ({"aples": Perturbation(noise=0.5)}, MixtureError, "aples"),
        ({"apples": 0.5}, StudyError, "the perturbation of 'apples' is 0.5; give a Perturbation"),
    ],
)
def test_a_perturbation_that_is_none_is_refused_before_anything_is_measured(
    study, perturbation, error, message
):
    with pytest.raises(error, match=message):
        study.measure_state(perturbation)
    assert not (study.folder / BASE).exists()


# -- other proxies of the same tokens
# --------------------------------------------------------------------------


@pytest.mark.parametrize("links", [True, False], ids=["links", "a system without links"])
def test_other_proxies_share_the_tokens_and_keep_runs_of_their_own(study, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "symlink", lambda *_, **__: (_ for _ in ()).throw(OSError("no links")))
    other = study.with_proxies(WIDER, "wider")
    assert (other.folder / DATA).is_symlink() is links
    assert other.corpus.fingerprint == study.corpus.fingerprint and other.config == WIDER
    assert other.run(8, 1_000, executor="local", workers=1).done == 8 and not len(study.runs)
    assert Study.open(other.folder).run(8, 1_000, executor="inline").reused == 8
    keys = {spec.key(study.trainer.context) for spec in specs(study)}
    assert keys.isdisjoint(spec.key(other.trainer.context) for spec in specs(study))


def test_a_copy_of_the_tokens_that_was_cut_short_is_made_again(study, monkeypatch):
    def half(_, folder, **__):
        folder.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "symlink", lambda *_, **__: (_ for _ in ()).throw(OSError("no links")))
        patch.setattr("causalmix_nb.study.folder.shutil.copytree", half)
        with pytest.raises(KeyboardInterrupt):
            study.with_proxies(WIDER, "wider")
    assert study.with_proxies(WIDER, "wider").run(8, 1_000, executor="inline").done == 8


# -- training beside the design
# --------------------------------------------------------------------------------


def test_outcomes_are_trained_once_and_kept_apart_from_the_design(study):
    asked = specs(study)
    first = study.trainer.outcomes(asked, "beside.sqlite", "bpb", "test", "inline")
    seen = []
    again = study.trainer.outcomes(
        asked[::-1], "beside.sqlite", "bpb", "test", "inline", progress=seen.append
    )
    assert first.shape == (3,) and np.isfinite(first).all() and (again == first[::-1]).all()
    assert not [p for p in seen if p.stage == "test" and p.done] and not len(study.runs)


def test_outcomes_that_were_interrupted_say_that_the_same_call_goes_on(study):
    def stop(progress):
        if progress.stage == "test":
            raise KeyboardInterrupt

    with pytest.raises(StudyError, match=r"interrupted \(test\); the same call goes on where it was"):
        study.trainer.outcomes(specs(study), "beside.sqlite", "bpb", "test", "inline", progress=stop)
    assert np.isfinite(study.trainer.outcomes(specs(study), "beside.sqlite", "bpb", "test", "inline")).all()


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(StudyError, match="no study in .*create one with Study.create"):
        StudyFolder.open(tmp_path)
