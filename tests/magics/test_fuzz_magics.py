"""Generated %causalmix lines: arguments, help, or one sentence; nothing else, and at once. Nothing is trained."""

import argparse
import time
import warnings

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from causalmix_nb.errors import CausalMixError
from causalmix_nb.magics import completion
from causalmix_nb.magics.command import commands
from causalmix_nb.magics.language import HelpAsked, joined, scalar, split
from causalmix_nb.magics.parser import parse, parser

MANY = settings(
    max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
OPTIONS = sorted({option for name in commands() for option in parser(name).options()})
VARIABLES = {"share": 0.4, "name": "the web", "n": 8, "runs": object(), "nested": "{{share}}", "nan": float("nan")}  # fmt: skip
values = st.sampled_from(
    [
        "0.4", "40%", "-0.1", "−0.1", "1e999", "nan", "inf", "١", "100k", "1.5M", "9" * 400, "math=0.4", "math=", "=0.4", "math==0.4", "code/math=2",
        "from=web", "from=", "“the web”=0.4", "'a b'=1", "{{share}}", "{{ name }}", "{{runs}}", "{{nobody}}", "{{}}", "{{nested}}", "{share}", "$share",
        "a,b", "a=1,b=2", "a=1,a=2", "hf:x", "files:*.jsonl", "~", "..", "\u00a0", "\u200b", "—", "–o", "--", "-", "-x", "--help", ";", "x;", "#", "# x", "\\",
        "'", '"', "“", "’", "\x00", "\x1b[0m", "\ud800", "%", "%causalmix", "null", "None", "True", "0", "-1", "1_000", "1,5", "🙂", "א", "\n", "\t",
    ]
)  # fmt: skip
words = st.sampled_from(OPTIONS) | values | st.text(max_size=8)
lines = st.builds(
    lambda command, rest, gap: gap.join([command, *rest]),
    st.sampled_from([*commands(), "", "do", "optimize", "rum", "help"]),
    st.lists(words, max_size=8),
    st.sampled_from([" ", "  ", "\u00a0", "\t"]),
)


def said(read) -> object:
    """What a reading gives, or the sentence that refuses it; any other exception is a fault."""
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return read()
        except HelpAsked as asked:
            assert "usage" in str(asked)
            return asked
        except CausalMixError as refused:
            assert str(refused).strip() and len(str(refused)) < 1_500
            return refused
        finally:
            assert time.monotonic() - start < 5


@MANY
@given(lines)
@example("run --runs " + "9" * 400)
@example("do math=0.4 —keep from=“the web”")
@example("do “")
@example("fit ;")
@example("fit; ")
@example("help \ud800")
def test_a_line_of_the_magic_is_read_or_refused_in_a_sentence(line):
    found = said(lambda: parse(line, lambda name: scalar(name, VARIABLES)))
    if isinstance(found, argparse.Namespace):
        assert found.command in commands() and isinstance(found.quiet, bool)


@MANY
@given(st.text(max_size=60))
def test_any_text_is_split_or_refused_in_a_sentence(line):
    found = said(lambda: split(line))
    if not isinstance(found, Exception):
        parts, quiet = found
        assert all(isinstance(word, str) for word in parts) and isinstance(quiet, bool)


plain = st.text("abcxyz019=./:_", min_size=1, max_size=8).filter(lambda word: not word.startswith("-"))


@MANY
@given(st.lists(plain, max_size=8), st.sampled_from([" ", "  ", "\t", "\u00a0"]))
def test_plain_words_are_split_as_python_splits_them(parts, gap):
    assert split(gap.join(parts)) == (parts, False)


@MANY
@given(
    st.lists(st.text("ab =,;#{}", min_size=1, max_size=8), max_size=5),
    st.sampled_from(["''", '""', "“”", "„“", "«»", "‘’"]),
)
def test_quoted_words_mean_what_they_say(parts, marks):
    line = " ".join(marks[0] + part + marks[1] for part in parts)
    assert split(line) == (parts, False)


@MANY
@given(st.lists(st.text("ab -\\", max_size=10), max_size=6))
def test_joined_lines_hold_all_that_was_written(texts):
    found = joined("\n".join(texts))
    assert len(found) <= max(1, len(texts))
    assert "".join("".join(found).split()).replace("\\", "") == "".join("".join(texts).split()).replace(
        "\\", ""
    )


@MANY
@given(lines, st.integers(0, 60))
def test_completion_never_fails(line, column):
    cell = f"%causalmix {line}".split("\n")[0]
    found = said(lambda: completion.suggest(cell, 0, min(column, len(cell)), lambda kind: ["math", "code"]))
    assert found is None or isinstance(found, (completion.Suggestions, CausalMixError))


def test_every_example_of_the_help_is_read():
    for name, command in commands().items():
        for part in command.example.split("%causalmix")[1:]:
            assert parse(part.split("  ")[0]).command in (name, part.split()[0])
