"""The parser of a subcommand, made from its :class:`~causalmix_nb.magics.command.Command`.

Parsers are argparse's, with two differences: an error is a :class:`MagicError` (one sentence that fails the
cell, never ``SystemExit``), and ``--help`` hands the text back instead of leaving.

>>> args = parse("optimize --cap code=50% web=0.2 --max-epochs 4   # a comment")
>>> args.command, args.cap, args.max_epochs
('optimize', {'code': 0.5, 'web': 0.2}, 4.0)
>>> parse("run --rums 8")  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
causalmix_nb.magics.language.MagicError: %causalmix run has no option '--rums'. Did you mean '--runs'? See ...
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from causalmix_nb.answers.question import Argument
from causalmix_nb.errors import did_you_mean
from causalmix_nb.magics.command import STEPS, Command, commands, find
from causalmix_nb.magics.language import (
    PLACEHOLDER,
    HelpAsked,
    MagicError,
    Merge,
    count,
    keep,
    limits,
    pairs,
    put_in,
    real,
    seed,
    split_words,
    variable,
)
from causalmix_nb.magics.names import with_names
from causalmix_nb.magics.topics import TOPICS, topic

READ: dict[str, Callable[[str], Any]] = {  # kind of an argument -> what reads a word of it
    "text": str,
    "choice": str,
    "count": count,
    "real": real,
    "seed": seed,
    "pairs": pairs,
    "limits": limits,
    "keep": keep,
    "variable": variable,
}
HELP = Argument("--help", "show this and do nothing", "flag")
OUT = Argument("--out", "keep the result in a variable too", "variable", metavar="NAME")
MORE = """\
%causalmix alone says where you are; help SUBCOMMAND, help TOPIC and SUBCOMMAND --help say more.
Every result is an object:
  best = %causalmix optimize      or      %causalmix optimize -o best      (a final ; keeps it quiet)
{{name}} puts a number or text of the notebook into a line; objects are given by name.
%%causalmix dag takes the graph as the body of its cell; %%causalmix alone takes one subcommand a line."""
SHORT = {HELP.name: "-h", OUT.name: "-o"}


class Parser(argparse.ArgumentParser):
    """The parser of one subcommand. arguments: key -> the declaration of what it takes."""

    def __init__(self, command: Command) -> None:
        super().__init__(
            prog=f"%causalmix {command.name}",
            description=command.summary,
            epilog=f"example:\n  {command.example}",
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=100, max_help_position=30),
            add_help=False,
            allow_abbrev=False,
        )
        self.command = command
        parts = [part for argument in command.arguments for part in argument.parts]
        self.arguments = {argument.key: argument for argument in (HELP, *parts, OUT)}
        for argument in self.arguments.values():
            self._take(argument)

    def _take(self, argument: Argument) -> None:
        written = [name for name in (SHORT.get(argument.name), argument.name) if name]
        text = argument.help.replace("%", "%%")  # argparse puts its own names in for a single one
        if argument.kind == "flag":
            self.add_argument(*written, action="store_true", help=text)
            return
        self.add_argument(
            *written,
            type=READ[argument.kind],
            action=Merge if argument.kind in ("pairs", "limits") else "store",
            nargs=argument.words or None,
            choices=argument.choices if argument.kind == "choice" else None,
            default=argument.default,
            metavar=argument.metavar,
            help=text,
        )

    def format_help(self) -> str:
        for action in self._actions:
            action.help = with_names(action.help or "", self.arguments[action.dest].completes)
        text, name = super().format_help(), self.command.name
        return text + (f"\nabout {name}:\n{topic(name)}\n" if name in TOPICS else "")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the subcommand.

        Raises
        ------
        MagicError: words that cannot be understood. HelpAsked: ``--help`` is one of them.
        """
        if not {"-h", "--help"}.isdisjoint(words):
            raise HelpAsked(self.format_help())
        for (
            word
        ) in words:  # first, since argparse takes the square of their number to put unknown options aside
            if self._is_unknown(word):
                self._no_option(word)
        args, extra = self.parse_known_intermixed_args(list(words))
        for word in extra:
            if word.startswith("-") and len(word) > 1:
                self._no_option(word)
            raise MagicError(
                f"{self.prog} does not expect {word!r}. See %causalmix help {self.command.name}."
            )
        for key, argument in self.arguments.items():
            if argument.needed and not getattr(args, key):
                raise MagicError(f"{self.prog} needs {argument.needed}, for example {self.command.example}.")
        args.command = self.command.name
        return args

    def _is_unknown(self, word: str) -> bool:
        """Whether a word is an option for argparse, and none of ours."""
        if (
            not word.startswith("-")
            or len(word) < 3
            or " " in word
            or self._negative_number_matcher.match(word)
        ):
            return False
        known = self._option_string_actions
        return word.partition("=")[0] not in known and (word.startswith("--") or word[:2] not in known)

    def _no_option(self, word: str) -> NoReturn:
        near = did_you_mean(word, self.options())
        raise MagicError(
            f"{self.prog} has no option {word!r}.{near} See %causalmix help {self.command.name}."
        )

    def options(self) -> list[str]:
        """Long options, and the short ones that have no long form."""
        return [max(action.option_strings, key=len) for action in self._actions if action.option_strings]

    def option(self, word: str) -> Argument | None:
        """The option that is written like this."""
        action = self._option_string_actions.get(word)
        return self.arguments[action.dest] if action else None

    def about(self, word: str) -> str:
        """What the help says about an option."""
        argument = self.option(word)
        return with_names(argument.help, argument.completes) if argument else ""

    def free(self) -> list[Argument]:
        """What stands without an option."""
        return [self.arguments[action.dest] for action in self._get_positional_actions()]

    def error(self, message: str) -> NoReturn:
        raise MagicError(
            f"{self.prog}: {message.removeprefix('argument ')}. See %causalmix help {self.command.name}."
        )

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        self.error(message or "cannot go on")


def parser(command: str) -> Parser:
    """The parser of a subcommand.

    Raises
    ------
    MagicError: no such subcommand.
    """
    return Parser(find(command))


def parse(line: str, resolve: Callable[[str], str] | None = None) -> argparse.Namespace:
    """Read what follows ``%causalmix``: arguments by name, ``command``, ``quiet`` (it ended in ``;``).

    Parameters
    ----------
    resolve: gives the text that stands for ``{{name}}``.

    Raises
    ------
    MagicError: a line that cannot be understood.
    HelpAsked: ``--help`` was on it.
    """
    read, quiet = split_words(line)
    name = read[0].text if read else ""
    if not (known := commands().get(name)) or not known.cell:
        put_in(read)
    words = [word.text for word in read]
    if resolve is not None:
        words = [PLACEHOLDER.sub(lambda found: resolve(found[1].strip()), word) for word in words]
    if words[:1] in (["-h"], ["--help"]):
        raise HelpAsked(overview())
    args = parser(words[0] if words else "status").read(words[1:])
    args.quiet = quiet
    return args


def overview() -> str:
    """All subcommands, one line each, step by step."""
    known = commands()
    wide = max(map(len, known))
    lines = []
    for step in STEPS:
        lines += [f"{step}:", *(f"  {c.name:<{wide}}  {c.summary}" for c in known.values() if c.step == step)]
    topics = textwrap.fill(f"topics: {', '.join(TOPICS)}", 100, subsequent_indent="        ")
    return "\n".join(["usage: %causalmix SUBCOMMAND [arguments]", "", *lines, "", topics, "", MORE])


def explain(about: str) -> str:
    """The help of a subcommand or of a topic.

    Raises
    ------
    MagicError: neither of them.
    """
    try:
        return parser(about).format_help()
    except MagicError:
        if about in TOPICS:
            return topic(about)
        near = did_you_mean(about, (*commands(), *TOPICS))
        raise MagicError(
            f"there is no subcommand or topic {about!r}.{near} %causalmix help lists all of them."
        ) from None
