"""What a causal graph claims about data, whether runs contradict it, and which arrow would mend it.

A graph that lacks an arrow claims that two variables are independent once the right ones are held fixed
(:class:`Independence`). :func:`check` holds such claims against a table of runs, with Holm's correction over all
of them, by one of two tests:

- ``linear``: the partial correlation where both sides are one column, Wilks' lambda of the canonical correlations
  where a side has several (a mixture is K - 1 log-ratios). It sees linear dependence only.
- ``distance``: the distance correlation of what a smooth regression on the condition leaves of both sides
  (:mod:`causalmix_nb.graph.distance`). It sees dependence of any shape, and asks for more runs.

:func:`suspects` turns what was contradicted into proposals, and names arrows that the data do not show.

References: S. S. Wilks, *Certain generalizations in the analysis of variance*, 1932; C. R. Rao, *An
    asymptotic expansion of the distribution of Wilks' criterion*, 1951; S. Holm, *A simple sequentially
    rejective multiple test procedure*, 1979.
"""

from __future__ import annotations

import functools
import itertools
import math
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from causalmix_nb.errors import GraphError
from causalmix_nb.graph.distance import distance_test
from causalmix_nb.graph.structure import recorded

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.runs.store import Runs

METHODS = ("linear", "distance")
SIMPLEX = ("hidden", "shares sum to 1")  # the node that ties shares to each other
NOT_TESTABLE = "not testable"
MOST_RUNS = 2000  # runs that the distance test looks at: it compares all pairs of them

Look = Callable[["Independence"], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Independence:
    """A claim of the graph about data: ``a`` and ``b`` are independent given ``given``."""

    a: str
    b: str
    given: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.a} ⟂ {self.b}" + (f" given {', '.join(sorted(self.given))}" if self.given else "")


def implied(graph: nx.DiGraph, observed: Collection[str]) -> list[Independence]:
    """One independence for each pair of observed nodes that observed nodes separate."""
    seen = [
        node for node in nx.topological_sort(graph) if not graph.nodes[node]["latent"] and node in observed
    ]
    claims = []
    for a, b in itertools.combinations(seen, 2):
        if graph.has_edge(a, b):
            continue
        given = nx.find_minimal_d_separator(graph, {a}, {b}, restricted=set(seen) - {a, b})
        if given is not None:
            claims.append(Independence(a, b, frozenset(given)))
    return claims


def recorded_columns(graph: nx.DiGraph, runs: Runs) -> tuple[dict[str, list[str]], pd.DataFrame]:
    """Node -> its columns, and the finished runs, one a row."""
    frame = runs.frame
    finished = frame[frame["status"] == "done"] if "status" in frame else frame
    return {name: columns_of(name, runs) for name in recorded(graph)}, finished


def are_shares(columns: Sequence[str]) -> bool:
    """Whether a node stands for shares of the mixture and nothing else."""
    return bool(columns) and all(column.startswith("mixture.") for column in columns)


def tied(graph: nx.DiGraph, columns: Mapping[str, Sequence[str]]) -> nx.DiGraph:
    """The graph in which nodes that are shares depend on each other: they sum to 1, whatever the arrows say."""
    shares = [name for name, found in columns.items() if are_shares(found)]
    if len(shares) < 2:
        return graph
    together = graph.copy()
    together.add_node(SIMPLEX, latent=True)
    together.add_edges_from((SIMPLEX, name) for name in shares)
    return together


def claims_on(graph: nx.DiGraph, columns: Mapping[str, Sequence[str]]) -> list[Independence]:
    """What a graph claims about recorded nodes; of two shares also what no data could show."""
    seen = [name for name, found in columns.items() if found]
    untestable = [
        claim
        for claim in implied(graph, seen)
        if are_shares(columns[claim.a]) and are_shares(columns[claim.b])
    ]
    return implied(tied(graph, columns), seen) + untestable


def check_graph(
    graph: nx.DiGraph, runs: Runs, level: float = 0.05, method: str = "linear", random_state: int = 0
) -> pd.DataFrame:
    """Test all that a graph claims; see :meth:`causalmix_nb.graph.graph.CausalGraph.test`."""
    columns, frame = recorded_columns(graph, runs)
    claims = claims_on(graph, columns)
    table = check(claims, columns, frame, level, method, random_state)
    table.attrs["skipped"] = [name for name, found in columns.items() if not found]
    return table


def check(
    claims: Sequence[Independence],
    columns: Mapping[str, Sequence[str]],
    frame: pd.DataFrame,
    level: float = 0.05,
    method: str = "linear",
    random_state: int = 0,
) -> pd.DataFrame:
    """Test claims of independence on a table of runs; see :meth:`causalmix_nb.graph.graph.CausalGraph.test`.

    Parameters
    ----------
    claims, columns: what to test; node -> its columns in ``frame``.
    frame: one row per run; rows that lack a column of a test are left out of it.
    level: chance of contradicting any true claim.
    method: ``"linear"`` or ``"distance"``.
    random_state: seed of the permutations, and of the choice of 2000 runs where there are more; for ``"distance"``.

    Returns
    -------
    DataFrame, one row per claim, as :meth:`causalmix_nb.graph.graph.CausalGraph.test` describes it.

    Raises
    ------
    GraphError: a method that there is not, or a level outside (0, 1).
    """
    return table_of(claims, looker(len(claims), columns, frame, level, method, random_state), level)


def looker(
    n_claims: int,
    columns: Mapping[str, Sequence[str]],
    frame: pd.DataFrame,
    level: float,
    method: str,
    random_state: int,
) -> Look:
    """The test of one claim, which remembers the claims it has seen."""
    if method not in METHODS:
        raise GraphError(f"method is {method!r}; use 'linear' or 'distance'.")
    if not 0 < level < 1:
        raise GraphError(f"level is {level:g}; it must lie between 0 and 1, for example 0.05.")
    # Holm's smallest threshold is level / n_claims: so few permutations can never reach it.
    draws = max(199, math.ceil(2 * n_claims / level))

    @functools.cache
    def look(claim: Independence) -> dict[str, Any]:
        return _dependence(claim, columns, frame, level, draws if method == "distance" else 0, random_state)

    return look


def table_of(claims: Sequence[Independence], look: Look, level: float) -> pd.DataFrame:
    import pandas as pd

    names = ["a", "b", "given", "estimate", "lower", "upper", "statistic", "p", "p_holm", "n_runs", "verdict"]
    rows = [
        {"a": claim.a, "b": claim.b, "given": ", ".join(sorted(claim.given)), **look(claim)}
        for claim in claims
    ]
    table = pd.DataFrame(rows, columns=names)
    tested = table["p"].notna().to_numpy(dtype=bool)
    if tested.any():
        corrected = _holm(table.loc[tested, "p"].to_numpy(dtype=float))
        table.loc[tested, "p_holm"] = corrected
        table.loc[tested, "verdict"] = np.where(
            corrected < level, "contradicts the graph", "agrees with the graph"
        )
    table.attrs["level"] = level
    return table


def columns_of(node: str, runs: Runs) -> list[str]:
    """Columns of ``runs.frame`` that a node of a graph stands for; empty if the runs record none.

    ``mixture``, ``state`` and ``scale`` stand for all their columns, a domain for its share, an outcome, a
    state or a scale for itself, ``loss`` for every state called ``<domain>.loss``, and ``score`` for the
    first outcome where none has that name. A full column name such as ``state.math.loss`` is itself.
    """
    parts = {
        "mixture": list(runs.domains),
        "state": list(runs.state_names),
        "scale": list(getattr(runs, "scale_names", ())),
        "outcome": list(runs.outcome_names),
    }
    if node in ("mixture", "state", "scale"):
        return [f"{node}.{name}" for name in parts[node]]
    for part in ("outcome", "mixture", "state", "scale"):
        if node in parts[part]:
            return [f"{part}.{node}"]
    for part, names in parts.items():
        if node.startswith(f"{part}.") and node.removeprefix(f"{part}.") in names:
            return [node]
    if per_domain := [name for name in parts["state"] if name.endswith(f".{node}")]:
        return [f"state.{name}" for name in per_domain]
    return [f"outcome.{parts['outcome'][0]}"] if node == "score" and parts["outcome"] else []


def _matrix(columns: list[str], frame: pd.DataFrame) -> np.ndarray:
    """Columns of unit length around their mean, shape (n, c); a whole mixture becomes its K - 1 log-ratios."""
    from causalmix_nb.mixture import ilr

    values = frame[columns].to_numpy(dtype=float)
    if len(columns) > 1 and all(name.startswith("mixture.") for name in columns):
        values = ilr(values)
    values = values - values.mean(axis=0)
    length = np.linalg.norm(values, axis=0)
    return values[:, length > 1e-12] / length[length > 1e-12]


def _dependence(
    claim: Independence,
    columns: Mapping[str, Sequence[str]],
    frame: pd.DataFrame,
    level: float,
    draws: int,
    random_state: int,
) -> dict[str, Any]:
    """One row of :meth:`CausalGraph.test`, without Holm's correction; ``draws`` permutations, or 0 for the linear test."""
    row: dict[str, Any] = dict.fromkeys(("estimate", "lower", "upper", "statistic", "p", "p_holm"), np.nan)
    sets = [
        list(columns[claim.a]),
        list(columns[claim.b]),
        [c for name in sorted(claim.given) for c in columns[name]],
    ]
    row |= {"n_runs": 0, "verdict": ""}
    if shared := [c for s, t in itertools.combinations(sets, 2) for c in s if c in t]:
        return row | {"verdict": f"not tested: two of the nodes share the column {shared[0]}"}
    if are_shares(sets[0]) and are_shares(sets[1]):
        return row | {"verdict": f"{NOT_TESTABLE}: shares sum to 1"}
    frame = frame[[c for s in sets for c in s]].dropna().drop_duplicates()
    rng = np.random.default_rng([random_state, zlib.crc32(str(claim).encode())])  # whatever else is tested
    if draws and len(frame) > MOST_RUNS:
        frame = frame.iloc[np.sort(rng.permutation(len(frame))[:MOST_RUNS])]
    row["n_runs"] = n = len(frame)
    if not n:
        return row | {"verdict": "not tested: no run has all the columns"}
    given = np.hstack(
        [_matrix(list(columns[name]), frame) for name in sorted(claim.given)] or [np.zeros((n, 0))]
    )
    basis = _basis(given)
    A, B = _matrix(sets[0], frame), _matrix(sets[1], frame)
    p, q = (_basis(M - basis @ (basis.T @ M)).shape[1] for M in (A, B))
    left = n - 1 - basis.shape[1]
    if not p or not q:
        return row | {
            "verdict": f"not tested: {claim.b if p else claim.a} does not vary beyond what is conditioned on"
        }
    if left - p - q < 1:
        return row | {"verdict": f"not tested: {n} runs are too few for {p + q + n - left} columns"}
    if draws:
        return row | distance_test(A, B, given, draws, rng)
    return row | _linear(A, B, basis, level)


def _linear(A: np.ndarray, B: np.ndarray, given: np.ndarray, level: float) -> dict[str, float]:
    """Partial or canonical correlation of A (n, p) and B (n, q) given orthonormal columns, with its F test."""
    from scipy import stats

    left, found = len(A) - 1 - given.shape[1], {}
    residuals = [M - given @ (given.T @ M) for M in (A, B)]
    bases = [_basis(M) for M in residuals]
    p, q = (M.shape[1] for M in bases)
    correlations = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).clip(max=1 - 1e-15)
    found["estimate"] = float(correlations[0])
    if A.shape[1] == B.shape[1] == 1:  # a sign and an interval (Fisher's z)
        found["estimate"] *= float(np.sign((residuals[0].T @ residuals[1]).item()))
        reach = stats.norm.isf(level / 2) / np.sqrt(left - 2) if left > 2 else np.inf
        found["lower"], found["upper"] = np.tanh(
            np.arctanh(found["estimate"]) + np.array([-reach, reach])
        ).tolist()
    # Rao's F for Wilks' lambda; exact when p or q is 1 or 2.
    root = np.sqrt((p * p * q * q - 4) / (p * p + q * q - 5)) if p * p + q * q > 5 else 1.0
    df2 = (left - (p + q + 1) / 2) * root - (p * q - 2) / 2
    log_lambda = float(np.log1p(-(correlations**2)).sum())
    found["statistic"] = float(np.expm1(-log_lambda / root) * df2 / (p * q))
    found["p"] = float(stats.f.sf(found["statistic"], p * q, df2))
    return found


def _basis(M: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span those of ``M`` (unit length before conditioning), shape (n, rank)."""
    left, sizes, _ = np.linalg.svd(M, full_matrices=False)
    return left[:, sizes > 1e-7]


def _holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number (Holm 1979); statsmodels' own collects all garbage at every call."""
    order = np.argsort(p, kind="stable")
    corrected = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]).clip(max=1)
    return corrected[np.argsort(order, kind="stable")]
