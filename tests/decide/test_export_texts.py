"""An exported script reads the very texts that the pool has, whatever its rows look like and whatever file they lie in."""

import json
import re
import runpy

import pytest

from causalmix_nb.data.pool import Pool
from causalmix_nb.decide.export.export import export


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def turns(*said):
    return [{"role": role, "content": text} for role, text in said]


def chat(i):
    return turns(("user", f"ask {i}"), ("assistant", f"say {i}"))


ROWS = {
    "a system text": lambda i: {"system": "be good", "instruction": f"do {i}", "input": "", "output": f"say {i}"},
    "a context": lambda i: {"instruction": f"do {i}", "context": f"of {i}", "response": f"say {i}"},
    "a question on a context": lambda i: {"question": f"ask {i}", "context": f"of {i}", "answer": f"say {i}"},
    "a history": lambda i: {"instruction": f"do {i}", "output": f"say {i}", "history": [["hi", "ho"]]},
    "answers not wanted": lambda i: {"prompt": f"ask {i}", "completion": f"say {i}", "label": bool(i % 2)},
    "a prompt and all of the chat": lambda i: {"prompt": f"ask {i}", "chosen": chat(i), "rejected": chat(0)},
    "chats in a cell": lambda i: {"messages": json.dumps(chat(i))},
    "missing chats": lambda i: {"messages": chat(i) if i % 3 else None},
    "chats without an answer": lambda i: {"messages": chat(i)[: 1 + i % 2]},
    "texts here, answers there": lambda i: {"text": f"say {i}"} if i % 2 else {"question": f"ask {i}", "answer": f"say {i}"},
    "names in capitals": lambda i: {"Instruction": f"do {i}", "Output": f"say {i}"},
    "words that pandas takes for nothing": lambda i: {"text": ["None", "NA", "null", "nan", f"say {i}"][i % 5]},
    "missing answers": lambda i: {"question": f"ask {i}", "answer": f"say {i}" if i % 3 else None},
}  # fmt: skip


def words(value) -> list[str]:
    if isinstance(value, dict):
        return [word for key, held in value.items() if key not in ("role", "from") for word in words(held)]
    return [word for held in value for word in words(held)] if isinstance(value, list) else str(value).split()


def written(frame_rows, path):
    import pandas as pd

    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, frame_rows)))
    elif path.suffix == ".json":
        path.write_text(json.dumps({"version": 1, "data": frame_rows}))
    elif path.suffix == ".arrow":
        import pyarrow as pa

        table = pa.Table.from_pylist(frame_rows)
        with pa.ipc.new_file(str(path), table.schema) as file:
            file.write_table(table)
    else:
        encoding = "utf-16" if "utf16" in path.name else "utf-8"
        separator = {".tsv": "\t"}.get(path.suffix, ";" if "semi" in path.name else ",")
        pd.DataFrame(frame_rows).to_csv(path, index=False, sep=separator, encoding=encoding)
    return path


def same_texts(pool, tmp_path):
    """Whether the rows of the exported script are the documents of the pool; its to-dos are done first."""
    plan = export(
        {name: 1 / len(pool) for name in pool},
        tmp_path / "mix.py",
        pool=pool,
        token_budget=10_000,
        overwrite=True,
    ).plan
    for name, place in (
        pair
        for note in plan.notes
        if note.startswith("to do")
        for pair in re.findall(r"pool\['(.+?)'\]\.documents\.to_json\('(.+?)'\)", note)
    ):
        pool[name].documents.to_json(tmp_path / place)
    rows = runpy.run_path(str(tmp_path / "mix.py"))["rows"]
    for name, domain in pool.items():
        found = sorted(" ".join(words(list(row.values()))) for row in rows[name]())
        assert found == sorted(" ".join(words([row["prompt"], row["text"]])) for row in domain.documents)


@pytest.mark.parametrize("rows", ROWS)
def test_the_script_reads_the_texts_that_the_pool_has(tmp_path, rows):
    paths = [
        written([ROWS[rows](i) for i in some], tmp_path / f"{name}.jsonl")
        for name, some in (("a", range(12)), ("b", range(12, 24)))
    ]
    same_texts(Pool.from_files(paths), tmp_path)


@pytest.mark.parametrize("ends", [".tsv", ".semi.csv", ".utf16.csv", ".csv", ".arrow", ".json"])
def test_the_script_reads_the_files_that_the_pool_reads(tmp_path, ends):
    paths = [
        written([{"id": i, "text": text} for i, text in enumerate([f"{name}, é", "None", "NA"])], tmp_path / f"{name}{ends}")
        for name in ("a", "b")
    ]  # fmt: skip
    same_texts(Pool.from_files(paths), tmp_path)


def test_a_file_in_an_encoding_that_was_named_is_loaded_in_it(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_bytes(f"text\né {name}\nü\n".encode("cp1252"))
    same_texts(Pool.from_files(tmp_path / "*.csv", encoding="cp1252"), tmp_path)


def test_rows_of_a_domain_are_chosen_by_its_name_as_the_pool_reads_it(tmp_path):
    """Spaces around a name, and numbers that a missing cell turns into 1.0."""
    rows = [("1", "one"), ("2", "two"), ("", "nobody's"), ("1", "one again"), ("2", "more"), ("1", "x")]
    (tmp_path / "all.csv").write_text("of,text\n" + "\n".join(",".join(row) for row in rows))
    same_texts(Pool.from_files(tmp_path / "all.csv", domain_column="of"), tmp_path)
    lines = [json.dumps({"of": f" {'ab'[i % 2]} "[i % 3 == 0 :], "text": f"say {i}"}) for i in range(9)]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    same_texts(Pool.from_files(tmp_path / "all.jsonl", domain_column="of"), tmp_path)
