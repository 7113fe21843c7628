"""Baselines of a study that cost training of their own: a search over mixtures through the swarm, DoReMi, Online Data Mixing.

Their runs go into a store of their own. A search is asked for on the pool as it is, whatever became of it later: what it found does not
adapt, which is what a comparison on a changed pool is to show. The functions are methods of :class:`causalmix_nb.study.study.Study`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.decide.baselines import BASELINES, baseline_mixture, unknown_baseline
from causalmix_nb.decide.search import Search, bayesian_optimisation, grid_search
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.launch.launch import Executor, OnProgress
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.config import BASE
from causalmix_nb.proxies.outcomes import outcome_directions, target_weights
from causalmix_nb.proxies.swarm import load_weights
from causalmix_nb.study.trainer import Trains

if TYPE_CHECKING:
    from causalmix_nb.proxies.online import OnlineMixture

SEARCHES = {"grid": grid_search, "bayes": bayesian_optimisation}
ONLINE = ("doremi", "odm")
TRAINED = (*SEARCHES, *ONLINE)
CONTENDERS = (*BASELINES, *TRAINED)
SEARCHED = "searched.sqlite"
RUNS = 32  # of a search
SEED = 2_000_003  # of the first training of a search


def search(
    study: Trains,
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
    files, corpus = study.trainer.files, study.trainer.files.need_corpus()
    directions, seed = outcome_directions(corpus), files.seed
    wanted = outcome or files.outcome or next(iter(directions))
    if wanted not in directions:
        raise StudyError(
            f"unknown outcome {wanted!r}.{did_you_mean(wanted, directions)} Outcomes are {', '.join(directions)}."
        )
    made = 0

    def evaluate(T: np.ndarray) -> np.ndarray:
        nonlocal made
        specs = [
            RunSpec(tuple(row), files.token_budget, {}, seed, SEED + seed + made + i, f"search:{method}")
            for i, row in enumerate(T.tolist())
        ]
        made += len(specs)
        stage = f"search by {method}"
        return study.trainer.outcomes(specs, SEARCHED, wanted, stage, executor, workers, progress)

    return SEARCHES[method](evaluate, corpus.domains, n_runs, directions[wanted], **options)  # type: ignore[operator]


def online(study: Trains, method: str = "doremi", progress: OnProgress | None = None) -> OnlineMixture:
    """The mixture of DoReMi (``"doremi"``, against a reference on the natural mixture) or Online Data Mixing (``"odm"``)."""
    from causalmix_nb.proxies.online import doremi, online_data_mixing

    if method not in ONLINE:
        raise StudyError(
            f"unknown online method {method!r}.{did_you_mean(method, ONLINE)} Use doremi or odm."
        )
    files = study.trainer.files
    corpus, config, budget = files.need_corpus(), files.config, files.token_budget
    if not config.mixes_online:
        raise StudyError(
            "doremi and odm train the built-in proxy only; compare with grid or bayes, or create a study without model."
        )
    study.trainer.meter.train_base(progress)
    weights = load_weights(files.need_path() / BASE)
    if method == "odm":
        return online_data_mixing(corpus, config, weights, budget, seed=files.seed)
    return doremi(corpus, config, weights, budget, corpus.natural, seed=files.seed)


def baseline(
    study: Trains,
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
            return search(study, given, RUNS, outcome, progress, executor, workers).mixture
        if given in ONLINE:
            return online(study, given, progress).mixture
    files = study.trainer.files
    weights = target_weights(files.need_corpus(), files.target)
    wanted = outcome or files.outcome or "score"
    return baseline_mixture(given, files.need_runs(), wanted, files.natural, weights)
