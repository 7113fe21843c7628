"""Claims about refutation: true effects stand, effects that are not there do not, and hidden causes are weighed correctly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.answers.effects import effects_table
from causalmix_nb.answers.refute import e_value, left_by, refute, robustness_value
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.placebos import Residuals
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.methods.fit import fit_one
from causalmix_nb.runs.store import Runs
from worlds import make_world


@pytest.fixture(scope="module")
def found():
    return refute(make_world(0, linear=True).runs(128, 0, repeats=8))


def test_a_true_effect_stands_under_every_attempt(found):
    assert set(found.table["verdict"]) == {"stands"}
    assert found.sentences[0] == "the effect stands under every attempt"
    assert found.actual > found.placebo.max()


def test_placebo_mixtures_have_no_effect(found):
    """Under the null the joint statistic of K - 1 = 4 directions is about chi squared."""
    assert 2 < np.median(found.placebo) < 8


def test_pure_noise_cannot_be_told_from_a_placebo():
    T = np.random.default_rng(0).dirichlet(np.ones(3), 80)
    y = np.random.default_rng(1).normal(size=80)
    noise = refute(Runs.from_frames(pd.DataFrame(T, columns=list("abc")), pd.DataFrame({"y": y})))
    assert noise.table.loc["placebo mixture", "verdict"] == "cannot tell"
    assert noise.table.loc["hidden cause", "verdict"] == "cannot tell"
    assert "cannot tell" in noise.sentences[0]


def test_a_hidden_cause_as_strong_as_the_robustness_value_explains_the_effect_away():
    """A confounder built to have exactly this strength: with it in the regression nothing is left of the effect."""
    rng, n = np.random.default_rng(0), 400

    def unit(v, *given):
        for g in given:
            v = v - (v @ g) / (g @ g) * g
        return v / np.linalg.norm(v)

    one = np.ones(n)
    d = unit(rng.normal(size=n), one)
    y = 0.3 * d + 0.05 * rng.normal(size=n)
    y = y - y.mean()
    residual = y - (y @ d) * d
    df = n - 2
    se = np.sqrt(residual @ residual / df)
    value = robustness_value((y @ d) / se, df)
    rest = unit(residual, one, d)
    idle = unit(rng.normal(size=n), one, d, rest)
    # part ``value`` of the variance of d, and of what d leaves of y
    z = np.sqrt(value) * d + np.sqrt(1 - value) * (np.sqrt(value) * rest + np.sqrt(1 - value) * idle)
    design = np.column_stack([one, d, z])
    assert np.linalg.lstsq(design, y, rcond=None)[0][1] == pytest.approx(0, abs=1e-10)
    left, _ = left_by(y @ d, se, df, np.array([0.0, value]))
    assert left == pytest.approx([y @ d, 0.0], abs=1e-10)


def test_the_robustness_value_grows_with_the_effect_and_is_0_where_there_is_nothing_to_lose():
    values = [robustness_value(t, 100) for t in (0.5, 2.0, 5.0, 50.0)]
    assert values == sorted(values)
    assert values[0] > 0 and values[-1] < 1
    assert robustness_value(1.0, 100, level=0.05) == 0
    assert robustness_value(5.0, 100, level=0.05) < robustness_value(5.0, 100)
    assert e_value(0.0) == 1


def test_a_strong_recorded_confounder_is_the_yardstick():
    runs = make_world(2, linear=True).runs(160, 0, "confounded", repeats=8)
    said = refute(runs).table.loc["hidden cause", "found"]
    assert "the strongest recorded one, state" in said


def test_an_effect_that_one_run_makes_is_not_called_stable():
    rng = np.random.default_rng(0)
    T = rng.dirichlet(np.full(3, 50.0), 40)
    y = 0.01 * rng.normal(size=40)
    T[0], y[0] = [0.98, 0.01, 0.01], 10.0
    found = refute(Runs.from_frames(pd.DataFrame(T, columns=list("abc")), pd.DataFrame({"y": y})))
    assert found.table.loc["subsets", "verdict"] != "stands"


def test_it_is_repeatable_and_drawn_with_words(found):
    again = refute(make_world(0, linear=True).runs(128, 0, repeats=8))
    np.testing.assert_array_equal(found.placebo, again.placebo)
    assert "the effect on score that a hidden common cause" in found.figure().alt


def test_too_few_repeats_are_refused():
    with pytest.raises(FitError, match="2 repeats give no null distribution; take at least 5"):
        refute(make_world(0).runs(40, 0), n_repeats=2)


def decided(seed: int, effect: float = 0.0, hidden: float = 0.0, n: int = 200) -> Runs:
    """The state decides the mixture along a curve and moves the score; ``hidden`` moves mixture, score and a control that no mixture moves."""
    rng = np.random.default_rng([seed, 3])
    X, U = rng.normal(size=(n, 2)), rng.normal(size=n)
    pull = (
        0.7 * rng.normal(size=(n, 3))
        + np.tanh(X) ** 2 @ [[1.0, 0, -1], [0, 1, -1]]
        + X @ [[0.8, 0, -0.8], [0, 0.6, -0.6]]
    )
    pull[:, 0] += hidden * U
    T = np.exp(pull) / np.exp(pull).sum(1, keepdims=True)
    level = 1.5 * np.tanh(X[:, 0]) + np.sin(1.5 * X[:, 1]) + 0.5 * X[:, 0] ** 2
    y = level + effect * np.log(T[:, 0]) + hidden * U + 0.5 * rng.normal(size=n)
    control = X[:, 0] + hidden * U + 0.5 * rng.normal(size=n)
    scores = pd.DataFrame({"score": y, "control": control})
    return Runs.from_frames(pd.DataFrame(T, columns=list("abc")), scores, pd.DataFrame(X, columns=["u", "v"]))


WITH_CONTROL = CausalGraph.parse("state -> mixture; state -> score; mixture -> score; state -> control")


def test_a_placebo_is_no_false_alarm_where_the_state_decides_along_a_curve():
    """Freedman and Lane's placebo is as confounded as the mixture: without an effect it is beaten once in twenty."""
    p = []
    for seed in range(10):
        found = Residuals.of(Problem.from_runs(decided(seed), "score"))
        actual, placebo = found.placebos(39, np.random.default_rng(seed))
        p.append((1 + (placebo >= actual).sum()) / 40)
    assert np.mean(np.array(p) <= 0.05) <= 0.2
    there = Residuals.of(Problem.from_runs(decided(0, effect=0.3), "score"))
    actual, placebo = there.placebos(39, np.random.default_rng(0))
    assert actual > placebo.max()


def test_a_negative_control_shows_a_cause_that_nobody_recorded():
    alarms = {0.0: [], 0.7: []}
    for hidden, found in alarms.items():
        for seed in range(8):  # of honest worlds one in twenty may look hidden by chance
            runs = decided(seed, effect=0.3, hidden=hidden)
            p = Residuals.of(Problem.from_runs(runs, "score")).effect_on(
                runs.frame["outcome.control"].to_numpy()
            )
            found.append(p < 0.05)
    assert sum(alarms[0.0]) <= 2 and all(alarms[0.7])
    planted = refute(decided(1, effect=0.3, hidden=0.7), "score", WITH_CONTROL, n_repeats=5)
    assert planted.table.loc["negative control", "verdict"] == "fails"
    assert "does not survive: negative control" in planted.sentences[0]
    honest = refute(decided(1, effect=0.3), "score", WITH_CONTROL, n_repeats=5)
    assert honest.table.loc["negative control", "verdict"] == "stands"
    assert "leaves the negative control alone would pass" in honest.sentences[-1]


def test_without_a_negative_control_it_says_what_no_attempt_can_see(found):
    assert "negative control" not in found.table.index
    assert "none of these attempts can see a common cause" in found.sentences[-1]


def test_the_effect_in_question_is_the_one_that_the_model_shows():
    runs = decided(1, effect=0.4)
    model = fit_one(Problem.from_runs(runs, "score"), "linear", n_repeats=1)
    shown = effects_table(model)
    asked = refute(runs, "score", n_repeats=5, model=model)
    assert asked.estimate == pytest.approx(shown.loc[asked.domain, "estimate"])
    assert asked.se == pytest.approx(shown.loc[asked.domain, "se"])
