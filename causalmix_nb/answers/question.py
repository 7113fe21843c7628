"""Questions as data: what one is called, what it takes, what it asks of a study.

A file of this folder that answers a question registers it at its end; yours may be registered from anywhere,
also from a cell. Whatever lists questions (the subcommands of ``%causalmix``, their ``--help``, Tab) reads
:data:`QUESTIONS`, so that a question is added by one file. The answer may be anything; one with ``title``,
``sentences`` and ``table`` is shown as a card.

>>> question = Question(
...     "budget",
...     "How many tokens one run read.",
...     "%causalmix budget --outcome bpb",
...     lambda study, outcome: study.token_budget,
...     (OUTCOME,),
... )
>>> QUESTIONS.register(question).name in QUESTIONS
True
>>> QUESTIONS.remove("budget")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from causalmix_nb.errors import CausalMixError
from causalmix_nb.registry import Registry

Kind = Literal["text", "flag", "count", "real", "seed", "pairs", "limits", "keep", "variable", "choice"]


@dataclass(frozen=True, slots=True)
class Argument:
    """One thing that a question or a subcommand takes.

    name: ``--outcome`` for an option, ``features`` for words that stand without one.
    help: a few words, the default in brackets; ``{names}`` stands for the names that complete it.
    kind: how a word is read: text, a flag (no word), count (100k), real, seed, pairs (math=0.4), limits
        (pairs or one number), keep (proportional or from=domain), the name of a variable, or a choice of
        ``choices``.
    default: its value where it is not given.
    words: how many it takes, as in a regular expression: "" one, "?" at most one, "*" any, "+" at least one.
    metavar: what stands for a word in the help.
    completes: the kind of name that Tab offers: pair (of a domain), outcome, node, method, policy, executor,
        format, baseline, variable, pool, path.
    choices: fixed words that Tab offers.
    needed: what a line lacks without it ("a share to set"), for the sentence that refuses it; "" if optional.
    """

    name: str
    help: str
    kind: Kind = "text"
    default: Any = None
    words: str = ""
    metavar: str | None = None
    completes: str = ""
    choices: tuple[str, ...] = ()
    needed: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise CausalMixError(
                f"the kind of {self.name!r} is {self.kind!r}; choose from {', '.join(get_args(Kind))}."
            )

    @property
    def key(self) -> str:
        """The keyword by which its value is handed over: ``max_epochs`` of ``--max-epochs``."""
        return self.name.lstrip("-").replace("-", "_")

    @property
    def parts(self) -> tuple[Argument, ...]:
        return (self,)

    def value(self, read: Mapping[str, Any]) -> Any:
        """Its value among those that were read, by key."""
        return read[self.key]


@dataclass(frozen=True, slots=True)
class Joint:
    """Several arguments that are one value: four options describe a sub-pool.

    join: makes the value of theirs, by keyword.
    """

    key: str
    parts: tuple[Argument, ...]
    join: Callable[..., Any]

    def value(self, read: Mapping[str, Any]) -> Any:
        """The joint value of what was read, by key."""
        return self.join(**{part.key: part.value(read) for part in self.parts})


Arguments = tuple[Argument | Joint, ...]


def handed(arguments: Iterable[Argument | Joint], read: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that arguments hand over, of the values that were read."""
    return {argument.key: argument.value(read) for argument in arguments}


@dataclass(frozen=True, slots=True)
class Question:
    """A question that can be asked of a study.

    name: of its subcommand; that of a subcommand that is no question hides it.
    summary: one sentence for the overview.
    example: a line that can be typed.
    ask: called with the study and the values of the arguments by keyword; returns the answer.
    aliases: other names that mean it.
    """

    name: str
    summary: str
    example: str
    ask: Callable[..., Any]
    arguments: Arguments = ()
    aliases: tuple[str, ...] = ()


QUESTIONS: Registry[Question] = Registry("question", home=__package__ or "")


# -- arguments that several questions share ------------------------------------------------------------------

OUTCOME = Argument("--outcome", "what to explain (the first outcome)", metavar="NAME", completes="outcome")
SEED = Argument("--seed", "seed of everything random (0)", "seed", 0)
KEEP = Argument(
    "--keep",
    "where the difference comes from: proportional, or from=<domain> (proportional)",
    "keep",
    "proportional",
    metavar="HOW",
    completes="keep",
)
METHOD = Argument("--method", "{names} (gp)", default="gp", metavar="NAME", completes="method")
PERTURBATIONS = {  # option -> field of a Perturbation, and what it says of a domain's documents
    "noise": ("noise", "corrupted"),
    "duplicates": ("duplicates", "copies of a few"),
    "boilerplate": ("boilerplate", "replaced by boilerplate"),
    "available": ("keep", "there at all"),
}


def perturbation(words: str = "+") -> Joint:
    """``--noise code=0.8`` and its likes as one argument ``perturbation``: domain -> Perturbation, None for the pool itself.

    words: "" where words without an option follow, which would otherwise belong to it.
    """
    return Joint(
        "perturbation",
        tuple(
            Argument(
                f"--{option}",
                f"the same pool, with that share of a domain's documents {what}",
                "pairs",
                words=words,
                metavar="DOMAIN=SHARE",
                completes="pair",
            )
            for option, (_, what) in PERTURBATIONS.items()
        ),
        _perturbations,
    )


def _perturbations(**given: Mapping[str, float] | None) -> dict[str, Any] | None:
    from causalmix_nb.data.pool import Perturbation

    fields: dict[str, dict[str, float]] = {}
    for option, shares in given.items():
        for domain, value in (shares or {}).items():
            fields.setdefault(domain, {})[PERTURBATIONS[option][0]] = value
    return {domain: Perturbation(**values) for domain, values in fields.items()} or None
