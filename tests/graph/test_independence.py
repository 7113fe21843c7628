"""Claims about dependence of any shape, and about which arrow to doubt."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform

from causalmix_nb.errors import GraphError
from causalmix_nb.graph.distance import distance_test
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.runs.store import Runs

NOTHING = np.zeros((200, 0))


def unit(M):
    M = M - M.mean(0)
    return M / np.linalg.norm(M, axis=0)


def table_of(state, y, T=None):
    """Runs of two domains whose shares, unless given, have nothing to do with the rest."""
    n = len(y)
    T = np.random.default_rng(99).dirichlet([2, 2], n) if T is None else T
    return Runs.from_frames(
        pd.DataFrame(T, columns=["a", "b"]), pd.DataFrame({"score": y}), state=pd.DataFrame(state)
    )


def test_without_a_condition_the_estimate_is_the_bias_corrected_distance_correlation():
    """Székely and Rizzo (2014), definition 2: U-centred distance matrices, written out."""
    rng = np.random.default_rng(0)
    x, y = unit(rng.normal(size=(40, 2))), unit(rng.normal(size=(40, 1)))
    y = unit(y + 0.5 * x[:, :1] ** 2)

    def centred(M):
        D = squareform(pdist(M / M.std(0)))
        n = len(D)
        A = D - D.sum(0) / (n - 2) - D.sum(1)[:, None] / (n - 2) + D.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(A, 0)
        return A

    A, B = centred(x), centred(y)
    squared = (A * B).sum() / np.sqrt((A * A).sum() * (B * B).sum())
    found = distance_test(x, y, np.zeros((40, 0)), 19, rng)
    assert found["statistic"] == pytest.approx(40 * squared)


def test_a_dependence_without_correlation_is_seen_by_distances_only():
    rng = np.random.default_rng(0)
    s = rng.normal(size=250)
    runs = table_of({"s": s}, s**2 - 1 + 0.5 * rng.normal(size=250))
    graph = CausalGraph.parse("s; score")
    assert graph.test(runs, level=0.01)["verdict"].item() == "agrees with the graph"
    assert graph.test(runs, level=0.01, method="distance")["verdict"].item() == "contradicts the graph"


def test_p_values_of_distances_are_uniform_where_both_sides_follow_the_condition():
    """Both sides are curved functions of a third: a test that took only its straight part away would see dependence."""
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(200, 1))
        a, b = np.sin(2 * z) + 0.5 * rng.normal(size=(200, 1)), z**2 + rng.normal(size=(200, 1))
        p.append(distance_test(unit(a), unit(b), unit(z), 99, rng)["p"])
    assert np.mean(np.array(p) < 0.1) < 0.25
    assert 0.3 < np.mean(p) < 0.7


def test_a_missing_arrow_is_proposed_and_the_one_that_mends_most_comes_first():
    """s decides the mixture and the score; the graph lacks both arrows, so it claims three independences that fail."""
    rng = np.random.default_rng(1)
    s = rng.normal(size=300)
    share = 1 / (1 + np.exp(-s + 0.5 * rng.normal(size=300)))
    score = share + s + 0.3 * rng.normal(size=300)
    runs = table_of({"s": s}, score, np.column_stack([share, 1 - share]))
    found = CausalGraph.parse("mixture -> score; s -> score").suspects(runs)
    assert found.attrs["contradictions"] == 1
    assert set(found["arrow"].head(3)) == {"mixture -> s", "s -> mixture", "mixture <-> s"}
    assert (found["resolves"].head(3) == 1).all()
    assert found["remain"].iloc[0] == 0
    assert "the graph claims mixture ⟂ s, the data say otherwise" in found["words"].iloc[0]
    right = CausalGraph.parse("s -> mixture -> score; s -> score").suspects(runs)
    assert right.attrs["contradictions"] == 0
    assert not len(right)


def test_a_direction_that_would_make_a_cycle_is_not_proposed():
    rng = np.random.default_rng(2)
    s = rng.normal(size=300)
    m = s + 0.3 * rng.normal(size=300)
    runs = table_of({"s": s, "m": m}, m + s + 0.3 * rng.normal(size=300))
    found = CausalGraph.parse("s -> m -> score").suspects(runs)
    assert set(found.loc[found["kind"] == "missing arrow", "arrow"]) == {"s -> score", "s <-> score"}


def test_an_arrow_that_the_data_do_not_show_is_named_and_a_confounded_one_is_not_judged():
    rng = np.random.default_rng(3)
    s = rng.normal(size=300)
    runs = table_of({"s": s, "idle": rng.normal(size=300)}, s + rng.normal(size=300))
    found = CausalGraph.parse("s -> score; idle -> score").suspects(runs)
    assert found["arrow"].tolist() == ["idle -> score"]
    assert found["kind"].item() == "arrow not visible"
    assert "it may be there and be weak" in found["words"].item()
    hidden = CausalGraph.parse("s -> score; s <-> score; idle -> score").suspects(runs)
    assert hidden.loc[hidden["arrow"] == "s -> score", "kind"].item() == "cannot tell"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "magic"}, "method is 'magic'; use 'linear'"), ({"level": 5}, "level is 5; it must lie")],
)
def test_a_test_that_there_is_not_is_refused(options, message):
    with pytest.raises(GraphError, match=message):
        CausalGraph.parse("s; score").test(table_of({"s": np.arange(9.0)}, np.arange(9.0)), **options)
