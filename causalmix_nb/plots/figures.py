"""Figures on plain data: one question each, axes with units, the interval drawn, and an alternative text.

Every function returns a matplotlib ``Figure`` that no global state knows of, with transparent ground and ink of a grey that
reads on white and on dark pages. As SVG (:func:`causalmix_nb.plots.pictures.to_svg`, which a notebook shows) the ink is the colour of the
page's own text. ``figure.alt`` says what the figure shows. Colours carry no meaning alone: shape or words say it again.

Colours: M. Okabe, K. Ito, *Color universal design*, 2008.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from causalmix_nb.plots.pictures import INK, LONGEST, clean, percent, picture, short, to_svg, unit

if TYPE_CHECKING:
    import pandas as pd
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


def _inked(draw: Callable[P, Figure]) -> Callable[P, Figure]:
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


# -- figures ---------------------------------------------------------------------------------------------


@_inked
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
    figure, axes = _rows([short(name) for name in domains], header=before is not None)
    y = np.arange(len(domains))
    axes.barh(y, shares, height=0.62, color=BLUE, label=_plain(short(names[0])))
    if before is not None:
        axes.vlines(before, y - 0.42, y + 0.42, color=ORANGE, linewidth=2.4, label=_plain(short(names[1])))
        _legend(axes, 2)
    widest = 1.12 * max(0.01, float(shares.max()), 0.0 if before is None else float(before.max()))
    for k, share in enumerate(shares):
        # beside its bar, or past the stroke where that would run through it
        covered = before is not None and share <= before[k] < share + 0.1 * widest
        end = before[k] if before is not None and covered else share
        axes.annotate(percent(share), (end, k), (6, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_xlim(0, widest)
    _percent(axes.xaxis)
    axes.set_xlabel("share of the training tokens" + (f" (and {rest} more domains)" if rest else ""))
    told = [
        f"{short(name)} {percent(share)}"
        + ("" if before is None else f" ({short(names[1])} {percent(before[k])})")
        for k, (name, share) in enumerate(zip(domains, shares))
    ]
    return _told(figure, f"Bars: shares of the {short(names[0])} mixture. {'; '.join(told)}.")


@_inked
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
    figure, axes = _figure(3.4)
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
    _percent(axes.xaxis)
    axes.set_xlabel(_plain(f"share of {short(domain)}"))
    axes.set_ylabel(_plain(_axis(outcome, minimize)))
    axes.grid(True, color=INK, alpha=0.2, linewidth=0.7)
    _legend(axes, 4)
    return _told(
        figure,
        f"Line with a 95% band: expected {short(outcome)} as the share of {short(domain)} goes from {percent(share[0])} to "
        f"{percent(share[-1])}; from {_number(mean[0])} to {_number(mean[-1])} {unit(outcome)}, best at "
        f"{percent(share[best])} with {_number(mean[best])} ({_number(lower[best])} to {_number(upper[best])}).",
    )


@_inked
def marginal_returns(frame: pd.DataFrame, outcome: str, minimize: bool = False) -> Figure:
    """What would more of each domain cause?

    frame: estimate, lower, upper, indexed by domain, in outcome units per unit of log share.
    """
    table = frame.iloc[np.argsort(-frame["estimate"].abs().to_numpy(), kind="stable")[:MOST]]
    table = table.loc[sorted(table.index, key=list(frame.index).index)] if table.index.is_unique else table
    figure, said = _forest(table, "estimate", -1.0 if minimize else 1.0)
    better = "lower is better" if minimize else "higher is better"
    figure.axes[0].set_xlabel(
        _plain(f"change of {short(outcome)} per unit of log share\n{_of_unit(outcome)}{better}")
    )
    return _told(figure, f"Dots with 95% intervals: what more of each domain causes. {said}")


@_inked
def effect(
    estimate: float, lower: float, upper: float, outcome: str, minimize: bool = False, label: str = "effect"
) -> Figure:
    """How large is one effect, and is it distinguishable from none? Numbers in the outcome's units."""
    import pandas as pd

    table = pd.DataFrame({"estimate": [estimate], "lower": [lower], "upper": [upper]}, index=[label])
    figure, said = _forest(table, "estimate", -1.0 if minimize else 1.0)
    better = "lower is better" if minimize else "higher is better"
    figure.axes[0].set_xlabel(_plain(f"change of {short(outcome)} ({_of_unit(outcome, '')}{better})"))
    return _told(figure, f"A dot with its interval. {said}")


@_inked
def comparison(table: pd.DataFrame, outcome: str, reference: str) -> Figure:
    """By how much is the reference better than each other method, when both are trained?

    table: difference (reference minus method, in the good direction), lower, upper, verdict, indexed by method.
    """
    others = table[[str(name) != reference for name in table.index]]
    numbers = others[["difference", "lower", "upper"]].astype(float)
    numbers.index = [f"{short(reference)} – {short(name, 18)}" for name in others.index]
    figure, said = _forest(numbers, "difference", 1.0)
    figure.axes[0].set_xlabel(
        _plain(f"advantage of {short(reference)} in {unit(outcome)} (right of 0 is better)")
    )
    words = [f"{short(name)}: {clean(word)}" for name, word in zip(others.index, others.get("verdict", []))]
    return _told(figure, f"Dots with 95% intervals: differences after training. {said} {'; '.join(words)}.")


@_inked
def predicted_vs_observed(predicted: Any, observed: Any, outcome: str) -> Figure:
    """Do predictions for unseen mixtures match what was observed? Both shape (n,), in the outcome's units."""
    from scipy.stats import spearmanr

    x, y = np.asarray(predicted, dtype=float), np.asarray(observed, dtype=float)
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    varies = len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
    rank = f"rank correlation {float(spearmanr(x, y).statistic):.2f}" if varies else "no rank correlation"
    figure, axes = _figure(4.2, width=4.6)
    some = np.linspace(0, max(len(x) - 1, 0), min(len(x), 4 * SHOWN_RUNS)).round().astype(int)
    axes.plot(x[some], y[some], "o", color=BLUE, alpha=0.55, markersize=4.5, markeredgewidth=0)
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))] if len(x) else [0.0, 1.0]
    axes.plot(ends, ends, color=INK, linestyle="--", linewidth=1.2)
    axes.set_xlabel(_plain(f"predicted {_axis(outcome)}"))
    axes.set_ylabel(_plain(f"observed {_axis(outcome)}"))
    axes.set_title(f"{rank}, {len(x)} runs", fontsize=10, color=INK, loc="left")
    axes.grid(True, color=INK, alpha=0.2, linewidth=0.7)
    return _told(
        figure,
        f"Scatter of observed against predicted {short(outcome)} with the line of equality: {rank}, {len(x)} runs.",
    )


@_inked
def state_heatmap(frame: pd.DataFrame) -> Figure:
    """How do the domains of the pool differ before mixing?

    frame: domain × covariate, each covariate in its own unit; the shade compares domains within a column.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    frame = frame.iloc[:MOST]
    values = frame.to_numpy(dtype=float)
    figure, axes = _rows([short(name) for name in frame.index])
    figure.set_figheight(figure.get_figheight() + 0.1)
    for j, column in enumerate(values.T):
        low, high = (np.nanmin(column), np.nanmax(column)) if np.isfinite(column).any() else (0, 0)
        for i, value in enumerate(column):
            shade = (value - low) / (high - low) if high > low and np.isfinite(value) else 0.0
            # Opaque cells carry their own dark text, on any page.
            tint = 1 - (0.06 + 0.4 * shade) * (1 - np.array(to_rgb(BLUE)))
            axes.add_patch(Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, facecolor=tint, linewidth=0))
            axes.text(j, i, _number(value), ha="center", va="center", fontsize=9, color="#222222")
    axes.set_xlim(-0.5, values.shape[1] - 0.5)
    axes.set_xticks(range(values.shape[1]), [_plain(short(name, 16)) for name in frame.columns])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    told = [
        f"{short(name)}: {', '.join(f'{short(column)} {_number(value)}' for column, value in zip(frame.columns, row))}"
        for name, row in zip(frame.index, values)
    ]
    return _told(figure, f"Table shaded by column: state of the domains before mixing. {'; '.join(told)}.")


@_inked
def runs_mixtures(shares: pd.DataFrame, outcome: pd.Series, name: str, minimize: bool = False) -> Figure:
    """Where on each domain's share do the best runs lie?

    shares: run × domain; outcome: one value per run; the best quarter is drawn in colour and larger.
    """
    y = outcome.to_numpy(dtype=float) * (-1 if minimize else 1)
    finite = np.flatnonzero(np.isfinite(y))
    finite = finite[np.linspace(0, len(finite) - 1, min(len(finite), SHOWN_RUNS)).round().astype(int)]
    T, y = shares.to_numpy(dtype=float)[finite, :MOST], y[finite]
    best = y >= np.quantile(y, 0.75) if len(y) else np.zeros(0, dtype=bool)
    figure, axes = _rows([short(domain) for domain in shares.columns[:MOST]], header=True)
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
    _legend(axes, 2)
    _percent(axes.xaxis)
    axes.set_xlabel(_plain(f"share of the training tokens; {len(T)} runs by {_axis(name, minimize)}"))
    means = T[best].mean(0) if best.any() else np.zeros(T.shape[1])
    told = "; ".join(f"{short(domain)} {percent(share)}" for domain, share in zip(shares.columns, means))
    return _told(figure, f"Dots: shares of {len(T)} runs. Mean of the best quarter by {short(name)}: {told}.")


# -- drawing ---------------------------------------------------------------------------------------------


@functools.cache
def _plot_class() -> type[Figure]:
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


def _figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = _plot_class()(figsize=(width, height), layout="constrained", facecolor="none", edgecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3)
    return figure, axes


def _rows(labels: Sequence[str], header: bool = False) -> tuple[Figure, Axes]:
    """Axes with one labelled row per name, the first on top; with room for a legend above."""
    figure, axes = _figure(0.75 + 0.3 * header + ROW * max(len(labels), 1))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), [_plain(label) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x", color=INK, alpha=0.2, linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def _forest(table: pd.DataFrame, column: str, sign: float) -> tuple[Figure, str]:
    """Dots with intervals against 0, and the same in words; filled where the interval excludes 0."""
    numbers = table[[column, "lower", "upper"]].to_numpy(dtype=float)
    figure, axes = _rows([short(name, LONGEST + 12) for name in table.index], header=True)
    axes.axvline(0, color=INK, linewidth=1.4)
    told, kinds = [], set()
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
        told.append(f"{short(name, 60)} {estimate:+.3g} ({lower:+.3g} to {upper:+.3g}, {verdict})")
    finite = numbers[np.isfinite(numbers)]
    low, high = min(0.0, finite.min(initial=0)), max(0.0, finite.max(initial=0))
    room = 0.06 * ((high - low) or 1.0)
    axes.set_xlim(low - room, high + room)
    axes.xaxis.set_major_locator(_locator())
    _legend(axes, 3)
    return figure, "; ".join(told) + "."


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(7, steps=[1, 2, 2.5, 5, 10])


def _percent(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_locator(_locator())
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}%"))


def _legend(axes: Axes, columns: int) -> None:
    """Bars first, above the axes, with the whole width of the figure."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: not hasattr(handles[i], "patches"))
    axes.figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="outside upper left", ncols=columns,
        frameon=False, fontsize=9, borderaxespad=0.2, handlelength=1.4, columnspacing=1.4,
    )  # fmt: skip


def _axis(outcome: str, minimize: bool | None = None) -> str:
    known = [unit(outcome)] if unit(outcome) != short(outcome) else []
    if minimize is not None:
        known.append("lower is better" if minimize else "higher is better")
    return short(outcome) + (f" ({', '.join(known)})" if known else "")


def _of_unit(outcome: str, otherwise: str = "") -> str:
    return f"{unit(outcome)}, " if unit(outcome) != short(outcome) else otherwise


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _plain(text: str) -> str:
    """Text for matplotlib: a dollar sign is a dollar sign, not the beginning of a formula; no label starts with ``_``."""
    text = text.replace("$", r"\$")
    return "\u200b" + text if text.startswith("_") else text  # such legend labels would be left out


def _told(figure: Figure, alt: str) -> Figure:
    figure.alt = clean(alt)  # type: ignore[attr-defined]
    return figure
