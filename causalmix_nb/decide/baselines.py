"""The mixtures everybody compares with, each from its own paper, one function each.

From no run or from runs that are there. Equal and Natural need no run; Best-run takes the best mixture seen. RegMix (Liu et al.,
arXiv 2407.01492) regresses the outcome on the mixture alone with LightGBM, simulates mixtures from a Dirichlet distribution around the
natural one and averages the best. The data mixing law (Ye et al., arXiv 2403.16952) does the same with an exponential of a linear form.
DMO (Li et al., arXiv 2508.11953) fits every domain's loss as a power law of the data that is effective for it, its own and what
transfers from the others, and minimises their sum. None of them looks at the pool's state. Those that train as they go are in
``search`` and ``online``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causalmix_nb.errors import FitError, MixtureError, did_you_mean
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.methods.fit import fit
from causalmix_nb.mixture import Mixture, as_shares
from causalmix_nb.runs.store import Runs

BASELINES = ("equal", "natural", "regmix", "best_run", "law", "dmo")
SIMULATED, TOP = 100_000, 100


def equal(domains: Sequence[str]) -> Mixture:
    """The same share for every domain."""
    return Mixture.equal(domains)


def best_run(runs: Runs, outcome: str | None = None) -> Mixture:
    """The mixture of the best run so far, of those that fit the others; chosen for its luck as well as its merit."""
    problem = weighed(Problem.from_runs(runs, outcome))
    problem = problem.subset(problem.trusted)
    best = problem.y.argmin() if problem.minimize else problem.y.argmax()
    return _mixture(problem.domains, problem.T[best])


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
    return _mixture(model.domains, candidates[top].mean(0))


def law(
    runs: Runs, outcome: str | None = None, natural: Mixture | None = None, random_state: int = 0
) -> Mixture:
    """The mixture that the data mixing law predicts best, out of simulated ones."""
    model = fit(runs, outcome, method="law", use_state=False, random_state=random_state)
    candidates = _simulated(model.problem, natural, random_state)
    return _mixture(model.domains, candidates[int((model.sign * model.expected(candidates)).argmax())])


def _simulated(problem: Problem, natural: Mixture | None, random_state: int) -> np.ndarray:
    domains = problem.domains
    centre = problem.hold(as_shares(natural or problem.equal, domains))[0]
    rng = np.random.default_rng(random_state)
    # Concentrations from sparse to tight, as in RegMix's code; a floor keeps small domains in play.
    strength = np.exp(rng.uniform(np.log(0.5), np.log(20), size=(SIMULATED, 1)))
    gammas = rng.standard_gamma(np.maximum(strength * centre * len(domains), 1e-2))
    return problem.hold(gammas)


# -- DMO -------------------------------------------------------------------------------------------------------


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
    return _mixture(domains, np.maximum(best.x, 0))


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


# -- by name ---------------------------------------------------------------------------------------------------


def _even(runs: Runs, outcome: str) -> Mixture:
    """Equal shares of the domains that the runs have moved; of all where no run can tell."""
    try:
        return Problem.from_runs(runs, outcome, use_state=False).equal
    except FitError:
        return equal(runs.domains)


def _mixture(domains: Sequence[str], shares: np.ndarray) -> Mixture:
    return Mixture(dict(zip(domains, shares.tolist())), normalise=True)


def baseline_mixture(
    given: str | Mixture | Mapping[str, float],
    runs: Runs,
    outcome: str,
    natural: Mixture | None,
    weights: Mapping[str, float] | None = None,
) -> Mixture:
    """A baseline by name, or the mixture that was given; weights: of the domains' losses in the outcome."""
    if isinstance(given, Mixture):
        return given
    if isinstance(given, Mapping):
        return Mixture(given)
    lookup: dict[str, Any] = {
        "equal": lambda: _even(runs, outcome),
        "natural": lambda: natural,
        "regmix": lambda: regmix(runs, outcome, natural),
        "best_run": lambda: best_run(runs, outcome),
        "law": lambda: law(runs, outcome, natural),
        "dmo": lambda: dmo(runs, weights),
    }
    if given not in lookup:
        raise unknown_baseline(given, BASELINES)
    mixture = lookup[given]()
    if mixture is None:
        raise MixtureError("the natural mixture is not known without a pool; leave 'natural' out.")
    return mixture


def unknown_baseline(given: str, known: Sequence[str]) -> MixtureError:
    return MixtureError(
        f"unknown baseline {given!r}.{did_you_mean(given, known)} Baselines are {', '.join(known)}; "
        "a mixture of your own can be given too."
    )
