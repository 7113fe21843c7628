"""Claims about the recommended mixture: near the optimum, inside the constraints, sure only of what the runs show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.decide.constraints import Constraints, project
from causalmix_nb.decide.policy import climb, optimize
from causalmix_nb.errors import FitError, MixtureError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.support import TrustRegion
from causalmix_nb.methods.law import fit_law
from causalmix_nb.methods.trees import fit_lightgbm, fit_regmix
from causalmix_nb.methods.warped import fit_gp
from causalmix_nb.mixture import Mixture
from causalmix_nb.runs.store import Runs
from known_truth import DOMAINS, STATE, draw, make_runs, make_world

WORLD = make_world(0)
POINTS = draw(6, seed=42)[1]
FEW = 20_000


@pytest.fixture(scope="module")
def problem():
    return Problem.from_runs(make_runs(WORLD, 160))


@pytest.fixture(scope="module")
def gp(problem):
    return fit_gp(problem)


def state(x):
    return dict(zip(STATE, x))


def shares(recommendation):
    return recommendation.mixture.to_array(DOMAINS)


def test_recommendation_has_little_regret_and_less_than_regmix(problem, gp):
    regmix = fit_regmix(problem, ensemble=2)
    ours = [WORLD.regret(shares(optimize(gp, state(x), n_candidates=FEW)), x) for x in POINTS]
    theirs = [WORLD.regret(shares(optimize(regmix, n_candidates=FEW)), x) for x in POINTS]
    equal = [WORLD.regret(np.full(5, 0.2), x) for x in POINTS]
    assert np.mean(ours) < 0.25 * np.mean(equal)
    assert np.mean(ours) < 0.5 * np.mean(theirs)


def test_interval_of_the_gain_covers_the_true_gain(gp):
    covered = []
    for x in POINTS:
        best = optimize(gp, state(x), n_candidates=FEW)
        gain = WORLD.regret(np.full(5, 0.2), x) - WORLD.regret(shares(best), x)
        covered.append(best.lower <= gain <= best.upper)
    assert np.mean(covered) >= 4 / 6


@pytest.mark.parametrize("policy", ["analytic", "search", "surface"])
def test_every_policy_beats_equal_shares_and_stays_where_the_runs_are(gp, policy):
    best = optimize(gp, state(POINTS[0]), policy=policy, n_candidates=FEW)
    assert best.policy == policy
    assert best.distance <= 1 + 1e-6
    assert WORLD.regret(shares(best), POINTS[0]) < WORLD.regret(np.full(5, 0.2), POINTS[0])
    assert shares(best).sum() == pytest.approx(1, abs=1e-12)


def test_gain_points_in_the_good_direction_for_losses():
    model = fit_gp(Problem.from_runs(make_runs(WORLD, 100, minimize=True)))
    best = optimize(model, state(POINTS[0]), n_candidates=FEW)
    assert best.gain > 0
    assert best.predicted["mean"] < best.baseline_outcome
    assert best.gain == pytest.approx(best.baseline_outcome - best.predicted["mean"], abs=1e-9)


@pytest.mark.parametrize("fit_one", [fit_gp, fit_lightgbm, fit_law])
def test_same_seed_gives_the_same_mixture_bitwise(problem, fit_one):
    first, second = (
        optimize(fit_one(problem), state(POINTS[1]), n_candidates=FEW, random_state=7).mixture.shares
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("policy", ["analytic", "search", "surface"])
def test_constraints_hold_exactly(gp, policy):
    limits = Constraints(floor=0.05, cap={"math": 0.3, "code": 0.25}, fixed={"talk": 0.11})
    for x in POINTS[:3]:
        best = optimize(gp, state(x), policy, FEW, limits).mixture
        assert min(best.shares.values()) >= 0.05 - 1e-12
        assert best["math"] <= 0.3 + 1e-12
        assert best["code"] <= 0.25 + 1e-12
        assert best["talk"] == pytest.approx(0.11, abs=1e-12)


def test_scarce_domain_is_not_repeated_more_often_than_allowed(gp):
    limits = {"available": {"math": 1000, "code": 50_000}, "token_budget": 100_000, "max_epochs": 4}
    best = optimize(gp, state(POINTS[0]), n_candidates=FEW, constraints=limits)
    assert best.mixture["math"] <= 0.04 + 1e-12
    assert best.epochs["math"] <= 4 + 1e-9
    assert best.epochs["code"] == pytest.approx(best.mixture["code"] * 2)


def test_heavy_repetition_is_said_aloud(gp):
    limits = Constraints(available={"math": 1000}, token_budget=100_000, fixed={"math": 0.2})
    best = optimize(gp, state(POINTS[0]), n_candidates=FEW, constraints=limits)
    assert any("math 20.0 times" in note for note in best.notes)


def test_ratios_hold_exactly_beside_other_constraints(gp):
    limits = Constraints(ratios={"code/math": 2.0, "web/code": 0.5}, cap={"code": 0.3}, floor={"talk": 0.1})
    best = optimize(gp, state(POINTS[0]), n_candidates=FEW, constraints=limits).mixture
    assert best["code"] == pytest.approx(2 * best["math"], abs=1e-9)
    assert best["web"] == pytest.approx(best["math"], abs=1e-9)
    assert best["code"] <= 0.3 + 1e-9
    assert best["talk"] >= 0.1 - 1e-9
    assert sum(best.shares.values()) == pytest.approx(1, abs=1e-12)


def test_tied_domains_are_searched_as_one(gp):
    """The best mixture with code = 2 math beats every tied mixture of a fine random sample, up to caution."""
    x = POINTS[1]
    best = optimize(gp, state(x), n_candidates=FEW, constraints={"ratios": {"code/math": 2}}, caution=0)
    feasible = Constraints(ratios={"code/math": 2}).feasible(DOMAINS)
    T = feasible.nearest(np.random.default_rng(1).dirichlet(np.ones(5), 5000))
    T = T[TrustRegion(gp.problem.T).inside(T)]
    assert gp.expected(shares(best)[None], state(x))[0] >= gp.expected(T, state(x)).max() - 1e-4


def test_the_worst_mixture_is_worse_than_the_baseline_and_says_so(gp):
    worst = optimize(gp, state(POINTS[0]), n_candidates=FEW, worst=True)
    assert worst.upper < 0
    assert worst.verdict.startswith("worse than equal shares by ")
    assert worst.gain < -WORLD.regret(np.full(5, 0.2), POINTS[0])


def test_caution_trades_expected_gain_for_a_higher_lower_end():
    gp = fit_gp(Problem.from_runs(make_runs(WORLD, 64, noise=0.1)))
    bold, careful = (optimize(gp, state(POINTS[0]), n_candidates=FEW, caution=c) for c in (0.0, 3.0))
    assert careful.se <= bold.se
    assert 0 < careful.gain <= bold.gain + 0.01
    with pytest.raises(FitError, match="caution is -1; it counts standard errors"):
        optimize(gp, caution=-1)


def test_where_nothing_can_be_told_the_baseline_is_kept_rather_than_a_loss_promised():
    best = optimize(
        fit_gp(Problem.from_runs(make_runs(WORLD, 48, noise=0.3))), state(POINTS[0]), n_candidates=FEW
    )
    assert best.gain >= -1e-9


def test_the_climb_finds_the_peak_of_a_smooth_surface_in_fifty_domains():
    rng = np.random.default_rng(0)
    worth = np.exp(rng.normal(size=50))
    peak = worth**2 / (worth**2).sum()  # of the sum of worth * sqrt(share)
    starts = rng.dirichlet(np.ones(50), 100)
    region = TrustRegion(np.vstack([rng.dirichlet(np.full(50, 0.1), 200), starts]))
    found = climb(
        lambda T: np.sqrt(T) @ worth, starts, Constraints().feasible(tuple(map(str, range(50)))), region
    )
    random = np.sqrt(rng.dirichlet(np.ones(50), 100_000)) @ worth
    best, top = np.sqrt(found) @ worth, np.sqrt(peak) @ worth
    assert top - best < 1e-3 * (top - random.max())


def test_projection_meets_its_bounds_and_keeps_ratios_of_free_domains():
    T, _ = draw(200, seed=0)
    lower, upper = np.array([0.1, 0, 0, 0, 0.05]), np.array([0.5, 0.2, 1, 1, 0.05])
    out = project(T, lower, upper)
    np.testing.assert_allclose(out.sum(1), 1, atol=1e-12)
    assert (out >= lower).all()
    assert (out <= upper).all()
    np.testing.assert_allclose(out[:, 2] * T[:, 3], out[:, 3] * T[:, 2], atol=1e-9)


def test_trust_region_holds_most_runs_and_not_a_far_corner():
    T = np.random.default_rng(0).dirichlet(np.full(5, 30.0), 100)
    region = TrustRegion(T)
    assert region.inside(T).mean() > 0.94
    assert not region.inside(np.eye(5)).any()


def test_no_gain_is_called_no_gain():
    T, _ = draw(60, seed=0)
    y = np.random.default_rng(0).normal(size=60)
    runs = Runs.from_frames(pd.DataFrame(T, columns=DOMAINS), pd.DataFrame({"score": y}))
    best = optimize(fit_gp(Problem.from_runs(runs)), n_candidates=FEW)
    assert "not distinguishable from equal shares" in best.verdict or "keep equal shares" in best.verdict


def test_clear_gain_is_stated_with_its_interval(gp):
    best = optimize(gp, state(POINTS[0]), n_candidates=FEW)
    assert best.lower > 0
    assert best.verdict.startswith("better than equal shares by ")
    assert best.verdict in str(best)


def test_baseline_may_be_another_mixture(gp):
    natural = Mixture(dict(zip(DOMAINS, (0.6, 0.1, 0.1, 0.1, 0.1))))
    best = optimize(gp, state(POINTS[0]), n_candidates=FEW, baseline=natural)
    assert best.baseline == natural
    assert "the baseline" in best.verdict


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ({"floor": 0.3}, "sum to 1.5, more than 1"),
        ({"cap": 0.1}, "sum to only 0.5; raise them"),
        ({"floor": {"maths": 0.1}}, "unknown domain 'maths'"),
        ({"floor": {"math": -0.1}}, "floor of 'math' is -0.1"),
        ({"floor": {"math": 0.4}, "cap": {"math": 0.3}}, "at least 0.4 but at most 0.3"),
        ({"fixed": {"math": 0.4}, "cap": 0.3}, "fixed at 0.4, outside its bounds"),
        ({"floors": 0.1}, "unknown constraint 'floors'. Did you mean 'floor'"),
        ({"max_epochs": 4}, "max_epochs needs to know the data"),
        ({"ratios": {"code": 2.0}}, "'code' names no two domains; write a ratio as code/math"),
        ({"ratios": {"code/math": 0.0}}, "the ratio code/math is 0; it must be positive"),
        ({"ratios": {"code/math": 2, "math/web": 2, "code/web": 3}}, "contradicts the others"),
        (
            {"ratios": {"code/math": 4}, "cap": {"code": 0.2}, "floor": {"math": 0.2}},
            "no mixture has these ratios",
        ),
    ],
)
def test_impossible_constraints_get_one_sentence(gp, constraints, message):
    with pytest.raises(MixtureError, match=message):
        optimize(gp, state(POINTS[0]), n_candidates=100, constraints=constraints)


def test_unknown_policy_is_refused_with_a_suggestion(gp):
    with pytest.raises(FitError, match="unknown policy .serch.. Did you mean 'search'"):
        optimize(gp, policy="serch")


def test_few_candidates_are_enough_to_run(gp):
    assert optimize(gp, state(POINTS[0]), n_candidates=1).gain is not None
    with pytest.raises(FitError, match="give 1 to 10,000,000"):
        optimize(gp, n_candidates=0)
