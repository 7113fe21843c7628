"""RegMix and the data mixing law: the best of many simulated mixtures, by a model of the outcome on the mixture alone.

RegMix: Liu et al., arXiv 2407.01492. Data mixing law: Ye et al., arXiv 2403.16952.
"""

from __future__ import annotations

import numpy as np

from causalmix_nb.decide.baselines.baseline import BASELINES, Baseline
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.fit import fit
from causalmix_nb.mixture import Mixture, as_shares
from causalmix_nb.runs.store import Runs

SIMULATED, TOP = 100_000, 100


def regmix(
    runs: Runs, outcome: str | None = None, natural: Mixture | None = None, random_state: int = 0
) -> Mixture:
    """RegMix's recommendation from the same runs.

    Parameters
    ----------
    natural: centre of the simulated mixtures; Equal without it.
    """
    model = fit(runs, outcome, method="regmix", random_state=random_state)
    candidates = _simulated(model.problem, natural, random_state)
    top = np.argsort(-model.sign * model.expected(candidates), kind="stable")[:TOP]
    return Mixture.of(model.domains, candidates[top].mean(0))


def law(
    runs: Runs, outcome: str | None = None, natural: Mixture | None = None, random_state: int = 0
) -> Mixture:
    """The mixture that the data mixing law predicts best, out of simulated ones."""
    model = fit(runs, outcome, method="law", use_state=False, random_state=random_state)
    candidates = _simulated(model.problem, natural, random_state)
    return Mixture.of(model.domains, candidates[int((model.sign * model.expected(candidates)).argmax())])


def _simulated(problem: Problem, natural: Mixture | None, random_state: int) -> np.ndarray:
    domains = problem.domains
    centre = problem.hold(as_shares(natural or problem.equal, domains))[0]
    rng = np.random.default_rng(random_state)
    # Concentrations from sparse to tight, as in RegMix's code; a floor keeps small domains in play.
    strength = np.exp(rng.uniform(np.log(0.5), np.log(20), size=(SIMULATED, 1)))
    gammas = rng.standard_gamma(np.maximum(strength * centre * len(domains), 1e-2))
    return problem.hold(gammas)


BASELINES.register(
    Baseline(
        "regmix",
        "a regression on mixtures, the best simulated ones averaged",
        lambda case: regmix(case.runs, case.outcome, case.natural),
    )
)
BASELINES.register(
    Baseline(
        "law",
        "the data mixing law, the best simulated mixture",
        lambda case: law(case.runs, case.outcome, case.natural),
    )
)
