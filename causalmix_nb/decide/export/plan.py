"""From shares of tokens to what a trainer draws: examples, how many of each domain, how often each is read.

A recommendation gives every domain a share of the training *tokens*; trainers draw *examples*. With ``m_d`` tokens in an
example of domain ``d`` on average, a share ``s_d`` of the tokens is a share ``(s_d / m_d) / sum(s / m)`` of the examples, and
a budget of ``B`` tokens is ``s_d B / m_d`` examples: ``s_d B`` tokens, ``s_d B / available_d`` times all there is.
:func:`make_plan` does this once; every format writes down the same plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from causalmix_nb.data.documents.sources import Source
from causalmix_nb.decide.policy import REPEATS, Recommendation
from causalmix_nb.errors import ExportError
from causalmix_nb.mixture import Mixture, unknown_domain

DIGITS = 6  # of a share of tokens in a file
CLOSE = 0.01  # relative difference between tokens asked for and tokens drawn that is not worth a word
BYTES = "bytes of text"


@dataclass(frozen=True, slots=True)
class DomainSize:
    """How much there is of a domain: rows that a trainer finds (None: not known), and tokens of a row on average.

    per_byte: tokens for a byte of text, None where only the mean was given. source: where the rows are, None where nobody knows.
    """

    tokens_per_example: float
    documents: int | None = None
    per_byte: float | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class PoolSizes:
    """The sizes of a pool's domains, and the unit that its tokens are counted in; max_length: where examples are cut."""

    domains: Mapping[str, DomainSize]
    unit: str = BYTES
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedDomain:
    """One domain of an export.

    share: of the tokens. examples: share of the examples, equal to ``share`` where no length is known.
    tokens_per_example, documents, available: mean length, rows and tokens that there are; None where not known.
    tokens, draw, epochs: tokens and examples to draw, and how often all that there is is read; None where not known.
    """

    name: str
    share: float
    examples: float
    tokens_per_example: float | None = None
    documents: int | None = None
    available: float | None = None
    tokens: float | None = None
    draw: int | None = None
    epochs: float | None = None
    per_byte: float | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What every format writes down.

    domains: all of them, in the mixture's order; ``used`` those with a share.
    unit: what a token is here; measured: whether the lengths of examples are known.
    token_budget: tokens that were asked for, None if nobody said; tokens: those that the plan draws.
    notes: what to know before training with it.
    """

    domains: tuple[PlannedDomain, ...]
    unit: str
    measured: bool
    token_budget: int | None = None
    tokens: int | None = None
    max_epochs: float | None = None
    max_length: int | None = None
    recommendation: Recommendation | None = None
    notes: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[PlannedDomain, ...]:
        return tuple(domain for domain in self.domains if domain.share > 0)

    @property
    def exact(self) -> bool:
        """Whether the number of examples of every domain is known."""
        return all(domain.draw is not None for domain in self.used)

    def noted(self, *notes: str) -> ExportPlan:
        """The same plan with more to know."""
        return replace(self, notes=(*self.notes, *notes))


def make_plan(
    mixture: Mixture | Recommendation | Mapping[str, float],
    sizes: PoolSizes | None = None,
    token_budget: float | None = None,
    max_epochs: float | None = None,
    sources: Mapping[str, Source] | None = None,
) -> ExportPlan:
    """How many examples of each domain make the shares of a mixture.

    Parameters
    ----------
    mixture: shares of the tokens, or the recommendation that has them.
    sizes: what there is of each domain; None takes examples as equally long, and says so.
    token_budget: tokens to train on; None trains for as long as nothing is read more than ``max_epochs`` times (once by default).
    max_epochs: how often a token may be read; a budget that would need more is cut, with a note.
    sources: domain -> where its rows are, in place of what ``sizes`` knows.

    Raises
    ------
    ExportError: a budget or a limit that is no positive number.
    MixtureError: a domain that the sizes do not know.

    >>> sizes = PoolSizes({"books": DomainSize(1000.0, 50), "chats": DomainSize(10.0, 9000)})
    >>> plan = make_plan(Mixture({"books": 0.5, "chats": 0.5}), sizes, token_budget=40_000)
    >>> [(domain.draw, round(domain.examples, 4)) for domain in plan.domains]
    [(20, 0.0099), (2000, 0.9901)]
    """
    best = mixture if isinstance(mixture, Recommendation) else None
    shares = rounded_shares(best.mixture if best else Mixture(mixture))  # type: ignore[arg-type]
    budget, limit = positive(token_budget, "token_budget"), positive(max_epochs, "max_epochs")
    where = dict(sources or {})
    notes: list[str] = []
    known: Mapping[str, DomainSize] = sizes.domains if sizes else {}
    for name in (name for name, share in shares.items() if share and sizes and name not in known):
        raise unknown_domain(name, known)
    if sizes is None:
        notes.append(
            "shares are of tokens, trainers draw examples: no pool is known here, so examples are taken as equally long in "
            "every domain; give pool= or lengths= where they are not"
        )
    elif sizes.unit == BYTES:
        notes.append(
            "a token is a byte of text here; give the tokenizer of the model that is trained for shares of its tokens"
        )
    asked = None if budget is None else round(budget)
    tokens, remarks = _length(shares, known, asked, limit)
    weights = {
        name: share / known[name].tokens_per_example if name in known else share
        for name, share in shares.items()
    }
    total = sum(weights.values())
    planned = tuple(
        _planned(name, share, weights[name] / total, known.get(name), tokens, limit, where.get(name))
        for name, share in shares.items()
    )
    notes += [*remarks, *_remarks(planned, limit)]
    if lost := [name for name, share in (best.mixture if best else Mixture(mixture)).shares.items() if share and not shares[name]]:  # type: ignore[arg-type]  # fmt: skip
        notes.append(f"a share below one in a million is written as 0: {', '.join(lost)}")
    return ExportPlan(
        planned, sizes.unit if sizes else "tokens", sizes is not None, asked, tokens, limit,
        sizes.max_length if sizes else None, best, tuple(notes),
    )  # fmt: skip


def rounded_shares(mixture: Mixture) -> dict[str, float]:
    """Shares of six digits that sum to exactly 1: what rounding leaves goes to the largest."""
    units = {name: round(share * 10**DIGITS) for name, share in mixture.shares.items()}
    largest = max(units, key=lambda name: units[name])
    units[largest] += 10**DIGITS - sum(units.values())
    return {name: count / 10**DIGITS for name, count in units.items()}


def probabilities(domains: Sequence[PlannedDomain]) -> list[float]:
    """Shares of the examples of twelve digits that sum to 1, as a sampler wants them."""
    total = sum(domain.examples for domain in domains)
    found = [float(f"{domain.examples / total:.12g}") for domain in domains]
    largest = found.index(max(found))
    found[largest] = round(1 - sum(found[:largest] + found[largest + 1 :]), 12)
    return found


def with_examples(plan: ExportPlan, counts: Mapping[str, int]) -> ExportPlan:
    """The plan for a trainer that finds another number of examples in the same text (a line each, not a paragraph)."""
    if not plan.measured or plan.tokens is None or not any(counts.values()):
        return plan
    domains = []
    for domain in plan.domains:
        n = counts.get(domain.name)
        if not n or not domain.available:
            domains.append(domain)
            continue
        mean = domain.available / n
        size = DomainSize(mean, n, domain.per_byte, domain.source)
        domains.append(_planned(domain.name, domain.share, 0.0, size, plan.tokens, plan.max_epochs, None))
    weights = [domain.share / (domain.tokens_per_example or 1) for domain in domains]
    return replace(
        plan, domains=tuple(replace(d, examples=w / sum(weights)) for d, w in zip(domains, weights))
    )


# -- inside ------------------------------------------------------------------------------------------------


def positive(value: float | None, name: str) -> float | None:
    """A number above 0, or None.

    Raises
    ------
    ExportError: anything else.
    """
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ExportError(f"{name} is {value!r}; give a number above 0.")
    return number


def _length(
    shares: Mapping[str, float], known: Mapping[str, DomainSize], asked: int | None, limit: float | None
) -> tuple[int | None, list[str]]:
    """Tokens to draw in all, and why so many."""
    most, scarce = math.inf, ""
    for name, share in shares.items():
        size = known.get(name)
        if share and size is not None and size.documents is not None:
            here = size.documents * size.tokens_per_example / share
            if here < most:
                most, scarce = here, name
    if math.isinf(most):
        return asked, []
    if asked is None:
        times = "once" if limit is None else f"{limit:g} times"
        tokens = max(1, math.floor(most * (limit or 1)))
        return tokens, [
            f"no token budget was given: the plan ends when {scarce!r} has been read {times}, after {tokens:,} tokens"
        ]
    if limit is not None and asked > most * limit * (1 + 1e-9):
        tokens = max(1, math.floor(most * limit))
        return tokens, [
            f"warning: {asked:,} tokens would read {scarce!r} {asked / most:.3g} times, more than the {limit:g} allowed; "
            f"with these shares there are only {tokens:,} tokens"
        ]
    return asked, []


def _planned(
    name: str, share: float, examples: float, size: DomainSize | None, tokens: int | None,
    limit: float | None, source: Source | None,
) -> PlannedDomain:  # fmt: skip
    if size is None:
        return PlannedDomain(name, share, examples, source=source)
    mean, rows, known = size.tokens_per_example, size.documents, size.source
    if source is not None and not source.columns and known is not None and known.located:
        source = replace(source, columns=known.columns)  # the same rows at another place
    available = None if rows is None else rows * mean
    wanted = None if tokens is None else share * tokens
    draw = None
    if wanted is not None:
        draw = max(1, round(wanted / mean)) if share else 0
        if limit is not None and rows is not None:
            draw = min(draw, max(1, math.floor(rows * limit + 1e-9)))
    return PlannedDomain(
        name, share, examples, mean, rows, available, wanted, draw,
        wanted / available if wanted is not None and available else None, size.per_byte, source or size.source,
    )  # fmt: skip


def _remarks(planned: Sequence[PlannedDomain], limit: float | None) -> list[str]:
    notes = []
    worn = [f"{d.name!r} {d.epochs:.1f} times" for d in planned if d.epochs and d.epochs > REPEATS]
    if worn and limit is None:
        notes.append(
            f"read more than {REPEATS} times, beyond which more is worth little: {', '.join(worn)}; max_epochs limits it"
        )
    coarse = [
        f"{d.name!r} ({d.draw} of about {d.tokens_per_example:,.0f} tokens for {d.tokens:,.0f})"
        for d in planned
        if d.share and d.draw and d.tokens and abs(d.draw * (d.tokens_per_example or 0) / d.tokens - 1) > CLOSE
    ]  # fmt: skip
    if coarse:
        notes.append(
            f"warning: whole examples cannot meet the budget to 1 % of {', '.join(coarse)}; train on more tokens"
        )
    return notes
