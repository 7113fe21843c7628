"""What a fitted model says about the pool's state: what each domain is worth where a state column is low and where it is high."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.model import LEVEL, Model

if TYPE_CHECKING:
    import pandas as pd

LOW, HIGH = 0.1, 0.9  # quantiles over the runs


def interpret(model: Model, level: float = LEVEL, at: Any = None) -> pd.DataFrame:
    """Marginal return of every domain at the 10 % and the 90 % quantile of every state column, the others at their median.

    Parameters
    ----------
    model: a model fitted with state.
    at: mixture at which the returns are taken; None is the model's baseline, else Equal.

    Returns
    -------
    DataFrame with one row per (column, domain): ``low`` and ``high`` (marginal returns, outcome units per unit of log
    share), their intervals ``low_lower`` … ``high_upper``, and ``change`` = high - low, sorted by the size of the change.

    Raises
    ------
    FitError: a model that uses no state.
    """
    import pandas as pd

    problem = model.problem
    if not problem.state_names or model.method in ("law", "regmix"):
        raise FitError(
            f"the {model.method} model uses no state, so there is nothing to compare; fit one with state."
        )
    middle = pd.Series(np.median(problem.X, axis=0), index=list(problem.state_names))
    rows = []
    for j, name in enumerate(problem.state_names):
        ends = {}
        for end, quantile in (("low", LOW), ("high", HIGH)):
            state = middle.copy()
            state[name] = float(np.quantile(problem.X[:, j], quantile))
            ends[end] = model.marginal_return(state, at, level)
        for domain in model.domains:
            row: dict[str, Any] = {"column": name, "domain": domain}
            for end, table in ends.items():
                row |= {end: table.loc[domain, "estimate"], f"{end}_lower": table.loc[domain, "lower"]}
                row |= {f"{end}_upper": table.loc[domain, "upper"]}
            rows.append(row | {"change": row["high"] - row["low"]})
    table = pd.DataFrame(rows)
    order = table["change"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
