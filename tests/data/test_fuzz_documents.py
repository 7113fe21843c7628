"""Documents made up by chance: each row is a document as a plain reading has it, or is counted; each file is read or refused in a sentence."""

import gzip
import json
import time
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from causalmix_nb.data.corpus_build import cut_text, hold_out
from causalmix_nb.data.pool import Pool
from causalmix_nb.errors import CausalMixError
from fuzzing import tries

fuzz = tries(300)
SLOWEST = 5.0  # seconds
OTHER = ["a third", "a fourth"]

plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20)
any_text = st.text(max_size=20) | st.sampled_from(
    ["\ud800", "\udc00x", "\ud83d\ude00", "None", "NA", "nan", "\0", "\u2028", "[", "[{", "{}"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | any_text
names = st.sampled_from(
    "role content from value type text parts tool_calls function name arguments weight".split()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text | names, inner, max_size=4),
    max_leaves=5,
)
turns = st.fixed_dictionaries(
    {
        "role": st.sampled_from(
            ["user", "assistant", "system", "tool", "function", "developer", "Assistant ", "critic"]
        )
    },
    optional={
        "content": values,
        "tool_calls": values,
        "weight": st.sampled_from([0, 1, None]),
        "name": any_text,
    },
)
shared = st.fixed_dictionaries(
    {"from": st.sampled_from(["human", "gpt", "system", "observation", "function_call"])},
    optional={"value": values},
)
chats = st.lists(turns | shared | st.none(), max_size=5)
columns = st.sampled_from(
    "text content document prompt question instruction input context response answer output completion chosen rejected messages "
    "conversations dialog system history label role parent_id id".split()
)
rows = st.dictionaries(
    columns, scalars | values | chats | chats.map(lambda c: json.dumps(c, default=str)), max_size=5
)


def quickly(make):
    """What a call gives, or the sentence that it refuses with; anything else is a failure."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = make()
        except CausalMixError as error:
            assert "\n" not in str(error) and str(error).endswith((".", "?", "!"))
            found = None
    assert time.perf_counter() - start < SLOWEST
    return found


def check(domain, n_rows=None):
    """Every row is somewhere, and every document is text."""
    report = domain.report
    assert report.documents == domain.n_documents
    assert report.documents + report.n_left_out == report.rows
    assert n_rows is None or report.rows == n_rows
    for row in domain.documents:
        assert row["text"].strip() and row["text"].encode() and row["prompt"].encode() is not None


@fuzz
@given(st.lists(rows | values, min_size=1, max_size=6))
@example([{"messages": [{"role": "assistant", "content": [[]]}]}])
@example([{"text": float("inf")}])
def test_any_row_is_a_document_or_is_counted(some):
    pool = quickly(lambda: Pool.from_dict({"a": some, "b": OTHER}))
    if pool is not None:
        check(pool["a"], len(some))


@fuzz
@given(
    st.lists(st.fixed_dictionaries({"source": scalars | values, "text": any_text}), min_size=1, max_size=8)
)
@example([{"source": False, "text": "0"}, {"source": True, "text": ""}, {"source": 0, "text": "0"}])
def test_any_column_of_domains_is_sorted_or_is_counted(some):
    pool = quickly(lambda: Pool.from_dataset(some, "source"))
    if pool is not None:
        assert sum(report.rows for report in pool.reports.values()) + pool.unplaced.rows == len(some)
        assert pool.unplaced.n_left_out == pool.unplaced.rows
        assert all(name == name.strip() and name for name in pool)


# -- an independent reading of plain rows ---------------------------------------------------------------------

filled = plain.filter(str.strip)
LAYOUTS = {
    "text": st.fixed_dictionaries({"text": filled}),
    "pair": st.fixed_dictionaries({"prompt": plain, "response": filled}),
    "alpaca": st.fixed_dictionaries({"instruction": plain, "input": plain, "output": filled}),
    "preference": st.fixed_dictionaries({"prompt": filled, "chosen": filled, "rejected": plain}),
    "messages": st.lists(plain, min_size=1, max_size=3).flatmap(
        lambda said: filled.map(
            lambda answer: {
                "messages": [*({"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(said)),
                             {"role": "assistant", "content": answer}]
            }
        )
    ),
}  # fmt: skip


def plainly(row):
    if "text" in row:
        return "", row["text"]
    if "messages" in row:
        *before, last = [turn["content"] for turn in row["messages"]]
        told = [text for text in before if text]
        return "\n".join(told) + "\n" if told else "", last
    if "instruction" in row:
        return row["instruction"] + ("\n" + row["input"] if row["input"] else ""), row["output"]
    return row["prompt"], row.get("response", row.get("chosen"))


def write(path, kind, some):
    """Rows in one of the ways in which they are kept; the suffix of the file."""
    lines = "\n".join(json.dumps(row, ensure_ascii=kind != "jsonl raw") for row in some)
    if kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(some), path / "a.parquet")
        return "a.parquet"
    if kind == "csv":
        cells = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in some]
        pd.DataFrame(cells).to_csv(path / "a.csv", index=False)
        return "a.csv"
    name, data = {
        "jsonl": ("a.jsonl", lines.encode()),
        "jsonl raw": ("a.jsonl", lines.replace("\n", "\r\n").encode()),
        "utf-16": ("a.jsonl", lines.encode("utf-16")),
        "gzip": ("a.jsonl.gz", gzip.compress(lines.encode())),
        "array": ("a.json", json.dumps(some, indent=1).encode()),
        "mark": ("a.json", b"\xef\xbb\xbf" + lines.encode()),
    }[kind]
    (path / name).write_bytes(data)
    return name


@pytest.mark.parametrize("layout", LAYOUTS)
@tries(60)
@given(data=st.data())
def test_plain_rows_read_the_same_from_every_kind_of_file(tmp_path, layout, data):
    some = data.draw(st.lists(LAYOUTS[layout], min_size=1, max_size=5))
    kind = data.draw(
        st.sampled_from(["jsonl", "jsonl raw", "utf-16", "gzip", "array", "mark", "parquet", "csv"])
    )
    expected = [plainly(row) for row in some]
    given_rows = Pool.from_dict({"a": some, "b": OTHER})["a"]
    assert [(row["prompt"], row["text"]) for row in given_rows.documents] == expected
    name = write(tmp_path, kind, some)
    (tmp_path / "other.jsonl").write_text('{"text": "a third"}\n{"text": "a fourth"}\n')
    pool = quickly(lambda: Pool.from_files([tmp_path / name, tmp_path / "other.jsonl"]))
    assert pool is not None
    check(pool["a"], len(some))
    assert [(row["prompt"], row["text"]) for row in pool["a"].documents] == expected


# -- damaged files --------------------------------------------------------------------------------------------

GOOD = [{"text": "one – text"}, {"prompt": "Q", "response": "A, \"b\"\nc"}, {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}]  # fmt: skip


@tries(500)
@given(
    kind=st.sampled_from(["jsonl", "jsonl raw", "utf-16", "gzip", "array", "mark", "csv", "parquet"]),
    changes=st.lists(
        st.tuples(st.sampled_from(["flip", "cut", "insert", "drop", "swap"]), st.floats(0, 1), st.binary(min_size=1, max_size=4)),
        min_size=1, max_size=3,
    ),
)  # fmt: skip
@example(kind="parquet", changes=[("insert", 0.0, b"\x00")])
def test_a_damaged_file_is_read_or_refused_in_a_sentence(tmp_path, kind, changes):
    name = write(
        tmp_path, kind, [{"text": "one – text"}, {"text": "NA"}] if kind in ("csv", "parquet") else GOOD
    )
    damaged = bytearray((tmp_path / name).read_bytes())
    for how, where, what in changes:
        at = int(where * max(0, len(damaged) - 1))
        if how == "flip" and damaged:
            damaged[at] ^= what[0] or 1
        elif how == "cut":
            del damaged[at:]
        elif how == "insert":
            damaged[at:at] = what
        elif how == "drop":
            del damaged[at : at + len(what)]
        else:
            damaged[:] = damaged[at:] + damaged[:at]
    (tmp_path / name).write_bytes(bytes(damaged))
    (tmp_path / "other.jsonl").write_text('{"text": "a third"}\n{"text": "a fourth"}\n')
    pool = quickly(lambda: Pool.from_files([tmp_path / name, tmp_path / "other.jsonl"]))
    if pool is not None:
        check(pool["a"])


@tries(300)
@given(
    name=st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.parquet", "a.arrow", "a.jsonl.gz", "a.csv.zst"]),
    content=st.binary(min_size=0, max_size=60) | any_text.map(lambda t: t.encode("utf-8", "surrogatepass")) | st.lists(values, max_size=4).map(
        lambda some: "\n".join(json.dumps(v) for v in some).encode()
    ),
)  # fmt: skip
@example("a.json", b"[")
@example("a.parquet", b"PAR1")
@example("a.jsonl", b"{\n")
@example("a.csv", b"\n\n,\n,")
@example("a.tsv", b'"')
@example("a.csv.zst", b"\x28\xb5\x2f\xfd")
@example("a.jsonl.gz", b"\x1f\x8b")
def test_bytes_of_any_kind_are_read_or_refused_in_a_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "other.jsonl").write_text('{"text": "a third"}\n{"text": "a fourth"}\n')
    pool = quickly(lambda: Pool.from_files([tmp_path / name, tmp_path / "other.jsonl"]))
    if pool is not None:
        check(pool["a"])


# -- long documents -------------------------------------------------------------------------------------------


@fuzz
@given(st.text(st.sampled_from("ab \n\u00e9\U0001f600"), max_size=300), st.integers(4, 40))
def test_pieces_make_up_their_text(text, size):
    pieces = cut_text(text, size)
    assert "".join(pieces) == text and all(0 < len(piece.encode()) <= size for piece in pieces)


@fuzz
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 1000), st.booleans()), min_size=1, max_size=30))
def test_no_document_lies_on_both_sides_and_both_sides_have_some(pieces):
    hashes, sizes, cut = (np.array(column) for column in zip(*pieces))
    held = hold_out(hashes / 10, sizes, cut)
    assert all(len(set(held[hashes == h])) == 1 for h in set(hashes))
    if len(set(hashes)) > 1:
        assert held.any() and not held.all()
