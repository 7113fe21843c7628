"""How a ``%causalmix`` line is read: its words, and values such as ``100k`` and ``math=0.4``.

A line is split as a shell would split it. What an editor or a web page made of signs is read as what was
typed, and every error is one sentence that repeats what was typed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from causalmix_nb.errors import CausalMixError, did_you_mean

# Every pattern here takes time in proportion to the line, whatever it holds: no two parts of one can take the
# same characters.
PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
EXPANSION = re.compile(r"\{([^{},]+)\}|\$\{?([^\W\d]\w*)\}?")  # what other shells put a variable in with


class MagicError(CausalMixError):
    """A ``%causalmix`` line that cannot be understood; what was typed is repeated, but not at any length."""

    def __init__(self, message: str) -> None:
        super().__init__(re.sub(r"\S{100,}", lambda found: found[0][:60] + "…'", message))


class HelpAsked(Exception):
    """``--help`` was on the line; the argument is the text."""


# -- values --------------------------------------------------------------------------------------------------


def count(text: str) -> int:
    """A positive whole number; ``k``, ``M`` and ``B`` stand for thousands, millions and billions.

    >>> count("100k"), count("1.5M"), count("1_000")
    (100000, 1500000, 1000)
    """
    found = re.fullmatch(r"([0-9][0-9_,]*(?:\.[0-9]*)?)\s*([kKmMbBgG]?)", text) if len(text) < 40 else None
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
        return float(text.replace("−", "-").removesuffix("%")) / (100 if text.endswith("%") else 1)
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
        found = dict(found) if isinstance(found, dict) else found
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
            found.update(value)
        setattr(namespace, self.dest, found)


# -- words ---------------------------------------------------------------------------------------------------


def split(line: str) -> tuple[list[str], bool]:
    """Words of a line as a shell would split it, and whether it ended in ``;``; `` #`` begins a comment.

    Backslashes are themselves (paths), ``{{ name }}`` is one word. What an editor or a web page made of signs
    is read as what was typed: dashes before an option, quotation marks, spaces that do not break.

    >>> split("do math=0.4 —keep from=“the web” # a comment")
    (['do', 'math=0.4', '--keep', 'from=the web'], False)
    """
    words, quiet = split_words(line)
    return [word.text for word in words], quiet


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line. quoted: whether a part of it stood in quotation marks, so that it means itself."""

    text: str
    quoted: bool = False


def split_words(line: str) -> tuple[list[Word], bool]:
    """As :func:`split`, with what was quoted.

    Raises
    ------
    MagicError: a control character, or a quotation mark that is not closed.
    """
    odd = next((c for c in line if c < " " and c not in "\t\n\r\v\f" or c == "\x7f"), None)
    if odd is not None:
        raise MagicError(f"the line holds the control character {odd!r}; remove it, it belongs to no name.")
    line = PLACEHOLDER.sub(lambda found: "{{" + found[1].strip() + "}}", line)
    words: list[Word] = []
    word: list[str] = []
    close, started, quoted, bare = "", False, False, False  # bare: the last character was not quoted
    mark = ""
    for c in line:
        if close:
            if c in close:
                close = ""
            else:
                word.append(c)
        elif c in QUOTES and (c in STRAIGHT or c in DOUBLE or not word or word[-1] in "=,"):
            close, mark, started, quoted, bare = QUOTES[c], c, True, True, False
        elif c == "#" and not started:
            break
        elif c in UNSEEN:
            continue
        elif c.isspace():
            if started:
                words.append(_word(word, quoted))
            word, started, quoted = [], False, False
        else:
            word.append(c)
            started, bare = True, True
    if close:
        raise MagicError(f"a quotation mark ({mark}) is not closed; close it, or leave it out.")
    if started:
        words.append(_word(word, quoted))
    quiet = bool(words) and words[-1].text.endswith(";") and bare
    if quiet:
        last = words.pop()
        words += [replace(last, text=last.text.rstrip(";"))] if last.text.rstrip(";") else []
    return words, quiet


def joined(cell: str) -> list[str]:
    """Lines of a cell, those that end in a backslash joined to the next one, as IPython does elsewhere.

    >>> joined("run --runs 8 \\\\\\n    --budget 2k\\nfit")
    ['run --runs 8  --budget 2k', 'fit']
    """
    lines: list[str] = []
    open_line: list[str] = []
    for line in cell.split("\n"):
        text = line.rstrip()
        if text.endswith("\\") and not text.lstrip().startswith("#"):
            open_line.append(text[:-1] if not open_line else text[:-1].lstrip())
            continue
        lines.append(" ".join([*open_line, line.strip() if open_line else line]))
        open_line = []
    return [*lines, " ".join(open_line)] if open_line else lines


STRAIGHT = "\"'"
DOUBLE = "“”„‟«»"
# What opens a quotation, and all that closes it: a straight mark only itself, a typographic one any of its
# kind. A single typographic mark inside a word is an apostrophe.
QUOTES = {'"': '"', "'": "'", **dict.fromkeys(DOUBLE, DOUBLE + '"'), **dict.fromkeys("‘‚‛", "’‘'")}
UNSEEN = "\u200b\u2060\ufeff"  # spaces of no width: nobody types them on purpose
DASHES = "-‐‑‒–—―−"


def _word(characters: list[str], quoted: bool) -> Word:
    text = "".join(characters)
    return Word(text if quoted else _typed(text), quoted)


def _typed(word: str) -> str:
    """A word with its dashes as they were typed: editors make one long dash of two hyphens.

    >>> _typed("—keep"), _typed("–o"), _typed("−0.3"), _typed("a–b")
    ('--keep', '-o', '-0.3', 'a–b')
    """
    rest = word.lstrip(DASHES)
    dashes = word[: len(word) - len(rest)]
    if not dashes or dashes.isascii() or not rest:
        return word
    if rest[0].isdigit() or rest[0] == ".":
        return "-" + rest
    return ("-" if len(rest.rstrip(";")) == 1 else "--") + rest


def put_in(words: Sequence[Word]) -> None:
    """Refuse ``{name}`` and ``$name``, which put a variable in elsewhere; here ``{{name}}`` does.

    Raises
    ------
    MagicError: a word that holds one, unless it is quoted.
    """
    for word in words:
        if word.quoted:
            continue
        rest = PLACEHOLDER.sub("", word.text)
        if found := EXPANSION.search(rest):
            name = (found[1] or found[2]).strip()
            raise MagicError(
                f"{found[0]!r} puts nothing in here; write {{{{{name}}}}} for the value of a variable, or "
                "quote the word if it means itself."
            )


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
            f"{{{{{name}}}}} is a {type(value).__name__}; only numbers and texts can be put in, give "
            "objects by name."
        )
    return str(value)
