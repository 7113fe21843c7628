"""Claims about the response surfaces, checked against worlds whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.folds import folds, pure_error
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods import gaussian_process
from causalmix_nb.methods.fit import fit
from causalmix_nb.methods.gaussian.gradient import marginal
from causalmix_nb.methods.gaussian.kernel import Kernel
from causalmix_nb.methods.gaussian.learn import Effort, Learner
from causalmix_nb.methods.gaussian.posterior import noise_variance
from causalmix_nb.methods.gaussian_process import GaussianProcess
from causalmix_nb.methods.law import fit_law
from causalmix_nb.methods.trees import fit_lightgbm, fit_regmix
from causalmix_nb.methods.warped import fit_gp
from causalmix_nb.runs.store import Runs
from known_truth import DOMAINS, STATE, draw, make_runs, make_world

WORLD = make_world(0)


@pytest.fixture(scope="module")
def problem():
    return Problem.from_runs(make_runs(WORLD, 128, repeats=12))


@pytest.fixture(scope="module")
def gp(problem):
    return fit_gp(problem)


@pytest.fixture(scope="module")
def unseen():
    T, X = draw(300, seed=99)
    return T, X, np.zeros((300, 0)), WORLD.outcome(T, X)


def test_gaussian_process_ranks_unseen_mixtures_better_than_trees_at_128_runs(problem, gp, unseen):
    T, X, S, truth = unseen
    smooth = spearmanr(gp.mean(T, X, S), truth).statistic
    trees = spearmanr(fit_lightgbm(problem, ensemble=0).mean(T, X, S), truth).statistic
    assert smooth > 0.93
    assert smooth > trees + 0.03


def test_intervals_of_contrasts_cover_the_truth_over_several_worlds():
    T, X = draw(300, seed=99)
    equal, S, n, covered = np.full_like(T, 1 / len(DOMAINS)), np.zeros((600, 0)), 300, []
    for seed in range(4):
        world = make_world(seed)
        model = fit(make_runs(world, 128, seed=seed, repeats=12), method="gp")
        mean, cov = model.joint_at(np.vstack([T, equal]), np.vstack([X, X]), S)
        variance = np.diag(cov)[:n] + np.diag(cov)[n:] - 2 * np.diag(cov[:n, n:])
        error = mean[:n] - mean[n:] - (world.outcome(T, X) - world.outcome(equal, X))
        covered.append(np.mean(np.abs(error) <= 1.96 * np.sqrt(variance)))
    assert 0.88 < np.mean(covered) < 0.99


def test_covariance_of_the_gaussian_process_is_positive_semidefinite(gp, unseen):
    T, X, S, _ = unseen
    eigenvalues = np.linalg.eigvalsh(gp.joint_at(T[:80], X[:80], S[:80])[1])
    assert eigenvalues.min() > -1e-9 * eigenvalues.max()


def by_hand(gp, problem, member, points):
    """Posterior mean and covariance at the hyper-parameters of one draw, by a plain numpy solve."""
    K, k, kk = (
        gp.kernel.gram(member.theta, A, B)
        for A, B in ((gp._data, gp._data), (points, gp._data), (points, points))
    )
    noise = float(np.exp(member.theta[0])) + 1e-6
    standard = (problem.y - problem.y.mean()) / problem.y.std()
    weights = np.linalg.solve(K + noise * np.eye(len(K)), np.column_stack([standard, k.T]))
    return k @ weights[:, 0], kk - k @ weights[:, 1:]


def test_the_posterior_is_the_average_of_textbook_posteriors(gp, problem):
    T, X = draw(7, seed=5)
    points = gp._points(T, X, np.zeros((7, 0)))
    means, covs = zip(*(by_hand(gp, problem, member, points) for member in gp._members))
    mean, cov = gp.joint_at(T, X, np.zeros((7, 0)))
    spread = problem.y.std()
    np.testing.assert_allclose(mean, problem.y.mean() + spread * np.mean(means, axis=0), atol=1e-8)
    expected = np.mean(covs, axis=0) + np.cov(np.transpose(means)) * (1 + 1 / 32)
    np.testing.assert_allclose(cov / (gp._inflation * spread**2), expected, atol=1e-7)
    assert len(gp._members) == 32
    np.testing.assert_allclose(gp.mean(T, X, np.zeros((7, 0))), mean, atol=1e-8)
    at_mode = by_hand(gp, problem, gp._mode, gp._points(T, np.zeros((7, 3)), np.zeros((7, 0))))
    expected = gp.expected(T, dict.fromkeys(STATE, 0.0))
    np.testing.assert_allclose(expected, problem.y.mean() + spread * at_mode[0], atol=1e-8)


@pytest.mark.parametrize("layout", ["mixture", "state", "own states"])
def test_the_gradient_of_the_likelihood_is_that_of_differences(layout):
    covariate, domain = {
        "mixture": ((), ()),
        "state": ((-1, -1), (-1, -1)),
        "own states": ((0, 0, 0, 1, 1, 1, -1), (0, 1, 2, 0, 1, 2, -1)),
    }[layout]
    kernel, rng = Kernel(3, len(covariate), covariate, domain), np.random.default_rng(3)
    data = np.sqrt(rng.dirichlet(np.ones(3), 40)), rng.normal(size=(40, len(covariate)))
    y, each, theta = rng.normal(size=40), rng.uniform(0.5, 2, 40), kernel.prior()[0]
    theta = theta + 0.3 * rng.normal(size=len(theta))
    value, slope = marginal(kernel, theta, data, y, each)
    gram = kernel.gram(theta, data, data) + np.diag(noise_variance(kernel, theta) * each)
    by_hand = y @ np.linalg.solve(gram, y) / 2 + np.linalg.slogdet(gram)[1] / 2
    assert value == pytest.approx(by_hand)
    ends = [
        [marginal(kernel, theta + h * e, data, y, each)[0] for h in (1e-5, -1e-5)] for e in np.eye(len(theta))
    ]
    np.testing.assert_allclose(slope, -np.diff(ends)[:, 0] / 2e-5, rtol=1e-4, atol=1e-4)


def test_draws_of_hyper_parameters_have_the_moments_of_their_posterior():
    """The noise of pure noise: its posterior is known by summing over a grid."""
    kernel, rng = Kernel(2, 0), np.random.default_rng(0)
    T = rng.dirichlet([5, 5], 25)
    learner = Learner(kernel, (np.sqrt(T), np.zeros((25, 0))), rng.normal(size=25), np.ones(25))
    mode, _ = learner.climb([kernel.prior()[0]], 60)
    draws = np.array(learner.draws(mode, 400, Effort(50, 2, 8), rng))
    # importance weights of wide normal draws, an independent way to the same mean
    wide = draws.mean(0) + 1.3 * draws.std(0) * np.random.default_rng(1).normal(size=(8000, len(mode)))
    log = np.array([learner.density(theta)[0] for theta in wide])
    log += ((wide - draws.mean(0)) ** 2 / (2 * (1.3 * draws.std(0)) ** 2)).sum(1)
    weight = np.exp(log - log.max())
    noise = kernel.layout()["noise"].start
    known = weight @ wide[:, noise] / weight.sum()
    assert draws[:, noise].mean() == pytest.approx(known, abs=0.5 * draws[:, noise].std())
    assert 0.5 < draws[:, noise].std() / np.sqrt(weight @ (wide[:, noise] - known) ** 2 / weight.sum()) < 2


def test_not_knowing_the_hyper_parameters_widens_intervals(gp, problem):
    T, X = draw(20, seed=5)
    at_mode = GaussianProcess(problem, members=0)
    wide, narrow = (np.diag(model.joint_at(T, X, np.zeros((20, 0)))[1]) for model in (gp, at_mode))
    assert np.mean(wide / narrow) > 1.02


def test_through_inducing_points_it_says_nearly_the_same(problem, monkeypatch):
    """With every run an inducing point the sparse posterior is the exact one; with half of them it is close."""
    T, X = draw(20, seed=5)
    at = (T, X, np.zeros((20, 0)))
    exact = GaussianProcess(problem, members=0)
    monkeypatch.setattr(gaussian_process, "EXACT", 10)
    monkeypatch.setattr(gaussian_process, "CHUNK", 50)
    full = GaussianProcess(problem, members=0)
    for ours, theirs in zip(full.joint_at(*at), exact.joint_at(*at)):
        np.testing.assert_allclose(
            ours * exact._inflation, theirs * exact._inflation, atol=2e-2 * problem.y.std()
        )
    np.testing.assert_allclose(full.expected(T), exact.expected(T), atol=1e-3 * problem.y.std())
    monkeypatch.setattr(gaussian_process, "INDUCING", problem.n_runs // 2)
    half = GaussianProcess(problem, members=0)
    assert np.corrcoef(half.mean(*at), exact.mean(*at))[0, 1] > 0.98


@pytest.mark.parametrize("state", [None, {"hardness": 0.3, "noise": -1.0, "length": 0.5}])
def test_fast_averages_over_states_equal_the_generic_ones(gp, state):
    T, _ = draw(6, seed=4)
    at_mode = GaussianProcess(gp.problem, members=0)
    plain = Model.expected(at_mode, T, state)
    np.testing.assert_allclose(gp.expected(T, state), plain, atol=1e-9)
    for fast, plain in zip(gp.joint(T, state), Model.joint(gp, T, state)):
        np.testing.assert_allclose(fast, plain, atol=1e-9)


def test_fast_averages_equal_the_generic_ones_where_shares_are_effective():
    rng, domains = np.random.default_rng(5), ["a", "b", "c"]
    T, states = rng.dirichlet(np.ones(3), 60), rng.uniform(0, 1, (6, 3))  # few enough that none is left out
    X = states[np.arange(60) % 6]
    y = np.sqrt(T * (1 - 0.9 * X)).sum(1) + 0.02 * rng.normal(size=60)
    runs = Runs.from_frames(
        pd.DataFrame(T, columns=domains),
        pd.DataFrame({"score": y}),
        state=pd.DataFrame(X, columns=[f"{name}.noise" for name in domains]),
    )
    gp, at_mode = (GaussianProcess(Problem.from_runs(runs), members=members) for members in (2, 0))
    assert "worth" in gp.kernel.layout()
    for state in (None, dict(zip(gp.problem.state_names, X[0]))):
        plain = Model.expected(at_mode, T[:9], state)
        np.testing.assert_allclose(gp.expected(T[:9], state), plain, atol=1e-9)
        for fast, plain in zip(gp.joint(T[:9], state), Model.joint(gp, T[:9], state)):
            np.testing.assert_allclose(fast, plain, atol=1e-9)


def test_noise_is_recovered_from_the_runs(gp, problem):
    assert gp.noise_sd == pytest.approx(0.03, rel=0.6)
    sd, df = pure_error(problem)
    assert df == 12
    assert sd == pytest.approx(0.03, rel=0.5)


def test_own_state_of_a_domain_is_used_by_its_name():
    """With columns named domain.covariate 24 of them cost little; under other names they are 24 unrelated numbers."""
    rng, K, kinds = np.random.default_rng(3), 6, 4
    domains = [f"d{k}" for k in range(K)]

    def world(n):
        T, bad = rng.dirichlet(np.ones(K), n), rng.uniform(0, 1, (n, K))
        X = np.stack([bad, *(rng.normal(size=(n, K)) for _ in range(kinds - 1))], axis=2).reshape(n, -1)
        return T, X, (np.sqrt(T) * (1 - 0.9 * bad)).sum(1)

    T, X, y = world(128)
    T_new, X_new, truth = world(200)
    scores = []
    for names in ([f"{d}.c{c}" for d in domains for c in range(kinds)], [f"x{j}" for j in range(K * kinds)]):
        runs = Runs.from_frames(
            pd.DataFrame(T, columns=domains),
            pd.DataFrame({"score": y + 0.05 * np.random.default_rng(0).normal(size=128)}),
            state=pd.DataFrame(X, columns=names),
        )
        model = fit_gp(Problem.from_runs(runs))
        scores.append(spearmanr(model.mean(T_new, X_new, np.zeros((200, 0))), truth).statistic)
    assert scores[0] > 0.95
    assert scores[0] > scores[1]


@pytest.mark.parametrize("fit_one", [fit_gp, fit_lightgbm, fit_regmix, fit_law])
def test_prediction_does_not_depend_on_the_order_of_columns(fit_one, problem):
    model = fit_one(problem)
    T, _ = draw(5, seed=8)
    mixtures = pd.DataFrame(T, columns=DOMAINS)
    state = pd.Series([0.1, 0.2, 0.3], index=STATE)
    shuffled = model.predict(mixtures[list(reversed(DOMAINS))], state=state.iloc[::-1])
    pd.testing.assert_frame_equal(model.predict(mixtures, state=state), shuffled)
    assert (shuffled["se"] >= 0).all()


@pytest.mark.parametrize("fit_one", [fit_gp, fit_lightgbm, fit_regmix, fit_law])
def test_same_seed_gives_the_same_predictions_bitwise(fit_one, problem):
    small = problem.subset(np.arange(60))
    T, X = draw(20, seed=1)
    first, second = (fit_one(small, random_state=3).joint_at(T, X, np.zeros((20, 0))) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


@pytest.mark.parametrize("minimize", [False, True])
def test_mixing_law_recovers_its_own_exponents(minimize):
    sign = -1 if minimize else 1
    rng = np.random.default_rng(0)
    T, r = rng.dirichlet(np.ones(5), 80), np.array([-3.0, -1.0, 0.0, 1.0, 0.5])
    y = 2 - sign * np.exp(T @ r) + 0.01 * rng.normal(size=80)
    model = fit_law(
        Problem.from_runs(
            Runs.from_frames(pd.DataFrame(T, columns=DOMAINS), pd.DataFrame({"y": y}), minimize=minimize)
        )
    )
    T_new = rng.dirichlet(np.ones(5), 200)
    mean, cov = model.joint_at(T_new, np.zeros((200, 0)), np.zeros((200, 0)))
    error = mean - (2 - sign * np.exp(T_new @ r))
    assert np.abs(error).max() < 0.05
    assert (np.abs(error) <= 2.6 * np.sqrt(np.diag(cov))).mean() > 0.85
    assert np.linalg.eigvalsh(cov).min() > -1e-9


def test_mixing_law_says_how_many_runs_it_needs(problem):
    with pytest.raises(FitError, match="5 runs are too few for the mixing law of 5 domains; it needs 7"):
        fit_law(problem.without_state().subset(np.arange(5)))


def test_regmix_does_not_see_the_state(problem):
    model = fit_regmix(problem, ensemble=2)
    T, X = draw(10, seed=2)
    assert np.array_equal(model.mean(T, X, np.zeros((10, 0))), model.mean(T, X + 1, np.zeros((10, 0))))


def test_scale_is_part_of_the_surface():
    rng = np.random.default_rng(0)
    T, size = rng.dirichlet(np.ones(5), 120), 10 ** rng.uniform(5, 8, 120)
    y = np.sqrt(T[:, 0]) + 0.3 * np.log10(size) + 0.02 * rng.normal(size=120)
    runs = Runs.from_frames(
        pd.DataFrame(T, columns=DOMAINS), pd.DataFrame({"y": y}), scale=pd.DataFrame({"parameters": size})
    )
    model = fit_gp(Problem.from_runs(runs))
    small, large = (
        model.predict(pd.DataFrame(T[:1], columns=DOMAINS), scale={"parameters": s}) for s in (1e6, 1e7)
    )
    assert float(large["mean"].iloc[0] - small["mean"].iloc[0]) == pytest.approx(0.3, abs=0.05)


def test_folds_keep_repeated_seeds_together_and_use_every_run_once():
    groups = np.array([0, 0, 1, 2, 2, 3, 4, 5, 5, 5])
    parts = folds(groups, 3, seed=0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert all(set(groups[a]).isdisjoint(groups[b]) for a in parts for b in parts if a is not b)


def test_runs_that_share_one_mixture_cannot_be_cross_validated():
    with pytest.raises(FitError, match="all runs share one mixture"):
        folds(np.zeros(4, dtype=int), 5, seed=0)
