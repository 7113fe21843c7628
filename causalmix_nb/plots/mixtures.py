"""Figures about choosing a mixture: what one outcome costs another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.plots.figures import (
    BLUE,
    GREEN,
    ORANGE,
    _axis,
    _figure,
    _inked,
    _legend,
    _plain,
    _rows,
    _told,
)
from causalmix_nb.plots.pictures import INK, percent, short

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@_inked
def pareto_front(table: pd.DataFrame, outcomes: Mapping[str, bool], baseline: Mapping[str, float]) -> Figure:
    """What does more of one outcome cost in another?

    table: as in ``ParetoFront.table``. outcomes: name -> whether lower is better. baseline: outcome -> expectation.
    Two outcomes are drawn against each other with their intervals; more of them as rows, a dot per mixture.
    """
    names = list(outcomes)
    return _against(table, names, outcomes, baseline) if len(names) == 2 else _side_by_side(table, names)


def _against(
    table: pd.DataFrame, names: list[str], outcomes: Mapping[str, bool], baseline: Mapping[str, float]
) -> Figure:
    figure, axes = _figure(4.2, width=5.6)
    (x, y), order = names, np.argsort(table[names[0]].to_numpy(), kind="stable")
    values = {name: table[name].to_numpy()[order] for name in names}
    away = {
        name: np.abs(table[[f"{name}_lower", f"{name}_upper"]].to_numpy()[order].T - values[name])
        for name in names
    }
    axes.errorbar(
        values[x], values[y], xerr=away[x], yerr=away[y], fmt="none", ecolor=BLUE, alpha=0.35, elinewidth=1.2
    )
    axes.plot(
        values[x],
        values[y],
        "o-",
        color=BLUE,
        markersize=5,
        linewidth=1,
        label="best trade-offs (95% intervals)",
    )
    axes.plot(baseline[x], baseline[y], "X", color=ORANGE, markersize=9, label="baseline")
    for name, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        axis.set_label_text(_plain(_axis(name, outcomes[name])))
        axis.set_inverted(outcomes[name])  # better is always right and up
    axes.grid(True, color=INK, alpha=0.2, linewidth=0.7)
    _legend(axes, 2)
    ends = [f"{short(x)} {values[x][i]:.4g} with {short(y)} {values[y][i]:.4g}" for i in (0, len(order) - 1)]
    return _told(
        figure,
        f"{len(order)} mixtures that trade {short(x)} against {short(y)}, from {ends[0]} to {ends[1]}; baseline "
        f"{baseline[x]:.4g} and {baseline[y]:.4g}.",
    )


def _side_by_side(table: pd.DataFrame, names: list[str]) -> Figure:
    gains = table[[f"{name}_gain" for name in names]].to_numpy()
    figure, axes = _rows([short(name) for name in names], header=True)
    axes.axvline(0, color=INK, linewidth=1.4, label="baseline")
    spread = np.abs(gains).max(0)
    spread = np.where(spread > 0, spread, 1)
    for line in gains / spread:
        axes.plot(line, range(len(names)), "o-", color=BLUE, alpha=0.5, markersize=4, linewidth=0.8)
    axes.set_xlabel(
        _plain("gain over the baseline, in parts of the largest of that outcome (right is better)")
    )
    _legend(axes, 1)
    best = "; ".join(f"{short(name)} at best {gain:+.3g}" for name, gain in zip(names, gains.max(0)))
    both = percent(float((gains > 0).all(1).mean()))
    return _told(
        figure, f"Lines, one per mixture: gains in {len(names)} outcomes. {best}; {both} gain in all of them."
    )


@_inked
def subset_scores(table: pd.DataFrame) -> Figure:
    """How well do models with different covariates of the state rank runs that they have not seen?

    table: ``subset``, ``spearman``, ``se`` (of the difference to the best), ``chosen``; best first, at most 20 are drawn.
    """
    some = table.iloc[:20]
    figure, axes = _rows([short(name, 40) for name in some["subset"]], header=True)
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
    _legend(axes, 2)
    kept = some.loc[some["chosen"].astype(bool), "subset"]
    told = "; ".join(
        f"{short(name, 40)} {value:.3f}" for name, value in zip(some["subset"], some["spearman"])
    )
    return _told(
        figure,
        f"Dots: rank correlation by subset of covariates. {told}. Kept: {', '.join(kept) or 'none drawn'}.",
    )


@_inked
def learning_curves(table: pd.DataFrame, ceiling: float | None, chance: float) -> Figure:
    """How well do methods rank unseen mixtures, by the number of runs they learnt from?

    table: as in ``Leaderboard.table``. With one number of runs only: a row per method.
    """
    some = table[table["refused"] == ""]
    sizes = sorted(some["runs"].unique())
    last = some[some["runs"] == sizes[-1]]
    names = list(last["method"])
    told = "; ".join(f"{row.method} {row.spearman:.3f}, regret {row.regret:.2f}" for row in last.itertuples())
    if len(sizes) == 1:
        figure, axes = _rows(names, header=True)
        axes.errorbar(
            last["spearman"], range(len(names)), xerr=1.96 * last["se"], fmt="o", color=BLUE, markersize=6, elinewidth=2,
            label="rank correlation on unseen runs (95% interval)",
        )  # fmt: skip
        if ceiling is not None:
            axes.axvline(ceiling, color=ORANGE, linestyle="--", label="ceiling of the noise")
        _legend(axes, 2)
        axes.set_xlabel("rank correlation on unseen runs")
    else:
        figure, whole = _figure(3.6)
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
        _legend(axes, 5)
    return _told(figure, f"Methods by runs learnt from. With {sizes[-1]} runs: {told}.")
