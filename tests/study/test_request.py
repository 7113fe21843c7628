"""What training is asked for reaches everybody who has to know: the worker, the one that goes on, the one
that counts the cost.
"""

import inspect
import json
from dataclasses import MISSING, fields

import numpy as np
import pytest

from causalmix_nb.cards.report import code
from causalmix_nb.errors import StudyError
from causalmix_nb.launch.executors.ray_cluster import RayExecutor
from causalmix_nb.proxies import state as state_module
from causalmix_nb.proxies.state import measure_state, read_measured, write_measured
from causalmix_nb.study.request import USUAL, RunRequest
from causalmix_nb.study.study import Study

ASKED = [field.name for field in fields(RunRequest)]


# -- one request
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Study.run, Study.start, Study.cost])
def test_whoever_trains_or_counts_takes_all_that_can_be_asked(method):
    taken = [name for name in inspect.signature(method).parameters if name not in ("self", "progress")]
    assert sorted(taken) == sorted(ASKED)


def test_the_defaults_are_the_same_everywhere():
    assert {name: inspect.signature(Study.run).parameters[name].default for name in USUAL} == USUAL
    run, start, cost = (inspect.signature(m).parameters for m in (Study.run, Study.start, Study.cost))
    for name in ASKED:
        assert run[name].default == start[name].default == cost[name].default is not inspect.Parameter.empty


def test_no_part_of_a_request_can_be_left_out():
    assert all(field.default is MISSING and field.default_factory is MISSING for field in fields(RunRequest))
    with pytest.raises(TypeError, match="target_tokens"):
        RunRequest(8, 1_000, "inline", None, True, None, score=None)


@pytest.mark.parametrize("method", ["run", "start", "cost"])
def test_every_argument_reaches_the_request(method, study, monkeypatch):
    given = RunRequest(12, 4_000, "inline", 1, False, 2, 50_000.0, "causalmix_nb.runs.directions:words_of")

    class Seen(Exception):
        pass

    def design(request):
        raise Seen(request)

    monkeypatch.setattr(study.trainer, "design", design)
    with pytest.raises(Seen) as seen:
        getattr(study, method)(**given.arguments)
    assert seen.value.args[0] == given


@pytest.mark.parametrize("executor", ["inline", "local", RayExecutor(gpus_per_chunk=0.25)])
def test_a_request_survives_the_study_file(executor):
    request = RunRequest(12, 4_000, executor, 2, False, 4, 9e5, "module:function")
    assert RunRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_start_remembers_the_tokens_that_the_mixture_is_for(study):
    job = study.start(8, 2_000, executor="inline", target_tokens=70_000)
    assert job.wait(60)
    assert Study.open(study.folder).files.limits(None).token_budget == 70_000


def test_run_and_start_remember_the_same(study, pool, tmp_path):
    from tiny import TINY

    other = Study.create(tmp_path / "other", pool, config=TINY)
    asked = {"n_runs": 8, "token_budget": 2_000, "executor": "inline", "target_tokens": 60_000, "states": False}  # fmt: skip
    study.run(**asked)
    assert other.start(**asked).wait(60)
    mine, others = (json.loads((s.folder / "study.json").read_text(encoding="utf-8")) for s in (study, other))
    for name in ("token_budget", "target_tokens", "request"):
        assert mine[name] == others[name]


def test_a_study_that_is_opened_again_goes_on_with_all_that_was_asked(study):
    study.start(8, 2_000, executor="inline", states=False, target_tokens=60_000).wait(60)
    again = Study.open(study.folder)
    job = again.resume()
    assert job.wait(60) and job.report.reused == 8 and job.report.done == 0


def test_a_study_of_a_version_before_goes_on_with_what_it_noted(study):
    study.start(8, 2_000, executor="inline", states=False).wait(60)
    meta = json.loads((study.folder / "study.json").read_text(encoding="utf-8"))
    del meta["request"]
    meta["options"] = {"states": False, "halving": None, "target_tokens": None, "score": None}
    (study.folder / "study.json").write_text(json.dumps(meta), encoding="utf-8")
    again = Study.open(study.folder)
    assert again.request is None
    job = again.resume()
    assert job.wait(60) and job.report.reused == 8


def test_a_score_that_is_gone_is_not_forgotten_silently(study):
    study.start(8, 2_000, executor="inline", score=lambda proxy: 1.0).wait(60)
    with pytest.raises(StudyError, match="scored by .*, a function of another session"):
        Study.open(study.folder).resume()


def test_code_that_makes_a_study_again_asks_for_all_of_it(study):
    study.run(8, 2_000, executor="inline", states=False, target_tokens=60_000)
    assert "study.run(8, token_budget=2000, executor='inline', states=False, target_tokens=60000)" in code(
        study
    )
    assert study.request.as_options() == "--runs 8 --budget 2000 --executor inline --fixed-state --target-tokens 60000"  # fmt: skip


# -- states know their scorer
# ------------------------------------------------------------------------------------


class Flat:
    """A scorer to which every token is equally surprising."""

    def __init__(self, nats: float, identity: str | None = None) -> None:
        self.nats, self.identity = nats, identity

    def score(self, texts):
        n = sum(len(text.encode()) for text in texts)
        return np.full(n, self.nats), np.full(n, self.nats), n

    __hash__ = None  # as a dataclass that compares by value


@pytest.mark.parametrize("identity", [None, "flat"])
def test_two_scorers_do_not_share_what_they_measured(study, identity):
    one, two = (Flat(nats, identity and f"{identity} {nats}") for nats in (1.0, 2.0))
    cache: dict = {}
    first, second = (measure_state(study.corpus, scorer, cache=cache)["loss"] for scorer in (one, two))
    assert (second > 1.5 * first).all()
    assert (measure_state(study.corpus, one, cache=cache)["loss"] == first).all()


def test_the_state_of_a_study_follows_its_scorer(study):
    study.scorer = Flat(1.0)
    first = study.measure_state()["loss"]
    study.scorer = Flat(2.0)
    assert (study.measure_state()["loss"] > 1.5 * first).all()


def test_two_bases_are_two_scorers_and_one_base_is_one(finished, pool, tmp_path):
    from tiny import TINY

    again = Study.open(finished.folder).trainer.meter.open().identity
    other = Study.create(tmp_path / "o", pool, config=TINY, seed=5).trainer.meter.open().identity
    assert finished.trainer.meter.open().identity == again != other


def test_what_was_measured_is_kept_with_the_name_of_its_scorer(study, tmp_path):
    cache: dict = {}
    for scorer in (Flat(1.0, "a"), Flat(2.0, "b"), Flat(3.0)):
        measure_state(study.corpus, scorer, cache=cache)
    write_measured(tmp_path / "measured.json", cache)
    found = read_measured(tmp_path / "measured.json", Flat(9.0, "c"))
    assert found == {key: value for key, value in cache.items() if isinstance(key[3], str)}


def test_what_a_version_before_kept_is_its_checkpoints(study, tmp_path):
    cache: dict = {}
    measure_state(study.corpus, Flat(1.0, "checkpoint"), cache=cache)
    write_measured(tmp_path / "m.json", cache)
    rows = [row[:4] for row in json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))]
    (tmp_path / "m.json").write_text(json.dumps(rows), encoding="utf-8")
    assert read_measured(tmp_path / "m.json", Flat(1.0, "checkpoint")) == cache


def test_background_training_measures_with_the_scorer_that_was_set(study):
    study.scorer = Flat(1.0, "flat")
    assert study.start(8, 2_000, executor="inline", states=False).wait(60)
    assert (study.runs.frame["status"] == "done").all()
    loss = study.runs.frame[[f"state.{name}.loss" for name in study.domains]].to_numpy()
    assert np.allclose(loss, 1 / np.log(2))


# -- runs know what their states are
# -----------------------------------------------------------------------------


def test_keys_of_runs_are_what_they_were_before_covariates_had_a_definition(study):
    meta = study.files.meta
    before = [meta["fingerprint"], meta["config"], meta["target"], meta["seed"]]
    assert study.trainer.context == json.dumps(before, sort_keys=True)


def test_another_scorer_or_definition_makes_other_keys(study, monkeypatch):
    usual = study.trainer.context
    study.scorer = Flat(1.0, "flat")
    scored = study.trainer.context
    study.scorer = None
    monkeypatch.setattr("causalmix_nb.study.meter.DEFINITION", "covariates 2: loss")
    assert len({usual, scored, study.trainer.context}) == 3


def test_states_of_two_scorers_are_not_mixed_in_one_study(finished):
    before = len(finished.runs)
    finished.scorer = Flat(1.0, "flat")
    with pytest.raises(StudyError, match="24 finished runs .* the study's own scorer.*scored by flat"):
        finished.run(26, 2_000, executor="inline")
    assert len(finished.runs) == before
    finished.scorer = None
    assert finished.run(24, 2_000, executor="inline").reused == 24


def test_a_study_that_began_with_a_scorer_goes_on_with_it_only(study):
    study.scorer = Flat(1.0, "flat")
    study.run(8, 2_000, executor="inline")
    again = Study.open(study.folder)
    with pytest.raises(StudyError, match="scored by flat"):
        again.run(10, 2_000, executor="inline")
    again.scorer = Flat(1.0, "flat")
    assert again.run(8, 2_000, executor="inline").reused == 8


def test_runs_of_another_definition_are_not_trained_again_without_a_word(finished, monkeypatch):
    monkeypatch.setattr("causalmix_nb.study.meter.DEFINITION", "covariates 2: loss")
    with pytest.raises(StudyError, match="covariates 2"):
        finished.run(24, 2_000, executor="inline")


def test_the_definition_names_all_that_makes_a_covariate():
    """Where this fails, what a covariate means has changed: leave FIRST_DEFINITION as it is, old stores have
    states of it.
    """
    assert state_module.DEFINITION == state_module.FIRST_DEFINITION
