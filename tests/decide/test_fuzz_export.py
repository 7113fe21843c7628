"""Mixtures of any shares and names through every format: read back as they were, or refused in a sentence."""

import ast
import json
import warnings

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from causalmix_nb.data.documents.sources import Source
from causalmix_nb.decide.export.export import export
from causalmix_nb.decide.export.formats.format import FORMATS
from causalmix_nb.decide.export.plan import DomainSize, PoolSizes
from causalmix_nb.errors import CausalMixError, ExportError
from causalmix_nb.mixture import Mixture
from fuzzing import tries

TRICKY = st.sampled_from(
    ["-", "- a", "a: b", "#", "a #b", "'", '"', "it's", "null", "yes", "1.0", "1e3", "~", "!x", "&a", "*a", "%", "@", "`",
     "a\nb", "a\r\nb", "\t", "a\u2028b", "\u200b", "\ufeff", "ünï", "\U0001f600", "{a}", "${x}", "[", "|", ">", "a,b", " a", "a ",
     "\\", "\\n", "'''", '"""', "x" * 300, "\x00", "\x85", "\ufffe", "\ud800", "../a", "/", "=", "<<", "---", "..."]
)  # fmt: skip
NAMES = st.one_of(
    TRICKY, st.text(min_size=1, max_size=12), st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
)
SIZES = st.builds(
    DomainSize, st.floats(1e-3, 1e7), st.one_of(st.none(), st.integers(1, 10**9)), st.one_of(st.none(), st.floats(0.1, 2.0)),
    st.one_of(st.none(), st.builds(Source, files=st.lists(NAMES.map(lambda n: f"/data/{n}.jsonl"), min_size=1, max_size=2).map(tuple), domain=NAMES, domain_column=st.one_of(st.just(""), NAMES), columns=st.sampled_from([{"text": "text"}, {"prompt": "p'", "response": "r"}, {"messages": "messages"}, {}]))),
)  # fmt: skip
WORLDS = st.dictionaries(NAMES, st.tuples(st.floats(0, 1), SIZES), min_size=1, max_size=6)


def read_back(form, result):
    """Domain -> share, as a reader of this format finds it, or what stands for it."""
    text = result.text
    if form in ("json", "yaml"):
        content = json.loads(text) if form == "json" else yaml.safe_load(text)
        return content["mixture"]
    if form == "olmocore":
        return {s["source_name"]: s["target_ratio"] for s in yaml.safe_load(text)["source_list"]["sources"]}
    if form == "llamafactory":
        content = yaml.safe_load(text)
        names = [name.strip() for name in content["dataset"].split(",")]  # as it splits them
        info = json.loads(next(iter(result.files.values()))) if result.files else {}
        assert not info or set(info) <= set(names)
        if content["mix_strategy"] == "concat":  # by counts, which dataset_info.json holds
            assert content["num_train_epochs"] == 1 and "interleave_probs" not in content
            return dict.fromkeys(names)
        probs = content["interleave_probs"].split(",")
        assert sum(map(float, probs)) == pytest.approx(1, abs=1e-9)
        return dict(zip(names, probs))
    tree = ast.parse(text)
    compile(text, "mix.py", "exec")
    named = {t.id: node.value for node in tree.body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)}  # fmt: skip
    if isinstance(named.get("plan"), ast.Dict):
        return {key.value: None for key in named["plan"].keys}
    return None


@tries(300)
@given(
    WORLDS, st.one_of(st.none(), st.floats(1, 1e12)), st.one_of(st.none(), st.floats(0.01, 50)), st.booleans()
)
@example({"a\nb: #": (0.5, DomainSize(1.0, 5, 1.0)), "-": (0.5, DomainSize(2.0, 5, 1.0))}, 10.0, None, True)
@example({"a": (1.0, DomainSize(1e-3)), "b": (1e-9, DomainSize(1e7))}, 1.0, None, True)
def test_what_is_written_is_read_back(world, budget, limit, measured):
    try:
        mixture = Mixture({name: share for name, (share, _) in world.items()}, normalise=True)
    except CausalMixError:
        return
    sizes = PoolSizes({name: size for name, (_, size) in world.items()}) if measured else None
    for form in FORMATS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                result = export(mixture, format=form, pool=sizes, token_budget=budget, max_epochs=limit)
            except ExportError as error:
                assert (
                    "\n" not in str(error) and form in ("llamafactory",) or "half a character" in str(error)
                )
                continue
        used = {domain.name: domain.share for domain in result.plan.used}
        assert sum(domain.examples for domain in result.plan.used) == pytest.approx(1)
        found = read_back(form, result)
        if form in ("json", "yaml"):
            assert found == {domain.name: domain.share for domain in result.plan.domains}
        elif form == "olmocore":
            assert found == used
        elif found is not None:
            assert list(found) == list(used)
