"""The subcommands of the data: the pool that a study is of, and the state of its domains before mixing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.question import SEED, Argument, perturbation
from causalmix_nb.errors import StudyError
from causalmix_nb.magics.command import COMMANDS, Command
from causalmix_nb.magics.language import MagicError
from causalmix_nb.magics.options import MODEL, STUDY
from causalmix_nb.magics.session import Session

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.cards.typesetting import Bundle
    from causalmix_nb.data.pool import Pool
    from causalmix_nb.mixture import Mixture
    from causalmix_nb.proxies.kinds.causal_lm import HFConfig
    from causalmix_nb.study.study import Study


def pool(
    session: Session,
    spec: str | None,
    target: dict[str, float] | None,
    config: HFConfig | None,
    seed: int,
    study: str | None,
    **reading: Any,
) -> Pool | Mixture | None:
    if spec is None:
        current = session.current(study)
        shown = current.pool if current.pool is not None else current.natural
        session.display.attach(shown, _sentences(current.document_notes), *_states(current))
        return shown
    from causalmix_nb.study.study import Study

    found = _read_pool(session, spec, **reading)
    folder, there = session.folder(study), session.has_study(study)
    try:
        made = Study.create(folder, found, target=target, config=config, seed=seed, exist_ok=True)
    except StudyError as error:
        if not there:
            raise
        raise StudyError(f"{error} Another folder is --study NAME here.") from None
    session.use(made)
    n = len(made.runs) if made.runs else 0
    note = f"Reopened the study in {folder}: {n} runs." if there else f"New study in {folder}."
    notes = _sentences(line for line in made.document_notes if line not in found.notes)
    session.display.attach(found, f"{note} {notes}".rstrip())
    return found


def _read_pool(
    session: Session,
    spec: str,
    domain: str | None,
    text: str | None,
    prompt: str | None,
    response: str | None,
    encoding: str | None,
    split: str | None,
    streaming: bool,
    documents: int | None,
) -> Pool:
    from causalmix_nb.data.demo import demo_pool
    from causalmix_nb.data.pool import Pool

    hub = {"split": split, "streaming": streaming, "max_documents": documents}
    hub = {name: value for name, value in hub.items() if value}
    if hub and not spec.startswith("hf:"):
        raise MagicError(
            "--split, --streaming and --documents are for hub datasets; give hf:<name>, or leave them out."
        )
    if encoding and not spec.startswith("files:"):
        raise MagicError("--encoding is for files; give files:<glob>, or leave it out.")
    if spec == "demo":
        return demo_pool()
    columns = {"text_column": text, "prompt_column": prompt, "response_column": response}
    options = {name: value for name, value in {**columns, "encoding": encoding}.items() if value}
    return Pool.parse(spec, session.variables, domain, **options, **hub)


def _sentences(lines: Any) -> str:
    return " ".join(f"{line}." for line in lines)


def _states(study: Study) -> list[Callable[[], Bundle]]:
    """What is shown under a pool, once its state can be measured without training."""
    from causalmix_nb.cards.study import state_sparklines

    state, runs = study.state, study.runs
    if state is None:
        return []
    trained = runs.frame.filter(regex="^state[.]").rename(columns=lambda name: name[6:]) if runs else None
    return [lambda: state_sparklines(state, trained)]


COMMANDS.register(
    Command(
        "pool",
        "Choose the data: a pool of named domains, and the folder of the study.",
        "%causalmix pool files:data/*.jsonl --study my_study",
        pool,
        (
            Argument(
                "spec",
                "demo, hf:<name>, files:<glob>[,<glob>], or a variable; nothing shows the pool",
                words="?",
                completes="pool",
            ),
            Argument("--domain", "column that tells domains apart", metavar="COLUMN"),
            *(
                Argument(
                    f"--{what}",
                    f"column with the {what}, where its name is not the usual one",
                    metavar="COLUMN",
                )
                for what in ("text", "prompt", "response")
            ),
            Argument(
                "--encoding",
                "how text files are written, where it is not UTF-8 (cp1252, gbk, …)",
                metavar="NAME",
            ),
            Argument("--split", "split of a hub dataset (train)", metavar="NAME"),
            Argument("--streaming", "read a hub dataset without downloading all of it", "flag"),
            Argument("--documents", "take at most N documents of each hub dataset", "count", metavar="N"),
            Argument(
                "--target",
                "what the model is for: weights of the domains in the mean outcome (equal)",
                "pairs",
                words="+",
                metavar="DOMAIN=WEIGHT",
                completes="pair",
            ),
            MODEL,
            SEED,
            STUDY,
        ),
        step="data",
    )
)


def state(session: Session, perturbation: dict[str, Any] | None) -> pd.DataFrame:
    found = session.current().measure_state(perturbation)

    def shown() -> Bundle:
        from causalmix_nb.cards.runs import state_card

        return state_card(
            found, f"The state of the {'perturbed ' if perturbation else ''}pool, before mixing"
        )

    session.display.attach(found, "", shown)
    return found


COMMANDS.register(
    Command(
        "state",
        "Measure every domain before mixing: loss, top-token entropy, readability grade, size.",
        "%causalmix state --noise code=0.8",
        state,
        (perturbation(),),
        step="data",
        waits=True,
    )
)
