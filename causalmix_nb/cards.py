"""What a result looks like: a card of HTML in a notebook, the same in words in a terminal.

:func:`render` makes a :class:`Bundle` of any result of this package, told by the name of its class. The picture comes
first, the table under it. Whatever comes from data is escaped; colours follow the page, light or dark.
"""

from __future__ import annotations

import html
import math
import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from causalmix_nb import plots
from causalmix_nb.plots import BLUE, GREEN, ORANGE, clean, percent, picture, short, to_svg, unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = 100  # of a terminal
MOST_ROWS = 40  # of a table
CELL = 60  # characters of a table cell
TEXT = "var(--jp-ui-font-color1, currentColor)"
LINE = "var(--jp-border-color2, rgba(128,128,128,0.4))"
FONT = "var(--jp-ui-font-family, system-ui, sans-serif)"
SHAPE = {"better": ("▲", GREEN), "worse": ("▼", ORANGE)}  # of a verdict; anything else is a circle
Formats = Mapping[str, str | Callable[[Any], str]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A result as HTML and as text; a notebook shows the first, a terminal the second."""

    html: str
    text: str

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


def render(result: Any) -> Bundle | None:
    """The card of a result, or None for something that has none."""
    for kind in type(result).__mro__:
        if (make := _CARDS.get(kind.__name__)) is not None:
            return make(result)
    return None


# -- pieces ----------------------------------------------------------------------------------------------


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

    def cell(tag: str, text: str, right: bool, scope: str = "") -> str:
        side = "right;white-space:nowrap" if right else "left"
        weight = 600 if tag == "th" else 400
        return f'<{tag}{scope} style="text-align:{side};{edge};font-weight:{weight}">{escape(text)}</{tag}>'

    head = "".join(cell("th", text, right, ' scope="col"') for text, right in zip(headers, numeric))
    body = "".join(
        "<tr>"
        + cell("th", row[0], False, ' scope="row"')
        + "".join(cell("td", text, right) for text, right in zip(row[1:], numeric[1:]))
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
    """A frame as lines of text no wider than ``columns``; the widest columns give way."""
    headers, rows, numeric = _cells(frame, formats)
    cells = [headers, *rows]
    widths = [max(_width(row[j]) for row in cells) for j in range(len(headers))]
    while sum(widths) + 2 * (len(widths) - 1) > columns and max(widths) > 4:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row in cells:
        parts = [_pad(text, width, right) for text, width, right in zip(row, widths, numeric)]
        lines.append("  ".join(parts).rstrip())
    left = len(frame) - len(rows)
    return "\n".join([*lines, *([f"… and {left} more rows"] if left else [])])


def _cells(frame: pd.DataFrame, formats: Formats | None) -> tuple[list[str], list[list[str]], list[bool]]:
    formats = formats or {}
    some = frame.iloc[:MOST_ROWS]
    headers = [short(name, 24).replace("_", " ") for name in (frame.index.name or "", *frame.columns)]
    columns = [[_shown(value, formats.get("index")) for value in some.index]]
    numeric = [False]
    for j, name in enumerate(frame.columns):
        values = list(some.iloc[:, j])
        columns.append([_shown(value, formats.get(str(name), _column_format(values))) for value in values])
        known = [value for value in values if not _missing(value)]
        numeric.append(bool(known) and not any(isinstance(value, (str, bool)) for value in known))
    return headers, [list(row) for row in zip(*columns)], numeric


def _column_format(values: Sequence[Any]) -> str | None:
    """Decimals that all numbers of a column share: four significant digits of the largest, if no number looks like 0 then."""
    if not values or not all(isinstance(v, float) for v in values):
        return None
    sizes = [abs(v) for v in values if math.isfinite(v) and v != 0]
    if not sizes or all(v.is_integer() for v in sizes):
        return None
    decimals = max(0, 3 - math.floor(math.log10(max(sizes))))
    return f",.{decimals}f" if decimals <= 8 and min(sizes) >= 0.5 * 10**-decimals else None


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _shown(value: Any, form: str | Callable[[Any], str] | None) -> str:
    if _missing(value):
        return "–"
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
    return _number(number, decimals=0 if number.is_integer() and abs(number) < 1e15 else None)


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(
        0
        if unicodedata.combining(c) or c in "\u200d\ufe0f"
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def _pad(text: str, width: int, right: bool) -> str:
    if _width(text) > width:
        while text and _width(text) > width - 1:
            text = text[:-1]
        text += "…"
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _paragraph(text: str, strong: bool = False) -> str:
    return f'<p style="margin:4px 0;{"font-weight:600" if strong else ""}">{escape(text)}</p>' if text else ""


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    style = "margin:6px 0 0 0;padding-left:1.2em;font-size:0.92em;opacity:0.85"
    return f'<ul style="{style}">{items}</ul>' if notes else ""


def _lines(*parts: str) -> str:
    """Paragraphs of text, wrapped to a terminal's width; lines that are indented or aligned stay as they are."""
    out = []
    for part in parts:
        for line in map(clean, part.split("\n")):
            keep = len(line) <= COLUMNS or "  " in line.strip()
            out += [line] if keep else textwrap.wrap(line, COLUMNS, subsequent_indent="  ") or [""]
    return "\n".join(line.rstrip() for line in out)


def _sentence(text: str) -> str:
    text = clean(text).strip()
    start = text[:1] if text.startswith("do(") else text[:1].upper()
    return start + text[1:] + ("" if text.endswith((".", "!", "?")) else ".") if text else ""


def _bars(shares: Mapping[str, float], before: Mapping[str, float] | None = None) -> str:
    """Shares as rows of blocks, for a terminal."""
    some = dict(list(shares.items())[:MOST_ROWS])
    names = {name: short(name, 28) for name in some}
    wide = max(map(_width, names.values()))
    top = max([*some.values(), 1e-9])
    lines = []
    for name, share in some.items():
        line = f"{_pad(names[name], wide, False)}  {percent(share):>7}  {'█' * round(30 * share / top):<30}"
        lines.append(line + (f"  was {percent(before.get(name, 0.0))}" if before is not None else ""))
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float, sign: bool = False, decimals: int | None = None) -> str:
    """A number with a true minus sign; four significant digits where no number of decimals is given."""
    if _missing(value):
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


def _signed(frame: pd.DataFrame) -> dict[str, Callable[[Any], str]]:
    """Formats for a table of estimates with ``lower`` and ``upper``, as fine as the intervals."""
    decimals = _decimals(float((frame["upper"] - frame["lower"]).median()) / 2)
    return dict.fromkeys(map(str, frame.columns), lambda x: _number(x, True, decimals))


def _interval(estimate: float, lower: float, upper: float, outcome: str, level: float = 0.95) -> str:
    """An estimate with its unit and interval, in words."""
    decimals = _decimals((upper - lower) / 2)
    low, middle, high = (_number(x, True, decimals) for x in (lower, estimate, upper))
    known = math.isfinite(lower) and math.isfinite(upper)
    ends = f"{level:.0%} interval {low} to {high}" if known else "no interval"
    return f"{middle}{_unit(outcome)} ({ends})"


def _unit(outcome: str) -> str:
    """The unit with a space before it, where it is not just the outcome's own name."""
    return f" {unit(outcome)}" if unit(outcome) != short(outcome) else ""


# -- results ---------------------------------------------------------------------------------------------


def _mixture(mixture: Any) -> Bundle:
    title = f"A mixture of {len(mixture)} domains"
    figure = plots.mixture_bars(mixture.to_series(), names=("mixture", ""))
    return Bundle(card(title, figure_svg(figure)), _lines(title, _bars(mixture.shares)))


def _pool(pool: Any) -> Bundle:
    frame = pool.describe().rename(columns={"mean_bytes": "bytes_each"})
    title = f"A pool of {len(frame)} domains, {_bytes(frame['bytes'].sum())}"
    formats = {"bytes": _bytes, "bytes_each": _bytes, "share": percent}
    figure = plots.mixture_bars(frame["share"], names=("natural", ""))
    figure.axes[0].set_xlabel("share of the pool's bytes")
    foot = "Shares in proportion to size are the natural mixture."
    body = figure_svg(figure) + table(frame, formats=formats)
    return Bundle(card(title, body, foot), _lines(title, text_table(frame, formats)))


def _bytes(count: float) -> str:
    for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return f"{count:.0f} B"


def _run_report(report: Any) -> Bundle:
    left = report.requested - report.reused - report.done - report.failed
    title = f"{report.reused + report.done} of {report.requested} runs are there"
    segments = [("finished before", report.reused, BLUE, 0.5), ("trained now", report.done, BLUE, 1.0)]
    segments += [("failed", report.failed, ORANGE, 1.0), ("to go", left, "currentColor", 0.15)]
    segments = [segment for segment in segments if segment[1] > 0]
    parts = "".join(
        f'<div style="width:{100 * n / max(report.requested, 1):.2f}%;background:{colour};opacity:{opacity}"></div>'
        for _, n, colour, opacity in segments
    )
    alt = ", ".join(f"{n} {name}" for name, n, *_ in segments)
    bar = (
        f'<div role="img" aria-label="{escape(alt)}" style="display:flex;height:14px;border-radius:3px;overflow:hidden;'
        f'margin:4px 0 6px 0">{parts}</div>'
    )
    key = " · ".join(
        f'<span style="color:{colour};opacity:{max(opacity, 0.6)}" aria-hidden="true">■</span> {n} {escape(name)}'
        for name, n, colour, opacity in segments
    )
    failures = [str(failure) for failure in report.failures]
    shown = failures[:5] + ([f"and {len(failures) - 5} more"] if len(failures) > 5 else [])
    body = bar + f'<p style="margin:4px 0">{key}</p>' + _paragraph(_sentence(str(report))) + _notes(shown)
    failed = [f"  failed: {clean(failure)}" for failure in shown[1:]]
    return Bundle(card(title, body), _lines(_sentence(str(report)), *failed))


def _progress(progress: Any) -> Bundle:
    share = min(1.0, progress.done / progress.total) if progress.total > 0 else 0.0
    words = [f"{progress.done:,}/{progress.total:,}"]
    if math.isfinite(progress.tokens_per_second):
        words.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    if math.isfinite(progress.eta_seconds):
        words.append(f"{_clock(progress.eta_seconds)} left")
    if progress.failed:
        words.append(f"{progress.failed} failed")
    if progress.best is not None and math.isfinite(progress.best):
        words.append(f"best {progress.best:.4g}")
    if progress.message:
        words.append(clean(progress.message))
    line = " · ".join(words)
    bar = (
        f'<div role="progressbar" aria-label="{escape(progress.stage)}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * share:.0f}" style="position:relative;height:14px;border-radius:3px;overflow:hidden;'
        f'margin:4px 0 6px 0"><div style="position:absolute;inset:0;background:currentColor;opacity:0.15"></div>'
        f'<div style="position:absolute;top:0;bottom:0;left:0;width:{100 * share:.1f}%;background:{BLUE}"></div></div>'
    )
    filled = round(20 * share)
    text = f"{clean(progress.stage)} [{'█' * filled}{'·' * (20 - filled)}] {line}"
    text = _pad(text, COLUMNS, False).rstrip()  # one line, which a terminal can write over
    return Bundle(card(_sentence(progress.stage).rstrip("."), bar + _paragraph(line)), text)


def _clock(seconds: float) -> str:
    """
    >>> _clock(75.4), _clock(3725)
    ('01:15', '1:02:05')
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def _effect(effect: Any) -> Bundle:
    better = (effect.estimate < 0) == bool(effect.minimize)
    verdict = (
        ("better" if better else "worse") if effect.distinguishable else "not distinguishable from no effect"
    )
    label = effect.label or "effect"
    said = _interval(effect.estimate, effect.lower, effect.upper, effect.outcome, effect.level)
    sentence = f"{clean(label)} changes {clean(effect.outcome)} by {said}: {verdict}."
    direction = "lower" if effect.minimize else "higher"
    foot = f"{effect.n_runs} runs; {direction} {clean(effect.outcome)} is better"
    changes = {name: change for name, change in effect.contrast.items() if abs(change) >= 5e-4}
    moved = ", ".join(
        f"{short(name)} {100 * change:+.3g}".replace("-", "−") for name, change in changes.items()
    )
    moved = f"Shares move by (percentage points): {moved}." if moved else "No share moves."
    figure = plots.effect(
        effect.estimate, effect.lower, effect.upper, effect.outcome, bool(effect.minimize), label
    )
    body = figure_svg(figure) + _verdict(sentence, verdict) + _paragraph(moved)
    return Bundle(
        card(f"What {label} causes", body, foot), _lines(_sentence(sentence), "  " + moved, "  " + foot)
    )


def _verdict(sentence: str, verdict: str) -> str:
    shape, colour = SHAPE.get(verdict, ("○", TEXT))
    return (
        f'<p style="margin:6px 0;font-weight:600"><span style="color:{colour}" aria-hidden="true">{shape}</span> '
        f"{escape(_sentence(sentence))}</p>"
    )


def _recommendation(best: Any) -> Bundle:
    title = f"The mixture to train on, by {best.n_runs} runs"
    figure = plots.mixture_bars(best.mixture.to_series(), best.baseline.to_series())
    gain = f"Gain over the baseline: {_interval(best.gain, best.lower, best.upper, best.outcome)} in {clean(best.outcome)}"
    told = best.predicted
    expected = (
        f"Expected {clean(best.outcome)} {_number(told['mean'])} ({_number(told['lower'])} to {_number(told['upper'])}), "
        f"baseline {_number(best.baseline_outcome)}; {'lower' if best.minimize else 'higher'} is better."
    )
    worn = {name: count for name, count in best.epochs.items() if count > 1}
    epochs = (
        "Data seen more than once: " + ", ".join(f"{short(n)} {c:.1f} times" for n, c in worn.items()) + "."
    )
    lines = [gain + ".", expected, *([epochs] if worn else [])]
    foot = f"{clean(best.policy)} policy; the mixture lies {clean(best.support)}. Training it settles it: %causalmix compare"
    verdict = "better" if best.lower > 0 else "open"
    shares = _compared(best.mixture, {"recommended": best.mixture, "baseline": best.baseline})
    shares["change"] = shares["recommended"] - shares["baseline"]
    formats = {
        "recommended": percent,
        "baseline": percent,
        "change": lambda x: f"{100 * x:+.1f}".replace("-", "−"),
    }
    body = figure_svg(figure) + _verdict(best.verdict, verdict) + "".join(map(_paragraph, lines))
    body += table(shares, "Change in percentage points", formats) + _notes(best.notes)
    text = _lines(
        title, _bars(best.mixture.shares, best.baseline.shares), _sentence(best.verdict), *lines,
        *(f"note: {clean(note)}" for note in best.notes), foot,
    )  # fmt: skip
    return Bundle(card(title, body, foot), text)


def _compared(first: Any, mixtures: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame({name: mixture.to_series() for name, mixture in mixtures.items()}).fillna(0.0)
    return frame.reindex([*first.domains, *(d for d in frame.index if d not in first.domains)]).rename_axis(
        "domain"
    )


def _comparison(compared: Any) -> Bundle:
    found = compared.table
    reference = next((str(n) for n, d in found["difference"].items() if _missing(d)), "")
    title = f"Checked by training: {clean(compared.outcome)}"
    figure = plots.comparison(found, compared.outcome, reference)
    formats = {"p": lambda p: f"{p:.3f}" if p >= 0.001 else "<0.001"}
    formats |= _signed(found[["difference", "lower", "upper"]].astype(float))
    frame = found.rename_axis("method")
    better = "lower" if compared.minimize else "higher"
    caption = (
        f"{clean(compared.outcome)} in {unit(compared.outcome)}, {better} is better; difference: {short(reference)} minus method "
        f"in the good direction, 95% paired t interval over {compared.n_seeds} seeds"
    )
    promised = _promise(compared)
    body = figure_svg(figure) + _paragraph(_sentence(compared.verdict), strong=True) + _paragraph(promised)
    body += table(frame, caption, formats)
    shares = (
        _compared(next(iter(compared.mixtures.values())), compared.mixtures) if compared.mixtures else None
    )
    if shares is not None:
        body += table(shares, "The mixtures", dict.fromkeys(map(str, shares.columns), percent))
    text = _lines(
        _sentence(compared.verdict), *([promised] if promised else []), text_table(frame, formats), caption
    )
    return Bundle(card(title, body), text)


def _promise(compared: Any) -> str:
    """What the recommendation promised over its baseline, beside what training showed over equal shares."""
    if compared.promised is None:
        return ""
    gain, lower, upper = compared.promised
    said = f"Promised over the baseline: {_interval(gain, lower, upper, compared.outcome)}"
    if "equal" not in compared.table.index:
        return said + "."
    row = compared.table.loc["equal"]
    got = _interval(float(row["difference"]), float(row["lower"]), float(row["upper"]), compared.outcome)
    return f"{said}; obtained over equal: {got}."


def _status(status: Any) -> Bundle:
    steps = [name for name in type(status).__dataclass_fields__ if name != "next_step"]
    rows = [(name, clean(getattr(status, name))) for name in steps]
    edge = f"padding:3px 12px 3px 0;border-bottom:1px solid {LINE};vertical-align:top;text-align:left"
    body = "".join(
        f'<tr><td aria-hidden="true" style="{edge}">{"○" if _open(where) else "●"}</td>'
        f'<th scope="row" style="{edge};font-weight:600;white-space:nowrap">{escape(name)}</th><td style="{edge}">{escape(where)}</td></tr>'
        for name, where in rows
    )
    step = (
        f'<p style="margin:10px 0 0 0;padding:6px 10px;border-left:4px solid {BLUE}">Next: '
        f"<strong>{escape(status.next_step)}</strong></p>"
    )
    body = f'<table style="border-collapse:collapse;margin:0;color:{TEXT};background:none;font-size:inherit">{body}</table>{step}'
    wide = max(len(name) for name in steps)
    text = [f"{'○' if _open(where) else '●'} {name:<{wide}}  {where}" for name, where in rows]
    wrapped = [
        "\n".join(textwrap.wrap(line, COLUMNS, subsequent_indent=" " * (wide + 4), break_on_hyphens=False))
        for line in text
    ]
    wrapped.append(f"→ next: {clean(status.next_step)}")
    return Bundle(card("Where the study stands", body), "\n".join(wrapped))


def _open(where: str) -> bool:
    return where in ("none yet", "not yet", "")


def _model(model: Any) -> Bundle:
    found, outcome = model.diagnostics, model.outcome
    title = f"What the runs say about {clean(outcome)}"
    returns = model.marginal_return()
    figure = plots.marginal_returns(returns, outcome, bool(model.minimize))
    body = figure_svg(figure)
    lines = _quality(model)
    verdict = _sentence(str(found.get("verdict", "")))
    warning = _sentence(str(found.get("warning", "")))
    body += "".join(_paragraph(text, strong=True) for text in (warning, verdict))
    body += "".join(map(_paragraph, lines))
    tried, text = _tried(found), [title, *filter(None, (warning, verdict)), *lines]
    ends = "95% interval" if model.has_interval else "rough interval: fitted without an ensemble"
    said = f"change of {clean(outcome)} per unit of log share, {ends}"
    frame = returns[["estimate", "lower", "upper"]]
    signed = _signed(frame)
    body += table(frame, "Marginal returns: " + said, signed)
    text += ["", f"Marginal returns ({said}):", text_table(frame, signed)]
    if tried is not None:
        form = {"rank_correlation": ".2f"}
        body += table(tried, "Methods tried, by rank correlation on unseen mixtures", form)
        text += ["", text_table(tried, form)]
    notes = [str(note) for note in model.problem.notes]
    direction = "lower" if model.minimize else "higher"
    foot = f"{model.method}, {model.problem.n_runs} runs; {direction} {clean(outcome)} is better"
    text += [*(f"note: {clean(note)}" for note in notes), foot]
    return Bundle(card(title, body + _notes(notes), foot), _lines(*text))


def _quality(model: Any) -> list[str]:
    """How well the model predicts, and what it could see, in sentences."""
    found, lines = model.diagnostics, []

    def known(name: str) -> bool:
        return isinstance(found.get(name), (int, float)) and math.isfinite(found[name])

    if known("cv_spearman"):
        line = f"Rank correlation with unseen mixtures: {_number(found['cv_spearman'], decimals=2)}"
        if known("regmix_spearman"):
            line += f"; LightGBM on the mixture alone: {_number(found['regmix_spearman'], decimals=2)}"
        if known("noise_ceiling"):
            line += f"; a perfect model would reach {_number(found['noise_ceiling'], decimals=2)}"
        lines.append(line + ".")
    if known("smallest_detectable_gain"):
        gain = _number(float(f"{found['smallest_detectable_gain']:.3g}"))
        gain += _unit(model.outcome) or f" of {short(model.outcome)}"
        lines.append(f"Smallest gain that training with five seeds each would show: {gain}.")
    if known("calibration"):
        lines.append(f"Of the runs left out, {found['calibration']:.0%} fell inside their 95% interval.")
    lines += [_sentence(str(found[name])) for name in ("assignment", "not_identified") if found.get(name)]
    return lines


def _tried(found: Mapping[str, Any]) -> pd.DataFrame | None:
    import pandas as pd

    scores = found.get("tried")
    if not isinstance(scores, Mapping) or not scores:
        return None
    frame = pd.DataFrame({"rank_correlation": pd.Series(dict(scores), dtype=float)}).rename_axis("method")
    frame["chosen"] = ["✓" if name == found.get("chosen") else "" for name in frame.index]
    return frame.sort_values("rank_correlation", ascending=False)


def _graph(graph: Any) -> Bundle:
    text = "\n".join(map(clean, graph.to_text().split("\n")))
    return Bundle(card("What causes what", picture(graph.to_svg())), text)


def _export(result: Any) -> Bundle:
    title = f"Written to {clean(result.path)}" if result.path else f"The mixture as {clean(result.format)}"
    lines = [clean(line.replace("\t", "    ")) for line in result.text.split("\n")]
    style = f"margin:0;padding:8px;overflow-x:auto;background:none;color:{TEXT};border:1px solid {LINE}"
    pre = f'<pre style="{style}">{html.escape(chr(10).join(lines))}</pre>'
    return Bundle(card(title, pre), "\n".join([title, *lines]))


_CARDS: dict[str, Callable[[Any], Bundle]] = {
    "Mixture": _mixture,
    "Pool": _pool,
    "RunReport": _run_report,
    "Progress": _progress,
    "Model": _model,
    "Effect": _effect,
    "Recommendation": _recommendation,
    "Comparison": _comparison,
    "StudyStatus": _status,
    "CausalGraph": _graph,
    "ExportResult": _export,
}
