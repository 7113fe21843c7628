"""The subcommands of ``%causalmix`` that ask a question of runs or of a fitted model: one method of the study each.

Every function here takes the study, the parsed line, the sub-pool it names (or None) and ``attach``, which shows cards
with a result; it returns the result.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from causalmix_nb.magics.language import MagicError

if TYPE_CHECKING:
    from causalmix_nb.cards.typesetting import Bundle
    from causalmix_nb.study.study import Study

Arguments = argparse.Namespace
Attach = Callable[..., None]


def check(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    return study.check(args.outcome, random_state=args.seed)


def overlap(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    return study.overlap(tilt)


def refute(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    return study.refute(args.outcome, n_repeats=args.repeats, random_state=args.seed)


def select(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    return study.select_state(args.outcome, method=args.method, random_state=args.seed)


def leaderboard(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    return study.leaderboard(
        args.outcome,
        args.methods or None,
        args.runs or (64, 128, 256, None),
        n_splits=args.splits,
        random_state=args.seed,
    )


def effect(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    table = study.effects(tilt, pairs=args.pairs, simultaneous=args.together)
    model = study.model
    assert model is not None

    def shown() -> Bundle:
        from causalmix_nb.cards.runs import effects_card

        return effects_card(table, model.outcome, model.minimize, args.pairs, args.together)

    attach(table, "", shown)
    return table


def interpret(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    return study.interpret(args.depth)


def paths(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    return study.paths(args.outcome, args.through, random_state=args.seed)


def price(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    if not args.features:
        raise MagicError(
            "%causalmix price needs a description of the domain, for example %causalmix price loss=2.1 style=9."
        )
    return study.price(args.features, tilt, args.outcome, random_state=args.seed)


def explore(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    return study.explore(tilt)


def counterfactual(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    if not args.shares:
        raise MagicError(
            "%causalmix counterfactual needs a run and a share, for example %causalmix counterfactual 12 math=0.4."
        )
    return study.counterfactual(args.run, args.shares, keep=args.keep)


def pareto(study: Study, args: Arguments, tilt: Any, attach: Attach) -> Any:
    return study.pareto(args.outcomes, constraints(args), tilt, method=args.method, random_state=args.seed)


def constraints(args: Arguments) -> dict[str, Any]:
    """The constraints on a line, those that were given."""
    given = {
        "cap": args.cap,
        "floor": args.floor,
        "fixed": args.fix,
        "ratios": args.ratio,
        "max_epochs": args.max_epochs,
        "token_budget": args.tokens,
    }
    return {name: value for name, value in given.items() if value is not None}


ANSWERS: dict[str, Callable[[Any, Arguments, Any, Attach], Any]] = {
    "check": check,
    "overlap": overlap,
    "refute": refute,
    "select": select,
    "leaderboard": leaderboard,
    "effect": effect,
    "interpret": interpret,
    "paths": paths,
    "price": price,
    "explore": explore,
    "counterfactual": counterfactual,
    "pareto": pareto,
}
