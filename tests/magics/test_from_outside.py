"""A question and a subcommand that one file adds are listed, explained, completed, run and shown; and gone when they are taken back."""

import io
from contextlib import redirect_stdout
from dataclasses import dataclass

import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.oinspect import getdoc

from causalmix_nb.answers.question import OUTCOME, QUESTIONS, SEED, Argument, Question, perturbation
from causalmix_nb.errors import CausalMixError
from causalmix_nb.finding import Finding
from causalmix_nb.magics.command import COMMANDS, Command
from causalmix_nb.magics.language import MagicError


@dataclass(frozen=True, slots=True)
class Spread:
    """An answer that brings its words and inherits from nothing."""

    table: pd.DataFrame
    title: str = "How far the runs are spread"

    @property
    def sentences(self):
        return (f"the shares move by {self.table['sd'].mean():.2f}",)


def spread(study, domains, outcome, perturbation, largest, seed):
    shares = study.runs.frame.filter(regex="^mixture[.]").rename(columns=lambda name: name[8:])
    found = shares.std().nlargest(largest).rename("sd").to_frame()
    return Spread(found.loc[[name for name in found.index if not domains or name in domains]])


QUESTION = Question(
    "spread-out",
    "How far the mixtures of the runs are spread.",
    "%causalmix spread-out apples --largest 2",
    spread,
    (
        Argument("domains", "which domains (all)", words="*", metavar="DOMAIN", completes="domain"),
        OUTCOME,
        perturbation(),
        Argument("--largest", "how many of 100% to show (3)", "count", 3, metavar="N"),
        SEED,
    ),
    aliases=("spread",),
)


@pytest.fixture
def shell(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    made = InteractiveShell()
    made.history_manager.enabled = False
    made.run_line_magic("load_ext", "causalmix_nb")
    run(made, f"%causalmix study open {finished.folder};")
    yield made
    made.history_manager.end_session()


@pytest.fixture
def asked(shell):
    """The same after the question was registered, while the extension is loaded."""
    QUESTIONS.register(QUESTION)
    yield shell
    QUESTIONS.remove(QUESTION.name)


def run(shell, cell):
    with redirect_stdout(io.StringIO()) as out:
        found = shell.run_cell(cell)
    shell.printed = out.getvalue()
    found.raise_error()
    return found.result


def completions(shell, text):
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(text, len(text))]


def test_a_question_is_listed_explained_and_completed(asked):
    run(asked, "%causalmix help")
    assert "spread-out      How far the mixtures of the runs are spread." in asked.printed
    assert "spread-out" in getdoc(asked.magics_manager.magics["line"]["causalmix"])
    for line in ("help spread-out", "spread-out --help", "help spread"):
        run(asked, f"%causalmix {line}")
        assert "how many of 100% to show (3)" in asked.printed and QUESTION.example in asked.printed
    assert completions(asked, "%causalmix spr") == ["spread-out"]
    assert completions(asked, "%causalmix help spr") == ["spread-out"]
    assert completions(asked, "%causalmix spread-out --lar") == ["--largest"]
    assert completions(asked, "%causalmix spread-out ap") == ["apples"]
    with pytest.raises(MagicError, match="Did you mean 'spread-out'"):
        run(asked, "%causalmix spread-oot")
    with pytest.raises(MagicError, match="spread-out has no option '--larges'. Did you mean '--largest'"):
        run(asked, "%causalmix spread-out --larges 2")


def test_its_answer_is_an_object_with_a_card(asked):
    found = run(asked, "%causalmix spread-out --largest 2 --noise apples=0.5")
    assert isinstance(found, Spread) and len(found.table) == 2
    assert list(run(asked, "%causalmix spread sums").table.index) == ["sums"]
    shown = asked.display_formatter.format(found)[0]
    assert "How far the runs are spread" in shown["text/html"] and "The shares move by" in shown["text/plain"]


def test_what_is_a_finding_is_a_card_wherever_it_comes_from(shell):
    class Told(Finding):
        title, sentences, table = "What was told", ("a word",), pd.DataFrame({"x": [1.0]})

    assert "What was told" in shell.display_formatter.format(Told())[0]["text/html"]
    run(shell, "%unload_ext causalmix_nb")
    assert "text/html" not in shell.display_formatter.format(Told())[0]


def test_a_question_that_is_taken_back_is_gone(asked):
    found = run(asked, "%causalmix spread-out")
    QUESTIONS.remove(QUESTION.name)
    run(asked, "%causalmix help")
    assert "spread" not in asked.printed and completions(asked, "%causalmix spr") == []
    for line in ("spread-out", "spread", "help spread-out"):
        with pytest.raises(MagicError, match="%causalmix help lists all of them"):
            run(asked, f"%causalmix {line}")
    run(asked, "%unload_ext causalmix_nb")
    assert "text/html" not in asked.display_formatter.format(found)[0]


def test_a_subcommand_takes_a_cell_and_says_what_it_lacks(shell):
    COMMANDS.register(
        Command(
            "shout",
            "Say it again, louder.",
            "%causalmix shout hello",
            lambda session, words, cell: (cell or " ".join(words)).upper(),
            (Argument("words", "what to say", words="*", choices=("hello", "hullo")),),
            cell="node",
        )
    )
    try:
        assert run(shell, "%causalmix shout hello {x}") == "HELLO {X}"
        assert run(shell, "%%causalmix shout\na line\nanother") == "A LINE\nANOTHER\n"
        assert completions(shell, "%causalmix shout hu") == ["hullo"]
        assert completions(shell, "%%causalmix shout\nmi") == ["mixture"]
    finally:
        COMMANDS.remove("shout")


def test_a_declaration_checks_itself():
    with pytest.raises(CausalMixError, match="the kind of '--n' is 'int'; choose from text, flag, count"):
        Argument("--n", "how many", "int")
    with pytest.raises(MagicError, match="the step of 'shout' is 'later'; choose from data, graph"):
        Command("shout", "Say it again, louder.", "%causalmix shout", print, step="later")
