"""Claims about baselines that train: they do what their papers say on a pool where that can be seen, and pay
for their runs once.
"""

from __future__ import annotations

import numpy as np
import pytest

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.data.pool import Pool
from causalmix_nb.decide.baselines.baseline import BASELINES
from causalmix_nb.errors import MixtureError, StudyError, TrainingError
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.online import doremi, online_data_mixing
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.contenders import SEARCHED
from tiny import TINY, sentences

BUDGET = 16_000


@pytest.fixture(scope="module")
def corpus(pool, tmp_path_factory):
    return Corpus.build(pool, tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("ahead", ["apples", "bolts"])
def test_doremi_gives_weight_to_the_domain_in_which_the_reference_is_ahead(corpus, ahead):
    reference = Mixture({name: 0.9 if name == ahead else 0.05 for name in corpus.domains})
    found = doremi(corpus, TINY, None, BUDGET, reference)
    assert max(found.mixture.shares, key=found.mixture.shares.get) == ahead
    np.testing.assert_allclose(found.history.sum(axis=1), 1)
    assert (found.history > 0).all(axis=None)
    np.testing.assert_allclose(found.history.mean(), list(found.mixture.shares.values()))


def test_online_data_mixing_draws_what_it_cannot_learn(tmp_path):
    """Its reward is the loss: random letters keep a high one, which is what its critics hold against it."""
    rng = np.random.default_rng(0)
    noise = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz0123456789"), size=60)) for _ in range(80)]
    texts = {"apples": sentences("apple"), "noise": noise, "bolts": sentences("bolt")}
    corpus = Corpus.build(Pool.from_dict(texts), tmp_path)
    found = online_data_mixing(corpus, TINY, None, BUDGET)
    assert max(found.mixture.shares, key=found.mixture.shares.get) == "noise"


@pytest.mark.parametrize("method", [doremi, online_data_mixing])
def test_the_same_seed_gives_the_same_mixture_and_the_tokens_are_counted(corpus, method):
    seen = []
    first = method(corpus, TINY, None, 4_000, seed=3, on_tokens=seen.append)
    assert first.mixture == method(corpus, TINY, None, 4_000, seed=3).mixture
    assert sum(seen) == first.tokens
    assert first.sentences and len(first.table) == 3


@pytest.mark.parametrize("method", [doremi, online_data_mixing])
def test_a_budget_below_one_step_is_refused(corpus, method):
    with pytest.raises(TrainingError, match="less than one step"):
        method(corpus, TINY, None, 50)


def test_a_search_trains_through_the_study_and_nothing_twice(finished):
    first = finished.search("bayes", n_runs=10, executor="inline", batch=2, n_first=8)
    seen = []
    again = finished.search("bayes", n_runs=10, executor="inline", batch=2, n_first=8, progress=seen.append)
    assert again.mixture == first.mixture
    assert not [p for p in seen if p.stage == "search by bayes" and p.done]
    assert len(Runs.open(finished.folder / SEARCHED)) == 10
    assert len(finished.runs) == 24  # what was designed is kept apart


def test_every_baseline_can_be_compared_with(finished):
    finished.fit(method="linear")
    finished.optimize(policy="analytic")
    comparison = finished.compare(["law", "dmo", "grid", "odm", "doremi"], n_seeds=2, executor="inline")
    assert list(comparison.outcomes.index) == ["causalmix", "law", "dmo", "grid", "odm", "doremi"]
    assert comparison.outcomes.notna().all(axis=None)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.search("gird"), StudyError, "Did you mean 'grid'"),
        (lambda s: s.search("grid", outcome="bpb.aples"), StudyError, "Did you mean 'bpb.apples'"),
        (lambda s: s.online("doremy"), StudyError, "Did you mean 'doremi'"),
        (lambda s: s.baseline("odn"), MixtureError, f"Baselines are {', '.join(BASELINES)}"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(finished, call, error, message):
    with pytest.raises(error, match=message):
        call(finished)
