"""The subcommands that estimate and intervene; those of the questions in ``answers/`` are made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.question import KEEP, OUTCOME, SEED, Argument, perturbation
from causalmix_nb.magics.command import COMMANDS, Command
from causalmix_nb.magics.session import Session

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.cards.typesetting import Bundle
    from causalmix_nb.estimate.model import Effect, Model
    from causalmix_nb.widgets.explorer import MixtureExplorer


def fit(
    session: Session,
    outcome: str | None,
    method: str,
    no_state: bool,
    no_orthogonalisation: bool,
    seed: int,
) -> Model:
    options = {"use_state": False} if no_state else {}
    if no_orthogonalisation:
        options["orthogonalise"] = False
    return session.current().fit(outcome, method=method, random_state=seed, **options)


COMMANDS.register(
    Command(
        "fit",
        "Estimate what the mixture causes, as the graph identifies it.",
        "%causalmix fit --method gp",
        fit,
        (
            OUTCOME,
            Argument("--method", "{names} (auto)", default="auto", metavar="NAME", completes="method"),
            Argument("--no-state", "ignore the state of the pool", "flag"),
            Argument(
                "--no-orthogonalisation",
                "linear and forest: regress on the mixture as it is, as in the paper's ablation",
                "flag",
            ),
            SEED,
        ),
        step="ask",
        waits=True,
    )
)


def do(session: Session, shares: dict[str, float], keep: str, perturbation: dict[str, Any] | None) -> Effect:
    study = session.current()
    fitted = study.model is not None
    effect = study.do(shares, keep=keep, perturbation=perturbation)
    model = study.model
    assert model is not None  # do() fits where nothing was fitted
    note = "" if fitted else f"Fitted first ({model.method}), since nothing was fitted yet."
    more = []
    if len(shares) == 1:
        (domain,) = shares
        frame = study.dose_response(domain, keep=keep, perturbation=perturbation)
        before = model.baseline[domain] if model.baseline is not None else None

        def dose() -> Bundle:
            from causalmix_nb.cards.runs import dose_card

            return dose_card(frame, domain, effect.outcome, effect.minimize, before)

        more = [dose]
    session.display.attach(effect, note, *more)
    return effect


COMMANDS.register(
    Command(
        "do",
        "What would happen if some shares were set, with an interval.",
        "%causalmix do math=0.4 --keep from=code",
        do,
        (
            Argument(
                "shares",
                "shares to set",
                "pairs",
                words="*",
                metavar="DOMAIN=SHARE",
                completes="pair",
                needed="a share to set",
            ),
            KEEP,
            perturbation(words=""),
        ),
        step="ask",
        waits=True,
    )
)


def effect(
    session: Session, pairs: bool, together: bool, alone: bool, perturbation: dict[str, Any] | None
) -> pd.DataFrame:
    study, together = session.current(), together or not alone
    table = study.effects(perturbation, pairs=pairs, simultaneous=together)
    model = study.model
    assert model is not None  # effects() fits where nothing was fitted

    def shown() -> Bundle:
        from causalmix_nb.cards.runs import effects_card

        return effects_card(table, model.outcome, model.minimize, pairs, together)

    session.display.attach(table, "", shown)
    return table


COMMANDS.register(
    Command(
        "effect",
        "What more of each domain causes, with intervals: the marginal returns.",
        "%causalmix effect --together",
        effect,
        (
            Argument("--pairs", "one domain against another, for every pair", "flag"),
            Argument("--together", "intervals and verdicts that all hold together (the default)", "flag"),
            Argument("--alone", "intervals and verdicts that hold each on its own", "flag"),
            perturbation(),
        ),
        step="ask",
        waits=True,
    )
)


def explore(session: Session, perturbation: dict[str, Any] | None) -> MixtureExplorer:
    return session.current().explore(perturbation)


COMMANDS.register(
    Command(
        "explore",
        "Move the mixture by hand: sliders, the expected gain and its interval as they move.",
        "%causalmix explore",
        explore,
        (perturbation(words=""),),
        step="ask",
        waits=True,
    )
)
