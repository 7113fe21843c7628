"""How every figure of ours looks: its ink, colours and fonts, its axes, its alternative text.

A figure is a matplotlib ``Figure`` that no global state knows of, with transparent ground and ink of a grey that reads on white and on dark
pages. As SVG (:func:`causalmix_nb.plots.pictures.to_svg`, which a notebook shows) the ink is the colour of the page's own text.
``figure.alt`` says what the figure shows. Colours carry no meaning alone: shape or words say it again.

Colours: M. Okabe, K. Ito, *Color universal design*, 2008.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from causalmix_nb.plots.pictures import INK, clean, picture, short, to_svg, unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"  # neutral or first; worse; better
WIDTH, ROW = 6.4, 0.34  # inches: of a figure, and of a row in it
MOST = 30  # domains that are drawn
FONTS = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Microsoft YaHei",
    "Hiragino Sans",
)
SHOWN_RUNS = 150  # runs that are drawn one by one


def inked(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw with our ink and fonts, whatever the settings outside, and leave those as they were."""

    @functools.wraps(draw)
    def inked(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import rc_context, rcParamsDefault

        colours = ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color")
        settings: Any = {key: rcParamsDefault[key] for key in rcParamsDefault if key.startswith(_OURS)}
        settings |= {"font.size": 9.5, "font.family": list(_fonts()), **dict.fromkeys(colours, INK)}
        with rc_context(settings):
            return draw(*args, **kwargs)

    return inked


_OURS = ("axes.", "figure.", "font.", "grid.", "legend.", "lines.", "patch.", "text.", "xtick.", "ytick.")


@functools.cache
def _fonts() -> tuple[str, ...]:
    """Fonts that are installed, in the order in which they are asked for a letter."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return tuple(name for name in FONTS if name in installed) or ("sans-serif",)


@functools.cache
def figure_class() -> type[Figure]:
    from matplotlib.figure import Figure

    class Plot(Figure):
        """A figure with an alternative text, which a notebook shows as SVG."""

        alt = ""

        def draw(self, renderer: Any) -> None:
            with (
                warnings.catch_warnings()
            ):  # a name in a script that no font here has is drawn as boxes, silently
                warnings.filterwarnings("ignore", message=r"(?s)Glyph.*missing from")
                warnings.filterwarnings(
                    "ignore", message=r"(?s)Matplotlib currently does not support .* natively"
                )
                super().draw(renderer)

        def _repr_html_(self) -> str:
            return picture(to_svg(self))

    return Plot


def blank(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; height and width in inches."""
    figure = figure_class()(figsize=(width, height), layout="constrained", facecolor="none", edgecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3)
    return figure, axes


def labelled_rows(labels: Sequence[str], header: bool = False) -> tuple[Figure, Axes]:
    """Axes with one labelled row per name, the first on top; with room for a legend above."""
    figure, axes = blank(0.75 + 0.3 * header + ROW * max(len(labels), 1))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), [plain(label) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x", color=INK, alpha=0.2, linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def ticks() -> Any:
    """Where ticks stand: at most eight, at round numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(7, steps=[1, 2, 2.5, 5, 10])


def percent_axis(axis: Any) -> None:
    """Write the shares along an axis in per cent."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_locator(ticks())
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}%"))


def legend_above(axes: Axes, columns: int) -> None:
    """Bars first, above the axes, with the whole width of the figure."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: not hasattr(handles[i], "patches"))
    axes.figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="outside upper left", ncols=columns,
        frameon=False, fontsize=9, borderaxespad=0.2, handlelength=1.4, columnspacing=1.4,
    )  # fmt: skip


def axis_label(outcome: str, minimize: bool | None = None) -> str:
    """An outcome with its unit, and which way is better."""
    known = [unit(outcome)] if unit(outcome) != short(outcome) else []
    if minimize is not None:
        known.append("lower is better" if minimize else "higher is better")
    return short(outcome) + (f" ({', '.join(known)})" if known else "")


def number(value: float) -> str:
    """A number of four digits, or a dash."""
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def plain(text: str) -> str:
    """Text for matplotlib: a dollar sign is a dollar sign, not the beginning of a formula; no label starts with ``_``."""
    text = text.replace("$", r"\$")
    return "\u200b" + text if text.startswith("_") else text  # such legend labels would be left out


def with_alt(figure: Figure, alt: str) -> Figure:
    """The figure with its alternative text."""
    figure.alt = clean(alt)  # type: ignore[attr-defined]
    return figure
