"""How a ``%causalmix`` line is read: words, values such as ``100k`` and ``math=0.4``, and parsers whose errors are sentences.

The parsers are argparse's, with three differences: an error is a :class:`MagicError` (one sentence that fails the cell, never
``SystemExit``); ``--help`` hands the text back instead of leaving; and every argument says what kind of thing completes
it, so that tab completion and parsing cannot disagree.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from causalmix_nb.errors import CausalMixError, did_you_mean

PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


class MagicError(CausalMixError):
    """A ``%causalmix`` line that cannot be understood; what was typed is repeated, but not at any length."""

    def __init__(self, message: str) -> None:
        super().__init__(re.sub(r"\S{100,}", lambda found: found[0][:60] + "…'", message))


class HelpAsked(Exception):
    """``--help`` was on the line; the argument is the text."""


class Parser(argparse.ArgumentParser):
    """The parser of one subcommand; ``about`` gives what else its help says about the word."""

    def __init__(
        self, command: str, summary: str, example: str, about: Callable[[], str] | None = None
    ) -> None:
        super().__init__(
            prog=f"%causalmix {command}",
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=100, max_help_position=30),
            add_help=False,
            allow_abbrev=False,
        )
        self.command, self.summary, self.example, self.about = command, summary, example, about
        self.add_argument("-h", "--help", action="store_true", help="show this and do nothing")

    def add(self, *names: str, completes: str = "", **options: Any) -> None:
        """Add an argument; ``completes`` names the kind of thing that may stand there."""
        self.add_argument(*names, **options).completes = completes  # type: ignore[attr-defined]

    def format_help(self) -> str:
        return super().format_help() + (f"\nabout {self.command}:\n{self.about()}\n" if self.about else "")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the subcommand.

        Raises
        ------
        MagicError: words that cannot be understood. HelpAsked: ``--help`` is one of them.
        """
        if not {"-h", "--help"}.isdisjoint(words):
            raise HelpAsked(self.format_help())
        args, extra = self.parse_known_intermixed_args(list(words))
        for word in extra:
            if word.startswith("-") and len(word) > 1:
                near = did_you_mean(word, self.options())
                raise MagicError(
                    f"{self.prog} has no option {word!r}.{near} See %causalmix help {self.command}."
                )
            raise MagicError(f"{self.prog} does not expect {word!r}. See %causalmix help {self.command}.")
        args.command = self.command
        return args

    def options(self) -> list[str]:
        """Long options, and the short ones that have no long form."""
        return [max(action.option_strings, key=len) for action in self._actions if action.option_strings]

    def action_of(self, word: str) -> argparse.Action | None:
        """The option called ``word``."""
        return self._option_string_actions.get(word)

    def positionals(self) -> list[argparse.Action]:
        return self._get_positional_actions()

    def error(self, message: str) -> NoReturn:
        raise MagicError(
            f"{self.prog}: {message.removeprefix('argument ')}. See %causalmix help {self.command}."
        )

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        self.error(message or "cannot go on")


# -- values ---------------------------------------------------------------------------------------------------


def count(text: str) -> int:
    """A positive whole number; ``k``, ``M`` and ``B`` stand for thousands, millions and billions.

    >>> count("100k"), count("1.5M"), count("1_000")
    (100000, 1500000, 1000)
    """
    found = re.fullmatch(r"(\d[\d_,]*\.?\d*)\s*([kKmMbBgG]?)", text)
    value = float(found[1].replace("_", "").replace(",", "")) if found else 0.0
    value *= {"": 1, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}[found[2].lower()] if found else 1
    if value < 1 or abs(value - round(value)) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number; write 128, 100k or 2M")
    return round(value)


def seed(text: str) -> int:
    """A seed: a whole number from 0 to 2³² - 1."""
    value = int(text) if re.fullmatch(r"[0-9]{1,10}", text) else -1
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; write a whole number from 0 to {2**32 - 1}")
    return value


def real(text: str) -> float:
    """A number; a trailing ``%`` divides by 100."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; write 4 or 0.5") from None


def pairs(text: str) -> dict[str, float]:
    """``math=0.4`` or ``math=0.4,code=20%``; a name may hold anything if the word is quoted.

    >>> pairs("math=0.4,code=20%")
    {'math': 0.4, 'code': 0.2}
    """
    pieces = text.split(",")
    pieces = pieces if all("=" in piece for piece in pieces) else [text]
    found: dict[str, float] = {}
    for piece in pieces:
        name, equals, value = piece.rpartition("=")
        try:
            number = real(value)
        except argparse.ArgumentTypeError:
            equals = ""
        if not equals or not name:
            raise argparse.ArgumentTypeError(
                f"cannot read {piece!r}; write domain=number, for example math=0.4"
            )
        if name in found:
            raise argparse.ArgumentTypeError(f"{name!r} is given twice; name each domain once")
        found[name] = number
    return found


def limits(text: str) -> dict[str, float] | float:
    """``math=0.4``, or one number for every domain."""
    return pairs(text) if "=" in text else real(text)


def keep(text: str) -> str:
    """``proportional`` or ``from=<domain>``."""
    if text != "proportional" and not text.startswith(("from=", "from:")):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither proportional nor from=<domain>; say where the difference comes from"
        )
    return text


def variable(text: str) -> str:
    """A name that a variable may have."""
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not a name for a variable; write -o best")
    return text


class Merge(argparse.Action):
    """Join the dicts of several words and of several uses; a number for all domains stands alone."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any
    ) -> None:
        found = getattr(namespace, self.dest)
        for value in values if isinstance(values, list) else [values]:
            if found is None or isinstance(found, dict) and not found:
                found = dict(value) if isinstance(value, dict) else value
                continue
            if not (isinstance(found, dict) and isinstance(value, dict)):
                raise argparse.ArgumentError(
                    self, "give one number for all domains, or domain=number pairs, not both"
                )
            for name in value:
                if name in found:
                    raise argparse.ArgumentError(self, f"{name!r} is given twice; name each domain once")
            found = {**found, **value}
        setattr(namespace, self.dest, found)


# -- words ----------------------------------------------------------------------------------------------------


def split(line: str) -> tuple[list[str], bool]:
    """Words of a line as a shell would split it, and whether it ended in ``;``; ``#`` after a space begins a comment.

    Backslashes are themselves (paths), ``{{ name }}`` is one word.
    """
    odd = next((c for c in line if c < " " and c not in "\t\n\r\v\f" or c == "\x7f"), None)
    if odd is not None:
        raise MagicError(f"the line holds the control character {odd!r}; remove it, it belongs to no name.")
    line = PLACEHOLDER.sub(lambda found: "{{" + found[1] + "}}", line)
    words: list[str] = []
    word, quote, started, bare = "", "", False, False  # bare: the last character was not quoted
    for c in line:
        if quote:
            quote, word = ("", word) if c == quote else (quote, word + c)
        elif c in "\"'":
            quote, started, bare = c, True, False
        elif c == "#" and not started:
            break
        elif c.isspace():
            words, word, started = ([*words, word], "", False) if started else (words, "", False)
        else:
            word, started, bare = word + c, True, True
    if quote:
        raise MagicError(f"a quotation mark ({quote}) is not closed; close it, or leave it out.")
    if started:
        words.append(word)
    quiet = bool(words) and words[-1].endswith(";") and bare
    if quiet:
        words[-1] = words[-1].rstrip(";")
        words = words if words[-1] else words[:-1]
    return words, quiet


def scalar(name: str, names: Mapping[str, Any]) -> str:
    """The number or text that stands for ``{{name}}``."""
    if not name.isidentifier():
        raise MagicError(
            f"{{{{{name}}}}} is not a name; only numbers and texts of the notebook can be put into a line."
        )
    if name not in names:
        raise MagicError(
            f"there is no variable {name!r}.{did_you_mean(name, [n for n in names if not n.startswith('_')])}"
        )
    value = names[name]
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
    if not isinstance(value, (str, int, float)):
        raise MagicError(
            f"{{{{{name}}}}} is a {type(value).__name__}; only numbers and texts can be put in, give objects by name."
        )
    return str(value)
