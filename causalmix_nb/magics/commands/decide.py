"""The subcommands that lead to a mixture: recommended, traded off, validated by training, exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.question import METHOD, SEED, Argument, perturbation
from causalmix_nb.errors import did_you_mean
from causalmix_nb.magics.command import COMMANDS, Command
from causalmix_nb.magics.language import MagicError
from causalmix_nb.magics.names import names
from causalmix_nb.magics.options import CONSTRAINTS, EXECUTOR, OVERWRITE, WORKERS
from causalmix_nb.magics.session import Session

if TYPE_CHECKING:
    from causalmix_nb.benchmark.results import PoolShift
    from causalmix_nb.decide.comparison import Comparison
    from causalmix_nb.decide.export.export import ExportResult
    from causalmix_nb.decide.pareto import ParetoFront
    from causalmix_nb.decide.policy import Recommendation
    from causalmix_nb.launch.launch import AnyExecutor
    from causalmix_nb.mixture import Mixture


def optimize(
    session: Session,
    policy: str,
    constraints: dict[str, Any],
    perturbation: dict[str, Any] | None,
    candidates: int,
    seed: int,
    caution: float | None,
    worst: bool,
    scale: dict[str, float] | None,
) -> Recommendation:
    options = {"caution": caution, "worst": worst or None, "scale": scale}
    best = session.current().optimize(
        policy=policy, constraints=constraints, perturbation=perturbation, n_candidates=candidates, random_state=seed,
        **{name: value for name, value in options.items() if value is not None},
    )  # fmt: skip
    if perturbation:
        named = ", ".join(f"{name}: {value}" for name, value in perturbation.items())
        session.display.attach(best, f"For the pool with {named}.")
    return best


COMMANDS.register(
    Command(
        "optimize",
        "Recommend a mixture: its gain over the baseline, with an interval.",
        "%causalmix optimize --cap code=0.5 --max-epochs 4",
        optimize,
        (
            Argument("--policy", "{names} (auto)", default="auto", metavar="NAME", completes="policy"),
            CONSTRAINTS,
            Argument(
                "--caution",
                "standard errors that a gain is marked down by; 1.96 maximises its lower bound (0.5)",
                "real",
                metavar="N",
            ),
            Argument("--worst", "the worst mixture instead, to learn what to avoid", "flag"),
            Argument(
                "--scale",
                "model size or tokens to answer for, where the runs differ in them",
                "pairs",
                words="+",
                metavar="NAME=VALUE",
            ),
            perturbation(),
            Argument(
                "--candidates",
                "random mixtures that are scored (100k)",
                "count",
                100_000,
                metavar="N",
            ),
            Argument("--seed", "the same seed gives the same mixture (0)", "seed", 0),
        ),
        step="decide",
        waits=True,
    )
)


def pareto(
    session: Session,
    outcomes: list[str],
    method: str,
    constraints: dict[str, Any],
    perturbation: dict[str, Any] | None,
    seed: int,
) -> ParetoFront:
    return session.current().pareto(outcomes, constraints, perturbation, method=method, random_state=seed)


COMMANDS.register(
    Command(
        "pareto",
        "Mixtures that trade several outcomes off: what more of one costs another.",
        "%causalmix pareto bpb.code bpb.prose --cap 0.6",
        pareto,
        (
            Argument(
                "outcomes",
                "two to five outcomes (the first three domains')",
                words="*",
                metavar="OUTCOME",
                completes="outcome",
            ),
            METHOD,
            CONSTRAINTS,
            perturbation(),
            SEED,
        ),
        step="decide",
        waits=True,
    )
)


def compare(
    session: Session,
    baselines: list[str],
    seeds: int | None,
    executor: AnyExecutor,
    workers: int | None,
    perturbation: dict[str, Any] | None,
) -> Comparison:
    known = session.names("baseline")
    named = {name: _mixture(session, name, known) for name in baselines}
    study = session.current()
    usual = ["equal", *(["natural"] if study.natural is not None else []), "regmix"]
    given: Any = named or usual
    with session.progress() as progress:
        return study.compare(
            given, n_seeds=seeds or session.defaults.seeds, perturbation=perturbation, progress=progress,
            executor=executor, workers=workers,
        )  # fmt: skip


def _mixture(session: Session, name: str, known: Sequence[str]) -> str | Mixture:
    """What stands for a mixture on a line: the name of a baseline, or a variable that holds one."""
    from causalmix_nb.mixture import Mixture

    if name in names("baseline"):
        return name
    if name not in session.variables:
        raise MagicError(
            f"{name!r} is neither a baseline nor a variable.{did_you_mean(name, known)} "
            f"Baselines are {', '.join(names('baseline'))}; a variable may hold a mixture."
        )
    value = getattr(session.variables[name], "mixture", session.variables[name])
    return value if isinstance(value, Mixture) else Mixture(value)


COMMANDS.register(
    Command(
        "compare",
        "Validate by training: the recommendation and baselines with the same seeds, side by side.",
        "%causalmix compare regmix equal natural --seeds 5",
        compare,
        (
            Argument(
                "baselines",
                "{names} ({names of training baseline} train), or variables that hold a mixture "
                "(equal natural regmix)",
                words="*",
                completes="baseline",
            ),
            Argument("--seeds", "paired seeds of each (5)", "count", metavar="N"),
            EXECUTOR,
            WORKERS,
            perturbation(),
        ),
        step="decide",
        waits=True,
    )
)


def benchmark(
    session: Session,
    shifts: list[str] | None,
    methods: list[str] | None,
    quick: bool,
    report: str | None,
    executor: Any,
    workers: int | None,
    no_history: bool,
    **size: int | None,
) -> PoolShift:
    from dataclasses import replace

    from causalmix_nb.benchmark.page import write_report
    from causalmix_nb.benchmark.rivals import RIVALS
    from causalmix_nb.benchmark.size import FULL, QUICK

    asked = size | {"history": 0 if no_history else None}
    sized = replace(QUICK if quick else FULL, **{k: v for k, v in asked.items() if v is not None})
    with session.progress() as progress:
        found = session.current().benchmark(sized, shifts, methods or RIVALS, executor, workers, progress)
    if report:
        print(f"Written to {write_report(found, report)}.")
    return found


COMMANDS.register(
    Command(
        "benchmark",
        "Does the mixture hold when the pool changes? Every method without a new run, validated by training.",
        "%causalmix benchmark --shifts noisier mild --methods regmix natural --quick",
        benchmark,
        (
            Argument(
                "--shifts",
                "what happens to the pool, for example noisier scarce mild (all of them)",
                words="+",
                metavar="NAME",
            ),
            Argument(
                "--methods",
                "what to compare with: {names} (all of them)",
                words="+",
                metavar="NAME",
                completes="rival",
            ),
            Argument(
                "--runs",
                "runs to learn from; those that are there are not repeated (256)",
                "count",
                metavar="N",
            ),
            Argument(
                "--no-history",
                "leave out learning from runs whose mixture somebody chose because of the pool",
                "flag",
            ),
            Argument("--seeds", "paired seeds of every method at every shift (8)", "count", metavar="N"),
            Argument("--quick", "everything tiny: to see that it works, not who wins", "flag"),
            Argument(
                "--report",
                "write a page and the tables as CSV into a folder",
                metavar="FOLDER",
                completes="path",
            ),
            EXECUTOR,
            WORKERS,
        ),
        step="decide",
        waits=True,
    )
)


def export(
    session: Session, path: str | None, format: str | None, overwrite: bool, tokens: int | None, **given: Any
) -> ExportResult:
    return session.current().export(
        Path(path).expanduser() if path else None,
        format=format,
        overwrite=overwrite,
        token_budget=tokens,
        **given,
    )


COMMANDS.register(
    Command(
        "export",
        "Write the recommended mixture for a trainer.",
        "%causalmix export mixture.yaml --format llamafactory",
        export,
        (
            Argument("path", "file to write; without one the text is shown", words="?", completes="path"),
            Argument("--format", "{names} (by suffix)", metavar="NAME", completes="format"),
            Argument("--tokens", "tokens to train on (those of optimize)", "count", metavar="N"),
            Argument("--max-epochs", "how often a token may be read (as in optimize)", "real", metavar="N"),
            Argument(
                "--tokenizer",
                "of the model to be trained, by name or folder (what the proxies read)",
                metavar="NAME",
            ),
            Argument("--max-length", "tokens after which the trainer cuts an example", "count", metavar="N"),
            OVERWRITE,
        ),
        step="decide",
    )
)
