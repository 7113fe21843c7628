"""What is typed, pasted or mistyped after %causalmix: understood where it can be meant in one way only, else one sentence, and at once."""

import ast
import re
import time
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from causalmix_nb.errors import CausalMixError
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.magics import completion, magics
from causalmix_nb.magics.language import EXPANSION, PLACEHOLDER, HelpAsked, MagicError, joined, split
from causalmix_nb.magics.parser import parse

PACKAGE = Path(__file__).parents[2] / "causalmix_nb"
LONG = 20_000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("do math={share}", "{{share}}"),
        ("do math=$share", "{{share}}"),
        ("do math=${share}", "{{share}}"),
        ("do {name}=0.4", "{{name}}"),
        ("do $name=0.4", "{{name}}"),
        ("do math=0.4 --keep from={donor}", "{{donor}}"),
        ("export {name}.yaml", "{{name}}"),
        ("run --runs $n", "{{n}}"),
        ("do math={share*2}", "{{share*2}}"),
        ("do math={{share}", "{{share}}"),
    ],
)
def test_other_ways_to_put_a_variable_in_lead_to_the_one_there_is(line, said):
    with pytest.raises(MagicError, match="puts nothing in here") as refused:
        parse(line, lambda name: "0.4")
    assert said in str(refused.value)


def test_quoted_words_and_graphs_keep_their_braces():
    assert parse("export '{name}.yaml'").path == "{name}.yaml"
    assert parse("dag 'a -> {b c}'").source == "a -> {b c}"
    assert parse("pool files:data/{a,b}/*.jsonl").spec == "files:data/{a,b}/*.jsonl"


def test_the_way_there_is_works():
    assert parse("do math={{ share }}", {"share": "0.4"}.__getitem__).shares == {"math": 0.4}


@pytest.mark.parametrize("dash", ["—", "–", "−", "--", "——", "–-", "‑‑", "―"])
def test_a_dash_that_an_editor_made_begins_an_option(dash):
    assert parse(f"do math=0.4 {dash}keep from=code").keep == "from=code"


@pytest.mark.parametrize("dash", ["-", "–", "−", "—"])
def test_a_dash_before_one_letter_begins_a_short_option(dash):
    assert parse(f"fit {dash}o model").out == "model"
    assert parse(f"fit {dash}o model;").quiet


def test_a_dash_elsewhere_is_itself():
    assert split("do web–text=0.4 “—x”=0.1") == (["do", "web–text=0.4", "—x=0.1"], False)


@pytest.mark.parametrize("number", ["-0.1", "−0.1", "–0.1"])
def test_a_minus_sign_is_a_minus(number):
    assert split(f"shift math {number}")[0][2] == "-0.1"


@pytest.mark.parametrize(
    "quoted", ["“the web”", "„the web“", "”the web”", "«the web»", "‘the web’", '"the web"', "'the web'", '“the web"']
)  # fmt: skip
def test_quotation_marks_of_every_kind_hold_words_together(quoted):
    assert parse(f"do {quoted}=0.4").shares == {"the web": 0.4}
    assert parse(f"do math=0.4 --keep from={quoted}").keep == "from=the web"


def test_an_apostrophe_inside_a_word_is_none():
    assert split("do l’oral=0.4") == (["do", "l’oral=0.4"], False)
    assert split('do "say “hi”"=0.4') == (["do", "say “hi”=0.4"], False)


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u2003", "\u3000", " \u200b", "\ufeff "])
def test_spaces_of_every_kind_part_words(space):
    assert split(f"do{space}math=0.4") == (["do", "math=0.4"], False)


def test_a_backslash_continues_a_line_of_a_cell():
    assert joined("run --runs 8 \\\n  --budget 2k\nfit") == ["run --runs 8  --budget 2k", "fit"]
    assert joined("# a comment \\\nfit") == ["# a comment \\", "fit"]
    assert joined("run \\\n\\\n--runs 8\\\n--budget 2k") == ["run   --runs 8 --budget 2k"]
    assert joined("fit \\") == ["fit "]


@pytest.fixture
def shell():
    found = InteractiveShell.instance()
    magics.load(found)
    yield found
    magics.unload(found)
    InteractiveShell.clear_instance()


@pytest.mark.parametrize("end", ["\\", "\\  "])
def test_a_line_continues_in_a_cell_as_it_does_outside_of_one(shell, end, monkeypatch):
    seen = []
    monkeypatch.setattr(magics.CausalMixMagics, "_do_line", lambda self, args, *rest: seen.append(vars(args)))
    shell.run_cell(f"%%causalmix\nrun --runs 8 {end}\n    --budget 2k\nfit")
    assert [found["command"] for found in seen] == ["run", "fit"] and seen[0]["budget"] == 2000
    shell.run_cell("%causalmix run --runs 8 \\\n    --budget 2k")
    assert seen[2] == seen[0]


@pytest.mark.parametrize("text", ["9" * 500, "1" * 400 + "k", "1e999", "٣", "²", "1" * 39 + "k"])
def test_a_count_that_is_none_is_refused_in_a_sentence(text):
    try:
        assert parse(f"run --runs {text}").runs < 1e42
    except MagicError as refused:
        assert "not a positive whole number" in str(refused)


# -- nothing takes longer than in proportion ---------------------------------------------------------------------

NASTY = {
    "an open placeholder": "do {{" + " " * LONG,
    "many open placeholders": "do " + "{{ " * (LONG // 3),
    "braces": "do " + "{" * LONG,
    "single braces": "do " + "{a" * (LONG // 2),
    "dollars": "do " + "$" * LONG,
    "a dollar and a word": "do $" + "a" * LONG,
    "spaces": "do" + " " * LONG + "x",
    "digits": "run --runs " + "1" * LONG + "x",
    "underscores": "run --runs 1" + "_" * LONG + "x",
    "digits and points": "run --runs " + "1." * (LONG // 2),
    "a long word": "do " + "a" * LONG,
    "pairs": "do " + ",".join(f"a{i}=0.1" for i in range(LONG // 8)),
    "words": "do " + "a=1 " * (LONG // 4),
    "different words": "do " + " ".join(f"a{i}=0" for i in range(LONG // 8)),
    "commas": "do " + "," * LONG,
    "equal signs": "do " + "=" * LONG,
    "dashes": "do " + "—" * LONG,
    "options": "do " + "--keep " * (LONG // 7),
    "unknown options": "do " + "--x " * (LONG // 4),
    "quotes": "do " + "'' " * (LONG // 3),
    "an open quote": "do “" + "a " * (LONG // 2),
    "semicolons": "fit" + ";" * LONG,
    "a comment": "fit #" + "#" * LONG,
    "an unknown subcommand": "x" * LONG,
}


@pytest.mark.parametrize("name", NASTY)
def test_a_long_line_is_read_or_refused_at_once(name):
    start = time.perf_counter()
    try:
        parse(NASTY[name], lambda variable: "1")
    except (MagicError, HelpAsked) as refused:
        assert len(str(refused)) < 2_000
    assert time.perf_counter() - start < 1.0


BITS = [" ", "a", "a.", "a ", ", ", "{", "{{", "{{ ", "}", "$", "${", "${a", "1", "1.", "1_", "=", "a=", "%", "%%", "\t\n", "-", "'", "`", ":a", ":a:`", "*a"]  # fmt: skip
HEADS = {  # pattern -> what makes it begin to match
    PLACEHOLDER: ["{{"],
    EXPANSION: ["{", "$", "${"],
    completion._LINE: ["%causalmix", "x ="],
    completion._CELL: ["%causalmix", "%%causalmix"],
}


@pytest.mark.parametrize("pattern", HEADS, ids=["placeholder", "expansion", "line", "cell"])
def test_patterns_take_time_in_proportion_to_what_follows_their_beginning(pattern):
    for head in ("", *HEADS[pattern]):
        for bit in BITS:
            text = head + bit * (LONG // len(bit)) + "\x00"
            start = time.process_time()
            pattern.search(text), pattern.sub("", text)
            assert time.process_time() - start < 1.0, (head, bit)


def patterns_of(path: Path) -> list[tuple[str, bool]]:
    """Regular expressions that a module of the package makes or uses, and whether they are written verbosely."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.") and node.args:
            pattern = node.args[0]
            if isinstance(pattern, ast.Constant) and isinstance(pattern.value, str):
                found.append((pattern.value, "VERBOSE" in ast.unparse(node)))
    return found


WITH_PATTERNS = [path for path in sorted(PACKAGE.rglob("*.py")) if patterns_of(path)]


@pytest.mark.parametrize("path", WITH_PATTERNS, ids=lambda path: path.stem)
def test_no_pattern_of_the_package_is_slow_on_what_repeats(path):
    for pattern, verbose in patterns_of(path):
        made = re.compile(pattern, re.VERBOSE if verbose else 0)
        for bit in BITS:
            text = bit * (2_000 // len(bit)) + "\x00"
            start = time.process_time()
            made.search(text), made.fullmatch(text), made.sub("", text)
            assert time.process_time() - start < 0.25, (path.name, pattern, bit)


@pytest.mark.parametrize("text", ["a " * LONG, "->" * LONG, "a->" * LONG, '"' * LONG, "#" * LONG, " " * LONG + "!"])  # fmt: skip
def test_a_long_graph_is_read_or_refused_at_once(text):
    start = time.perf_counter()
    try:
        CausalGraph.parse(text[:LONG])
    except CausalMixError as refused:
        assert len(str(refused)) < 2_000
    assert time.perf_counter() - start < 5.0
