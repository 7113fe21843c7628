"""The pieces that cards are set from: a framed block, tables, bars and numbers, each as HTML and as text.

Whatever comes from data is escaped; colours follow the page, light or dark.
"""

from __future__ import annotations

import base64
import html
import math
import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from causalmix_nb.plots.pictures import clean, percent, picture, short, to_png, to_svg, unit
from causalmix_nb.plots.style import GREEN, ORANGE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = 100  # of a terminal
MOST_ROWS = 40  # of a table
CELL, SHORT = 60, 16  # characters of a table cell, and of one that stays on one line
TEXT = "var(--jp-ui-font-color1, currentColor)"
LINE = "var(--jp-border-color2, rgba(128,128,128,0.4))"
FONT = "var(--jp-ui-font-family, system-ui, sans-serif)"
SHAPE = {"better": ("▲", GREEN), "worse": ("▼", ORANGE)}  # of a verdict; anything else is a circle
Formats = Mapping[str, str | Callable[[Any], str]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A result as HTML and as text; a notebook shows the first, a terminal the second.

    figure: the picture of the HTML, for what shows no HTML (a PDF, qtconsole): it goes along as a small PNG.
    """

    html: str
    text: str
    figure: Figure | None = None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        found = {"text/html": self.html, "text/plain": self.text}
        if self.figure is not None and (include is None or "image/png" in include):
            found["image/png"] = base64.b64encode(to_png(self.figure)).decode()
        return found

    def __repr__(self) -> str:
        return self.text


def figure_svg(figure: Figure) -> str:
    """A figure as an image that shows in untrusted notebooks too, with its alternative text."""
    return picture(to_svg(figure))


def card(title: str, body: str, foot: str = "") -> str:
    """A framed block: ``title`` and ``foot`` are text and get escaped, ``body`` is HTML."""
    foot = f'<div style="margin-top:8px;font-size:0.9em;opacity:0.8">{escape(foot)}</div>' if foot else ""
    return (
        f'<div class="causalmix" style="font-family:{FONT};color:{TEXT};max-width:760px;padding:10px 14px;'
        f'border:1px solid {LINE};border-radius:6px;line-height:1.45;overflow-x:auto;overflow-wrap:anywhere">'
        f'<div style="font-weight:600;font-size:1.1em;margin-bottom:6px">{escape(title)}</div>{body}{foot}</div>'
    )


def escape(text: object) -> str:
    """Text for HTML, also inside an attribute: on one line, without control characters.

    >>> escape("<b>&\\n")
    '&lt;b&gt;&amp; '
    """
    return html.escape(clean(text))


def table(frame: pd.DataFrame, caption: str = "", formats: Formats | None = None) -> str:
    """A frame as an HTML table, its index as row headers.

    formats: column -> format specification (``".1%"``) or function; the index goes by the name ``"index"``.
    """
    headers, rows, numeric = _cells(frame, formats)
    edge = f"padding:3px 14px 3px 0;border-bottom:1px solid {LINE}"

    def cell(text: str, right: bool, scope: str = "") -> str:
        """Numbers and short names of rows stay on one line, headers of columns break between words."""
        tag, weight = ("th", 600) if scope else ("td", 400)
        breaks = (
            "overflow-wrap:normal"
            if scope == "col"
            else "white-space:nowrap"
            if right or len(text) <= SHORT
            else ""
        )
        scoped = f' scope="{scope}"' if scope else ""
        side = "right" if right else "left"
        return f'<{tag}{scoped} style="text-align:{side};{breaks};{edge};font-weight:{weight}">{escape(text)}</{tag}>'

    head = "".join(cell(text, right, "col") for text, right in zip(headers, numeric))
    body = "".join(
        "<tr>"
        + cell(row[0], False, "row")
        + "".join(cell(text, right) for text, right in zip(row[1:], numeric[1:]))
        + "</tr>"
        for row in rows
    )
    left = len(frame) - len(rows)
    more = f'<div style="opacity:0.8">… and {left} more rows</div>' if left else ""
    about = f'<div aria-hidden="true" style="margin-top:10px">{escape(caption)}</div>' if caption else ""
    label = f' aria-label="{escape(caption)}"' if caption else ""
    return (
        f'{about}<table{label} style="border-collapse:collapse;margin:4px 0 0 0;color:{TEXT};background:none;'
        f'font-size:inherit"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}'
    )


def text_table(frame: pd.DataFrame, formats: Formats | None = None, columns: int = COLUMNS) -> str:
    """A frame as lines of text no wider than ``columns``: long headers take several lines, then the widest columns give way."""
    headers, rows, numeric = _cells(frame, formats)
    columns -= 2 * (len(headers) - 1)
    heads = [[header] for header in headers]
    cells = [headers, *rows]
    widths = [max(display_width(row[j]) for row in cells) for j in range(len(headers))]
    if sum(widths) > columns:
        words = [max(map(display_width, header.split()), default=0) for header in headers]
        widths = [max([word, 1, *(display_width(row[j]) for row in rows)]) for j, word in enumerate(words)]
        heads = [
            textwrap.wrap(header, width, break_long_words=False) or [""]
            for header, width in zip(headers, widths)
        ]
    while sum(widths) > columns and max(widths) > 4:
        widths[widths.index(max(widths))] -= 1
    tallest = max(map(len, heads))
    lines = []
    for row in [*zip(*([""] * (tallest - len(head)) + head for head in heads)), *rows]:
        parts = [padded(text, width, right) for text, width, right in zip(row, widths, numeric)]
        lines.append("  ".join(parts).rstrip())
    left = len(frame) - len(rows)
    return "\n".join([*lines, *([f"… and {left} more rows"] if left else [])])


def _cells(frame: pd.DataFrame, formats: Formats | None) -> tuple[list[str], list[list[str]], list[bool]]:
    formats = formats or {}
    some = frame.iloc[:MOST_ROWS]
    headers = [_header(name) for name in (frame.index.name or "", *frame.columns)]
    columns = [[_shown(value, formats.get("index")) for value in some.index]]
    numeric = [False]
    for j, name in enumerate(frame.columns):
        values = list(some.iloc[:, j])
        share = str(name).startswith("mixture.") and all(isinstance(value, float) for value in values)
        usual = ".1%" if share else _column_format(values)
        columns.append([_shown(value, formats.get(str(name), usual)) for value in values])
        known = [value for value in values if not is_missing(value)]
        numeric.append(bool(known) and not any(isinstance(value, (str, bool)) for value in known))
    return headers, [list(row) for row in zip(*columns)], numeric


def _header(name: Any) -> str:
    return short(str(name).removeprefix("mixture."), 24).replace("_", " ")


def _column_format(values: Sequence[Any]) -> str | None:
    """Decimals that all numbers of a column share: four significant digits of the largest, if no number looks like 0 then."""
    if not values or not all(isinstance(v, float) for v in values):
        return None
    sizes = [abs(v) for v in values if math.isfinite(v) and v != 0]
    if not sizes or all(v.is_integer() for v in sizes):
        return None
    decimals = max(0, 3 - math.floor(math.log10(max(sizes))))
    return f",.{decimals}f" if decimals <= 8 and min(sizes) >= 0.5 * 10**-decimals else None


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _shown(value: Any, form: str | Callable[[Any], str] | None) -> str:
    if is_missing(value):
        return "–"
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if callable(form):
        return clean(form(value))
    if form is not None:
        return format(value, form).replace("-", "−")
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    try:
        number = float(value) if not isinstance(value, str) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        return short(value, CELL)
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    return number_text(number, decimals=0 if number.is_integer() and abs(number) < 1e15 else None)


def display_width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(
        0
        if unicodedata.combining(c) or c in "\u200d\ufe0f"
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def padded(text: str, width: int, right: bool) -> str:
    if display_width(text) > width:
        while text and display_width(text) > width - 1:
            text = text[:-1]
        text += "…"
    space = " " * (width - display_width(text))
    return space + text if right else text + space


def paragraph(text: str, strong: bool = False) -> str:
    return f'<p style="margin:4px 0;{"font-weight:600" if strong else ""}">{escape(text)}</p>' if text else ""


def verdict_line(sentence: str, verdict: str) -> str:
    shape, colour = SHAPE.get(verdict, ("○", TEXT))
    return (
        f'<p style="margin:6px 0;font-weight:600"><span style="color:{colour}" aria-hidden="true">{shape}</span> '
        f"{escape(as_sentence(sentence))}</p>"
    )


def note_list(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    style = "margin:6px 0 0 0;padding-left:1.2em;font-size:0.92em;opacity:0.85"
    return f'<ul style="{style}">{items}</ul>' if notes else ""


def text_lines(*parts: str) -> str:
    """Paragraphs of text, wrapped to a terminal's width; lines that are indented or aligned stay as they are."""
    out = []
    for part in parts:
        for line in map(clean, part.split("\n")):
            keep = len(line) <= COLUMNS or "  " in line.strip()
            out += [line] if keep else textwrap.wrap(line, COLUMNS, subsequent_indent="  ") or [""]
    return "\n".join(line.rstrip() for line in out)


def as_sentence(text: str) -> str:
    text = clean(text).strip()
    start = text[:1] if text.startswith("do(") else text[:1].upper()
    return start + text[1:] + ("" if text.endswith((".", "!", "?")) else ".") if text else ""


def text_bars(shares: Mapping[str, float], before: Mapping[str, float] | None = None) -> str:
    """Shares as rows of blocks, for a terminal."""
    some = dict(list(shares.items())[:MOST_ROWS])
    names = {name: short(name, 28) for name in some}
    wide = max(map(display_width, names.values()))
    top = max([*some.values(), 1e-9])
    lines = []
    for name, share in some.items():
        line = f"{padded(names[name], wide, False)}  {percent(share):>7}  {'█' * round(30 * share / top):<30}"
        lines.append(line + (f"  was {percent(before.get(name, 0.0))}" if before is not None else ""))
    return "\n".join(line.rstrip() for line in lines)


def number_text(value: float, sign: bool = False, decimals: int | None = None) -> str:
    """A number with a true minus sign; four significant digits where no number of decimals is given."""
    if is_missing(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    form = ("+" if sign else "") + ("," if abs(value) >= 1 else "")
    return format(value, form + (".4g" if decimals is None else f".{decimals}f")).replace("-", "−")


def _decimals(spread: float) -> int | None:
    """Decimals that show an error of this size with two significant digits.

    >>> _decimals(0.037), _decimals(4.2), _decimals(310.0)
    (3, 1, 0)
    """
    known = math.isfinite(spread) and spread > 0
    return min(9, max(0, 1 - math.floor(math.log10(spread)))) if known else None


def signed_formats(frame: pd.DataFrame) -> dict[str, Callable[[Any], str]]:
    """Formats for a table of estimates with ``lower`` and ``upper``, as fine as the intervals."""
    decimals = _decimals(float((frame["upper"] - frame["lower"]).median()) / 2)
    return dict.fromkeys(map(str, frame.columns), lambda x: number_text(x, True, decimals))


def interval_words(estimate: float, lower: float, upper: float, outcome: str, level: float = 0.95) -> str:
    """An estimate with its unit and interval, in words."""
    decimals = _decimals((upper - lower) / 2)
    low, middle, high = (number_text(x, True, decimals) for x in (lower, estimate, upper))
    known = math.isfinite(lower) and math.isfinite(upper)
    ends = f"{level:.0%} interval {low} to {high}" if known else "no interval"
    return f"{middle}{unit_after(outcome)} ({ends})"


def unit_after(outcome: str) -> str:
    """The unit with a space before it, where it is not just the outcome's own name."""
    return f" {unit(outcome)}" if unit(outcome) != short(outcome) else ""
