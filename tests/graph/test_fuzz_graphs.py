"""Generated graphs: a text that says a graph, written in many styles, is read as the graph that was meant; any other text is read
as what stands in it or refused in one sentence.

The writers here are the independent side: they write the generator's own structure in the styles that people use, and share no code
with the package. 13 formats with 100 graphs each, and 900 texts that are bent or made of signs.
"""

from __future__ import annotations

import itertools
import json
import re
import time
import warnings

import networkx as nx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from causalmix_nb.errors import GraphError
from causalmix_nb.graph.formats.format import FORMATS
from causalmix_nb.graph.graph import CausalGraph
from fuzzing import tries

WORDS = [
    "state",
    "mixture",
    "score",
    "math",
    "code",
    "loss",
    "web_2",
    "x1",
    "acc",
    "Z",
    "quality",
    "end_",
    "node1",
]
SLOW = 5.0  # seconds


@st.composite
def structures(draw, hidden=True):
    """(nodes, arrows without a cycle, hidden pairs): at least one arrow, in any order of mention."""
    nodes = draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=7, unique=True))
    pairs = list(itertools.combinations(nodes, 2))
    edges = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=9, unique=True))
    tied = draw(st.lists(st.sampled_from(pairs), max_size=3, unique=True)) if hidden else []
    return nodes, edges, tied


def meant(nodes, edges, tied):
    return set(nodes), set(edges), set(map(frozenset, tied))


def read(text, format=None):
    graph = CausalGraph.parse(text, format)
    return set(graph.nodes), set(graph.edges), set(map(frozenset, graph.hidden))


def statements(draw, nodes, edges, tied, arrow, both, alone):
    """Statements in random order: every arrow, every tie, every node without either."""
    lines = [arrow(a, b) for a, b in edges] + [
        both(a, b) if draw(st.booleans()) else both(b, a) for a, b in tied
    ]
    used = {name for pair in (*edges, *tied) for name in pair}
    lines += [alone(name) for name in nodes if name not in used or draw(st.integers(0, 3)) == 0]
    return draw(st.permutations(lines))


def own(draw, nodes, edges, tied):
    def name(word):
        return draw(st.sampled_from([word, f'"{word}"', f"'{word}'"]))

    def arrow(a, b):
        turned = draw(st.booleans())
        sign = draw(
            st.sampled_from(
                ["<-", "<--", " ← "] if turned else ["->", " -> ", "-->", " ---> ", " → ", "\t->"]
            )
        )
        a, b = name(a), name(b)
        wrapped = draw(st.sampled_from(["{}", "{{{}}}", "{{ {} }}"]))
        return f"{b}{sign}{wrapped.format(a)}" if turned else f"{a}{sign}{wrapped.format(b)}"

    lines = statements(
        draw, nodes, edges, tied, arrow, lambda a, b: name(a) + draw(st.sampled_from(["<->", " <--> ", " ↔ "])) + name(b), name
    )  # fmt: skip
    joiner = draw(st.sampled_from(["\n", ";", " ; ", "\r\n", "  # said so\n", "\n\n"]))
    return joiner.join(lines)


def braces(draw, nodes, edges, tied, kind):
    dot = kind == "dot"
    numbered = all(re.fullmatch("x1|Z|node1", word) for word in nodes)  # then the label would be the name

    def name(word):
        return draw(st.sampled_from([word, f'"{word}"']))

    def attributes():
        said = [
            "",
            "",
            ' [label="x -> y; z"]' if not dot else ' [color="red; -> ]"]',
            " [weight=2,style=dotted]" if dot else " [beta=0.5]",
        ]
        return draw(st.sampled_from(said))

    def arrow(a, b):
        if dot and draw(st.integers(0, 4)) == 0:
            return f"{name(b)} -> {name(a)} [dir=back]"
        if not dot and draw(st.booleans()):
            return f"{name(b)} <- {name(a)}{attributes()}"
        sides = draw(st.sampled_from(["{a}->{b}", "{a} -> {{ {b} }}", "{{{a}}} -> {{{b};}}"]))
        return sides.format(a=name(a), b=name(b)) + attributes()

    def both(a, b):
        if not dot or draw(st.booleans()):
            return f"{name(a)} <-> {name(b)}"
        if draw(st.booleans()):
            return f"{name(a)} -> {name(b)} [dir=both, style=dashed]"
        return f'"h {a} {b}" [observed="no"]; "h {a} {b}" -> {{{name(a)} {name(b)}}}'

    def alone(word):
        label = "" if numbered else 'label="the word",'
        marks = (
            ["", "[shape=box]", f' [{label}pos="0,1!"]']
            if dot
            else ["", " [exposure]", ' [outcome,pos="-0.3,1"]']
        )
        return f"{name(word)}{draw(st.sampled_from(marks))}"

    lines = statements(draw, nodes, edges, tied, arrow, both, alone)
    head = draw(st.sampled_from(
        ["digraph {", "strict digraph G {", 'digraph "a graph" {rankdir=LR;', "// -> {\ndigraph\n{ node [shape=box]; graph [a=b]"]
        if dot else ["dag {", "dag{", 'dag {\nbb="0,0,1,1"\n']
    ))  # fmt: skip
    joiner = draw(st.sampled_from(["\n", ";\n", " ; /* x -> y */ "]))
    return f"{head} {joiner.join(lines)}\n}}"


def mermaid(draw, nodes, edges, tied):
    shapes = ["{}", "{}[{} of it]", "{}({})", '{}["{} [x] --> y"]', "{}{{{{{}}}}}", "{}:::big"]

    numbered = all(re.fullmatch("x1|Z|node1", word) for word in nodes)  # then the label would be the name

    def name(word):
        if numbered:
            return word
        return draw(st.sampled_from(shapes)).format(word, word)

    def arrow(a, b):
        sign = draw(
            st.sampled_from(
                [
                    "-->",
                    " --> ",
                    " ---> ",
                    "-->|so -- says|",
                    " -.-> ",
                    "==>",
                    " -- words --> ",
                    " == so ==> ",
                ]
            )
        )
        return f"{name(a)}{sign}{name(b)}"

    lines = statements(
        draw, nodes, edges, tied, arrow, lambda a, b: f"{name(a)} {draw(st.sampled_from(['<-->', '<-.->', '<==>']))} {name(b)}", name
    )  # fmt: skip
    noise = [
        "%% a --> b",
        "classDef big fill:#f9f,stroke:#333",
        "style state fill:#bbf",
        "linkStyle 0 stroke:#ff3",
        "",
    ]
    lines = [line for pair in zip(lines, itertools.cycle(noise)) for line in pair]
    head = draw(
        st.sampled_from(["graph LR", "graph TD;", "flowchart TB", "---\ntitle: a --> b\n---\nflowchart LR"])
    )
    return "\n".join([head, *lines])


def formulas(draw, nodes, edges, tied):
    causes = {b: [a for a, other in edges if other == b] for b in nodes}
    before = st.sampled_from(["", "", "0.5*", "NA*", "start(1)*"])
    lines = []
    for b, given_ in causes.items():
        if given_:
            terms = [draw(before) + draw(st.sampled_from([a, f"`{a}`"])) for a in given_]
            terms = draw(st.permutations([*terms, *draw(st.sampled_from([[], ["1"]]))]))
            plus = draw(st.sampled_from([" + ", "+", " +\n   ", "\n + "]))
            lines.append(f"{b} ~ {plus.join(terms)}")
    lines += [f"{a} ~~ {b}" for a, b in tied] + [f"{name} ~~ {name}" for name in nodes]
    lines += draw(st.sampled_from([[], ["# a comment ~ here", "total := a + b"], ["! x ~ y"]]))
    return draw(st.sampled_from(["\n", ";\n", "\n\n"])).join(draw(st.permutations(lines)))


def table(draw, nodes, edges, tied):
    mark = draw(st.sampled_from([",", ";", "\t", ", "]))
    turned = draw(st.booleans())
    head = draw(
        st.sampled_from([("source", "target"), ("From", "To"), ("cause", "effect"), (" Parent", "Child ")])
    )
    quote = st.sampled_from(["{}", '"{}"']) if mark != ", " else st.just("{}")
    arrow, both = draw(
        st.sampled_from([("->", "<->"), ("directed", "bidirected"), ("-->", "hidden"), ("", "latent")])
    )
    rows = [(*draw(st.permutations([head[0], head[1]])), "type")] if turned else [(*head, "type")]
    swapped = rows[0][0] == head[1]
    body = (
        [(a, b, arrow) for a, b in edges]
        + [(a, b, both) for a, b in tied]
        + [(name, "", "") for name in nodes]
    )
    for a, b, kind in draw(st.permutations(body)):
        a, b = (draw(quote).format(word) if word else "" for word in (a, b))
        rows.append((b, a, kind) if swapped else (a, b, kind))
    return "\n".join(mark.join(row) for row in rows)


def plain_table(draw, nodes, edges, tied):
    mark = draw(st.sampled_from([",", ";", "\t", " -x- "]))
    if mark == " -x- ":
        return "\n".join(f"{a} {b} {{}}" for a, b in edges)
    rows = [f"{a}{mark}{b}" for a, b in edges]
    return "\n".join(rows if len(rows) > 1 else rows * 2)


def discovered(draw, nodes, edges, tied):
    lines = [f"{a} --> {b}" if draw(st.booleans()) else f"{b} <-- {a}" for a, b in edges] + [
        f"{a} <-> {b}" for a, b in tied
    ]
    lines = [
        f"{k}. {line}{draw(st.sampled_from(['', ' dd nl']))}"
        for k, line in enumerate(draw(st.permutations(lines)), 1)
    ]
    return "\n".join(
        ["Graph Nodes:", draw(st.sampled_from([";", ",", " ; "])).join(nodes), "", "Graph Edges:", *lines, ""]
    )


def bnlearn(draw, nodes, edges, tied):
    causes = {b: [a for a, other in edges if other == b] for b in nodes}
    return "".join(f"[{b}|{':'.join(given_)}]" if given_ else f"[{b}]" for b, given_ in causes.items())


def as_networkx(nodes, edges, tied):
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    for k, (a, b) in enumerate(tied):
        graph.add_node(f"h{k}", latent=True)
        graph.add_edges_from([(f"h{k}", a), (f"h{k}", b)])
    return graph


def node_link(draw, nodes, edges, tied):
    if draw(st.booleans()):
        return json.dumps(
            nx.node_link_data(
                as_networkx(nodes, edges, tied), edges=draw(st.sampled_from(["edges", "links"]))
            )
        )
    links = [{"source": a, "target": b} for a, b in edges] + [
        {"source": a, "target": b, "type": "<->"} for a, b in tied
    ]
    return json.dumps(
        {"nodes": [{"id": name, "group": 1} for name in nodes], "links": links},
        indent=draw(st.sampled_from([None, 2])),
    )


WRITERS = {
    "causalmix": own,
    "dot": lambda *given_: braces(*given_, "dot"),
    "dagitty": lambda *given_: braces(*given_, "dagitty"),
    "mermaid": mermaid,
    "lavaan": formulas,
    "edges": table,
    "edges without a header": plain_table,
    "causal-learn": discovered,
    "bnlearn": bnlearn,
    "json": node_link,
    "gml": lambda draw, *given_: "\n".join(nx.generate_gml(as_networkx(*given_))),
    "graphml": lambda draw, *given_: "\n".join(nx.generate_graphml(as_networkx(*given_))),
    "networkx": lambda draw, *given_: as_networkx(*given_),
}
NO_TIES = ("bnlearn", "edges without a header")


@pytest.mark.parametrize("name", WRITERS)
@tries(100)
@given(data=st.data())
def test_a_graph_in_the_style_of_a_format_is_read_as_what_it_says(name, data):
    nodes, edges, tied = data.draw(structures(hidden=name not in NO_TIES))
    if name == "edges without a header":
        nodes = [node for node in nodes if any(node in pair for pair in edges)]
    text = WRITERS[name](data.draw, nodes, edges, tied)
    assert read(text) == meant(nodes, edges, tied), text
    if name in FORMATS:
        assert read(text, name) == meant(nodes, edges, tied)


def outcome(text, format=None):
    """What reading a text gives: the graph or a sentence, in time, without a warning."""
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = CausalGraph.parse(text, format)
        except GraphError as error:
            found = str(error)
            assert len(found) < 1000 and "\n" not in found and found.endswith("."), found
    assert time.process_time() - began < SLOW
    return found


BEFORE = r"{}[]()<>~|=&\\"
SIGNS = [*"{}[]()<>-~|=&;,:#\"'`\\/*%@+!?.\n\t 01abxo", "->", "<->", "-->", "--", "a", "b", "graph", "dag {", "digraph {", "graph LR\n", "y ~ x", "\u200b", "source,target\n", "Graph Nodes:\n", "<graphml>", "graph [", "subgraph", "label=", "//", "/*", "*/", "%%", "é", "\x00"]  # fmt: skip


@tries(500)
@given(st.lists(st.sampled_from(SIGNS), max_size=25).map("".join), st.sampled_from([None, None, *FORMATS]))
@example("a -> {b", None)
@example("[[a]]", None)
@example("digraph {->}", None)
@example("graph LR\n-->", None)
@example('{"nodes": [1, 2], "links": [3]}', None)
@example('{"nodes": [{"id": {}}], "links": []}', None)
@example('{"nodes": null, "elements": 3}', None)
@example("graph [ directed 1 node 3 ]", None)
@example("<graphml><graph edgedefault='directed'><edge/></graph></graphml>", None)
@example("1. a --> b", "causal-learn")
@example("Graph Edges:\n1. --> b", None)
@example("~", "lavaan")
@example("dagify(", None)
@example("dagify(y ~ x", None)
@example("[|]", "bnlearn")
@example("\x00", None)
def test_signs_in_any_order_are_read_or_refused_in_one_sentence(text, format):
    found = outcome(text, format)
    if isinstance(found, CausalGraph) and not re.search(
        r"[\"'`<]|\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|>[^\]]*\]", text
    ):
        for name in found.nodes:
            assert not set(name) & set(BEFORE + "\u200b\x00"), (text, name)


@tries(400)
@given(data=st.data())
def test_a_text_that_was_bent_is_read_or_refused_in_one_sentence(data):
    name = data.draw(st.sampled_from([name for name in WRITERS if name != "networkx"]))
    nodes, edges, tied = data.draw(structures(hidden=name not in NO_TIES))
    text = WRITERS[name](data.draw, nodes, edges, tied)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        kind = data.draw(st.integers(0, 3))
        if kind == 0:
            text = text[:at] + data.draw(st.sampled_from(SIGNS)) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + data.draw(st.integers(1, 6)) :]
        elif kind == 2:
            text = text[:at]
        else:
            text = text[at:] + text[:at]
    outcome(text)


@pytest.mark.parametrize(
    "head", ["", "digraph {", "dag {", "graph LR\n", "y ~ ", "source,target\n", "[", "a -> b\n"]
)
@pytest.mark.parametrize(
    "piece",
    [
        '\\"',
        "-",
        "=",
        "(",
        "{",
        "a ",
        "a -> ",
        "-- ",
        "/* */",
        " \n",
        "a,",
        "c(",
        "[a]",
        "```\n",
        "---\n",
        "'",
    ],
)
def test_long_texts_are_read_or_refused_in_time(head, piece):
    outcome(head + piece * (40_000 // len(piece)))


def test_braces_in_braces_without_end_and_too_many_arrows_are_refused():
    assert "deep" in outcome("digraph " + "{" * 3000)
    assert "this is JSON" in outcome("[" * 100_000)
    many = ",".join(f"n{k}" for k in range(400))
    assert "more than 50,000 arrows" in outcome(f"{many} -> {many.replace('n', 'm')}")
    assert "more than 50,000 arrows" in outcome(f"dag {{ u [latent] u -> {{{many}}} }}")
    assert "characters" in outcome("a -> b;" * 100_000)
    long_cycle = "; ".join(f"n{k} -> n{(k + 1) % 8_000}" for k in range(8_000))
    assert "cycle" in outcome(long_cycle)
