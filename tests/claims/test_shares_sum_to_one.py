"""Shares sum to 1: that two of them depend on each other contradicts no graph, and proposes no arrow."""

import numpy as np
import pandas as pd
import pytest

import causalmix_nb as cm

DOMAINS = ["web", "code", "law"]


def runs(n=400, seed=0, direct=0.0):
    """Randomised mixtures; web moves its loss, code its own; ``direct``: what web does to the loss of code besides."""
    rng = np.random.default_rng(seed)
    T = rng.dirichlet(np.ones(3), n)
    noise = 0.1 * rng.standard_normal((n, 2))
    y = pd.DataFrame(
        {"loss.web": -T[:, 0] + noise[:, 0], "loss.code": -T[:, 1] + direct * T[:, 0] + noise[:, 1]}
    )
    return cm.Runs.from_frames(pd.DataFrame(T, columns=DOMAINS), y)


GRAPH = cm.CausalGraph.parse("web -> loss.web; code -> loss.code")


@pytest.mark.parametrize("graph", [GRAPH, cm.CausalGraph.parse("web, law -> loss.web; code -> loss.code")])
def test_a_true_graph_of_unconnected_domains_is_not_contradicted(graph):
    table = graph.test(runs())
    assert "contradicts the graph" not in set(table["verdict"])
    pairs = table[table["a"].isin(DOMAINS) & table["b"].isin(DOMAINS)]
    assert (
        len(pairs) and set(pairs["verdict"]) == {"not testable: shares sum to 1"} and pairs["p"].isna().all()
    )
    found = graph.suspects(runs())
    assert not (found["kind"] == "missing arrow").any() and found.attrs["contradictions"] == 0


def test_a_missing_arrow_from_a_share_is_still_seen():
    table = GRAPH.test(runs(direct=2.0)).set_index(["a", "b"])
    assert table.loc[("web", "loss.code"), "verdict"] == "contradicts the graph"
    found = GRAPH.suspects(runs(direct=2.0))
    missing = found[found["kind"] == "missing arrow"]["arrow"]
    assert "web -> loss.code" in set(missing)
    assert not any(arrow in ("web -> code", "code -> web", "web <-> code") for arrow in missing)


def test_an_arrow_between_shares_is_explained():
    graph = cm.CausalGraph.parse("web -> code; web -> loss.web; code -> loss.code")
    found = graph.suspects(runs()).set_index("arrow")
    assert (
        found.loc["web -> code", "kind"] == "cannot tell"
        and "shares sum to 1" in found.loc["web -> code", "words"]
    )


def test_false_alarms_of_true_graphs_stay_at_their_level():
    wrong = sum("contradicts the graph" in set(GRAPH.test(runs(60, seed))["verdict"]) for seed in range(60))
    assert wrong <= 8  # 5 % of 60 is 3; more than 8 has a chance of 0.6 %
