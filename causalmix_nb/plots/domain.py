"""The figure of a domain never seen: what domains are worth, what their descriptions predict, and the new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.plots.pictures import INK, clean, short, unit
from causalmix_nb.plots.style import (
    BLUE,
    MOST,
    ORANGE,
    inked,
    labelled_rows,
    legend_above,
    plain,
    ticks,
    with_alt,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@inked
def price_forest(
    table: pd.DataFrame,
    price: tuple[float, float, float],
    outcome: str,
    minimize: bool = False,
    level: float = 0.95,
) -> Figure:
    """Is a new domain worth more than the average one, and do descriptions predict what the domains here are worth?

    table: by domain: estimate, lower, upper; predicted, predicted_lower, predicted_upper; agrees.
    price: estimate, lower, upper of the new domain. All in the outcome's units per unit of log share.
    """
    shown = table.iloc[:MOST]
    figure, axes = labelled_rows([*(short(name) for name in shown.index), "the new domain"], header=True)
    axes.axvline(0, color=INK, linewidth=1.4)
    last, parts = len(shown), []
    axes.axhline(last - 0.5, color=INK, linewidth=0.8)
    own = shown[["estimate", "lower", "upper"]].to_numpy(dtype=float)
    described = shown[["predicted", "predicted_lower", "predicted_upper"]].to_numpy(dtype=float)
    described = np.vstack([described, price])
    height = np.append(np.arange(last) + 0.18, last)
    for values, rows, colour, mark, label in (
        (own, np.arange(last) - 0.14, BLUE, "o", "measured in the runs"),
        (described, height, ORANGE, "D", "predicted from the description alone"),
    ):
        axes.hlines(rows, values[:, 1], values[:, 2], color=colour, linewidth=2.2)
        axes.plot(
            values[:, 0], rows, mark, color=colour, markersize=6, markeredgewidth=1.5, linestyle="none", label=label,
            markerfacecolor=colour if mark == "o" else "none",
        )  # fmt: skip
    axes.plot(price[0], last, "D", color=ORANGE, markersize=7, linestyle="none")
    axes.xaxis.set_major_locator(ticks())
    better = "left" if minimize else "right"
    axes.set_xlabel(
        plain(f"{unit(outcome)} per unit of log share, against the average domain ({better} is better)")
    )
    legend_above(axes, 2)
    for name, (a, low, high), (b, bottom, top), agrees in zip(shown.index, own, described, shown["agrees"]):
        parts.append(
            f"{clean(name)} {a:+.3g} ({low:+.3g} to {high:+.3g}), predicted {b:+.3g} ({bottom:+.3g} to {top:+.3g})"
            + ("" if agrees else ", which disagree")
        )
    return with_alt(
        figure,
        f"Dots with {level:.0%} intervals: marginal return of the domains for {short(outcome)} against the average one. "
        f"The new domain {price[0]:+.3g} ({price[1]:+.3g} to {price[2]:+.3g}). {'; '.join(parts)}.",
    )
