"""Cards of tables: the runs, the state of the pool, effects domain by domain, a response to one share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from causalmix_nb.cards.typesetting import Bundle, card, figure_svg, table, text_table
from causalmix_nb.plots import effects, mixtures
from causalmix_nb.plots.state import state_heatmap

if TYPE_CHECKING:
    import pandas as pd


def runs_card(runs: Any) -> Bundle:
    """What the runs are, what they scored, and where the best ones lie."""
    import pandas as pd

    frame, n, failed = runs.frame, len(runs), len(runs.keys("failed"))
    title = f"{n} runs over {len(runs.domains)} domains" + (f", {failed} failed" if failed else "")
    if not n - failed or not runs.outcome_names:
        return Bundle(
            card(title, "<p>%causalmix run makes some.</p>"), f"{title}\n%causalmix run makes some."
        )
    rows = {}
    for name in runs.outcome_names:
        values = frame[f"outcome.{name}"].astype(float).dropna()
        best = values.min() if runs.minimize[name] else values.max()
        better = "lower" if runs.minimize[name] else "higher"
        rows[name] = {
            "mean": values.mean(),
            "sd": values.std(),
            "best": best,
            "better": better,
            "runs": len(values),
        }
    scores = pd.DataFrame.from_dict(rows, orient="index").rename_axis("outcome")
    first = runs.outcome_names[0]
    shares = pd.DataFrame({name: frame[f"mixture.{name}"] for name in runs.domains})
    figure = mixtures.runs_mixtures(shares, frame[f"outcome.{first}"], first, runs.minimize[first])
    reasons = frame.loc[frame["status"] == "failed", "reason"].dropna().value_counts()
    why = "; ".join(f"{reason} ({count}x)" for reason, count in reasons.head(3).items())
    n = len(runs.state_names)
    state = f"{n} state column{'s' * (n > 1)}" if n else "no state"
    foot = f"{state}; failed: {why}" if why else state
    text = f"{title}\n{text_table(scores)}\n{foot}"
    return Bundle(card(title, figure_svg(figure) + table(scores), foot), text, figure)


def state_card(state: pd.DataFrame, title: str) -> Bundle:
    """How the domains differ."""
    foot = "loss: bits per byte under the scorer; top_token_entropy: bits of its least certain tokens; readability_grade: school grade; size: log10 tokens"
    figure = state_heatmap(state)
    text = f"{title}\n{text_table(state)}\n{foot}"
    return Bundle(card(title, figure_svg(figure), foot), text, figure)


def effects_card(frame: pd.DataFrame, outcome: str, minimize: bool, pairs: bool, together: bool) -> Bundle:
    """What more of each domain causes, or one domain rather than another."""
    title = "Causal effect of one domain in place of another" if pairs else "Marginal return of each domain"
    shown = frame
    if pairs:
        shown = frame.set_axis([f"{more} rather than {less}" for more, less in frame.index])
    figure = effects.marginal_returns(shown[["estimate", "lower", "upper"]], outcome, minimize)
    all_of = "simultaneous 95% intervals" if together else "95% intervals, each on its own"
    foot = (
        f"change of {outcome} per unit of log share, {'lower' if minimize else 'higher'} is better; {all_of}"
    )
    body = figure_svg(figure) + table(shown)
    return Bundle(card(title, body, foot), f"{title}\n{text_table(shown)}\n{foot}", figure)


def dose_card(
    frame: pd.DataFrame, domain: str, outcome: str, minimize: bool, baseline_share: float | None
) -> Bundle:
    """The outcome to be expected as one domain's share changes."""
    rows = frame.iloc[:: max(1, len(frame) // 6)].set_index("share")[["mean", "lower", "upper"]]
    title = f"Expected {outcome} as the share of {domain} changes"
    figure = effects.dose_response(frame, domain, outcome, minimize, baseline_share)
    text = text_table(rows, {"index": ".0%"} | dict.fromkeys(("mean", "lower", "upper"), ".4f"))
    return Bundle(card(title, figure_svg(figure)), f"{title}:\n{text}", figure)
