"""Arguments that subcommands share: constraints, executors, the proxies' model, the folder of the study."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.question import Argument, Joint
from causalmix_nb.errors import TrainingError
from causalmix_nb.magics.language import MagicError

if TYPE_CHECKING:
    from causalmix_nb.launch.launch import AnyExecutor
    from causalmix_nb.proxies.kinds.causal_lm import HFConfig

STUDY = Argument(
    "--study",
    "folder of the study, made if it is not there (causalmix_study)",
    metavar="FOLDER",
    completes="path",
)
OVERWRITE = Argument("--overwrite", "replace a file that is there", "flag")


def _constraints(**given: Any) -> dict[str, Any]:
    named = {"fix": "fixed", "ratio": "ratios", "tokens": "token_budget"}
    return {named.get(name, name): value for name, value in given.items() if value is not None}


def _shares(name: str, help: str, kind: Any = "pairs", metavar: str = "DOMAIN=SHARE") -> Argument:
    return Argument(name, help, kind, words="+", metavar=metavar, completes="pair")


CONSTRAINTS = Joint(
    "constraints",
    (
        _shares("--cap", "greatest share of a domain, or one number for all", "limits"),
        _shares("--floor", "least share of a domain, or one number for all", "limits"),
        _shares("--fix", "share that is not up for choice"),
        _shares("--ratio", "code/math=2: twice as much code as math", metavar="A/B=RATIO"),
        Argument("--max-epochs", "how often a token may be seen", "real", metavar="N"),
        Argument(
            "--tokens",
            "tokens that the mixture is for, with --max-epochs (those of a run)",
            "count",
            metavar="N",
        ),
    ),
    _constraints,
)


def chosen_executor(executor: str, address: str | None, gpus: float | None) -> AnyExecutor:
    """Where ``--executor``, ``--address`` and ``--gpus`` say that proxies train.

    Raises
    ------
    TrainingError: options of a cluster without one.
    """
    given = {
        name: value for name, value in (("address", address), ("gpus_per_chunk", gpus)) if value is not None
    }
    if not given:
        return executor
    from causalmix_nb.launch.executor import as_executor

    found: Any = as_executor(executor)
    if given.keys() - {field.name for field in fields(found)}:
        raise TrainingError(
            "--address and --gpus are about a Ray cluster; add --executor ray, or leave them out."
        )
    return replace(found, **given)


EXECUTOR = Joint(
    "executor",
    (
        Argument(
            "--executor",
            "{names}; local is worker processes, inline this process, ray a cluster (local)",
            default="local",
            metavar="NAME",
            completes="executor",
        ),
        Argument(
            "--address",
            "of the Ray cluster, with --executor ray (one that is there, else this machine)",
            metavar="ADDRESS",
        ),
        Argument(
            "--gpus",
            "of a GPU for each chunk of runs, with --executor ray, for example 0.25 (none)",
            "real",
            metavar="SHARE",
        ),
    ),
    chosen_executor,
)
WORKERS = Argument("--workers", "worker processes (one per core)", "count", metavar="N")


def chosen_model(
    model: str | None, lora: int | None, context: int | None, precision: str | None
) -> HFConfig | None:
    """The Hugging Face model that was asked for, or None for the proxies of our own.

    Raises
    ------
    MagicError: options of a model without one.
    """
    asked: dict[str, Any] = {"context": context, "precision": precision}
    asked = {name: value for name, value in asked.items() if value}
    if model is None:
        if asked or lora:
            raise MagicError(
                "--lora, --context and --precision are for a Hugging Face model; add --model NAME."
            )
        return None
    from causalmix_nb.proxies.huggingface.settings import Lora
    from causalmix_nb.proxies.kinds.causal_lm import HFConfig

    path = Path(model).expanduser()
    where: dict[str, Any] = {"model": model}
    if path.suffix == ".gguf":
        where = {"model": str(path.parent), "gguf_file": path.name}
    return HFConfig(**where, lora=Lora(rank=lora) if lora else None, **asked)


MODEL = Joint(
    "config",
    (
        Argument(
            "--model",
            "the proxies: a Hugging Face model by name, a folder, or a GGUF file (our own small one)",
            metavar="NAME",
            completes="path",
        ),
        Argument("--lora", "of that model, train adapters instead of the weights", "count", metavar="RANK"),
        Argument("--context", "of that model, tokens per training window (512)", "count", metavar="TOKENS"),
        Argument("--precision", "of that model: no, bf16 or fp16 (no)", metavar="NAME"),
    ),
    chosen_model,
)
