"""Claims about choosing covariates: those that matter are kept, those that do not are dropped, the graph has the last word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.answers.selection import select_state
from causalmix_nb.errors import FitError
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.runs.store import Runs

K = ("math", "code", "web")


def make(names, n=90, noise=0.1, seed=0):
    """``useful`` decides what math is worth; whatever else there is is noise."""
    rng = np.random.default_rng(seed)
    T, X = rng.dirichlet(np.ones(3), n), rng.normal(size=(n, len(names)))
    y = X[:, 0] * np.sqrt(T[:, 0]) * 2 + T[:, 1] + noise * rng.normal(size=n)
    return Runs.from_frames(
        pd.DataFrame(T, columns=K), pd.DataFrame({"score": y}), state=pd.DataFrame(X, columns=list(names))
    )


@pytest.fixture(scope="module")
def found():
    return select_state(make(("useful", "idle", "vain")))


def test_the_covariate_that_matters_is_kept_alone(found):
    assert found.chosen == ("useful",)
    assert found.columns == ("useful",)
    assert found.sentences[0].startswith("keep useful: rank correlation 0.9")


def test_every_subset_is_tried_and_the_empty_one_loses(found):
    table = found.table.set_index("subset")
    assert len(table) == 8
    assert table.loc["no state", "spearman"] < table.loc["useful", "spearman"] - 0.2
    assert table.loc["no state", "behind"] > 2 * table.loc["no state", "se"]
    assert table["chosen"].sum() == 1


def test_where_the_state_means_nothing_none_is_kept():
    runs = make(("a", "b"), seed=3)
    frame = runs.frame
    y = frame["mixture.code"] + 0.02 * np.random.default_rng(0).normal(size=len(frame))
    plain = Runs.from_frames(
        frame[[f"mixture.{k}" for k in K]].rename(columns=lambda c: c.removeprefix("mixture.")),
        pd.DataFrame({"score": y}),
        state=frame[["state.a", "state.b"]].rename(columns=lambda c: c.removeprefix("state.")),
    )
    found = select_state(plain, method="linear")
    assert found.chosen == ()
    assert found.sentences[0].startswith("keep no state at all")


def test_columns_of_one_covariate_are_chosen_together():
    names = [f"{domain}.{kind}" for kind in ("loss", "size") for domain in K]
    found = select_state(make(names), method="gp")
    assert len(found.table) == 4
    assert found.chosen == ("loss",)
    assert found.columns == ("math.loss", "code.loss", "web.loss")


def test_many_covariates_are_added_one_at_a_time():
    found = select_state(make([f"c{j}" for j in range(7)]), method="linear")
    assert len(found.table) < 2**7
    assert "c0" in found.chosen


def test_what_the_graph_asks_to_adjust_for_is_never_dropped():
    graph = CausalGraph.parse("idle -> mixture, score; useful -> score; mixture -> score")
    found = select_state(make(("useful", "idle")), graph=graph)
    assert "idle" in found.chosen
    assert all("idle" in subset for subset in found.table["subset"])


def test_runs_without_state_are_refused():
    T = np.random.default_rng(0).dirichlet(np.ones(3), 30)
    runs = Runs.from_frames(pd.DataFrame(T, columns=K), pd.DataFrame({"score": T[:, 0]}))
    with pytest.raises(FitError, match="record no state, so there is nothing to select"):
        select_state(runs)


def test_it_is_drawn_with_words(found):
    assert "Kept: useful" in found.figure().alt
