"""Claims about the audit: each thing that stands against an answer is found where it is, and not where it is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.answers.audit import audit
from causalmix_nb.answers.overlap import overlap
from causalmix_nb.decide.policy import optimize
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.support import Support
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.methods.warped import fit_gp
from causalmix_nb.runs.store import Runs
from worlds import make_world

GRAPH = CausalGraph.parse("state -> mixture, score; mixture -> score")


def answers(runs, graph=GRAPH):
    return audit(runs, graph=graph).table


def table_of(T, y, state=None, names="abcdefgh"):
    K = T.shape[1]
    return Runs.from_frames(
        pd.DataFrame(T, columns=list(names[:K])),
        pd.DataFrame({"score": y}),
        state=None
        if state is None
        else pd.DataFrame(state, columns=[f"s{j}" for j in range(state.shape[1])]),
    )


@pytest.fixture(scope="module")
def random():
    return make_world(0).runs(128, 0, "random", repeats=8)


@pytest.fixture(scope="module")
def confounded():
    return make_world(0).runs(128, 0, "confounded", repeats=8)


def test_nothing_stands_against_a_well_designed_swarm(random):
    found = audit(random, graph=GRAPH)
    assert set(found.table["verdict"]) == {"fine"}
    assert found.verdict == "these runs can support a causal estimate: none of the 10 checks warns"
    assert found.treatment_r2 < 0.05


def test_a_history_that_the_state_decided_is_told_from_a_random_one(random, confounded):
    row = answers(confounded).loc["was the mixture randomised?"]
    assert row["figure"] > 0.5
    assert row["verdict"] == "warning"
    assert "the state decided" in row["answer"] and "not for an unobserved confounder" in row["answer"]
    assert "looks randomised" in answers(random).loc["was the mixture randomised?", "answer"]


def test_the_noise_of_one_run_and_the_smallest_gain_come_from_repeats():
    found = audit(make_world(1, noise=2.0).runs(100, 0, repeats=60), graph=GRAPH)
    assert found.noise_sd == pytest.approx(2.0, rel=0.3)
    assert found.smallest_gain == pytest.approx(2.8 * found.noise_sd * np.sqrt(2 / 5))
    without = audit(make_world(1).runs(60, 0), graph=GRAPH)
    assert np.isnan(without.noise_sd)
    assert "repeat some mixtures" in without.table.loc["how noisy is one run?", "answer"]


def test_states_that_move_together_are_named():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    X[:, 2] = X[:, 0] + 0.01 * rng.normal(size=80)
    T = rng.dirichlet(np.ones(3), 80)
    row = answers(table_of(T, T[:, 0] + rng.normal(size=80), X)).loc["can the states be told apart?"]
    assert row["verdict"] == "warning"
    assert row["answer"].startswith("s0, s2 move together")


def test_a_domain_that_is_never_there_is_named():
    rng = np.random.default_rng(0)
    T = np.hstack([rng.dirichlet(np.ones(3), 60), np.zeros((60, 1))])
    row = answers(table_of(T, T[:, 0]), None).loc["did the mixtures move in every direction?"]
    assert "d is 0 in every run, so its effect cannot be seen" in row["answer"]


def test_one_mixture_in_all_runs_stops_the_audit():
    rng = np.random.default_rng(0)
    found = audit(table_of(np.full((30, 3), 1 / 3), rng.normal(size=30)))
    assert found.verdict.startswith("these runs cannot support a causal estimate yet")


def test_few_runs_for_many_domains_are_said_to_be_few():
    rng = np.random.default_rng(0)
    T = rng.dirichlet(np.ones(8), 10)
    row = answers(table_of(T, T[:, 0]), None).loc["are there enough runs?"]
    assert row["verdict"] == "stop"
    assert (
        "10 different runs for 7 directions of the mixture, 1.4 each; 8 each are comfortable" in row["answer"]
    )


def test_the_graph_says_whether_adjustment_is_needed(random):
    question = "is adjustment needed?"
    assert "asks to adjust for state" in answers(random).loc[question, "answer"]
    free = CausalGraph.parse("state -> score; mixture -> score")
    assert "asks for no adjustment" in answers(random, free).loc[question, "answer"]
    assert answers(random, None).loc[question, "verdict"] == "warning"


def test_a_constant_outcome_is_refused():
    T = np.random.default_rng(0).dirichlet(np.ones(3), 30)
    with pytest.raises(FitError, match="in every run, so nothing can be learnt"):
        audit(table_of(T, np.ones(30)))


# -- overlap -------------------------------------------------------------------------------------------------


def test_most_runs_are_where_runs_are_and_a_far_corner_is_not():
    rng = np.random.default_rng(0)
    problem = Problem.from_runs(table_of(rng.dirichlet(np.full(4, 30.0), 100), rng.normal(size=100)))
    support, W = Support(problem), np.zeros((4, 0))
    assert (support.distance(problem.T, np.zeros((100, 0))) <= 1).mean() > 0.9
    assert (support.distance(np.eye(4), W) > 3).all()


def test_a_confounded_history_covers_less_at_a_state_than_a_random_one(random, confounded):
    x = {"state0": 1.5, "state1": -1.0, "state2": 0.0}
    ranges = {}
    for name, runs in (("random", random), ("confounded", confounded)):
        found = overlap(Problem.from_runs(runs), x)
        ranges[name] = (found.table["most_near"] / found.table["most"]).min()
    assert ranges["confounded"] < ranges["random"]
    assert ranges["confounded"] < 0.6


def test_without_a_state_only_the_mixture_counts():
    rng = np.random.default_rng(0)
    T = rng.dirichlet(np.ones(3), 80)
    found = overlap(Problem.from_runs(table_of(T, rng.normal(size=80))))
    assert found.covered_near is None
    assert found.covered[0] > 0.9
    assert found.covered[1] <= found.covered[0] <= found.covered[2]
    assert (
        found.figure().alt.startswith("Dots: shares that runs have tried: a 0%") or "a " in found.figure().alt
    )


def test_a_domain_that_was_never_tried_much_is_named():
    rng = np.random.default_rng(0)
    T = np.hstack([0.9 * rng.dirichlet(np.ones(2), 60), np.full((60, 1), 0.1)])
    said = " ".join(overlap(Problem.from_runs(table_of(T, T[:, 0]))).sentences)
    assert "never more than a fifth in any run: c" in said


def test_a_mixture_that_was_tried_only_at_other_states_comes_with_a_warning():
    """Code was given to clean pools only; asked about a noisy one, the answer leans on the clean ones, and says so."""
    rng = np.random.default_rng(0)
    noisy = rng.integers(2, size=120)
    T = np.where(noisy[:, None] == 1, rng.dirichlet([20, 1, 20], 120), rng.dirichlet([4, 12, 4], 120))
    runs = table_of(T, np.sqrt(T[:, 1]) + 0.05 * rng.normal(size=120), noisy[:, None].astype(float))
    model = fit_gp(Problem.from_runs(runs))
    warned, silent = (optimize(model, {"s0": s}, n_candidates=3000).notes for s in (1.0, 0.0))
    assert any("no run at a state like this one has tried such a mixture" in note for note in warned)
    assert not any("no run at a state like this one" in note for note in silent)
