"""Claims about interpretation: the tree asks about the column that matters, its leaves cover the truth, noise grows no tree."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.answers.interpret import Split, interpret
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.linear import fit_linear
from causalmix_nb.methods.trees import fit_regmix
from causalmix_nb.methods.warped import fit_gp
from causalmix_nb.runs.store import Runs
from worlds import make_world

DOMAINS = ["a", "b", "c"]


def runs_where(worth, n=200, seed=0, noise=0.3):
    """Runs whose outcome is Σ_k worth_k(x) log t_k; worth: state (n, 2) -> (n, 3)."""
    rng = np.random.default_rng(seed)
    X, T = rng.uniform(-1, 1, size=(n, 2)), rng.dirichlet([3, 3, 3], n)
    y = (worth(X) * np.log(T + 1e-3)).sum(1) + noise * rng.normal(size=n)
    return Runs.from_frames(
        pd.DataFrame(T, columns=DOMAINS),
        pd.DataFrame({"score": y}),
        state=pd.DataFrame(X, columns=["s", "idle"]),
    )


def by_s(X):
    return np.column_stack([X[:, 0], -X[:, 0], 0 * X[:, 0]])


@pytest.fixture(scope="module")
def found():
    return interpret(fit_linear(Problem.from_runs(runs_where(by_s))))


def test_the_tree_asks_about_the_column_that_changes_the_effects(found):
    assert isinstance(found.tree, Split)
    assert found.tree.column == "s"
    assert abs(found.tree.threshold) < 0.4
    assert "where s ≤" in found.sentences[0]
    leaves = found.leaves.set_index(["leaf", "domain"])["estimate"]
    assert leaves[0, "b"] > 0 > leaves[0, "a"]
    last = found.leaves["leaf"].max()
    assert leaves[last, "a"] > 0 > leaves[last, "b"]


def test_leaves_are_what_the_model_says_of_their_states(found):
    """A tree of one leaf holds the average over all states: the model's own marginal return."""
    model = fit_linear(
        Problem.from_runs(runs_where(lambda X: np.tile([1.0, -1.0, 0.0], (len(X), 1)), noise=1.0))
    )
    flat = interpret(model)
    assert flat.tree == 0
    assert "no column of the state changes the returns significantly" in flat.sentences[0]
    expected = model.marginal_return(state=None)
    np.testing.assert_allclose(flat.leaves["estimate"], expected["estimate"], atol=0.15)
    assert found.leaves.groupby("leaf")["part"].first().sum() == pytest.approx(1)


def test_noise_seldom_grows_a_tree():
    grown = 0
    for seed in range(20):
        runs = runs_where(lambda X: np.tile([1.0, -1.0, 0.0], (len(X), 1)), n=120, seed=seed, noise=1.0)
        grown += isinstance(interpret(fit_linear(Problem.from_runs(runs), n_repeats=1)).tree, Split)
    assert grown <= 4


def test_changes_cover_the_truth_and_know_that_both_ends_share_their_errors(found):
    row = found.table[(found.table["column"] == "s") & (found.table["domain"] == "a")].iloc[0]
    truth = 1.6  # of the return of a, from the 10 % to the 90 % quantile of s
    assert row["change_lower"] < truth < row["change_upper"]
    np.testing.assert_allclose(found.table["change"], found.table["high"] - found.table["low"])
    idle = found.table[found.table["column"] == "idle"]
    assert ((idle["change_lower"] < 0) & (idle["change_upper"] > 0)).all()
    assert found.table["column"].iloc[0] == "s"


def test_intervals_of_changes_cover_in_linear_worlds():
    covered = []
    for seed in range(25):
        world = make_world(seed, linear=True)
        runs = world.runs(160, seed)
        table = interpret(fit_linear(Problem.from_runs(runs), n_repeats=1)).table
        X = runs.frame[[f"state.{name}" for name in world.states]].to_numpy()
        for j, name in enumerate(world.states):
            width = np.subtract(*np.quantile(X[:, j], [0.9, 0.1]))
            truth = world.weights[:, 1 + j] * width
            rows = table[table["column"] == name].set_index("domain").loc[list(world.domains)]
            covered += ((rows["change_lower"] <= truth) & (truth <= rows["change_upper"])).tolist()
    assert 0.88 < np.mean(covered) <= 0.99


def test_a_surface_can_be_read_too():
    found = interpret(fit_gp(Problem.from_runs(runs_where(by_s, n=100))), depth=1)
    assert isinstance(found.tree, Split) and found.tree.column == "s"


def test_the_figures_say_in_words_what_they_draw(found):
    tree, heat = found.figures()
    assert tree.alt.startswith("Tree with") and "Where s ≤" in tree.alt
    assert "a by s +" in heat.alt


@pytest.mark.parametrize("depth", [0, 4])
def test_a_tree_that_is_not_shallow_is_refused(depth):
    with pytest.raises(FitError, match="take 1, 2 or 3"):
        interpret(fit_linear(Problem.from_runs(runs_where(by_s))), depth=depth)


def test_a_model_without_state_cannot_be_compared_across_states():
    with pytest.raises(FitError, match="uses no state"):
        interpret(fit_regmix(Problem.from_runs(runs_where(by_s)), ensemble=2))
