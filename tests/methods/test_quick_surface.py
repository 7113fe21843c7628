"""Claims about the quick surfaces: close to the truth of known worlds, intervals that hold, averages over states as defined."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.methods.quick_surface import problems_of, quick_surfaces
from causalmix_nb.runs.store import Runs
from worlds import make_world


@pytest.mark.parametrize(("n_domains", "least"), [(5, 0.95), (17, 0.8)])
def test_they_rank_unseen_mixtures_and_their_intervals_hold(n_domains, least):
    ranks, covered = [], []
    for seed in range(4):
        world = make_world(seed, n_domains=n_domains)
        (model,) = quick_surfaces([Problem.from_runs(world.runs(256, 0))])
        rng = np.random.default_rng(9)
        T, X = rng.dirichlet(np.ones(n_domains), 200), rng.normal(size=(200, 3))
        mean, cov = model.joint_at(T, X, np.zeros((200, 0)))
        truth = world.expected(T, X)
        ranks.append(spearmanr(mean, truth)[0])
        covered.append(np.mean(np.abs(mean - truth) < 1.96 * np.sqrt(np.diag(cov))))
    assert np.mean(ranks) > least
    assert 0.88 < np.mean(covered) <= 1


def test_an_average_over_states_is_the_average_of_what_is_said_at_each():
    (model,) = quick_surfaces([Problem.from_runs(make_world(0).runs(96, 0))])
    T = np.random.default_rng(0).dirichlet(np.ones(5), 3)
    quick, slow = model.joint(T), Model.joint(model, T)
    np.testing.assert_allclose(quick[0], slow[0], atol=1e-9)
    np.testing.assert_allclose(quick[1], slow[1], atol=1e-9)


def test_the_posterior_is_that_of_a_gaussian_process():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    problem = Problem.from_runs(make_world(0).runs(60, 0), use_state=False)
    (model,) = quick_surfaces([problem])
    kernel = ConstantKernel(1.0, "fixed") + RBF(model._kernel._widths[0], "fixed")
    y = (problem.y - problem.y.mean()) / problem.y.std()
    ratio = (model.noise_sd / problem.y.std()) ** 2 / model._signal
    peer = GaussianProcessRegressor(kernel + WhiteKernel(ratio, "fixed"), optimizer=None).fit(
        np.sqrt(problem.T), y
    )
    T = np.random.default_rng(0).dirichlet(np.ones(5), 7)
    mean, cov = model.joint_at(T, np.zeros((7, 0)), np.zeros((7, 0)))
    peers, peer_cov = peer.predict(np.sqrt(T), return_cov=True)
    np.testing.assert_allclose(mean, problem.y.mean() + problem.y.std() * peers, rtol=1e-6)
    expected = (peer_cov - ratio * np.eye(7)) * model._signal * problem.y.var()
    np.testing.assert_allclose(cov, expected, rtol=1e-4, atol=1e-5)


def test_problems_read_together_are_those_read_one_by_one():
    rng = np.random.default_rng(0)
    T, X = rng.dirichlet([1, 1, 1], 40), rng.normal(size=(40, 2))
    scores = pd.DataFrame(
        {"score": X[:, 0], "b": T[:, 0] + X[:, 1], "loss": T[:, 1], "flat": np.ones(40), "gap": T[:, 2]}
    )
    scores.loc[3, "gap"] = np.nan
    runs = Runs.from_frames(
        pd.DataFrame(T, columns=["x", "y", "z"]),
        scores,
        state=pd.DataFrame(X, columns=["p", "q"]),
        minimize=["loss"],
    )
    graph = CausalGraph.parse("p -> mixture -> loss -> score; p -> score; q -> score")
    together = problems_of(runs, list(scores), graph)
    assert [problem.outcome for problem in together] == ["score", "b", "loss", "gap"]
    for problem in together:
        alone = Problem.from_runs(runs, problem.outcome, graph)
        for part in fields(alone):
            if part.name != "notes":
                np.testing.assert_array_equal(
                    getattr(problem, part.name), getattr(alone, part.name), part.name
                )
