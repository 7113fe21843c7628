"""The mixtures everybody compares with, each from its own paper, one function each.

Equal and Natural need no run. Best-run takes the best mixture seen. RegMix (Liu et al., arXiv 2407.01492) regresses the
outcome on the mixture alone with LightGBM, simulates mixtures from a Dirichlet distribution around the natural one and
averages the best; it does not look at the pool's state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causalmix_nb.errors import MixtureError, did_you_mean
from causalmix_nb.fit import fit
from causalmix_nb.mixture import Mixture, as_shares
from causalmix_nb.model import Problem
from causalmix_nb.runs import Runs

BASELINES = ("equal", "natural", "regmix", "best_run")
SIMULATED, TOP = 100_000, 100


def equal(domains: Sequence[str]) -> Mixture:
    """The same share for every domain."""
    return Mixture.equal(domains)


def best_run(runs: Runs, outcome: str | None = None) -> Mixture:
    """The mixture of the best run so far; chosen for its luck as well as its merit."""
    problem = Problem.from_runs(runs, outcome)
    best = problem.y.argmin() if problem.minimize else problem.y.argmax()
    return Mixture(dict(zip(problem.domains, problem.T[best].tolist())), normalise=True)


def regmix(
    runs: Runs, outcome: str | None = None, natural: Mixture | None = None, random_state: int = 0
) -> Mixture:
    """RegMix's recommendation from the same runs.

    Parameters
    ----------
    natural: centre of the simulated mixtures; Equal without it.
    """
    model = fit(runs, outcome, method="regmix", random_state=random_state)
    domains = model.domains
    centre = as_shares(natural or Mixture.equal(domains), domains)[0]
    rng = np.random.default_rng(random_state)
    # Concentrations from sparse to tight, as in the paper's code; a floor keeps small domains in play.
    strength = np.exp(rng.uniform(np.log(0.5), np.log(20), size=(SIMULATED, 1)))
    gammas = rng.standard_gamma(np.maximum(strength * centre * len(domains), 1e-2))
    candidates = gammas / gammas.sum(1, keepdims=True)
    scores = model.sign * model.expected(candidates)
    top = np.argsort(-scores, kind="stable")[:TOP]
    return Mixture(dict(zip(domains, candidates[top].mean(0).tolist())), normalise=True)


def baseline_mixture(
    given: str | Mixture | Mapping[str, float], runs: Runs, outcome: str, natural: Mixture | None
) -> Mixture:
    """A baseline by name, or the mixture that was given."""
    domains = runs.domains
    if isinstance(given, Mixture):
        return given
    if isinstance(given, Mapping):
        return Mixture(given)
    lookup: dict[str, Any] = {
        "equal": lambda: equal(domains),
        "natural": lambda: natural,
        "regmix": lambda: regmix(runs, outcome, natural),
        "best_run": lambda: best_run(runs, outcome),
    }
    if given not in lookup:
        raise MixtureError(
            f"unknown baseline {given!r}.{did_you_mean(given, BASELINES)} Baselines are {', '.join(BASELINES)}; "
            "a mixture of your own can be given too."
        )
    mixture = lookup[given]()
    if mixture is None:
        raise MixtureError("the natural mixture is not known without a pool; leave 'natural' out.")
    return mixture
