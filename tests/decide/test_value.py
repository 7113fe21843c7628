"""Claims about the value of a recommendation: told by runs that did not choose it, and about how far from the best it may be."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.cards.results import render
from causalmix_nb.decide.policy import optimize
from causalmix_nb.decide.value import SPLITS, Appraisal, refitted
from causalmix_nb.estimate.folds import folds
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.law import fit_law
from causalmix_nb.methods.trees import fit_lightgbm
from causalmix_nb.methods.warped import fit_gp
from causalmix_nb.runs.store import Runs
from known_truth import DOMAINS, make_runs, make_world

FEW = 3000


def noise(n: int, seed: int) -> Problem:
    """Runs whose mixture does nothing."""
    rng = np.random.default_rng(seed)
    T = pd.DataFrame(rng.dirichlet(np.ones(4), n), columns=list("abcd"))
    return Problem.from_runs(Runs.from_frames(T, pd.DataFrame({"score": rng.normal(size=n)})))


@pytest.fixture(scope="module")
def best():
    return optimize(fit_gp(Problem.from_runs(make_runs(make_world(0), 96))), n_candidates=FEW)


def test_where_no_mixture_does_anything_the_gain_is_optimistic_and_the_value_is_not():
    """Truth: 0 everywhere. With no caution every choice is a lucky one."""
    found = [optimize(fit_gp(noise(40, seed)), n_candidates=FEW, caution=0.0) for seed in range(8)]
    gain, value = (
        np.array([each(best) for best in found]) for each in (lambda b: b.gain, lambda b: b.value.estimate)
    )
    assert gain.mean() > 0.02
    assert abs(value.mean()) < 0.7 * gain.mean()


def test_the_value_is_the_sum_over_halves_that_the_definition_says():
    """By hand: each half's surface says what the other half's choice gains."""
    problem = Problem.from_runs(make_runs(make_world(1), 60))
    best = optimize(fit_gp(problem), n_candidates=FEW)
    appraisal, found = best.appraisal, []
    for split in range(SPLITS):
        halves = folds(problem.groups, 2, split)
        models = [refitted(appraisal.model, rows, {"warp": None}, 0) for rows in halves]
        found.append(
            sum(
                len(rows)
                / problem.n_runs
                * judge.contrast(appraisal.choose(chooser)[0][None], np.full((1, 5), 0.2)).estimate
                for rows, judge, chooser in zip(halves, models, models[::-1])
            )
        )
    assert best.value.estimate == pytest.approx(np.mean(found))
    assert best.value.lower < best.value.estimate < best.value.upper


def test_the_regret_is_that_of_joint_draws():
    """Against the textbook: with two mixtures it is the upper end of a normal difference cut off at 0."""
    model = fit_gp(Problem.from_runs(make_runs(make_world(0), 60)), members=0)
    rng = np.random.default_rng(0)
    T = rng.dirichlet(np.ones(5), 2)
    mean, cov = model.joint(T)
    w = np.array([-1.0, 1.0])
    appraisal = Appraisal(model, lambda m: (T[0], None, None), T[0], T[1], T[1:], None, None, 0)
    wanted = max(0.0, float(w @ mean) + 1.645 * math.sqrt(float(w @ cov @ w)))
    assert appraisal.value().regret == pytest.approx(wanted, abs=0.15 * math.sqrt(float(w @ cov @ w)))


def test_the_value_is_worked_out_once_when_it_is_asked_for_and_is_on_the_card(best):
    assert best.appraisal.found is None or best.value is best.appraisal.found
    assert best.value is best.value
    card = render(best)
    for told in (card.html, card.text):
        assert "runs that did not choose the mixture" in told
        assert "at most" in told


def test_too_few_runs_to_be_halved_are_said_so():
    problem = Problem.from_runs(make_runs(make_world(0), 60))
    few = fit_law(problem.without_state().subset(np.arange(12)))
    value = optimize(few, n_candidates=500).value
    assert math.isnan(value.estimate)
    assert "half of the runs do not carry a fit" in str(value)


def test_a_method_without_quick_intervals_is_appraised_as_well():
    problem = Problem.from_runs(make_runs(make_world(0), 60))
    value = optimize(fit_lightgbm(problem, ensemble=4), n_candidates=500).value
    assert value.lower <= value.estimate <= value.upper
    assert math.isnan(value.regret)


def test_what_is_to_be_avoided_has_no_value(best):
    worst = optimize(best.appraisal.model, n_candidates=500, worst=True)
    assert worst.value is None
    assert set(worst.mixture) == set(DOMAINS)
