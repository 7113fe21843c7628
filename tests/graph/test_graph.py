"""The causal graph: reading it, what it identifies, what it claims about runs, and how it is drawn."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmix_nb.errors import GraphError
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.graph.independence import Independence
from causalmix_nb.runs.store import Runs

CONFOUNDED = CausalGraph.parse("state -> mixture; state -> score; mixture -> score")
MEDIATED = CausalGraph.parse("state -> mixture, score; mixture -> loss -> score; loss -> style")
M_BIAS = CausalGraph.parse("mixture -> score; mixture <-> style; style <-> score")
HOSTILE = '<script>alert("1")</script> & \' -> ; #'


# -- reading and writing -------------------------------------------------------------------------------------


def test_a_graph_is_read_with_chains_lists_comments_and_quotes():
    graph = CausalGraph.parse(
        """
        # what decides what
        quality, "pool size" -> mixture -> math.loss; math.loss -> score   # measured
        score <- 'données'
        quality <-> score
        seed
        """
    )
    assert set(graph.edges) == {
        ("quality", "mixture"),
        ("pool size", "mixture"),
        ("mixture", "math.loss"),
        ("math.loss", "score"),
        ("données", "score"),
    }
    assert graph.hidden == (("quality", "score"),)
    assert "seed" in graph.nodes


def test_a_list_on_both_sides_draws_every_arrow():
    assert set(CausalGraph.parse("a, b -> c, d").edges) == set(itertools.product("ab", "cd"))


def test_names_next_to_arrows_need_no_spaces_and_may_have_hyphens():
    assert CausalGraph.parse("hes-0.5->mixture<->score").edges == (("hes-0.5", "mixture"),)


def test_a_hidden_pair_has_no_direction():
    assert CausalGraph.parse("a <-> b; b <-> a") == CausalGraph.parse("b <-> a")
    assert len(CausalGraph.parse("a <-> b; b <-> a").hidden) == 1


names = st.text(min_size=1, max_size=12).filter(str.strip) | st.sampled_from(
    ["a", "b", "math.loss", HOSTILE, "a->b", '"', "\\"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(names, min_size=1, max_size=6, unique=True), st.data())
def test_text_and_back_is_the_same_graph_whatever_the_names(nodes, data):
    pairs = list(itertools.combinations(nodes, 2))
    some = st.lists(st.sampled_from(pairs), max_size=6) if pairs else st.just([])
    graph = CausalGraph(data.draw(some), data.draw(some), nodes)
    assert CausalGraph.parse(graph.to_text()) == graph
    ET.fromstring(graph.to_svg().encode("utf-8"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a -> b\nb -> -> c", "cannot read line 2 of the graph, 'b -> -> c'"),
        ("a ->", "cannot read line 1.*no name beside it"),
        ("-> a", "cannot read line 1"),
        ("pool size -> a", "cannot read line 1.*put a name with spaces in quotes"),
        ("a => b", "cannot read line 1.*the sign > has no meaning"),
        ('a -> "b', "cannot read line 1"),
        ("a,, b -> c", "cannot read line 1"),
        ('a -> ""', "not blank"),
        ("a -> a", "'a' points at itself"),
        ("a <-> a", "'a' points at itself"),
        ("s -> a -> b -> c -> a", "cycle, a -> b -> c -> a; remove or turn"),
        ("", "the graph is empty"),
        ("# nothing\n;;", "the graph is empty"),
        (None, "a graph is text"),
    ],
)
def test_text_that_is_no_graph_is_refused_with_the_place_and_the_remedy(text, message):
    with pytest.raises(GraphError, match=message):
        CausalGraph.parse(text)


def test_pairs_that_are_no_arrows_are_refused():
    with pytest.raises(GraphError, match="'ab' is no arrow; give pairs of names"):
        CausalGraph(["ab"])
    with pytest.raises(GraphError, match="a node is called 3"):
        CausalGraph([("a", 3)])


def test_graphs_with_the_same_arrows_are_equal_in_any_order():
    again = CausalGraph.parse("mixture -> score; state -> score, mixture")
    assert again == CONFOUNDED
    assert hash(again) == hash(CONFOUNDED)
    assert again != CONFOUNDED.with_hidden("state", "score")


def test_editing_returns_a_new_graph_and_leaves_the_old_one():
    edited = (
        CONFOUNDED.with_edge("mixture", "loss").without_edge("state", "score").with_hidden("loss", "score")
    )
    edited = edited.with_node("seed").without_node("state")
    assert edited == CausalGraph.parse("mixture -> score, loss; loss <-> score; seed")
    assert edited.without_hidden("score", "loss").hidden == ()
    assert CausalGraph.parse("state -> mixture; state -> score; mixture -> score") == CONFOUNDED
    with pytest.raises(AttributeError):
        CONFOUNDED.edges = ()


def test_editing_refuses_a_cycle_and_what_is_not_there():
    with pytest.raises(GraphError, match="cycle, state -> mixture -> score -> state"):
        CONFOUNDED.without_edge("state", "score").with_edge("score", "state")
    with pytest.raises(GraphError, match="no arrow score -> state"):
        CONFOUNDED.without_edge("score", "state")
    with pytest.raises(GraphError, match="no hidden cause"):
        CONFOUNDED.without_hidden("score", "state")
    with pytest.raises(GraphError, match="no node 'scores'. Did you mean 'score'"):
        CONFOUNDED.without_node("scores")


def test_roles_follow_from_the_arrows():
    assert MEDIATED.with_node("seed").roles == {
        "state": "covariate",
        "mixture": "treatment",
        "score": "outcome",
        "loss": "mediator",
        "style": "other",
        "seed": "covariate",
    }
    assert CausalGraph.parse("mixture -> loss -> accuracy").roles["accuracy"] == "outcome"


def test_networkx_sees_hidden_causes_as_latent_nodes():
    graph = M_BIAS.nx
    latent = [node for node, hidden in graph.nodes(data="latent") if hidden]
    assert len(latent) == 2
    assert all(graph.in_degree(node) == 0 and graph.out_degree(node) == 2 for node in latent)


# -- identification ------------------------------------------------------------------------------------------


def test_a_state_that_decides_the_mixture_is_adjusted_for():
    assert CONFOUNDED.adjustment_set("mixture", "score") == {"state"}


def test_a_randomised_mixture_needs_no_adjustment():
    assert (
        CausalGraph.parse("state -> score; mixture -> score").adjustment_set("mixture", "score")
        == frozenset()
    )


def test_several_treatments_have_a_joint_effect():
    graph = CausalGraph.parse("state -> math, code, score; math, code -> score")
    assert graph.adjustment_set(["math", "code"], "score") == {"state"}


def test_conditioning_on_a_mediator_is_refused():
    with pytest.raises(
        GraphError, match="'loss' is a bad control: it lies on the path from mixture to score"
    ):
        MEDIATED.adjustment_set("mixture", "score", include=["loss"])


def test_bad_controls_are_named_with_their_reason():
    graph = MEDIATED.with_edge("score", "rank").with_hidden("mixture", "seen").with_hidden("seen", "score")
    bad = graph.bad_controls("mixture", "score")
    assert bad == {
        "loss": "lies on the path from mixture to score: conditioning on it removes part of the effect",
        "style": "is caused by loss, which lies on the path from mixture to score: "
        "conditioning on it removes part of the effect",
        "rank": "is caused by score: conditioning on it picks runs by their result and distorts the effect",
        "seen": "opens the path mixture <-> seen <-> score: conditioning on it creates an association that is no effect",
    }


def test_a_collider_may_be_included_where_another_node_closes_its_path():
    graph = CausalGraph.parse("mixture -> score; a -> mixture, seen; b -> seen, score")
    assert "seen" in graph.bad_controls("mixture", "score")
    included = graph.adjustment_set("mixture", "score", include="seen")
    assert included in ({"seen", "a"}, {"seen", "b"})
    with pytest.raises(
        GraphError, match="'style' is a bad control: it opens the path mixture <-> style <-> score"
    ):
        M_BIAS.adjustment_set("mixture", "score", include=["style"])


def test_controls_that_are_harmless_alone_but_not_together_are_told_apart():
    graph = CausalGraph.parse("mixture -> score; mixture <-> a; a <-> b; b <-> score")
    assert graph.bad_controls("mixture", "score") == {}
    assert graph.allowed_controls("mixture", "score") == ("a",)
    with pytest.raises(GraphError, match="a and b are bad controls together.*mixture <-> a <-> b <-> score"):
        graph.adjustment_set("mixture", "score", include=["a", "b"])


def test_an_effect_that_a_hidden_cause_confounds_names_that_cause():
    graph = CausalGraph.parse("mixture -> score; mixture <-> score; state <-> score")
    with pytest.raises(
        GraphError, match="hidden common cause of mixture and score leaves a path open.*record"
    ):
        graph.adjustment_set("mixture", "score")


def test_an_effect_that_only_the_front_door_identifies_says_so():
    graph = CausalGraph.parse("mixture -> loss -> score; mixture <-> score")
    with pytest.raises(
        GraphError, match="front-door criterion does identify it, through loss: %causalmix paths"
    ):
        graph.adjustment_set("mixture", "score")
    assert graph.front_door_set("mixture", "score") == {"loss"}
    with pytest.raises(GraphError, match="no front-door set"):
        graph.with_edge("mixture", "score").front_door_set("mixture", "score")


def test_an_outcome_that_causes_the_treatment_has_no_effect_to_identify():
    with pytest.raises(GraphError, match=r"score causes mixture.*zero"):
        CausalGraph.parse("score -> mixture").adjustment_set("mixture", "score")


@pytest.mark.parametrize(
    ("treatment", "outcome", "include", "message"),
    [
        (
            "mixtur",
            "score",
            (),
            "no node 'mixtur'. Did you mean 'mixture'. Its nodes are state, mixture, score",
        ),
        ("mixture", "scores", (), "no node 'scores'. Did you mean 'score'"),
        ("mixture", "score", ["stat"], "no node 'stat'. Did you mean 'state'"),
        ("mixture", "mixture", (), "both treatment and outcome"),
        ([], "score", (), "no treatment"),
        ("mixture", "score", ["score"], "cannot be conditioned on"),
    ],
)
def test_a_question_the_graph_cannot_answer_is_refused(treatment, outcome, include, message):
    with pytest.raises(GraphError, match=message):
        CONFOUNDED.adjustment_set(treatment, outcome, include)


def random_graph(rng: np.random.Generator, n: int) -> CausalGraph:
    """A graph of n nodes in random order, sparse or dense, with or without hidden causes."""
    nodes = [str(name) for name in rng.permutation(list("abcdef"[:n]))]
    pairs = list(itertools.combinations(nodes, 2))
    edges = [pair for pair in pairs if rng.random() < rng.choice([0.3, 0.6])]
    hidden = [pair for pair in pairs if rng.random() < rng.choice([0.0, 0.2])]
    return CausalGraph(edges, hidden, nodes)


def subsets(items):
    return [set(some) for size in range(len(items) + 1) for some in itertools.combinations(items, size)]


def paths_say_valid(graph: nx.DiGraph, X: set[str], y: str):
    """The adjustment criterion as Shpitser et al. word it, by listing every path; returns a test of a set."""
    skeleton = graph.to_undirected()
    paths = [p for x in X for p in nx.all_simple_paths(skeleton, x, y) if not X & set(p[1:])]
    causal = [p for p in paths if all(graph.has_edge(a, b) for a, b in itertools.pairwise(p))]
    forbidden = {d for p in causal for node in p[1:] for d in {node} | nx.descendants(graph, node)}
    below = {node: {node} | nx.descendants(graph, node) for node in graph}

    def blocked(path, Z):
        for a, b, c in zip(path, path[1:], path[2:]):
            collider = graph.has_edge(a, b) and graph.has_edge(c, b)
            if (not below[b] & Z) if collider else (b in Z):
                return True
        return False

    return lambda Z: not Z & (forbidden | X | {y}) and all(blocked(p, Z) for p in paths if p not in causal)


def test_identification_agrees_with_a_listing_of_all_paths_and_all_subsets():
    rng = np.random.default_rng(0)
    identified = bad_seen = 0
    for i in range(400):
        graph = random_graph(rng, int(rng.integers(3, 7)))
        *X, y = (str(name) for name in rng.permutation(graph.nodes)[: 3 if i % 4 == 0 else 2])
        valid = paths_say_valid(graph.nx, set(X), y)
        others = [node for node in graph.nodes if node not in X and node != y]
        truth = [Z for Z in subsets(others) if valid(Z)]
        assert [Z for Z in subsets(others) if graph.is_adjustment_set(X, y, Z)] == truth, graph
        if not truth:
            with pytest.raises(GraphError, match="no adjustment identifies"):
                graph.adjustment_set(X, y)
            continue
        identified += 1
        found = graph.adjustment_set(X, y)
        assert found in truth and not any(found > Z for Z in truth), graph
        bad = graph.bad_controls(X, y)
        bad_seen += len(bad)
        assert set(bad) == {node for node in others if node not in found and not valid(found | {node})}, graph
        assert valid(set(graph.allowed_controls(X, y))), graph
        for node in others:
            if any(node in Z for Z in truth):
                extended = graph.adjustment_set(X, y, include=[node])
                assert node in extended and extended in truth, graph
                assert not any(node in Z and extended > Z for Z in truth), graph
            else:
                with pytest.raises(GraphError, match="bad control"):
                    graph.adjustment_set(X, y, include=[node])
    assert identified > 150 and bad_seen > 100


class LinearWorld:
    """Linear structural equations of a graph with random coefficients: exact covariances and effects."""

    def __init__(self, graph: CausalGraph, rng: np.random.Generator) -> None:
        dag = graph.nx
        self.at = {node: i for i, node in enumerate(dag)}
        B = np.zeros((len(dag), len(dag)))  # B[i, j]: effect of j on i
        for a, b in dag.edges:
            B[self.at[b], self.at[a]] = rng.uniform(0.4, 1.2) * rng.choice([-1, 1])
        self.total = np.linalg.inv(np.eye(len(dag)) - B)
        self.cov = self.total @ np.diag(rng.uniform(0.5, 1.5, len(dag))) @ self.total.T

    def slope(self, y: str, on: list[str]) -> np.ndarray:
        rows = [self.at[node] for node in on]
        return np.linalg.solve(self.cov[np.ix_(rows, rows)], self.cov[rows, self.at[y]])

    def effect(self, x: str, y: str) -> float:
        return self.total[self.at[y], self.at[x]]


def test_in_linear_worlds_exactly_the_adjustment_sets_recover_the_effect():
    rng = np.random.default_rng(1)
    for _ in range(300):
        graph = random_graph(rng, int(rng.integers(3, 7)))
        x, y = (str(name) for name in rng.permutation(graph.nodes)[:2])
        world = LinearWorld(graph, rng)
        for Z in subsets([node for node in graph.nodes if node not in (x, y)]):
            unbiased = abs(world.slope(y, [x, *sorted(Z)])[0] - world.effect(x, y)) < 1e-9
            assert graph.is_adjustment_set(x, y, Z) == unbiased, (graph, x, y, Z)


def test_front_door_sets_recover_the_effect_and_are_found_whenever_there_is_one():
    rng = np.random.default_rng(2)
    found_some = 0
    for i in range(400):
        graph = random_graph(rng, int(rng.integers(3, 7)))
        if i % 2:  # plant a chance of one
            graph = graph.with_hidden(graph.nodes[0], graph.nodes[-1])
            graph = CausalGraph(
                [e for e in graph.edges if e != (graph.nodes[0], graph.nodes[-1])], graph.hidden, graph.nodes
            )
            x, y = graph.nodes[0], graph.nodes[-1]
        else:
            x, y = (str(name) for name in rng.permutation(graph.nodes)[:2])
        dag, world = graph.nx, LinearWorld(graph, rng)

        def is_front_door(M, dag=dag, x=x, y=y):
            from_x, from_M = dag.copy(), dag.copy()
            from_x.remove_edges_from(list(dag.out_edges(x)))
            from_M.remove_edges_from(list(dag.out_edges(M)))
            return (
                all(M & set(path) for path in nx.all_simple_paths(dag, x, y))
                and (not M or nx.is_d_separator(from_x, {x}, M, set()))
                and (not M or nx.is_d_separator(from_M, M, {y}, {x}))
            )

        truth = [M for M in subsets([node for node in graph.nodes if node not in (x, y)]) if is_front_door(M)]
        if not truth:
            with pytest.raises(GraphError, match="no front-door set"):
                graph.front_door_set(x, y)
            continue
        found = graph.front_door_set(x, y)
        assert found in truth, graph
        assert all(found - {m} not in truth for m in found), graph
        M = sorted(found)
        by_formula = sum(world.slope(m, [x])[0] * world.slope(y, [*M, x])[k] for k, m in enumerate(M))
        assert by_formula == pytest.approx(world.effect(x, y), abs=1e-9), graph
        found_some += bool(found)
    assert found_some > 20


# -- claims about data ---------------------------------------------------------------------------------------


def test_a_graph_claims_the_independences_that_its_missing_arrows_mean():
    assert MEDIATED.without_node("style").implied_independences() == [
        Independence("state", "loss", frozenset({"mixture"})),
        Independence("mixture", "score", frozenset({"loss", "state"})),
    ]
    assert CONFOUNDED.implied_independences() == []
    assert CONFOUNDED.with_hidden("scale", "score").implied_independences(["state", "scale"]) == [
        Independence("state", "scale")
    ]


def test_every_claimed_independence_holds_in_linear_worlds_and_no_pair_is_forgotten():
    rng = np.random.default_rng(3)
    for _ in range(100):
        graph = random_graph(rng, int(rng.integers(3, 7)))
        world = LinearWorld(graph, rng)
        claims = graph.implied_independences()
        for claim in claims:
            assert abs(world.slope(claim.a, [claim.b, *sorted(claim.given)])[0]) < 1e-9, (graph, claim)
        for a, b in itertools.combinations(graph.nodes, 2):
            rest = [node for node in graph.nodes if node not in (a, b)]
            separable = any(nx.is_d_separator(graph.nx, {a}, {b}, Z) for Z in subsets(rest))
            assert separable == any({claim.a, claim.b} == {a, b} for claim in claims), graph


def some_runs(rng: np.random.Generator, n: int = 300, confounded: float = 0.0) -> Runs:
    """Runs of three domains whose loss is measured on the mixed data and carries the whole effect."""
    quality = rng.normal(size=n)
    logits = rng.normal(size=(n, 3)) + confounded * np.outer(quality, [1.0, 0.0, -1.0])
    T = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    mixtures = pd.DataFrame(T, columns=["math", "code", "web"])
    loss = 3 + np.log(T) @ [-0.4, 0.1, 0.3] + 0.3 * rng.normal(size=n)
    state = pd.DataFrame({"quality": quality, "mixed_loss": loss})
    score = -loss + quality + 0.3 * rng.normal(size=n)
    return Runs.from_frames(mixtures, pd.DataFrame({"accuracy": score}), state=state)


CLAIMING = CausalGraph.parse("mixture -> mixed_loss -> score; quality -> score; prompt -> score")


def test_claims_that_hold_are_not_contradicted():
    table = CLAIMING.test(some_runs(np.random.default_rng(0)))
    assert set(map(frozenset, zip(table["a"], table["b"], strict=True))) == {
        frozenset(pair) for pair in [("mixture", "quality"), ("mixture", "score"), ("quality", "mixed_loss")]
    }
    assert (table["verdict"] == "agrees with the graph").all()
    assert table.attrs["skipped"] == ["prompt"]


def test_a_false_claim_is_contradicted_and_holm_corrects_for_the_number_of_tests():
    table = CLAIMING.test(some_runs(np.random.default_rng(0), confounded=1.0))
    wrong = table[table["verdict"] == "contradicts the graph"]
    assert {frozenset(pair) for pair in zip(wrong["a"], wrong["b"])} >= {frozenset({"mixture", "quality"})}
    assert (table["p_holm"] >= table["p"]).all()
    assert table["p_holm"].min() == pytest.approx(len(table) * table["p"].min())


def test_the_partial_correlation_agrees_with_statsmodels_and_has_an_interval():
    import statsmodels.api as sm

    runs = some_runs(np.random.default_rng(4), n=60, confounded=0.5)
    graph = CausalGraph.parse("quality -> mixed_loss -> accuracy")
    row = graph.test(runs).iloc[0]
    frame = runs.frame
    exog = sm.add_constant(frame[["state.quality", "state.mixed_loss"]])
    fit = sm.OLS(frame["outcome.accuracy"], exog).fit()
    t = fit.tvalues["state.quality"]
    assert row["p"] == pytest.approx(fit.pvalues["state.quality"], rel=1e-8)
    assert row["statistic"] == pytest.approx(t**2, rel=1e-8)
    assert row["estimate"] == pytest.approx(t / np.sqrt(t**2 + fit.df_resid), rel=1e-8)
    assert row["lower"] < row["estimate"] < row["upper"]


def test_wilks_lambda_agrees_with_statsmodels_for_several_columns():
    from statsmodels.multivariate.cancorr import CanCorr

    from causalmix_nb.mixture import ilr

    rng = np.random.default_rng(5)
    T = rng.dirichlet(np.ones(4), size=80)
    state = pd.DataFrame(rng.normal(size=(80, 3)) + T[:, :1], columns=["a.loss", "b.loss", "c.loss"])
    runs = Runs.from_frames(
        pd.DataFrame(T, columns=list("abcd")), pd.DataFrame({"y": rng.normal(size=80)}), state=state
    )
    row = CausalGraph.parse("mixture; loss").test(runs).iloc[0]
    wilks = CanCorr(ilr(T), state).corr_test().stats.iloc[0]
    assert row["statistic"] == pytest.approx(float(wilks["F Value"]), rel=1e-6)
    assert row["p"] == pytest.approx(float(wilks["Pr > F"]), rel=1e-6)


def test_p_values_are_uniform_where_the_claim_is_true():
    rng = np.random.default_rng(6)
    graph, p = CausalGraph.parse("mixture; quality"), []
    for _ in range(200):
        T = pd.DataFrame(rng.dirichlet(np.ones(3), size=30), columns=list("abc"))
        state = pd.DataFrame({"quality": rng.normal(size=30)})
        p.append(graph.test(Runs.from_frames(T, state.rename(columns=str.upper), state=state))["p"].iloc[0])
    assert 0.02 < np.mean(np.array(p) < 0.1) < 0.19


def test_repeated_seeds_do_not_count_as_more_evidence_about_what_they_repeat():
    runs = some_runs(np.random.default_rng(7), n=40)
    frame = pd.concat([runs.frame] * 5, ignore_index=True)
    parts = {
        part: frame.filter(like=f"{part}.").rename(columns=lambda c: c.split(".", 1)[1])
        for part in ("mixture", "outcome", "state")
    }
    repeated = Runs.from_frames(parts["mixture"], parts["outcome"], state=parts["state"])
    graph = CausalGraph.parse("mixture; quality")
    assert graph.test(repeated)["p"].iloc[0] == pytest.approx(graph.test(runs)["p"].iloc[0])
    assert graph.test(repeated)["n_runs"].iloc[0] == 40


def test_what_cannot_be_tested_says_why():
    runs = some_runs(np.random.default_rng(8), n=6)
    overlap = CausalGraph.parse("math; mixture").test(runs)["verdict"].iloc[0]
    assert overlap == "not tested: two of the nodes share the column mixture.math"
    few = CausalGraph.parse("mixture -> quality -> math.x; state; mixture").test(
        some_runs(np.random.default_rng(8), n=3)
    )
    assert few["verdict"].str.startswith("not tested").all()
    same = Runs.from_frames(
        pd.DataFrame({"a": [0.5] * 9, "b": [0.5] * 9}),
        pd.DataFrame({"y": np.arange(9.0)}),
        state=pd.DataFrame({"s": np.arange(9.0) ** 2}),
    )
    assert (
        CausalGraph.parse("mixture; s")
        .test(same)["verdict"]
        .iloc[0]
        .startswith("not tested: mixture does not vary")
    )
    assert CausalGraph.parse("mixture -> s").test(same).empty


def test_a_node_stands_for_its_columns():
    runs = Runs.from_frames(
        pd.DataFrame({"math": [0.5, 0.4], "code": [0.5, 0.6]}),
        pd.DataFrame({"bpb": [1.0, 2.0], "acc": [0.1, 0.2]}),
        state=pd.DataFrame({"math.loss": [1.0, 2.0], "code.loss": [1.0, 3.0], "size": [1.0, 1.0]}),
        scale=pd.DataFrame({"parameters": [1e5, 1e6]}),
    )
    columns = CONFOUNDED.columns_of
    assert columns("mixture", runs) == ["mixture.math", "mixture.code"]
    assert columns("math", runs) == ["mixture.math"]
    assert columns("state", runs) == ["state.math.loss", "state.code.loss", "state.size"]
    assert columns("loss", runs) == ["state.math.loss", "state.code.loss"]
    assert columns("math.loss", runs) == columns("state.math.loss", runs) == ["state.math.loss"]
    assert columns("scale", runs) == columns("parameters", runs) == ["scale.parameters"]
    assert columns("acc", runs) == ["outcome.acc"]
    assert columns("score", runs) == ["outcome.bpb"]
    assert columns("nothing", runs) == []


# -- drawing -------------------------------------------------------------------------------------------------


def test_causes_stand_left_of_effects_and_no_two_nodes_coincide():
    rng = np.random.default_rng(9)
    for _ in range(50):
        graph = random_graph(rng, 6)
        places = graph.layout()
        assert all(places[a][0] < places[b][0] for a, b in graph.edges)
        for a, b in itertools.combinations(graph.nodes, 2):
            assert places[a][0] != places[b][0] or abs(places[a][1] - places[b][1]) > 0.99


def test_the_picture_escapes_hostile_names_and_speaks_to_screen_readers():
    graph = CausalGraph([(HOSTILE, "mixture"), ("mixture", "score")], nodes=["bell\x07", "x" * 300])
    html = graph._repr_html_()
    assert "<script" not in html
    root = ET.fromstring(graph.to_svg())
    assert root.get("role") == "img"
    assert "mixture causes score" in root.get("aria-label")
    assert "Effect of mixture on score: nothing to adjust for" in root.get("aria-label")
    assert "currentColor" in html and "black" not in html and "#000" not in html


def test_the_caption_says_what_to_do():
    assert (
        MEDIATED.caption()
        == "Effect of mixture on score: adjust for state; do not condition on loss and style."
    )
    assert CONFOUNDED.without_node("mixture").caption().startswith("There is no node called mixture")
    assert "hidden common cause" in CONFOUNDED.with_hidden("mixture", "score").caption()


def test_a_graph_of_forty_nodes_is_drawn_in_a_moment():
    nodes = [f"n{i}" for i in range(38)]
    edges = [(nodes[i], nodes[j]) for i in range(38) for j in range(i + 1, min(i + 6, 38), 2)]
    graph = CausalGraph([*edges, ("n0", "mixture"), ("mixture", "score"), ("n37", "score")])
    assert graph.to_svg().count("<title>") == 41
