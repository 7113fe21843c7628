"""The end of a study: its recommendation as a trainer reads it, with all that is known of the pool.

The functions are methods of :class:`causalmix_nb.study.study.Study`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from causalmix_nb.decide.constraints import as_constraints
from causalmix_nb.decide.export.export import ExportResult
from causalmix_nb.decide.export.export import export as export_mixture
from causalmix_nb.decide.export.plan import PoolSizes
from causalmix_nb.decide.export.sizes import (
    corpus_rows,
    describe_corpus,
    describe_pool,
    measure_sizes,
    pool_rows,
)
from causalmix_nb.errors import StudyError
from causalmix_nb.study.folder import StudyFolder

if TYPE_CHECKING:
    from causalmix_nb.data.pool import Pool
    from causalmix_nb.decide.policy import Recommendation


class Recommended(Protocol):
    """What there is to export: a study."""

    files: StudyFolder
    pool: Pool | None
    recommendation: Recommendation | None
    arguments: dict[str, dict[str, Any]]


def export(
    study: Recommended,
    path: str | Path | None = None,
    format: str | None = None,
    overwrite: bool = False,
    token_budget: float | None = None,
    max_epochs: float | None = None,
    tokenizer: Any = None,
    max_length: int | None = None,
    **options: Any,
) -> ExportResult:
    """Write the recommended mixture for a trainer, with how many examples of each domain make its shares.

    Parameters
    ----------
    token_budget, max_epochs: tokens to train on, and how often one may be read; those of the recommendation
        by default.
    tokenizer: of the model to be trained, or its name; by default what the proxies read counts (bytes, or
        their model's tokens).
    max_length: tokens after which the trainer cuts an example.
    options: ``sources`` and ``lengths`` of :func:`causalmix_nb.decide.export.export.export`.
    """
    if study.recommendation is None:
        raise StudyError("there is no recommendation to export; %causalmix optimize makes one.")
    asked = study.arguments.get("optimize", {})
    limits = as_constraints(asked.get("constraints"))
    if token_budget is None and tokenizer is None:  # tokens of another kind are no budget
        token_budget = limits.token_budget or study.files.meta.get("target_tokens")
    perturbations = "; ".join(
        f"{name}: {perturbation}" for name, perturbation in (asked.get("perturbation") or {}).items()
    )
    if perturbations:
        note = (
            f"recommended for a pool with {perturbations}; lengths and sources are those of the pool as it is"
        )
        options["notes"] = (*options.get("notes", ()), note)
    lengths = None if options.get("lengths") else sizes(study, tokenizer, max_length)
    return export_mixture(
        study.recommendation,
        path,
        format=format,
        overwrite=overwrite,
        token_budget=token_budget,
        max_epochs=limits.max_epochs if max_epochs is None else max_epochs,
        **{"pool": lengths, "max_length": max_length, **options},
    )


def sizes(study: Recommended, tokenizer: Any = None, max_length: int | None = None) -> PoolSizes | None:
    """How many examples each domain has, how long they are, where they lie; None for imported runs."""
    files, pool = study.files, study.pool
    if (corpus := files.corpus) is None:
        return None
    if tokenizer is None:
        tokenizer = files.config.tokenizer()
    described = files.meta.get("pool") or (describe_pool(pool) if pool else describe_corpus(corpus))
    return measure_sizes(
        described,
        lambda name: pool_rows(pool, name) if pool else corpus_rows(corpus, name),
        tokenizer,
        max_length,
    )
