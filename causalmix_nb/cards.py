"""What a result looks like: a card of HTML in a notebook, the same in words in a terminal.

:func:`render` makes a :class:`Bundle` of any result of this package, told by the name of its class. The picture comes
first, the table under it. Whatever comes from data is escaped; colours follow the page, light or dark.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from causalmix_nb import plots
from causalmix_nb.plots import BLUE, GREEN, ORANGE, clean, percent, picture, short, unit
from causalmix_nb.typesetting import (
    COLUMNS,
    LINE,
    SHAPE,
    TEXT,
    Bundle,
    as_sentence,
    card,
    escape,
    figure_svg,
    interval_words,
    is_missing,
    note_list,
    number_text,
    padded,
    paragraph,
    signed_formats,
    table,
    text_bars,
    text_lines,
    text_table,
    unit_after,
)

if TYPE_CHECKING:
    import pandas as pd


def render(result: Any) -> Bundle | None:
    """The card of a result, or None for something that has none."""
    for kind in type(result).__mro__:
        if (make := _CARDS.get(kind.__name__)) is not None:
            return make(result)
    return _finding(result) if hasattr(result, "sentences") else None


# -- results ---------------------------------------------------------------------------------------------


def _mixture(mixture: Any) -> Bundle:
    title = f"A mixture of {len(mixture)} domains"
    figure = plots.mixture_bars(mixture.to_series(), names=("mixture", ""))
    return Bundle(card(title, figure_svg(figure)), text_lines(title, text_bars(mixture.shares)))


def _pool(pool: Any) -> Bundle:
    frame = pool.describe().rename(columns={"mean_bytes": "bytes_each"})
    title = f"A pool of {len(frame)} domains, {_bytes(frame['bytes'].sum())}"
    formats = {"bytes": _bytes, "bytes_each": _bytes, "share": percent}
    figure = plots.mixture_bars(frame["share"], names=("natural", ""))
    figure.axes[0].set_xlabel("share of the pool's bytes")
    foot = "Shares in proportion to size are the natural mixture."
    body = figure_svg(figure) + table(frame, formats=formats)
    return Bundle(card(title, body, foot), text_lines(title, text_table(frame, formats)))


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
    body = bar + f'<p style="margin:4px 0">{key}</p>' + paragraph(as_sentence(str(report))) + note_list(shown)
    failed = [f"  failed: {clean(failure)}" for failure in shown[1:]]
    return Bundle(card(title, body), text_lines(as_sentence(str(report)), *failed))


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
    text = padded(text, COLUMNS, False).rstrip()  # one line, which a terminal can write over
    return Bundle(card(as_sentence(progress.stage).rstrip("."), bar + paragraph(line)), text)


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
    said = interval_words(effect.estimate, effect.lower, effect.upper, effect.outcome, effect.level)
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
    body = figure_svg(figure) + _verdict(sentence, verdict) + paragraph(moved)
    return Bundle(
        card(f"What {label} causes", body, foot), text_lines(as_sentence(sentence), "  " + moved, "  " + foot)
    )


def _verdict(sentence: str, verdict: str) -> str:
    shape, colour = SHAPE.get(verdict, ("○", TEXT))
    return (
        f'<p style="margin:6px 0;font-weight:600"><span style="color:{colour}" aria-hidden="true">{shape}</span> '
        f"{escape(as_sentence(sentence))}</p>"
    )


def _recommendation(best: Any) -> Bundle:
    title = f"The mixture to train on, by {best.n_runs} runs"
    figure = plots.mixture_bars(best.mixture.to_series(), best.baseline.to_series())
    gain = f"Gain over the baseline: {interval_words(best.gain, best.lower, best.upper, best.outcome)} in {clean(best.outcome)}"
    told = best.predicted
    expected = (
        f"Expected {clean(best.outcome)} {number_text(told['mean'])} ({number_text(told['lower'])} to {number_text(told['upper'])}), "
        f"baseline {number_text(best.baseline_outcome)}; {'lower' if best.minimize else 'higher'} is better."
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
    body = figure_svg(figure) + _verdict(best.verdict, verdict) + "".join(map(paragraph, lines))
    body += table(shares, "Change in percentage points", formats) + note_list(best.notes)
    text = text_lines(
        title, text_bars(best.mixture.shares, best.baseline.shares), as_sentence(best.verdict), *lines,
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
    reference = next((str(n) for n, d in found["difference"].items() if is_missing(d)), "")
    title = f"Checked by training: {clean(compared.outcome)}"
    figure = plots.comparison(found, compared.outcome, reference)
    formats = {"p": lambda p: f"{p:.3f}" if p >= 0.001 else "<0.001"}
    formats |= signed_formats(found[["difference", "lower", "upper"]].astype(float))
    frame = found.rename_axis("method")
    better = "lower" if compared.minimize else "higher"
    caption = (
        f"{clean(compared.outcome)} in {unit(compared.outcome)}, {better} is better; difference: {short(reference)} minus method "
        f"in the good direction, 95% paired t interval over {compared.n_seeds} seeds"
    )
    promised = _promise(compared)
    body = figure_svg(figure) + paragraph(as_sentence(compared.verdict), strong=True) + paragraph(promised)
    body += table(frame, caption, formats)
    shares = (
        _compared(next(iter(compared.mixtures.values())), compared.mixtures) if compared.mixtures else None
    )
    if shares is not None:
        body += table(shares, "The mixtures", dict.fromkeys(map(str, shares.columns), percent))
    text = text_lines(
        as_sentence(compared.verdict), *([promised] if promised else []), text_table(frame, formats), caption
    )
    return Bundle(card(title, body), text)


def _promise(compared: Any) -> str:
    """What the recommendation promised over its baseline, beside what training showed over equal shares."""
    if compared.promised is None:
        return ""
    gain, lower, upper = compared.promised
    said = f"Promised over the baseline: {interval_words(gain, lower, upper, compared.outcome)}"
    if "equal" not in compared.table.index:
        return said + "."
    row = compared.table.loc["equal"]
    got = interval_words(float(row["difference"]), float(row["lower"]), float(row["upper"]), compared.outcome)
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
    verdict = as_sentence(str(found.get("verdict", "")))
    warning = as_sentence(str(found.get("warning", "")))
    body += "".join(paragraph(text, strong=True) for text in (warning, verdict))
    body += "".join(map(paragraph, lines))
    tried, text = _tried(found), [title, *filter(None, (warning, verdict)), *lines]
    ends = "95% interval" if model.has_interval else "rough interval: fitted without an ensemble"
    said = f"change of {clean(outcome)} per unit of log share, {ends}"
    frame = returns[["estimate", "lower", "upper"]]
    signed = signed_formats(frame)
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
    return Bundle(card(title, body + note_list(notes), foot), text_lines(*text))


def _quality(model: Any) -> list[str]:
    """How well the model predicts, and what it could see, in sentences."""
    found, lines = model.diagnostics, []

    def known(name: str) -> bool:
        return isinstance(found.get(name), (int, float)) and math.isfinite(found[name])

    if known("cv_spearman"):
        line = f"Rank correlation with unseen mixtures: {number_text(found['cv_spearman'], decimals=2)}"
        if known("regmix_spearman"):
            line += f"; LightGBM on the mixture alone: {number_text(found['regmix_spearman'], decimals=2)}"
        if known("noise_ceiling"):
            line += f"; a perfect model would reach {number_text(found['noise_ceiling'], decimals=2)}"
        lines.append(line + ".")
    if known("smallest_detectable_gain"):
        gain = number_text(float(f"{found['smallest_detectable_gain']:.3g}"))
        gain += unit_after(model.outcome) or f" of {short(model.outcome)}"
        lines.append(f"Smallest gain that training with five seeds each would show: {gain}.")
    if known("calibration"):
        lines.append(f"Of the runs left out, {found['calibration']:.0%} fell inside their 95% interval.")
    lines += [as_sentence(str(found[name])) for name in ("assignment", "not_identified") if found.get(name)]
    return lines


def _tried(found: Mapping[str, Any]) -> pd.DataFrame | None:
    import pandas as pd

    scores = found.get("tried")
    if not isinstance(scores, Mapping) or not scores:
        return None
    frame = pd.DataFrame({"rank_correlation": pd.Series(dict(scores), dtype=float)}).rename_axis("method")
    frame["chosen"] = ["✓" if name == found.get("chosen") else "" for name in frame.index]
    return frame.sort_values("rank_correlation", ascending=False)


def _finding(found: Any) -> Bundle:
    """Any result that brings its own words: ``title``, ``sentences``, ``table`` (or what of it is ``shown``), perhaps figures."""
    said = [as_sentence(text) for text in found.sentences]
    figures = (
        found.figures() if hasattr(found, "figures") else [found.figure()] if hasattr(found, "figure") else []
    )
    body = "".join(map(figure_svg, figures))
    shown = getattr(found, "shown", found.table)
    body += "".join(paragraph(text, strong=i == 0) for i, text in enumerate(said)) + table(shown)
    return Bundle(card(found.title, body), text_lines(found.title, *said, "", text_table(shown)))


def _graph(graph: Any) -> Bundle:
    text = "\n".join(map(clean, graph.to_text().split("\n")))
    return Bundle(card("What causes what", picture(graph.to_svg())), text)


def _export(result: Any) -> Bundle:
    title = f"Written to {clean(result.path)}" if result.path else f"The mixture as {clean(result.format)}"
    lines = [clean(line.replace("\t", "    ")) for line in result.text.split("\n")]
    style = f"margin:0;padding:8px;overflow-x:auto;background:none;color:{TEXT};border:1px solid {LINE}"
    pre = f'<pre style="{style}">{html.escape(chr(10).join(lines))}</pre>'
    return Bundle(card(title, pre), "\n".join([title, *lines]))


def _check_up(found: Any) -> Bundle:
    """The verdict, then what was looked at in groups; what can be done stands as the line to type."""
    mark = {True: ("✓", GREEN), False: ("✗", ORANGE), None: ("–", TEXT)}
    edge = f"padding:2px 12px 2px 0;border-bottom:1px solid {LINE};vertical-align:top;text-align:left"
    groups = {"machine": "This machine", "packages": "Packages", "extras": "Extras"}
    body = _verdict(found.verdict, "better" if found.healthy else "worse")
    for group, heading in groups.items():
        some = [check for check in found.checks if check.group == group]
        rows = "".join(
            f'<tr><td style="{edge};color:{mark[c.ok][1]}">{mark[c.ok][0]}</td><th scope="row" style="{edge};font-weight:600">'
            f'{escape(c.name)}</th><td style="{edge}">{escape(c.found)}'
            + (f"<br><code>{escape(c.advice)}</code>" if c.advice else "")
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
    return Bundle(card("Is everything here?", body), text_lines(str(found)))


def _tutorial(found: Any) -> Bundle:
    title = f"{len(found.lessons)} notebooks in {clean(found.folder)}"
    rows = "".join(
        f"<li><strong>{escape(name)}</strong> – {escape(about)}</li>" for name, about in found.lessons.items()
    )
    body = f'<ol style="margin:4px 0;padding-left:1.6em">{rows}</ol>'
    foot = "Open the first one from the file browser and run it from the top."
    return Bundle(card(title, body, foot), text_lines(str(found), foot))


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
    "CheckUp": _check_up,
    "Tutorial": _tutorial,
}
