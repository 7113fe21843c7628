"""Baselines without a model: Equal, Natural, and the best mixture seen."""

from __future__ import annotations

from causalmix_nb.decide.baselines.baseline import BASELINES, Baseline, Case
from causalmix_nb.errors import FitError, MixtureError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.mixture import Mixture
from causalmix_nb.runs.store import Runs


def equal(case: Case) -> Mixture:
    """Equal shares of the domains that the runs have moved; of all where no run can tell."""
    try:
        return Problem.from_runs(case.runs, case.outcome, use_state=False).equal
    except FitError:
        return Mixture.equal(case.runs.domains)


def natural(case: Case) -> Mixture:
    """The mixture that the pool has. Raises MixtureError: no pool is known."""
    if case.natural is None:
        raise MixtureError("the natural mixture is not known without a pool; leave 'natural' out.")
    return case.natural


def best_run(runs: Runs, outcome: str | None = None) -> Mixture:
    """The mixture of the best run so far, of those that fit the others; chosen for its luck as well as its merit."""
    problem = weighed(Problem.from_runs(runs, outcome))
    problem = problem.subset(problem.trusted)
    best = problem.y.argmin() if problem.minimize else problem.y.argmax()
    return Mixture.of(problem.domains, problem.T[best])


BASELINES.register(Baseline("equal", "the same share for every domain", equal))
BASELINES.register(Baseline("natural", "the shares that the pool has", natural))
BASELINES.register(
    Baseline("best_run", "the mixture of the best run so far", lambda case: best_run(case.runs, case.outcome))
)
