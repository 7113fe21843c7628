"""The language of ``%causalmix``: a line is split into words, and every subcommand has a parser of its own.

The parsers are argparse's, with three differences: an error is a :class:`MagicError` (one sentence that fails the cell, never
``SystemExit``); ``--help`` hands the text back instead of leaving; and every argument says what kind of thing completes
it, so that tab completion and parsing cannot disagree.

>>> args = parse("optimize --cap code=50% web=0.2 --max-epochs 4   # a comment")
>>> args.command, args.cap, args.max_epochs
('optimize', {'code': 0.5, 'web': 0.2}, 4.0)
>>> parse("run --rums 8")
Traceback (most recent call last):
...
causalmix_nb.magic_parser.MagicError: %causalmix run has no option '--rums'. Did you mean '--runs'? See %causalmix help run.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from causalmix_nb.errors import CausalMixError, did_you_mean

TILTS = {  # option -> field of a Tilt, and what it says about a domain
    "noise": ("noise", "corrupted"),
    "duplicates": ("duplicates", "copies of a few"),
    "boilerplate": ("boilerplate", "page furniture"),
    "available": ("keep", "there at all"),
}
PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


class MagicError(CausalMixError):
    """A ``%causalmix`` line that cannot be understood."""


class HelpAsked(Exception):
    """``--help`` was on the line; the argument is the text."""


class Parser(argparse.ArgumentParser):
    """The parser of one subcommand."""

    def __init__(self, command: str, summary: str, example: str) -> None:
        super().__init__(
            prog=f"%causalmix {command}",
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=100, max_help_position=30),
            add_help=False,
            allow_abbrev=False,
        )
        self.command, self.summary, self.example = command, summary, example
        self.add_argument("-h", "--help", action=_Help, nargs=0, help="show this and do nothing")

    def add(self, *names: str, completes: str = "", **options: Any) -> None:
        """Add an argument; ``completes`` names the kind of thing that may stand there."""
        self.add_argument(*names, **options).completes = completes  # type: ignore[attr-defined]

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the subcommand."""
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


class _Help(argparse.Action):
    def __call__(self, given: argparse.ArgumentParser, *_: Any) -> None:
        assert isinstance(given, Parser)
        raise HelpAsked(
            parser(given.command).format_help()
        )  # a fresh one: argparse is half-way through changing this one


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


class _Merge(argparse.Action):
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


# -- subcommands ----------------------------------------------------------------------------------------------


def _pool(p: Parser) -> None:
    p.add(
        "spec",
        nargs="?",
        completes="pool",
        help="demo, hf:<name>, files:<glob>[,<glob>], or a variable; nothing shows the pool",
    )
    p.add("--domain", metavar="COLUMN", help="column that tells domains apart")
    for what in ("text", "prompt", "response"):
        p.add(
            f"--{what}", metavar="COLUMN", help=f"column with the {what}, where its name is not the usual one"
        )
    p.add("--split", metavar="NAME", help="split of a hub dataset (train)")
    p.add("--streaming", action="store_true", help="read a hub dataset without downloading all of it")
    p.add("--documents", type=count, metavar="N", help="take at most N documents of each hub dataset")
    p.add("--target", type=pairs, action=_Merge, nargs="+", metavar="DOMAIN=WEIGHT", completes="pair",
          help="what the model is for: weights of the domains in the mean outcome (equal)")  # fmt: skip
    p.add("--seed", type=int, default=0, help="seed of everything random in the study (0)")
    _study_option(p)


def _state(p: Parser) -> None:
    _tilt_options(p)


def _dag(p: Parser) -> None:
    p.add(
        "source",
        nargs="?",
        completes="variable",
        help="a variable with a graph or its text, or the text in quotes",
    )
    p.add(
        "--show",
        action="store_true",
        help="draw the graph, with what to adjust for (also without this option)",
    )
    p.add("--edit", action="store_true", help="put the graph as text into the next cell")
    p.add("--test", action="store_true", help="hold the independences that the graph claims against the runs")


def _run(p: Parser) -> None:
    p.add("--runs", type=count, metavar="N", help="runs in all; those that are there are not repeated (128)")
    p.add(
        "--budget", type=count, metavar="TOKENS", help="training tokens of each run, for example 100k (100k)"
    )
    _executor_options(p)
    p.add(
        "--fixed-state",
        action="store_true",
        help="train on the pool as it is, instead of varying its state between runs",
    )
    _study_option(p)


def _runs(p: Parser) -> None:
    p.add(
        "action",
        nargs="?",
        metavar="import|use",
        completes="action",
        help="import two CSV tables, or use a variable; nothing shows the runs",
    )
    p.add(
        "names",
        nargs="*",
        metavar="RATIOS METRICS | VARIABLE",
        completes="path",
        help="the files or the variable",
    )
    p.add("--csv", metavar="FOLDER", completes="path", help="write ratios.csv and metrics.csv into a folder")
    p.add("--on", metavar="COLUMN", help="column that names a run in both files")
    p.add(
        "--maximize",
        action="store_true",
        help="the imported metrics are scores: higher is better (losses otherwise)",
    )


def _fit(p: Parser) -> None:
    p.add("--outcome", metavar="NAME", completes="outcome", help="what to explain (the first outcome)")
    p.add(
        "--method",
        default="auto",
        completes="method",
        metavar="NAME",
        help="linear, forest, gp, lightgbm, law, regmix or auto (auto)",
    )
    p.add("--no-state", action="store_true", help="ignore the state of the pool")
    p.add("--seed", type=int, default=0, help="seed of everything random (0)")


def _do(p: Parser) -> None:
    p.add(
        "shares",
        nargs="*",
        type=pairs,
        action=_Merge,
        metavar="DOMAIN=SHARE",
        completes="pair",
        help="shares to set",
    )
    p.add("--keep", type=keep, default="proportional", metavar="HOW", completes="keep",
          help="where the difference comes from: proportional, or from=<domain> (proportional)")  # fmt: skip
    _tilt_options(p, nargs=None)


def _optimize(p: Parser) -> None:
    p.add(
        "--policy",
        default="auto",
        completes="policy",
        metavar="NAME",
        help="analytic, search, surface or auto (auto)",
    )
    for name, help in (("cap", "greatest"), ("floor", "least")):
        p.add(f"--{name}", type=limits, action=_Merge, nargs="+", metavar="DOMAIN=SHARE", completes="pair",
              help=f"{help} share of a domain, or one number for all")  # fmt: skip
    p.add(
        "--fix",
        type=pairs,
        action=_Merge,
        nargs="+",
        metavar="DOMAIN=SHARE",
        completes="pair",
        help="share that is not up for choice",
    )
    p.add("--max-epochs", type=real, metavar="N", help="how often a token may be seen")
    p.add(
        "--tokens",
        type=count,
        metavar="N",
        help="tokens that the mixture is for, with --max-epochs (those of a run)",
    )
    _tilt_options(p)
    p.add(
        "--candidates",
        type=count,
        default=100_000,
        metavar="N",
        help="random mixtures that are scored (100k)",
    )
    p.add("--seed", type=int, default=0, help="the same seed gives the same mixture (0)")


def _compare(p: Parser) -> None:
    p.add("baselines", nargs="*", completes="baseline",
          help="equal, natural, regmix, best_run, or variables that hold a mixture (equal natural regmix)")  # fmt: skip
    p.add("--seeds", type=count, metavar="N", help="paired seeds of each (5)")
    _executor_options(p)
    _tilt_options(p)


def _export(p: Parser) -> None:
    p.add("path", nargs="?", completes="path", help="file to write; without one the text is shown")
    p.add(
        "--format",
        completes="format",
        metavar="NAME",
        help="llamafactory, axolotl, trl, datasets, json, yaml, … (by suffix)",
    )
    p.add("--overwrite", action="store_true", help="replace a file that is there")


def _study(p: Parser) -> None:
    p.add(
        "action",
        nargs="?",
        metavar="open",
        completes="action",
        help="open a study; nothing gives the Study object itself",
    )
    p.add("folder", nargs="?", metavar="FOLDER", completes="path", help="where it is")


def _status(p: Parser) -> None:
    pass


def _help(p: Parser) -> None:
    p.add(
        "about",
        nargs="?",
        metavar="SUBCOMMAND",
        completes="command",
        help="what to explain; nothing lists all",
    )


def _tilt_options(p: Parser, nargs: str | None = "+") -> None:
    for option, (_, what) in TILTS.items():
        p.add(f"--{option}", type=pairs, action=_Merge, nargs=nargs, metavar="DOMAIN=SHARE", completes="pair",
              help=f"the same pool, with that share of a domain's documents {what}")  # fmt: skip


def _executor_options(p: Parser) -> None:
    p.add(
        "--executor",
        default="local",
        completes="executor",
        metavar="NAME",
        help="local (worker processes) or inline (local)",
    )
    p.add("--workers", type=count, metavar="N", help="worker processes (one per core)")


def _study_option(p: Parser) -> None:
    p.add(
        "--study",
        metavar="FOLDER",
        completes="path",
        help="folder of the study, made if it is not there (causalmix_study)",
    )


_COMMANDS: dict[str, tuple[Callable[[Parser], None], str, str]] = {
    "pool": (_pool, "Choose the data: a pool of named domains, and the folder of the study.", "%causalmix pool files:data/*.jsonl --study my_study"),
    "dag": (_dag, "Show, edit or test the causal graph; write it in a %%causalmix dag cell.", "%causalmix dag --show"),
    "run": (_run, "Train proxies over mixtures and states of the pool; an interrupt stops them, again resumes.", "%causalmix run --runs 128 --budget 100k"),
    "runs": (_runs, "Show the runs, write them as CSV, or bring your own.", "%causalmix runs import ratios.csv metrics.csv"),
    "state": (_state, "Measure every domain before mixing: loss, entropy, style, size.", "%causalmix state --noise code=0.8"),
    "fit": (_fit, "Estimate what the mixture causes, as the graph identifies it.", "%causalmix fit --method gp"),
    "do": (_do, "What would happen if some shares were set, with an interval.", "%causalmix do math=0.4 --keep from=code"),
    "optimize": (_optimize, "The mixture to train on, its gain over the baseline, and how sure that is.", "%causalmix optimize --cap code=0.5 --max-epochs 4"),
    "compare": (_compare, "Train the recommendation and others with the same seeds, side by side.", "%causalmix compare regmix equal natural --seeds 5"),
    "export": (_export, "Write the recommended mixture for a trainer.", "%causalmix export mixture.yaml --format llamafactory"),
    "status": (_status, "Where the study stands and what to do next; %causalmix alone says the same.", "%causalmix status"),
    "study": (_study, "The Study behind these lines, for Python; or open another one.", "study = %causalmix study"),
    "help": (_help, "Explain a subcommand.", "%causalmix help optimize"),
}  # fmt: skip
COMMANDS = tuple(_COMMANDS)


def parser(command: str) -> Parser:
    """The parser of a subcommand.

    Raises
    ------
    MagicError: no such subcommand.
    """
    if command not in _COMMANDS:
        raise MagicError(
            f"unknown subcommand {command!r}.{did_you_mean(command, COMMANDS)} Subcommands are {', '.join(COMMANDS)}."
        )
    build, summary, example = _COMMANDS[command]
    made = Parser(command, summary, example)
    build(made)
    made.add("-o", "--out", type=variable, metavar="NAME", help="keep the result in a variable too")
    return made


def parse(line: str, resolve: Callable[[str], str] | None = None) -> argparse.Namespace:
    """Read one line (what follows ``%causalmix``): arguments by name, ``command`` and ``quiet`` (it ended in ``;``).

    Parameters
    ----------
    resolve: gives the text that stands for ``{{name}}``.

    Raises
    ------
    MagicError: a line that cannot be understood.
    HelpAsked: ``--help`` was on it.
    """
    words, quiet = split(line)
    if resolve is not None:
        words = [PLACEHOLDER.sub(lambda found: resolve(found[1]), word) for word in words]
    command = words[0] if words else "status"
    if command in ("-h", "--help"):
        raise HelpAsked(overview())
    args = parser(command).read(words[1:])
    args.quiet = quiet
    return args


def split(line: str) -> tuple[list[str], bool]:
    """Words of a line as a shell would split it, and whether it ended in ``;``; ``#`` after a space begins a comment.

    Backslashes are themselves (paths), ``{{ name }}`` is one word.
    """
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


def overview() -> str:
    """All subcommands, one line each."""
    wide = max(map(len, COMMANDS))
    lines = [f"  {name:<{wide}}  {summary}" for name, (_, summary, _) in _COMMANDS.items()]
    return "\n".join([
        "usage: %causalmix SUBCOMMAND [arguments]      %causalmix alone says where you are", "", *lines, "",
        "%causalmix help SUBCOMMAND and %causalmix SUBCOMMAND --help say more. Every result is an object:",
        "  best = %causalmix optimize        or        %causalmix optimize -o best        (a final ; keeps it quiet)",
        "{{name}} puts a number or text of the notebook into a line; objects are given by name.",
        "%%causalmix dag takes the graph as the body of its cell; %%causalmix alone takes one subcommand a line.",
    ])  # fmt: skip
