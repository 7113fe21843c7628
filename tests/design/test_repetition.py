"""Runs repeat their data as the training they stand for would, and how often they did is on record."""

import numpy as np
import pytest

from causalmix_nb.data.corpus import FEWEST_DOCUMENTS, Corpus, run_windows
from causalmix_nb.data.pool import Perturbation, Pool
from causalmix_nb.design.repetition import mismatch, repetition
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import TrainingError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.study.study import Study
from tiny import TINY, sentences


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    pool = Pool.from_dict({"much": sentences("apple", 900), "little": sentences("bolt", 300)})
    return Corpus.build(pool, tmp_path_factory.mktemp("corpus"))


def longest(corpus, name):
    return int(corpus.documents(name).lengths.max())


@pytest.mark.parametrize(
    "perturbations",
    [
        {},
        {"much": Perturbation(keep=0.5)},
        {"much": Perturbation(duplicates=0.5), "little": Perturbation(noise=0.5)},
    ],
)
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_run_repeats_each_domain_as_the_target_would_to_within_one_document(corpus, perturbations, share):
    budget, target = 20_000, 200_000
    spec = RunSpec((share, 1 - share), budget, perturbations, 0, 5, target_tokens=target)
    found = repetition(corpus, spec)
    for name, part in zip(corpus.domains, spec.mixture):
        whole = corpus.view(name, perturbations.get(name), 0).available_tokens * corpus.growth(name)
        wanted = part * target / whole
        seen = part * budget / wanted  # tokens that repeat so often
        assert found[f"target_epochs.{name}"] == pytest.approx(wanted, rel=1e-9)
        assert abs(found[f"available.{name}"] - seen) <= longest(corpus, name)
        assert found[f"epochs.{name}"] == pytest.approx(wanted, rel=1.5 * longest(corpus, name) / seen)


def test_training_windows_hold_only_those_documents(corpus):
    windows = next(run_windows(corpus, [1.0, 0.0], {}, 0, 3, 600, 32, 200_000).blocks(600))[0]
    text = bytes(np.concatenate([row[:-1] for row in windows]))
    few = len({piece for piece in text.split(b"\0")[1:-1]})
    everything = bytes(
        np.concatenate(
            [r[:-1] for r in next(run_windows(corpus, [1.0, 0.0], {}, 0, 3, 600, 32).blocks(600))[0]]
        )
    )
    assert few < len(set(everything.split(b"\0")[1:-1])) / 2
    seen = repetition(corpus, RunSpec((1.0, 0.0), 600 * 32, seed=3, target_tokens=200_000))["available.much"]
    assert seen == pytest.approx(
        sum(map(len, set(text.split(b"\0")[1:-1]))) + few, abs=2 * longest(corpus, "much")
    )


def test_the_pool_may_be_larger_than_what_was_tokenised(tmp_path):
    pool = Pool.from_dict({"a": sentences("apple", 900), "b": sentences("bolt", 300)})
    whole, part = (Corpus.build(pool, tmp_path / str(n), max_bytes=n) for n in (10**7, 10_000))
    assert 1.0 < whole.growth("a") < 1.3  # what is held out
    kept = part.view("a").available_tokens
    assert part.growth("a") * kept == pytest.approx(
        whole.growth("a") * whole.view("a").available_tokens, rel=0.05
    )


def test_keys_are_unchanged_where_nothing_is_asked_for():
    spec = RunSpec((0.5, 0.5), 1000, {"a": Perturbation(noise=0.5)}, 1, 2)
    assert spec.key("x") == "c60598278e4277077e54"
    assert RunSpec((0.5, 0.5), 1000, {"a": Perturbation(noise=0.5)}, 1, 2, target_tokens=5_000).key(
        "x"
    ) != spec.key("x")


def test_runs_record_what_was_there_and_how_often_it_was_seen(finished):
    frame = finished.runs.frame
    for name in finished.domains:
        epochs = frame[f"mixture.{name}"] * frame["scale.tokens"] / frame[f"data.available.{name}"]
        assert np.allclose(frame[f"data.epochs.{name}"], epochs)
        assert np.allclose(np.log10(frame[f"data.available.{name}"]), frame[f"state.{name}.size"])
    assert "data.target_epochs.apples" not in frame


def test_epochs_are_a_consequence_and_never_conditioned_on(finished):
    problem = Problem.from_runs(finished.runs, "bpb", finished.graph)
    assert not [name for name in (*problem.state_names, *problem.scale_names) if "epochs" in name]


def test_a_study_trains_for_a_target_and_says_where_it_cannot(study):
    report = study.run(8, 2_000, executor="inline", target_tokens=1_000_000)
    frame = study.runs.frame
    assert report.done == 8 and "cannot repeat their data as the target would" in str(report)
    assert str(FEWEST_DOCUMENTS) in str(report) and frame["data.target_epochs.apples"].max() > 20
    assert study.run(8, 2_000, executor="inline").done == 8  # other runs than those without a target


def test_a_domain_keeps_some_documents_however_large_the_target(corpus):
    rows = corpus.view("little").rows(10, 0)
    assert len(rows) == FEWEST_DOCUMENTS
    spec = RunSpec((0.5, 0.5), 2_000, target_tokens=10**9)
    assert "at least 8 of a domain" in mismatch(corpus, [spec]) and not mismatch(
        corpus, [RunSpec((0.5, 0.5), 2_000)]
    )


def test_a_target_smaller_than_a_run_is_refused(study):
    for step in (study.run, study.start, study.cost):
        with pytest.raises(TrainingError, match="the target trains on 500 tokens, less than a run"):
            step(8, 1_000, target_tokens=500)


def test_epochs_of_a_recommendation_are_those_of_the_target(study):
    study.run(24, 1_000, executor="inline", target_tokens=20_000)
    study.fit(method="gp")
    best = study.optimize(n_candidates=500)
    for name, epochs in best.epochs.items():
        assert epochs == pytest.approx(best.mixture[name] * 20_000 / study.available()[name])


def test_epochs_of_a_recommendation_count_the_whole_pool(pool, tmp_path):
    study = Study.create(tmp_path / "study", pool, config=TINY)
    bytes_of = {name: pool[name].n_bytes for name in pool.domains}
    for name, tokens in study.available().items():
        assert tokens >= bytes_of[name]  # tokenised training documents alone are fewer
