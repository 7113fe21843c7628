"""Cards about a study as a whole: where it stands, its pool with the state of every domain, what is installed, the lessons."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from causalmix_nb.cards.typesetting import (
    COLUMNS,
    LINE,
    MOST_ROWS,
    TEXT,
    Bundle,
    card,
    escape,
    note_list,
    number_text,
    text_lines,
    text_table,
    verdict_line,
)
from causalmix_nb.plots import sparklines
from causalmix_nb.plots.pictures import clean, percent, picture, short
from causalmix_nb.plots.style import BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    import pandas as pd

EDGE = f"padding:4px 14px 4px 0;border-bottom:1px solid {LINE};vertical-align:middle;text-align:left"
TABLE = f"border-collapse:collapse;margin:4px 0 0 0;color:{TEXT};background:none;font-size:inherit"


# -- where it stands ------------------------------------------------------------------------------------------


def status_card(status: Any) -> Bundle:
    """The steps on a line, then one row each: its picture, and where it stands in words."""
    from causalmix_nb.cards.status import STEPS

    words = {name: clean(getattr(status, name)) for name in STEPS}
    pictures = _status_pictures(status)
    done = [(name, not _open(words[name])) for name in STEPS]
    rows = "".join(
        f'<tr><th scope="row" style="{EDGE};font-weight:600;white-space:nowrap">{escape(name)}</th>'
        f'<td style="{EDGE}">{"".join(map(picture, pictures.get(name, ())))} '
        f"{escape(short(where, 240))}</td></tr>"
        for name, where in words.items()
    )
    step = (
        f'<p style="margin:10px 0 0 0;padding:6px 10px;border-left:4px solid {BLUE}">Next: '
        f"<strong>{escape(status.next_step)}</strong></p>"
    )
    body = (
        picture(sparklines.track(done))
        + f'<table style="{TABLE};width:100%;table-layout:auto">{rows}</table>{step}'
    )
    wide = max(map(len, STEPS))
    lines = [f"{'○' if _open(where) else '●'} {name:<{wide}}  {where}" for name, where in words.items()]
    text = [
        "\n".join(textwrap.wrap(line, COLUMNS, subsequent_indent=" " * (wide + 4), break_on_hyphens=False))
        for line in lines
    ]
    text.append(f"→ next: {clean(status.next_step)}")
    return Bundle(card("Status of the study", body), "\n".join(text))


def _open(where: str) -> bool:
    return where == "" or where.startswith(("none yet", "not yet"))


def _status_pictures(status: Any) -> dict[str, list[str]]:
    """Step -> small pictures of the numbers behind it."""
    found: dict[str, list[str]] = {}
    if status.shares:
        found["pool"] = [sparklines.columns(status.shares)]
    scores = [value for value in status.scores if math.isfinite(value)]
    if scores:
        best = min(scores) if status.minimize else max(scores)
        alt = f"{len(scores)} scores from {number_text(min(scores))} to {number_text(max(scores))}, best {number_text(best)}"
        found["runs"] = [sparklines.histogram(scores, best, alt)]
    if status.rank is not None:
        value, ceiling = status.rank
        alt = f"rank correlation on unseen mixtures {value:.2f}" + (
            f", at most {ceiling:.2f}" if ceiling is not None else ""
        )
        found["fit"] = [sparklines.gauge(value, ceiling, alt)]
    if status.best:
        found["recommendation"] = [sparklines.columns(status.best, status.baseline)]
        if status.gain is not None:
            gain, lower, upper = status.gain
            found["recommendation"].append(
                sparklines.interval(gain, lower, upper, _gained("gain", gain, lower, upper))
            )
    if status.checked:
        found["comparison"] = [
            sparklines.interval(d, lower, upper, _gained(f"against {short(name)}", d, lower, upper))
            for name, d, lower, upper in status.checked[:4]
        ]
    return found


def _gained(what: str, estimate: float, lower: float, upper: float) -> str:
    return f"{what} {number_text(estimate, True)} ({number_text(lower, True)} to {number_text(upper, True)})"


# -- the pool -------------------------------------------------------------------------------------------------


def pool_card(pool: Any) -> Bundle:
    """How much there is of every domain: a bar beside its numbers."""
    described = pool.describe()
    frame = described.drop(columns=["left_out", "why"]).rename(columns={"mean_bytes": "bytes_each"})
    title = f"A pool of {len(frame)} domains, {_bytes(frame['bytes'].sum())}"
    formats = {"bytes": _bytes, "bytes_each": _bytes, "share": percent}
    most = float(frame["share"].max())
    rows, left = [], len(frame) - MOST_ROWS
    for name, row in frame.iloc[:MOST_ROWS].iterrows():
        share = float(row["share"])
        bar = picture(sparklines.bar(share, most, f"{short(name)} {percent(share)}"))
        numbers = (f"{row['documents']:,.0f}", _bytes(row["bytes"]), _bytes(row["bytes_each"]))
        rows.append([bar + " " + escape(percent(share)), *map(escape, numbers)])
    names = [str(name) for name in frame.index[:MOST_ROWS]]
    body = grid(names, ("share of the bytes", "documents", "bytes", "bytes each"), rows)
    foot = "Shares in proportion to size are the natural mixture."
    foot = f"… and {left} more domains. {foot}" if left > 0 else foot
    sentences = [
        *pool.notes[:MOST_ROWS],
        *([f"{more:,} more in pool.notes"] if (more := len(pool.notes) - MOST_ROWS) > 0 else []),
    ]
    return Bundle(
        card(title, body + note_list(sentences), foot),
        text_lines(title, text_table(frame, formats), *(f"! {line}" for line in sentences)),
    )


def state_sparklines(state: pd.DataFrame, trained: pd.DataFrame | None) -> Bundle:
    """The state of every domain of the pool, within the states that the runs were trained under.

    state: domain × covariate. trained: run × ``<domain>.<covariate>``, or None where there is no run.
    """
    title = "The state of the pool, before mixing"
    columns = [str(name) for name in state.columns]
    rows = []
    for domain, values in state.iloc[:MOST_ROWS].iterrows():
        cells = []
        for name in columns:
            value, column = float(values[name]), f"{domain}.{name}"
            seen = trained[column].astype(float).tolist() if trained is not None and column in trained else []
            alt = f"{short(domain)}, {name}: {number_text(value)}" + (
                f"; runs from {number_text(min(seen))} to {number_text(max(seen))}" if seen else ""
            )
            spark = picture(sparklines.histogram(seen, value, alt)) if seen else ""
            cells.append(
                f"{spark}<br />{escape(number_text(value))}" if spark else escape(number_text(value))
            )
        rows.append(cells)
    foot = "loss: bits per byte under the scorer; top_token_entropy: bits of its least certain tokens; readability_grade: school grade; size: log10 tokens"
    if trained is not None:
        foot = f"Orange: the pool as it is; blue: the states that runs were trained under. {foot}"
    body = grid([str(name) for name in state.index[:MOST_ROWS]], columns, rows)
    return Bundle(card(title, body, foot), text_lines(title, text_table(state), foot))


def grid(names: Sequence[str], headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells are HTML already; ``names`` and ``headers`` are text and get escaped."""
    head = "".join(
        f'<th scope="col" style="{EDGE};font-weight:600">{escape(short(name, 24))}</th>'
        for name in ("domain", *headers)
    )
    body = "".join(
        f'<tr><th scope="row" style="{EDGE};font-weight:600">{escape(short(name, 60))}</th>'
        + "".join(f'<td style="{EDGE};white-space:nowrap">{cell}</td>' for cell in cells)
        + "</tr>"
        for name, cells in zip(names, rows)
    )
    return f'<table style="{TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _bytes(count: float) -> str:
    for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return f"{count:.0f} B"


# -- the installation -----------------------------------------------------------------------------------------


def check_up_card(found: Any) -> Bundle:
    """The verdict, then what was looked at in groups; what can be done stands as the line to type."""
    mark = {True: ("✓", GREEN), False: ("✗", ORANGE), None: ("–", TEXT)}
    edge = f"padding:2px 12px 2px 0;border-bottom:1px solid {LINE};vertical-align:top;text-align:left"
    groups = {"machine": "This machine", "packages": "Packages", "extras": "Extras"}
    body = verdict_line(found.verdict, "better" if found.healthy else "worse")
    for group, heading in groups.items():
        some = [check for check in found.checks if check.group == group]
        rows = "".join(
            f'<tr><td style="{edge};color:{mark[c.ok][1]}">{mark[c.ok][0]}</td><th scope="row" style="{edge};font-weight:600;white-space:nowrap">'
            f'{escape(c.name)}</th><td style="{edge}">{escape(c.found)}'
            + (f"<br /><code>{escape(c.advice)}</code>" if c.advice else "")
            + "</td></tr>"
            for c in some
        )
        style = f"border-collapse:collapse;margin:0;color:{TEXT};background:none;font-size:inherit"
        inner = f'<table aria-label="{heading}" style="{style}">{rows}</table>'
        fine = group == "packages" and all(check.ok for check in some)
        summary = f"{heading} ({len(some)})"
        body += (
            f'<details{"" if fine else " open"} style="margin-top:8px"><summary style="cursor:pointer;font-weight:600">'
            f"{summary}</summary>{inner}</details>"
        )
    return Bundle(card("Installation", body), text_lines(str(found)))


def report_card(report: Any) -> Bundle:
    path = clean(report.path)
    body = f'<p style="margin:4px 0">{escape(", ".join(report.sections))}</p>'
    foot = f"{report.size / 1e6:.2f} MB; opens in any browser without a network, and prints"
    return Bundle(card(f"Written to {path}", body, foot), text_lines(str(report)))
