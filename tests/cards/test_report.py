"""The page of a study: whole, alone, escaped, and with code that makes the same again."""

import datetime
import re
from html.parser import HTMLParser

import pytest

from causalmix_nb.cards.report import SECTIONS, code, write_report
from causalmix_nb.errors import ExportError
from causalmix_nb.mixture import Mixture
from causalmix_nb.study.study import Study

EVIL = '<img src=x onerror="alert(1)">'


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def alone(html: str) -> Page:
    """The page, after it was made sure that it asks nobody for anything and runs nothing."""
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in html and "@import" not in html and "default-src 'none'" in html
    return page


@pytest.fixture(scope="module")
def reported(_finished, tmp_path_factory):
    """A study with every step made, and its page."""
    import shutil

    folder = shutil.copytree(_finished.folder, tmp_path_factory.mktemp("report") / "study")
    study = Study.open(folder)
    study.fit(method="gp")
    study.optimize(n_candidates=1000, constraints={"cap": {"apples": 0.5}})
    study.compare(
        ["equal", Mixture({"apples": 0.5, "bolts": 0.25, "sums": 0.25})], n_seeds=2, executor="inline"
    )
    path = folder.parent / "page.html"
    return study, write_report(study, path, today=datetime.date(2026, 1, 2)), path.read_text()


def test_the_page_has_every_section_and_asks_nobody_for_anything(reported):
    study, report, html = reported
    page = alone(html)
    assert report.sections == tuple(SECTIONS) and report.size == len(html.encode()) < 2_000_000
    for said in ("Recommendation", "2026-01-02", "Validated by training", "Marginal returns", "apples"):
        assert said in page.text
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) > 10 and all(attributes["alt"] for attributes in pictures)
    assert "prefers-color-scheme: dark" in html and "@media print" in html
    ids = re.findall(r' id="([^"]*)"', html)
    assert {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"} == set(ids)


def test_the_code_on_the_page_gives_the_same_mixture(reported):
    study, _, html = reported
    text = code(study)
    assert text.split("\n")[-2] in Page(html).text
    lines = [line for line in text.split("\n") if "export" not in line and "compare" not in line]
    names: dict = {}
    exec("\n".join(lines), names)
    assert names["study"].recommendation.mixture == study.recommendation.mixture
    assert "Mixture({'apples': 0.5" in text and "n_seeds=2" in text


def test_a_page_is_not_written_over_a_file_unless_asked(reported, tmp_path):
    study, _, _ = reported
    path = tmp_path / "new" / "page.html"
    study.report(path)
    path.write_text("mine")
    with pytest.raises(ExportError, match="is there already; name another file"):
        study.report(path)
    assert path.read_text() == "mine"
    assert study.report(path, overwrite=True).size > 1000
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]
    with pytest.raises(ExportError, match="is a folder"):
        study.report(tmp_path)


def test_steps_that_were_not_made_are_named_and_not_made(study, tmp_path):
    report = study.report(tmp_path / "page.html")
    text = alone((tmp_path / "page.html").read_text()).text
    assert report.sections == ("Status", "Pool", "Graph", "Code")
    assert "%causalmix run makes it" in text and study.model is None and not len(study.runs)


def test_imported_runs_with_hostile_names_have_a_page_too(tmp_path):
    import numpy as np
    import pandas as pd

    from causalmix_nb.runs.store import Runs

    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1], 40)
    runs = Runs.from_frames(
        pd.DataFrame(shares, columns=[EVIL, "code", "b" * 200]),
        pd.DataFrame({f"{EVIL}😀\u202e": shares[:, 0] + rng.normal(0, 0.05, 40)}),
    )
    study = Study.from_runs(runs)
    study.fit(method="linear")
    study.optimize(n_candidates=500)
    study.report(tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    alone(html)
    assert "<img src=x" not in html and "&lt;img src=x" in html and "\u202e" not in html
