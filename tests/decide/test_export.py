"""Mixtures written for trainers, read back by what reads them."""

import json

import pytest
import yaml

from causalmix_nb.decide.export.export import export
from causalmix_nb.decide.export.formats.format import FORMATS
from causalmix_nb.errors import ExportError, MixtureError
from causalmix_nb.mixture import Mixture

THIRDS = Mixture({"math": 1 / 3, "code": 1 / 3, "web & more: <b>": 1 / 3})


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_shares_come_back_and_sum_to_exactly_1(tmp_path, suffix):
    path = export(THIRDS, tmp_path / f"mixture{suffix}", token_budget=1000).path
    content = yaml.safe_load(path.read_text())
    assert sum(round(share * 10**6) for share in content["mixture"].values()) == 10**6
    assert list(content["mixture"]) == list(THIRDS.domains) and content["token_budget"] == 1000


def test_llamafactory_gets_names_and_probabilities_in_the_same_order():
    content = yaml.safe_load(export(Mixture({"a": 0.25, "none": 0.0, "b": 0.75}), format="llamafactory").text)
    assert content["dataset"] == "a,b" and content["interleave_probs"] == "0.25,0.75"
    with pytest.raises(ExportError, match="commas"):
        export(Mixture({"a,b": 0.5, "c": 0.5}), format="llamafactory")


def test_the_datasets_script_runs_and_mixes(monkeypatch):
    import datasets

    made = {name: datasets.Dataset.from_dict({"text": [name] * 200}) for name in ("a", "it's")}
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: made[name])
    scope = {}
    exec(
        compile(
            export(Mixture({"a": 0.8, "b": 0.2}), format="datasets", sources={"b": "it's"}).text, "s", "exec"
        ),
        scope,
    )
    texts = scope["mixed"]["text"]
    assert abs(texts.count("a") / len(texts) - 0.8) < 0.08


def test_olmocore_gets_target_ratios():
    sources = yaml.safe_load(export(THIRDS, format="olmocore").text)["source_list"]["sources"]
    assert [s["source_name"] for s in sources] == list(THIRDS.domains)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_writes_something_for_hostile_names(form):
    assert export(Mixture({'"\n<script>': 0.5, "ünï": 0.5}), format=form).text


@pytest.mark.parametrize(
    ("name", "form", "said"),
    [
        ("m.json", "yamll", "Did you mean 'yaml'"),
        ("m.docx", None, "names no format"),
        ("no/such/m.json", None, "no folder"),
        ("there.json", None, "--overwrite"),
        ("\0.json", None, "cannot write"),
        ("m.yaml", "axolotl", "no mixing probabilities"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, name, form, said):
    (tmp_path / "there.json").write_text("{}")
    with pytest.raises(ExportError, match=said):
        export(THIRDS, tmp_path / name, form)
    assert (tmp_path / "there.json").read_text() == "{}"


def test_an_unknown_source_is_named():
    with pytest.raises(MixtureError, match="Did you mean 'math'"):
        export(THIRDS, sources={"maths": "x"})


def test_overwriting_replaces(tmp_path):
    (tmp_path / "m.json").write_text("{}")
    export(THIRDS, tmp_path / "m.json", overwrite=True)
    assert json.loads((tmp_path / "m.json").read_text())["mixture"]
