"""Claims about choosing a method: honest folds, honest ceilings, and sentences where the runs cannot carry a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.methods.fit import cross_validate, fit, fit_one, fit_outcomes, noise_ceiling
from causalmix_nb.methods.method import METHODS
from causalmix_nb.mixture import Mixture
from causalmix_nb.runs.store import Runs
from known_truth import DOMAINS, STATE, draw, make_runs, make_world

WORLD = make_world(0)


@pytest.fixture(scope="module")
def runs():
    return make_runs(WORLD, 120, repeats=10)


@pytest.fixture(scope="module")
def model(runs):
    return fit(runs)


def test_auto_chooses_the_gaussian_process_with_state_and_shows_what_else_it_tried(model):
    assert model.method == "gp"
    tried = model.diagnostics["tried"]
    assert {"linear", "gp", "gp without state", "lightgbm", "regmix"} <= set(tried)
    assert model.diagnostics["cv_spearman"] == tried["gp"] > 0.85
    assert tried["gp"] > tried["gp without state"] + 0.3
    assert model.diagnostics["regmix_spearman"] == tried["regmix"] < 0.6


def test_diagnostics_name_the_noise_and_the_smallest_gain_that_can_be_seen(model):
    noise = model.diagnostics["noise_sd"]
    assert noise == pytest.approx(0.03, rel=0.6)
    assert "10 degrees of freedom" in model.diagnostics["noise_from"]
    assert model.diagnostics["smallest_detectable_gain"] == pytest.approx(2.8 * noise * np.sqrt(0.4))
    assert model.diagnostics["cv_spearman"] < model.diagnostics["noise_ceiling"] + 0.02 <= 1.02
    assert model.diagnostics["calibration"] > 0.85
    assert model.diagnostics["smallest_gain_of_fit"] > 0


def test_without_repeats_there_is_no_ceiling():
    assert noise_ceiling(Problem.from_runs(make_runs(WORLD, 30))) is None


def test_state_can_be_switched_off(runs):
    model = fit(runs, method="gp", use_state=False)
    assert model.problem.state_names == ()
    assert "state is switched off" in model.problem.notes


def test_pure_noise_is_called_so():
    T, _ = draw(60, seed=0)
    y = np.random.default_rng(0).normal(size=60)
    runs = Runs.from_frames(pd.DataFrame(T, columns=DOMAINS), pd.DataFrame({"score": y}))
    assert fit(runs, method="gp").diagnostics["verdict"].startswith("cannot tell mixtures apart")


def test_cross_validation_table_compares_methods(runs):
    table = cross_validate(Problem.from_runs(runs), ["gp", "regmix"])
    assert list(table.columns) == ["spearman", "r2", "rmse", "regret"]
    assert table.loc["gp", "spearman"] > table.loc["regmix", "spearman"]
    assert table.loc["gp", "rmse"] < table.loc["regmix", "rmse"]
    assert (table["regret"] >= 0).all()


def test_loss_and_score_give_the_same_ranking():
    score, loss = (fit(make_runs(WORLD, 60, minimize=low), method="gp") for low in (False, True))
    T, X = draw(20, seed=3)
    np.testing.assert_allclose(score.mean(T, X, X[:, :0]), -loss.mean(T, X, X[:, :0]), atol=1e-4)


def test_method_that_ignores_a_state_to_adjust_for_is_neither_chosen_nor_unmarked(runs):
    graph = CausalGraph.parse(
        "; ".join(f"{name} -> mixture; {name} -> score" for name in STATE) + "; mixture -> score"
    )
    marked = fit(runs, method="regmix", graph=graph)
    assert "may be confounded" in marked.diagnostics["warning"]
    assert "warning" not in fit(runs, method="gp", graph=graph).diagnostics


def test_unknown_method_is_refused_with_a_suggestion(runs):
    with pytest.raises(
        FitError, match=r"unknown method 'lightgmb'. Did you mean 'lightgbm'\? Methods are forest"
    ):
        fit(runs, method="lightgmb")


def test_unknown_outcome_is_refused(runs):
    with pytest.raises(FitError, match="unknown outcome 'scores'"):
        fit(runs, "scores")


def test_option_without_a_method_is_refused(runs):
    with pytest.raises(FitError, match="'n_starts' is an option of one method"):
        fit(runs, n_starts=3)


def test_constant_outcome_is_refused():
    T, _ = draw(30, seed=0)
    runs = Runs.from_frames(pd.DataFrame(T, columns=DOMAINS), pd.DataFrame({"score": np.ones(30)}))
    with pytest.raises(FitError, match="is 1 in every run, so nothing can be learnt"):
        fit(runs)


def test_too_few_runs_are_refused_with_the_number_needed():
    with pytest.raises(FitError, match="5 different runs are too few for 5 domains; at least 7 are needed"):
        fit(make_runs(WORLD, 5))


def test_seven_runs_of_five_domains_fit_by_the_gaussian_process():
    assert np.isfinite(fit(make_runs(WORLD, 7), method="gp").noise_sd)


def test_fit_twice_is_the_same_bitwise(runs, model):
    T, X = draw(10, seed=5)
    again = fit(runs, method="gp")
    first = fit(runs, method="gp")
    assert np.array_equal(first.mean(T, X, X[:, :0]), again.mean(T, X, X[:, :0]))


def test_several_outcomes_are_fitted_side_by_side_as_one_by_one():
    T, X = draw(60, 0)
    y = np.column_stack([WORLD.outcome(T, X), -WORLD.outcome(T[::-1], X)])
    runs = Runs.from_frames(
        pd.DataFrame(T, columns=DOMAINS),
        pd.DataFrame(y, columns=["a", "b"]),
        state=pd.DataFrame(X, columns=STATE),
    )
    together = fit_outcomes(runs, method="gp", n_jobs=2)
    alone = fit(runs, "b", method="gp")
    assert list(together) == ["a", "b"]
    np.testing.assert_array_equal(
        together["b"].predict(Mixture.equal(DOMAINS)), alone.predict(Mixture.equal(DOMAINS))
    )
    with pytest.raises(FitError, match="unknown method 'gpp'"):
        fit_outcomes(runs, method="gpp")


@pytest.mark.parametrize("method", list(METHODS))
def test_no_mean_depends_on_how_wide_its_intervals_are(runs, method):
    """Neither on the level asked for, nor on what a fit widens its intervals by."""
    if method == "forest":
        pytest.importorskip("econml")
    fast = {"ensemble": 2} if method in ("lightgbm", "regmix") else {}
    model = fit_one(Problem.from_runs(runs), method, **fast)
    T = np.random.default_rng(1).dirichlet(np.ones(len(model.domains)), 6)
    mixtures = pd.DataFrame(T, columns=list(model.domains))
    narrow = model.predict(mixtures, level=0.5)["mean"]
    gain = model.contrast(mixtures[:1], mixtures[1:2]).estimate
    np.testing.assert_array_equal(model.predict(mixtures, level=0.99)["mean"], narrow)
    expected = model.expected(T)
    model.widen(25.0)
    np.testing.assert_array_equal(model.predict(mixtures)["mean"], narrow)
    np.testing.assert_array_equal(model.expected(T), expected)
    assert model.contrast(mixtures[:1], mixtures[1:2]).estimate == gain
