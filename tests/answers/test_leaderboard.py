"""Claims about the leaderboard: nobody sees what they are scored on, the better method wins, noise is called noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from causalmix_nb.answers import leaderboard as module
from causalmix_nb.answers.leaderboard import EQUAL, leaderboard
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.runs.store import Runs
from worlds import make_world


@pytest.fixture(scope="module")
def runs():
    return make_world(0).runs(120, 0, repeats=20)


@pytest.fixture(scope="module")
def board(runs):
    return leaderboard(runs, methods=["linear", "regmix", EQUAL], budgets=(32, None), n_splits=2, n_jobs=1)


def test_a_method_that_sees_the_state_wins_where_the_state_matters(board):
    assert board.table.groupby("runs")["method"].first().tolist() == ["linear", "linear"]
    last = board.table[board.table["runs"] == 90].set_index("method")
    assert last.loc["linear", "behind"] == 0
    assert last.loc["regmix", "behind"] > 1.96 * last.loc["regmix", "behind_se"]
    assert last.loc["linear", "regret"] < last.loc[EQUAL, "regret"]
    assert "with 90 runs linear ranks unseen mixtures best" in " ".join(board.sentences)


def test_more_runs_teach_more(board):
    linear = board.table[board.table["method"] == "linear"].sort_values("runs")
    assert linear["spearman"].is_monotonic_increasing


def test_what_is_scored_is_never_learnt_from_and_repeated_seeds_stay_together(runs):
    problem = Problem.from_runs(runs)
    for _, train, test in module._splits(problem, None, (32, None), 3, 0):
        assert not {tuple(row) for row in train.T} & {tuple(row) for row in test.T}
        assert train.n_runs + test.n_runs <= problem.n_runs


def test_smaller_numbers_of_runs_are_parts_of_larger_ones(runs):
    (_, few, _), (_, many, _) = module._splits(Problem.from_runs(runs), None, (32, None), 1, 0)
    assert {tuple(row) for row in few.T} < {tuple(row) for row in many.T}


def test_standard_errors_come_from_samples_of_the_rows():
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    predicted = y + rng.normal(size=200)
    rows = rng.integers(200, size=(400, 200))
    spread = module._rank_correlations(predicted, y, rows).std()
    again = [spearmanr(predicted[r], y[r]).statistic for r in rows[:200]]
    assert spread == pytest.approx(np.std(again), rel=0.15)
    assert module._regrets(y, y, rows).max() == 0


def test_runs_of_a_larger_model_can_be_what_is_scored(runs):
    larger = make_world(0).runs(40, 7)
    table = leaderboard(runs, methods=["linear"], budgets=(None,), unseen=larger, n_splits=3, n_jobs=1).table
    assert len(table) == 1
    assert table["spearman"].item() > 0.6


def test_pure_noise_is_not_ranked():
    rng = np.random.default_rng(0)
    T = pd.DataFrame(rng.dirichlet(np.ones(3), 80), columns=list("abc"))
    noise = Runs.from_frames(T, pd.DataFrame({"y": rng.normal(size=80)}))
    found = leaderboard(noise, methods=["linear"], budgets=(None,), n_splits=2, n_jobs=1)
    assert "no method ranks unseen mixtures better than chance" in found.sentences[0]
    assert found.ceiling is None


def test_a_method_that_refuses_says_why_and_the_others_go_on():
    runs = make_world(0, n_domains=8).runs(60, 0)
    found = leaderboard(runs, methods=["linear", EQUAL], budgets=(10,), n_splits=1, n_jobs=1)
    row = found.table.set_index("method").loc["linear"]
    assert np.isnan(row["spearman"]) and "distinct runs" in row["refused"]
    assert "linear gave no answer" in " ".join(found.sentences)


def test_the_figure_says_in_words_what_it_draws(board):
    assert board.figure().alt.startswith("Methods by runs learnt from. With 90 runs: linear 0.")
    one = leaderboard(make_world(1).runs(60, 0), methods=[EQUAL], budgets=(None,), n_splits=1, n_jobs=1)
    assert "equal" in one.figure().alt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["linaer"]}, "unknown method 'linaer'. Did you mean 'linear'"),
        ({"n_splits": 0}, "needs a method, a number of runs and a split"),
        ({"unseen": make_world(0, n_domains=3).runs(20, 0)}, "other domains"),
    ],
)
def test_a_question_without_sense_gets_one_sentence(runs, options, message):
    with pytest.raises(FitError, match=message):
        leaderboard(runs, **{"methods": [EQUAL], "n_jobs": 1, **options})


def test_too_few_runs_to_leave_any_out():
    with pytest.raises(FitError, match="too few to leave 12 of them out"):
        leaderboard(make_world(0).runs(14, 0), n_jobs=1)
