"""Effects of the mixture: known truths, independent implementations, coverage of intervals, and refusals."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.answers.effects import effects_table, pairwise_contrasts, simultaneous_quantile
from causalmix_nb.errors import FitError, MixtureError
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.nuisances import split_folds
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.forest import fit_forest
from causalmix_nb.methods.linear import fit_linear
from causalmix_nb.mixture import Mixture, ilr, ilr_basis, log_mixture
from causalmix_nb.runs.store import Runs

TRUTH = np.array([1.0, 0.3, -0.2, -0.5])  # theta per ilr coordinate of five domains


def problem(T: np.ndarray, y: np.ndarray, X: np.ndarray | None = None) -> Problem:
    domains = [f"d{k}" for k in range(T.shape[1])]
    state = None if X is None else pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    return Problem.from_runs(
        Runs.from_frames(pd.DataFrame(T, columns=domains), pd.DataFrame({"score": y}), state)
    )


def world(
    n: int, seed: int, *, confounding: float = 0.8, noise: float = 0.5, varying: float = 0.0
) -> Problem:
    """A linear-in-ilr truth whose state moves the outcome and, with ``confounding``, the mixture."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    Z = 0.7 * rng.normal(size=(n, 4)) + confounding * np.outer(X[:, 0], [1, 0.3, -0.3, -1])
    T = np.exp(Z @ ilr_basis(5).T)
    T /= T.sum(1, keepdims=True)
    y = (
        3 * X[:, 0]
        + X[:, 1] ** 2
        + ilr(T) @ TRUTH
        + varying * X[:, 1] * ilr(T)[:, 0]
        + noise * rng.normal(size=n)
    )
    return problem(T, y, X)


def randomised(n: int, K: int, seed: int, noise: float = 0.3) -> Problem:
    rng = np.random.default_rng(seed)
    T = rng.dirichlet(np.ones(K), size=n)
    return problem(T, ilr(T) @ np.linspace(1, -1, K - 1) + noise * rng.normal(size=n))


@pytest.fixture(scope="module")
def confounded() -> Problem:
    return world(400, seed=1)


@pytest.fixture(scope="module")
def model(confounded: Problem):
    return fit_linear(confounded)


# -- a known truth ---------------------------------------------------------------------------------------------


def test_a_known_truth_is_recovered_within_three_standard_errors(model) -> None:
    table = model.marginal_return()
    assert (np.abs(table["estimate"] - ilr_basis(5) @ TRUTH) < 3 * table["se"]).all()
    assert table["se"].max() < 0.1


def test_a_contrast_of_two_mixtures_recovers_its_truth(model) -> None:
    a, b = (
        Mixture({"d0": 0.4, "d1": 0.3, "d2": 0.1, "d3": 0.1, "d4": 0.1}),
        Mixture.equal([f"d{k}" for k in range(5)]),
    )
    effect = model.contrast(a, b)
    truth = float((ilr(np.array([list(a.shares.values())])) - ilr(np.full((1, 5), 0.2)))[0] @ TRUTH)
    assert abs(effect.estimate - truth) < 3 * effect.se
    assert sum(effect.contrast.values()) == pytest.approx(0)


def test_effects_that_vary_with_the_state_are_seen_to_vary() -> None:
    fitted = fit_linear(world(400, seed=2, varying=0.6))
    up, down = (fitted.marginal_return(state={"x0": 0.0, "x1": x1}) for x1 in (1.5, -1.5))
    truth = 2 * 1.5 * 0.6 * ilr_basis(5)[0, 0]
    assert up["estimate"]["d0"] - down["estimate"]["d0"] == pytest.approx(truth, abs=0.25)
    constant = fit_linear(world(400, seed=2, varying=0.6), interactions=False)
    same = [constant.marginal_return(state={"x0": 0.0, "x1": x1})["estimate"] for x1 in (1.5, -1.5)]
    pd.testing.assert_series_equal(*same)


def test_ignoring_the_state_is_biased_where_the_state_decided_the_mixture(confounded, model) -> None:
    truth = ilr_basis(5) @ TRUTH
    naive = fit_linear(confounded, orthogonalise=False).marginal_return()
    adjusted = model.marginal_return()
    worst = int(np.argmax(np.abs(naive["estimate"] - truth)))
    assert abs(naive["estimate"].iloc[worst] - truth[worst]) > 6 * naive["se"].iloc[worst]
    assert abs(naive["estimate"].iloc[worst] - truth[worst]) > 0.5
    assert adjusted["lower"].iloc[worst] < truth[worst] < adjusted["upper"].iloc[worst]


def test_intervals_cover_the_truth_as_often_as_they_claim() -> None:
    truth, covered, n_worlds = ilr_basis(5) @ TRUTH, [], 60
    for seed in range(n_worlds):
        table = fit_linear(world(110, seed=100 + seed), n_repeats=1, n_folds=3).marginal_return()
        covered.append(((table["lower"] < truth) & (truth < table["upper"])).to_numpy())
    assert 0.88 <= np.mean(covered) <= 0.99


def curved(n: int, seed: int, bend: float, shape: str = "log", noise: float = 0.5) -> Problem:
    """Four domains whose shares the state decides along a curve (``bend``); the outcome a line in log shares, or in their roots."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    pull = 0.7 * rng.normal(size=(n, 4)) + X @ np.array([[0.8, 0, -0.8, 0], [0, 0.6, 0, -0.6]])
    pull += bend * 2 * np.tanh(X) ** 2 @ np.array([[0.5, 0, 0, -0.5], [0, 0.5, -0.5, 0]])
    T = np.exp(pull)
    T /= T.sum(1, keepdims=True)
    level = 1.5 * np.tanh(X[:, 0]) + np.sin(1.5 * X[:, 1]) + 0.5 * X[:, 0] ** 2
    caused = (
        np.log(T + 1e-3) @ [0.5, 0.2, -0.2, -0.5] if shape == "log" else np.sqrt(T) @ [3.0, 2.0, 1.0, 0.5]
    )
    return problem(T, level + caused + noise * rng.normal(size=n), X)


def test_intervals_cover_the_truth_where_the_state_decides_the_mixture_along_a_curve() -> None:
    """Before, a quadratic was the most that a nuisance could learn: 60 % of such worlds were covered."""
    truth = float((np.log(np.array([0.4, 0.2, 0.2, 0.2]) + 1e-3) - np.log(0.251)) @ [0.5, 0.2, -0.2, -0.5])
    z = []
    for seed in range(12):
        effect = fit_linear(curved(300, seed, bend=1.0), n_repeats=1).contrast(
            np.array([[0.4, 0.2, 0.2, 0.2]]), np.full((1, 4), 0.25)
        )
        z.append((effect.estimate - truth) / effect.se)
    assert np.mean(np.abs(z) < 1.96) >= 0.8
    assert np.sqrt(np.mean(np.square(z))) < 1.4


def test_no_effect_is_called_sure_where_the_outcome_is_curved() -> None:
    bent = fit_linear(curved(400, 0, bend=0.0, shape="root", noise=0.1), n_repeats=1)
    straight = fit_linear(curved(400, 0, bend=0.0, noise=0.1), n_repeats=1)
    after, equal = np.array([[0.7, 0.1, 0.1, 0.1]]), np.full((1, 4), 0.25)
    effect = bent.contrast(after, equal)
    assert not effect.distinguishable and effect.verdict.startswith(
        "cannot be sure, since the outcome is curved"
    )
    assert "curved" in bent.diagnostics["not_sure"] and bent.diagnostics["curvature_p"] < 0.001
    assert straight.doubt == "" and straight.contrast(after, equal).distinguishable
    assert set(effects_table(bent)["verdict"]) == {"cannot be sure"}


# -- independent implementations -------------------------------------------------------------------------------


def hc3(D: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inverse = np.linalg.inv(D.T @ D)
    beta = inverse @ D.T @ y
    leverage = np.einsum("ij,jk,ik->i", D, inverse, D)
    meat = (D * ((y - D @ beta) / (1 - leverage))[:, None] ** 2).T @ D
    return beta, inverse @ meat @ inverse


def test_without_a_state_it_is_plain_least_squares_with_hc3() -> None:
    p = randomised(80, 4, seed=3)
    fitted = fit_linear(p)
    Z = ilr(p.T)
    D = np.hstack([np.ones((80, 1)), Z - Z.mean(0)])
    beta, cov = hc3(D, p.y)
    np.testing.assert_allclose(fitted.theta[0], beta[1:], atol=1e-8)
    np.testing.assert_allclose(fitted.cov, cov, atol=1e-8)
    new = np.random.default_rng(0).dirichlet(np.ones(4), size=6)
    mean, joint = fitted.joint_at(new, np.zeros((6, 0)), np.zeros((6, 0)))
    rows = np.hstack([np.ones((6, 1)), ilr(new) - Z.mean(0)])
    np.testing.assert_allclose(mean, rows @ beta, atol=1e-8)
    np.testing.assert_allclose(joint, rows @ cov @ rows.T, atol=1e-8)


def test_the_clustered_covariance_is_the_jackknife_that_leaves_out_whole_clusters() -> None:
    rng = np.random.default_rng(20)
    T = np.repeat(rng.dirichlet(np.ones(3), size=25), 3, axis=0)
    y = ilr(T)[:, 0] + np.repeat(rng.normal(size=25), 3) + 0.2 * rng.normal(size=75)
    fitted = fit_linear(problem(T, y), cov_type="cluster")
    D = np.hstack([np.ones((75, 1)), ilr(T) - ilr(T).mean(0)])
    full = np.linalg.lstsq(D, y, rcond=None)[0]
    left_out = [
        np.linalg.lstsq(np.delete(D, range(3 * g, 3 * g + 3), 0), np.delete(y, range(3 * g, 3 * g + 3)))[0]
        for g in range(25)
    ]
    np.testing.assert_allclose(fitted.cov, sum(np.outer(b - full, b - full) for b in left_out), atol=1e-8)
    assert fitted.df == 24
    assert fitted.cov[0, 0] > 2 * fit_linear(problem(T, y), cov_type="HC3").cov[0, 0]


def test_with_a_state_it_agrees_with_double_machine_learning_written_out_in_numpy(confounded) -> None:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted = fit_linear(confounded, n_repeats=1, interactions=False, random_state=7)
    assert (fitted.outcome_nuisance.learner, fitted.treatment_nuisance.learner) == (
        "quadratic ridge",
        "ridge",
    )
    X, y, Z = confounded.X, confounded.y, ilr(confounded.T)
    folds = split_folds(confounded.groups, 5, np.random.default_rng(7))
    y_left, z_left = np.empty_like(y), np.empty_like(Z)
    for k in range(5):
        train, test = folds != k, folds == k
        standard = (X - X[train].mean(0)) / X[train].std(0)
        quadratic = np.column_stack([standard, standard**2, standard[:, 0] * standard[:, 1]])

        def ridge():
            return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))

        y_left[test] = y[test] - ridge().fit(quadratic[train], y[train]).predict(quadratic[test])
        L = log_mixture(confounded.T) - log_mixture(confounded.T).mean(1, keepdims=True)
        e = ridge().fit(standard[train], L[train]).predict(standard[test])
        z_left[test] = Z[test] - e @ ilr_basis(5)
    beta, cov = hc3(np.hstack([np.ones((len(y), 1)), z_left]), y_left)
    np.testing.assert_allclose(fitted.theta[0], beta[1:], atol=1e-6)
    np.testing.assert_allclose(fitted.cov, cov, atol=1e-6)


def test_it_agrees_with_econml_on_the_same_folds(confounded) -> None:
    pytest.importorskip("econml", reason="econml is the extra [forest]")
    from econml.dml import LinearDML
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    alphas = np.logspace(-3, 4, 15)
    ridge = make_pipeline(StandardScaler(), RidgeCV(alphas))
    products = PolynomialFeatures(2, include_bias=False)
    quadratic = make_pipeline(StandardScaler(), products, StandardScaler(), RidgeCV(alphas))
    folds = split_folds(confounded.groups, 5, np.random.default_rng(0))
    cv = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(5)]
    # wrapped, because EconML would choose a bare RidgeCV's penalty once, on all runs
    wrapped = {"model_y": TransformedTargetRegressor(quadratic), "model_t": TransformedTargetRegressor(ridge)}
    theirs = LinearDML(**wrapped, cv=cv, random_state=0)
    theirs.fit(confounded.y, ilr(confounded.T), W=confounded.X, cache_values=True)
    ours = fit_linear(confounded, n_repeats=1, interactions=False)
    y_left = confounded.y - ours.outcome_nuisance.fitted[0][:, 0]
    z_left = ilr(confounded.T) - ours.treatment_nuisance.fitted[0] @ ilr_basis(5)
    np.testing.assert_allclose(y_left, theirs.residuals_[0], atol=1e-6)
    np.testing.assert_allclose(z_left, theirs.residuals_[1], atol=1e-6)
    through_origin = np.linalg.lstsq(z_left, y_left, rcond=None)[0]  # EconML leaves the level out, we do not
    np.testing.assert_allclose(theirs.intercept_, through_origin, atol=1e-6)
    se = np.sqrt(np.diag(ours.cov)[1:])
    assert (np.abs(ours.theta[0] - theirs.intercept_) < 0.3 * se).all()
    np.testing.assert_allclose(theirs.intercept__inference().stderr, se, rtol=0.15)


def test_the_forest_is_econmls_causal_forest() -> None:
    pytest.importorskip("econml", reason="econml is the extra [forest]")
    from econml.dml import CausalForestDML
    from lightgbm import LGBMRegressor
    from sklearn.multioutput import MultiOutputRegressor

    p = world(150, seed=4)
    ours = fit_forest(p, n_folds=2, n_estimators=40, random_state=5)
    settings = {
        "n_estimators": 60, "learning_rate": 0.1, "num_leaves": 8, "max_bin": 63, "min_child_samples": 6, "reg_lambda": 1.0,
        "random_state": 5, "n_jobs": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
    }  # fmt: skip
    folds = split_folds(p.groups, 2, np.random.default_rng(5))
    theirs = CausalForestDML(
        model_y=LGBMRegressor(**settings), model_t=MultiOutputRegressor(LGBMRegressor(**settings)), n_estimators=40,
        cv=[(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(2)], random_state=5, n_jobs=1,
    ).fit(p.y, ilr(p.T), X=p.X)  # fmt: skip
    a, b = np.array([[0.5, 0.2, 0.1, 0.1, 0.1]]), np.full((1, 5), 0.2)
    state = {"x0": 0.3, "x1": -0.2}
    effect = ours.contrast(a, b, state=state)
    at = np.array([list(state.values())])
    expected = theirs.effect(at, T0=ilr(b), T1=ilr(a))
    assert effect.estimate == pytest.approx(float(expected[0]), abs=1e-8)
    _, roots = ours._theta(at)
    value, vectors = np.linalg.eigh(roots[0] @ roots[0])
    for variance, direction in zip(value, vectors.T):
        stderr = theirs.effect_inference(at, T0=np.zeros((1, 4)), T1=direction[None]).stderr
        assert np.sqrt(variance) == pytest.approx(float(np.ravel(stderr)[0]), abs=1e-8)
    returns = ours.marginal_return(state=state)
    np.testing.assert_allclose(
        returns["estimate"], ilr_basis(5) @ theirs.const_marginal_effect(at)[0], atol=1e-8
    )
    assert ours.diagnostics["cv_spearman"] > 0.5
    assert "adjustment matters" in ours.diagnostics["assignment"]
    assert fit_forest(p, n_folds=2, n_estimators=40, orthogonalise=False).diagnostics["nuisance_y"] == "mean"


# -- what the model says about itself --------------------------------------------------------------------------


def test_the_assignment_sentence_tells_randomised_from_decided(model) -> None:
    decided = model.diagnostics
    assert decided["treatment_r2"] > 0.3
    assert (
        decided["assignment"]
        == f"the state decided {decided['treatment_r2']:.0%} of the mixture: adjustment matters"
    )
    drawn = fit_linear(world(200, seed=5, confounding=0), n_repeats=1).diagnostics
    assert drawn["treatment_r2"] < 0.05
    assert drawn["assignment"].startswith("the mixture looks randomised")
    assert "no state" in fit_linear(randomised(40, 3, seed=0)).diagnostics["assignment"]


def test_diagnostics_say_what_was_chosen_and_how_well_it_predicts(model) -> None:
    shown = model.diagnostics
    assert shown["nuisance_y"] == "quadratic ridge"
    assert 0.9 < shown["cv_spearman"] <= 1
    assert shown["n_coefficients"] == 4 and shown["condition_number"] < 10
    assert shown["interactions"].startswith(
        "none: effects that vary with principal components of the state; more"
    )
    varying = fit_linear(world(400, seed=2, varying=0.6), n_repeats=1).diagnostics
    assert varying["interactions"] == "effects vary with all 2 state and scale columns"
    assert varying["n_coefficients"] == 4 * 3
    assert "linear: score" in model.summary()


def test_lightgbm_is_chosen_where_the_state_acts_in_steps() -> None:
    rng = np.random.default_rng(8)
    X, T = rng.normal(size=(300, 3)), rng.dirichlet(np.ones(3), size=300)
    steps = 2.0 * ((X[:, 0] > 0) ^ (X[:, 1] > 0))
    fitted = fit_linear(problem(T, steps + ilr(T)[:, 0] + 0.1 * rng.normal(size=300), X), n_repeats=1)
    assert fitted.diagnostics["nuisance_y"] == "lightgbm"
    assert fitted.marginal_return()["estimate"]["d0"] == pytest.approx(np.sqrt(1 / 2), abs=0.1)


def test_pure_noise_is_not_called_predictable() -> None:
    rng = np.random.default_rng(9)
    fitted = fit_linear(
        problem(rng.dirichlet(np.ones(4), size=150), rng.normal(size=150), rng.normal(size=(150, 3)))
    )
    assert abs(fitted.diagnostics["cv_spearman"]) < 0.25
    assert (effects_table(fitted, simultaneous=True)["verdict"] == "not distinguishable from no effect").all()


def test_noise_is_taken_from_repeated_runs_where_there_are_any() -> None:
    rng = np.random.default_rng(10)
    T = np.repeat(rng.dirichlet(np.ones(3), size=40), 2, axis=0)
    bent = 5 * (T[:, 0] - 0.4) ** 2  # a surface that is not linear must not count as noise
    fitted = fit_linear(problem(T, bent + 0.1 * rng.normal(size=80)))
    assert fitted.diagnostics["noise_source"] == "40 repeated runs"
    assert fitted.noise_sd == pytest.approx(0.1, rel=0.3)
    assert fitted.diagnostics["covariance"] == "clustered by 40 repeated runs"


# -- intervals -------------------------------------------------------------------------------------------------


def test_the_analytic_marginal_return_is_the_derivative_of_the_surface(model) -> None:
    exact, numeric = model.marginal_return(), Model.marginal_return(model)
    np.testing.assert_allclose(
        exact["estimate"], numeric["estimate"], atol=0.01
    )  # numeric ones see log(T + eps)
    np.testing.assert_allclose(exact["se"], numeric["se"], rtol=0.02)
    assert exact["estimate"].sum() == pytest.approx(0, abs=1e-12)


def test_a_contrast_at_one_state_has_exactly_the_covariance_of_theta(confounded) -> None:
    model = fit_linear(confounded, inspect=False)
    a, b = np.array([0.5, 0.2, 0.1, 0.1, 0.1]), np.full(5, 0.2)
    state = {"x0": 1.3, "x1": -0.7}
    features = model._interactions(np.array([list(state.values())]))[0]
    row = np.kron(np.append(1, features), (ilr(a[None]) - ilr(b[None]))[0])
    effect = model.contrast(a, b, state=state)
    assert effect.se == pytest.approx(np.sqrt(row @ model.cov[1:, 1:] @ row), abs=1e-10)
    joint = model.joint_at(
        np.vstack([a, b, a]), np.array([[1.3, -0.7]] * 2 + [[0.0, 0.0]]), np.zeros((3, 0))
    )[1]
    assert np.linalg.eigvalsh(joint).min() > -1e-10


def test_the_order_of_the_domains_does_not_matter(confounded) -> None:
    order = [3, 1, 4, 0, 2]
    shuffled = problem(confounded.T[:, order], confounded.y, confounded.X)
    here = fit_linear(confounded).marginal_return()
    there = fit_linear(shuffled).marginal_return()
    np.testing.assert_allclose(there["estimate"].to_numpy(), here["estimate"].to_numpy()[order], atol=1e-6)


def test_simultaneous_intervals_are_wider_and_repeatable(model) -> None:
    alone, together = effects_table(model, simultaneous=False), effects_table(model)
    assert ((together["upper"] - together["lower"]) > (alone["upper"] - alone["lower"])).all()
    pd.testing.assert_frame_equal(together, effects_table(model, simultaneous=True))
    assert set(together["interval"]) == {"simultaneous"} and set(alone["interval"]) == {"each alone"}
    from scipy import stats

    five = stats.norm.ppf((1 + 0.95 ** (1 / 5)) / 2)  # Sidak is exact for independent estimates
    assert simultaneous_quantile(np.eye(5), 0.95) == pytest.approx(five, abs=0.05)


def test_a_table_of_nothing_but_noise_is_seldom_wrong_anywhere() -> None:
    """Ten pairs, each on its own at 5 %, are wrong somewhere in a quarter to a half of tables."""
    wrong = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = fit_linear(problem(rng.dirichlet(np.ones(5), 80), rng.normal(size=80)), inspect=False)
        wrong.append(
            [
                (pairwise_contrasts(noise, simultaneous=together)["verdict"].isin(["better", "worse"])).any()
                for together in (True, False)
            ]
        )
    together, alone = np.mean(wrong, axis=0)
    assert together <= 0.13 < alone


def test_pairwise_contrasts_are_differences_of_marginal_returns(model) -> None:
    pairs, returns = pairwise_contrasts(model), model.marginal_return()["estimate"]
    assert len(pairs) == 10
    assert pairs.loc[("d0", "d3"), "estimate"] == pytest.approx(returns["d0"] - returns["d3"])
    assert pairs.loc[("d0", "d1"), "verdict"] == "better"


def test_the_same_seed_gives_the_same_model_to_the_bit(confounded) -> None:
    small = confounded.subset(np.arange(100))
    one, two = fit_linear(small, random_state=3), fit_linear(small, random_state=3)
    assert np.array_equal(one.theta, two.theta) and np.array_equal(one.cov, two.cov)


# -- treatments, thin data, refusals ---------------------------------------------------------------------------


def test_the_papers_log_treatment_gives_the_same_contrasts_from_equal() -> None:
    rng = np.random.default_rng(12)
    T = rng.dirichlet(np.ones(4), size=300)
    theta = np.array([0.6, 0.2, -0.3, -0.5])
    p = problem(T, log_mixture(T) @ theta + 0.05 * rng.normal(size=300))
    logs, ratios = fit_linear(p, treatment="log"), fit_linear(p)
    assert logs.theta.shape == (1, 4) and ratios.theta.shape == (1, 3)
    np.testing.assert_allclose(logs.marginal_return()["estimate"], theta, atol=0.03)
    np.testing.assert_allclose(
        Model.marginal_return(logs)["estimate"], logs.marginal_return()["estimate"], atol=0.01
    )


def test_a_domain_that_is_always_zero_is_named_and_has_no_return() -> None:
    p = randomised(80, 3, seed=13)
    padded = problem(np.hstack([p.T, np.zeros((80, 1))]), p.y)
    fitted, without = fit_linear(padded), fit_linear(p)
    assert fitted.diagnostics["not_identified"] == "d3 is 0 in every run, so its effect cannot be seen"
    table = fitted.marginal_return()
    np.testing.assert_allclose(table["estimate"][:3], without.marginal_return()["estimate"], atol=1e-10)
    assert list(table.index) == ["d0", "d1", "d2"]
    with pytest.raises(MixtureError, match="no run has used d3"):
        fitted.predict(pd.DataFrame({"d0": [0.2], "d1": [0.2], "d2": [0.3], "d3": [0.3]}))


def test_domains_that_always_move_together_are_named() -> None:
    p = randomised(80, 3, seed=14)
    tied = np.hstack([p.T[:, :2], p.T[:, 2:] / 2, p.T[:, 2:] / 2])
    fitted = fit_linear(problem(tied, p.y))
    assert fitted.diagnostics["not_identified"].startswith("the runs never move d2, d3 apart")
    assert fitted.theta.shape == (1, 2)
    contrast = pairwise_contrasts(fitted).loc[("d2", "d3")]
    assert abs(contrast["estimate"]) < 1e-6 and contrast["se"] > 0.3


def test_few_runs_for_many_state_columns_use_their_leading_components() -> None:
    rng = np.random.default_rng(15)
    T, X = rng.dirichlet(np.ones(3), size=64), rng.normal(size=(64, 10))
    common = X[:, :3] @ rng.normal(
        size=(3, 10)
    )  # three components that effects vary with, seven of little spread
    y = ilr(T)[:, 0] * (1 + X[:, :3].sum(1)) + 0.1 * rng.normal(size=64)
    some = fit_linear(problem(T, y, common + 0.3 * X), n_repeats=1).diagnostics
    assert some["interactions"].startswith("effects vary with 3 of ")
    assert some["interactions"].endswith("64 runs carry no more")
    none = fit_linear(problem(T[:24], ilr(T[:24])[:, 0] + rng.normal(size=24), X[:24])).diagnostics
    assert none["interactions"].startswith("none: 24 runs do not carry")


@pytest.mark.parametrize("n", [6, 7, 9])
def test_a_handful_of_runs_is_enough_for_a_finite_answer(n: int) -> None:
    table = fit_linear(randomised(n, 3, seed=n)).marginal_return()
    assert np.isfinite(table.to_numpy()).all() and (table["se"] > 0).all()


def test_fewer_runs_than_coefficients_are_refused_with_the_number_needed() -> None:
    with pytest.raises(
        FitError, match=r"^6 distinct runs do not carry the effects of 5 domains; at least 7 are needed"
    ):
        fit_linear(randomised(6, 5, seed=0))
    rng = np.random.default_rng(0)  # repeated seeds are not new mixtures
    T = np.repeat(rng.dirichlet(np.ones(5), size=5), 6, axis=0)
    with pytest.raises(FitError, match="5 distinct runs"):
        fit_linear(problem(T, rng.normal(size=30)))


def test_one_mixture_in_all_runs_is_refused() -> None:
    with pytest.raises(FitError, match="the mixture is the same in all 20 runs"):
        fit_linear(problem(np.full((20, 4), 0.25), np.random.default_rng(0).normal(size=20)))


def test_a_mixture_that_the_state_alone_decides_is_refused() -> None:
    rng = np.random.default_rng(16)
    T = rng.dirichlet([3, 3, 3], size=100)
    with pytest.raises(FitError, match="the state decides the mixture"):
        fit_linear(problem(T, rng.normal(size=100), log_mixture(T) @ ilr_basis(3)))


def test_an_unknown_treatment_is_refused_with_the_choices() -> None:
    with pytest.raises(FitError, match="use 'ilr' or 'log'"):
        fit_linear(randomised(30, 3, seed=0), treatment="alr")


def test_a_missing_econml_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "econml.dml", None)
    with pytest.raises(FitError, match=r"pip install causalmix_nb\[forest\]"):
        fit_forest(randomised(60, 3, seed=0))


def test_a_forest_on_few_runs_points_to_the_linear_model() -> None:
    pytest.importorskip("econml", reason="econml is the extra [forest]")
    with pytest.raises(FitError, match="use method='linear'"):
        fit_forest(randomised(30, 3, seed=0))


def test_a_forest_without_a_state_estimates_one_effect() -> None:
    pytest.importorskip("econml", reason="econml is the extra [forest]")
    p = randomised(120, 3, seed=17)
    table = fit_forest(p, n_folds=2, n_estimators=40).marginal_return()
    linear = fit_linear(p).marginal_return()
    assert (np.abs(table["estimate"] - linear["estimate"]) < 3 * table["se"]).all()


def test_parameters_of_the_forest_reach_it_and_unknown_ones_are_refused(confounded) -> None:
    pytest.importorskip("econml", reason="econml is the extra [forest]")
    problem = Problem.from_runs(confounded) if not isinstance(confounded, Problem) else confounded
    stump = fit_forest(problem, n_estimators=8, max_depth=1)
    assert stump.estimator.max_depth == 1
    with pytest.raises(FitError, match="no parameter 'max_deph' to set. Did you mean 'max_depth'"):
        fit_forest(problem, max_deph=1)
    with pytest.raises(FitError, match="refuses min_samples_leaf=-1"):
        fit_forest(problem, n_estimators=8, min_samples_leaf=-1)
