"""Figures of how well the outcome of unseen mixtures is predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.plots.pictures import INK, short
from causalmix_nb.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    SHOWN_RUNS,
    axis_label,
    blank,
    inked,
    labelled_rows,
    legend_above,
    plain,
    with_alt,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@inked
def predicted_vs_observed(predicted: Any, observed: Any, outcome: str) -> Figure:
    """Do predictions for unseen mixtures match what was observed? Both shape (n,), in the outcome's units."""
    from scipy.stats import spearmanr

    x, y = np.asarray(predicted, dtype=float), np.asarray(observed, dtype=float)
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    varies = len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
    rank = f"rank correlation {float(spearmanr(x, y).statistic):.2f}" if varies else "no rank correlation"
    figure, axes = blank(4.2, width=4.6)
    some = np.linspace(0, max(len(x) - 1, 0), min(len(x), 4 * SHOWN_RUNS)).round().astype(int)
    axes.plot(x[some], y[some], "o", color=BLUE, alpha=0.55, markersize=4.5, markeredgewidth=0)
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))] if len(x) else [0.0, 1.0]
    axes.plot(ends, ends, color=INK, linestyle="--", linewidth=1.2)
    axes.set_xlabel(plain(f"predicted {axis_label(outcome)}"))
    axes.set_ylabel(plain(f"observed {axis_label(outcome)}"))
    axes.set_title(f"{rank}, {len(x)} runs", fontsize=10, color=INK, loc="left")
    axes.grid(True, color=INK, alpha=0.2, linewidth=0.7)
    return with_alt(
        figure,
        f"Scatter of observed against predicted {short(outcome)} with the line of equality: {rank}, {len(x)} runs.",
    )


@inked
def subset_scores(table: pd.DataFrame) -> Figure:
    """How well do models with different covariates of the state rank runs that they have not seen?

    table: ``subset``, ``spearman``, ``se`` (of the difference to the best), ``chosen``; best first, at most 20 are drawn.
    """
    some = table.iloc[:20]
    figure, axes = labelled_rows([short(name, 40) for name in some["subset"]], header=True)
    for chosen, colour, label in ((False, INK, "tried"), (True, BLUE, "kept")):
        rows = np.flatnonzero(some["chosen"].to_numpy(dtype=bool) == chosen)
        values, se = some["spearman"].to_numpy()[rows], some["se"].to_numpy()[rows]
        axes.errorbar(
            values,
            rows,
            xerr=1.96 * se,
            fmt="s" if chosen else "o",
            color=colour,
            markersize=6,
            elinewidth=2,
            label=label,
        )
    axes.set_xlabel("rank correlation on left-out runs (95% interval of the difference to the best)")
    legend_above(axes, 2)
    kept = some.loc[some["chosen"].astype(bool), "subset"]
    parts = "; ".join(
        f"{short(name, 40)} {value:.3f}" for name, value in zip(some["subset"], some["spearman"])
    )
    return with_alt(
        figure,
        f"Dots: rank correlation by subset of covariates. {parts}. Kept: {', '.join(kept) or 'none drawn'}.",
    )


@inked
def learning_curves(table: pd.DataFrame, ceiling: float | None, chance: float) -> Figure:
    """How well do methods rank unseen mixtures, by the number of runs they learnt from?

    table: as in ``Leaderboard.table``. With one number of runs only: a row per method.
    """
    some = table[table["refused"] == ""]
    sizes = sorted(some["runs"].unique())
    last = some[some["runs"] == sizes[-1]]
    names = list(last["method"])
    parts = "; ".join(
        f"{row.method} {row.spearman:.3f}, regret {row.regret:.2f}" for row in last.itertuples()
    )
    if len(sizes) == 1:
        figure, axes = labelled_rows(names, header=True)
        axes.errorbar(
            last["spearman"], range(len(names)), xerr=1.96 * last["se"], fmt="o", color=BLUE, markersize=6, elinewidth=2,
            label="rank correlation on unseen runs (95% interval)",
        )  # fmt: skip
        if ceiling is not None:
            axes.axvline(ceiling, color=ORANGE, linestyle="--", label="noise ceiling")
        legend_above(axes, 2)
        axes.set_xlabel("rank correlation on unseen runs")
    else:
        figure, whole = blank(3.6)
        whole.remove()
        axes, other = figure.add_subplot(121, facecolor="none"), figure.add_subplot(122, facecolor="none")
        for one in (axes, other):
            one.spines[["top", "right"]].set_visible(False)
            one.set_xscale("log", base=2)
            one.set_xticks(sizes, [str(size) for size in sizes])
            one.minorticks_off()
            one.grid(True, axis="y", color=INK, alpha=0.2, linewidth=0.7)
            one.set_xlabel("runs")
        for i, name in enumerate(names):
            rows = some[some["method"] == name]
            style: dict[str, Any] = {
                "color": (BLUE, ORANGE, GREEN, INK)[i % 4], "marker": "os^Dv*XP"[i % 8], "markersize": 5,
                "linestyle": ("-", "--", ":")[i // 4 % 3], "linewidth": 1.5,
            }  # fmt: skip
            axes.errorbar(rows["runs"], rows["spearman"], yerr=rows["se"], label=short(name), **style)
            other.errorbar(rows["runs"], rows["regret"], yerr=rows["regret_se"], **style)
        if ceiling is not None:
            axes.axhline(ceiling, color=INK, linestyle="-.", linewidth=1, label="ceiling")
        other.axhline(chance, color=INK, linestyle=":", linewidth=1)
        shown = some[
            some["spearman"] > 0.5 * some["spearman"].max()
        ]  # what is far below would squash the others
        low = float((shown["spearman"] - shown["se"]).min())
        axes.set_ylim(low - 0.03, min(1.0, float((shown["spearman"] + shown["se"]).max())) + 0.01)
        axes.set_ylabel("rank correlation on unseen runs")
        other.set_ylabel("regret of its pick (standard deviations)")
        legend_above(axes, 5)
    return with_alt(figure, f"Methods by runs learnt from. With {sizes[-1]} runs: {parts}.")
