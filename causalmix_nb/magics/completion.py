"""Tab completion of ``%causalmix``: what may stand where the cursor is, by what the subcommand declares.

Works for ``%causalmix …``, ``x = %causalmix …``, the lines of a ``%%causalmix`` script and the body of a
``%%causalmix dag`` cell. What exists (domains, outcomes, graph nodes, variables) is asked of a ``names``
function at that moment.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult

from causalmix_nb.answers.question import Argument
from causalmix_nb.magics.command import commands
from causalmix_nb.magics.language import MagicError
from causalmix_nb.magics.parser import Parser, parser
from causalmix_nb.magics.topics import TOPICS

Names = Callable[[str], Iterable[str]]  # kind of thing ("domain", "outcome", …) -> names that exist
MENU = 66  # characters of a description
_LINE = re.compile(
    r"^(?:[\w.,\s]+=)?\s*%causalmix(\s+|$)"
)  # linear: no two parts take the same characters in turn
_CELL = re.compile(r"^\s*%%causalmix(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What fits at the cursor: the fragment that is there already, and (text, kind) pairs that replace it."""

    fragment: str
    items: tuple[tuple[str, str], ...]


def suggest(cell: str, line_number: int, column: int, names: Names) -> Suggestions | None:
    """Completions at a place in a cell; None where the cursor is not in a ``%causalmix`` line.

    >>> found = suggest("best = %causalmix opti", 0, 22, lambda kind: [])
    >>> found.fragment, found.items
    ('opti', (('optimize', 'subcommand'),))
    """
    lines = cell.split("\n")
    before = lines[line_number][:column]
    first = _CELL.match(lines[0])
    if first and line_number == 0:
        return None if before.rstrip().endswith("%causalmix") else _words(before[first.end() :], names)
    if first and line_number > 0:
        rest = lines[0][first.end() :].split()
        if not rest:
            return _words(re.sub(r"^\s*(%causalmix\s+)?", "", before), names)
        command = commands().get(rest[0])
        if command is None or not command.cell:
            return None
        word = re.split(r"[\s,;]|->|<->|<-", before)[-1]
        return _matching(word, ((name, command.cell) for name in names(command.cell)))
    found = _LINE.match(before)
    if not found or not found[1]:
        return None
    return _words(before[found.end() :], names)


def matcher(names: Names) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """What IPython's completer asks for completions."""

    def complete(context: CompletionContext) -> SimpleMatcherResult:
        try:
            found = suggest(context.full_text, context.cursor_line, context.cursor_position, names)
        except Exception:  # a completion must never break typing
            found = None
        if found is None:
            return {"completions": [], "suppress": False}
        line = context.line_with_cursor
        items = [SimpleCompletion(text, type=describe(text, kind, line)) for text, kind in found.items]
        return {"completions": items, "matched_fragment": found.fragment, "suppress": True, "ordered": True}

    return complete


def describe(text: str, kind: str, cell: str) -> str:
    """What a completion is, for the menu beside it: of a subcommand and of an option what their help says.

    >>> describe("optimize", "subcommand", "%causalmix opt")
    'subcommand: Recommend a mixture: its gain over the baseline, with…'
    """
    about, known = "", commands()
    if kind == "subcommand" and text in known:
        about = known[text].summary
    elif kind == "option":
        command = next((word for word in re.findall(r"[\w-]+", cell) if word in known), None)
        about = parser(command).about(text) if command else ""
    whole = f"{kind}: {about.rstrip('.')}" if about else kind
    return whole if len(whole) <= MENU else whole[: MENU - 1].rstrip() + "…"


def _words(text: str, names: Names) -> Suggestions:
    """Completions after the words of a line, the last of which is being typed."""
    done = text.split()
    fragment = "" if not text or text[-1].isspace() else done.pop()
    if not done:
        return _matching(fragment, ((name, "subcommand") for name in commands()))
    try:
        grammar = parser(done[0])
    except MagicError:
        return Suggestions(fragment, ())
    if fragment.startswith("-"):
        return _matching(fragment, ((option, "option") for option in grammar.options() if option not in done))
    option, given = _pending(grammar, done[1:])
    if option is not None:
        found = _values(option, fragment, names, done)
        if not option.words or not given or found.items:
            return found
    free = grammar.free()
    suggestions = [_values(argument, fragment, names, done) for argument in free[:1] + free[1:][-1:]]
    items = tuple(dict.fromkeys(item for found in suggestions for item in found.items))
    if not fragment:
        items += tuple((name, "option") for name in grammar.options() if name not in done)
    return Suggestions(suggestions[0].fragment if suggestions else fragment, items)


def _pending(grammar: Parser, words: list[str]) -> tuple[Argument | None, int]:
    """The option whose value is being typed, and how many of its values are there already."""
    for back, word in enumerate(reversed(words)):
        option = grammar.option(word)
        if option is not None:
            most = 0 if option.kind == "flag" else len(words) if option.words in ("+", "*") else 1
            return (option, back) if back < most else (None, 0)
    return None, 0


def _values(argument: Argument, fragment: str, names: Names, done: list[str]) -> Suggestions:
    kind = argument.completes
    if argument.choices:
        return _matching(fragment, ((name, "value") for name in argument.choices if name not in done))
    if kind == "pair":
        last = fragment.rpartition(",")[2]
        taken = {
            pair.partition("=")[0] for word in (*done, fragment) for pair in word.split(",") if "=" in pair
        }
        free = [name for name in names("domain") if name not in taken]
        if "=" in last:
            return Suggestions("", ())
        return _matching(last, ((f"{_quoted(name)}=", "domain") for name in free))
    if kind == "keep":
        if fragment.startswith("from="):
            donors = ((_quoted(name), "domain") for name in names("domain"))
            return _matching(fragment.partition("=")[2], donors)
        return _matching(fragment, [("proportional", "value"), ("from=", "value")])
    if kind == "path":
        return _paths(fragment)
    if kind == "pool":
        head, colon, rest = fragment.partition(":")
        if head == "files" and colon:
            return _paths(rest.rpartition(",")[2])
        fixed = [("demo", "pool"), ("files:", "pool"), ("hf:", "pool")]
        return _matching(fragment, fixed + [(name, "variable") for name in names("pool")])
    if kind == "command":
        known = dict.fromkeys(TOPICS, "topic") | dict.fromkeys(commands(), "subcommand")
        return _matching(fragment, known.items())
    return (
        _matching(fragment, ((_quoted(name), kind) for name in names(kind)))
        if kind
        else Suggestions(fragment, ())
    )


def _matching(fragment: str, items: Iterable[tuple[str, str]]) -> Suggestions:
    start = fragment.lstrip("\"'").casefold()
    return Suggestions(
        fragment, tuple(item for item in items if item[0].strip("\"'").casefold().startswith(start))
    )


def _quoted(name: str) -> str:
    return (
        name
        if name and not re.search(r"[\s\"'#;,]", name)
        else f'"{name}"'
        if '"' not in name
        else f"'{name}'"
    )


def _paths(fragment: str, most: int = 200) -> Suggestions:
    found = sorted(glob.glob(glob.escape(os.path.expanduser(fragment)) + "*"))[:most]
    return Suggestions(
        fragment, tuple((path + (os.sep if os.path.isdir(path) else ""), "path") for path in found)
    )
