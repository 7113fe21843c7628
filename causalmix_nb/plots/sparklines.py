"""Pictures the size of a word: shares, distributions, an interval against 0, how far one is.

Each function returns a small ``<svg>`` without ids, styles or scripts, drawn by hand so that a card that holds ten of them
stays light and needs no plotting library; its ``aria-label`` says what it shows. What is drawn comes from data as numbers
and, in the label, as escaped text.

>>> "0% to 40%" in interval(0.2, 0.0, 0.4, "20% (0% to 40%)")
True
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from causalmix_nb.plots.pictures import clean, percent, short
from causalmix_nb.plots.style import BLUE, GREEN, ORANGE

WIDE, HIGH = 132, 22  # of a sparkline, in pixels
BINS = 22  # of a histogram
MOST = 24  # columns that are drawn


def _svg(body: str, alt: str, width: float = WIDE, height: float = HIGH) -> str:
    label = html.escape(clean(alt))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{label}">{body}</svg>'
    )


def _rect(x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0) -> str:
    faint = f' opacity="{opacity:g}"' if opacity < 1 else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{faint}/>'


def columns(shares: Mapping[str, float], before: Mapping[str, float] | None = None) -> str:
    """Shares as upright columns; what they were before as orange strokes across them."""
    names = list(shares)[:MOST]
    top = max([*(shares[n] for n in names), *(before or {}).values(), 1e-9])
    step = min(22.0, WIDE / max(len(names), 1))
    body = _rect(0, HIGH - 1, step * len(names), 1, "currentColor", 0.5)
    for i, name in enumerate(names):
        height = (HIGH - 3) * shares[name] / top
        body += _rect(i * step + 1.5, HIGH - 1 - height, step - 3, height, BLUE)
        if before is not None:
            y = HIGH - 1 - (HIGH - 3) * before.get(name, 0.0) / top
            body += _rect(i * step, y - 1, step, 2, ORANGE)
    alt = ", ".join(
        f"{short(name)} {percent(shares[name])}"
        + (f" (was {percent(before.get(name, 0.0))})" if before is not None else "")
        for name in names
    )
    return _svg(body, alt, step * len(names))


def bar(share: float, most: float, alt: str) -> str:
    """One share as a lying bar, as long as its part of the greatest."""
    part = share / most if most > 0 else 0.0
    return _svg(_rect(0, 5, max(1.0, part * 96), 12, BLUE), alt, 96)


def histogram(values: Iterable[float], mark: float | None, alt: str) -> str:
    """How values are spread; one of them, or another value, marked by a stroke with a dot."""
    known = [value for value in values if math.isfinite(value)]
    marked = mark is not None and math.isfinite(mark)
    both = [*known, *([mark] if marked and mark is not None else [])]
    if not both:
        return _svg(_rect(0, HIGH - 1, WIDE, 1, "currentColor", 0.5), alt)
    low, high = min(both), max(both)
    room = (high - low) or 1.0

    def at(value: float) -> float:
        return 4 + (WIDE - 8) * (value - low) / room if high > low else WIDE / 2

    counts = [0] * BINS
    for value in known:
        counts[min(BINS - 1, int(BINS * at(value) / WIDE))] += 1
    top, step = max([*counts, 1]), WIDE / BINS
    body = _rect(0, HIGH - 1, WIDE, 1, "currentColor", 0.5)
    bars = "".join(  # one shape for all of them: a card may hold dozens of histograms
        f"M{i * step + 0.5:g} {HIGH - 1}v-{2 + (HIGH - 7) * count / top:.1f}h{step - 1:g}V{HIGH - 1}z"
        for i, count in enumerate(counts)
        if count
    )
    body += f'<path d="{bars}" fill="{BLUE}" opacity="0.6"/>' if bars else ""
    if marked and mark is not None:
        body += _rect(at(mark) - 1, 4, 2, HIGH - 4, ORANGE)
        body += f'<circle cx="{at(mark):.1f}" cy="4" r="3.5" fill="{ORANGE}"/>'
    return _svg(body, alt)


def gauge(value: float, ceiling: float | None, alt: str) -> str:
    """A number between 0 and 1 as a filled track; the highest that could be reached as a stroke."""
    body = _rect(0, 7, WIDE, 8, "currentColor", 0.2)
    if math.isfinite(value):
        body += _rect(0, 7, WIDE * min(1.0, max(0.0, value)), 8, BLUE)
    if ceiling is not None and math.isfinite(ceiling):
        body += _rect(WIDE * min(1.0, max(0.0, ceiling)) - 1, 3, 2, 16, ORANGE)
    return _svg(body, alt)


def interval(estimate: float, lower: float, upper: float, alt: str) -> str:
    """An estimate in the good direction with its interval against 0: right of the stroke is better."""
    ends = [value for value in (0.0, estimate, lower, upper) if math.isfinite(value)]
    low, high = min(ends), max(ends)
    room = (high - low) or 1.0

    def at(value: float) -> float:
        return 6 + (WIDE - 12) * (value - low) / room if high > low else WIDE / 2

    colour = GREEN if lower > 0 else ORANGE if upper < 0 else "currentColor"
    body = _rect(at(0.0) - 0.75, 1, 1.5, HIGH - 2, "currentColor", 0.6)
    if math.isfinite(lower) and math.isfinite(upper):
        body += _rect(at(lower), HIGH / 2 - 1.25, max(at(upper) - at(lower), 1.0), 2.5, colour)
    if math.isfinite(estimate):
        body += f'<circle cx="{at(estimate):.1f}" cy="{HIGH / 2}" r="4.5" fill="{colour}"/>'
    return _svg(body, alt)


def track(steps: Sequence[tuple[str, bool]]) -> str:
    """Steps on a line: filled where done, the next one ringed in orange."""
    width, gap = 600, 600 / max(len(steps), 1)
    following = next((i for i, (_, done) in enumerate(steps) if not done), len(steps))
    body = ""
    for i in range(len(steps) - 1):
        done = steps[i][1] and steps[i + 1][1]
        body += _rect((i + 0.5) * gap, 11, gap, 2, BLUE if done else "currentColor", 1.0 if done else 0.3)
    for i, (name, done) in enumerate(steps):
        x = (i + 0.5) * gap
        body += f'<circle cx="{x:.1f}" cy="12" r="9" fill="{BLUE if done else "none"}" stroke="' + (
            f'{ORANGE}" stroke-width="3"/>' if i == following else f'{BLUE if done else "currentColor"}"/>'
        )
        if done:
            body += f'<path d="M{x - 4:.1f} 12l3 3.5l5.5 -7" fill="none" stroke="#ffffff" stroke-width="2"/>'
        weight = ' font-weight="bold"' if i == following else ""
        body += (
            f'<text x="{x:.1f}" y="37" text-anchor="middle" font-family="sans-serif" font-size="12.5" fill="currentColor"'
            f"{weight}>{html.escape(clean(name))}</text>"
        )
    here = f"; next: {steps[following][0]}" if following < len(steps) else ""
    done_names = ", ".join(name for name, done in steps if done) or "nothing"
    return _svg(body, f"Done: {done_names}{here}.", width, 42)
