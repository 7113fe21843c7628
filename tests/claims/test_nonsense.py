"""Nonsense on purpose: whatever is typed, and whatever things are called, nothing runs, nothing crashes, and one sentence says what to do."""

import io
import re
from contextlib import redirect_stdout

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from causalmix_nb.cards.results import render
from causalmix_nb.errors import CausalMixError
from causalmix_nb.magics.command import commands
from causalmix_nb.magics.completion import suggest
from causalmix_nb.magics.language import HelpAsked, MagicError
from causalmix_nb.magics.parser import parse
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.study import Study

EVIL = '<img src=x onerror="alert(1)">'
NAMES = [EVIL, 'it\'s "quoted"', "مرحبا\u202e", "😀 漢字", "x" * 200, "a=b,c;d#e", "$x^2$ \\frac{\x1b[31m"]
OUTCOMES = [f"{EVIL} loss", "<b>😀\u202e"]
LONGEST = 420  # characters of a sentence


@pytest.fixture(scope="module")
def hostile():
    """Runs whose domains, states and outcomes have names that break things."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(len(NAMES)), 60)
    outcomes = {
        name: shares[:, i] - shares[:, i + 1] + rng.normal(0, 0.1, 60) for i, name in enumerate(OUTCOMES)
    }
    state = {f"{name}.loss": rng.normal(size=60) for name in NAMES[:3]}
    return Runs.from_frames(
        pd.DataFrame(shares, columns=NAMES), pd.DataFrame(outcomes), state=pd.DataFrame(state), minimize=True
    )


@pytest.fixture(scope="module")
def shell(tmp_path_factory, hostile, _finished):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("nonsense")
        patch.chdir(folder)
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        made = InteractiveShell()
        made.history_manager.enabled = False
        made.run_line_magic("load_ext", "causalmix_nb")
        made.user_ns.update(R=hostile, study=Study.open(_finished.folder), hit=[])
        made.user_ns["model"] = made.user_ns["study"].fit(method="linear")
        yield made
        made.history_manager.end_session()


def run(shell, cell):
    with redirect_stdout(io.StringIO()) as out:
        found = shell.run_cell(cell)
    shell.printed = out.getvalue()
    return found.result, found.error_in_exec or found.error_before_exec


def a_sentence(error) -> bool:
    said = str(error)
    return (
        isinstance(error, CausalMixError)
        and "\n" not in said
        and 15 < len(said) <= LONGEST
        and said[-1] in ".!?"
    )


# -- lines ----------------------------------------------------------------------------------------------------

LINES = [
    "nonsense", "😀", '" ', 'do "apples=0.4', "do apples=-0.1", "do apples=1.5", "do apples=0.7 bolts=0.6", "do apples=nan",
    "do apples=inf", "do apples=1e400", "do apples=0.1=0.2", "do =0.4", "do apples=", "do apples=0.4,", "do apples=0,4",
    "do apples=.4 --keep from=", "do apples=.4 --keep from=apples", "do apples=.4 --keep from=zzz", "do",
    "run --runs 99999999999999999999", "run --runs 1e9", "run --budget 9999999999B", "run --runs -5", "run --workers 0",
    "run --runs 12 --budget 1", "fit --method magic", "fit --outcome nothing", "fit --seed -1", "fit --seed 1.5",
    "fit --seed 99999999999999999999999", "optimize --cap 0", "optimize --cap -1", "optimize --cap nan", "optimize --floor 0.9",
    "optimize --fix apples=1 bolts=1", "optimize --fix apples=nan", "optimize --ratio apples/bolts=-2", "optimize --ratio apples=2",
    "optimize --max-epochs 0", "optimize --max-epochs -3", "optimize --max-epochs nan", "optimize --candidates 0",
    "optimize --candidates 999999999999", "optimize --caution nan", "optimize --policy magic", "optimize --noise apples=2",
    "optimize --noise apples=nan", "state --noise zzz=0.5", "compare", "compare nothing", "compare equal --seeds 1",
    "compare equal --seeds 99999999999", "export", "study open /nowhere", "study open", f"study open '{EVIL}'", "pool files:",
    "pool files:/nowhere/*.jsonl", "pool hf:", f"pool '{EVIL}'", "pool R", "pool demo --seed x", "runs import a b c",
    f"runs import {EVIL}", "runs use zzz", "runs use study", "dag 'a ->'", "dag --method magic", "interpret --depth 99",
    "leaderboard magic", "leaderboard linear --runs 1", "leaderboard linear --splits 99999999", "refute --repeats 999999999999",
    "pareto nothing", "pareto bpb", "price", "price zzz=1", "price loss=nan", "counterfactual", "counterfactual -1 apples=.4",
    "counterfactual 0 apples=2", "counterfactual 0 zzz=.4", "paths zzz", "select --method magic", f"help {EVIL}", "help " + "x" * 500,
    "report /", "status extra", "{{x}}", "do apples={{hit.append(1)}}", "do apples={{missing}}", "do apples={{}}", "do {apples}=.4",
    "do $apples=.4", "-o x", "fit -o", "fit -o 'a b'", "-x", "x" * 5000, "do " + "apples=0.1 " * 3, "explore --noise apples=5",
    "attach", "stop", "doctor --study '\x00'", "report '\x00'", "export '\x00.yaml'", "pool demo --study '\x00'", "tutorial '\x00'",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=[f"{i}" for i in range(len(LINES))])
def test_a_senseless_line_gets_a_sentence(shell, line):
    session = shell.magics_manager.registry["CausalMixMagics"].session
    session.study = shell.user_ns["study"]
    session.study.model, session.study.recommendation = shell.user_ns["model"], None
    _, error = run(shell, f"%causalmix {line}")
    assert a_sentence(error), f"{line[:80]!r}: {type(error).__name__}: {str(error)[:300]}"
    assert shell.user_ns["hit"] == []  # what stands between braces is a name, and is never run


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.sampled_from(["", *commands()]))
def test_any_text_is_understood_or_refused_in_one_sentence(text, command):
    try:
        parse(f"{command} {text}")
    except MagicError as error:
        assert "\n" not in str(error)
    except HelpAsked:
        pass


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.sampled_from(["", "do ", "optimize --cap ", "help ", "fit --method "]))
def test_completion_never_breaks_typing(text, command):
    cell = f"%causalmix {command}{text}"
    suggest(cell, 0, len(cell.split("\n")[0]), lambda kind: NAMES)


# -- names ----------------------------------------------------------------------------------------------------


def quoted(name: str) -> str:
    return f'"{name}"' if '"' not in name else f"'{name}'"


ASKED = [
    "runs", "check", "fit --method linear", f"do {quoted(EVIL)}=0.4", f"do {quoted('😀 漢字')}=0.2 {quoted('x' * 200)}=0.3", "effect",
    "effect --pairs", "overlap", "refute --repeats 5", "interpret --depth 1", "paths", f"counterfactual 3 {quoted(EVIL)}=.4",
    "optimize --candidates 500", "export", "status", "dag",
    "study", "leaderboard equal linear --runs 30 --splits 1",
]  # fmt: skip


def test_hostile_names_are_text_in_every_card_and_every_picture(shell, hostile):
    session = shell.magics_manager.registry["CausalMixMagics"].session
    assert run(shell, "%causalmix runs use R")[1] is None and session.study.runs is hostile
    for line in ASKED:
        result, error = run(shell, f"%causalmix {line}")
        assert error is None, f"{line}: {error!r}"
        bundle = render(result)
        html = bundle.html if bundle else ""
        assert html or line.startswith("effect"), line
        outside = re.sub(r'"data:image/[^"]*"', "", html)
        assert "<img src=x" not in outside and not re.search(r"<[^>]*\bonerror=(?![^<]*&quot;)", outside), (
            line
        )
        printed = "" if line.startswith("effect") else shell.printed  # a table: pandas prints it as it is
        assert not re.search("[\u202e\x1b]", html + (bundle.text if bundle else "") + printed), line
        assert "<b>😀" not in outside and "<script" not in outside, line


def test_a_graph_with_hostile_nodes_is_refused_or_drawn_as_text(shell):
    for name in (EVIL, "<script>alert(1)</script>", "😀", "a b", "x" * 200, "$x$"):
        shell.user_ns["text"] = f"mixture -> score; {name} -> score"
        result, error = run(shell, "%causalmix dag text")
        assert (
            a_sentence(error)
            or "<script" not in render(result).html
            and "<img src=x" not in render(result).html
        )


def test_a_sentence_cannot_move_the_cursor_of_a_terminal():
    told = CausalMixError("unknown domain '\x1b[2J\u202e\x07x'. Give another.")._render_traceback_()
    assert told == ["CausalMixError: unknown domain ' [2J  x'. Give another."]
