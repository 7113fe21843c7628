"""The study: the whole path on a small pool, what is kept in its folder, and what bad input gets."""

import json
import os
import stat

import pandas as pd
import pytest

from causalmix_nb.data.pool import Perturbation, Pool
from causalmix_nb.decide.comparison import RECOMMENDED, compare_outcomes
from causalmix_nb.errors import CausalMixError, FitError, GraphError, MixtureError, StudyError
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.folder import META
from causalmix_nb.study.study import Study
from tiny import TINY, sentences


def test_the_whole_path_from_pool_to_export(finished, tmp_path):
    study = Study.open(finished.folder)
    model = study.fit(method="gp")
    assert model.pool_state is not None and model.diagnostics
    effect = study.do({"apples": 0.8})
    assert effect.lower < effect.estimate < effect.upper and abs(sum(effect.contrast.values())) < 1e-9
    best = study.optimize(n_candidates=2_000)
    assert abs(sum(best.mixture.shares.values()) - 1) < 1e-9 and best.lower <= best.gain <= best.upper
    comparison = study.compare(["equal", "natural", "best_run"], n_seeds=2, executor="inline")
    assert list(comparison.outcomes.index) == [RECOMMENDED, "equal", "natural", "best_run"]
    assert comparison.outcomes.notna().all(axis=None)
    assert len(study.runs) == 24  # the comparison's runs are kept apart
    study.export(tmp_path / "mixture.json")
    assert abs(sum(json.loads((tmp_path / "mixture.json").read_text())["mixture"].values()) - 1) < 1e-9


def test_the_same_seed_gives_the_same_mixture(finished):
    made = []
    for _ in range(2):
        study = Study.open(finished.folder)
        study.fit(method="gp")
        made.append(study.optimize(n_candidates=2_000).mixture)
    assert made[0] == made[1]


def test_a_comparison_resumes_instead_of_repeating(finished):
    study = Study.open(finished.folder)
    study.fit(method="gp")
    study.optimize(n_candidates=2_000)
    seen = []
    study.compare(["equal"], n_seeds=3, executor="inline")
    study.compare(["equal"], n_seeds=3, executor="inline", progress=seen.append)
    assert not [p for p in seen if p.stage == "check by training" and p.done]


def test_a_study_is_found_again_with_its_graph_and_runs(finished):
    again = Study.open(finished.folder)
    assert again.domains == finished.domains and len(again.runs) == 24
    assert again.graph == finished.graph and again.natural == finished.natural


@pytest.mark.parametrize(
    ("text", "graph"),
    [
        ("loss(val) -> mixture", CausalGraph([("loss(val)", "mixture")])),
        ('"loss (val)" -> mixture\nmixture <-> {a}', CausalGraph([("loss (val)", "mixture")], [("mixture", "{a}")])),
        ("y~x -> a-\n[a]", CausalGraph([("y~x", "a-")], nodes=["[a]"])),
        ("mixture\nscore", CausalGraph(nodes=["mixture", "score"])),
        ("score.dot", CausalGraph(nodes=["score.dot"])),
        ("y~x", CausalGraph(nodes=["y~x"])),
        ("cafe\u0301 -> a⟶b", CausalGraph([("cafe\u0301", "a⟶b")])),
        ("mixture; score;", CausalGraph(nodes=["mixture", "score"])),
        ("dag { mixture -> score }", CausalGraph([("mixture", "score")])),
    ],
)  # fmt: skip
def test_a_graph_that_an_earlier_version_wrote_is_opened_as_it_was_meant(tmp_path, text, graph):
    study = Study.create(tmp_path / "s", Pool.from_dict({"a": ["x", "y"], "b": ["z", "w"]}), config=TINY)
    kept = json.loads((study.folder / META).read_text(encoding="utf-8"))
    (study.folder / META).write_text(json.dumps({**kept, "graph": text}), encoding="utf-8")
    opened = Study.open(study.folder)
    assert opened.graph == graph
    opened.set_graph(opened.graph)
    assert Study.open(study.folder).graph == graph


def test_a_bad_control_is_left_out_and_named(finished):
    study = Study.open(finished.folder)
    study.set_graph("state -> mixture -> loss -> score; mixture -> score; state -> score")
    model = study.fit(method="linear")
    assert not [name for name in model.problem.state_names if name.endswith(".loss")]
    assert any("loss" in note and "not conditioned on" in note for note in model.problem.notes)


def test_a_hidden_cause_of_mixture_and_score_is_refused(finished):
    study = Study.open(finished.folder)
    study.set_graph("mixture -> score; mixture <-> score")
    with pytest.raises(GraphError, match="mixture"):
        study.fit()


@pytest.mark.parametrize("text", ["state -> score", "mixture -> state"])
def test_a_graph_without_mixture_or_outcome_is_refused(finished, text):
    study = Study.open(finished.folder)
    study.set_graph(text)
    with pytest.raises(GraphError):
        study.fit()


def test_scarce_data_limit_the_mixture(finished):
    study = Study.open(finished.folder)
    study.fit(method="gp")
    available = study.available()
    best = study.optimize(
        constraints={"max_epochs": 1.2, "token_budget": sum(available.values())}, n_candidates=2_000
    )
    for name, share in best.mixture.shares.items():
        assert share * sum(available.values()) <= 1.2 * available[name] * (1 + 1e-6)


def test_a_perturbed_pool_has_another_state_and_may_have_another_answer(finished):
    study = Study.open(finished.folder)
    study.fit(method="gp")
    clean, noisy = (
        study.do({"apples": 0.8}),
        study.do({"apples": 0.8}, perturbation={"apples": Perturbation(noise=0.9)}),
    )
    assert clean.estimate != noisy.estimate


# -- what bad input gets ---------------------------------------------------------------------------------


def test_steps_out_of_order_say_what_comes_first(study):
    with pytest.raises(StudyError, match="no run to fit"):
        study.fit()
    with pytest.raises(StudyError, match="no run to fit"):
        study.optimize()
    with pytest.raises(StudyError, match="no recommendation to export"):
        study.export("mixture.yaml")


def test_comparing_needs_a_recommendation_and_two_seeds(finished):
    study = Study.open(finished.folder)
    study.fit(method="gp")
    with pytest.raises(StudyError, match="no recommendation to compare"):
        study.compare()
    study.optimize(n_candidates=1_000)
    with pytest.raises(StudyError, match="gives no interval"):
        study.compare(n_seeds=1)
    with pytest.raises(MixtureError, match="Did you mean 'regmix'"):
        study.compare(["regmx"])


def test_unknown_domains_are_named_everywhere(finished, pool, tmp_path):
    study = Study.open(finished.folder)
    study.fit(method="gp")
    for call in (
        lambda: study.do({"aples": 0.5}),
        lambda: study.optimize(perturbation={"aples": Perturbation(noise=0.5)}),
        lambda: study.optimize(constraints={"cap": {"aples": 0.5}}),
        lambda: Study.create(tmp_path / "s", pool, target={"aples": 1.0}),
    ):
        with pytest.raises(CausalMixError, match="Did you mean 'apples'"):
            call()
    with pytest.raises(StudyError, match=r"give a Perturbation"):
        study.optimize(perturbation={"apples": 0.5})


def test_another_pool_in_the_same_folder_is_refused(study, pool):
    other = Pool.from_dict({"x": sentences("x"), "y": sentences("y")})
    with pytest.raises(StudyError, match="another pool"):
        Study.create(study.folder, other, config=TINY, exist_ok=True)
    with pytest.raises(StudyError, match="this pool already"):
        Study.create(study.folder, pool, config=TINY)
    assert Study.create(study.folder, pool, config=TINY, exist_ok=True).domains == study.domains


def test_a_study_of_a_newer_version_is_refused(study):
    meta = json.loads((study.folder / "study.json").read_text())
    (study.folder / "study.json").write_text(json.dumps({**meta, "format": 99}))
    with pytest.raises(StudyError, match="newer version"):
        Study.open(study.folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_study_is_refused(study, text):
    (study.folder / "study.json").write_text(text)
    with pytest.raises(StudyError, match="cannot be read"):
        Study.open(study.folder)


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(StudyError, match="no study in"):
        Study.open(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(pool, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StudyError, match="can be written"):
        Study.create(tmp_path / "file" / "study", pool, config=TINY)


def test_a_read_only_folder_is_named(study):
    """As an ordinary user: the superuser may write anywhere, so root steps down for this test."""
    study.folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    was = os.geteuid()
    try:
        if was == 0:
            os.seteuid(65534)
        with pytest.raises(StudyError, match="cannot write"):
            study.set_graph("mixture -> score")
    finally:
        os.seteuid(was)
        study.folder.chmod(stat.S_IRWXU)


def test_a_constant_or_missing_outcome_is_refused():
    mixtures = pd.DataFrame({"a": [0.1, 0.5, 0.9], "b": [0.9, 0.5, 0.1]})
    for values, said in (([1.0, 1.0, 1.0], "in every run"), ([float("nan")] * 3, "no finite value")):
        with pytest.raises(FitError, match=said):
            Study.from_runs(Runs.from_frames(mixtures, pd.DataFrame({"y": values})), "mixture -> score").fit()


def test_fewer_runs_than_parameters_are_refused():
    mixtures = pd.DataFrame({"a": [0.1, 0.5], "b": [0.7, 0.4], "c": [0.2, 0.1]})
    runs = Runs.from_frames(mixtures, pd.DataFrame({"y": [1.0, 2.0]}))
    with pytest.raises(FitError, match="2 "):
        Study.from_runs(runs, "mixture -> score").fit()


def test_imported_runs_can_be_fitted_but_not_trained():
    study = Study.from_runs(
        Runs.from_frames(pd.DataFrame({"a": [0.5], "b": [0.5]}), pd.DataFrame({"y": [1.0]}))
    )
    with pytest.raises(StudyError, match="imported runs only"):
        study.run()


def test_two_identical_mixtures_show_no_difference():
    equal = Mixture.equal(["a", "b"])
    outcomes = pd.DataFrame({0: [1.0, 1.01], 1: [1.1, 1.08], 2: [0.9, 0.91]}, index=[RECOMMENDED, "equal"])
    comparison = compare_outcomes(outcomes, {RECOMMENDED: equal, "equal": equal}, "y", False)
    assert "not significant against equal" in comparison.verdict


def test_differences_are_paired_and_point_in_the_good_direction():
    outcomes = pd.DataFrame({0: [1.0, 1.2], 1: [2.0, 2.21], 2: [3.0, 3.19]}, index=[RECOMMENDED, "equal"])
    row = compare_outcomes(outcomes, {}, "loss", True).table.loc["equal"]
    assert row["difference"] == pytest.approx(0.2) and row["verdict"] == "better" and row["upper"] < 0.3


def test_the_default_configuration_meets_the_papers_scale_of_a_proxy():
    assert ProxyConfig().n_parameters >= 100_000
