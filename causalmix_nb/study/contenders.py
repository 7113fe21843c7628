"""Baselines of a study that cost training of their own: a search over mixtures through the swarm, DoReMi, Online Data Mixing.

Their runs go into a store of their own. A search is asked for on the pool as it is, whatever became of it later: what it found does not
adapt, which is what a comparison on a changed pool is to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.decide.baselines import BASELINES, baseline_mixture, unknown_baseline
from causalmix_nb.decide.search import Search, bayesian_optimisation, grid_search
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.proxies.config import BASE
from causalmix_nb.proxies.outcomes import outcome_directions, target_weights
from causalmix_nb.proxies.swarm import load_weights
from causalmix_nb.runs.store import Runs

if TYPE_CHECKING:
    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.launch.launch import Executor, OnProgress
    from causalmix_nb.mixture import Mixture
    from causalmix_nb.proxies.config import Trainable
    from causalmix_nb.proxies.online import OnlineMixture
    from causalmix_nb.proxies.state import Scorer

SEARCHES = {"grid": grid_search, "bayes": bayesian_optimisation}
ONLINE = ("doremi", "odm")
TRAINED = (*SEARCHES, *ONLINE)
CONTENDERS = (*BASELINES, *TRAINED)
SEARCHED = "searched.sqlite"
RUNS = 32  # of a search


class Contenders:
    """Expects the corpus, the store and the private helpers of :class:`causalmix_nb.study.study.Study`."""

    if TYPE_CHECKING:
        runs: Runs | None
        _meta: dict[str, Any]

        @property
        def _context(self) -> str: ...

        @property
        def outcome(self) -> str | None: ...

        @property
        def natural(self) -> Mixture | None: ...

        @property
        def seed(self) -> int: ...

        @property
        def config(self) -> Trainable: ...

        def _need_corpus(self) -> Corpus: ...

        def _need_folder(self) -> Path: ...

        def _need_runs(self) -> Runs: ...

        def _train_base(self, progress: OnProgress | None = None) -> Scorer: ...

        def _launch(self, *args: Any, **named: Any) -> Any: ...

    def search(
        self,
        method: str = "bayes",
        n_runs: int = RUNS,
        outcome: str | None = None,
        progress: OnProgress | None = None,
        executor: Executor = "local",
        workers: int | None = None,
        **options: Any,
    ) -> Search:
        """Look for the best mixture by training: ``"bayes"`` or ``"grid"``, ``n_runs`` runs on the pool as it is.

        options: ``batch``, ``n_first``, ``random_state`` of :func:`causalmix_nb.decide.search.bayesian_optimisation`. The same call again trains
        nothing twice.
        """
        if method not in SEARCHES:
            raise StudyError(
                f"unknown search {method!r}.{did_you_mean(method, tuple(SEARCHES))} Use bayes or grid."
            )
        corpus, budget = self._need_corpus(), self._budget()
        directions = outcome_directions(corpus)
        wanted = outcome or self.outcome or next(iter(directions))
        if wanted not in directions:
            raise StudyError(
                f"unknown outcome {wanted!r}.{did_you_mean(wanted, directions)} Outcomes are {', '.join(directions)}."
            )
        made = 0

        def evaluate(T: np.ndarray) -> np.ndarray:
            nonlocal made
            specs = [
                RunSpec(
                    tuple(row.tolist()),
                    budget,
                    {},
                    self.seed,
                    2_000_003 + self.seed + made + i,
                    f"search:{method}",
                )
                for i, row in enumerate(T)
            ]
            made += len(specs)
            report = self._launch(specs, store, executor, workers, progress, f"search by {method}")
            if report.interrupted:
                raise StudyError("the search was interrupted; the same call resumes it.")
            found = store.frame.set_index("key")[f"outcome.{wanted}"]
            return found.reindex([spec.key(self._context) for spec in specs]).to_numpy(dtype=float)

        store = Runs.open(self._need_folder() / SEARCHED, create=True)
        try:
            store.declare_outcomes(directions)
            return SEARCHES[method](evaluate, corpus.domains, n_runs, directions[wanted], **options)  # type: ignore[operator]
        finally:
            store.close()

    def online(self, method: str = "doremi", progress: OnProgress | None = None) -> OnlineMixture:
        """The mixture of DoReMi (``"doremi"``, against a reference on the natural mixture) or Online Data Mixing (``"odm"``)."""
        from causalmix_nb.proxies.online import doremi, online_data_mixing

        if method not in ONLINE:
            raise StudyError(
                f"unknown online method {method!r}.{did_you_mean(method, ONLINE)} Use doremi or odm."
            )
        if not self.config.mixes_online:
            raise StudyError(
                "doremi and odm train the built-in proxy only; compare with grid or bayes, or create a study without model."
            )
        self._train_base(progress)
        corpus, weights = self._need_corpus(), load_weights(self._need_folder() / BASE)
        if method == "odm":
            return online_data_mixing(corpus, self.config, weights, self._budget(), seed=self.seed)
        return doremi(corpus, self.config, weights, self._budget(), self.natural, seed=self.seed)

    def baseline(
        self,
        given: str | Mixture | Mapping[str, float],
        outcome: str | None = None,
        progress: OnProgress | None = None,
        executor: Executor = "local",
        workers: int | None = None,
    ) -> Mixture:
        """A baseline by name; ``grid``, ``bayes``, ``doremi`` and ``odm`` are trained for it, the others come from what is there."""
        if isinstance(given, str):
            if given not in CONTENDERS:
                raise unknown_baseline(given, CONTENDERS)
            if given in SEARCHES:
                return self.search(given, RUNS, outcome, progress, executor, workers).mixture
            if given in ONLINE:
                return self.online(given, progress).mixture
        weights = target_weights(self._need_corpus(), self._meta.get("target"))
        return baseline_mixture(
            given, self._need_runs(), outcome or self.outcome or "score", self.natural, weights
        )

    def _budget(self) -> int:
        return int(self._meta.get("token_budget") or 100_000)
