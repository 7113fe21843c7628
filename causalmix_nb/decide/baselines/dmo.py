"""DMO (Li et al., arXiv 2508.11953): every domain's loss as a power law of the data effective for it, and their sum minimised.

Effective for a domain are its own data and what transfers from the others'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from causalmix_nb.decide.baselines.baseline import BASELINES, Baseline
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.mixture import Mixture
from causalmix_nb.runs.store import Runs


def dmo(runs: Runs, weights: Mapping[str, float] | None = None, random_state: int = 0) -> Mixture:
    """The mixture that minimises the sum of the domains' losses, each a power law of the data effective for it.

    Parameters
    ----------
    runs: must record a loss for every domain that counts, named after it (``bpb.code``, ``code_val_loss``, ``code``).
    weights: domain -> weight of its loss in the sum; equal without it.

    Raises
    ------
    FitError: losses of fewer than two domains, or fewer than eight runs.
    """
    from scipy.optimize import minimize

    losses = domain_losses(runs)
    counted = {name: float((weights or dict.fromkeys(losses, 1.0)).get(name, 0.0)) for name in losses}
    counted = {name: weight for name, weight in counted.items() if weight > 0}
    if len(counted) < 2:
        raise FitError(
            "DMO needs a loss for each of two domains at least, named after them such as bpb.code; choose another baseline."
        )
    domains, laws = runs.domains, []
    held: dict[str, float] = {}
    for name, weight in counted.items():
        problem = Problem.from_runs(runs, losses[name], use_state=False)
        if name in (problem.held or {}):
            continue  # no run has moved its share, so there is no curve of its loss
        held |= problem.held or {}
        laws.append(
            (domains.index(name), weight, _effective_data(problem, domains.index(name), random_state))
        )

    def total(T: np.ndarray) -> float:
        return sum(weight * float(_power_law(p, np.asarray(T)[k])) for k, weight, p in laws)

    if len(laws) < 2:
        raise FitError(
            "DMO needs the losses of two domains that the runs have moved; make runs that vary their shares."
        )
    K = len(domains)
    rng = np.random.default_rng(random_state)
    starts = np.vstack([np.full(K, 1 / K), rng.dirichlet(np.ones(K), 8)])
    bounds = [(held[name], held[name]) if name in held else (1e-6, 1) for name in domains]
    sums_to_1 = {"type": "eq", "fun": lambda T: T.sum() - 1}
    found = [minimize(total, s, bounds=bounds, constraints=sums_to_1, method="SLSQP") for s in starts]
    best = min(found, key=lambda one: one.fun)
    return Mixture.of(domains, np.maximum(best.x, 0))


def domain_losses(runs: Runs) -> dict[str, str]:
    """Domain -> the outcome that is its own loss, where one is named after it."""
    lower = [name for name in runs.outcome_names if runs.minimize[name]]
    found = {}
    for domain in runs.domains:
        for name in lower:
            if name == domain or name.endswith((f".{domain}", f"/{domain}")) or name.startswith(f"{domain}_"):
                found[domain] = name
                break
    return found


def _power_law(p: np.ndarray, own: Any) -> Any:
    """Loss floor + e^c (own + k (1 - own)^a)^(-b), own share in 0 … 1; p holds floor, c, log k, a, log b."""
    floor, c, log_k, a, log_b = p
    effective = np.maximum(own + np.exp(log_k) * np.maximum(1 - own, 0) ** a, 1e-9)
    return floor + np.exp(c) * effective ** -np.exp(log_b)


def _effective_data(problem: Problem, k: int, random_state: int) -> np.ndarray:
    """Parameters of :func:`_power_law` for one domain's loss, by robust least squares from several starts."""
    from scipy.optimize import least_squares

    if problem.n_runs < 8:
        raise FitError(
            f"{problem.n_runs} runs are too few for the five parameters of DMO's law; make 8 at least."
        )
    own, y = problem.T[:, k], problem.y
    unit, low = float(y.std()), float(y.min())
    bounds = ([low - 50 * unit, -20, np.log(1e-6), 0.05, np.log(1e-3)], [low, 20, np.log(10), 1.0, np.log(3)])
    rng, best = np.random.default_rng(random_state), None
    for _ in range(6):
        start = [low - unit, np.log(unit), rng.uniform(-6, 0), rng.uniform(0.2, 0.9), rng.uniform(-3, 0)]
        found = least_squares(
            lambda p: (_power_law(p, own) - y) / unit, start, bounds=bounds, loss="huber", f_scale=0.5
        )
        best = found if best is None or found.cost < best.cost else best
    assert best is not None
    return best.x


BASELINES.register(
    Baseline("dmo", "a power law for every domain's loss", lambda case: dmo(case.runs, case.weights))
)
