"""Claims about several outcomes: weighted sums, and mixtures on which none improves without another giving way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.decide.pareto import pareto, undominated
from causalmix_nb.errors import FitError, MixtureError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.fit import fit
from causalmix_nb.methods.warped import fit_gp
from causalmix_nb.runs.store import Runs
from known_truth import DOMAINS, STATE, draw, make_world

ONE, OTHER = make_world(0), make_world(3)
POINT = draw(1, seed=42)[1][0]


@pytest.fixture(scope="module")
def runs():
    T, X = draw(128, 0)
    noise = 0.02 * np.random.default_rng(1).normal(size=(2, 128))
    return Runs.from_frames(
        pd.DataFrame(T, columns=DOMAINS),
        pd.DataFrame({"one": ONE.outcome(T, X) + noise[0], "other": -OTHER.outcome(T, X) + noise[1]}),
        state=pd.DataFrame(X, columns=STATE),
        minimize={"one": False, "other": True},
    )


@pytest.fixture(scope="module")
def models(runs):
    return {name: fit_gp(Problem.from_runs(runs, name)) for name in ("one", "other")}


@pytest.fixture(scope="module")
def front(models):
    return pareto(models, state=dict(zip(STATE, POINT)), n_candidates=4000)


def truth(T):
    X = np.broadcast_to(POINT, (len(T), len(POINT)))
    return np.column_stack([ONE.outcome(T, X), OTHER.outcome(T, X)])


def test_the_front_reaches_from_one_optimum_to_the_other(front):
    T = front.table[[f"mixture.{name}" for name in DOMAINS]].to_numpy()
    got, best = truth(T), truth(np.vstack([ONE.optimum(POINT), OTHER.optimum(POINT)]))
    equal = truth(np.full((1, 5), 0.2))[0]
    assert got[:, 0].max() > equal[0] + 0.8 * (best[0, 0] - equal[0])
    assert got[:, 1].max() > equal[1] + 0.8 * (best[1, 1] - equal[1])


def test_no_random_mixture_beats_the_front_by_much_on_both(front):
    T = front.table[[f"mixture.{name}" for name in DOMAINS]].to_numpy()
    got, random = truth(T), truth(np.random.default_rng(0).dirichlet(np.ones(5), 3000))
    spread = random.std(0)
    ahead = [((row - got) / spread).min(1).max() for row in random if not (row <= got).all(1).any()]
    assert max(ahead, default=0) < 0.25


def test_a_mixture_of_the_front_is_a_mixture_and_none_dominates_another(front):
    table = front.table
    for row in range(len(table)):
        assert sum(front.mixture(row).shares.values()) == pytest.approx(1)
    gains = table[["one_gain", "other_gain"]].to_numpy()
    assert (np.diff(gains[np.argsort(gains[:, 0])][:, 1]) < 0.02).all()
    assert (table["one_lower"] < table["one"]).all() and (table["one"] < table["one_upper"]).all()


def test_losses_gain_downwards(front):
    best = front.table.loc[front.table["other_gain"].idxmax()]
    assert best["other"] < front.baseline["other"]
    assert front.outcomes == {"one": False, "other": True}


def test_the_front_speaks_and_is_drawn(front):
    assert "trade one, other off" in front.title
    assert "at best one gains +" in " ".join(front.sentences)
    assert "mixtures that trade one against other" in front.figure().alt


def test_three_outcomes_have_a_front_too(models):
    front = pareto({**models, "again": models["one"]}, state=dict(zip(STATE, POINT)), n_candidates=600)
    assert "gains in 3 outcomes" in front.figure().alt


@pytest.mark.parametrize("count", [1, 6])
def test_a_trade_off_needs_two_outcomes_and_at_most_five(models, count):
    few = {f"outcome{i}": models["one"] for i in range(count)}
    with pytest.raises(FitError, match=f"{count} outcomes were given; a trade-off is between 2 and 5"):
        pareto(few)


def test_models_of_different_domains_are_refused(models):
    T = np.random.default_rng(0).dirichlet(np.ones(3), 40)
    other = Runs.from_frames(pd.DataFrame(T, columns=list("abc")), pd.DataFrame({"y": T[:, 0]}))
    with pytest.raises(FitError, match="different domains; fit them on the same runs"):
        pareto({**models, "y": fit_gp(Problem.from_runs(other))})


def test_constraints_hold_on_the_whole_front(models):
    front = pareto(
        models, dict(zip(STATE, POINT)), constraints={"cap": 0.3, "fixed": {"math": 0.1}}, n_candidates=600
    )
    shares = front.table[[f"mixture.{name}" for name in DOMAINS]]
    assert (shares <= 0.3 + 1e-9).all().all()
    assert shares["mixture.math"].to_numpy() == pytest.approx(0.1)
    with pytest.raises(MixtureError, match="sum to only 0.5"):
        pareto(models, constraints={"cap": 0.1})


def test_dominated_rows_are_found_by_comparing_every_pair():
    scores = np.random.default_rng(0).normal(size=(60, 3)).round(1)
    slow = [not any((other >= row).all() and (other > row).any() for other in scores) for row in scores]
    assert undominated(scores).tolist() == slow


def test_a_weighted_sum_counts_losses_negatively(runs):
    problem = Problem.from_runs(runs, {"one": 2.0, "other": 0.5})
    frame = runs.frame
    np.testing.assert_allclose(problem.y, 2 * frame["outcome.one"] - 0.5 * frame["outcome.other"])
    assert (problem.outcome, problem.minimize) == ("2 one - 0.5 other", False)
    losses = Problem.from_runs(runs, {"other": 3.0})
    assert (losses.outcome, losses.minimize) == ("3 other", True)


def test_a_weighted_sum_can_be_fitted(runs):
    model = fit(runs, {"one": 1, "other": 1}, method="linear")
    assert model.outcome == "1 one - 1 other"


@pytest.mark.parametrize("weights", [{}, {"one": -1.0}, {"one": 0.0}, {"one": float("nan")}])
def test_weights_that_weigh_nothing_are_refused(runs, weights):
    with pytest.raises(FitError, match="weights of outcomes must be numbers of at least 0"):
        fit(runs, weights)


def test_an_unknown_outcome_among_the_weights_is_named(runs):
    with pytest.raises(FitError, match="unknown outcome 'oen'. Did you mean 'one'"):
        fit(runs, {"oen": 1.0})
