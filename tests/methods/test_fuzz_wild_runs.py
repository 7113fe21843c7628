"""Whatever runs end wild and whatever the method: finite, honest, and near to what would be recommended without them."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from causalmix_nb.decide.policy import optimize
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.weights import judge
from causalmix_nb.methods.fit import fit_problem
from causalmix_nb.methods.method import METHODS
from wild import NAMES, loss, regret, shares, table

QUICK = {
    "gp": {"n_starts": 1, "max_iter": 8, "members": 0},
    "linear": {"n_repeats": 1},
    "forest": {"n_estimators": 24},
    "lightgbm": {"ensemble": 6},
    "regmix": {"ensemble": 6},
    "law": {"n_starts": 2},
}
FACTOR, MARGIN = (
    2.0,
    0.06,
)  # regret with wild runs is at most FACTOR times that without them, plus MARGIN (of a range of 1)
ABLE = [name for name in METHODS if name != "forest" or importlib.util.find_spec("econml")]

values = st.one_of(
    st.floats(4.5, 12.0), st.floats(-8.0, 0.4), st.sampled_from([1e3, -1e3, 1e-300, 1e12, -1e12, 1e300])
)
wild_runs = st.dictionaries(st.integers(0, 39), values, min_size=1, max_size=5)
swarms = st.tuples(
    st.integers(40, 56), st.sampled_from([3, 4]), st.integers(0, 10_000), st.sampled_from([2.0, 4.0, np.inf])
)


def recommended(problem: Problem, method: str):
    model = fit_problem(problem, method, **QUICK[method])
    return model, optimize(model, n_candidates=600)


@pytest.mark.parametrize("method", ABLE)
@settings(max_examples=2, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(swarm=swarms, wild=wild_runs)
@example(swarm=(48, 4, 0, np.inf), wild={5: 5.0})
@example(swarm=(40, 3, 1, np.inf), wild={0: 9.0, 1: -9.0, 2: 1e3, 3: -1e3, 4: 7.0})
def test_a_recommendation_from_wild_runs_is_finite_honest_and_near_the_one_without_them(method, swarm, wild):
    n, K, seed, tails = swarm
    problem = Problem.from_runs(table(wild, n=n, K=K, seed=seed, tails=tails))
    clean = problem.subset(np.setdiff1d(np.arange(n), list(wild)))
    try:
        (model, best), (_, without) = (recommended(part, method) for part in (problem, clean))
    except FitError as refused:
        assert "\n" not in str(refused)
        return
    assert np.isfinite([best.gain, best.lower, best.upper, best.se, *best.predicted.values()]).all()
    assert regret(best.mixture, K) <= FACTOR * regret(without.mixture, K) + MARGIN
    # honest: nothing beyond the range of the sane runs is promised without the word
    reach = float(np.ptp(clean.y))
    if max(abs(best.gain), abs(best.lower), abs(best.upper)) > 2 * reach:
        assert any("extrapolation" in note for note in best.notes)
    if method == "gp":  # the others say in a note that their interval does not know of the choice
        equal = dict.fromkeys(NAMES[-K:], 1 / K)
        truth = float(loss(shares(equal, K))[0] - loss(shares(best.mixture, K))[0])
        assert best.lower - 0.1 <= truth <= best.upper + 0.1


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(swarm=swarms, wild=wild_runs)
def test_of_wild_runs_none_is_missed_and_hardly_another_is_blamed(swarm, wild):
    n, K, seed, _ = swarm
    found = judge(Problem.from_runs(table(wild, n=n, K=K, seed=seed)))
    assert set(wild) <= set(found.wild.tolist())
    assert len(found.wild) <= len(wild) + 3  # a neighbour or two at the edge
    assert np.isfinite(found.weights).all() and (found.weights > 0).all()


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=8, max_size=40),
    st.integers(2, 5),
    st.integers(0, 99),
)
@example([0.0] * 20 + [1.0] * 20, 3, 0)
@example([0.0] * 39 + [1e308], 3, 0)
@example([1e308, -1e308] * 10, 3, 0)
def test_any_finite_outcomes_can_be_judged(y, K, seed):
    y = np.array(y)
    T = np.random.default_rng(seed).dirichlet(np.ones(K), len(y))
    none = np.zeros((len(y), 0))
    at = np.arange(len(y))
    found = judge(Problem("y", True, tuple("abcde"[:K]), (), (), T, none, none, y, at, at))
    assert ((found.weights > 0) & (found.weights <= 1)).all()
    assert not np.isnan(found.expected).any()
