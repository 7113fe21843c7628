"""What would mend a graph that the runs contradict: arrows that are missing, and arrows that the data do not show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx

from causalmix_nb.graph.independence import (
    Independence,
    Look,
    are_shares,
    claims_on,
    implied,
    looker,
    recorded_columns,
    table_of,
    tied,
)
from causalmix_nb.graph.structure import hide
from causalmix_nb.graph.text import Pair, quoted

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.runs.store import Runs


def suspects(
    graph: nx.DiGraph,
    arrows: Sequence[Pair],
    runs: Runs,
    level: float = 0.05,
    method: str = "linear",
    random_state: int = 0,
) -> pd.DataFrame:
    """Point out the arrows most at odds with the data: those that are missing, and those that the data do not show.

    For every pair whose independence the runs contradict, each single addition that would remove the contradiction: an
    arrow in a direction that makes no cycle, or a hidden common cause. The data do not tell these apart unless they
    resolve different numbers of contradictions; what came first in time does. For every arrow that is there, whether the
    two depend on each other once the effect's other causes are held fixed.

    Parameters
    ----------
    graph, arrows: as networkx sees it, and its arrows in the order in which they are told.
    runs, level, method, random_state: as in :meth:`causalmix_nb.graph.graph.CausalGraph.test`.

    Returns
    -------
    DataFrame, one row per suspicion: kind (``missing arrow``, ``arrow not visible`` or ``cannot tell``), arrow (as text;
    to add, or as it stands), resolves (contradictions that the addition removes), remain (contradictions after it),
    estimate, lower, upper, p, n_runs (of the test of the pair), words. Missing arrows come first, those that
    resolve most on top. ``attrs``: ``contradictions`` (number), ``level``, ``skipped`` (nodes without columns).

    Raises
    ------
    GraphError: a method that there is not, or a level outside (0, 1).
    """
    import pandas as pd

    columns, frame = recorded_columns(graph, runs)
    seen = [name for name, found in columns.items() if found]
    claims, graph = claims_on(graph, columns), tied(graph, columns)
    look = looker(max(len(claims), 1), columns, frame, level, method, random_state)
    wrong = _contradicted(claims, look, level)
    rows = [row for claim in wrong for row in _additions(graph, claim, wrong, seen, look, level)]
    rows.sort(key=lambda row: (-row["resolves"], row["p"]))
    rows += _arrows_between_shares(arrows, columns)
    other = [pair for pair in arrows if not all(are_shares(columns.get(name, ())) for name in pair)]
    rows += _unseen_arrows(graph, other, seen, look, level)
    names = ["kind", "arrow", "resolves", "remain", "estimate", "lower", "upper", "p", "n_runs", "words"]
    table = pd.DataFrame(rows, columns=names).astype({"resolves": "Int64", "remain": "Int64"})
    table.attrs |= {
        "contradictions": len(wrong),
        "level": level,
        "skipped": [name for name, found in columns.items() if not found],
    }
    return table


def _contradicted(claims: Sequence[Independence], look: Look, level: float) -> list[Independence]:
    verdicts = table_of(claims, look, level)["verdict"]
    return [claim for claim, verdict in zip(claims, verdicts) if verdict == "contradicts the graph"]


def _additions(
    graph: nx.DiGraph,
    claim: Independence,
    wrong: Sequence[Independence],
    seen: list[str],
    look: Look,
    level: float,
) -> list[dict[str, Any]]:
    """Rows of :func:`suspects` for one contradicted claim."""
    a, b, rows, found = claim.a, claim.b, [], look(claim)
    pairs = {frozenset((c.a, c.b)) for c in wrong}
    for sign, x, y in (("->", a, b), ("->", b, a), ("<->", a, b)):
        mended = graph.copy()
        if sign == "->":
            mended.add_edge(x, y)
        else:
            hide(mended, x, y)
        if not nx.is_directed_acyclic_graph(mended):
            continue
        after = {frozenset((c.a, c.b)) for c in _contradicted(implied(mended, seen), look, level)}
        arrow, resolves = f"{quoted(x)} {sign} {quoted(y)}", len(pairs - after)
        more = f" and {resolves - 1} more" if resolves > 1 else ""
        rows.append(
            _row("missing arrow", arrow, found)
            | {
                "resolves": resolves,
                "remain": len(after),
                "words": f"the graph claims {claim}, the data say otherwise ({_strength(found)}): "
                f"{arrow} would remove this contradiction{more}",
            }
        )
    return rows


def _unseen_arrows(
    graph: nx.DiGraph, arrows: Sequence[Pair], seen: list[str], look: Look, level: float
) -> list[dict[str, Any]]:
    """Rows of :func:`suspects` for arrows that the data do not show, and for those that no test could show."""
    faint, untold = [], []
    for a, b in arrows:
        arrow = f"{quoted(a)} -> {quoted(b)}"
        if a not in seen or b not in seen:
            continue
        without = graph.copy()
        without.remove_edge(a, b)
        parents = {node for node in without.predecessors(b) if node in seen}
        if not nx.is_d_separator(without, {a}, {b}, parents):
            parents = nx.find_minimal_d_separator(without, {a}, {b}, restricted=set(seen) - {a, b})
        if parents is None:
            why = "something that was not recorded connects the two as well, so their dependence is not the arrow's alone"
            untold.append(
                _row("cannot tell", arrow, {}) | {"words": f"cannot tell whether {arrow} is there: {why}"}
            )
            continue
        claim = Independence(a, b, frozenset(parents))
        found = look(claim)
        if found["verdict"]:
            why = found["verdict"].removeprefix("not tested: ")
            untold.append(
                _row("cannot tell", arrow, found) | {"words": f"cannot tell whether {arrow} is there: {why}"}
            )
        elif found["p"] >= level:
            given = f" given {', '.join(sorted(parents))}" if parents else ""
            words = f"the arrow {arrow} is not visible in the data{given} ({_strength(found)}); it may be there and be weak"
            faint.append(_row("arrow not visible", arrow, found) | {"words": words})
    return sorted(faint, key=lambda row: -row["p"]) + untold


def _arrows_between_shares(
    arrows: Sequence[Pair], columns: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Rows of :func:`suspects` for arrows from one share to another."""
    return [
        _row("cannot tell", arrow := f"{quoted(a)} -> {quoted(b)}", {})
        | {
            "words": f"cannot tell whether {arrow} is there: shares sum to 1, so more of one is less of the others anyway; what decided "
            "both, such as a state or a person, is a node that causes them"
        }
        for a, b in arrows
        if are_shares(columns.get(a, ())) and are_shares(columns.get(b, ()))
    ]


def _row(kind: str, arrow: str, found: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: found.get(name, math.nan) for name in ("estimate", "lower", "upper", "p")}
    return {
        "kind": kind,
        "arrow": arrow,
        "resolves": None,
        "remain": None,
        "n_runs": found.get("n_runs", 0),
        **numbers,
    }


def _strength(found: Mapping[str, Any]) -> str:
    """How strong a dependence is, in words: with its interval, or why it has none."""
    p = f"p = {found['p']:.3f}" if found["p"] >= 0.001 else "p < 0.001"
    if math.isfinite(found["lower"]):
        return f"partial correlation {found['estimate']:+.2f}, interval {found['lower']:+.2f} to {found['upper']:+.2f}, {p}"
    return (
        f"strength {found['estimate']:.2f} on a scale from 0 to 1, no interval for a test of this kind, {p}"
    )
