"""Figures of what stands behind an answer: which mixtures were tried, what an audit found, what a hidden cause could do."""

from __future__ import annotations

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
def shares_tried(shares: pd.DataFrame, near: np.ndarray | None = None) -> Figure:
    """Which shares of each domain have been tried, and which of them at states like the one asked about?

    shares: run × domain. near: (n,) bool, the runs at like states, or None.
    """
    shown = np.linspace(0, len(shares) - 1, min(len(shares), SHOWN_RUNS)).round().astype(int)
    T = shares.to_numpy(dtype=float)[shown, :MOST]
    close = np.ones(len(T), dtype=bool) if near is None else near[shown]
    figure, axes = labelled_rows([short(name) for name in shares.columns[:MOST]], header=True)
    for k in range(T.shape[1]):
        height = k + 0.5 * ((np.arange(len(T)) * 0.618034) % 1 - 0.5)  # evenly spread, the same every time
        layers = [(close, "runs" if near is None else "runs at states like this one", BLUE, 0.8, 4)]
        layers = ([(~close, "runs at other states", INK, 0.35, 3)] if near is not None else []) + layers
        for rows, label, colour, alpha, size in layers:
            axes.plot(
                T[rows, k], height[rows], "o", color=colour, alpha=alpha, markersize=size, markeredgewidth=0,
                label=None if k else label,
            )  # fmt: skip
    legend_above(axes, 2)
    percent_axis(axes.xaxis)
    axes.set_xlabel("share of the training tokens")
    ranges = [
        f"{short(name)} {percent(column.min())} to {percent(column.max())}"
        for name, column in zip(shares.columns, T[close].T if close.any() else T.T)
    ]
    where = "" if near is None else " at states like this one"
    return with_alt(figure, f"Dots: shares that runs have tried{where}: {'; '.join(ranges)}.")


@inked
def hidden_cause(table: pd.DataFrame, robustness: float, outcome: str) -> Figure:
    """How strong would a hidden common cause have to be to explain an effect away?

    table: ``strength`` (part of the variance of mixture and of outcome that it explains, beyond the state), ``estimate``,
    ``lower``, ``upper`` of the effect that is left. robustness: strength at which nothing is left.
    """
    figure, axes = blank(3.2)
    x = table["strength"].to_numpy()
    axes.fill_between(
        x, table["lower"], table["upper"], color=BLUE, alpha=0.2, linewidth=0, label="95% interval"
    )
    axes.plot(x, table["estimate"], color=BLUE, label="effect that would be left")
    axes.axhline(0, color=INK, linewidth=1.2)
    axes.axvline(robustness, color=ORANGE, linestyle="--", label="explained away")
    axes.set_xlabel(
        "part of the variance of mixture and outcome that a hidden cause explains, beyond the state"
    )
    axes.set_ylabel(plain(f"effect on {axis_label(outcome)}"))
    percent_axis(axes.xaxis)
    legend_above(axes, 3)
    return with_alt(
        figure,
        f"Line with band: the effect on {short(outcome)} that a hidden common cause of growing strength would leave, from "
        f"{table['estimate'].iloc[0]:+.3g} without one to nothing at {percent(robustness)}.",
    )
