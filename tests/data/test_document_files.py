"""Files as people have them: other encodings, compressed or not, broken lines, nested tables; each read, or refused in one sentence."""

import bz2
import gzip
import json
import lzma
import warnings

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from causalmix_nb.data.pool import Pool
from causalmix_nb.errors import PoolError

TEXTS = ["one – text", "another"]
LINES = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS) + "\n"
CSV = 'text,n\n"one – text",1\nanother,2\n'


def zst(data):
    return pa.Codec("zstd").compress(data, asbytes=True)


def pool_of(folder, name, content):
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "other.jsonl").write_text('{"text": "a third"}\n{"text": "a fourth"}\n')
    return Pool.from_files([folder / name, folder / "other.jsonl"])


def texts(folder, name, content):
    pool = pool_of(folder, name, content)
    return list(pool[next(iter(pool))].documents["text"])


READ = {
    "JSON lines": ("a.jsonl", LINES),
    "with CRLF": ("a.jsonl", LINES.replace("\n", "\r\n")),
    "with CR": ("a.jsonl", LINES.replace("\n", "\r")),
    "with a byte order mark": ("a.jsonl", b"\xef\xbb\xbf" + LINES.encode()),
    "in UTF-16 with a mark": ("a.jsonl", LINES.encode("utf-16")),
    "in UTF-16 without a mark": ("a.jsonl", LINES.encode("utf-16-le")),
    "in UTF-32": ("a.jsonl", LINES.encode("utf-32")),
    "with blank lines": ("a.jsonl", "\n\n" + LINES.replace("\n", "\n\n")),
    "with trailing commas": ("a.jsonl", LINES.replace("\n", ",\n")),
    "with record separators": ("a.jsonl", "\x1e" + LINES.replace("\n", "\n\x1e")),
    "an array in a file of lines": ("a.jsonl", json.dumps([{"text": t} for t in TEXTS])),
    "a pretty array": ("a.jsonl", json.dumps([{"text": t} for t in TEXTS], indent=2)),
    "pretty values": ("a.jsonl", "\n".join(json.dumps({"text": t}, indent=1) for t in TEXTS)),
    "lines of arrays": ("a.jsonl", "\n".join(json.dumps([{"text": t}]) for t in TEXTS)),
    "strings alone": ("a.jsonl", "\n".join(json.dumps(t) for t in TEXTS)),
    "capital suffix": ("a.JSONL", LINES),
    "gzip": ("a.jsonl.gz", gzip.compress(LINES.encode())),
    "gzip in two parts": ("a.jsonl.gz", gzip.compress(LINES[:30].encode()) + gzip.compress(LINES[30:].encode())),
    "gzip without its suffix": ("a.jsonl", gzip.compress(LINES.encode())),
    "a gzip that is none": ("a.jsonl.gz", LINES),
    "zstandard": ("a.jsonl.zst", zst(LINES.encode())),
    "bzip2": ("a.jsonl.bz2", bz2.compress(LINES.encode())),
    "xz": ("a.jsonl.xz", lzma.compress(LINES.encode())),
    "a JSON array": ("a.json", json.dumps([{"text": t} for t in TEXTS])),
    "a JSON array of texts": ("a.json", json.dumps(TEXTS)),
    "JSON lines called JSON": ("a.json", LINES),
    "rows in an object": ("a.json", json.dumps({"version": 1, "data": [{"text": t} for t in TEXTS]})),
    "columns as pandas writes them": ("a.json", pd.DataFrame({"text": TEXTS}).to_json()),
    "CSV": ("a.csv", CSV),
    "CSV with a mark": ("a.csv", b"\xef\xbb\xbf" + CSV.encode()),
    "CSV with CRLF": ("a.csv", CSV.replace("\n", "\r\n")),
    "CSV with CR": ("a.csv", CSV.replace("\n", "\r")),
    "CSV with semicolons": ("a.csv", CSV.replace(",", ";")),
    "CSV for Excel": ("a.csv", "sep=;\n" + CSV.replace(",", ";")),
    "tabs": ("a.tsv", CSV.replace(",", "\t")),
    "CSV in UTF-16": ("a.csv", CSV.encode("utf-16")),
    "compressed CSV": ("a.csv.gz", gzip.compress(CSV.encode())),
    "text": ("a.txt", "one – text" + "x" * 1995 + "\n\nanother"),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_files_are_read_whatever_wrote_them(tmp_path, kind):
    found = texts(tmp_path, *READ[kind])
    assert found == (TEXTS if kind != "text" else ["one – text" + "x" * 1990, "x" * 5 + "\n\nanother"])


REFUSED = {
    "latin-1": ("a.jsonl", LINES.replace("–", "é").encode("latin-1"), "not what its suffix says .*line 1: no UTF-8 text, byte 0xe9.*encoding='cp1252'"),
    "latin-1 CSV": ("a.csv", CSV.replace("–", "é").encode("latin-1"), "no UTF-8 text"),
    "latin-1 text": ("a.txt", "café".encode("latin-1"), "no UTF-8 text"),
    "a gzip cut off": ("a.jsonl.gz", gzip.compress(LINES.encode() * 50)[:-20], "damaged or end too early"),
    "a gzip with a wrong sum": ("a.jsonl.gz", gzip.compress(LINES.encode())[:-8] + b"\0" * 8, "damaged or end too early"),
    "zstandard cut off": ("a.jsonl.zst", zst(LINES.encode() * 50)[:-6], "cannot be read"),
    "an empty gzip": ("a.jsonl.gz", gzip.compress(b""), "is empty"),
    "only blank lines": ("a.jsonl", "\n\n", "is empty"),
    "a header alone": ("a.csv", "text,n\n", "is empty"),
    "an empty array": ("a.json", "[]", "is empty"),
    "a JSON number": ("a.json", "3", "no JSON object"),
    "an array that breaks inside": ("a.json", '[{"text": "a"}, {"text": }, {"text": "b"}]', "row 2: Expecting value"),
    "two arrays": ("a.json", '[{"text": "a"}]\n[{"text": "b"}]', "something follows"),
    "nesting without end": ("a.json", "[" * 100_000, "nested too deeply"),
    "a quote that is not closed": ("a.csv", 'text\n"one\ntwo\nthree', "line"),
    "a folder's bytes": ("a.parquet", b"PAR1xxxxPAR1", "not what its suffix says"),
    "a picture": ("a.jsonl", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not what its suffix says"),
    "zeros": ("a.jsonl", b"\0" * 300, "not what its suffix says"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_files_that_cannot_be_read_are_refused_in_one_sentence(tmp_path, kind):
    name, content, said = REFUSED[kind]
    with pytest.raises(PoolError, match=said) as error:
        pool_of(tmp_path, name, content)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"text": "cut o', "broken JSON"),
        ('{"text": "a"} {"text": "b"}', "broken JSON"),
        ("{'text': 'a'}", "broken JSON"),
        ("3", "no object"),
        ("[" * 5000, "nested too deeply"),
        ('{"text": 1' + "0" * 5000 + "}", "broken JSON"),
        ('{"text": ' + "[" * 300 + "]" * 300 + "}", "a list of lists"),
    ],
    ids=["cut off", "two on a line", "single quotes", "a number", "nested", "digits", "lists"],
)
def test_one_broken_line_is_counted_and_the_others_are_kept(tmp_path, bad, reason):
    pool = pool_of(tmp_path, "a.jsonl", LINES + bad + "\n" + LINES)
    assert list(pool["a"].documents["text"]) == TEXTS * 2
    assert reason in pool["a"].report.why and "(line 3)" in pool["a"].report.why


def test_the_last_line_of_a_writer_that_was_stopped_is_counted(tmp_path):
    pool = pool_of(tmp_path, "a.jsonl", LINES.encode() + '{"text": "café'.encode()[:-1])
    assert list(pool["a"].documents["text"]) == TEXTS and "no UTF-8 (line 3)" in pool["a"].report.why
    pool = pool_of(tmp_path, "a.json", '[{"text": "a"}, {"text": "b"}, {"te')
    assert list(pool["a"].documents["text"]) == ["a", "b"] and "breaks off (row 3)" in pool["a"].report.why


def test_an_encoding_that_is_named_is_used(tmp_path):
    (tmp_path / "a.jsonl").write_bytes('{"text": "café"}\n{"text": "thé"}'.encode("cp1252"))
    (tmp_path / "b.csv").write_bytes("text\nnaïve\nbête".encode("cp1252"))
    pool = Pool.parse(f"files:{tmp_path}/*", encoding="cp1252")
    assert [list(pool[name].documents["text"]) for name in pool] == [["café", "thé"], ["naïve", "bête"]]
    with pytest.raises(PoolError, match="no encoding 'cp125'"):
        Pool.parse(f"files:{tmp_path}/*", encoding="cp125")


def test_cells_of_any_size_with_quotes_and_line_ends_are_text(tmp_path):
    rows = pd.DataFrame(
        {"prompt": ['say "hi"', "two\nlines", "x" * 200_000], "response": ["a,b", "None", ""]}
    )
    rows.to_csv(tmp_path / "a.csv", index=False)
    pool = Pool.from_files([tmp_path / "a.csv"] + [_other(tmp_path)])
    assert list(pool["a"].documents) == [
        {"prompt": 'say "hi"', "text": "a,b"},
        {"prompt": "two\nlines", "text": "None"},
    ]
    assert "no response (line 5)" in pool["a"].report.why


def test_a_line_with_more_cells_than_the_header_is_counted(tmp_path):
    pool = pool_of(tmp_path, "a.csv", "text,n\na,1\nb, and more,2\nc\n")
    assert list(pool["a"].documents["text"]) == ["a", "c"] and "more cells" in pool["a"].report.why


def _other(folder):
    (folder / "other.jsonl").write_text('{"text": "a third"}\n{"text": "a fourth"}\n')
    return folder / "other.jsonl"


CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
TABLES = {
    "string": pa.array(TEXTS, pa.string()),
    "large_string": pa.array(TEXTS, pa.large_string()),
    "string_view": pa.array(TEXTS, pa.string_view()),
    "binary": pa.array([text.encode() for text in TEXTS], pa.binary()),
    "dictionary": pa.array(TEXTS).dictionary_encode(),
    "with nulls": pa.array([*TEXTS, None]),
    "list of strings": pa.array([[text] for text in TEXTS]),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_tables_of_any_text_type_are_read(tmp_path, kind, suffix):
    if (kind, suffix) == ("string_view", "parquet"):
        pytest.skip("Parquet keeps it as another type")
    table = pa.table({"text": TABLES[kind], "embedding": [[0.0]] * len(TABLES[kind])})
    if suffix == "parquet":
        parquet.write_table(table, tmp_path / "a.parquet")
    else:
        with (
            pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as writer,
        ):
            writer.write_table(table)
    pool = Pool.from_files([tmp_path / f"a.{suffix}", _other(tmp_path)])
    assert list(pool["a"].documents["text"]) == TEXTS
    assert pool["a"].report.n_left_out == (kind == "with nulls")


def test_a_nested_table_of_chats_is_read(tmp_path):
    parquet.write_table(pa.table({"messages": [CHAT, None, CHAT]}), tmp_path / "a.parquet")
    pool = Pool.from_files([tmp_path / "a.parquet", _other(tmp_path)])
    assert list(pool["a"].documents) == [{"prompt": "Hi\n", "text": "Yo"}] * 2
    assert pool["a"].report.why == "1 no response (row 2)"


def test_columns_that_change_their_type_from_row_to_row_are_read(tmp_path):
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, CHAT[1]]
    rows = [
        {"messages": CHAT, "id": 1},
        {"messages": parts, "id": "x"},
        {"messages": parts, "meta": {"a": []}},
    ]
    pool = pool_of(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert list(pool["a"].documents) == [{"prompt": "Hi\n", "text": "Yo"}] * 3


def test_a_folder_is_refused_and_passed_over_in_a_glob(tmp_path):
    (tmp_path / "sub").mkdir()
    _other(tmp_path)
    (tmp_path / "more.jsonl").write_text(LINES)
    assert Pool.from_files(tmp_path / "*").domains == ("more", "other")
    with pytest.raises(PoolError, match="is a folder; name the files in it"):
        Pool.from_files(tmp_path / "sub")


def test_a_name_with_the_letters_of_a_glob_is_a_name(tmp_path):
    (tmp_path / "a[1].jsonl").write_text(LINES)
    assert Pool.from_files([tmp_path / "a[1].jsonl", _other(tmp_path)]).domains == ("a[1]", "other")


def test_a_file_named_twice_is_read_once(tmp_path):
    (tmp_path / "a.jsonl").write_text(LINES)
    _other(tmp_path)
    assert Pool.from_files([tmp_path / "a.jsonl", f"{tmp_path}/*.jsonl"]).domains == ("a", "other")


def test_max_bytes_holds_for_a_domain_column_too(tmp_path):
    rows = [{"source": s, "text": "x" * 100} for s in ("web", "books") for _ in range(50)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pool = Pool.from_files(tmp_path / "a.jsonl", domain_column="source", max_bytes=1000)
    assert [pool[name].n_documents for name in pool] == [10, 10]
    assert "more than max_bytes" in pool["web"].report.why


def test_places_name_the_file_where_there_are_several(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(
            '{"source": "x", "text": "1"}\nno\n{"source": "y", "text": "2"}\n{"text": "3"}'
        )
    pool = Pool.from_files(tmp_path / "*.jsonl", domain_column="source")
    (said,) = pool.notes
    assert (
        "2 broken JSON (Expecting value) (a.jsonl, line 2)" in said
        and "2 no domain name (a.jsonl, line 4)" in said
    )


def test_a_csv_leaves_the_limit_of_others_as_it_was(tmp_path):
    import csv

    before = csv.field_size_limit()
    pool_of(tmp_path, "a.csv", CSV)
    assert csv.field_size_limit() == before


def test_reading_shows_no_bar_and_no_warning_of_others(tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool_of(tmp_path, "a.jsonl", LINES)
    assert capfd.readouterr() == ("", "")


def test_a_large_domain_lies_in_a_file_and_reads_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    from causalmix_nb.data.documents import store

    monkeypatch.setattr(store, "IN_MEMORY", 1000)
    many = [f"text {i} " + "x" * 200 for i in range(9000)]
    pool = Pool.from_dict({"a": many, "b": TEXTS})
    assert pool["a"].documents.cache_files and list(pool["a"].documents["text"]) == many


def test_a_long_file_is_never_in_memory_as_a_whole(tmp_path):
    import tracemalloc

    line = json.dumps({"text": "word " * 200, "other": list(range(50))}) + "\n"
    (tmp_path / "a.jsonl").write_text(line * 8000)  # 9 MB, several times as much in Python objects
    _other(tmp_path)
    tracemalloc.start()
    Pool.from_files([tmp_path / "a.jsonl", tmp_path / "other.jsonl"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15e6
