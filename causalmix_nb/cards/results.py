"""What a result looks like: a card of HTML in a notebook, the same in words in a terminal.

:func:`render` makes a :class:`Bundle` of any result. One that brings its words (:class:`causalmix_nb.finding.Finding`) needs no more; a kind
with a card of its own registers it, here or beside the kind (``render.register``). The picture comes first, the table under it. Whatever comes
from data is escaped; colours follow the page, light or dark.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from causalmix_nb.cards.runs import runs_card
from causalmix_nb.cards.status import StudyStatus
from causalmix_nb.cards.study import check_up_card, pool_card, status_card
from causalmix_nb.cards.typesetting import (
    COLUMNS,
    LINE,
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
    verdict_line,
)
from causalmix_nb.data.pool import Pool
from causalmix_nb.decide.comparison import Comparison
from causalmix_nb.decide.export.export import ExportResult
from causalmix_nb.decide.policy import Recommendation
from causalmix_nb.estimate.model import Effect, Model
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.launch.checkup import CheckUp
from causalmix_nb.launch.launch import Progress, RunReport
from causalmix_nb.mixture import Mixture
from causalmix_nb.plots import effects, mixtures, sparklines
from causalmix_nb.plots.pictures import clean, percent, picture, short, unit
from causalmix_nb.plots.style import BLUE, ORANGE
from causalmix_nb.runs.store import Runs

if TYPE_CHECKING:
    import pandas as pd


@singledispatch
def render(result: Any) -> Bundle | None:
    """The card of a result, or None for something that has none."""
    match result:
        case object(title=str(), sentences=_, table=_):
            return _finding(result)
    return None


# -- results ---------------------------------------------------------------------------------------------


@render.register
def _mixture(mixture: Mixture) -> Bundle:
    title = f"A mixture of {len(mixture)} domains"
    figure = mixtures.mixture_bars(mixture.to_series(), names=("mixture", ""))
    return Bundle(card(title, figure_svg(figure)), text_lines(title, text_bars(mixture.shares)), figure)


@render.register
def _run_report(report: RunReport) -> Bundle:
    left = report.requested - report.reused - report.done - report.failed
    title = f"{report.reused + report.done} of {report.requested} runs recorded"
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


@render.register
def _progress(progress: Progress) -> Bundle:
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


@render.register
def _effect(effect: Effect) -> Bundle:
    verdict = effect.verdict
    label = effect.label or "effect"
    change = interval_words(effect.estimate, effect.lower, effect.upper, effect.outcome, effect.level)
    sentence = f"{clean(label)} changes {clean(effect.outcome)} by {change}: {verdict}."
    direction = "lower" if effect.minimize else "higher"
    foot = f"{effect.n_runs} runs; {direction} {clean(effect.outcome)} is better"
    changes = {name: change for name, change in effect.contrast.items() if abs(change) >= 5e-4}
    moved = ", ".join(
        f"{short(name)} {100 * change:+.3g}".replace("-", "−") for name, change in changes.items()
    )
    moved = f"Shares move by (percentage points): {moved}." if moved else "No share moves."
    figure = effects.effect(
        effect.estimate, effect.lower, effect.upper, effect.outcome, bool(effect.minimize), label
    )
    body = figure_svg(figure) + verdict_line(sentence, verdict) + paragraph(moved)
    text = text_lines(as_sentence(sentence), "  " + moved, "  " + foot)
    return Bundle(card(f"Causal effect of {label}", body, foot), text, figure)


@render.register
def _recommendation(best: Recommendation) -> Bundle:
    title = f"Recommended mixture (fitted on {best.n_runs} runs)"
    figure = mixtures.mixture_bars(best.mixture.to_series(), best.baseline.to_series())
    gain = f"Gain over the baseline: {interval_words(best.gain, best.lower, best.upper, best.outcome)} in {clean(best.outcome)}"
    predicted = best.predicted
    expected = (
        f"Expected {clean(best.outcome)} {number_text(predicted['mean'])} ({number_text(predicted['lower'])} to {number_text(predicted['upper'])}), "
        f"baseline {number_text(best.baseline_outcome)}; {'lower' if best.minimize else 'higher'} is better."
    )
    worn = {name: count for name, count in best.epochs.items() if count > 1}
    epochs = "Epochs above 1: " + ", ".join(f"{short(n)} {c:.1f} times" for n, c in worn.items()) + "."
    worth = best.value
    judged = [as_sentence(text) for text in worth.sentences] if worth else []
    lines = [gain + ".", *judged, expected, *([epochs] if worn else [])]
    foot = f"{clean(best.policy)} policy; the mixture lies {clean(best.support)}. Validate by training: %causalmix compare"
    verdict = "better" if best.lower > 0 else "open"
    shares = _compared(best.mixture, {"recommended": best.mixture, "baseline": best.baseline})
    shares["change"] = shares["recommended"] - shares["baseline"]
    formats = {
        "recommended": percent,
        "baseline": percent,
        "change": lambda x: f"{100 * x:+.1f}".replace("-", "−"),
    }
    spark = picture(sparklines.interval(best.gain, best.lower, best.upper, gain))
    body = figure_svg(figure) + verdict_line(best.verdict, verdict)
    body += f'<div style="margin:4px 0">{spark} {escape(gain)}.</div>' + "".join(map(paragraph, lines[1:]))
    body += table(shares, "Change in percentage points", formats) + note_list(best.notes)
    text = text_lines(
        title, text_bars(best.mixture.shares, best.baseline.shares), as_sentence(best.verdict), *lines,
        *(f"note: {clean(note)}" for note in best.notes), foot,
    )  # fmt: skip
    return Bundle(card(title, body, foot), text, figure)


def _compared(first: Any, mixtures: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame({name: mixture.to_series() for name, mixture in mixtures.items()}).fillna(0.0)
    return frame.reindex([*first.domains, *(d for d in frame.index if d not in first.domains)]).rename_axis(
        "domain"
    )


@render.register
def _comparison(compared: Comparison) -> Bundle:
    found = compared.table
    reference = next((str(n) for n, d in found["difference"].items() if is_missing(d)), "")
    title = f"Validated by training: {clean(compared.outcome)}"
    figure = effects.comparison(found, compared.outcome, reference)
    formats = {"p": lambda p: f"{p:.3f}" if p >= 0.001 else "<0.001"}
    formats |= signed_formats(found[["difference", "lower", "upper"]].astype(float))
    frame = found.rename_axis("method")
    better = "lower" if compared.minimize else "higher"
    caption = (
        f"{clean(compared.outcome)} in {unit(compared.outcome)}, {better} is better; difference: {short(reference)} minus method "
        f"in the good direction, 95% paired t interval over {compared.n_seeds} seeds"
    )
    predicted = _predicted(compared)
    body = figure_svg(figure) + paragraph(as_sentence(compared.verdict), strong=True) + paragraph(predicted)
    body += table(frame, caption, formats)
    shares = (
        _compared(next(iter(compared.mixtures.values())), compared.mixtures) if compared.mixtures else None
    )
    if shares is not None:
        body += table(shares, "The mixtures", dict.fromkeys(map(str, shares.columns), percent))
    text = text_lines(
        as_sentence(compared.verdict),
        *([predicted] if predicted else []),
        text_table(frame, formats),
        caption,
    )
    return Bundle(card(title, body), text, figure)


def _predicted(compared: Any) -> str:
    """The gain that was predicted over the baseline, beside the one that training showed over equal shares."""
    if compared.predicted is None:
        return ""
    gain, lower, upper = compared.predicted
    gained = f"Predicted gain over the baseline: {interval_words(gain, lower, upper, compared.outcome)}"
    if "equal" not in compared.table.index:
        return gained + "."
    row = compared.table.loc["equal"]
    got = interval_words(float(row["difference"]), float(row["lower"]), float(row["upper"]), compared.outcome)
    return f"{gained}; observed over equal: {got}."


@render.register
def _model(model: Model) -> Bundle:
    found, outcome = model.diagnostics, model.outcome
    title = f"Fitted model of {clean(outcome)}"
    returns = model.marginal_return()
    figure = effects.marginal_returns(returns, outcome, bool(model.minimize))
    body = figure_svg(figure)
    lines = _quality(model)
    verdict = as_sentence(str(found.get("verdict", "")))
    warning = as_sentence(str(found.get("warning", "")))
    body += "".join(paragraph(text, strong=True) for text in (warning, verdict))
    body += "".join(map(paragraph, lines))
    tried, text = _tried(found), [title, *filter(None, (warning, verdict)), *lines]
    ends = "95% interval" if model.has_interval else "rough interval: fitted without an ensemble"
    unit = f"change of {clean(outcome)} per unit of log share, {ends}"
    frame = returns[["estimate", "lower", "upper"]]
    signed = signed_formats(frame)
    body += table(frame, "Marginal returns: " + unit, signed)
    text += ["", f"Marginal returns ({unit}):", text_table(frame, signed)]
    if tried is not None:
        form = {"rank_correlation": ".2f"}
        body += table(tried, "Methods tried, by rank correlation on unseen mixtures", form)
        text += ["", text_table(tried, form)]
    notes = [str(note) for note in model.problem.notes]
    direction = "lower" if model.minimize else "higher"
    foot = f"{model.method}, {model.problem.n_runs} runs; {direction} {clean(outcome)} is better"
    text += [*(f"note: {clean(note)}" for note in notes), foot]
    return Bundle(card(title, body + note_list(notes), foot), text_lines(*text), figure)


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
        lines.append(f"Minimum detectable gain (80 % power, five seeds each): {gain}.")
    if known("calibration"):
        lines.append(
            f"Of the runs left out, {found['calibration']:.0%} fell inside their 95% prediction interval."
        )
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
    sentences = [as_sentence(text) for text in found.sentences]
    figures = (
        found.figures() if hasattr(found, "figures") else [found.figure()] if hasattr(found, "figure") else []
    )
    body = "".join(map(figure_svg, figures))
    shown = getattr(found, "shown", found.table)
    body += "".join(paragraph(text, strong=i == 0) for i, text in enumerate(sentences)) + table(shown)
    text = text_lines(found.title, *sentences, "", text_table(shown))
    return Bundle(card(found.title, body), text, figures[0] if figures else None)


@render.register
def _graph(graph: CausalGraph) -> Bundle:
    text = "\n".join(map(clean, graph.to_text().split("\n")))
    return Bundle(card("Causal graph", picture(graph.to_svg())), text)


@render.register
def _export(result: ExportResult) -> Bundle:
    beside = "".join(f", with {clean(name)} beside it" for name in getattr(result, "files", {}))
    title = (
        f"Written to {clean(result.path)}{beside}"
        if result.path
        else f"The mixture as {clean(result.format)}"
    )
    lines = [clean(line.replace("\t", "    ")) for line in result.text.split("\n")]
    style = f"margin:0;padding:8px;overflow-x:auto;background:none;color:{TEXT};border:1px solid {LINE}"
    pre = f'<pre style="{style}">{html.escape(chr(10).join(lines))}</pre>'
    at: dict[str, Any] = {"break_on_hyphens": False, "replace_whitespace": False, "drop_whitespace": False}
    folded = [part for line in (title, *lines) for part in textwrap.wrap(line, COLUMNS, **at) or [""]]
    return Bundle(card(title, pre), "\n".join(folded))


render.register(CheckUp, check_up_card)
render.register(Pool, pool_card)
render.register(Runs, runs_card)
render.register(StudyStatus, status_card)
