"""The graph decides about every column: what it asks to adjust for is adjusted for wherever it was recorded, and a bad control is none."""

import numpy as np
import pandas as pd
import pytest

import causalmix_nb as cm
from causalmix_nb.errors import CausalMixError, FitError

BEFORE, AFTER = cm.Mixture({"a": 0.4, "b": 0.6}), {"a": 0.6}


def mixtures(a):
    return pd.DataFrame({"a": a, "b": 1 - a})


def confounded(n=300, seed=0):
    """A difficulty decided the share of a and lowers the score; the mixture does nothing."""
    rng = np.random.default_rng(seed)
    difficulty = rng.standard_normal(n)
    a = 1 / (1 + np.exp(-difficulty - 0.5 * rng.standard_normal(n)))
    score = 2 * difficulty + 0.2 * rng.standard_normal(n)
    return a, difficulty, score


GRAPH = cm.CausalGraph.parse("difficulty -> mixture; difficulty -> score; mixture -> score")


@pytest.mark.parametrize("method", ["linear", "gp", "auto"])
def test_a_confounder_recorded_as_an_outcome_is_adjusted_for(method):
    a, difficulty, score = confounded()
    runs = cm.Runs.from_frames(mixtures(a), pd.DataFrame({"score": score, "difficulty": difficulty}))
    model = cm.fit(runs, "score", method=method, graph=GRAPH)
    assert model.problem.state_names == model.problem.recorded == ("difficulty",)
    effect = cm.do(model, AFTER, baseline=BEFORE)
    assert effect.lower < 0 < effect.upper and abs(effect.estimate) < 0.1
    naive = cm.do(cm.fit(runs, "score", method="gp"), AFTER, baseline=BEFORE)
    assert naive.lower > 0.5  # what is found without: a large effect where there is none
    assert "recorded of the runs and adjusted for: difficulty" in model.summary()


def test_of_two_sets_the_recorded_one_is_taken():
    a, difficulty, score = confounded()
    runs = cm.Runs.from_frames(mixtures(a), pd.DataFrame({"score": score, "difficulty": difficulty}))
    graph = cm.CausalGraph.parse(
        "mood -> difficulty; difficulty -> mixture; mood, difficulty -> score; mixture -> score"
    )
    effect = cm.do(cm.fit(runs, "score", method="gp", graph=graph), AFTER, baseline=BEFORE)
    assert effect.lower < 0 < effect.upper


def test_states_and_recorded_outcomes_are_adjusted_for_together():
    a, difficulty, score = confounded()
    rng = np.random.default_rng(1)
    quality = rng.standard_normal(len(a))
    a = 1 / (1 + np.exp(-np.log(a / (1 - a)) - quality))
    outcomes = pd.DataFrame({"score": score + 3 * quality, "difficulty": difficulty})
    runs = cm.Runs.from_frames(mixtures(a), outcomes, pd.DataFrame({"quality": quality}))
    graph = cm.CausalGraph.parse("difficulty, quality -> mixture, score; mixture -> score")
    model = cm.fit(runs, "score", method="linear", graph=graph)
    assert set(model.problem.state_names) == {"quality", "difficulty"}
    effect = cm.do(
        model, AFTER, baseline=BEFORE, state={"quality": 0.0}
    )  # averaged over the runs' difficulties
    assert effect.lower < 0 < effect.upper and abs(effect.estimate) < 0.2
    T = mixtures(np.array([0.3, 0.6]))
    values, counts = np.unique(difficulty.round(9), return_counts=True)
    with pytest.raises(FitError, match="difficulty is adjusted for, and a state lacks it"):
        model.predict(T, state=pd.DataFrame({"quality": [0.0, 1.0]}))
    given = model.predict(T, state=pd.DataFrame({"quality": [0.0, 1.0], "difficulty": [0.0, 0.0]}))
    assert np.isfinite(given["mean"]).all() and len(values) == counts.sum()


def test_an_average_over_what_was_recorded_is_one_over_runs():
    rng = np.random.default_rng(2)
    level = np.repeat([0.0, 1.0], [180, 20])
    a = np.clip(0.3 + 0.3 * level + 0.2 * rng.uniform(-1, 1, 200), 0.05, 0.95)
    y = (1 + 8 * level) * a + 2 * level + 0.02 * rng.standard_normal(200)
    runs = cm.Runs.from_frames(mixtures(a), pd.DataFrame({"score": y, "level": level}))
    graph = cm.CausalGraph.parse("level -> mixture, score; mixture -> score")
    effect = cm.do(
        cm.fit(runs, "score", method="gp", graph=graph), {"a": 0.5}, baseline=cm.Mixture({"a": 0.4, "b": 0.6})
    )
    assert effect.estimate == pytest.approx(0.1 * (0.9 * 1 + 0.1 * 9), rel=0.15)


def test_runs_that_lack_what_is_adjusted_for_are_left_out_and_counted():
    a, difficulty, score = confounded()
    difficulty[:7] = np.nan
    runs = cm.Runs.from_frames(mixtures(a), pd.DataFrame({"score": score, "difficulty": difficulty}))
    model = cm.fit(runs, "score", method="linear", graph=GRAPH)
    assert (
        model.problem.n_runs == len(a) - 7
        and "7 runs left out: they do not record difficulty" in model.summary()
    )


def test_a_node_to_adjust_for_that_nobody_recorded_is_refused():
    a, _, score = confounded()
    with pytest.raises(CausalMixError, match="adjust for 'difficulty', which the runs do not record"):
        cm.fit(cm.Runs.from_frames(mixtures(a), pd.DataFrame({"score": score})), "score", graph=GRAPH)


# -- scales ----------------------------------------------------------------------------------------------


def mediated_by_tokens(n=300, seed=0):
    """More of a makes runs longer, and length is all that helps."""
    rng = np.random.default_rng(seed)
    a = rng.uniform(0.1, 0.9, n)
    tokens = np.exp(3 * a + 0.1 * rng.standard_normal(n))
    score = np.log(tokens) + 0.05 * rng.standard_normal(n)
    return cm.Runs.from_frames(
        mixtures(a), pd.DataFrame({"score": score}), scale=pd.DataFrame({"tokens": tokens})
    )


@pytest.mark.parametrize("method", ["linear", "gp"])
def test_a_scale_that_the_mixture_decides_is_no_control(method):
    runs = mediated_by_tokens()
    model = cm.fit(runs, "score", method=method, graph=cm.CausalGraph.parse("mixture -> tokens -> score"))
    assert model.problem.scale_names == () and "tokens is not conditioned on" in model.summary()
    assert cm.do(model, AFTER, baseline=BEFORE).estimate == pytest.approx(0.6, rel=0.2)


@pytest.mark.parametrize("graph", [None, "mixture -> score", "tokens -> score; mixture -> score"])
def test_a_scale_that_the_graph_does_not_forbid_is_conditioned_on_as_before(graph):
    runs = mediated_by_tokens()
    model = cm.fit(runs, "score", method="linear", graph=cm.CausalGraph.parse(graph) if graph else None)
    assert model.problem.scale_names == ("tokens",)
    assert abs(cm.do(model, AFTER, baseline=BEFORE).estimate) < 0.1


def test_a_scale_that_confounds_is_adjusted_for():
    rng = np.random.default_rng(3)
    tokens = np.exp(rng.uniform(0, 3, 300))
    a = 1 / (1 + np.exp(-(np.log(tokens) - 1.5) - 0.5 * rng.standard_normal(300)))
    y = pd.DataFrame({"score": np.log(tokens) + 0.1 * rng.standard_normal(300)})
    runs = cm.Runs.from_frames(mixtures(a), y, scale=pd.DataFrame({"tokens": tokens}))
    model = cm.fit(
        runs, "score", method="gp", graph=cm.CausalGraph.parse("tokens -> mixture, score; mixture -> score")
    )
    assert model.problem.scale_names == ("tokens",)
    effect = cm.do(model, AFTER, baseline=BEFORE)
    assert effect.lower < 0 < effect.upper
