"""Figures: they say what they show, survive any name, and fit any page."""

import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.plots import effects, learning, mixtures, pictures, state, style

DOMAINS = ["math", "code", "web"]
HOSTILE = [
    "<script>alert('x')</script>",
    "$x^2$ and $ \\frac{",
    "مرحبا بالعالم",
    "😀 emoji 漢字",
    "_" + "long" * 100 + "\n\x00\x1b[31m\u202e",
    "#777777 fill: #777777",
]


def shares(names) -> pd.Series:
    return pd.Series(np.arange(1, len(names) + 1) / (len(names) * (len(names) + 1) / 2), index=names)


def estimates(names) -> pd.DataFrame:
    centre = np.linspace(-0.1, 0.1, len(names))
    return pd.DataFrame({"estimate": centre, "lower": centre - 0.05, "upper": centre + 0.05}, index=names)


def compared(names) -> pd.DataFrame:
    numbers = estimates(names).rename(columns={"estimate": "difference"})
    numbers["verdict"] = "not significant"
    numbers.loc["causalmix"] = [np.nan, np.nan, np.nan, None]
    return numbers


def response() -> pd.DataFrame:
    share = np.linspace(0, 0.8, 9)
    mean = 1.8 + (share - 0.4) ** 2
    return pd.DataFrame({"share": share, "mean": mean, "lower": mean - 0.05, "upper": mean + 0.05})


def every_figure(names) -> dict:
    rng = np.random.default_rng(0)
    runs = pd.DataFrame(rng.dirichlet(np.ones(len(names)), 40), columns=names)
    y = pd.Series(rng.normal(size=40))
    return {
        "mixture": mixtures.mixture_bars(shares(names), shares(names)[::-1]),
        "mixture alone": mixtures.mixture_bars(shares(names), names=(names[0], "")),
        "dose": effects.dose_response(response(), names[0], names[-1], True, 0.2),
        "returns": effects.marginal_returns(estimates(names), names[0]),
        "effect": effects.effect(-0.02, -0.03, -0.01, "bpb", True, f"do({names[0]}=0.4)"),
        "comparison": effects.comparison(compared(names), names[0], "causalmix"),
        "predicted": learning.predicted_vs_observed(y, y + 1, names[0]),
        "state": state.state_heatmap(pd.DataFrame(runs.to_numpy()[: len(names)], index=names, columns=names)),
        "runs": mixtures.runs_mixtures(runs, y, names[0], minimize=True),
    }


def texts(figure) -> str:
    return " ".join(ET.fromstring(pictures.to_svg(figure)).itertext())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("names", [DOMAINS, HOSTILE, ["a", "b"]], ids=["plain", "hostile", "two"])
def test_every_figure_draws_without_a_warning_and_says_what_it_shows(names):
    for figure in every_figure(names).values():
        figure.savefig(io.BytesIO(), format="png")
        svg = pictures.to_svg(figure)
        assert len(figure.alt) > 20 and figure.alt.isprintable()
        assert ET.fromstring(svg).get("aria-label") == figure.alt
        assert "<script" not in svg


@pytest.mark.parametrize("name", list(every_figure(DOMAINS)))
def test_a_page_may_hold_any_number_of_figures(name):
    svg = pictures.to_svg(every_figure(DOMAINS)[name])
    assert not re.search(r"\b(id|href|clip-path)=|<style|url\(", svg)
    assert len(svg) < 40_000


def test_ink_is_the_colour_of_the_pages_text():
    svg = pictures.to_svg(effects.marginal_returns(estimates(DOMAINS), "bpb"))
    assert "fill: currentColor" in svg and "stroke: currentColor" in svg and pictures.INK not in svg
    assert style.GREEN.lower() in svg and style.ORANGE.lower() in svg


def test_names_are_drawn_as_they_are():
    said = texts(mixtures.mixture_bars(shares(HOSTILE)))
    assert "$x^2$ and $ \\frac{" in said and "#777777 fill: #777777" in said and "😀 emoji 漢字" in said


def test_the_interval_is_drawn():
    lines = effects.marginal_returns(estimates(DOMAINS), "bpb").axes[0].get_lines()
    spans = [tuple(line.get_xdata()) for line in lines if len(line.get_xdata()) == 2]
    for row in estimates(DOMAINS).itertuples():
        assert (row.lower, row.upper) in spans


def test_axes_carry_units():
    figure = effects.comparison(compared(DOMAINS), "bpb.math", "causalmix")
    assert "bits per byte" in figure.axes[0].get_xlabel()
    assert "lower is better" in effects.dose_response(response(), "math", "bpb", True).axes[0].get_ylabel()


def test_the_direction_of_the_outcome_decides_what_is_better():
    up = effects.effect(0.2, 0.1, 0.3, "accuracy").alt
    down = effects.effect(0.2, 0.1, 0.3, "bpb", minimize=True).alt
    assert "better" in up and "worse" in down
    assert "not distinguishable" in effects.effect(0.2, -0.1, 0.3, "accuracy").alt


def test_an_estimate_without_interval_is_drawn_as_a_dot():
    assert "not distinguishable" in effects.effect(0.2, float("nan"), float("nan"), "accuracy").alt


def test_the_best_share_follows_the_direction():
    assert "best at 40% with 1.8 (" in effects.dose_response(response(), "math", "bpb", True).alt
    assert "best at 0% with 1.96 (" in effects.dose_response(response(), "math", "accuracy").alt


def test_many_domains_leave_the_smallest_out_and_say_so():
    figure = mixtures.mixture_bars(shares([f"domain {k}" for k in range(50)]))
    assert "20 more domains" in figure.axes[0].get_xlabel()
    assert "domain 49" in texts(figure) and "domain 3 " not in texts(figure) + " "


def test_settings_outside_neither_change_the_figure_nor_are_changed():
    import matplotlib

    before = pictures.to_svg(mixtures.mixture_bars(shares(DOMAINS)))
    with matplotlib.rc_context({"axes.grid": True, "font.size": 30, "lines.linewidth": 9}):
        inside = dict(matplotlib.rcParams)
        assert pictures.to_svg(mixtures.mixture_bars(shares(DOMAINS))) == before
        assert dict(matplotlib.rcParams) == inside


def test_a_share_stands_beside_its_bar_and_past_a_stroke_that_would_run_through_it():
    mixture, baseline = (
        pd.Series({"far": 0.1, "near": 0.3, "over": 0.6}),
        pd.Series(1 / 3, ["far", "near", "over"]),
    )
    notes = [
        text
        for text in mixtures.mixture_bars(mixture, baseline).axes[0].texts
        if text.get_text().endswith("%")
    ]
    assert [text.get_text() for text in notes] == ["10%", "30%", "60%"]
    assert [text.xy[0] for text in notes] == pytest.approx([0.1, 1 / 3, 0.6])


def test_a_notebook_shows_the_picture_with_its_alternative_text():
    figure = mixtures.mixture_bars(shares(DOMAINS))
    assert figure._repr_html_().startswith('<img alt="Bars: ')
