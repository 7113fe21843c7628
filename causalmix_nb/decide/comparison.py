"""Mixtures compared by training: paired seeds, differences with intervals, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.mixture import Mixture

if TYPE_CHECKING:
    import pandas as pd

RECOMMENDED = "causalmix"
OPEN = "not significant"  # the 95 % interval includes 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What training the recommended mixture and others side by side showed.

    table: one row per method: mean, se (of the mean over seeds), difference (recommendation minus method, in the good
        direction), lower, upper (95 % paired t interval), p, verdict.
    outcomes: method × seed, in the outcome's own units.
    mixtures: method -> mixture.
    """

    table: pd.DataFrame
    outcomes: pd.DataFrame
    mixtures: Mapping[str, Mixture]
    outcome: str
    minimize: bool
    n_seeds: int
    verdict: str
    predicted: tuple[float, float, float] | None = (
        None  # gain, lower, upper that the recommendation predicted
    )

    def __str__(self) -> str:
        return f"{self.verdict}\n{self.table.round(5).to_string()}"


def compare_outcomes(
    outcomes: pd.DataFrame,
    mixtures: Mapping[str, Mixture],
    outcome: str,
    minimize: bool,
    reference: str = RECOMMENDED,
    predicted: tuple[float, float, float] | None = None,
) -> Comparison:
    """Paired comparison of a method with all others.

    Parameters
    ----------
    outcomes: method × seed; a seed that failed for either of two methods is left out of their pair.
    reference: the row the others are compared with.

    The interval of a difference is Student's t over the paired differences (n_seeds - 1 degrees of freedom).
    """
    import pandas as pd
    from scipy import stats

    sign = -1.0 if minimize else 1.0
    rows = {}
    for method, values in outcomes.iterrows():
        finite = values.dropna()
        row = {"mean": finite.mean(), "se": finite.std(ddof=1) / np.sqrt(len(finite))}
        if method != reference:
            pairs = (sign * (outcomes.loc[reference] - values)).dropna()
            mean, se = pairs.mean(), pairs.std(ddof=1) / np.sqrt(len(pairs))
            half = stats.t.ppf(0.975, len(pairs) - 1) * se
            row |= {"difference": mean, "lower": mean - half, "upper": mean + half}
            row["p"] = 2 * stats.t.sf(abs(mean / se), len(pairs) - 1) if se > 0 else float(mean == 0)
            row["verdict"] = "better" if mean > half else "worse" if mean < -half else OPEN
        rows[method] = row
    table = pd.DataFrame(rows).T
    numeric = [column for column in table if column != "verdict"]
    table[numeric] = table[numeric].astype(float)
    return Comparison(
        table, outcomes, dict(mixtures), outcome, minimize, outcomes.shape[1], _verdict(table, reference, outcomes.shape[1]), predicted
    )  # fmt: skip


def _verdict(table: pd.DataFrame, reference: str, n_seeds: int) -> str:
    others = table.drop(index=reference)
    by_verdict = {
        verdict: [str(name) for name in others.index[others["verdict"] == verdict]]
        for verdict in ("better", "worse", OPEN)
    }
    parts = []
    if by_verdict["better"]:
        parts.append(f"better than {', '.join(by_verdict['better'])}")
    if by_verdict["worse"]:
        parts.append(f"worse than {', '.join(by_verdict['worse'])}")
    if by_verdict[OPEN]:
        parts.append(f"not significant against {', '.join(by_verdict[OPEN])}: the 95 % interval includes 0")
    return f"The recommended mixture, trained with {n_seeds} paired seeds: {'; '.join(parts)}."
