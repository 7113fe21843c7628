"""Claims about paths: products of coefficients are recovered, the front door works where regression is wrong, and silence has a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.answers.paths import TOTAL, front_door, path_effects
from causalmix_nb.errors import FitError, GraphError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.methods.linear import fit_linear
from causalmix_nb.mixture import clr
from causalmix_nb.runs.store import Runs

DOMAINS = ["a", "b", "c"]
MATHS, WORDS, DIRECT = (np.array(v) for v in ([1.0, -1.0, 0.0], [0.0, 0.5, -0.5], [-0.3, 0.0, 0.3]))
GRAPH = CausalGraph.parse(
    "mixture -> maths -> score; mixture -> words -> score; mixture -> score; quality -> mixture, maths, score"
)
TRUTH = {
    "mixture -> maths -> score": 2 * MATHS,
    "mixture -> words -> score": -WORDS,
    "mixture -> score": DIRECT,
}


def runs_of(n=150, seed=0, hidden=0.0, noise=0.5, repeats=1):
    """Capabilities that the mixture moves, a score that they make; quality decides mixture, maths and score; so may a hidden cause."""
    rng = np.random.default_rng(seed)
    quality, cause = rng.normal(size=n), rng.normal(size=n)
    logits = (
        rng.normal(size=(n, 3)) + np.outer(quality, [0.5, 0, -0.5]) + hidden * np.outer(cause, [1.0, 0, -1.0])
    )
    T = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    L = clr(T)
    maths = L @ MATHS + quality + noise * rng.normal(size=n)
    words = L @ WORDS + noise * rng.normal(size=n)
    score = 2 * maths - words + L @ DIRECT - quality + 3 * hidden * cause + noise * rng.normal(size=n)
    frames = [
        pd.DataFrame(T, columns=DOMAINS),
        pd.DataFrame({"score": score, "maths": maths, "words": words}),
    ]
    state = pd.DataFrame({"quality": quality})
    if repeats > 1:
        frames = [pd.concat([f] * repeats, ignore_index=True) for f in frames]
        state = pd.concat([state] * repeats, ignore_index=True)
    return Runs.from_frames(*frames, state=state)


@pytest.fixture(scope="module")
def found():
    return path_effects(runs_of(), GRAPH, "score")


def rows(found, path):
    return found.table[found.table["path"] == path].set_index("domain").loc[DOMAINS]


def test_every_path_carries_the_product_of_its_arrows(found):
    assert set(found.table["path"]) == {*TRUTH, TOTAL}
    for path, truth in TRUTH.items():
        got = rows(found, path)
        np.testing.assert_allclose(got["estimate"], truth, atol=0.35)
    assert "mixture -> maths -> score: carries most for" in found.sentences[0]


def test_the_paths_add_up_to_the_effect_by_adjustment(found):
    """The total is the marginal return that adjusting for quality alone gives."""
    graph = CausalGraph.parse("quality -> mixture, score; mixture -> score")
    model = fit_linear(Problem.from_runs(runs_of(), "score", graph), interactions=False)
    total = rows(found, TOTAL)
    np.testing.assert_allclose(total["estimate"], sum(TRUTH.values()), atol=0.6)
    np.testing.assert_allclose(total["estimate"], model.marginal_return()["estimate"], atol=0.6)
    np.testing.assert_allclose(
        total["estimate"], sum(rows(found, path)["estimate"] for path in TRUTH), atol=1e-12
    )


def test_intervals_cover_in_small_worlds():
    covered = []
    for seed in range(60):
        found = path_effects(runs_of(60, seed), GRAPH, "score", n_bootstrap=100)
        for path, truth in TRUTH.items():
            got = rows(found, path)
            covered += ((got["lower"] <= truth) & (truth <= got["upper"])).tolist()
    assert 0.88 < np.mean(covered) < 0.985


def confounded(seed):
    rng = np.random.default_rng(seed)
    n = 400
    cause = rng.normal(size=n)
    logits = rng.normal(size=(n, 3)) + np.outer(cause, [1.0, 0, -1.0])
    T = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    maths = clr(T) @ MATHS + 0.5 * rng.normal(size=n)
    outcomes = pd.DataFrame({"score": maths + 3 * cause + 0.5 * rng.normal(size=n), "maths": maths})
    return Runs.from_frames(pd.DataFrame(T, columns=DOMAINS), outcomes)


def test_the_front_door_gives_the_effect_where_regression_is_wrong():
    graph = CausalGraph.parse("mixture -> maths -> score; mixture <-> score")
    runs = confounded(0)
    with pytest.raises(GraphError, match="front-door"):
        graph.adjustment_set("mixture", "score")
    total = rows(front_door(runs, graph, "score"), TOTAL)
    assert ((total["lower"] <= MATHS) & (total["upper"] >= MATHS)).all()
    naive = fit_linear(Problem.from_runs(runs, "score")).marginal_return()
    assert not ((naive["lower"] <= MATHS) & (naive["upper"] >= MATHS)).all()


def test_an_arrow_behind_a_hidden_cause_cannot_be_told_and_the_cause_is_named():
    graph = CausalGraph.parse(
        "mixture -> maths -> score; mixture -> words -> score; words <-> score; quality -> mixture, maths, score"
    )
    found = path_effects(runs_of(80), graph, "score", n_bootstrap=20)
    assert rows(found, "mixture -> words -> score")["estimate"].isna().all()
    assert rows(found, "mixture -> maths -> score")["estimate"].notna().all()
    assert rows(found, TOTAL)["estimate"].isna().all()
    assert "words -> score: an unobserved confounder (words <-> score)" in " ".join(found.notes)


def test_a_node_that_nobody_recorded_leaves_a_direct_path():
    graph = CausalGraph.parse("mixture -> skill -> score; quality -> mixture, score; quality -> skill")
    found = path_effects(runs_of(80), graph, "score", n_bootstrap=20)
    assert set(found.table["path"]) == {"mixture -> score", TOTAL}
    assert "not recorded, so its paths count as direct: skill" in found.notes


def test_a_node_may_stand_for_several_columns():
    runs = runs_of(100)
    frame = runs.frame
    mixtures = frame[[f"mixture.{d}" for d in DOMAINS]].set_axis(DOMAINS, axis=1)
    state = pd.DataFrame(
        {
            "a.loss": frame["outcome.maths"],
            "b.loss": frame["outcome.words"],
            "quality": frame["state.quality"],
        }
    )
    wide = Runs.from_frames(mixtures, frame[["outcome.score"]].set_axis(["score"], axis=1), state=state)
    graph = CausalGraph.parse("mixture -> loss -> score; mixture -> score; quality -> mixture, loss, score")
    found = path_effects(wide, graph, "score", n_bootstrap=20)
    np.testing.assert_allclose(
        rows(found, "mixture -> loss -> score")["estimate"], 2 * MATHS - WORDS, atol=0.5
    )
    assert set(found.equations["cause"]) == {*DOMAINS, "a.loss", "b.loss"}


def test_repeated_seeds_are_no_further_evidence():
    once, thrice = (path_effects(runs_of(60, repeats=r), GRAPH, "score", n_bootstrap=200) for r in (1, 3))
    assert thrice.table["se"].mean() == pytest.approx(once.table["se"].mean(), rel=0.15)


def test_equations_are_those_of_statsmodels(found):
    import statsmodels.api as sm

    frame = runs_of().frame
    L = clr(frame[[f"mixture.{d}" for d in DOMAINS]].to_numpy())
    X = sm.add_constant(
        np.column_stack([frame["outcome.maths"], L[:, :2], frame[["state.quality", "outcome.words"]]])
    )
    fitted = sm.OLS(frame["outcome.score"].to_numpy(), X).fit(cov_type="HC3")
    row = found.equations[(found.equations["arrow"] == "maths -> score")].iloc[0]
    assert row["coefficient"] == pytest.approx(fitted.params[1], rel=1e-6)
    assert row["se"] == pytest.approx(fitted.bse[1], rel=1e-6)


def test_the_figure_says_in_words_what_it_draws(found):
    assert "mixture -> maths -> score: a +" in found.figure().alt


@pytest.mark.parametrize(
    ("graph", "error", "message"),
    [
        ("state -> score", GraphError, "no node 'mixture'"),
        ("mixture -> maths", GraphError, "no node 'score'"),
        ("maths -> score; mixture -> words", GraphError, "no path leads from the mixture to score"),
        ("mixture -> a -> score", FitError, "a stands for a share, which is part of the mixture"),
        (
            'mixture -> quality -> score; "state.quality" -> score',
            FitError,
            "stand for the same column state.quality",
        ),
    ],
)
def test_a_question_without_sense_gets_one_sentence(graph, error, message):
    with pytest.raises(error, match=message):
        path_effects(runs_of(40), CausalGraph.parse(graph), "score", n_bootstrap=10)


def test_too_few_runs_are_refused():
    with pytest.raises(FitError, match="do not carry the equation of"):
        path_effects(runs_of(9), GRAPH, "score")
