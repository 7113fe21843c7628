"""The subcommands that train proxies: run, what watches or stops it, and transfer to another setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.question import OUTCOME, Argument
from causalmix_nb.magics.command import COMMANDS, Command
from causalmix_nb.magics.options import EXECUTOR, STUDY, WORKERS
from causalmix_nb.magics.session import Session

if TYPE_CHECKING:
    from causalmix_nb.answers.transfer import Transfer
    from causalmix_nb.launch.launch import AnyExecutor


def run(
    session: Session,
    runs: int | None,
    budget: int | None,
    fixed_state: bool,
    wait: bool,
    cost: bool,
    study: str | None,
    **launch: Any,
) -> Any:
    from causalmix_nb.launch.executor import as_executor

    current = session.current(study)
    wanted: dict[str, Any] = {
        "n_runs": runs or session.defaults.runs,
        "token_budget": budget or session.defaults.budget,
        "states": not fixed_state,
        **launch,
    }
    price = current.cost(**wanted)
    if cost:
        return price
    if price.n_runs:
        print(price)
    if session.is_notebook and not wait and not as_executor(launch["executor"]).here:
        from causalmix_nb.widgets.monitor import SwarmMonitor

        current.start(**wanted)
        session.monitor = SwarmMonitor(current)
        return session.monitor
    with session.progress() as progress:
        return current.run(**wanted, progress=progress)


COMMANDS.register(
    Command(
        "run",
        "Train proxies over mixtures and states of the pool; an interrupt stops them, again resumes.",
        "%causalmix run --runs 128 --budget 100k",
        run,
        (
            Argument(
                "--runs",
                "runs in all; those that are there are not repeated (128)",
                "count",
                metavar="N",
            ),
            Argument(
                "--budget",
                "training tokens of each run, for example 100k (100k)",
                "count",
                metavar="TOKENS",
            ),
            EXECUTOR,
            WORKERS,
            Argument(
                "--fixed-state",
                "train on the pool as it is, instead of varying its state between runs",
                "flag",
            ),
            Argument(
                "--wait",
                "keep the cell until all have trained (a notebook trains in the background)",
                "flag",
            ),
            Argument(
                "--halving",
                "all runs at a small budget, one in N again at N times the tokens, up to --budget; "
                "usually 4 (none)",
                "count",
                metavar="N",
            ),
            Argument(
                "--target-tokens",
                "tokens of the training that the mixture is for, counted as the proxies do (in bytes): "
                "runs repeat each domain as it would",
                "count",
                metavar="N",
            ),
            Argument(
                "--score",
                "a function of your own that scores every trained proxy; its results become outcomes",
                metavar="MODULE:FUNCTION",
            ),
            Argument("--cost", "only say what it would take: time, memory, disk; train nothing", "flag"),
            STUDY,
        ),
        step="train",
    )
)


def attach(session: Session, study: str | None) -> Any:
    current = session.current(study)
    found = current.trainer.standing()
    if not session.is_notebook:
        return str(found)
    from causalmix_nb.widgets.monitor import SwarmMonitor

    return SwarmMonitor(current)


COMMANDS.register(
    Command(
        "attach",
        "Watch the proxies that train in the background, also those of another notebook or a dead kernel.",
        "%causalmix attach",
        attach,
        (STUDY,),
        step="train",
    )
)


def stop(session: Session, study: str | None) -> None:
    current = session.current(study)
    current.trainer.stop()
    if current.job is not None:
        current.job.stop()
        current.job.wait(15)
    print("Asked to stop: finished runs stay, %causalmix run goes on with the others.")


COMMANDS.register(
    Command(
        "stop",
        "Stop the proxies that train in the background; what has finished stays.",
        "%causalmix stop",
        stop,
        (STUDY,),
        step="train",
    )
)


def transfer(
    session: Session,
    mixtures: int,
    parameters: int | None,
    learning_rate: float | None,
    budget: int | None,
    outcome: str | None,
    executor: AnyExecutor,
    workers: int | None,
) -> Transfer:
    with session.progress() as progress:
        return session.current().transfer(
            mixtures, parameters, learning_rate, budget, outcome, executor, workers, progress
        )


COMMANDS.register(
    Command(
        "transfer",
        "Do mixtures keep their order under another size or learning rate of the proxy? Trains under both.",
        "%causalmix transfer --mixtures 24 --learning-rate 1e-4",
        transfer,
        (
            Argument(
                "--mixtures",
                "mixtures to train under both settings, at least 16 (16)",
                "count",
                16,
                metavar="N",
            ),
            Argument(
                "--parameters",
                "size of the other proxy, for example 500k (four times the study's)",
                "count",
                metavar="N",
            ),
            Argument(
                "--learning-rate",
                "peak learning rate of the other proxy, for example 1e-4 (the study's)",
                "real",
                metavar="RATE",
            ),
            Argument(
                "--budget",
                "training tokens of each run (those of the study's runs)",
                "count",
                metavar="TOKENS",
            ),
            OUTCOME,
            EXECUTOR,
            WORKERS,
        ),
        step="train",
        waits=True,
    )
)
