"""Three shares at a time: a triangle whose corners are three domains, coloured by the expected outcome.

The other shares stay as they are; the three divide what is left. The triangle is cut into small triangles, and one batched prediction
colours them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causalmix_nb.cards.typesetting import escape, number_text
from causalmix_nb.plots.pictures import short

SIDE = 16  # small triangles along an edge; SIDE² of them in all
TALL = 0.75**0.5  # height of a triangle of side 1
SIZE = 300.0  # pixels of an edge
MARGIN = 80.0  # beside it, for the names of the corners
BLUE, GREY = "#0072B2", "#777777"


@dataclass(frozen=True, slots=True, eq=False)
class Ternary:
    """A surface over three domains.

    domains: names of the corners: top, left, right. value (SIDE²,): expected outcome of every small triangle, in the order of :func:`cells`.
    covered (SIDE²,) bool: runs have been near. runs (n, 3): how the runs divided the three among each other; weight (n,): the part of
    each run that the three had. here (3,): the mixture as it stands. best: larger values are better.
    """

    domains: tuple[str, str, str]
    value: np.ndarray
    covered: np.ndarray
    runs: np.ndarray
    weight: np.ndarray
    here: np.ndarray
    minimize: bool

    @property
    def strength(self) -> np.ndarray:
        """Value of every small triangle from 0 (worst) to 1 (best), shape (SIDE²,)."""
        good = -self.value if self.minimize else self.value
        return (good - good.min()) / max(float(np.ptp(good)), 1e-300)

    def words(self) -> str:
        """What the triangle shows, for people who cannot see it."""
        worst, best = float(self.value[self.strength.argmin()]), float(self.value[self.strength.argmax()])
        centre = cells().mean(1)[int(self.strength.argmax())]
        names = [short(name) for name in self.domains]
        top = ", ".join(f"{name} {share:.0%}" for name, share in zip(names, centre))
        return (
            f"Of the part that {', '.join(names)} have together, the best division is near {top}: "
            f"{number_text(best)}, the worst gives {number_text(worst)}."
        )


def cells(side: int = SIDE) -> np.ndarray:
    """Corners of the small triangles in shares of the three domains, shape (side², 3 corners, 3 shares).

    >>> cells().shape, bool(np.allclose(cells().sum(2), 1))
    ((256, 3, 3), True)
    """
    found = []
    for i in range(side):
        for j in range(side - i):
            found.append([(i, j), (i + 1, j), (i, j + 1)])
            if j < side - i - 1:
                found.append([(i + 1, j), (i, j + 1), (i + 1, j + 1)])
    two = np.array(found) / side
    return np.concatenate([two, 1 - two.sum(2, keepdims=True)], axis=2)


def mixtures(T: np.ndarray, three: Sequence[int]) -> np.ndarray:
    """The mixtures in the middle of every small triangle: T (K,) with its three shares divided anew, shape (SIDE², K)."""
    rows = np.tile(T, (SIDE * SIDE, 1))
    rows[:, list(three)] = cells().mean(1) * T[list(three)].sum()
    return rows


def place(shares: np.ndarray) -> np.ndarray:
    """Where shares of the three lie on the page, (n, 3) -> (n, 2); the first domain is the top."""
    return np.stack([shares[:, 2] + shares[:, 0] / 2, TALL * (1 - shares[:, 0])], axis=1) * SIZE


def ternary_svg(ternary: Ternary) -> str:
    """The triangle as SVG without a script: cells stronger where better, grey where no run was near, runs as dots, the mixture as a ring."""
    body = []
    corners = place(cells().reshape(-1, 3)).reshape(-1, 3, 2)
    for points, strength, covered in zip(corners, ternary.strength, ternary.covered):
        at = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        fill = BLUE if covered else GREY
        body.append(f'<polygon points="{at}" fill="{fill}" fill-opacity="{0.06 + 0.8 * strength:.2f}"/>')
    outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in place(np.eye(3)))
    body.append(f'<polygon points="{outline}" fill="none" stroke="currentColor" stroke-opacity="0.5"/>')
    for (x, y), weight in zip(place(ternary.runs), ternary.weight):
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="currentColor" fill-opacity="{0.15 + 0.6 * weight:.2f}"/>'
        )
    ((x, y),) = place(ternary.here[None])
    body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="none" stroke="#D55E00" stroke-width="3.5"/>')
    for name, (x, y), anchor in zip(
        ternary.domains, ((0.5, -8), (0.0, TALL * SIZE + 18), (1.0, TALL * SIZE + 18)), ("middle",) * 3
    ):
        body.append(
            f'<text x="{x * SIZE:.1f}" y="{y:.1f}" font-size="12.5" text-anchor="{anchor}">{escape(short(name, 18))}</text>'
        )
    alt = escape(f"Triangle of three domains. {ternary.words()}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{alt}" width="{SIZE + 2 * MARGIN:.0f}" '
        f'height="{TALL * SIZE + 54:.0f}" viewBox="{-MARGIN:.0f} -26 {SIZE + 2 * MARGIN:.0f} {TALL * SIZE + 54:.0f}" '
        f'style="max-width:100%;height:auto" fill="currentColor" font-family="system-ui, sans-serif">'
        f"<title>{alt}</title>{''.join(body)}</svg>"
    )
