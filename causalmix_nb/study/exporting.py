"""The end of a study: its recommendation in the form that a trainer reads, with all that the study knows of its pool.

:class:`Exporting` is that part of a :class:`causalmix_nb.study.study.Study`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.decide.constraints import as_constraints
from causalmix_nb.decide.export.export import ExportResult, export
from causalmix_nb.decide.export.plan import PoolSizes
from causalmix_nb.decide.export.sizes import (
    corpus_rows,
    describe_corpus,
    describe_pool,
    measure_sizes,
    pool_rows,
)
from causalmix_nb.errors import StudyError

if TYPE_CHECKING:
    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.data.pool import Pool, Tilt
    from causalmix_nb.decide.policy import Recommendation
    from causalmix_nb.proxies.config import Trainable


class Exporting:
    """Expects the corpus, pool, config, recommendation and arguments of :class:`causalmix_nb.study.study.Study`."""

    corpus: Corpus | None
    pool: Pool | None
    recommendation: Recommendation | None
    arguments: dict[str, dict[str, Any]]
    _tilt: Mapping[str, Tilt]
    _meta: dict[str, Any]

    if TYPE_CHECKING:

        @property
        def config(self) -> Trainable: ...

    def export(
        self,
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
        token_budget, max_epochs: tokens to train on, and how often one may be read; those of the recommendation by default.
        tokenizer: of the model to be trained, or its name; by default what the proxies read counts (bytes, or their model's tokens).
        max_length: tokens after which the trainer cuts an example.
        options: ``sources`` and ``lengths`` of :func:`causalmix_nb.decide.export.export.export`.
        """
        if self.recommendation is None:
            raise StudyError("there is no recommendation to export; %causalmix optimize makes one.")
        limits = as_constraints(self.arguments.get("optimize", {}).get("constraints"))
        if token_budget is None and tokenizer is None:  # tokens of another kind are no budget
            token_budget = limits.token_budget or self._meta.get("target_tokens")
        tilts = "; ".join(f"{name}: {tilt}" for name, tilt in self._tilt.items())
        if tilts:
            said = f"recommended for a pool with {tilts}; lengths and sources are those of the pool as it is"
            options["notes"] = (*options.get("notes", ()), said)
        sizes = None if options.get("lengths") else self.sizes(tokenizer, max_length)
        return export(
            self.recommendation, path, format=format, overwrite=overwrite, token_budget=token_budget,
            max_epochs=limits.max_epochs if max_epochs is None else max_epochs,
            **{"pool": sizes, "max_length": max_length, **options},
        )  # fmt: skip

    def sizes(self, tokenizer: Any = None, max_length: int | None = None) -> PoolSizes | None:
        """How many examples there are of each domain, how long they are and where they lie; None for imported runs."""
        corpus, pool = self.corpus, self.pool
        if corpus is None:
            return None
        if tokenizer is None:
            tokenizer = self.config.tokenizer()
        described = self._meta.get("pool") or (describe_pool(pool) if pool else describe_corpus(corpus))
        return measure_sizes(
            described,
            lambda name: pool_rows(pool, name) if pool else corpus_rows(corpus, name),
            tokenizer,
            max_length,
        )
