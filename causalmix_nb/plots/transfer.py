"""The figure of transfer: what mixtures scored under one setting of the proxy against what they scored under another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.plots.pictures import INK, clean, short, unit
from causalmix_nb.plots.style import BLUE, ORANGE, blank, inked, plain, with_alt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@inked
def ranks_agree(
    first: np.ndarray, other: np.ndarray, settings: Sequence[str], outcome: str, minimize: bool, title: str
) -> Figure:
    """Does the order of mixtures under one setting hold under the other?

    first, other: (n,) outcomes of the same mixtures. settings: names of the two. said: the agreement in words, for the alt text.
    """
    figure, axes = blank(3.6, 4.6)
    best = [int((values if minimize else -values).argmin()) for values in (first, other)]
    axes.plot(first, other, "o", color=BLUE, markersize=6, linestyle="none")
    axes.plot(
        first[best[0]],
        other[best[0]],
        "s",
        color=ORANGE,
        markersize=9,
        markerfacecolor="none",
        linestyle="none",
    )
    axes.annotate(
        "best under the first", (first[best[0]], other[best[0]]), (6, 8), textcoords="offset points", fontsize=8.5, color=INK,
    )  # fmt: skip
    better = "lower" if minimize else "higher"
    axes.set_xlabel(plain(f"{short(settings[0])}: {unit(outcome)} ({better} is better)"))
    axes.set_ylabel(plain(short(settings[1])))
    same = "the same mixture is" if best[0] == best[1] else "different mixtures are"
    alt = f"{clean(outcome)} of {len(first)} mixtures under two settings of the proxy. {title}; {same} best under both."
    return with_alt(figure, alt)
