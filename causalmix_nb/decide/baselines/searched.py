"""A grid and Bayesian optimisation as baselines: they train runs of their own (:mod:`causalmix_nb.decide.search`)."""

from __future__ import annotations

from functools import partial
from typing import Any

from causalmix_nb.decide.baselines.baseline import BASELINES, Baseline, Case, Lab
from causalmix_nb.decide.search import Search, bayesian_optimisation, grid_search
from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.mixture import Mixture

SEARCHES = {"grid": grid_search, "bayes": bayesian_optimisation}
RUNS = 32  # of a search


def search(lab: Lab, method: str, outcome: str, n_runs: int = RUNS, **options: Any) -> Search:
    """Look for the best mixture by training: ``"bayes"`` or ``"grid"``, ``n_runs`` runs.

    options: ``batch``, ``n_first``, ``random_state`` of :func:`causalmix_nb.decide.search.bayesian_optimisation`.

    Raises
    ------
    StudyError: an unknown search or outcome, or an interrupt.
    """
    if method not in SEARCHES:
        raise StudyError(
            f"unknown search {method!r}.{did_you_mean(method, tuple(SEARCHES))} Use bayes or grid."
        )
    lower = lab.lower(outcome)
    evaluate = partial(lab.outcomes, outcome=outcome, purpose=method)
    return SEARCHES[method](evaluate, lab.domains, n_runs, lower, **options)  # type: ignore[operator]


def _found(method: str, case: Case) -> Mixture:
    return search(case.need_lab(), method, case.outcome).mixture


BASELINES.register(Baseline("grid", "the best of a grid, trained", partial(_found, "grid"), trains=True))
BASELINES.register(Baseline("bayes", "Bayesian optimisation, trained", partial(_found, "bayes"), trains=True))
