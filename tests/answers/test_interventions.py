"""Claims about do, shift, swap, dose response and counterfactuals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.answers.audit import audit
from causalmix_nb.answers.interventions import counterfactual, do, dose_response, shift, swap
from causalmix_nb.decide.policy import optimize
from causalmix_nb.errors import MixtureError, RunsError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.methods.warped import fit_gp
from causalmix_nb.mixture import Mixture
from causalmix_nb.runs.store import Runs
from known_truth import DOMAINS, STATE, draw, make_runs, make_world

WORLD = make_world(0)
AT = dict(zip(STATE, (0.5, -0.5, 0.2)))
x = np.array(list(AT.values()))


@pytest.fixture(scope="module")
def runs():
    return make_runs(WORLD, 128)


@pytest.fixture(scope="module")
def model(runs):
    return fit_gp(Problem.from_runs(runs))


def truth(mixture):
    T = np.array([[mixture[name] for name in DOMAINS]])
    return float(WORLD.outcome(T, x[None])[0])


def test_do_keeps_the_ratios_of_the_other_domains(model):
    start = Mixture(dict(zip(DOMAINS, (0.1, 0.2, 0.3, 0.3, 0.1))))
    effect = do(model, {"math": 0.55}, state=AT, baseline=start)
    assert sum(effect.contrast.values()) == pytest.approx(0)
    assert effect.contrast["math"] == pytest.approx(0.45)
    assert effect.contrast["web"] / effect.contrast["code"] == pytest.approx(0.3 / 0.2)
    assert effect.label == "do(math=0.55, others proportional)"


def test_do_from_a_donor_moves_two_domains_only(model):
    effect = do(model, {"math": 0.3}, state=AT, keep="from=code")
    moved = {name for name, change in effect.contrast.items() if abs(change) > 1e-12}
    assert moved == {"math", "code"}
    assert effect.label == "do(math=0.3, from code)"


def test_interval_of_do_covers_the_known_effect(model):
    equal, covered = Mixture.equal(DOMAINS), []
    for name in DOMAINS:
        for share in (0.05, 0.4, 0.6):
            effect = do(model, {name: share}, state=AT)
            after = {d: share if d == name else (1 - share) / 4 for d in DOMAINS}
            covered.append(effect.lower <= truth(after) - truth(equal) <= effect.upper)
    assert np.mean(covered) >= 0.8


def test_do_nothing_has_no_effect(model):
    effect = do(model, {"math": 0.2}, state=AT)
    assert effect.estimate == pytest.approx(0, abs=1e-9)
    assert effect.se == pytest.approx(0, abs=1e-6)


def test_whole_mixture_may_be_set(model):
    best = dict(zip(DOMAINS, WORLD.optimum(x)))
    effect = do(model, Mixture(best), state=AT)
    assert "others" not in effect.label
    assert effect.lower > 0


def test_shift_and_do_agree(model):
    assert shift(model, "web", 0.2, state=AT).estimate == pytest.approx(
        do(model, {"web": 0.4}, state=AT).estimate
    )


def test_swap_there_and_back_cancels(model):
    there = swap(model, "math", "code", 0.1, state=AT)
    start = Mixture({name: 0.2 + change for name, change in there.contrast.items()})
    back = swap(model, "code", "math", 0.1, state=AT, baseline=start)
    assert back.estimate == pytest.approx(-there.estimate, abs=1e-9)


def test_dose_response_follows_the_known_curve(model):
    curve = dose_response(model, "math", state=AT, grid=[0.05, 0.2, 0.4, 0.6])
    known = [truth({d: s if d == "math" else (1 - s) / 4 for d in DOMAINS}) for s in curve["share"]]
    assert list(curve.columns) == ["share", "mean", "se", "lower", "upper"]
    assert np.abs(curve["mean"] - known).max() < 0.15
    assert dose_response(model, "math", state=AT)["share"].iloc[-1] == pytest.approx(
        model.problem.T[:, 0].max()
    )


def test_dose_response_from_a_donor_stops_where_the_donor_is_spent(model):
    assert dose_response(model, "math", state=AT, keep="from=code")["share"].max() == pytest.approx(0.4)


def test_counterfactual_of_what_happened_is_no_change(model, runs):
    key = runs.frame["key"].iloc[3]
    factual = {name: runs.frame[f"mixture.{name}"].iloc[3] for name in DOMAINS}
    effect = counterfactual(model, runs, key, factual)
    assert effect.estimate == pytest.approx(0, abs=1e-12)
    assert effect.se == pytest.approx(0, abs=1e-6)


def test_counterfactual_keeps_the_residual_of_the_run(model, runs):
    row = runs.frame.iloc[3]
    effect = counterfactual(model, runs, row["key"], {"math": 0.5})
    assert f"instead of {row['outcome.score']:.4g}" in effect.label
    assert f"{row['outcome.score'] + effect.estimate:.4g}" in effect.label


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, r: do(m, {"maths": 0.4}), MixtureError, "unknown domain 'maths'. Did you mean 'math'"),
        (lambda m, r: do(m, {"math": 1.4}), MixtureError, "shares must be between 0 and 1"),
        (lambda m, r: do(m, {"math": -0.1}), MixtureError, "shares must be between 0 and 1"),
        (lambda m, r: do(m, {"math": 0.7, "code": 0.6}), MixtureError, "sum to 1.3"),
        (lambda m, r: shift(m, "math", 0.9), MixtureError, "it would be 1.1, outside 0 to 1"),
        (lambda m, r: swap(m, "math", "math", 0.1), MixtureError, "needs two domains"),
        (lambda m, r: swap(m, "math", "code", 0.5), MixtureError, "has only 0.2 to give"),
        (lambda m, r: dose_response(m, "maths"), MixtureError, "unknown domain"),
        (lambda m, r: counterfactual(m, r, "000003-4", {"math": 0.5}), RunsError, "no run '000003-4'"),
    ],
)
def test_questions_that_make_no_sense_get_one_sentence(model, runs, call, error, message):
    with pytest.raises(error, match=message):
        call(model, runs)


@pytest.fixture(scope="module")
def of_two_sizes():
    """Runs of two sizes: the bigger the model, the more code is worth."""
    T, _ = draw(120, 0)
    size = np.repeat([1e6, 1e7], 60)
    y = T[:, 0] + (np.log10(size) - 5) * np.sqrt(T[:, 1]) + 0.02 * np.random.default_rng(0).normal(size=120)
    frame = pd.DataFrame(T, columns=DOMAINS)
    return fit_gp(
        Problem.from_runs(
            Runs.from_frames(frame, pd.DataFrame({"score": y}), scale=pd.DataFrame({"parameters": size}))
        )
    )


def test_what_a_domain_is_worth_is_carried_to_a_larger_model_with_a_wider_interval(of_two_sizes):
    inside, beyond = (do(of_two_sizes, {"code": 0.5}, scale={"parameters": p}) for p in (1e7, 1e9))
    assert beyond.estimate > inside.estimate
    assert beyond.se > 2 * inside.se


def test_a_scale_outside_the_runs_is_called_an_extrapolation(of_two_sizes):
    effect = do(of_two_sizes, {"code": 0.5}, scale={"parameters": 1e9})
    assert (
        "parameters 1e+09 is 100 times beyond the largest of the runs (1e+07): an extrapolation"
        in effect.label
    )
    assert "extrapolation" not in do(of_two_sizes, {"code": 0.5}, scale={"parameters": 3e6}).label
    best = optimize(of_two_sizes, scale={"parameters": 1e5}, n_candidates=500)
    assert any("10 times beyond the smallest" in note for note in best.notes)


def test_shares_far_from_all_runs_are_called_an_extrapolation():
    rng = np.random.default_rng(0)
    T = rng.dirichlet(np.full(5, 30.0), 60)
    runs = Runs.from_frames(pd.DataFrame(T, columns=DOMAINS), pd.DataFrame({"score": T[:, 0]}))
    model = fit_gp(Problem.from_runs(runs))
    assert "outside what the runs cover: an extrapolation" in do(model, {"math": 0.9}).label
    assert "extrapolation" not in do(model, {"math": 0.22}).label
    assert "extrapolation" in swap(model, "math", "code", 0.2).label
    assert do(model, {"math": 0.9}).se > 3 * do(model, {"math": 0.22}).se


def test_a_mixture_tried_only_at_other_states_is_an_extrapolation():
    """Much math was tried where it is hard, much code where it is easy: at a hard state much code was never tried."""
    rng, n = np.random.default_rng(0), 120
    hard = rng.normal(size=n)
    T = np.exp(np.column_stack([2 * hard, -2 * hard, np.zeros(n)]) + 0.3 * rng.normal(size=(n, 3)))
    T /= T.sum(1, keepdims=True)
    y = T[:, 0] + hard + 0.1 * rng.normal(size=n)
    runs = Runs.from_frames(
        pd.DataFrame(T, columns=["math", "code", "web"]),
        pd.DataFrame({"score": y}),
        pd.DataFrame({"hard": hard}),
    )
    model = fit_gp(Problem.from_runs(runs))
    code = {"math": 0.05, "code": 0.85, "web": 0.1}
    assert "no run at a state like this one" in do(model, code, state={"hard": 1.5}).label
    assert "extrapolation" not in do(model, code, state={"hard": -1.4}).label
    assert "tried at other states only" in audit(runs).table.loc["do the runs cover the mixtures?", "answer"]
    drawn = Runs.from_frames(
        pd.DataFrame(T, columns=["math", "code", "web"]), pd.DataFrame({"score": y}),
        pd.DataFrame({"hard": rng.permutation(hard)}),
    )  # fmt: skip
    assert "other states" not in audit(drawn).table.loc["do the runs cover the mixtures?", "answer"]


def test_a_counterfactual_keeps_the_residual_in_units_of_the_noise():
    """Noise grows tenfold with code: a run's luck is worth as much more under more code. Right: m(T') + sigma(T') u."""
    rng, n = np.random.default_rng(1), 240
    T = rng.dirichlet(np.ones(3), n)
    sigma = 0.05 * np.exp(2.3 * np.sqrt(T[:, 1]))
    u = rng.normal(size=n)
    y = T[:, 0] + sigma * u
    runs = Runs.from_frames(pd.DataFrame(T, columns=["math", "code", "web"]), pd.DataFrame({"score": y}))
    model = fit_gp(weighed(Problem.from_runs(runs)))
    share, covered, error, kept = 0.7, [], [], []
    for i in np.flatnonzero(T[:, 1] < 0.4)[:60]:
        effect = counterfactual(model, runs, str(i), {"code": share})
        after = T[i] * (1 - share) / (1 - T[i, 1])
        noise = 0.05 * np.exp(2.3 * np.sqrt(share))
        truth = after[0] + noise * u[i] - y[i]
        covered.append(effect.lower <= truth <= effect.upper)
        error.append(effect.estimate - truth)
        kept.append(
            after[0] + y[i] - T[i, 0] - y[i] - truth
        )  # what an unscaled residual would be wrong by at best
    assert np.mean(covered) >= 0.85
    assert np.sqrt(np.mean(np.square(error))) < 0.7 * np.sqrt(np.mean(np.square(kept)))
