"""Figures of mixtures: one beside another, those of the runs, those between two goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.plots.pictures import INK, percent, short
from causalmix_nb.plots.style import (
    BLUE,
    MOST,
    ORANGE,
    SHOWN_RUNS,
    axis_label,
    blank,
    inked,
    labelled_rows,
    legend_above,
    percent_axis,
    plain,
    with_alt,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@inked
def mixture_bars(
    mixture: pd.Series, baseline: pd.Series | None = None, names: Sequence[str] = ("recommended", "baseline")
) -> Figure:
    """Which share does each domain get, and did it have?

    Parameters
    ----------
    mixture: share of the training tokens, indexed by domain; drawn as bars.
    baseline: shares to compare with, drawn as upright strokes.
    names: what the two are called.
    """
    domains = list(mixture.index)
    shares = mixture.to_numpy(dtype=float)
    before = None if baseline is None else baseline.reindex(domains).fillna(0.0).to_numpy(dtype=float)
    rest = 0
    if len(domains) > MOST:
        kept = np.sort(np.argsort(-np.maximum(shares, 0 if before is None else before), kind="stable")[:MOST])
        rest = len(domains) - MOST
        domains, shares = [domains[k] for k in kept], shares[kept]
        before = before if before is None else before[kept]
    figure, axes = labelled_rows([short(name) for name in domains], header=before is not None)
    y = np.arange(len(domains))
    axes.barh(y, shares, height=0.62, color=BLUE, label=plain(short(names[0])))
    if before is not None:
        axes.vlines(before, y - 0.42, y + 0.42, color=ORANGE, linewidth=2.4, label=plain(short(names[1])))
        legend_above(axes, 2)
    widest = 1.12 * max(0.01, float(shares.max()), 0.0 if before is None else float(before.max()))
    for k, share in enumerate(shares):
        # beside its bar, or past the stroke where that would run through it
        covered = before is not None and share <= before[k] < share + 0.1 * widest
        end = before[k] if before is not None and covered else share
        axes.annotate(percent(share), (end, k), (6, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_xlim(0, widest)
    percent_axis(axes.xaxis)
    axes.set_xlabel("share of the training tokens" + (f" (and {rest} more domains)" if rest else ""))
    parts = [
        f"{short(name)} {percent(share)}"
        + ("" if before is None else f" ({short(names[1])} {percent(before[k])})")
        for k, (name, share) in enumerate(zip(domains, shares))
    ]
    return with_alt(figure, f"Bars: shares of the {short(names[0])} mixture. {'; '.join(parts)}.")


@inked
def runs_mixtures(shares: pd.DataFrame, outcome: pd.Series, name: str, minimize: bool = False) -> Figure:
    """Where on each domain's share do the best runs lie?

    shares: run × domain; outcome: one value per run; the best quarter is drawn in colour and larger.
    """
    y = outcome.to_numpy(dtype=float) * (-1 if minimize else 1)
    finite = np.flatnonzero(np.isfinite(y))
    finite = finite[np.linspace(0, len(finite) - 1, min(len(finite), SHOWN_RUNS)).round().astype(int)]
    T, y = shares.to_numpy(dtype=float)[finite, :MOST], y[finite]
    best = y >= np.quantile(y, 0.75) if len(y) else np.zeros(0, dtype=bool)
    figure, axes = labelled_rows([short(domain) for domain in shares.columns[:MOST]], header=True)
    for k in range(T.shape[1]):
        height = k + 0.5 * ((np.arange(len(T)) * 0.618034) % 1 - 0.5)  # evenly spread, the same every time
        for rows, label, colour, alpha, size in (
            (~best, "other runs", INK, 0.4, 3),
            (best, "best quarter", ORANGE, 1.0, 5),
        ):
            axes.plot(
                T[rows, k], height[rows], "o", color=colour, alpha=alpha, markersize=size, markeredgewidth=0,
                label=None if k else label,
            )  # fmt: skip
    legend_above(axes, 2)
    percent_axis(axes.xaxis)
    axes.set_xlabel(plain(f"share of the training tokens; {len(T)} runs by {axis_label(name, minimize)}"))
    means = T[best].mean(0) if best.any() else np.zeros(T.shape[1])
    parts = "; ".join(f"{short(domain)} {percent(share)}" for domain, share in zip(shares.columns, means))
    return with_alt(
        figure, f"Dots: shares of {len(T)} runs. Mean of the best quarter by {short(name)}: {parts}."
    )


@inked
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
    figure, axes = blank(4.2, width=5.6)
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
        axis.set_label_text(plain(axis_label(name, outcomes[name])))
        axis.set_inverted(outcomes[name])  # better is always right and up
    axes.grid(True, color=INK, alpha=0.2, linewidth=0.7)
    legend_above(axes, 2)
    ends = [f"{short(x)} {values[x][i]:.4g} with {short(y)} {values[y][i]:.4g}" for i in (0, len(order) - 1)]
    return with_alt(
        figure,
        f"{len(order)} mixtures that trade {short(x)} against {short(y)}, from {ends[0]} to {ends[1]}; baseline "
        f"{baseline[x]:.4g} and {baseline[y]:.4g}.",
    )


def _side_by_side(table: pd.DataFrame, names: list[str]) -> Figure:
    gains = table[[f"{name}_gain" for name in names]].to_numpy()
    figure, axes = labelled_rows([short(name) for name in names], header=True)
    axes.axvline(0, color=INK, linewidth=1.4, label="baseline")
    spread = np.abs(gains).max(0)
    spread = np.where(spread > 0, spread, 1)
    for line in gains / spread:
        axes.plot(line, range(len(names)), "o-", color=BLUE, alpha=0.5, markersize=4, linewidth=0.8)
    axes.set_xlabel(
        plain("gain over the baseline, in parts of the largest of that outcome (right is better)")
    )
    legend_above(axes, 1)
    best = "; ".join(f"{short(name)} at best {gain:+.3g}" for name, gain in zip(names, gains.max(0)))
    both = percent(float((gains > 0).all(1).mean()))
    return with_alt(
        figure, f"Lines, one per mixture: gains in {len(names)} outcomes. {best}; {both} gain in all of them."
    )
