"""Cards: every result has one, in HTML and in words, and nothing from data gets out of its text."""

import base64
import html
import math
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.answers.interventions import do
from causalmix_nb.cards import results, study, typesetting
from causalmix_nb.cards.status import StudyStatus
from causalmix_nb.data.pool import Pool
from causalmix_nb.decide.comparison import compare_outcomes
from causalmix_nb.decide.export.export import export
from causalmix_nb.decide.policy import Recommendation, optimize
from causalmix_nb.estimate.model import Effect
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.launch.launch import Progress, RunReport
from causalmix_nb.methods.fit import fit
from causalmix_nb.mixture import Mixture
from causalmix_nb.plots import mixtures, pictures
from known_truth import DOMAINS, make_runs, make_world

EVIL = "<img src=x onerror=alert(1)>\"'\n\x1b[31m\u202e😀"
OPEN = {"br", "img", "input", "path", "circle"}


class Elements(HTMLParser):
    """The tags of a page, and whether they nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.stack, self.attributes, self.sources = set(), [], set(), []
        self.feed(page)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value for name, value in attrs if name == "src"]

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def compared(names=("causalmix", "equal", "regmix"), outcome="bpb"):
    rng = np.random.default_rng(0)
    values = rng.normal(2, 0.01, (3, 5)) + np.array([[0], [0.05], [0.003]])
    mixtures = {name: Mixture.equal(DOMAINS) for name in names}
    frame = pd.DataFrame(values, index=list(names))
    return compare_outcomes(frame, mixtures, outcome, True, reference=names[0], predicted=(0.04, 0.01, 0.07))


def recommendation(name: str = "math", **changes) -> Recommendation:
    fields = {
        "mixture": Mixture({name: 0.7, "code": 0.3}),
        "gain": 0.04, "se": 0.01, "lower": 0.02, "upper": 0.06,
        "verdict": f"better than {name} by 0.02 to 0.06", "baseline": Mixture({name: 0.5, "code": 0.5}),
        "baseline_outcome": 2.0, "predicted": {"mean": 1.96, "lower": 1.94, "upper": 1.98},
        "policy": "surface", "support": "inside what the runs cover", "distance": 0.7, "epochs": {name: 2.5, "code": 0.5},
        "outcome": "bpb", "minimize": True, "n_runs": 64, "notes": (f"a note on {name}",),
    }  # fmt: skip
    return Recommendation(**fields | changes)


def effect(label: str = "do(math=0.4)", outcome: str = "bpb", lower: float = -0.03) -> Effect:
    return Effect(-0.02, 0.005, lower, -0.01, 64, {label: 0.2, "code": -0.2}, 0.95, label, outcome, True)


@pytest.fixture(scope="module")
def runs():
    return make_runs(make_world(), 48, repeats=8, minimize=True)


@pytest.fixture(scope="module")
def model(runs):
    return fit(runs, method="gp")


WITH_PNG = ("mixture", "effect", "recommendation", "comparison")  # drawn as one figure


def simple_results() -> dict:
    return {
        "mixture": Mixture({"math": 0.7, "code": 0.3}),
        "pool": Pool.from_dict({"math": ["1 + 1 = 2"] * 40, "code": ["def f(): ..."] * 90}),
        "report": RunReport(128, 40, 70, 3, 81.2, 52_000.0, True, ("out of memory", "no space", "no space")),
        "progress": Progress("proxy runs", 37, 128, 2, 51_234.0, 345.0, 1.73, "run ab12"),
        "effect": effect(),
        "recommendation": recommendation(),
        "comparison": compared(),
        "status": StudyStatus("2 domains", "a -> b", "128 runs", "gp on bpb", "not yet", "not yet", "%causalmix optimize"),
        "graph": CausalGraph.parse("state -> mixture; state -> score; mixture -> score"),
        "export": export(Mixture({"math": 0.7, "code": 0.3}), format="yaml"),
    }  # fmt: skip


def hostile_results() -> dict:
    return {
        "mixture": Mixture({EVIL: 0.7, "code": 0.3}),
        "pool": Pool.from_dict({EVIL.replace("\n", " "): ["1 + 1 = 2"] * 40, "code": ["def f(): ..."] * 90}),
        "report": RunReport(128, 40, 70, 3, 81.2, 52_000.0, True, (EVIL, EVIL, EVIL)),
        "progress": Progress(EVIL, 37, 128, message=EVIL),
        "effect": effect(EVIL, EVIL),
        "recommendation": recommendation(EVIL, outcome=EVIL, support=EVIL, policy=EVIL),
        "comparison": compared((EVIL, "equal", EVIL + "2"), EVIL),
        "status": StudyStatus(*[EVIL] * 7),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(simple_results()))
def test_every_result_has_a_card_and_words(name):
    bundle = results.render(simple_results()[name])
    Elements(bundle.html)
    found = bundle._repr_mimebundle_()
    assert set(found) - {"image/png"} == {"text/html", "text/plain"}
    assert ("image/png" in found) == (name in WITH_PNG)
    assert set(bundle._repr_mimebundle_(include={"text/plain"})) == {"text/html", "text/plain"}
    assert repr(bundle) == bundle.text and not re.search("<[a-z/]", bundle.text)
    assert max(map(len, bundle.text.split("\n"))) <= typesetting.COLUMNS


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(hostile_results()))
def test_hostile_names_appear_only_escaped(name):
    bundle = results.render(hostile_results()[name])
    elements = Elements(bundle.html)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in elements.sources)
    assert not {a for a in elements.attributes if a.startswith("on")}
    assert "&lt;img" in bundle.html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", bundle.html + bundle.text)


@pytest.mark.filterwarnings("error")
def test_a_model_shows_returns_quality_and_the_methods_tried(model):
    bundle = results.render(model)
    Elements(bundle.html)
    assert "Fitted model of score" in bundle.html and "<img" in bundle.html
    for text in (bundle.html, bundle.text):
        assert "LightGBM on the mixture alone" in text and "a perfect model would" in " ".join(text.split())
        assert "Minimum detectable gain" in text and "regmix" in text
        assert all(domain in text for domain in DOMAINS)


def test_what_a_real_study_says_renders_too(model):
    best = optimize(model, n_candidates=500)
    for result in (best, do(model, {"math": 0.4})):
        bundle = results.render(result)
        assert "<img" in bundle.html and "interval" in bundle.text


def test_pictures_come_before_tables():
    for name in ("recommendation", "comparison"):
        html = results.render(simple_results()[name]).html
        assert html.index("<img") < html.index("<table")


def test_the_png_is_small_and_goes_where_html_does_not():
    import io

    from PIL import Image

    data = base64.b64decode(results.render(recommendation())._repr_mimebundle_()["image/png"])
    image = Image.open(io.BytesIO(data))
    assert len(data) < 15_000 and image.size[0] > 500
    assert image.convert("RGBA").getpixel((1, 1))[3] == 0  # transparent: the page's own ground shows


def test_a_status_draws_what_stands_behind_its_words():
    numbers = {
        "shares": {"math": 0.7, EVIL: 0.3}, "scores": (1.0, 1.2, float("nan")), "minimize": True, "rank": (0.8, 0.9),
        "best": {"math": 0.6, EVIL: 0.4}, "baseline": {"math": 0.5, EVIL: 0.5}, "gain": (0.1, 0.05, 0.2),
        "checked": ((EVIL, 0.1, -0.1, 0.3),),
    }  # fmt: skip
    words = (
        "2 domains",
        "a -> b",
        "3 runs",
        "gp on bpb",
        "better",
        "not yet in this session",
        "%causalmix compare",
    )
    bundle = results.render(StudyStatus(*words, **numbers))
    Elements(bundle.html)
    told = [html.unescape(alt) for alt in re.findall('alt="([^"]*)"', bundle.html)]
    assert told[0] == "Done: pool, graph, runs, fit, recommendation; next: comparison."
    assert any("best 1" in alt for alt in told) and any("at most 0.90" in alt for alt in told)
    assert any("math 60% (was 50%)" in alt for alt in told) and any("gain +0.1" in alt for alt in told)
    assert len(told) == 7 and "<img src=x" not in bundle.html and len(bundle.html) < 15_000


def test_the_states_of_the_runs_are_drawn_around_that_of_the_pool():
    state = pd.DataFrame({"loss": [2.0, 3.0], "size": [4.0, 5.0]}, index=[EVIL, "code"])
    trained = pd.DataFrame({f"{name}.loss": [1.0, 2.5, 4.0] for name in state.index})
    bundle = study.state_sparklines(state, trained)
    Elements(bundle.html)
    assert "code, loss: 3; runs from 1 to 4" in bundle.html and bundle.html.count("<img") == 2
    assert study.state_sparklines(state, None).html.count("<img") == 0


def test_an_effect_that_may_be_none_says_so():
    assert "better" in results.render(effect()).text.split("\n")[0]
    unsure = Effect(
        -0.02, 0.02, -0.06, 0.02, 64, {"math": 0.2, "code": -0.2}, 0.95, "do(math=0.4)", "bpb", True
    )
    assert "not distinguishable from no effect" in results.render(unsure).text.replace("\n  ", " ")


def test_an_estimate_without_interval_says_so():
    nan = float("nan")
    bundle = results.render(recommendation(lower=nan, upper=nan, se=nan))
    assert "no interval" in bundle.text and "no interval" in bundle.html


def test_numbers_carry_units_and_as_many_digits_as_their_interval_justifies():
    assert "−0.020 bits per byte (95% interval −0.030 to −0.010)" in results.render(effect()).text.replace(
        "\n  ", " "
    )


def test_a_recommendation_names_data_seen_more_than_once():
    assert "math 2.5 times" in results.render(recommendation()).text
    assert "more than once" not in results.render(recommendation(epochs={"math": 0.9})).text


def test_a_comparison_sets_what_was_predicted_beside_what_was_observed():
    text = " ".join(results.render(compared()).text.split())
    assert (
        "Predicted gain over the baseline: +0.040 bits per byte" in text
        and "observed over equal: +0.05" in text
    )


def test_progress_is_one_line_with_the_time_left():
    text = results.render(simple_results()["progress"]).text
    assert "\n" not in text and "37/128" in text and "05:45 left" in text and "2 failed" in text
    unknown = results.render(Progress("state", 0, 0)).text
    assert "nan" not in unknown and "left" not in unknown


def test_the_next_step_stands_out():
    bundle = results.render(simple_results()["status"])
    assert (
        "<strong>%causalmix optimize</strong>" in bundle.html and "→ next: %causalmix optimize" in bundle.text
    )


def test_other_things_have_no_card():
    assert (
        results.render(3) is None
        and results.render("text") is None
        and results.render(pd.DataFrame()) is None
    )


def test_tables_escape_and_align_and_leave_out_what_is_too_long():
    frame = pd.DataFrame({"<a>": [1.5, np.nan], "b_c": ["<i>", None]}, index=pd.Index(["x", "<y>"], name="d"))
    html = typesetting.table(frame, "<caption>", {"<a>": ".2f"})
    assert "<i>" not in html and "<y>" not in html and "<caption>" not in html
    assert "1.50" in html and "–" in html and "b c" in html
    assert re.search(r'scope="row" style="[^"]*nowrap[^"]*">x<', html) and not re.search(
        r'scope="col" style="[^"]*nowrap', html
    )
    assert "… and 60 more rows" in typesetting.table(pd.DataFrame({"n": range(100)}))
    wide = typesetting.text_table(pd.DataFrame({f"column {k}": ["漢字" * 20] for k in range(6)}))
    assert max(map(typesetting.display_width, wide.split("\n"))) <= typesetting.COLUMNS


def test_a_table_of_text_too_wide_for_a_line_breaks_its_headers_and_no_number():
    names = [
        f"{outcome}_{part}" for outcome in ("code_loss", "web_loss") for part in ("lower", "upper", "gain")
    ]
    frame = pd.DataFrame({"mixture.web": [0.25, 4.7e-8]} | {name: [1.2345, math.inf] for name in names})
    lines = typesetting.text_table(frame, columns=60).split("\n")
    assert max(map(len, lines)) <= 60 and "…" not in "".join(lines)
    assert lines[-3].split() == ["web", *(["lower", "upper", "gain"] * 2)]
    assert lines[-2].split() == ["0", "25.0%", *["1.234"] * 6] and lines[-1].split() == [
        "1",
        "0.0%",
        *"∞" * 6,
    ]
    assert typesetting.text_table(pd.DataFrame({"a": []}), columns=1)


def test_a_figure_is_an_image_with_its_alternative_text():
    image = typesetting.figure_svg(mixtures.mixture_bars(pd.Series({"math": 0.7, "code": 0.3})))
    assert image.startswith('<img alt="Bars: ') and "math 70%" in image
    drawn = base64.b64decode(re.search(r"base64,([^\"]*)", image)[1]).decode()
    assert drawn.startswith("<svg") and f'color="{pictures.INK}"' in drawn and ">math</text>" in drawn
