"""A study exports what it knows: lengths, sources, budget, verdict; files are written whole or not at all."""

import dataclasses
import json
import os

import pytest
import yaml

from causalmix_nb.data.pool import Perturbation, Pool
from causalmix_nb.decide.export.export import export
from causalmix_nb.decide.export.formats.format import FORMATS
from causalmix_nb.decide.policy import Recommendation
from causalmix_nb.errors import ExportError, StudyError
from causalmix_nb.mixture import Mixture
from causalmix_nb.study.study import Study
from tiny import TINY, sentences

SHARES = {"apples": 0.7, "bolts": 0.3}
BEST = Recommendation(
    Mixture(SHARES), 0.031, 0.01, 0.011, 0.051, "better than equal shares by 0.011 to 0.051 of bpb (95% interval)",
    Mixture.equal(["apples", "bolts"]), 2.0, {"mean": 1.97, "lower": 1.95, "upper": 1.99}, "surface",
    "inside what the runs cover", 0.8, {}, "bpb", True, 64, ("trained on little",),
)  # fmt: skip
UNSURE = dataclasses.replace(
    BEST, lower=-0.01, upper=0.07, verdict="not distinguishable from equal shares (gain -0.01 to 0.07 of bpb, 95% interval)"
)  # fmt: skip


@pytest.fixture(scope="module")
def _study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, rows in (("apples", [" ".join(sentences("apple", 40))] * 30), ("bolts", sentences("bolt", 80))):
        rows = [json.dumps({"content": f"{i} {row}", "id": i}) for i, row in enumerate(rows)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    return Study.create(folder / "study", Pool.from_files(folder / "*.jsonl"), config=TINY)


@pytest.fixture(params=["in its session", "reopened"])
def study(_study, request):
    found = _study if request.param == "in its session" else Study.open(_study.folder)
    found.recommendation, found.arguments = BEST, {}
    return found


def test_a_study_passes_lengths_and_sources_on_by_itself(study):
    content = json.loads(study.export(format="json", token_budget=50_000).text)
    folder = study.folder.parent
    rows = [json.loads(row)["content"] for row in (folder / "apples.jsonl").read_text().splitlines()]
    assert content["tokens_per_example"]["apples"] == pytest.approx(sum(map(len, rows)) / len(rows))
    assert content["documents"] == {"apples": 30, "bolts": 80}
    assert content["examples"]["apples"] < 0.1 < content["mixture"]["apples"]
    assert content["sources"]["apples"] == {
        "files": [str(folder / "apples.jsonl")],
        "columns": {"text": "content"},
    }
    assert content["token_budget"] == 50_000


def test_a_study_passes_the_budget_of_its_recommendation_on(study):
    study.arguments = {"optimize": {"constraints": {"token_budget": 30_000, "max_epochs": 2}}}
    plan = study.export().plan
    assert plan.token_budget == 30_000 and plan.max_epochs == 2
    assert study.export(token_budget=1000, max_epochs=9).plan.token_budget == 1000


def test_tokens_of_another_kind_are_no_budget(study):
    study.arguments = {"optimize": {"constraints": {"token_budget": 30_000}}}
    plan = study.export(tokenizer=str.split).plan
    assert plan.token_budget is None and plan.unit == "tokens of split"
    assert plan.used[1].tokens_per_example == pytest.approx(12, abs=0.1)  # words of a sentence and its number


def test_a_mixture_for_another_state_of_the_pool_says_so(study):
    study.arguments = {"optimize": {"perturbation": {"bolts": Perturbation(noise=0.8)}}}
    assert "recommended for a pool with bolts: noise 80%" in study.export(format="yaml").text


@pytest.mark.parametrize("form", FORMATS)
def test_verdict_gain_and_interval_stand_in_the_file(study, form):
    text = study.export(format=form, token_budget=50_000).text
    if form == "json":
        content = json.loads(text)
        assert content["verdict"] == BEST.verdict and content["distinguishable"] is True
        assert content["gain"] == {"estimate": 0.031, "lower": 0.011, "upper": 0.051}
        return
    assert (
        f"# Verdict: {BEST.verdict}." in text and "# Gain: 0.031 of bpb (95 % interval 0.011 to 0.051" in text
    )
    assert "# Note: trained on little." in text and "cannot tell" not in text


@pytest.mark.parametrize("form", FORMATS)
def test_a_gain_that_cannot_be_told_from_none_is_said(form):
    text = export(UNSURE, format=form).text
    assert "not distinguishable" in text
    assert ('"distinguishable": false' in text) if form == "json" else ("cannot tell this mixture" in text)


def test_a_gain_without_an_interval_is_written_as_that():
    best = dataclasses.replace(BEST, se=float("nan"), lower=float("nan"), upper=float("nan"))
    assert json.loads(export(best).text)["gain"] == {"estimate": 0.031, "lower": None, "upper": None}
    assert "without an interval" in export(best, format="yaml").text


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gets_the_budget(study, form):
    text = study.export(format=form, token_budget=54_321).text
    assert "54321" in text or "54,321" in text


def test_the_recommendation_is_still_needed(study):
    study.recommendation = None
    with pytest.raises(StudyError, match="no recommendation to export"):
        study.export("mixture.yaml")


# -- files
# ------------------------------------------------------------------------------------------------------


def test_nothing_is_left_of_an_export_that_cannot_be_written(study, tmp_path):
    (tmp_path / "dataset_info.json").mkdir()
    with pytest.raises(ExportError, match="holds no data sets"):
        study.export(tmp_path / "m.yaml", "llamafactory")
    assert os.listdir(tmp_path) == ["dataset_info.json"]


def test_a_folder_of_that_name_is_said(tmp_path):
    (tmp_path / "m.yaml").mkdir()
    with pytest.raises(ExportError, match="cannot write"):
        export(SHARES, tmp_path / "m.yaml", overwrite=True)
    assert os.listdir(tmp_path) == ["m.yaml"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "m.json").symlink_to(tmp_path / "real.json")
    export(SHARES, tmp_path / "m.json", overwrite=True)
    assert (tmp_path / "m.json").is_symlink() and json.loads((tmp_path / "real.json").read_text())["mixture"]


def test_a_recommendation_and_a_dict_are_mixtures_too(tmp_path):
    assert json.loads(export(BEST).text)["mixture"] == json.loads(export(SHARES).text)["mixture"] == SHARES
    assert yaml.safe_load(export(BEST, tmp_path / "m.yaml").path.read_text())["n_runs"] == 64


# -- a model's tokens
# -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Words for tokens, a beginning-of-text token that nobody asked for, and a chat template of four words a
    turn.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", bos_token="<s>")
    fast.chat_template = (
        "{% for turn in messages %} turn of {{ turn.role }} : {{ turn.content }} end {% endfor %}"
    )
    folder = tmp_path_factory.mktemp("tokenizer")
    fast.save_pretrained(folder)
    return fast, str(folder)


@pytest.mark.parametrize("named", [False, True])
def test_a_trainers_tokenizer_counts_texts_and_templated_chats(tokenizer, named):
    chats = [{"prompt": "one two", "response": "three"}] * 20
    pool = Pool.from_dict({"text": ["a b c d"] * 20, "chats": chats})
    plan = export({"text": 0.5, "chats": 0.5}, pool=pool, tokenizer=tokenizer[named], token_budget=130).plan
    assert [d.tokens_per_example for d in plan.domains] == pytest.approx([5, 2 + 1 + 2 * 5])
    assert [d.draw for d in plan.domains] == [13, 5]
