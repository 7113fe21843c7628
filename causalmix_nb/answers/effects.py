"""Which domain deserves more: marginal returns of a fitted model as a table, each with its interval and its verdict.

Intervals and verdicts of a table hold together unless asked for one by one: they span the quantile of the largest of the rows' |t|,
which are drawn from their joint covariance (T. Hothorn, F. Bretz, P. Westfall, *Simultaneous inference in general parametric models*, 2008).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.estimate.model import LEVEL, Model
from causalmix_nb.estimate.nuisances import returns_table

if TYPE_CHECKING:
    import pandas as pd

TOGETHER, ALONE = "simultaneous", "each alone"  # what an interval of a table promises
SIMULATIONS = 20_000  # draws of the largest of several errors


def simultaneous_quantile(
    cov: np.ndarray, level: float, df: float = math.inf, random_state: int = 0
) -> float:
    """How many standard errors an interval must span for all of several estimates to be covered together.

    The quantile of the largest |t| among estimates with covariance ``cov`` (m, m), by simulation (seeded).

    >>> round(simultaneous_quantile(np.eye(5), 0.95), 1)  # 1.96 for each of them alone
    2.6
    """
    rng, sd = np.random.default_rng(random_state), np.sqrt(np.maximum(np.diag(cov), 0))
    known = sd > 0
    if not known.any():
        return 0.0
    value, vector = np.linalg.eigh(cov[np.ix_(known, known)] / np.outer(sd[known], sd[known]))
    draws = (rng.standard_normal((SIMULATIONS, len(value))) * np.sqrt(np.maximum(value, 0))) @ vector.T
    if math.isfinite(df):
        draws /= np.sqrt(rng.chisquare(df, SIMULATIONS) / df)[:, None]
    return float(np.quantile(np.abs(draws).max(1), level))


def effects_table(
    model: Model,
    state: Any = None,
    *,
    at: Any = None,
    level: float = LEVEL,
    simultaneous: bool = True,
    random_state: int = 0,
) -> pd.DataFrame:
    """Marginal return of every domain with its interval and what can be said of it.

    Parameters
    ----------
    state: the state to ask at; None as in :meth:`Model.predict`. at: the mixture to start from.
    simultaneous: let all intervals, and so all verdicts, hold together with probability ``level``; False: each on its own, so that
        in a table of many rows a false verdict is to be expected.

    Returns
    -------
    DataFrame indexed by domain: estimate, se, lower, upper (outcome units per unit of log share), interval ("simultaneous" or
    "each alone"), verdict; without the domains that no
    run has moved.
    """
    estimate, cov = model.returns(state, at)
    quantile = (
        simultaneous_quantile(cov, level, model.df, random_state) if simultaneous else model.quantile(level)
    )
    table = returns_table(estimate, cov, quantile, model.problem.moving_domains)
    return table.assign(interval=TOGETHER if simultaneous else ALONE, verdict=_verdicts(table, model))


def pairwise_contrasts(
    model: Model,
    state: Any = None,
    *,
    at: Any = None,
    level: float = LEVEL,
    simultaneous: bool = True,
    random_state: int = 0,
) -> pd.DataFrame:
    """Marginal return of one domain minus that of another, for every pair: which of the two deserves more?

    Returns
    -------
    DataFrame indexed by (more, less): estimate, se, lower, upper, interval, verdict; K (K - 1) / 2 rows.
    """
    import pandas as pd

    estimate, cov = model.returns(state, at)
    K = len(estimate)
    first, second = np.triu_indices(K, 1)
    C = np.eye(K)[first] - np.eye(K)[second]
    cov = C @ cov @ C.T
    quantile = (
        simultaneous_quantile(cov, level, model.df, random_state) if simultaneous else model.quantile(level)
    )
    table = returns_table(C @ estimate, cov, quantile, tuple(map(str, range(len(C)))))
    names = model.problem.moving_domains
    pairs = [(names[a], names[b]) for a, b in zip(first, second)]
    table.index = pd.MultiIndex.from_tuples(pairs, names=["more", "less"])
    return table.assign(interval=TOGETHER if simultaneous else ALONE, verdict=_verdicts(table, model))


def _verdicts(table: pd.DataFrame, model: Model) -> list[str]:
    if model.doubt:
        return ["cannot be sure"] * len(table)
    sign = model.sign
    lower, upper = (table["lower"], table["upper"]) if sign > 0 else (-table["upper"], -table["lower"])
    return [
        "better" if low > 0 else "worse" if high < 0 else "not distinguishable from no effect"
        for low, high in zip(lower, upper)
    ]
