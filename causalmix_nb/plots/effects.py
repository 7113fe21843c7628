"""Figures of effects: how much a change of the mixture causes, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.plots.pictures import INK, LONGEST, clean, percent, short, unit
from causalmix_nb.plots.style import (
    BLUE,
    GREEN,
    MOST,
    ORANGE,
    axis_label,
    blank,
    inked,
    labelled_rows,
    legend_above,
    number,
    percent_axis,
    plain,
    ticks,
    with_alt,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@inked
def dose_response(
    frame: pd.DataFrame,
    domain: str,
    outcome: str,
    minimize: bool = False,
    baseline_share: float | None = None,
) -> Figure:
    """What outcome is expected as the share of one domain grows?

    Parameters
    ----------
    frame: mean, lower, upper in the outcome's units; the share in column ``share``, else the index.
    baseline_share: where the baseline stands, marked by a dashed line.
    """
    share = np.asarray(frame.get("share", frame.index), dtype=float)
    mean, lower, upper = (frame[name].to_numpy(dtype=float) for name in ("mean", "lower", "upper"))
    figure, axes = blank(3.4)
    axes.fill_between(share, lower, upper, color=BLUE, alpha=0.25, linewidth=0, label="95% interval")
    axes.plot(share, mean, color=BLUE, linewidth=2.2, label="expected")
    best = int(np.nanargmin(mean) if minimize else np.nanargmax(mean))
    axes.plot(share[best], mean[best], "o", color=ORANGE, markersize=7, label=f"best: {percent(share[best])}")
    if baseline_share is not None:
        axes.axvline(
            baseline_share,
            color=INK,
            linestyle="--",
            linewidth=1.2,
            label=f"baseline: {percent(baseline_share)}",
        )
    percent_axis(axes.xaxis)
    axes.set_xlabel(plain(f"share of {short(domain)}"))
    axes.set_ylabel(plain(axis_label(outcome, minimize)))
    axes.grid(True, color=INK, alpha=0.2, linewidth=0.7)
    legend_above(axes, 4)
    return with_alt(
        figure,
        f"Line with a 95% band: expected {short(outcome)} as the share of {short(domain)} goes from {percent(share[0])} to "
        f"{percent(share[-1])}; from {number(mean[0])} to {number(mean[-1])} {unit(outcome)}, best at "
        f"{percent(share[best])} with {number(mean[best])} ({number(lower[best])} to {number(upper[best])}).",
    )


@inked
def marginal_returns(frame: pd.DataFrame, outcome: str, minimize: bool = False) -> Figure:
    """What would more of each domain cause?

    frame: estimate, lower, upper, indexed by domain, in outcome units per unit of log share.
    """
    table = frame.iloc[np.argsort(-frame["estimate"].abs().to_numpy(), kind="stable")[:MOST]]
    table = table.loc[sorted(table.index, key=list(frame.index).index)] if table.index.is_unique else table
    figure, alt = _forest(table, "estimate", -1.0 if minimize else 1.0)
    better = "lower is better" if minimize else "higher is better"
    figure.axes[0].set_xlabel(
        plain(f"change of {short(outcome)} per unit of log share\n{_of_unit(outcome)}{better}")
    )
    return with_alt(figure, f"Dots with 95% intervals: what more of each domain causes. {alt}")


@inked
def effect(
    estimate: float, lower: float, upper: float, outcome: str, minimize: bool = False, label: str = "effect"
) -> Figure:
    """How large is one effect, and is it distinguishable from none? Numbers in the outcome's units."""
    import pandas as pd

    table = pd.DataFrame({"estimate": [estimate], "lower": [lower], "upper": [upper]}, index=[label])
    figure, alt = _forest(table, "estimate", -1.0 if minimize else 1.0)
    better = "lower is better" if minimize else "higher is better"
    figure.axes[0].set_xlabel(plain(f"change of {short(outcome)} ({_of_unit(outcome, '')}{better})"))
    return with_alt(figure, f"A dot with its interval. {alt}")


@inked
def comparison(table: pd.DataFrame, outcome: str, reference: str) -> Figure:
    """By how much is the reference better than each other method, when both are trained?

    table: difference (reference minus method, in the good direction), lower, upper, verdict, indexed by method.
    """
    others = table[[str(name) != reference for name in table.index]]
    numbers = others[["difference", "lower", "upper"]].astype(float)
    numbers.index = [f"{short(reference)} – {short(name, 18)}" for name in others.index]
    figure, alt = _forest(numbers, "difference", 1.0)
    figure.axes[0].set_xlabel(
        plain(f"advantage of {short(reference)} in {unit(outcome)} (right of 0 is better)")
    )
    words = [f"{short(name)}: {clean(word)}" for name, word in zip(others.index, others.get("verdict", []))]
    return with_alt(figure, f"Dots with 95% intervals: differences after training. {alt} {'; '.join(words)}.")


def _forest(table: pd.DataFrame, column: str, sign: float) -> tuple[Figure, str]:
    """Dots with intervals against 0, and the same in words; filled where the interval excludes 0."""
    numbers = table[[column, "lower", "upper"]].to_numpy(dtype=float)
    figure, axes = labelled_rows([short(name, LONGEST + 12) for name in table.index], header=True)
    axes.axvline(0, color=INK, linewidth=1.4)
    parts, kinds = [], set()
    for i, (name, (estimate, lower, upper)) in enumerate(zip(table.index, numbers)):
        sure = lower > 0 or upper < 0
        better = sign * estimate > 0
        colour = (GREEN if better else ORANGE) if sure else INK
        if np.isfinite([lower, upper]).all():
            axes.plot([lower, upper], [i, i], color=colour, linewidth=2.4, solid_capstyle="butt")
        verdict = ("better" if better else "worse") if sure else "not distinguishable from 0"
        axes.plot(
            estimate, i, "o" if not sure else "^" if better else "v", color=colour, markersize=7, markeredgewidth=1.6,
            markerfacecolor=colour if sure else "none", zorder=3, linestyle="none",
            label=None if verdict in kinds else verdict,
        )  # fmt: skip
        kinds.add(verdict)
        parts.append(f"{short(name, 60)} {estimate:+.3g} ({lower:+.3g} to {upper:+.3g}, {verdict})")
    finite = numbers[np.isfinite(numbers)]
    low, high = min(0.0, finite.min(initial=0)), max(0.0, finite.max(initial=0))
    room = 0.06 * ((high - low) or 1.0)
    axes.set_xlim(low - room, high + room)
    axes.xaxis.set_major_locator(ticks())
    legend_above(axes, 3)
    return figure, "; ".join(parts) + "."


def _of_unit(outcome: str, otherwise: str = "") -> str:
    return f"{unit(outcome)}, " if unit(outcome) != short(outcome) else otherwise
