"""Successive halving: who goes on, what is recorded of those who do not, and what a fit makes of runs of several scales."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from causalmix_nb.design.simplex import design_runs
from causalmix_nb.errors import TrainingError
from causalmix_nb.estimate.folds import pure_error
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.launch.halving import added, promote, rungs, sizes
from causalmix_nb.methods.fit import cross_validate, fit, rank_within
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.study import Study

DOMAINS = ("a", "b", "c")


def world(n=128, seed=0, strength=3.0):
    """States in pairs, as the design makes them; outcome = what the state does (much) + what the mixture does (little)."""
    rng = np.random.default_rng(seed)
    X = np.repeat(rng.normal(size=(n // 2, 6)), 2, axis=0)
    T = rng.dirichlet(np.ones(3), n)
    worth = np.sqrt(T) @ [1.0, 0.6, 0.2]
    return T, X, worth, strength * X @ rng.normal(size=6) + worth + 0.02 * rng.normal(size=n)


def test_ranking_is_of_what_the_mixture_adds_not_of_the_state():
    _, X, worth, y = world()
    assert spearmanr(y, worth).statistic < 0.3
    assert spearmanr(added(y, X), worth).statistic > 0.9


def test_the_best_quarter_goes_on_in_the_direction_of_the_outcome():
    _, X, worth, y = world()
    for sign, minimize in ((1, False), (-1, True)):
        chosen = promote(sign * y, X, np.arange(128), minimize, 4).chosen
        assert len(chosen) == 32
        assert worth[list(chosen)].mean() > np.quantile(worth, 0.8)


def test_a_repeated_seed_goes_with_its_twin():
    y, groups = np.array([5.0, 1.0, 4.0, 3.5, 0.0, 2.0]), np.array([0, 0, 1, 2, 3, 4])
    found = promote(y, np.zeros((6, 0)), groups, False, 2)
    assert found.chosen == (0, 1, 2, 3) and found.rank.tolist() == [3, 3, 1, 2, 5, 4]


def test_failed_runs_do_not_go_on():
    found = promote(np.array([np.nan, 1.0, 2.0, 3.0]), np.zeros((4, 0)), np.arange(4), False, 2)
    assert found.chosen == (2, 3) and found.rank[0] == 0
    assert promote(np.full(3, np.nan), np.zeros((3, 0)), np.arange(3), False, 2).chosen == ()


def test_rungs_are_in_ratio_and_never_too_short_to_learn():
    assert rungs(100_000, 4) == [6_250, 25_000, 100_000]
    assert rungs(6_000, 3) == [2_000, 6_000]  # 666 tokens would be too few
    assert sizes(64, 3, 4) == [64, 16, 4]


@pytest.mark.parametrize(
    ("budget", "eta", "said"),
    [(100_000, 1, "give 2 or more"), (3_000, 4, "too short a run .* give 4,000 or more")],
)
def test_what_cannot_be_halved_is_refused_before_anything_is_trained(study, budget, eta, said):
    for step in (study.run, study.start, study.cost):
        with pytest.raises(TrainingError, match=said):
            step(8, budget, halving=eta)
    assert not study.trainer.meter.has_base


@pytest.fixture(scope="module")
def halved(pool, tmp_path_factory):
    from tiny import TINY

    study = Study.create(tmp_path_factory.mktemp("halved") / "study", pool, config=TINY)
    return study, study.run(24, 8_000, executor="inline", halving=2)


def test_every_rung_is_recorded_at_its_own_scale_and_says_why_it_ended(halved):
    study, report = halved
    frame = study.runs.frame
    counts = frame["scale.tokens"].value_counts().to_dict()
    assert counts[2_000] == 24 and 11 <= counts[4_000] <= 13 and 5 <= counts[8_000] <= 8
    ended = frame[frame["reason"].notna()]
    assert (ended["status"] == "done").all() and ended["scale.tokens"].max() == 4_000
    assert (
        ended["reason"]
        .str.contains(r"not trained longer: bpb \d.* was \d+\w\w of \d+ at [24],000 tokens")
        .all()
    )
    assert len(ended) == len(frame) - counts[8_000] - (len(frame) - 24)
    assert "halving by 2" in str(report) and report.requested == len(frame)


def test_those_that_go_on_are_the_same_runs_with_more_tokens(halved):
    study, _ = halved
    frame = study.runs.frame
    mixtures = frame[[f"mixture.{name}" for name in study.domains]].round(9).apply(tuple, axis=1)
    at = {
        budget: set(zip(mixtures[rows], frame["seed"][rows]))
        for budget, rows in frame.groupby("scale.tokens").groups.items()
    }
    assert at[8_000] < at[4_000] < at[2_000]


def test_halving_again_trains_nothing_and_a_longer_design_adds(halved):
    study, report = halved
    again = study.run(24, 8_000, executor="inline", halving=2)
    assert (again.done, again.reused) == (0, report.requested)
    assert study.cost(24, 8_000, executor="inline", halving=2).n_runs < 24


def test_halved_runs_are_fitted_together_and_answered_at_the_largest_scale(halved):
    study, _ = halved
    model = study.fit(method="gp")
    assert model.problem.scale_names == ("tokens",) and len(np.unique(model.problem.rungs)) == 3
    assert 10 ** model.scales(None, 1)[0, 0] == pytest.approx(8_000)
    assert any("predictions are for the largest, 8,000 tokens" in note for note in model.problem.notes)
    assert study.optimize(n_candidates=1_000).mixture
    assert study.files.meta["token_budget"] == 8_000


def scaled_runs(n=96, seed=1):
    """Runs at three scales, the lowest with all, the highest with few; longer is better by far, whatever the mixture."""
    rng = np.random.default_rng(seed)
    T = rng.dirichlet(np.ones(3), n)
    rows = np.concatenate([np.arange(n), np.arange(n // 4), np.arange(n // 16)])
    tokens = np.repeat([1_000.0, 4_000.0, 16_000.0], [n, n // 4, n // 16])
    worth = 1 - ((T - [0.6, 0.3, 0.1]) ** 2).sum(1)
    y = (
        5 * np.log10(tokens)
        + worth[rows] * (1 + 0.2 * np.log10(tokens / 1000))
        + 0.02 * rng.normal(size=len(rows))
    )
    return Runs.from_frames(
        pd.DataFrame(T[rows], columns=DOMAINS),
        pd.DataFrame({"score": y}),
        scale=pd.DataFrame({"tokens": tokens}),
    )


def test_the_optimum_of_mixed_scales_is_near_the_truth():
    model = fit(scaled_runs(), method="gp")
    best = pd.DataFrame([[0.6, 0.3, 0.1], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.1, 0.8]], columns=DOMAINS)
    found = model.predict(best)["mean"]
    truth = 5 * np.log10(16_000) + 1.24
    assert found[0] == pytest.approx(truth, abs=0.1) and found[0] > found[1] > found[2]


def test_a_mixture_at_another_scale_is_not_one_that_the_model_has_not_seen():
    problem = Problem.from_runs(scaled_runs())
    assert len(np.unique(problem.groups)) == 96 and len(np.unique(problem.repeats)) == problem.n_runs
    assert pure_error(problem)[1] == 0  # nor is it a repeat


def test_ranking_a_long_run_above_a_short_one_is_no_merit():
    problem = Problem.from_runs(scaled_runs())
    assert abs(rank_within(problem, problem.S[:, 0] + 1e-9 * np.arange(problem.n_runs))) < 0.3
    assert cross_validate(problem, ["gp"]).loc["gp", "spearman"] > 0.9
    assert rank_within(problem, problem.y) == pytest.approx(1.0)


def test_runs_of_one_scale_are_fitted_as_before():
    problem = Problem.from_runs(scaled_runs().__class__.from_frames(
        pd.DataFrame(np.random.default_rng(0).dirichlet(np.ones(3), 20), columns=DOMAINS),
        pd.DataFrame({"score": np.arange(20.0)}),
        scale=pd.DataFrame({"tokens": np.full(20, 1e5)}),
    ))  # fmt: skip
    assert problem.scale_names == () and not problem.notes and len(np.unique(problem.rungs)) == 1


def test_a_longer_design_still_starts_with_the_shorter_one():
    assert design_runs(DOMAINS, 48, 8_000)[:24] == design_runs(DOMAINS, 24, 8_000)
