"""What a causal graph claims about data, and whether runs contradict it.

A graph that lacks an arrow claims that two variables are independent once the right ones are held fixed
(:class:`Independence`). :func:`check` holds such claims against a table of runs by linear regression: the
partial correlation where both sides are one column, Wilks' lambda of the canonical correlations where a side
has several (a mixture is K - 1 log-ratios), Holm's correction over all of them.

References: S. S. Wilks, *Certain generalizations in the analysis of variance*, 1932; C. R. Rao, *An
    asymptotic expansion of the distribution of Wilks' criterion*, 1951; S. Holm, *A simple sequentially
    rejective multiple test procedure*, 1979.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from causalmix_nb.runs import Runs


@dataclass(frozen=True, slots=True)
class Independence:
    """A claim of the graph about data: ``a`` and ``b`` are independent given ``given``."""

    a: str
    b: str
    given: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.a} ⟂ {self.b}" + (f" given {', '.join(sorted(self.given))}" if self.given else "")


def check(
    claims: Sequence[Independence],
    columns: Mapping[str, Sequence[str]],
    frame: pd.DataFrame,
    level: float = 0.05,
) -> pd.DataFrame:
    """Test claims of independence on a table of runs; see :meth:`causalmix_nb.graph.CausalGraph.test`.

    Parameters
    ----------
    claims, columns: what to test; node -> its columns in ``frame``.
    frame: one row per run; rows that lack a column of a test are left out of it.
    level: chance of contradicting any true claim.

    Returns
    -------
    DataFrame, one row per claim, as :meth:`causalmix_nb.graph.CausalGraph.test` describes it.
    """
    import numpy as np
    import pandas as pd

    names = ["a", "b", "given", "estimate", "lower", "upper", "statistic", "p", "p_holm", "n_runs", "verdict"]
    rows = [
        {
            "a": claim.a,
            "b": claim.b,
            "given": ", ".join(sorted(claim.given)),
            **_dependence(claim, columns, frame, level),
        }
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
    import numpy as np

    from causalmix_nb.mixture import ilr

    values = frame[columns].to_numpy(dtype=float)
    if len(columns) > 1 and all(name.startswith("mixture.") for name in columns):
        values = ilr(values)
    values = values - values.mean(axis=0)
    length = np.linalg.norm(values, axis=0)
    return values[:, length > 1e-12] / length[length > 1e-12]


def _dependence(
    claim: Independence, columns: Mapping[str, Sequence[str]], frame: pd.DataFrame, level: float
) -> dict[str, Any]:
    """One row of :meth:`CausalGraph.test`, without Holm's correction."""
    import numpy as np
    from scipy import stats

    row: dict[str, Any] = dict.fromkeys(("estimate", "lower", "upper", "statistic", "p", "p_holm"), np.nan)
    sets = [
        list(columns[claim.a]),
        list(columns[claim.b]),
        [c for name in sorted(claim.given) for c in columns[name]],
    ]
    row |= {"n_runs": 0, "verdict": ""}
    if shared := [c for s, t in itertools.combinations(sets, 2) for c in s if c in t]:
        return row | {"verdict": f"not tested: two of the nodes share the column {shared[0]}"}
    frame = frame[[c for s in sets for c in s]].dropna().drop_duplicates()
    row["n_runs"] = n = len(frame)
    if not n:
        return row | {"verdict": "not tested: no run has all the columns"}
    given = _basis(
        np.hstack([_matrix(list(columns[name]), frame) for name in sorted(claim.given)] or [np.zeros((n, 0))])
    )
    A, B = (_basis(M - given @ (given.T @ M)) for M in (_matrix(sets[0], frame), _matrix(sets[1], frame)))
    p, q, left = A.shape[1], B.shape[1], n - 1 - given.shape[1]
    if not p or not q:
        return row | {
            "verdict": f"not tested: {claim.b if p else claim.a} does not vary beyond what is conditioned on"
        }
    if left - p - q < 1:
        return row | {"verdict": f"not tested: {n} runs are too few for {p + q + n - left} columns"}
    correlations = np.linalg.svd(A.T @ B, compute_uv=False).clip(max=1 - 1e-15)
    row["estimate"] = float(correlations[0])
    if len(sets[0]) == len(sets[1]) == 1:  # a sign and an interval (Fisher's z)
        signed = [_matrix(s, frame) for s in sets[:2]]
        a, b = (M - given @ (given.T @ M) for M in signed)
        row["estimate"] = float(np.sign((a.T @ b).item()) * correlations[0])
        reach = stats.norm.isf(level / 2) / np.sqrt(left - 2) if left > 2 else np.inf
        row["lower"], row["upper"] = np.tanh(np.arctanh(row["estimate"]) + np.array([-reach, reach])).tolist()
    # Rao's F for Wilks' lambda; exact when p or q is 1 or 2.
    root = np.sqrt((p * p * q * q - 4) / (p * p + q * q - 5)) if p * p + q * q > 5 else 1.0
    df2 = (left - (p + q + 1) / 2) * root - (p * q - 2) / 2
    log_lambda = float(np.log1p(-(correlations**2)).sum())
    row["statistic"] = float(np.expm1(-log_lambda / root) * df2 / (p * q))
    row["p"] = float(stats.f.sf(row["statistic"], p * q, df2))
    return row


def _basis(M: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span those of ``M`` (unit length before conditioning), shape (n, rank)."""
    import numpy as np

    left, sizes, _ = np.linalg.svd(M, full_matrices=False)
    return left[:, sizes > 1e-7]


def _holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number (Holm 1979)."""
    import numpy as np

    order = np.argsort(p, kind="stable")
    corrected = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]).clip(max=1)
    return corrected[np.argsort(order, kind="stable")]
