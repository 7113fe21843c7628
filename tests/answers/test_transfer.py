"""What a small proxy costs in rank agreement: the statistic against scipy, the training on a pool that trains in seconds."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from causalmix_nb.answers.transfer import rank_agreement, setting_name, small_proxy
from causalmix_nb.cards.results import render
from causalmix_nb.errors import StudyError, TrainingError
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from tiny import TINY


def pairs(n=64, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    return a, a + noise * rng.normal(size=n)


def test_agreement_is_spearmans_correlation_with_an_interval_around_it():
    a, b = pairs()
    found = rank_agreement(a, b)
    assert found.rho == pytest.approx(spearmanr(a, b).statistic) and found.n == 64
    assert found.lower < found.rho < found.upper


def test_intervals_cover_the_truth_and_shrink_with_more_mixtures():
    truth = spearmanr(*pairs(200_000, 1.0, 1)).statistic
    covered = [
        f.lower <= truth <= f.upper
        for f in (rank_agreement(*pairs(64, 1.0, s), n_draws=400) for s in range(100))
    ]
    assert np.mean(covered) >= 0.88
    wide, narrow = (rank_agreement(*pairs(n)) for n in (16, 256))
    assert narrow.upper - narrow.lower < (wide.upper - wide.lower) / 2


def test_failed_runs_are_left_out_and_too_few_are_refused():
    a, b = pairs(20)
    a[3] = np.nan
    assert rank_agreement(a, b).n == 19
    with pytest.raises(StudyError, match="only 3 mixtures were trained under both"):
        rank_agreement([1, 2, 3], [1, 2, 3])


def test_a_proxy_is_resized_by_its_width():
    config = ProxyConfig()
    assert config.resized(4 * config.n_parameters).n_parameters == pytest.approx(
        4 * config.n_parameters, rel=0.15
    )
    assert config.resized(config.n_parameters) == config
    with pytest.raises(TrainingError, match="the smallest has"):
        config.resized(500)


@pytest.fixture(scope="module")
def compared(pool, tmp_path_factory):
    from causalmix_nb.study.study import Study

    study = Study.create(tmp_path_factory.mktemp("transfer") / "study", pool, config=TINY)
    return study, study.transfer(16, learning_rate=1e-4, token_budget=2_000, executor="inline")


def test_the_same_mixtures_are_trained_under_both_settings(compared):
    study, found = compared
    assert found.outcomes.shape == (16, 3) and found.outcomes.notna().all(axis=None)
    assert found.settings == (setting_name(TINY), "7.17k parameters at 0.0001")
    assert found.agreement.rho == pytest.approx(
        spearmanr(found.outcomes["first"], found.outcomes["other"]).statistic
    )
    assert not len(study.runs) and not study.trainer.meter.has_base  # the study's own store is left alone


def test_it_says_what_it_means_with_an_interval(compared):
    _, found = compared
    said = " ".join(found.sentences)
    assert (
        "95% interval" in said
        and "the ceiling that seed noise allows" in said
        and "the smaller one is the better guide" in said
    )
    assert "Olmix reports" in said
    bundle = render(found)
    assert "<img" in bundle.html and found.title in bundle.text
    assert list(found.table.columns) == ["spearman", "lower", "upper", "mixtures"]


def test_the_same_call_again_trains_nothing(compared):
    study, found = compared
    seen = []
    again = study.transfer(
        16, learning_rate=1e-4, token_budget=2_000, executor="inline", progress=seen.append
    )
    assert again.outcomes.equals(found.outcomes)
    assert not [p for p in seen if "proxy runs" in p.stage and p.done]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_mixtures": 8}, "8 mixtures are too few for a rank correlation; give at least 16"),
        ({"learning_rate": TINY.learning_rate}, "that is the setting of the study"),
        ({"outcome": "bpp"}, "Did you mean 'bpb'"),
    ],
)
def test_comparisons_that_can_teach_nothing_are_refused(study, options, said):
    with pytest.raises(StudyError, match=said):
        study.transfer(**options)


def test_a_small_proxy_is_called_small_where_a_mixture_is_recommended(finished):
    finished.fit(method="gp")
    assert small_proxy(TINY.n_parameters) in finished.optimize(n_candidates=500).notes
