"""What ``%causalmix runs import`` reads, and the card that says what was made of it."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.magics.language import MagicError

if TYPE_CHECKING:
    from causalmix_nb.cards.typesetting import Bundle
    from causalmix_nb.runs.store import Runs


def imported(args: argparse.Namespace) -> Runs:
    """The runs of one table or of two to four; what was assumed stands on the card, so nothing is warned of."""
    from causalmix_nb.runs.store import Runs

    names = [str(Path(name).expanduser()) for name in args.names]
    minimize: Any = None
    if args.maximize:
        minimize = False
    elif args.minimize is not None:
        minimize = args.minimize or True
    options: dict[str, Any] = {"on": args.on, "minimize": minimize, "normalise": args.normalise}
    if len(names) == 1 and (args.state or args.scale):
        raise MagicError("--state and --scale go with two tables; one table has columns state_* and scale_*.")
    if args.maximize and args.minimize is not None:
        raise MagicError(
            "--maximize is for all metrics; leave it out and name those that are better when lower with --minimize."
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "assumed on import", UserWarning)
        if len(names) == 1:
            return Runs.from_wide(names[0], **options)
        state, scale = (
            str(Path(given).expanduser()) if given else None for given in (args.state, args.scale)
        )
        return Runs.from_csv(names[0], names[1], state, scale, **options)


def import_cards(runs: Runs) -> list[Callable[[], Bundle]]:
    """The report of an import, to be shown under its runs."""
    from causalmix_nb.cards.results import render

    report = runs.import_report
    shown = render(report) if report is not None else None
    return [lambda: shown] if shown is not None else []
