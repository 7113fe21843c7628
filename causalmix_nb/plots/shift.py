"""The figure of a pool-shift experiment: what could be won at each shift, and what each method won."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.plots.pictures import INK, short, unit
from causalmix_nb.plots.style import BLUE, GREEN, ORANGE, blank, inked, legend_above, plain, with_alt

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN = (("causalmix", BLUE, "o"), ("regmix", ORANGE, "s"), ("equal", INK, "D"), ("best found", GREEN, "|"))


@inked
def shift_gains(table: pd.DataFrame, outcome: str) -> Figure:
    """How far from the mixture that was best before does each method land, at every shift?

    table: one row per (shift, method): ``shift``, ``method``, ``gain`` over the mixture that was best before, ``half`` its interval.
    The upright stroke is the best found there.
    """
    names = list(dict.fromkeys(table["shift"]))
    figure, axes = blank(1.4 + 0.42 * len(names))
    parts = []
    for k, (method, colour, marker) in enumerate(SHOWN):
        rows = table[table["method"] == method].set_index("shift").reindex(names)
        axes.errorbar(
            rows["gain"], np.arange(len(names)) + 0.15 * (k - 1.5), xerr=rows["half"].fillna(0), fmt=marker, color=colour,
            label=method, markersize=14 if marker == "|" else 6, markeredgewidth=2 if marker == "|" else 1, elinewidth=1.2,
        )  # fmt: skip
        parts.append(
            f"{method} " + ", ".join(f"{name} {gain:+.3f}" for name, gain in rows["gain"].dropna().items())
        )
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(names)), [plain(short(name)) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel(f"better than the mixture that was best before, {plain(unit(outcome))}")
    axes.grid(True, axis="x", color=INK, alpha=0.2, linewidth=0.7)
    legend_above(axes, 4)
    return with_alt(
        figure, f"Gain over the mixture that was best before the change, by shift: {'; '.join(parts)}."
    )
