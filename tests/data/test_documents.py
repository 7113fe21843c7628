"""Rows as people have them: chats, preference pairs, instructions, odd values, and what becomes of rows that hold no document."""

import json

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from causalmix_nb.data.pool import Pool
from causalmix_nb.errors import PoolError

OTHER = ["a third", "a fourth"]
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


def read(*rows, **columns):
    """The domain of some rows, read beside another one."""
    return Pool.from_dict(
        {"a": list(rows), "b": [{"text": t, **dict.fromkeys(columns.values(), t)} for t in OTHER]}, **columns
    )["a"]


def pairs(domain):
    return [(row["prompt"], row["text"]) for row in domain.documents]


def openai(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


CHATS = {
    "OpenAI": (openai(("user", "2+2?"), ("assistant", "4")), ("2+2?\n", "4")),
    "system and developer turns": (
        openai(("system", "Be kind."), ("developer", "Be brief."), ("user", "Hi"), ("assistant", "Yo")),
        ("Be kind.\nBe brief.\nHi\n", "Yo"),
    ),
    "content parts": (
        openai(
            ("user", [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "it?"}]),
            ("assistant", [{"type": "text", "text": "Yes"}]),
        ),
        ("See\nit?\n", "Yes"),
    ),
    "content that is text in one turn and parts in the next": (
        openai(("user", "Hi"), ("assistant", [{"type": "text", "text": "Yo"}])),
        ("Hi\n", "Yo"),
    ),
    "null content": (openai(("system", None), ("user", "Hi"), ("assistant", "Yo")), ("Hi\n", "Yo")),
    "a null turn": ({"messages": [None, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}, ("Hi\n", "Yo")),
    "tools": (
        {
            "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "1", "content": "sunny"},
                {"role": "assistant", "content": "It is sunny."},
            ]
        },
        ('Weather?\n{"name": "weather", "arguments": {"city": "Rome"}}\nsunny\n', "It is sunny."),
    ),
    "an answer that is a call": (
        {"messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}]},
        ("Weather?\n", '{"name": "weather", "arguments": {"city": "Rome"}}'),
    ),
    "a legacy function call": (
        {"messages": [{"role": "user", "content": "Go"}, {"role": "assistant", "content": None, "function_call": CALL["function"]}]},
        ("Go\n", '{"name": "weather", "arguments": {"city": "Rome"}}'),
    ),
    "what follows the answer": (openai(("user", "Hi"), ("assistant", "Yo"), ("user", "Bye")), ("Hi\n", "Yo")),
    "a JSON string": ({"messages": json.dumps(openai(("user", "Hi"), ("assistant", "Yo"))["messages"])}, ("Hi\n", "Yo")),
    "Python's print of a list": ({"messages": "[{'role': 'user', 'content': \"It's\"}, {'role': 'assistant', 'content': None}, {'role': 'assistant', 'content': 'Yo'}]"}, ("It's\n", "Yo")),
    "columns of roles and contents": ({"messages": {"role": ["user", "assistant"], "content": ["Hi", "Yo"]}}, ("Hi\n", "Yo")),
    "ShareGPT": ({"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]}, ("S\nHi\n", "Yo")),
    "ShareGPT with tools": (
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "function_call", "value": "{}"},
                {"from": "observation", "value": "7"},
                {"from": "gpt", "value": "Seven"},
            ]
        },
        ("Hi\n{}\n7\n", "Seven"),
    ),
    "ShareGPT beside a system column": ({"system": "S", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]}, ("S\nHi\n", "Yo")),
    "a dialog of texts": ({"dialog": ["Hi", "Yo", "How?", "Well."]}, ("Hi\nYo\nHow?\n", "Well.")),
    "Gemini": ({"messages": [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": [{"text": "Yo"}]}]}, ("Hi\n", "Yo")),
    "an answer that is a number": (openai(("user", "2+2?"), ("assistant", 4)), ("2+2?\n", "4")),
    "a bare list of turns": (openai(("user", "Hi"), ("assistant", "Yo"))["messages"], ("Hi\n", "Yo")),
    "turns in a text column": ({"text": openai(("user", "Hi"), ("assistant", "Yo"))["messages"]}, ("Hi\n", "Yo")),
    "an answer with weight 0": (
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo", "weight": 1}, {"role": "assistant", "content": "No", "weight": 0}]},
        ("Hi\n", "Yo"),
    ),
    "TRL prompt-completion of turns": (
        {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Yo"}]},
        ("Hi\n", "Yo"),
    ),
    "TRL prompt-completion of texts": ({"prompt": "The sky is", "completion": " blue."}, ("The sky is", " blue.")),
    "preference of texts": ({"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}, ("The sky is", " blue.")),
    "preference with an implicit prompt": ({"chosen": "The sky is blue.", "rejected": "The sky is green."}, ("The sky is", " blue.")),
    "preference of turns": (
        {"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "Yo"}], "rejected": [{"role": "assistant", "content": "No"}]},
        ("Hi\n", "Yo"),
    ),
    "preference of whole conversations": (
        {"chosen": openai(("user", "Hi"), ("assistant", "Yo"))["messages"], "rejected": openai(("user", "Hi"), ("assistant", "No"))["messages"]},
        ("Hi\n", "Yo"),
    ),
    "preference of whole conversations beside their prompt": (
        {"prompt": "Hi", "chosen": openai(("user", "Hi"), ("assistant", "Yo"))["messages"], "rejected": openai(("user", "Hi"), ("assistant", "No"))["messages"]},
        ("Hi\n", "Yo"),
    ),
    "preference after a system text": ({"system": "S", "question": "Q", "chosen": "Yes", "rejected": "No"}, ("S\nQ", "Yes")),
    "hh-rlhf": (
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Yes, a", "rejected": "\n\nHuman: Hi\n\nAssistant: Yes, b"},
        ("\n\nHuman: Hi\n\nAssistant:", "Yes, a"),
    ),
    "hh-rlhf in messages": ({"messages": "\n\nHuman: Hi\n\nAssistant: Yo"}, ("\n\nHuman: Hi\n\nAssistant:", "Yo")),
    "alpaca": ({"instruction": "Add.", "input": "2+2", "output": "4"}, ("Add.\n2+2", "4")),
    "alpaca without input": ({"instruction": "Add 2+2.", "input": "", "output": "4"}, ("Add 2+2.", "4")),
    "alpaca in LLaMA-Factory": (
        {"instruction": "And 3?", "input": None, "output": "5", "system": "S", "history": [["2+2?", "4"]]},
        ("S\n2+2?\n4\nAnd 3?", "5"),
    ),
    "dolly": ({"instruction": "Who?", "context": "Ada.", "response": "Ada"}, ("Who?\nAda.", "Ada")),
    "an answer that is a whole number": ({"prompt": "2+2=", "response": 4}, ("2+2=", "4")),
    "an answer that is a fraction": ({"prompt": "1/4=", "response": 0.25}, ("1/4=", "0.25")),
    "an answer that is a truth value": ({"question": "Is it?", "answer": True}, ("Is it?", "true")),
    "a prompt that is a number": ({"prompt": 7, "response": "seven"}, ("7", "seven")),
    "a whole number beyond 64 bits": ({"prompt": "2**70=", "response": 2**70}, ("2**70=", str(2**70))),
    "names in capitals and with spaces": ({"Question ": "Q", "ANSWER": "A"}, ("Q", "A")),
    "a list of texts": ({"text": ["one", "two"]}, ("", "one\ntwo")),
    "bytes": ({"text": b"caf\xc3\xa9"}, ("", "café")),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHATS)
def test_every_format_of_the_trainers_is_read_as_they_read_it(kind):
    row, expected = CHATS[kind]
    assert pairs(read(row)) == [expected]


UNREADABLE = {
    "no answer": (openai(("user", "Hi")), "without an answer"),
    "an empty answer": (openai(("user", "Hi"), ("assistant", "")), "last answer is empty"),
    "no turns": ({"messages": []}, "without turns"),
    "a null conversation": ({"messages": None}, "no response"),
    "a text that is no conversation": ({"messages": "hello"}, "without Human: and Assistant:"),
    "broken JSON": ({"messages": "[{"}, "no JSON"),
    "a turn without a role": ({"messages": [{"content": "Hi"}]}, "who speaks"),
    "a mapping": ({"text": {"de": "Hallo"}}, "a mapping where text belongs"),
    "a list of mappings": ({"text": [{"de": "Hallo"}]}, "a mapping where text belongs"),
    "an empty list": ({"text": []}, "no text"),
    "empty text": ({"text": " \n"}, "empty text"),
    "null text": ({"text": None}, "no text"),
    "a missing number": ({"text": float("nan")}, "no text"),
    "no row": (None, "no text"),
    "an instruction without an answer": ({"instruction": "Add.", "output": None, "text": "Below is …"}, "no response"),
    "an answer that is not wanted": ({"prompt": "Hi", "completion": "No", "label": False}, "not wanted"),
    "bytes that are no text": ({"text": b"\xff\xfe"}, "no UTF-8"),
    "other columns": ({"id": 3}, "no column that is known"),
    "nesting without end": ({"text": json.loads("[" * 500 + "]" * 500)}, "a list of lists"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_row_that_cannot_be_read_is_counted_with_its_reason_and_its_place(kind):
    row, reason = UNREADABLE[kind]
    good = (
        {"text": "a good one"}
        if "text" in (row or {"text": 0}) or kind == "other columns"
        else CHATS["OpenAI"][0]
    )
    domain = read(good, row, good)
    assert domain.n_documents == 2
    assert domain.report.rows == 3 and domain.report.n_left_out == 1
    assert reason in domain.report.why and "(row 2)" in domain.report.why


def test_rows_of_different_shapes_are_each_read_as_what_they_are():
    domain = read(
        {"text": "plain"},
        {"prompt": "Q", "response": "A"},
        CHATS["OpenAI"][0],
        {"text": None, "answer": "B", "question": "R"},
    )
    assert pairs(domain) == [("", "plain"), ("Q", "A"), ("2+2?\n", "4"), ("R", "B")]
    assert len(domain.report.columns) == 4


@pytest.mark.parametrize("word", ["None", "N/A", "null", "nan", "NA", "NaN", "True", "1e5", "-"])
def test_words_that_look_like_missing_values_are_text(tmp_path, word):
    pd.DataFrame({"text": [word, "other"]}).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": word}))
    pool = Pool.from_files([tmp_path / "a.csv", tmp_path / "b.jsonl"])
    assert pool["a"].documents["text"][0] == word and pool["b"].documents["text"][0] == word
    assert Pool.from_dict({"a": [word], "b": OTHER})["a"].documents["text"][0] == word


def test_what_was_read_in_an_unexpected_way_is_said():
    image = [
        {"type": "image", "image": None},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "text", "text": "See?"},
    ]
    domain = read(
        openai(("user", image), ("assistant", "Yes")),
        openai(("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4"), ("user", "5")),
    )
    said = " ".join(domain.report.remarks)
    assert "pictures and other parts that are no text were skipped (1 documents)" in said
    assert "answers before the last one were read as context and are not learnt (1 documents)" in said
    assert "turns after the last answer were not read" in said


def test_zeros_in_a_text_are_said():
    assert any("NUL characters" in line for line in read("a\0b").report.remarks)


def test_a_missing_row_is_no_column_that_was_passed_over():
    pool = Pool.from_dict(
        {
            "a": [
                None,
                {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]},
            ],
            "b": ["x", "y"],
        }
    )
    assert pool.notes == ("a: 1 of 2 rows left out: 1 no text (row 1)",)


def test_columns_that_were_passed_over_are_named():
    pool = Pool.from_dict({"a": [{"prompt": "Q", "response": "A", "text": "Q A"}], "b": OTHER})
    assert any("columns not read: text" in line for line in pool.notes)


def test_half_characters_are_replaced_aloud(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "broken \\ud800 half"}\n{"text": "\\ud83d\\ude00"}\n')
    pool = Pool.from_dict({"a": ["broken \ud800 half", "\ud83d\ude00"], "b": OTHER})
    files = Pool.from_files([tmp_path / "a.jsonl"] + [_beside(tmp_path)])
    assert (
        list(pool["a"].documents["text"])
        == list(files["a"].documents["text"])
        == ["broken \ufffd half", "😀"]
    )
    assert any("half characters" in line for line in pool.notes)


def _beside(folder):
    (folder / "other.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in OTHER))
    return folder / "other.jsonl"


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"prompt": ["a", "b", "c"], "response": [1, None, 3]}),
        Dataset.from_pandas(pd.DataFrame({"prompt": ["a", "b", "c"], "response": ["1", None, "3"]})),
        [{"prompt": "a", "response": 1}, {"prompt": "b", "response": None}, {"prompt": "c", "response": 3}],
        np.array([{"prompt": "a", "response": 1}, {"prompt": "b"}, {"prompt": "c", "response": 3}]),
    ],
    ids=["frame", "datasets", "rows", "numpy"],
)
def test_a_missing_answer_does_not_change_the_others(data):
    domain = Pool.from_dict({"a": data, "b": OTHER})["a"]
    assert pairs(domain) == [("a", "1"), ("c", "3")] and domain.report.n_left_out == 1


def test_a_frame_of_chats_is_read(tmp_path):
    chats = [CHATS["OpenAI"][0]["messages"], CHATS["content parts"][0]["messages"], None]
    frame = pd.DataFrame({"messages": chats})
    assert len(pairs(Pool.from_dict({"a": frame, "b": OTHER})["a"])) == 2


# -- domains --------------------------------------------------------------------------------------------------


def by_domain(values, texts=None, **options):
    rows = [{"source": value, "text": f"text {i}"} for i, value in enumerate(values)]
    return Pool.from_dataset(rows, "source", **options)


def test_rows_without_a_domain_name_are_counted():
    pool = by_domain(["x", "y", None, "", " ", float("nan"), ["x"], "x"])
    assert {name: pool[name].n_documents for name in pool} == {"x": 2, "y": 1}
    assert any(
        line.startswith("rows of no domain: 5 rows left out: 4 no domain name (row 3)") for line in pool.notes
    )
    assert any("a domain name that is a list" in line for line in pool.notes)


def test_names_of_domains_are_plain():
    pool = by_domain([1, 2.0, " math", "math ", "Math", "math"])
    assert pool.domains == ("1", "2", "Math", "math")
    assert pool["math"].n_documents == 3
    assert any("differ in case" in line for line in pool.notes)
    assert any("spaces around the names" in line for line in pool.notes)


def test_a_datasets_object_gives_its_labels_names():
    features = Features({"source": ClassLabel(names=["web", "books"]), "text": Value("string")})
    data = Dataset.from_dict({"source": [0, 1, 1], "text": ["a", "b", "c"]}, features)
    assert Pool.from_dataset(data, "source").domains == ("books", "web")


@pytest.mark.parametrize("n", [30, 10_000])
def test_a_column_that_names_every_row_is_no_domain_column(n):
    with pytest.raises(PoolError, match=r"column 'source' names (more than 1,000|30) domains.* few groups"):
        by_domain([f"id-{i}" for i in range(n)])


def test_a_domain_without_a_document_is_left_out_aloud():
    rows = [{"source": s, "text": t} for s, t in [("x", "1"), ("y", "2"), ("z", ""), ("z", None)]]
    pool = Pool.from_dataset(rows, "source")
    assert pool.domains == ("x", "y") and any("domain 'z' is left out" in line for line in pool.notes)


def test_a_misspelt_option_is_refused():
    with pytest.raises(PoolError, match="no option 'tex_column'. Did you mean 'text_column'"):
        Pool.from_dict({"a": OTHER, "b": OTHER}, tex_column="x")


def test_describe_and_the_picture_say_what_was_left_out():
    pool = Pool.from_dict({"a": ["one", None, "", "two"], "b": OTHER})
    frame = pool.describe()
    assert list(frame["left_out"]) == [2, 0] and "no text (row 2)" in frame.loc["a", "why"]
    assert "2 rows left out" in repr(pool)


def test_the_words_of_a_bad_row_do_not_reach_a_page_as_markup():
    from causalmix_nb.cards.results import render

    pool = Pool.from_dict({"a": ["one", {"messages": [{"role": "<b>x", "content": "y"}]}], "b": OTHER})
    html = render(pool).html
    assert "<b>x" not in html and "&lt;b&gt;x" in html
