"""Is an effect identified? Adjustment sets, bad controls and front-door sets of a causal graph, as pure functions.

Every function takes a networkx ``DiGraph`` without cycles in which nodes nobody recorded carry
``latent=True``, the treatment ``X`` as a frozen set of nodes, and one ``outcome``. Definitions, examples and
references stand in :mod:`causalmix_nb.graph.graph`, whose methods are the way in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any

import networkx as nx

from causalmix_nb.errors import GraphError
from causalmix_nb.graph.structure import question, recorded
from causalmix_nb.graph.text import joined, quoted

Treatment = frozenset[str]


def roles(graph: nx.DiGraph, treatment: str | None, outcomes: Collection[str]) -> dict[str, str]:
    """Recorded node -> "treatment", "outcome", "mediator", "covariate" (not caused by the treatment) or "other"."""
    caused = nx.descendants(graph, treatment) if treatment else set(graph)
    causes = set().union(*(nx.ancestors(graph, outcome) for outcome in outcomes))

    def role(name: str) -> str:
        if name == treatment or name in outcomes:
            return "treatment" if name == treatment else "outcome"
        if name not in caused:
            return "covariate"
        return "mediator" if treatment and name in causes else "other"

    return {name: role(name) for name in recorded(graph)}


def causal_nodes(graph: nx.DiGraph, X: Treatment, outcome: str) -> set[str]:
    """Nodes on the paths that carry the effect: the outcome is one of them, the treatment is not."""
    into, out_of = graph.copy(), without_outgoing(graph, X)
    into.remove_edges_from(list(graph.in_edges(X)))
    below: set[str] = set().union(*(nx.descendants(into, x) for x in X))
    return (below - X) & (nx.ancestors(out_of, outcome) | {outcome})


def noncausal(graph: nx.DiGraph, X: Treatment, outcome: str) -> tuple[set[str], nx.DiGraph]:
    """Nodes that no adjustment set may contain, and the graph in which one must separate treatment and outcome.

    That graph lacks the first arrow of every path that carries the effect (van der Zander, Liśkiewicz, Textor
    2014).
    """
    causal = causal_nodes(graph, X, outcome)
    forbidden = causal.union(*(nx.descendants(graph, node) for node in causal))
    rest = graph.copy()
    rest.remove_edges_from([(x, node) for x in X for node in causal if graph.has_edge(x, node)])
    return forbidden, rest


def adjusts(graph: nx.DiGraph, X: Treatment, outcome: str, given: Collection[str]) -> bool:
    """Whether ``given`` is an adjustment set."""
    if set(given) & (X | {outcome}):
        return False
    forbidden, rest = noncausal(graph, X, outcome)
    return not forbidden & set(given) and nx.is_d_separator(rest, set(X), {outcome}, set(given))


def adjustment(
    graph: nx.DiGraph,
    X: Treatment,
    outcome: str,
    include: Collection[str] = (),
    within: Collection[str] | None = None,
) -> frozenset[str] | None:
    """A minimal adjustment set that contains ``include`` and nothing outside ``within``, or None if there is no such set."""
    forbidden, rest = noncausal(graph, X, outcome)
    free = set(recorded(graph)) - forbidden - X - {outcome}
    if within is not None:
        free &= {*within, *include}
    if not set(include) <= free:
        return None
    found = nx.find_minimal_d_separator(rest, set(X), {outcome}, included=set(include), restricted=free)
    return None if found is None else frozenset(found)


def bad_controls(graph: nx.DiGraph, X: Treatment, outcome: str) -> dict[str, str]:
    """Node -> why it must not be added to the adjustment set (to any, where the effect has none)."""
    causal, (forbidden, rest) = causal_nodes(graph, X, outcome), noncausal(graph, X, outcome)
    found, effects, bad = adjustment(graph, X, outcome), nx.descendants(graph, outcome), {}
    path = f"lies on the path from {joined(sorted(X))} to {outcome}"
    loses = "conditioning on it removes part of the effect"
    for name in recorded(graph):
        if name in X or name == outcome:
            continue
        if name in causal:
            bad[name] = f"{path}: {loses}"
        elif name in forbidden and name in effects:
            bad[name] = (
                f"is caused by {outcome}: conditioning on it picks runs by their result and distorts the effect"
            )
        elif name in forbidden:
            mediator = next(node for node in graph if node in causal and name in nx.descendants(graph, node))
            bad[name] = f"is caused by {mediator}, which {path}: {loses}"
        elif found is not None and not nx.is_d_separator(rest, set(X), {outcome}, found | {name}):
            bad[name] = opened(graph, X, outcome, found | {name})
    return bad


def opened(graph: nx.DiGraph, X: Treatment, outcome: str, given: frozenset[str]) -> str:
    """What conditioning on ``given`` does to a path that is not the effect, in words."""
    route = _open_route(noncausal(graph, X, outcome)[1], X, outcome, given)
    return f"opens the path {route}: conditioning on it creates an association that is no effect"


def why_not(graph: nx.DiGraph, X: Treatment, outcome: str) -> str:
    """Why no adjustment set identifies the effect, and what to do next."""
    effect = f"no adjustment identifies the effect of {joined(sorted(X))} on {outcome}"
    if not causal_nodes(graph, X, outcome):
        back = [x for x in recorded(graph) if x in X & nx.descendants(graph, outcome)]
        because = f" ({outcome} causes {joined(back)})" if back else ""
        return f"{effect}: no arrow leads from the one to the other{because}, so the graph says it is zero; add or turn an arrow."
    culprits = _culprits(graph, X, outcome)
    if culprits:
        causes = ", and that of ".join(
            joined([quoted(node) for node in graph.successors(cause)]) for cause in culprits
        )
        effect += f", because the hidden common cause of {causes} leaves a path open"
        advice = "record that cause and make it a node, or drop the <-> if the mixture was drawn at random"
    else:
        effect += ", because a node that confounds one treatment is caused by another"
        advice = "ask for one treatment at a time"
    front = front_door(graph, X, outcome)
    if front:
        return f"{effect}; the front-door criterion does identify it, through {joined(sorted(front))}: %causalmix paths (or front_door()) estimates it."
    return f"{effect}; {advice}."


def _culprits(graph: nx.DiGraph, X: Treatment, outcome: str) -> list[Any]:
    """Hidden causes without which the effect would be identified, none of them superfluous; [] if that is not why."""
    removed = latent = [node for node, hidden in graph.nodes(data="latent") if hidden]

    def identified(without: list[Any]) -> bool:
        return adjustment(graph.subgraph(set(graph) - set(without)), X, outcome) is not None

    if not identified(removed):
        return []
    for cause in latent:
        fewer = [other for other in removed if other != cause]
        if identified(fewer):
            removed = fewer
    return removed


def front_door(graph: nx.DiGraph, X: Treatment, outcome: str) -> frozenset[str] | None:
    """A front-door set from which no single node can be left out, or None (Pearl 2009; Jeong et al. 2022)."""
    causes_only = without_outgoing(graph, X)
    M = [
        node
        for node in recorded(graph)
        if node not in X and node != outcome and nx.is_d_separator(causes_only, set(X), {node}, set())
    ]
    # The union of two sets without open back doors has none either, so pruning ends in the largest such set.
    while confounded := [m for m in M if not _closed(graph, [m], M, X, outcome)]:
        M = [m for m in M if m not in confounded]
    if not _intercepts(graph, M, X, outcome):
        return None
    causal = causal_nodes(graph, X, outcome)
    dropped = True
    while dropped:
        dropped = False
        for m in sorted(M, key=causal.__contains__):
            fewer = [other for other in M if other != m]
            if _intercepts(graph, fewer, X, outcome) and _closed(graph, fewer, fewer, X, outcome):
                M, dropped = fewer, True
    return frozenset(M)


def _closed(graph: nx.DiGraph, some: list[str], M: list[str], X: Treatment, outcome: str) -> bool:
    """Whether the treatment blocks every back-door path from ``some`` of the mediators M to the outcome."""
    return not some or nx.is_d_separator(without_outgoing(graph, M), set(some), {outcome}, set(X))


def _intercepts(graph: nx.DiGraph, M: list[str], X: Treatment, outcome: str) -> bool:
    rest = graph.subgraph(set(graph) - set(M))
    return not any(nx.has_path(rest, x, outcome) for x in X)


def without_outgoing(graph: nx.DiGraph, nodes: Collection[str]) -> nx.DiGraph:
    """The graph without the arrows that leave ``nodes``."""
    cut = graph.copy()
    cut.remove_edges_from(list(graph.out_edges(nodes)))
    return cut


def _open_route(graph: nx.DiGraph, X: Treatment, outcome: str, given: frozenset[str]) -> str:
    """The shortest route from treatment to outcome that conditioning on ``given`` leaves open, as text."""
    above = given.union(*(nx.ancestors(graph, node) for node in given))  # a collider among these is open
    queue: deque = deque(((x, None), None) for x in sorted(X))
    came: dict = {}
    while queue:
        state, before = queue.popleft()
        if state in came:
            continue
        came[state] = before
        node, into = state  # into: whether the last arrow points into the node; None at the treatment
        if node == outcome:
            route = [state]
            while came[route[-1]] is not None:
                route.append(came[route[-1]])
            return _route_text(route[::-1])
        arrows = [(m, True) for m in graph.successors(node)] + [(m, False) for m in graph.predecessors(node)]
        for step, forward in arrows:
            collider = into is True and not forward
            if into is None or (node in above if collider else node not in given):
                queue.append(((step, forward), state))
    return f"between {joined(sorted(X))} and {outcome}"


def _route_text(route: list[tuple[Any, bool | None]]) -> str:
    text, before = quoted(route[0][0]), route[0][0]
    for node, into in route[1:]:
        if not isinstance(node, tuple):  # a hidden cause is told by its arrow
            text += f" {'<->' if isinstance(before, tuple) else '->' if into else '<-'} {quoted(node)}"
        before = node
    return text


# -- answers in full, or why there is none ---------------------------------------------------------------------


def adjustment_set(
    graph: nx.DiGraph,
    X: Treatment,
    outcome: str,
    wanted: frozenset[str],
    within: Collection[str] | None = None,
) -> frozenset[str]:
    """A minimal adjustment set around what is conditioned on anyway; see :meth:`causalmix_nb.graph.graph.CausalGraph.adjustment_set`.

    Raises
    ------
    GraphError: nothing identifies the effect, or what is wanted spoils every adjustment set.
    """
    if wanted & (X | {outcome}):
        name = min(wanted & (X | {outcome}))
        raise GraphError(
            f"{name!r} is the treatment or the outcome and cannot be conditioned on; leave it out of include."
        )
    found = adjustment(graph, X, outcome)
    if found is None:
        raise GraphError(why_not(graph, X, outcome))
    preferred = None if within is None else adjustment(graph, X, outcome, wanted, within)
    if preferred is not None:
        return preferred
    extended = adjustment(graph, X, outcome, wanted) if wanted else found
    if extended is None:
        bad = bad_controls(graph, X, outcome)
        for name in sorted(wanted & bad.keys()):
            raise GraphError(f"{name!r} is a bad control: it {bad[name]}; leave it out of include.")
        opens = opened(graph, X, outcome, found | wanted)
        raise GraphError(
            f"{joined(sorted(wanted))} are bad controls together: conditioning on all of them {opens}; leave one out of include."
        )
    return extended


def front_door_set(graph: nx.DiGraph, X: Treatment, outcome: str) -> frozenset[str]:
    """A minimal front-door set. Raises GraphError: there is none."""
    found = front_door(graph, X, outcome)
    if found is None:
        raise GraphError(
            f"no front-door set for the effect of {joined(sorted(X))} on {outcome}: no recorded nodes carry the whole effect "
            "without being confounded themselves; try adjustment_set(), or record a mediator."
        )
    return found


def ends(graph: nx.DiGraph) -> tuple[str | None, list[str]]:
    """The treatment, and the outcomes: ``score``, or else the last effects of the mixture."""
    treatment = "mixture" if "mixture" in graph else None
    if "score" in graph:
        return treatment, ["score"]
    below = nx.descendants(graph, treatment) if treatment else set()
    return treatment, [name for name in recorded(graph) if name in below and not graph.out_degree(name)]


def caption(graph: nx.DiGraph, outcome: str | None = None) -> str:
    """What a graph says about the effect of the mixture, in one line."""
    treatment, outcomes = ends(graph)
    outcome = outcome or (outcomes[0] if outcomes else None)
    if treatment is None or outcome is None:
        missing = "mixture" if treatment is None else "score"
        return f"There is no node called {missing}; add one to see what to adjust for."
    try:
        X = question(treatment, outcome, recorded(graph))
        adjust = sorted(adjustment_set(graph, X, outcome, frozenset()))
    except GraphError as error:
        return str(error)[:1].upper() + str(error)[1:]
    bad = sorted(bad_controls(graph, X, outcome))
    first = f"Effect of {treatment} on {outcome}: " + (
        f"adjust for {joined(adjust)}" if adjust else "nothing to adjust for"
    )
    return first + (f"; do not condition on {joined(bad)}." if bad else "; no node is a bad control.")
