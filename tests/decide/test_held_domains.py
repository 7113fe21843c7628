"""A domain that no run has used, or whose share no run has moved: nothing can be learnt of it, so nothing is said of it."""

import numpy as np
import pandas as pd
import pytest

import causalmix_nb as cm
from causalmix_nb.answers.audit import audit
from causalmix_nb.answers.interventions import dose_response, shift, swap
from causalmix_nb.decide.baselines.baseline import Case, baseline_mixture
from causalmix_nb.decide.pareto import pareto
from causalmix_nb.errors import FitError, MixtureError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.widgets.explorer import MixtureExplorer

MOVED = ("math", "code", "web")


def runs_with(held: dict[str, float], n: int = 40, rounded: int | None = None, seed: int = 0) -> cm.Runs:
    """Runs over three domains that move and some that do not; math is worth most."""
    rng = np.random.default_rng(seed)
    T = rng.dirichlet(np.ones(3), n) * (1 - sum(held.values()))
    table = pd.DataFrame(T, columns=list(MOVED)).assign(**held)
    y = 2 * np.sqrt(table["math"]) + np.sqrt(table["code"]) + 0.02 * rng.normal(size=n)
    if rounded is not None:
        table = table.round(rounded)
        table = table.div(table.sum(axis=1), axis=0)
    outcomes = pd.DataFrame({"acc": y, "loss": 3 - y + 0.02 * rng.normal(size=n)})
    return cm.Runs.from_frames(table, outcomes, minimize={"acc": False, "loss": True})


@pytest.fixture(scope="module")
def unused() -> cm.Runs:
    return runs_with({"law": 0.0})


@pytest.fixture(scope="module")
def constant() -> cm.Runs:
    return runs_with({"talk": 0.1, "law": 0.0})


@pytest.fixture(scope="module")
def model(unused):
    return cm.fit(unused, "acc", method="gp")


@pytest.mark.parametrize("method", ["linear", "gp", "lightgbm", "law", "regmix"])
@pytest.mark.parametrize("policy", ["search", "analytic"])
def test_a_domain_that_no_run_has_used_is_left_out_of_baseline_and_recommendation(unused, method, policy):
    model = cm.fit(unused, "acc", method=method)
    best = cm.optimize(model, policy=policy, n_candidates=2_000)
    assert best.mixture["law"] == 0 and best.baseline["law"] == 0
    assert best.baseline["math"] == pytest.approx(1 / 3)
    assert any("no run has used law" in note for note in best.notes)


@pytest.mark.parametrize("method", ["linear", "gp", "lightgbm", "law", "regmix"])
def test_a_domain_of_one_share_in_every_run_stays_at_it(constant, method):
    best = cm.optimize(cm.fit(constant, "acc", method=method), n_candidates=2_000)
    assert best.mixture["talk"] == pytest.approx(0.1, abs=1e-9) and best.mixture["law"] == 0
    assert best.baseline["math"] == pytest.approx(0.3)
    assert any("talk has a share of 0.1 in every run" in note for note in best.notes)


def test_the_gain_is_the_one_without_the_unused_domain(unused):
    alone = cm.Runs.from_frames(
        unused.frame[[f"mixture.{name}" for name in MOVED]].rename(
            columns=lambda c: c.removeprefix("mixture.")
        ),
        unused.frame[["outcome.acc"]].rename(columns={"outcome.acc": "acc"}),
    )
    found, wanted = (cm.optimize(cm.fit(runs, "acc", method="linear")) for runs in (unused, alone))
    assert found.gain == pytest.approx(wanted.gain, rel=0.05)
    assert found.upper - found.lower == pytest.approx(wanted.upper - wanted.lower, rel=0.15)


@pytest.mark.parametrize("digits", [2, 3])
def test_a_constant_share_that_was_rounded_and_rescaled_is_constant(digits):
    problem = Problem.from_runs(runs_with({"talk": 0.1, "law": 0.0}, rounded=digits), "acc")
    assert set(problem.held) == {"talk", "law"} and problem.held["talk"] == pytest.approx(0.1, abs=2e-3)


def test_small_steps_around_one_mixture_are_not_taken_for_constant_shares():
    rng = np.random.default_rng(0)
    T = pd.DataFrame({"a": 0.5 + rng.uniform(-0.004, 0.004, 20)})
    T["b"] = 0.3 + (0.5 - T["a"]) * rng.uniform(0, 1, 20)
    T["c"] = 1 - T.sum(axis=1)
    runs = cm.Runs.from_frames(T, pd.DataFrame({"acc": T["a"]}))
    assert Problem.from_runs(runs, "acc").held == {}


def test_a_domain_that_one_run_has_used_is_not_left_out():
    rng = np.random.default_rng(0)
    T = np.hstack([rng.dirichlet(np.ones(3), 40), np.zeros((40, 1))])
    T[7] = [0.3, 0.3, 0.3, 0.1]
    runs = cm.Runs.from_frames(pd.DataFrame(T, columns=[*MOVED, "law"]), pd.DataFrame({"acc": T[:, 0]}))
    assert Problem.from_runs(runs, "acc").held == {}


def test_a_domain_that_only_failed_runs_have_used_is_left_out():
    rng = np.random.default_rng(0)
    T = np.hstack([rng.dirichlet(np.ones(3), 40), np.zeros((40, 1))])
    T[7], y = [0.3, 0.3, 0.3, 0.1], T[:, 0].copy()
    y[7] = np.nan
    runs = cm.Runs.from_frames(pd.DataFrame(T, columns=[*MOVED, "law"]), pd.DataFrame({"acc": y}))
    assert Problem.from_runs(runs, "acc").held == {"law": 0.0}


def test_a_fold_without_the_only_run_that_used_a_domain_still_knows_that_it_moved():
    rng = np.random.default_rng(0)
    T = np.hstack([rng.dirichlet(np.ones(3), 40), np.zeros((40, 1))])
    T[7] = [0.3, 0.3, 0.3, 0.1]
    runs = cm.Runs.from_frames(pd.DataFrame(T, columns=[*MOVED, "law"]), pd.DataFrame({"acc": T[:, 0]}))
    problem = Problem.from_runs(runs, "acc")
    assert problem.subset(np.arange(40) != 7).held == {}


def test_the_same_mixture_in_all_runs_is_refused():
    T = pd.DataFrame([[0.5, 0.3, 0.2]] * 20, columns=list(MOVED))
    runs = cm.Runs.from_frames(T, pd.DataFrame({"acc": np.arange(20.0)}))
    with pytest.raises(FitError, match="different run"):
        cm.fit(runs, "acc")


@pytest.mark.parametrize(
    "question",
    [
        lambda m: cm.do(m, {"law": 0.2}),
        lambda m: shift(m, "law", 0.1),
        lambda m: swap(m, "law", "math", 0.1),
        lambda m: cm.do(m, {"math": 0.2}, keep="from=law"),
        lambda m: cm.do(m, {"math": 0.2}, baseline={"math": 0.5, "law": 0.5}),
        lambda m: cm.optimize(m, baseline={"math": 0.5, "law": 0.5}),
        lambda m: m.predict(cm.Mixture({"math": 0.5, "law": 0.5})),
        lambda m: dose_response(m, "law"),
        lambda m: m.marginal_return(at={"math": 0.5, "law": 0.5}),
    ],
)
def test_a_question_about_a_domain_that_no_run_has_used_is_refused(model, question):
    with pytest.raises(MixtureError, match="no run has used law|has a share of 0 in every run"):
        question(model)


def test_setting_one_share_leaves_a_constant_one_where_it_is(constant):
    effect = cm.do(cm.fit(constant, "acc", method="linear"), {"math": 0.5})
    assert effect.contrast["talk"] == pytest.approx(0) and effect.contrast["law"] == 0
    assert sum(effect.contrast.values()) == pytest.approx(0)


def test_naming_all_the_domains_that_move_names_the_whole_mixture(model):
    effect = cm.do(model, {"math": 0.6, "code": 0.3, "web": 0.1})
    assert "proportional" not in effect.label and effect.estimate > 0


def test_more_than_the_constant_share_leaves_is_refused(constant):
    with pytest.raises(MixtureError, match="talk 0.1, which stays: set at most 0.9"):
        cm.do(cm.fit(constant, "acc", method="linear"), {"math": 0.95})


def test_a_constant_share_may_be_named_as_it_is(constant):
    model = cm.fit(constant, "acc", method="linear")
    assert cm.do(model, {"math": 0.5, "talk": 0.1}).estimate == pytest.approx(
        cm.do(model, {"math": 0.5}).estimate
    )


def test_marginal_returns_have_a_row_for_every_domain_that_moved(constant):
    for method in ("linear", "gp"):
        table = cm.fit(constant, "acc", method=method).marginal_return()
        assert list(table.index) == list(MOVED) and np.isfinite(table.to_numpy()).all()


def test_summary_and_diagnostics_name_it(model):
    assert "no run has used law" in model.summary() and "law" in model.diagnostics["not_learnt"]


def test_nothing_is_said_where_all_domains_moved():
    model = cm.fit(runs_with({}), "acc", method="linear")
    assert "not_learnt" not in model.diagnostics and model.problem.notes == ()


@pytest.mark.parametrize(
    "constraints, words",
    [({"floor": 0.05}, "at least 0.05"), ({"fixed": {"law": 0.2}}, "at least 0.2"), ({"floor": {"law": 0.1}}, "at least 0.1")],
)  # fmt: skip
def test_constraints_that_ask_for_an_unused_domain_are_refused(model, constraints, words):
    with pytest.raises(MixtureError, match=f"no run has used law.*{words}"):
        cm.optimize(model, constraints=constraints, n_candidates=100)


def test_a_cap_below_a_constant_share_is_refused(constant):
    with pytest.raises(MixtureError, match="talk.*at most 0.05"):
        cm.optimize(cm.fit(constant, "acc", method="linear"), constraints={"cap": {"talk": 0.05}})


def test_constraints_on_the_other_domains_hold(constant):
    best = cm.optimize(cm.fit(constant, "acc", method="gp"), constraints={"cap": {"math": 0.4}, "floor": {"web": 0.1}})  # fmt: skip
    assert best.mixture["math"] <= 0.4 + 1e-9 and best.mixture["web"] >= 0.1 - 1e-9
    assert best.mixture["talk"] == pytest.approx(0.1)


def test_verdict_says_which_equal_shares_are_meant(model):
    assert "equal shares of the domains that the runs varied" in cm.optimize(model).verdict


@pytest.mark.parametrize("name", ["equal", "regmix", "law", "best_run"])
def test_baselines_by_name_leave_it_out(constant, name):
    found = baseline_mixture(name, Case(constant, "acc"))
    assert found["law"] == 0 and found["talk"] == pytest.approx(0.1)


def test_the_front_of_two_outcomes_leaves_it_out(constant):
    models = {name: cm.fit(constant, name, method="linear") for name in ("acc", "loss")}
    front = pareto(models, n_candidates=1_000)
    assert np.allclose(front.table["mixture.talk"], 0.1) and (front.table["mixture.law"] == 0).all()


def test_the_explorer_locks_it(constant):
    explorer = MixtureExplorer(cm.fit(constant, "acc", method="linear"))
    assert explorer.locked == [False, False, False, True, True]
    assert explorer.mixture["law"] == 0 and explorer.mixture["talk"] == pytest.approx(0.1)
    with pytest.raises(MixtureError, match="no run has used law"):
        explorer._follow({"lock": 4}, 1)
    with pytest.raises(MixtureError, match="no run has used law"):
        explorer.mixture = cm.Mixture({"math": 0.5, "talk": 0.1, "law": 0.4})


def test_the_audit_counts_directions_that_runs_moved_in(constant):
    found = audit(constant, "acc")
    assert "2 directions" in found.table.loc["are there enough runs?", "answer"]
    assert any("no run has used law" in note for note in found.notes)
