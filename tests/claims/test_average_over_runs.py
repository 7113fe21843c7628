"""An answer without a state is an average over the runs, so a state that more runs had counts for more."""

import numpy as np
import pandas as pd
import pytest

import causalmix_nb as cm

EFFECT = {0.0: 1.0, 1.0: 9.0}  # of the share of a, by the state


def runs(counts, seed=0, sd=0.05):
    """Randomised mixtures of two domains; the effect of a depends on a state that ``counts`` of the runs had."""
    rng = np.random.default_rng(seed)
    x = np.repeat(list(EFFECT), counts)
    a = rng.uniform(0.1, 0.9, len(x))
    y = np.array([EFFECT[v] for v in x]) * a + sd * rng.standard_normal(len(x))
    return cm.Runs.from_frames(
        pd.DataFrame({"a": a, "b": 1 - a}), pd.DataFrame({"score": y}), pd.DataFrame({"quality": x})
    )


TRUTH = 0.2 * (
    0.9 * 1 + 0.1 * 9
)  # of 20 more points of a, averaged over runs of which a tenth had the strong effect


@pytest.mark.parametrize("method", ["linear", "gp", "lightgbm", "forest"])
def test_an_effect_is_averaged_over_runs_and_not_over_distinct_states(method):
    model = cm.fit(runs((180, 20)), "score", method=method)
    effect = cm.do(model, {"a": 0.6}, baseline=cm.Mixture({"a": 0.4, "b": 0.6}))
    off = (
        0.1 if method == "gp" else 0.5
    )  # the others bend the line; an average over the two states would be 1.0
    assert effect.estimate == pytest.approx(TRUTH, abs=off * TRUTH)
    T = pd.DataFrame({"a": [0.6, 0.4], "b": [0.4, 0.6]})
    states = {x: model.predict(T, state={"quality": x})["mean"] for x in EFFECT}
    assert model.predict(T)["mean"].to_numpy() == pytest.approx(
        (0.9 * states[0.0] + 0.1 * states[1.0]).to_numpy(), rel=1e-6
    )


@pytest.mark.parametrize("method", ["linear", "gp"])
def test_marginal_returns_and_searches_average_as_effects_do(method):
    model = cm.fit(runs((180, 20)), "score", method=method)
    by_state = [model.marginal_return(state={"quality": x})["estimate"] for x in EFFECT]
    assert model.marginal_return()["estimate"].to_numpy() == pytest.approx(
        (0.9 * by_state[0] + 0.1 * by_state[1]).to_numpy(), rel=1e-6
    )
    T = np.array([[0.6, 0.4], [0.3, 0.7]])
    assert model.expected(T) == pytest.approx(
        model.predict(pd.DataFrame(T, columns=["a", "b"]))["mean"].to_numpy(),
        rel=2e-3,  # a search looks at the mode alone
    )


def test_many_states_are_stood_for_by_some_in_proportion():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.zeros(300), rng.uniform(1, 2, 100)])
    a = rng.uniform(0.1, 0.9, len(x))
    frame = pd.DataFrame({"a": a, "b": 1 - a})
    model = cm.fit(
        cm.Runs.from_frames(frame, pd.DataFrame({"score": a}), pd.DataFrame({"quality": x})),
        "score",
        method="linear",
    )
    rows, weights = model.averaged()
    assert len(rows) <= 64 and weights.sum() == pytest.approx(1)
    assert weights @ rows[:, 0] == pytest.approx(x.mean(), abs=0.02)
