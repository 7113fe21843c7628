"""One object a subcommand of ``%causalmix``: its parser, ``--help``, Tab and the overview are made from it.

A subcommand is registered in a file of ``magics/commands/``, or from anywhere. A question of ``answers/`` is
one too, made from its declaration and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.question import QUESTIONS, Arguments, Question, handed
from causalmix_nb.errors import did_you_mean
from causalmix_nb.magics.language import MagicError
from causalmix_nb.registry import Registry

if TYPE_CHECKING:
    import argparse

    from causalmix_nb.magics.session import Session

STEPS = ("data", "graph", "train", "ask", "decide", "about")  # in the order in which one goes through a study


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand.

    name, summary, example: a word, a sentence for the overview, a line that can be typed.
    run: called with the session and the values of the arguments by keyword; returns the result, or None.
    arguments: what it takes.
    step: where it stands in the overview, one of ``STEPS``.
    waits: first wait for proxies that train in the background.
    cell: the kind of name that Tab offers in the body of its ``%%causalmix`` cell, "" where it takes none.
        ``run`` gets the body as ``cell``, None in a line. Braces are such a text's own and not refused.
    aliases: other names that mean it.
    """

    name: str
    summary: str
    example: str
    run: Callable[..., Any]
    arguments: Arguments = ()
    step: str = "about"
    waits: bool = False
    cell: str = ""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.step not in STEPS:
            raise MagicError(f"the step of {self.name!r} is {self.step!r}; choose from {', '.join(STEPS)}.")

    def __call__(self, session: Session, args: argparse.Namespace, cell: str | None = None) -> Any:
        """Run it in a session with the arguments of a line."""
        body = {"cell": cell} if self.cell else {}
        return self.run(session, **handed(self.arguments, vars(args)), **body)


COMMANDS: Registry[Command] = Registry("subcommand", home=f"{__package__}.commands", error=MagicError)


def commands() -> dict[str, Command]:
    """All subcommands by name, questions among them, in the order of the steps and of the alphabet."""
    found = {name: _asking(question) for name, question in QUESTIONS.items()} | dict(COMMANDS)
    return dict(sorted(found.items(), key=lambda item: (STEPS.index(item[1].step), item[0])))


def find(name: str) -> Command:
    """The subcommand of this name or alias.

    Raises
    ------
    MagicError: there is none.
    """
    known = commands()
    named = known | {alias: command for command in known.values() for alias in command.aliases}
    if name not in named:
        raise MagicError(
            f"unknown subcommand {name!r}.{did_you_mean(name, tuple(known))} "
            "%causalmix help lists all of them."
        )
    return named[name]


def _asking(question: Question) -> Command:
    return Command(
        question.name,
        question.summary,
        question.example,
        partial(_ask, question),
        question.arguments,
        step="ask",
        waits=True,
        aliases=question.aliases,
    )


def _ask(question: Question, session: Session, **given: Any) -> Any:
    return question.ask(session.current(), **given)
