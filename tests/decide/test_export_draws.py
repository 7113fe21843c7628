"""Exports are drawn as their trainers draw them, and the tokens are counted: books are 100 times as long as chats."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from causalmix_nb.data.pool import Pool
from causalmix_nb.decide.export.export import export
from causalmix_nb.errors import ExportError, MixtureError
from causalmix_nb.mixture import Mixture

SHARES = {"books": 0.5, "chats": 0.3, "code": 0.2}
BUDGET = 2_000_000


def texts(name, n, mean, rng):
    """Texts of very unequal lengths around a mean."""
    sizes = np.maximum(5, rng.lognormal(np.log(mean), 0.6, n)).astype(int)
    return [f"{name}:{i}" + "x" * int(size) for i, size in enumerate(sizes)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """books.jsonl, chats.jsonl (prompts and answers are in qa.jsonl), code.jsonl with its text in another column, and all in one file."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    made = {"books": texts("books", 150, 20_000, rng), "chats": texts("chats", 6000, 200, rng), "code": texts("code", 900, 1500, rng)}  # fmt: skip
    for name, rows in made.items():
        lines = (json.dumps({"text": text, "id": i}) for i, text in enumerate(rows))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    both = [{"text": text, "source": name} for name in ("books", "chats") for text in made[name]]
    (folder / "all.jsonl").write_text("\n".join(map(json.dumps, both)) + "\n")
    return folder


@pytest.fixture(scope="module")
def pool(folder):
    return Pool.from_files([folder / f"{name}.jsonl" for name in SHARES])


def drawn_shares(rows):
    """Domain -> share of the bytes in some texts, and the bytes in all."""
    found = {}
    for text in rows:
        name = text.partition(":")[0]
        found[name] = found.get(name, 0) + len(text.encode())
    total = sum(found.values())
    return {name: size / total for name, size in found.items()}, total


def run_script(path, *args, cwd):
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(path.parent / "cache")}
    return subprocess.run(
        [sys.executable, str(path), *map(str, args)], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )  # fmt: skip


def script_rows(path, cwd):
    done = run_script(path, path.parent / "mixed.jsonl", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (path.parent / "mixed.jsonl").read_text().splitlines()]


# -- scripts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["datasets", "trl"])
def test_the_script_loads_the_pools_files_and_draws_shares_of_tokens(pool, tmp_path, form):
    path = export(SHARES, tmp_path / "mix.py", form, pool=pool, token_budget=BUDGET).path
    rows = script_rows(path, tmp_path)
    shares, total = drawn_shares(row["text"] for row in rows)
    assert shares == pytest.approx(SHARES, abs=0.01) and total == pytest.approx(BUDGET, rel=0.01)
    assert set(rows[0]) == {"text"}


def test_two_domains_of_one_file_are_told_apart_by_their_column(folder, tmp_path):
    pool = Pool.from_files(folder / "all.jsonl", domain_column="source")
    wanted = {"books": 0.25, "chats": 0.75}
    path = export(wanted, tmp_path / "mix.py", pool=pool, token_budget=800_000).path
    shares, total = drawn_shares(row["text"] for row in script_rows(path, tmp_path))
    assert shares == pytest.approx(wanted, abs=0.01) and total == pytest.approx(800_000, rel=0.01)


def test_domains_with_other_columns_are_brought_to_those_that_a_trainer_reads(folder, tmp_path):
    rows = [{"instruction": "math:" + "q" * 40, "input": "", "output": "math:" + "x" * 60}] * 500
    (tmp_path / "math.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pool = Pool.from_files([folder / "books.jsonl", tmp_path / "math.jsonl"])
    path = export(
        {"books": 0.5, "math": 0.5}, tmp_path / "mix.py", "trl", pool=pool, token_budget=BUDGET
    ).path
    found = script_rows(path, tmp_path)
    assert set(found[0]) == {"prompt", "completion"}
    sizes = {}
    for row in found:
        name = row["completion"].partition(":")[0]
        sizes[name] = sizes.get(name, 0) + len(row["prompt"] + row["completion"])
    assert sizes["books"] / sum(sizes.values()) == pytest.approx(0.5, abs=0.01)


def test_a_domain_is_read_as_often_as_its_budget_says_and_no_oftener(pool, tmp_path):
    """A share of 0.003 for the largest domain: going on until all are exhausted would read the smallest hundreds of times."""
    wanted = {"books": 0.003, "chats": 0.7, "code": 0.297}
    result = export(wanted, tmp_path / "mix.py", pool=pool, token_budget=3_000_000)
    rows = [row["text"] for row in script_rows(result.path, tmp_path)]
    most = {d.name: max(np.unique([r for r in rows if r.startswith(d.name)], return_counts=True)[1]) for d in result.plan.used}  # fmt: skip
    assert all(most[d.name] <= np.ceil(d.epochs) for d in result.plan.used)
    shares, total = drawn_shares(rows)
    assert shares == pytest.approx(wanted, abs=0.01) and total == pytest.approx(3_000_000, rel=0.01)


def test_a_budget_beyond_max_epochs_is_cut_and_said(pool):
    plan = export(SHARES, pool=pool, token_budget=10**9, max_epochs=4).plan
    assert max(domain.epochs for domain in plan.used) == pytest.approx(4, rel=1e-3)
    assert plan.tokens < plan.token_budget == 10**9
    assert any("more than the 4 allowed" in note for note in plan.notes)


def test_without_a_budget_nothing_is_read_twice(pool):
    plan = export(SHARES, pool=pool).plan
    assert max(domain.epochs for domain in plan.used) == pytest.approx(1, rel=1e-3)
    assert any("no token budget" in note for note in plan.notes)


def test_a_budget_of_less_than_a_document_is_said(pool):
    result = export(SHARES, format="yaml", pool=pool, token_budget=5_000)
    assert "Warning: whole examples cannot meet the budget" in result.text


def test_a_pool_in_memory_says_how_to_write_its_files_and_is_drawn_then(tmp_path):
    rows = [{"question": f"q {i}", "answer": f"b/c:{'y' * 30}"} for i in range(200)]
    pool = Pool.from_dict({"a": ["a:" + "some text" * 90] * 40, "b/c": rows})
    result = export({"a": 0.5, "b/c": 0.5}, tmp_path / "mix.py", pool=pool, token_budget=7_000)
    assert run_script(result.path, cwd=tmp_path).returncode != 0  # nothing stands in for what is not there
    said = next(note for note in result.notes if note.startswith("to do"))
    for line in said.rpartition("beside it: ")[2].split("; "):
        file = line.rpartition("to_json(")[2].strip("')")
        pool["a" if "['a']" in line else "b/c"].documents.to_json(tmp_path / file)
    found = script_rows(result.path, tmp_path)
    sizes = {name: sum(len(r["prompt"] + r["completion"]) for r in found if r["completion"].startswith(name)) for name in pool}  # fmt: skip
    assert sizes["a"] / sum(sizes.values()) == pytest.approx(0.5, abs=0.05)  # 4 of the long ones


def test_llamafactory_reads_a_text_file_line_by_line(tmp_path):
    (tmp_path / "notes.txt").write_text("\n".join(["x" * 99] * 500 + ["", ""] * 20) + "\n")
    (tmp_path / "other.txt").write_text("\n\n".join(["y" * 999] * 50) + "\n")
    pool = Pool.from_files(tmp_path / "*.txt")
    wanted = {"notes": 0.5, "other": 0.5}
    path = export(wanted, tmp_path / "m.yaml", "llamafactory", pool=pool, token_budget=40_000).path
    drawn = "".join(llamafactory_rows(path)["text"])
    assert drawn.count("x") / len(drawn) == pytest.approx(0.5, abs=0.01)


def test_domains_of_one_file_get_files_of_their_own_in_llamafactory(tmp_path):
    rows = [{"text": "x" * 50, "source": name} for name in ("a/b", "a:b") for _ in range(9)]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pool = Pool.from_files(tmp_path / "all.jsonl", domain_column="source")
    text = export({"a/b": 0.5, "a:b": 0.5}, tmp_path / "m.yaml", "llamafactory", pool=pool).text
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert [entry["file_name"] for entry in info.values()] == ["a_b.jsonl", "a_b_2.jsonl"]
    assert "To do: LLaMA-Factory cannot choose rows; write those of" in text


def test_texts_of_a_csv_a_parquet_and_a_gzip_are_loaded_as_what_they_are(tmp_path, folder):
    import gzip

    import pandas as pd

    frame = pd.read_json(folder / "chats.jsonl", lines=True)
    frame.assign(text=frame["text"].str.replace("chats", "csv")).to_csv(tmp_path / "csv.csv", index=False)
    frame.assign(text=frame["text"].str.replace("chats", "parquet")).to_parquet(tmp_path / "parquet.parquet")
    (tmp_path / "books.jsonl.gz").write_bytes(gzip.compress((folder / "books.jsonl").read_bytes()))
    (tmp_path / "notes.txt").write_text("\n\n".join(["notes:" + "x" * 300] * 400))
    pool = Pool.from_files(
        [tmp_path / f for f in ("csv.csv", "parquet.parquet", "books.jsonl.gz", "notes.txt")]
    )
    wanted = {"csv": 0.3, "parquet": 0.2, "books": 0.4, "notes": 0.1}
    path = export(wanted, tmp_path / "mix.py", pool=pool, token_budget=1_000_000).path
    shares, _ = drawn_shares(row["text"] for row in script_rows(path, tmp_path))
    assert shares == pytest.approx(wanted, abs=0.01)


def test_lengths_without_a_pool_are_drawn_by_count(folder, tmp_path):
    lengths = {}
    for name in SHARES:
        rows = (folder / f"{name}.jsonl").read_text().splitlines()
        lengths[name] = np.mean([len(json.loads(row)["text"]) for row in rows])
    where = {name: str(folder / f"{name}.jsonl") for name in SHARES}
    result = export(SHARES, tmp_path / "mix.py", sources=where, lengths=lengths, token_budget=20 * BUDGET)
    shares, _ = drawn_shares(row["text"] for row in script_rows(result.path, tmp_path))
    assert shares == pytest.approx(SHARES, abs=0.01)  # by count: a sample of a few rows would be further off


def test_a_bare_mixture_says_that_equal_lengths_are_assumed():
    for form in ("json", "yaml", "datasets", "llamafactory", "trl", "olmocore"):
        result = export({"a": 0.5, "b": 0.5}, format=form)
        assert "equally long" in result.text and any("equally long" in note for note in result.notes)


# -- the reader of datasets -------------------------------------------------------------------------------------


def test_shares_of_examples_drawn_by_datasets_give_shares_of_tokens(pool, folder):
    from datasets import interleave_datasets, load_dataset

    content = json.loads(export(SHARES, format="json", pool=pool, token_budget=BUDGET).text)
    assert content["mixture"] == SHARES and content["examples"]["books"] < 0.03
    rows = [load_dataset("json", data_files=str(folder / f"{n}.jsonl"), split="train") for n in SHARES]
    probabilities = np.array([content["examples"][name] for name in SHARES])
    many = interleave_datasets(
        [r.select(np.arange(240_000) % len(r)) for r in rows], list(probabilities / probabilities.sum()), seed=0
    )  # fmt: skip
    assert drawn_shares(many["text"])[0] == pytest.approx(SHARES, abs=0.01)  # by chance, not by count


# -- LLaMA-Factory ------------------------------------------------------------------------------------------------


def llamafactory_rows(path):
    """What LLaMA-Factory's loader does with the files: entries by name, so many of their examples, mixed."""
    from datasets import concatenate_datasets, load_dataset

    config = yaml.safe_load(path.read_text())
    info = json.loads((path.parent / config["dataset_dir"] / "dataset_info.json").read_text())
    rng, parts = np.random.default_rng(0), []
    for name in config["dataset"].split(","):
        entry = info[name]
        file = os.path.join(config["dataset_dir"], entry["file_name"])
        loader = "text" if file.endswith(".txt") else "csv" if file.endswith(".csv") else "json"
        rows = load_dataset(loader, data_files=file, split=entry.get("split", "train"))
        if "num_samples" in entry:
            index = rng.permutation(len(rows))[: entry["num_samples"]]
            extra = rng.choice(len(rows), entry["num_samples"] - len(index))
            rows = rows.select(np.concatenate([index, extra]))
        parts.append(rows.select_columns([entry["columns"]["prompt"]]))
    assert config["mix_strategy"] == "concat" and config["num_train_epochs"] == 1
    assert "interleave_probs" not in config  # LLaMA-Factory refuses them with concat
    return concatenate_datasets(parts)


def test_llamafactory_draws_shares_of_tokens(pool, tmp_path):
    path = export(SHARES, tmp_path / "mix.yaml", "llamafactory", pool=pool, token_budget=4 * BUDGET).path
    text = path.read_text()
    assert "only their order is chance" in text and "num_samples rows are drawn" not in text
    shares, total = drawn_shares(llamafactory_rows(path)["text"])
    assert shares == pytest.approx(SHARES, rel=0.01) and total == pytest.approx(4 * BUDGET, rel=0.01)


@pytest.mark.parametrize("budget", [400_000, BUDGET, 7.3 * BUDGET])
def test_llamafactory_reads_rows_from_all_of_a_file_and_none_oftener_than_it_must(pool, tmp_path, budget):
    path = export(SHARES, tmp_path / "mix.yaml", "llamafactory", pool=pool, token_budget=budget).path
    rows = llamafactory_rows(path)["text"]
    shares, _ = drawn_shares(rows)
    assert shares == pytest.approx(SHARES, rel=0.01)
    chats = [int(row[6:].rstrip("x")) for row in rows if row.startswith("chats")]
    _, times = np.unique(chats, return_counts=True)
    assert max(times) - min(times) <= 1 and max(chats) - min(chats) > 5000


def test_what_llamafactory_draws_by_chance_is_said(folder, tmp_path):
    lengths, where = dict.fromkeys(SHARES, 100), {name: f"org/{name}" for name in SHARES}
    text = export(SHARES, format="llamafactory", sources=where, lengths=lengths, token_budget=BUDGET).text
    assert "num_samples rows are drawn is chance, and their tokens with them (books, chats, code)" in text


def test_a_csv_that_llamafactory_cannot_read_is_said(tmp_path):
    for name, sep in (("a", ";"), ("b", ",")):
        rows = "\n".join(f"{i}{sep}{name} text" for i in range(9))
        (tmp_path / f"{name}.csv").write_text(f"id{sep}text\n{rows}\n")
    pool = Pool.from_files(tmp_path / "*.csv")
    text = export({"a": 0.5, "b": 0.5}, tmp_path / "m.yaml", "llamafactory", pool=pool).text
    assert "To do: LLaMA-Factory reads only UTF-8 and commas; a.csv is read with sep ';'" in text
    assert "b.csv is read" not in text


def test_two_domains_of_one_source_keep_both_shares(folder, tmp_path):
    where = {"a": str(folder / "chats.jsonl"), "b": str(folder / "chats.jsonl")}
    path = export({"a": 0.25, "b": 0.75}, tmp_path / "m.yaml", "llamafactory", sources=where).path
    assert yaml.safe_load(path.read_text())["interleave_probs"] == "0.25,0.75"
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert info["a"]["file_name"] == info["b"]["file_name"] == str(folder / "chats.jsonl")


def test_the_columns_of_a_named_file_are_read_from_it(folder, tmp_path):
    (tmp_path / "qa.csv").write_text("question,answer\nx,y\n")
    where = {"a": str(folder / "code.jsonl"), "b": tmp_path / "qa.csv"}
    files = export({"a": 0.5, "b": 0.5}, format="llamafactory", sources=where).files
    info = json.loads(files["dataset_info.json"])
    assert info["a"]["columns"] == {"prompt": "text"}
    assert info["b"]["columns"] == {"prompt": "question", "response": "answer"}


def test_a_source_that_moved_keeps_its_columns_and_lengths(pool):
    plan = export(SHARES, pool=pool, sources={"code": "org/code"}).plan
    assert plan.used[2].source.hub == "org/code" and plan.used[2].source.kind == "text"
    assert plan.used[2].tokens_per_example == export(SHARES, pool=pool).plan.used[2].tokens_per_example


def test_entries_of_another_dataset_info_stay(pool, tmp_path):
    (tmp_path / "dataset_info.json").write_text(
        '{"mine": {"file_name": "x.json"}, "books": {"file_name": "y"}}'
    )
    with pytest.raises(ExportError, match="describes 'books' already"):
        export(SHARES, tmp_path / "m.yaml", "llamafactory", pool=pool)
    assert not (tmp_path / "m.yaml").exists()
    export(SHARES, tmp_path / "m.yaml", "llamafactory", overwrite=True, pool=pool)
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert info["mine"] == {"file_name": "x.json"} and info["books"]["file_name"].endswith("books.jsonl")


@pytest.mark.parametrize(
    ("row", "entry"),
    [
        ({"text": "x"}, {"columns": {"prompt": "text"}}),
        ({"content": "x"}, {"columns": {"prompt": "content"}}),
        ({"question": "x", "answer": "y"}, {"columns": {"prompt": "question", "response": "answer"}}),
        ({"instruction": "x", "input": "z", "output": "y"}, {"columns": {"prompt": "instruction", "query": "input", "response": "output"}}),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}}),
    ],
)  # fmt: skip
def test_dataset_info_maps_the_columns(tmp_path, row, entry):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join([json.dumps(row)] * 3))
    pool = Pool.from_files([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    export({"a": 0.5, "b": 0.5}, tmp_path / "m.yaml", "llamafactory", pool=pool)
    found = json.loads((tmp_path / "dataset_info.json").read_text())["a"]
    assert {name: found[name] for name in entry} == entry and found["file_name"] == "a.jsonl"


# -- OLMo-core ----------------------------------------------------------------------------------------------------


def test_olmocore_repeats_as_the_budget_needs_and_names_token_files(tmp_path):
    sources = {}
    for name, size in (("books", 1_000_000), ("chats", 100_000)):
        np.arange(size, dtype=np.uint16).tofile(tmp_path / f"{name}.npy")
        sources[name] = str(tmp_path / f"{name}.npy")
    pool = Pool.from_dict({"books": ["x" * 1000] * 1000, "chats": ["y" * 100] * 1000})
    text = export({"books": 0.5, "chats": 0.5}, format="olmocore", sources=sources, pool=pool, token_budget=600_000).text  # fmt: skip
    content = yaml.safe_load(text)
    chats = content["source_list"]["sources"][1]
    assert chats["paths"] == [sources["chats"]] and chats["max_repetition_ratio"] == pytest.approx(3.03)
    assert content["requested_tokens"] == 600_000 and content["global_batch_size"] % 4096 == 0
    for source in content["source_list"]["sources"]:  # what OLMo-core checks before it builds
        tokens = os.path.getsize(source["paths"][0]) // 2 * source["max_repetition_ratio"]
        assert int(tokens) >= int(content["requested_tokens"] * source["target_ratio"])


def test_olmocore_says_where_token_files_are_missing(pool):
    text = export(SHARES, format="olmocore", pool=pool).text
    paths = [source["paths"][0] for source in yaml.safe_load(text)["source_list"]["sources"]]
    assert all(path.startswith("FILL IN") for path in paths) and "tokenise" in text


# -- tokens of a model ------------------------------------------------------------------------------------------


def test_lengths_are_counted_in_the_tokens_of_the_trained_model(tmp_path):
    """Words of one letter and of nine: equal in tokens, unequal in bytes."""
    pool = Pool.from_dict(
        {"short": ["a b c d e f g h i j"] * 300, "long": [" ".join(["abcdefghi"] * 10)] * 300}
    )
    plan = export({"short": 0.5, "long": 0.5}, pool=pool, tokenizer=str.split, token_budget=2000).plan
    assert [(d.tokens_per_example, d.draw) for d in plan.domains] == [(10, 100), (10, 100)]
    assert plan.unit == "tokens of split"


def test_a_cut_of_the_trainer_counts(pool):
    plan = export(SHARES, pool=pool, max_length=1000, token_budget=BUDGET).plan
    assert plan.domains[0].tokens_per_example == pytest.approx(1000, rel=0.01)
    assert plan.domains[1].tokens_per_example < 300


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token_budget": 0}, "token_budget is 0; give a number above 0"),
        ({"token_budget": "lots"}, "token_budget is 'lots'"),
        ({"max_epochs": -1}, "max_epochs is -1"),
        ({"max_length": 0}, "max_length is 0"),
        ({"tokenizer": "/no/such/tokenizer"}, "the tokenizer '/no/such/tokenizer' cannot be loaded"),
        ({"tokenizer": 3}, "the tokenizer is a int"),
        ({"sources": {"books": 3}}, "the source of 'books' is 3"),
    ],
)
def test_options_that_make_no_sense_are_said_in_a_sentence(pool, options, said):
    with pytest.raises(ExportError, match=said):
        export(SHARES, pool=pool, **options)


def test_a_domain_that_the_pool_lacks_is_named(pool):
    with pytest.raises(MixtureError, match="unknown domain 'cod'"):
        export(Mixture({"books": 0.5, "cod": 0.5}), pool=pool)
