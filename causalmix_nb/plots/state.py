"""Figures of how effects depend on the state of the pool: a tree with the returns in its leaves, a heat map of changes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.plots.pictures import INK, percent, short
from causalmix_nb.plots.style import (
    BLUE,
    GREEN,
    MOST,
    ORANGE,
    ROW,
    WIDTH,
    axis_label,
    figure_class,
    inked,
    labelled_rows,
    legend_above,
    number,
    plain,
    with_alt,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = 8  # columns of the state in a heat map


@inked
def state_tree(tree: Any, leaves: pd.DataFrame, outcome: str, minimize: bool) -> Figure:
    """Which question about the state leads to which worth of the domains?

    tree: ``Split`` (column, threshold, yes, no) or the number of a leaf. leaves: as in ``Interpretation.leaves``.
    """
    domains = list(dict.fromkeys(leaves["domain"]))[:MOST]
    n = leaves["leaf"].nunique()
    levels = _depth(tree)
    above, below = 0.62 * levels + 0.1, 0.85 + ROW * len(domains)
    figure = figure_class()(
        figsize=(WIDTH, above + below), layout="constrained", facecolor="none", edgecolor="none"
    )
    grid = figure.add_gridspec(2 if levels else 1, n, height_ratios=[above, below][0 if levels else 1 :])
    shared, sign, parts = None, -1 if minimize else 1, []
    for leaf, rows in leaves.groupby("leaf", sort=True):
        axes = figure.add_subplot(grid[-1, leaf], sharex=shared, facecolor="none")
        shared = shared or axes
        rows = rows.iloc[: len(domains)]
        parts.append(_leaf(axes, rows, domains, sign, first=leaf == 0))
    if levels:
        _questions(figure.add_subplot(grid[0, :], facecolor="none"), tree, n)
    figure.supxlabel(
        plain(f"marginal return (per unit of log share), in {axis_label(outcome, minimize)}"), fontsize=9
    )
    return with_alt(figure, f"Tree with {n} {'leaves' if n > 1 else 'leaf'}. {' '.join(parts)}")


def _leaf(axes: Any, rows: pd.DataFrame, domains: list[str], sign: int, first: bool) -> str:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_ylim(len(domains) - 0.4, -0.6)
    axes.set_yticks(range(len(domains)), [plain(short(name)) for name in domains] if first else [])
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=INK, linewidth=1)
    axes.grid(True, axis="x", color=INK, alpha=0.2, linewidth=0.7)
    axes.locator_params(axis="x", nbins=4)
    axes.set_title(f"{percent(rows['part'].iloc[0])} of the states", fontsize=9)
    for i, row in enumerate(rows.itertuples()):
        sure = row.lower > 0 or row.upper < 0
        colour = (GREEN if sign * row.estimate > 0 else ORANGE) if sure else INK
        axes.plot([row.lower, row.upper], [i, i], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(
            row.estimate,
            i,
            "o",
            color=colour,
            markersize=5,
            markerfacecolor=colour if sure else "none",
            zorder=3,
        )
    values = "; ".join(
        f"{short(row.domain)} {row.estimate:+.3g} ({row.lower:+.3g} to {row.upper:+.3g})"
        for row in rows.itertuples()
    )
    return f"Where {rows['where'].iloc[0]}: {values}."


def _depth(tree: Any) -> int:
    return 0 if isinstance(tree, int) else 1 + max(_depth(tree.yes), _depth(tree.no))


def _questions(axes: Any, tree: Any, n: int) -> None:
    """The tree above its leaves: a question at each fork, yes to the left."""
    levels = _depth(tree)
    axes.set_axis_off()
    axes.set_xlim(0, n)
    axes.set_ylim(-0.05, levels + 0.35)

    def draw(node: Any, level: float) -> float:
        if isinstance(node, int):
            return node + 0.5
        at = [draw(child, level - 1) for child in (node.yes, node.no)]
        x = sum(at) / 2
        for child, end, word in ((node.yes, at[0], "yes"), (node.no, at[1], "no")):
            low = 0.0 if isinstance(child, int) else level - 1
            axes.plot([x, end, end], [level, level, low], color=INK, linewidth=1.2, zorder=1)
            axes.text(end, level - 0.43, f" {word}", fontsize=8.5, color=INK, ha="left", va="center")
        axes.text(
            x, level, plain(f"{short(node.column)} ≤ {node.threshold:.3g} ?"), ha="center", va="center", fontsize=9.5,
            color="#222222", bbox={"boxstyle": "round,pad=0.3", "facecolor": "#e8eef7", "edgecolor": BLUE}, zorder=3,
        )  # fmt: skip
        return x

    draw(tree, levels)


@inked
def change_heatmap(table: pd.DataFrame, domains: list[str], outcome: str, minimize: bool) -> Figure:
    """How does the worth of each domain change as a column of the state goes from low to high?

    table: as in ``Interpretation.table``. The columns with the clearest changes are drawn; a change that is not
    distinguishable from 0 stands in brackets without a colour.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    columns = list(dict.fromkeys(table["column"]))[:COLUMNS]
    domains = domains[:MOST]
    cells = table.set_index(["domain", "column"])
    largest = float(table["change"].abs().max()) or 1.0
    power = math.floor(math.log10(largest)) if not 0.01 <= largest < 1000 else 0
    powers = f" in units of 1e{power:+03d}," if power else ""
    figure, axes = labelled_rows([short(name) for name in domains])
    figure.set_figheight(figure.get_figheight() + 0.5)
    parts = []
    for j, column in enumerate(columns):
        for i, domain in enumerate(domains):
            row = cells.loc[(domain, column)]
            sure = row["change_lower"] > 0 or row["change_upper"] < 0
            better = row["change"] * (-1 if minimize else 1) > 0
            strength = 0.1 + 0.45 * min(1.0, abs(row["change"]) / largest)
            tint = 1 - strength * (1 - np.array(to_rgb(GREEN if better else ORANGE)))
            if sure:  # an opaque cell carries its own dark text, on any page
                axes.add_patch(Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, facecolor=tint, linewidth=0))
            text = f"{row['change'] / 10**power:+.2f}"
            axes.text(
                j, i, text if sure else f"({text})", ha="center", va="center", fontsize=8.5,
                color="#222222" if sure else INK,
            )  # fmt: skip
            if sure:
                parts.append(f"{short(domain)} by {short(column)} {row['change']:+.3g}")
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_xticks(range(len(columns)), [plain(_two_lines(name)) for name in columns])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel(
        plain(
            f"change of the marginal return,{powers} in {axis_label(outcome, minimize)},\nas the column rises from low to high; "
            "in brackets: not distinguishable from 0"
        ),
        fontsize=9,
    )
    return with_alt(
        figure,
        f"Table of domain by column of the state: change of the marginal return for {short(outcome)} from low to high. "
        + ("; ".join(parts) if parts else "No change is distinguishable from 0")
        + ".",
    )


def _two_lines(name: str) -> str:
    """A column of a domain, such as code.loss, over two lines."""
    head, dot, tail = str(name).rpartition(".")
    return f"{short(head, 14)}\n{short(tail, 14)}" if dot else short(name, 14)


@inked
def path_forest(table: pd.DataFrame, outcome: str, minimize: bool) -> Figure:
    """What does each path from the mixture to the outcome carry for each domain?

    table: ``domain``, ``path``, ``estimate``, ``lower``, ``upper``; the total over paths comes last.
    """
    domains = list(dict.fromkeys(table["domain"]))[:MOST]
    paths = list(dict.fromkeys(table["path"]))[:6]
    figure, axes = labelled_rows([short(name) for name in domains], header=True)
    figure.set_figheight(figure.get_figheight() + 0.12 * len(paths) * len(domains) + 0.2 * len(paths))
    axes.axvline(0, color=INK, linewidth=1.2)
    parts = []
    for p, path in enumerate(paths):
        rows = table[table["path"] == path].set_index("domain").loc[domains]
        height = np.arange(len(domains)) + 0.6 * ((p + 0.5) / len(paths) - 0.5)
        colour = (BLUE, ORANGE, GREEN)[p % 3] if p < len(paths) - 1 or len(paths) == 1 else INK
        axes.errorbar(
            rows["estimate"], height, xerr=[rows["estimate"] - rows["lower"], rows["upper"] - rows["estimate"]],
            fmt="os^Dv*"[p % 6], color=colour, markersize=5, elinewidth=2, label=plain(short(path, 60)),
        )  # fmt: skip
        parts.append(
            f"{short(path, 60)}: " + ", ".join(f"{short(d)} {e:+.3g}" for d, e in rows["estimate"].items())
        )
    legend_above(axes, 1)
    axes.set_xlabel(
        plain(f"what a unit of log share causes along the path, in {axis_label(outcome, minimize)}"),
        fontsize=9,
    )
    return with_alt(figure, f"Dots with 95% intervals, by domain and path. {'; '.join(parts)}.")


@inked
def state_heatmap(frame: pd.DataFrame) -> Figure:
    """How do the domains of the pool differ before mixing?

    frame: domain × covariate, each covariate in its own unit; the shade compares domains within a column.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    frame = frame.iloc[:MOST]
    values = frame.to_numpy(dtype=float)
    figure, axes = labelled_rows([short(name) for name in frame.index])
    figure.set_figheight(figure.get_figheight() + 0.1)
    for j, column in enumerate(values.T):
        low, high = (np.nanmin(column), np.nanmax(column)) if np.isfinite(column).any() else (0, 0)
        for i, value in enumerate(column):
            shade = (value - low) / (high - low) if high > low and np.isfinite(value) else 0.0
            # Opaque cells carry their own dark text, on any page.
            tint = 1 - (0.06 + 0.4 * shade) * (1 - np.array(to_rgb(BLUE)))
            axes.add_patch(Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, facecolor=tint, linewidth=0))
            axes.text(j, i, number(value), ha="center", va="center", fontsize=9, color="#222222")
    axes.set_xlim(-0.5, values.shape[1] - 0.5)
    axes.set_xticks(range(values.shape[1]), [plain(short(name, 16)) for name in frame.columns])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    parts = [
        f"{short(name)}: {', '.join(f'{short(column)} {number(value)}' for column, value in zip(frame.columns, row))}"
        for name, row in zip(frame.index, values)
    ]
    return with_alt(
        figure, f"Table shaded by column: state of the domains before mixing. {'; '.join(parts)}."
    )
