"""Graphs as people write them: every format's own examples are read as they mean, and what cannot be read is refused by its name."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import networkx as nx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalmix_nb.errors import GraphError
from causalmix_nb.graph.formats.format import FORMATS
from causalmix_nb.graph.graph import CausalGraph
from fuzzing import tries

parse = CausalGraph.parse
TRIANGLE = parse("state -> mixture -> score; state -> score")

# -- each format's own examples, as its documentation shows them ----------------------------------------------

DAGITTY_SITE = """dag {
bb="-3,-2,3,2"
A [pos="-2.200,-1.520"]
B [pos="1.400,-1.460"]
D [outcome,pos="1.400,1.621"]
E [exposure,pos="-2.200,1.597"]
Z [pos="-0.300,-0.082"]
A -> E
A -> Z [pos="-0.791,-1.045"]
B -> D
B -> Z [pos="0.680,-0.496"]
E -> D
}
"""
MERMAID = """graph TD;
    A-->B;
    A-->C;
    B-->D;
    C-->D;
"""
SEM = """# latent variable definitions
visual  =~ x1 + x2
# regressions
y ~ visual + start(0.5)*z + 0*w
z ~ b*w     # labelled
# residual correlation, variance, intercept
y ~~ w
z ~~ z
y ~ 1
indirect := b*b
"""
GML = """graph [
  directed 1
  comment "DoWhy"
  node [ id "v0" label "v0" ]
  node [ id "t" label "t" ]
  node [ id "u" label "u" observed "no" ]
  edge [ source "v0" target "t" ]
  edge [ source "u" target "t" ]
  edge [ source "u" target "v0" ]
]"""
GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="d0" for="node" attr.name="label" attr.type="string"/>
  <graph id="G" edgedefault="directed">
    <node id="n0"><data key="d0">pool size</data></node>
    <node id="n1"><data key="d0">mixture</data></node>
    <edge source="n0" target="n1"/>
  </graph>
</graphml>"""

EXAMPLES = {
    "dagitty's first model": (DAGITTY_SITE, "A -> E, Z; B -> D, Z; E -> D"),
    "dagitty's chain of both directions": (
        "dag { Y <- X <- Z1 <- V -> Z2 -> Y\n Z1 <- W1 <-> W2 -> Z2\n X <- W1 -> Y\n X [exposure]\n Y [outcome] }",
        "Z1 -> X -> Y; V -> Z1, Z2; Z2 -> Y; W1 -> Z1, X, Y; W2 -> Z2; W1 <-> W2",
    ),
    "dagitty's toMAG": (
        "dag { ParentalSmoking->Smoking\n { Profession [latent] } -> {Income->Smoking}\n Genotype -> {Smoking->LungCancer} }",
        "ParentalSmoking, Genotype, Income -> Smoking -> LungCancer; Genotype -> LungCancer; Income <-> Smoking",
    ),
    "ggdag's dag": ('dag { {x m} -> y }', "x, m -> y"),
    "pgmpy's from_dagitty": (
        "dag{'carry matches' [latent] cancer [outcome] smoking -> 'carry matches' [beta=0.2]\n"
        "smoking -> cancer [beta=0.5] 'carry matches' -> cancer }",
        "smoking -> cancer",
    ),
    "dagitty in R": ('g <- dagitty("dag {\n  D -> Y\n  X -> {D Y}\n}")', "D -> Y; X -> D, Y"),
    "dagify": (
        'dagify(y ~ x + z2 + w2 + w1,\n  x ~ z1 + w1,\n  z1 ~ w1 + v,\n  z2 ~ w2 + v,\n  w1 ~ ~w2, # L\n  exposure = "x",\n  outcome = "y")',
        "x, z2, w2, w1 -> y; z1, w1 -> x; w1, v -> z1; w2, v -> z2; w1 <-> w2",
    ),
    "DOT of DoWhy": (
        'digraph {\nAMT -> CREDIT;\nU [label="Unobserved Confounders", observed="no"];\nU -> AMT; U->HOUSE;\nHOUSE -> TARGET;}',
        "AMT -> CREDIT; HOUSE -> TARGET; AMT <-> HOUSE",
    ),
    "DOT of the Graphviz guide": (
        'digraph G {\n size ="4,4";\n main [shape=box]; /* this is a comment */\n main -> parse [weight=8];\n'
        " parse -> execute;\n main -> init [style=dotted];\n main -> cleanup;\n execute -> { make_string; printf}\n"
        ' init -> make_string;\n edge [color=red]; // so is this\n main -> printf [style=bold,label="100 times"];\n'
        ' make_string [label="make a\\nstring"];\n node [shape=box,style=filled,color=".7 .3 1.0"];\n execute -> compare;\n}',
        "main -> parse, init, cleanup, printf; parse -> execute -> make_string, printf, compare; init -> make_string",
    ),
    "DOT with clusters": (
        'strict digraph "G" { compound=true; subgraph cluster_0 { style=filled; a0 -> a1; label = "process #1"; }\n'
        "subgraph cluster_1 { b0 -> b1 } start -> a0:n; start -> b0:out:sw; a1 -> b1 }",
        "a0 -> a1; b0 -> b1; start -> a0, b0; a1 -> b1",
    ),
    "DOT of causal-learn's pydot": (
        "digraph {\n0 [label=X1];\n1 [label=X2];\n2 [label=X3];\n0 -> 1 [arrowhead=normal, arrowtail=none, dir=both];\n"
        "1 -> 2 [arrowhead=normal, arrowtail=normal, dir=both];\n}",
        "X1 -> X2; X2 <-> X3",
    ),
    "DOT with arrows turned": ('digraph { a -> b [dir=back]; edge [dir=both]; c -> d; { edge [dir=forward] e -> f } g -> h }', "b -> a; c <-> d; e -> f; g <-> h"),
    "mermaid's first": (MERMAID, "A -> B, C; B, C -> D"),
    "mermaid's many in a line": ("flowchart LR\n   a --> b & c--> d", "a -> b, c; b, c -> d"),
    "mermaid's both sides": ("flowchart TB\n    A & B--> C & D", "A, B -> C, D"),
    "mermaid's words on links": (
        "flowchart LR\n    A -- text --> B -- text2 --> C\n A-. text .-> D ==> E == text ==> F\n A-->|text|F", "A -> B, D, F; B -> C; D -> E -> F",
    ),
    "mermaid's shapes": (
        "---\ntitle: Shapes\n---\nflowchart TD\n    id1[(Database)] --> id2((circle))\n id2 -->|yes| id3{\"rhombus {x}\"}:::big\n"
        "    classDef big fill:#f96,stroke:#333;\n    style id1 fill:#bbf\n    click id2 \"https://example.org\"\n    %% --> no\n"
        "    subgraph one\n    id4@{ shape: rect, label: \"a rect\" } --> id1\n    end",
        'Database -> circle -> "rhombus {x}"; "a rect" -> Database',
    ),
    "mermaid's captions": ("graph LR\n state[State of the pool] --> mixture & score\n mixture --> score", "state -> mixture -> score; state -> score"),
    "mermaid with a hidden cause": ("graph LR\n a <--> b; a <-.-> c; U:::latent --> d & e\n classDef latent stroke-dasharray: 5", "a <-> b; a <-> c; d <-> e"),
    "lavaan": (SEM, "z -> y; w -> z; x1 <-> x2; x1 <-> y; x2 <-> y; y <-> w"),
    "lavaan's mediation": ("# direct effect\n Y ~ c*X\n# mediator\n M ~ a*X\n Y ~ b*M\n# indirect effect (a*b)\n ab := a*b\n total := c + (a*b)", "X -> M -> Y; X -> Y"),
    "an R formula": ("score ~ mixture + `pool size`", 'mixture, "pool size" -> score'),
    "causal-learn": ("Graph Nodes:\nX1;X2;X3;X4\n\nGraph Edges:\n1. X1 --> X2\n2. X2 <-> X3\n", "X1 -> X2; X2 <-> X3; X4"),
    "Tetrad": (
        "Graph Nodes:\nX1;X2;(L)\n\nGraph Edges:\n1. X1 --> X2 dd nl\n2. (L) --> X1\n3. (L) --> X2\n\nGraph Attributes:\nBIC: -12.5\n", "X1 -> X2; X1 <-> X2",
    ),
    "bnlearn": ("[A][S][E|A:S][O|E][R|E][T|O:R]", "A, S -> E -> O, R -> T"),
    "GML of DoWhy": (GML, "v0 -> t; v0 <-> t"),
    "GraphML": (GRAPHML, '"pool size" -> mixture'),
    "networkx's edge list": ("# comment\na b {}\nb c {'weight': 27, 'color': 'green'}", "a -> b -> c"),
    "words in rows": ("state mixture\nmixture score\nstate score", "state -> mixture -> score; state -> score"),
    "CSV with a header": ("source,target\nstate,mixture\nmixture,score", "state -> mixture -> score"),
    "CSV of Gephi": ("Source,Target,Type,Id,Label,Weight\na,b,Directed,0,,1.0\nb,c,Directed,1,,1.0", "a -> b -> c"),
    "CSV turned": ("effect;cause\nscore;mixture\n\"a, b\";score", 'mixture -> score -> "a, b"'),
    "CSV without a header": ("a,b\nb,c", "a -> b -> c"),
    "CSV with arrows": ("a,->,b\nb,<->,c", "a -> b; b <-> c"),
    "CSV with types and a lone node": ("from,to,type\npool size,b,directed\nb,c,bidirected\nseed,,", '"pool size" -> b; b <-> c; seed'),
    "CSV of parents": ("node,parent\nscore,mixture\nmixture,state", "state -> mixture -> score"),
    "CSV of x and y": ("x,y\na,b\nb,c", "a -> b -> c"),
    "CSV of treatments": ("treatment,outcome\na,b\nb,c", "a -> b -> c"),
    "CSV with numbered nodes": ("node1,node2\nnode2,node3", "node1 -> node2 -> node3"),
    "CSV with a node x": ("x,y\ny,z", "x -> y -> z"),
    "CSV with a node treatment": ("treatment,outcome\nstate,treatment", "state -> treatment -> outcome"),
    "causal-learn's names in quotes": ('Graph Nodes:\na;"[x]"\n\nGraph Edges:\n1. a --> "[x]" [0.9]', 'a -> "[x]"'),
    "bnlearn's names with a colon": ('["a:b"][c|"a:b"]', '"a:b" -> c'),
    "TSV": ("parent\tchild\na b\tc\n", '"a b" -> c'),
    "GML of igraph": (
        'Creator "igraph version 0.10.4"\nVersion 1\ngraph\n[\n directed 1\n node\n [\n id 0\n name "pool size"\n ]\n node\n [\n id 1\n name "b"\n ]\n'
        " edge\n [\n source 0\n target 1\n ]\n]", '"pool size" -> b',
    ),
    "GraphML of igraph": (
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key id="v_name" for="node" attr.name="name" attr.type="string"/>'
        '<graph id="G" edgedefault="directed"><node id="n0"><data key="v_name">state</data></node><node id="n1"><data key="v_name">b</data></node>'
        '<edge source="n0" target="n1"/></graph></graphml>', "state -> b",
    ),
    "arrows that an editor made": ("a –> b\nc <— b\nc <–> a", "a -> b -> c; a <-> c"),
    "JSON of networkx": ('{"directed": true, "multigraph": false, "graph": {}, "nodes": [{"id": "a"}, {"id": "b"}], "edges": [{"source": "a", "target": "b"}]}', "a -> b"),
    "JSON of D3, by place": ('{"nodes": [{"name": "a b"}, {"name": "c"}], "links": [{"source": 0, "target": 1, "value": 3}]}', '"a b" -> c'),
    "JSON of cytoscape": ('{"elements": {"nodes": [{"data": {"id": "a"}}, {"data": {"id": "b"}}], "edges": [{"data": {"id": "e", "source": "a", "target": "b"}}]}}', "a -> b"),
    "JSON adjacency": ('{"directed": true, "multigraph": false, "graph": [], "nodes": [{"id": "a"}, {"id": "b"}], "adjacency": [[{"id": "b"}], []]}', "a -> b"),
    "JSON pairs": ('[["a", "b"], ["b", "c"]]', "a -> b -> c"),
    "a fence of Markdown": ("```dot\ndigraph { a -> b }\n```", "a -> b"),
    "a byte-order mark and Windows lines": ("\ufeffsource,target\r\na,b\r\nb,c\r\n", "a -> b -> c"),
    "node sets in our own text": ("a -> {b,c}; {d e} -> a", "a -> b, c; d, e -> a"),
    "long arrows in our own text": ('a-->b; "pool size" ---> b <-- c; a<-->c', 'a -> b; "pool size" -> b; c -> b; a <-> c'),
}  # fmt: skip


@pytest.mark.parametrize(("text", "means"), EXAMPLES.values(), ids=EXAMPLES)
def test_the_examples_of_every_tool_are_read_as_they_mean(text, means):
    assert parse(text) == parse(means, format="causalmix")


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("graph { a -- b }", "this is DOT.*no arrows"),
        ("digraph { a -- b }", "this is DOT, and line 1.*the edge -- has no direction"),
        ("digraph {\n a -> b\n b -> c [dir=none] }", "this is DOT, and line 3.*without an arrowhead"),
        ("digraph { a -> b [dir=both, arrowtail=odot] }", "this is DOT.*circle"),
        ("digraph { a -> <b> }", "this is DOT.*HTML"),
        ("digraph { a -> b", "this is DOT.*a { is not closed"),
        ("diagraph {\n a -> b }", "this is DOT.*did you mean digraph"),
        ("digraph G [Z -> X;Z -> Y;]", "this is DOT.*stand in { }"),
        ("digraph { a -> b } digraph { c -> d }", "this is DOT.*give one graph"),
        ("pdag { a -- b }", "this is DAGitty.*a pdag is a class of graphs"),
        ("mag { a -> b }", "this is DAGitty.*a mag is a maximal ancestral graph"),
        ("dag { a -- b }", "this is DAGitty.*no direction"),
        ("dag { s [selected] a -> s }", "this is DAGitty.*'s' is marked as selected"),
        ("graph LR\n a --- b", "this is mermaid, and line 2.*no arrowhead"),
        ("graph LR\n a --o b", "this is mermaid, and line 2.*circle or a cross"),
        ("graph LR\n subgraph one\n a\n end\n one --> b", "this is mermaid.*the subgraph 'one'"),
        ("sequenceDiagram\n A->>B: hi", "this is mermaid.*a sequenceDiagram does not say"),
        ("graph LR\n pool size --> b", "this is mermaid, and line 2.*two names stand side by side"),
        ("source,target,type\na,b,o->", "this is an edge list, and line 2.*of the type 'o->'"),
        ("Source,Target,Type\na,b,Undirected", "this is an edge list, and line 2.*'Undirected'"),
        ("source,target\na,{b", "this is an edge list, and line 2.*the sign {"),
        ("source,target\na,", None),
        ("source,target\n,b", "this is an edge list, and line 2.*one is blank"),
        (",a,b\na,0,1\nb,0,0", "this is an edge list.*a row or a column is the cause"),
        ("graph [ node [ id 0 ] node [ id 1 ] edge [ source 0 target 1 ] ]", "this is GML.*directed 1"),
        ("graph [ directed 1 node [ id 0 ]", "this is GML.*networkx says"),
        ("<graphml><graph edgedefault='undirected'><node id='a'/></graph></graphml>", "this is GraphML.*no direction"),
        ("<!DOCTYPE lolz [<!ENTITY lol 'lol'>]><graphml/>", "this is GraphML.*DOCTYPE"),
        ("<bif></bif>", "this is XML, and no GraphML"),
        ('{"directed": false, "nodes": [{"id": "a"}], "links": []}', "this is JSON.*no direction"),
        ('{"a": ["b"]}', "this is JSON.*does not say which side is the cause"),
        ('{"nodes": [', "this is JSON, and line 1.*not well-formed"),
        ("Graph Nodes:\nX1;X2\n\nGraph Edges:\n1. X1 o-> X2", "this is causal-learn's text, and line 5.*CPDAG or PAG"),
        ("Graph Nodes:\nX1;X2\n\nGraph Edges:\n1. X1 --- X2", "this is causal-learn's text, and line 5"),
        ("y ~ a*x", "formulas.*a label in lavaan and an interaction of causes in R"),
        ("child,parents\nscore,mixture\nmixture,state", "this is an edge list, and line 1.*first row seems to name the columns"),
        ("lhs,rhs\nscore,mixture", "this is an edge list, and line 1.*first row seems to name the columns"),
        ("a -> b, 0.3\nb -> c, 0.2", "line 1.*0.3 is a number where a name belongs"),
        ("C# -> bpb\nmath -> bpb", "line 1.*the sign # has no meaning here; put it in quotes"),
        ("y ~ .", "formulas.*a dot for all variables names none"),
        ("“pool size” -> b", "the quotation mark ” is not one that is read; write straight ones"),
        ("y ~ log(x)", "formulas.*a function of a variable"),
        ("y ~ x - z", "formulas.*taken away"),
        ("y ~ x +", "formulas.*ends where a name must come"),
        ("y ~ pool size", "formulas.*two names stand side by side"),
        ("f =~ a*x\na ~ x", "formulas.*a label in one place and a variable in another"),
        ("network unknown {\n}\nvariable A {\n}", "this is BIF"),
        ("E E @-2.2,1.6\nD O @1.4,1.6\n\nE D", "this is dagitty's old model code"),
        ("graph.dot", "the name of a file; give pathlib.Path"),
        ("a, b, c", "list of names without an arrow"),
        ("a -> b\nc, d", "cannot read line 2.*list of names without an arrow"),
        ("math\ncode\nweb", "3 names without an arrow"),
        ("mixture", "one name without an arrow"),
        ("new york\nold town", "two names stand side by side"),
        ("a\u200b -> b", r"invisible character U\+200B"),
        ("a\u202e -> b", r"invisible character U\+202E"),
        ("a -> b [style=dashed]", "the sign ] has no meaning"),
        ("a ~> b", "has no meaning"),
        ("a ⇒ b", "the sign ⇒ has no meaning"),
        ("a- -> b", "the sign - has no meaning"),
        ("a -> {b", "not closed"),
        ("digraph { u [latent=true] }", "no node of the graph was recorded"),
        ("digraph { a -> b; b -> a }", "cycle, a -> b -> a"),
        ("digraph { u [latent=true] a -> u -> a }", "cycle, u -> a -> u"),
        ("graph LR\n a --> a", "'a' points at itself"),
    ],
)  # fmt: skip
def test_what_is_no_graph_is_refused_by_the_name_of_its_format(text, message):
    if message is None:
        assert parse(text + "\na,b").nodes == ("a", "b")
        return
    with pytest.raises(GraphError, match=message):
        parse(text)


@pytest.mark.parametrize("sign", [*"{}[]()~|=&<>", "\u200b", "\u2060", "\ufeff", "\u202e", "\x00", "\x1b"])
@pytest.mark.parametrize(
    "frame", ["x{}y -> b", "b -> x{}", "source,target\nx{}y,b", "a,b\nb,x{}y", "a -> b; x{}y"]
)
def test_no_sign_becomes_part_of_a_node_without_quotes(sign, frame):
    text = frame.replace("{}", sign)
    try:
        nodes = parse(text).nodes
    except GraphError:
        return
    assert not any(sign in name for name in nodes)


def test_a_wrong_reading_no_longer_changes_the_adjustment():
    assert parse("state -> {mixture, score}; mixture-->score").adjustment_set("mixture", "score") == {"state"}
    edges = "cause,effect\nstate,mixture\nstate,score\nmixture,score"
    assert parse(edges).adjustment_set("mixture", "score") == {"state"}


def test_names_that_our_text_allows_stay_names():
    names = [
        "math.loss",
        "bpb.code",
        "code@1",
        "gsm8k/acc",
        "a-b",
        "c++",
        "50%",
        "données",
        "数学",
        "a:b",
        "x*",
        "v1.2-rc-3",
    ]
    for name in names:
        assert parse(f"{name} -> score").edges == ((name, "score"),)


def test_one_spelling_of_an_accent_is_one_node():
    assert parse("donne\u0301es -> score; données -> mixture").nodes == ("données", "score", "mixture")


# -- what nobody recorded -------------------------------------------------------------------------------------


def test_a_latent_node_is_projected_out_with_its_causes_and_effects():
    graph = parse("dag { p -> u -> {c d} u [latent] s <-> u }")
    assert graph == parse("p -> c, d; c <-> d; s <-> c; s <-> d")


def d_separated(graph: nx.DiGraph, recorded: list[str]) -> set[tuple]:
    found = set()
    for a, b in itertools.combinations(recorded, 2):
        rest = [name for name in recorded if name not in (a, b)]
        for size in range(len(rest) + 1):
            for given_ in itertools.combinations(rest, size):
                if nx.is_d_separator(graph, {a}, {b}, set(given_)):
                    found.add((a, b, given_))
    return found


@tries(60)
@given(st.data())
def test_the_projection_keeps_every_independence_of_what_was_recorded(data):
    names = list("abcdef")
    pairs = list(itertools.combinations(names, 2))
    edges = data.draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=9, unique=True))
    latent = data.draw(st.sets(st.sampled_from(names), max_size=3))
    full = nx.DiGraph(edges)
    full.add_nodes_from(names)
    text = " ".join(f"{name} [latent]" if name in latent else name for name in names)
    graph = parse(f"dag {{ {text} {' '.join(f'{a} -> {b}' for a, b in edges)} }}")
    recorded = [name for name in names if name not in latent]
    assert set(graph.nodes) == set(recorded)
    assert d_separated(graph.nx, recorded) == d_separated(full, recorded)


# -- objects --------------------------------------------------------------------------------------------------


def test_graphs_of_networkx_are_read_with_what_nobody_recorded():
    given_ = nx.DiGraph([("u", "t"), ("u", "y"), ("t", "y")])
    given_.nodes["u"]["observed"] = "no"
    assert parse(given_) == parse("t -> y; t <-> y")
    assert parse(nx.DiGraph([(0, 1)])) == parse("0 -> 1")
    graph = parse("a -> b; a <-> b; c <-> a; seed")
    assert parse(graph.nx) == graph
    assert parse(graph) is graph


class Model(nx.DiGraph):
    """As pgmpy's DAG: a networkx graph with latents."""

    latents: set = set()


def test_graphs_of_other_packages_are_read_by_what_they_offer():
    model = Model([("u", "t"), ("u", "y")])
    model.latents = {"u"}
    assert parse(model) == parse("t <-> y")
    plain = SimpleNamespace(nodes=lambda: ["a", "b"], edges=lambda: [("a", "b")], latents=set())
    assert parse(plain) == parse("a -> b")
    ananke = SimpleNamespace(vertices={"a": 0, "b": 0}, di_edges={("a", "b")}, bi_edges={("a", "b")})
    assert parse(ananke) == parse("a -> b; a <-> b")
    y0 = SimpleNamespace(directed=nx.DiGraph([("a", "b")]), undirected=nx.Graph([("a", "b")]))
    assert parse(y0) == parse("a -> b; a <-> b")
    mixed = SimpleNamespace(
        nodes=["a", "b"], get_graphs=lambda: {"directed": nx.DiGraph([("a", "b")]), "bidirected": nx.Graph()}
    )
    assert parse(mixed) == parse("a -> b")


class Discovered:
    """As causal-learn's graphs, which print themselves."""

    def get_graph_edges(self):
        return []

    def __str__(self):
        return "Graph Nodes:\nX1;X2\n\nGraph Edges:\n1. X1 --> X2\n"


def test_graphs_of_causal_learn_and_tables_of_pandas_are_read():
    assert parse(Discovered()) == parse(SimpleNamespace(G=Discovered())) == parse("X1 -> X2")
    assert parse(pd.DataFrame({"cause": ["a"], "effect": ["b"]})) == parse("a -> b")
    assert parse([("a", "b"), ("b", "c")]) == parse("a -> b -> c")


def test_a_missing_cell_of_a_table_of_arrows_is_no_node():
    assert parse(pd.DataFrame({"from": ["a", "c"], "to": ["b", None]})) == parse("a -> b; c")
    with pytest.raises(GraphError, match="the cause is missing"):
        parse(pd.DataFrame({"from": ["a", float("nan")], "to": ["b", "c"]}))


def test_numbered_nodes_of_networkx_are_called_by_their_labels():
    graph = nx.DiGraph([(0, 1)])
    assert parse(graph) == parse("0 -> 1")
    nx.set_node_attributes(graph, {0: "state", 1: "mixture"}, "label")
    assert parse(graph) == parse("state -> mixture")


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (nx.Graph([("a", "b")]), "undirected Graph"),
        (nx.DiGraph([("a", (1, 2))]), "give every node a name that is text"),
        (nx.DiGraph([(1, "1")]), "both called '1'"),
        (pd.DataFrame([[0, 1], [0, 0]], columns=["a", "b"]), "a row or a column is the cause"),
        ({"a": ["b"]}, "does not say which side is the cause"),
        ([("a", "b", "c")], "is no arrow"),
        (["ab"], "is no arrow"),
        (b"a -> b", "a graph is text"),
        (3, "a graph is text"),
        (object(), "got object"),
    ],
)
def test_objects_that_are_no_causal_graph_are_refused(given_, message):
    with pytest.raises(GraphError, match=message):
        parse(given_)


# -- files and names of formats -------------------------------------------------------------------------------


def test_a_graph_is_read_from_a_file(tmp_path):
    (tmp_path / "g.dot").write_text("digraph { données -> b }", encoding="utf-8")
    assert parse(tmp_path / "g.dot").nodes == ("données", "b")
    (tmp_path / "one.csv").write_text("a,b", encoding="utf-8")
    assert parse(tmp_path / "one.csv") == parse("a -> b")
    (tmp_path / "u16.txt").write_text("a -> b", encoding="utf-16")
    assert parse(tmp_path / "u16.txt") == parse("a -> b")
    (tmp_path / "latin.txt").write_bytes("données -> b".encode("latin-1"))
    for path, message in (
        ("latin.txt", "UTF-8"),
        ("none.dot", "there is no file"),
        ("", "cannot be read as a file"),
    ):
        with pytest.raises(GraphError, match=message):
            parse(tmp_path / path)


def test_a_format_may_be_asked_for_by_its_name_and_a_wrong_one_is_told():
    assert parse("a b", format="edges") == parse("a -> b")
    assert parse("y ~ a*x", format="lavaan") == parse("x -> y")
    assert parse("a -> b", "Causalmix") == parse("a -> b")
    with pytest.raises(
        GraphError,
        match="there is no format 'dagity'. Did you mean 'dagitty'.*Formats are bnlearn, causal-learn",
    ):
        TRIANGLE.to_text("dagity")
    for name in FORMATS:
        if name not in ("causalmix", "edges", "mermaid"):
            with pytest.raises(GraphError, match="this is "):
                parse("a -> b", format=name)


@pytest.mark.parametrize("text", ["1", "true", "null", '"a -> b"', "[]", "[1]"])
def test_json_that_is_no_graph_is_refused_as_json(text):
    with pytest.raises(GraphError, match="this is JSON"):
        parse(text, format="json")


def test_the_documentation_names_every_format():
    assert all(f'"{name}"' in parse.__doc__ for name in FORMATS)


# -- there and back -------------------------------------------------------------------------------------------

ODD = ["a", "B", "mixture", "pool size", "math.loss", "gsm8k/acc", "a-b", "x{y", "end", "node", "graph", "source", "données", "a,b", "a;b", "0", "1.5", "n0", "U_a_B", "NA", "[x]", "a -> b", "~", "it's", '"', "#1", "a|b", "<b>", "&amp;", "o", "x", "T", "数学", "🙂", "-", "c++"]  # fmt: skip
texts = st.sampled_from(ODD) | st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6
)


@st.composite
def graphs(draw, names=texts, with_hidden=True):
    nodes = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    pairs = list(itertools.combinations(nodes, 2))
    some = st.lists(st.sampled_from(pairs), max_size=7) if pairs else st.just([])
    return CausalGraph(draw(some), draw(some) if with_hidden else (), nodes)


@pytest.mark.parametrize("name", FORMATS)
@tries(80)
@given(data=st.data())
def test_a_graph_that_is_written_in_a_format_reads_back_as_itself(name, data):
    graph = data.draw(graphs(with_hidden=name != "bnlearn"))
    text = graph.to_text(name)
    assert parse(text) == graph
    assert parse(text, format=name) == graph


@pytest.mark.parametrize("name", FORMATS)
@tries(60)
@given(data=st.data())
def test_any_name_at_all_is_written_or_refused_in_one_sentence(name, data):
    graph = data.draw(
        graphs(st.text(min_size=1, max_size=6).filter(str.strip), with_hidden=name != "bnlearn")
    )
    try:
        text = graph.to_text(name)
    except GraphError as error:
        assert "cannot hold every name" in str(error)
        assert name != "causalmix"
        return
    assert parse(text) == graph


def test_bnlearn_has_no_sign_for_a_hidden_cause():
    with pytest.raises(GraphError, match="no sign for a hidden common cause"):
        parse("a <-> b").to_text("bnlearn")


def test_other_readers_see_the_same_graph_in_what_is_written():
    graph = parse("state -> mixture -> score; state -> score; state <-> score")
    for text, read in ((graph.to_text("gml"), nx.parse_gml), (graph.to_text("graphml"), nx.parse_graphml)):
        seen = read(text)
        (cause,) = [node for node, said in seen.nodes(data="observed") if said == "no"]
        assert set(seen.successors(cause)) == {"state", "score"}
        assert set(seen.subgraph(graph.nodes).edges()) == set(graph.edges)
