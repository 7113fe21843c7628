"""From a fitted model to a mixture: which one to train on, how much better it is, and how sure that is.

Three policies. ``"analytic"`` takes shares in proportion to the positive marginal returns, and ``"search"``
averages the best 100 of many random candidates (*CausalMix*, arXiv 2607.01104, variants A and S);
``"surface"`` searches, then climbs the fitted surface from the best candidate, half a standard error on the
safe side. All stay inside a trust region – no further from the runs than the runs are from each other – and
inside the user's constraints.

The gain is the model's own contrast between the mixture and the baseline. Choosing the best of many
predictions favours the lucky ones: the posterior of the Gaussian process accounts for this as far as its
prior is right; the intervals of the other methods do not, and are optimistic for a chosen mixture. Only
training validates it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from causalmix_nb.decide.constraints import Constraints, Feasible, as_constraints
from causalmix_nb.decide.value import CHOSEN, Appraisal, Value
from causalmix_nb.errors import FitError, MixtureError, did_you_mean
from causalmix_nb.estimate.model import LEVEL, Model
from causalmix_nb.estimate.problem import STILL
from causalmix_nb.estimate.support import Support, TrustRegion
from causalmix_nb.mixture import Mixture, replace_zeros

MOST_CANDIDATES = 10_000_000  # beyond it memory ends before anything is gained
POLICIES = ("analytic", "search", "surface", "auto")
CAUTION = 0.5  # standard errors of its gain that a mixture is marked down by while climbing
TO_CHOOSE = 10_000  # candidates of which half of the runs choose, to see what the choice is worth
RIVALS = 150  # expected to be best, that the regret is counted against, and about as many from all over
BEST = 100  # candidates that are averaged
REPEATS = 4  # Muennighoff et al., "Scaling data-constrained language models", 2023


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A mixture to train on, and what the runs say about it.

    gain, se, lower, upper: advantage over ``baseline`` in the good direction, in the outcome's units, 95 % interval.
    verdict: the gain in words.
    baseline_outcome, predicted: expected outcome of the baseline, and of the mixture (mean, lower, upper).
    support: how the mixture lies relative to the runs; ``distance`` (1 is the edge of the trust region).
    epochs: domain -> how often its tokens would be seen, where availability is known.
    """

    mixture: Mixture
    gain: float
    se: float
    lower: float
    upper: float
    verdict: str
    baseline: Mixture
    baseline_outcome: float
    predicted: dict[str, float]
    policy: str
    support: str
    distance: float
    epochs: dict[str, float]
    outcome: str
    minimize: bool
    n_runs: int
    notes: tuple[str, ...] = ()
    appraisal: Appraisal | None = field(default=None, repr=False, compare=False)

    @property
    def value(self) -> Value | None:
        """Gain by runs that did not choose the mixture (estimate, lower, upper), and how much better the best may be; None where unknown.

        Worked out when it is first asked for, which takes about as long as a fit.
        """
        return self.appraisal.value() if self.appraisal else None

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.mixture.shares.items())
        return f"{shares}: {self.verdict} ({self.policy} policy, {self.n_runs} runs; {self.support})"


def optimize(
    model: Model,
    state: Any = None,
    policy: str = "auto",
    n_candidates: int = 100_000,
    constraints: Constraints | Mapping[str, Any] | None = None,
    baseline: Any = None,
    random_state: int = 0,
    scale: Any = None,
    caution: float = CAUTION,
    worst: bool = False,
) -> Recommendation:
    """The mixture to train on at a state, with its gain over the baseline.

    Parameters
    ----------
    model: a fitted model.
    state: Series or dict; None is the pool's own state, else the average over the runs' states.
    policy: ``"analytic"``, ``"search"``, ``"surface"`` or ``"auto"`` (surface for ``gp`` and ``law``, else search).
    n_candidates: random mixtures that are scored.
    constraints: a :class:`Constraints`, or its fields as a dict.
    baseline: the mixture to beat; None is the model's baseline, else Equal.
    random_state: the same seed gives the same mixture.
    caution: standard errors of its gain that a mixture is marked down by on the surface; 1.96 maximises the lower end of the
        interval, 0 the expected outcome.
    worst: look for the mixture that is worst instead, to learn what to avoid.

    Raises
    ------
    FitError: unknown policy, no candidates, or a caution below 0.
    MixtureError: constraints that no mixture satisfies.
    """
    if policy not in POLICIES:
        raise FitError(
            f"unknown policy {policy!r}.{did_you_mean(policy, POLICIES)} Policies are {', '.join(POLICIES)}."
        )
    if not 1 <= n_candidates <= MOST_CANDIDATES:
        raise FitError(f"n_candidates is {n_candidates}; give 1 to {MOST_CANDIDATES:,}, 100000 is usual.")
    if not 0 <= caution < np.inf:
        raise FitError(
            f"caution is {caution:g}; it counts standard errors, from 0 (none) to 1.96 (very careful)."
        )
    limits = as_constraints(constraints)
    feasible = allowed(model, limits)
    base = model.start(baseline)[0]
    if policy == "auto":
        policy = "surface" if model.climbable else "search"
    sign = -model.sign if worst else model.sign
    how = {"state": state, "scale": scale, "base": base, "feasible": feasible, "sign": sign, "policy": policy}
    how |= {"caution": caution, "random_state": random_state}
    T, region, notes = _chosen(model, n_candidates=n_candidates, **how)
    found = _report(model, T, base, state, scale, policy, region, limits, feasible, notes, worst)
    if worst:
        return found  # nothing to train on
    others = _rivals(model, sign, base, state, scale, feasible, region, random_state)
    choose = partial(_chosen, n_candidates=min(n_candidates, TO_CHOOSE), **how)
    shares = np.array([found.mixture[name] for name in model.domains])
    appraisal = Appraisal(model, choose, shares, base, others, state, scale, random_state)
    return replace(found, appraisal=appraisal)


def _chosen(
    model: Model, state: Any, scale: Any, base: np.ndarray, feasible: Feasible, sign: float, policy: str, caution: float,
    random_state: int, n_candidates: int,
) -> tuple[np.ndarray, TrustRegion, tuple[str, ...]]:  # fmt: skip
    """The mixture (K,) that a model recommends by a policy, the region in which it looked, and notes."""
    region = TrustRegion(model.problem.T)
    notes: list[str] = []

    def value(T: np.ndarray) -> np.ndarray:
        return sign * model.expected(T, state, scale)

    if policy == "analytic":
        T = _analytic(model, value, sign, state, base, feasible, region)
    else:
        rng = np.random.default_rng(random_state)
        T, best = _search(model, value, sign, base, feasible, region, n_candidates, rng, notes)
        if policy == "surface":
            careful = caution and model.climbable
            marked = _cautious(model, sign, base, state, scale, caution) if careful else value
            T = climb(marked, np.vstack([T, best]), feasible, region)
    change = model.contrast(T[None], base[None], state, scale).estimate
    if feasible.contains(base) and sign * change <= 0:
        T = base  # nothing found that is expected to be better
    return T, region, tuple(notes)


def _rivals(
    model: Model, sign: float, base: np.ndarray, state: Any, scale: Any, feasible: Feasible, region: TrustRegion,
    random_state: int,
) -> np.ndarray:  # fmt: skip
    """Covered mixtures (m, K) that might be the best: those expected to be, and some from all over."""
    rng = np.random.default_rng(random_state)
    drawn = feasible.nearest(draw_candidates(model, sign, base, 4000, rng))
    drawn = drawn[region.inside(drawn)]
    order = np.argsort(-sign * model.expected(drawn, state, scale), kind="stable")
    return drawn[np.concatenate([order[:RIVALS], order[RIVALS :: max(1, len(order) // RIVALS)]])]


def allowed(model: Model, constraints: Constraints | Mapping[str, Any] | None = None) -> Feasible:
    """The mixtures that respect the constraints and have the domains that no run has moved as they are in every run.

    Raises
    ------
    MixtureError: constraints that no mixture satisfies, or that ask for another share of such a domain.
    """
    limits, problem = as_constraints(constraints), model.problem
    if not problem.held:
        return limits.feasible(model.domains)
    lower, upper = limits.bounds(model.domains)
    fixed = dict(limits.fixed)
    for (name, share), sentence in zip(problem.held.items(), problem.held_sentences):
        k = model.domains.index(name)
        slack = STILL * share + 1e-9
        if not lower[k] - slack <= share <= upper[k] + slack:
            bound = f"at least {lower[k]:.4g}" if share < lower[k] else f"at most {upper[k]:.4g}"
            raise MixtureError(
                f"{sentence}; the constraints ask for {bound} of it: name the other domains in them, or make runs that vary it."
            )
        fixed[name] = min(max(share, float(lower[k])), float(upper[k]))
    return replace(limits, fixed=fixed).feasible(model.domains)


# -- policies --------------------------------------------------------------------------------------------


def _analytic(
    model: Model,
    value: Any,
    sign: float,
    state: Any,
    base: np.ndarray,
    feasible: Feasible,
    region: TrustRegion,
) -> np.ndarray:
    """Shares in proportion to the positive marginal returns at the baseline, drawn back towards it.

    Marginal returns are a first-order view: followed all the way they overshoot. So of the covered mixtures
    between the baseline and those shares, the one that the model expects most of is taken.
    """
    start = Mixture(dict(zip(model.domains, base.tolist())))
    returns = np.zeros(len(base))
    returns[model.problem.moving] = np.maximum(sign * model.returns(state, start)[0], 0)
    target = model.problem.hold(returns[None])[0] if returns.sum() > 0 else base
    steps = np.linspace(1, 0, 201)[:, None]
    path = feasible.nearest(steps * target + (1 - steps) * base)
    away = region.distance(path)
    covered = path[away <= 1 + 1e-9] if (away <= 1 + 1e-9).any() else path[[int(away.argmin())]]
    return covered[int(value(covered).argmax())]


def _search(
    model: Model, value: Any, sign: float, base: np.ndarray, feasible: Feasible, region: TrustRegion,
    n_candidates: int, rng: np.random.Generator, notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The mean (K,) of the best covered candidates, and those candidates (≤ 100, K), best first."""
    candidates = feasible.nearest(draw_candidates(model, sign, base, n_candidates, rng))
    values = value(candidates)
    order = np.argsort(-values, kind="stable")
    best: list[int] = []
    for i in range(0, len(order), 4096):
        block = order[i : i + 4096]
        best += block[region.inside(candidates[block])].tolist()
        if len(best) >= BEST:
            break
    if not best:
        notes.append(
            "no mixture within the constraints is covered by the runs; this one is the nearest, an extrapolation"
        )
        best = np.argsort(region.distance(candidates), kind="stable")[:1].tolist()
    top = candidates[best[:BEST]]
    mean = feasible.settled(top.mean(0, keepdims=True))[0]
    pull = np.linspace(1, 0, 101)[:, None]  # an average of covered mixtures need not be covered itself
    path = feasible.settled(pull * mean + (1 - pull) * top[0])
    inside = np.flatnonzero(region.inside(path))
    return path[inside[0]] if len(inside) else top[0], top


def draw_candidates(
    model: Model, sign: float, base: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Dirichlet draws, from wide to narrow, around Equal, the baseline and the best runs; and these mixtures themselves, (n, K)."""
    problem, K = model.problem, len(base)
    distinct, index = np.unique(problem.T.round(9), axis=0, return_inverse=True)
    score = np.bincount(index.ravel(), sign * problem.y) / np.bincount(index.ravel())
    best = distinct[np.argsort(-score, kind="stable")[: max(4, min(32, len(distinct) // 8))]]
    distinct = distinct / distinct.sum(1, keepdims=True)
    wide = rng.dirichlet(np.ones(K), n // 4)
    sparse = rng.dirichlet(np.full(K, 0.4), n // 8)
    around_base = _around(np.repeat(base[None], n // 8, axis=0), rng)
    known = np.vstack([base[None], distinct])[:n]
    around_best = _around(
        best[
            rng.integers(len(best), size=max(n - len(wide) - len(sparse) - len(around_base) - len(known), 0))
        ],
        rng,
    )
    drawn = np.vstack([known, wide, sparse, around_base, around_best])[:n]
    return problem.hold(drawn) if problem.held else drawn


def _around(centres: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    concentration = 10 ** rng.uniform(0.5, 2.5, (len(centres), 1))
    draws = rng.standard_gamma(replace_zeros(centres, 1e-2) * concentration) + 1e-12
    return draws / draws.sum(1, keepdims=True)


def _cautious(
    model: Model, sign: float, base: np.ndarray, state: Any, scale: Any, caution: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Expected gain less some of its standard errors: a peak that few runs vouch for is more often luck than gain.

    In known-truth worlds half a standard error took a quarter off the regret where the surface was uncertain, and added at
    most a twentieth where it was not; a whole standard error or two added more.
    """

    def marked(T: np.ndarray) -> np.ndarray:
        out = np.empty(len(T))
        for i in range(0, len(T), 512):
            mean, cov = model.quick_joint(np.vstack([T[i : i + 512], base]), state, scale)
            variance = np.diag(cov)[:-1] + cov[-1, -1] - 2 * cov[:-1, -1]
            out[i : i + 512] = sign * (mean[:-1] - mean[-1]) - caution * np.sqrt(np.maximum(variance, 0))
        return out

    return marked


def climb(
    value: Callable[[np.ndarray], np.ndarray],
    starts: np.ndarray,
    feasible: Feasible,
    region: TrustRegion,
    n_starts: int = 6,
) -> np.ndarray:
    """Projected gradient ascent from several starts at once, inside the trust region; the best mixture reached, (K,).

    Steps are taken in the square roots of the shares, where the surfaces are smooth at share 0. Gradients are differences, all
    of one round in one call; each start then tries several step lengths along its gradient and keeps the best.
    """
    inside = region.inside(starts)
    starts = starts[inside] if inside.any() else starts[:1]
    values = value(starts)
    here = starts[np.argsort(-values, kind="stable")[:n_starts]]
    there = np.sort(values)[::-1][:n_starts].copy()
    K, lengths, h = starts.shape[1], 0.3 * 0.5 ** np.arange(9), 1e-3
    reach = np.ones(len(here))  # longest step worth trying, per start
    for _ in range(60):
        roots = np.sqrt(here)
        around = np.abs(roots[:, None, :] + h * np.eye(K)).reshape(-1, K) ** 2
        rise = (value(around / around.sum(1, keepdims=True)).reshape(len(here), K) - there[:, None]) / h
        rise -= (rise * roots).sum(1, keepdims=True) * roots  # along the sphere on which the roots lie
        size = np.linalg.norm(rise, axis=1, keepdims=True)
        step = rise / np.where(size > 0, size, 1)
        tries = (roots[:, None, :] + (reach[:, None] * lengths)[:, :, None] * step[:, None, :]).clip(0)
        tries = feasible.nearest((tries**2 / (tries**2).sum(2, keepdims=True)).reshape(-1, K))
        got = np.where(region.inside(tries), value(tries), -np.inf).reshape(len(here), -1)
        chosen = got.argmax(1)
        better = got.max(1) > there + 1e-9 * np.abs(there)
        tries = tries.reshape(len(here), -1, K)
        for i in np.flatnonzero(better):
            here[i], there[i] = tries[i, chosen[i]], got[i, chosen[i]]
        # aim around the length that worked, shorter where none did
        reach = np.clip(np.where(better, 4 * reach * lengths[chosen] / 0.3, reach / 16), 1e-4, 1.0)
        if not better.any() and (reach <= 1e-4).all():
            break
    return here[int(there.argmax())]


# -- report ----------------------------------------------------------------------------------------------


def _report(
    model: Model, T: np.ndarray, base: np.ndarray, state: Any, scale: Any, policy: str, region: TrustRegion,
    limits: Constraints, feasible: Feasible, notes: tuple[str, ...], worst: bool,
) -> Recommendation:  # fmt: skip
    T, domains = feasible.settled(T[None])[0], model.domains
    mixture, baseline = Mixture(dict(zip(domains, T.tolist()))), Mixture(dict(zip(domains, base.tolist())))
    effect = model.contrast(mixture, baseline, state, scale)
    gain = model.sign * effect.estimate
    ends = [gain + CHOSEN * (model.sign * end - gain) for end in (effect.lower, effect.upper)][
        :: int(model.sign)
    ]
    table = model.predict(_frame(np.vstack([T, base]), domains), state, scale)
    if not model.has_interval:
        notes = (*notes, "no interval: the model was fitted without an ensemble")
    elif not model.covers_the_best:
        notes = (*notes, "the interval does not account for all of having chosen the best of many mixtures")
    if effect.doubt:
        notes = (*notes, f"no gain is called sure, {effect.doubt}")
    if alone := _elsewhere(model, T, state, scale):
        notes = (*notes, alone)
    if far := model.beyond(scale):
        notes = (*notes, far)
    notes = (*notes, *model.problem.held_sentences)
    if far := effect.note or table.attrs.get("note", ""):
        notes = (*notes, f"an estimate or a limit is {far}")
    if wild := int((~model.problem.trusted).sum()):
        which = "1 run that does not fit" if wild == 1 else f"{wild} runs that do not fit"
        count = "counts" if wild == 1 else "count"
        notes = (*notes, f"{which} the others {count} for little; the check before a fit names them")
    distance, epochs = float(region.distance(T[None])[0]), _epochs(mixture, limits)
    worn = [f"{name} {count:.1f} times" for name, count in epochs.items() if count > REPEATS]
    if worn:
        worn_out = ", ".join(worn)
        notes = (*notes, f"repeated beyond about {REPEATS} epochs, where more is worth little: {worn_out}")
    return Recommendation(
        mixture, gain, CHOSEN * effect.se, ends[0], ends[1], _verdict(gain, ends, baseline, model, worst), baseline,
        float(table["mean"].iloc[1]), {name: float(table[name].iloc[0]) for name in ("mean", "lower", "upper")},
        policy, _support(distance), distance, epochs, model.outcome, model.minimize,
        model.problem.n_runs, notes,
    )  # fmt: skip


def _frame(T: np.ndarray, domains: tuple[str, ...]) -> Any:
    import pandas as pd

    return pd.DataFrame(T, columns=list(domains))


def _verdict(gain: float, ends: list[float], baseline: Mixture, model: Model, worst: bool) -> str:
    even = model.problem.equal
    equal = np.allclose([baseline[name] - even[name] for name in even], 0, atol=1e-6)
    some = " of the domains that the runs varied" if model.problem.held else ""
    name = f"equal shares{some}" if equal else "the baseline"
    if not model.has_interval:
        return f"{'better' if gain > 0 else 'no better'} than {name} by {gain:.3g} of {model.outcome}, without an interval"
    if model.doubt and (ends[0] > 0 or ends[1] < 0):
        return f"cannot be sure of a gain over {name} ({ends[0]:.3g} to {ends[1]:.3g} of {model.outcome}), {model.doubt}"
    if ends[1] < 0:
        return (
            f"worse than {name} by {-ends[1]:.3g} to {-ends[0]:.3g} of {model.outcome} ({LEVEL:.0%} interval)"
        )
    if ends[0] > 0:
        return (
            f"better than {name} by {ends[0]:.3g} to {ends[1]:.3g} of {model.outcome} ({LEVEL:.0%} interval)"
        )
    if gain <= 0 and not worst:
        return f"no mixture covered by the runs is expected to beat {name}: keep {name}"
    return f"not distinguishable from {name} (gain {ends[0]:.3g} to {ends[1]:.3g} of {model.outcome}, {LEVEL:.0%} interval)"


def _support(distance: float) -> str:
    edges = {0.5: "well inside", 0.9: "inside", 1 + 1e-9: "at the edge of"}
    where = next((name for edge, name in edges.items() if distance <= edge), "outside")
    return f"{where} what the runs cover"


def _elsewhere(model: Model, T: np.ndarray, state: Any, scale: Any) -> str:
    """A warning where the mixture was tried, but not at states like this one."""
    if not model.problem.state_names or (state is None and model.pool_state is None):
        return ""
    support, W = Support(model.problem), np.hstack([model.states(state)[:1], model.scales(scale, 1)])
    if support.distance(T[None], W)[0] <= 1.25:
        return ""
    return "no run at a state like this one has tried such a mixture: the gain is extrapolated from runs at other states"


def _epochs(mixture: Mixture, limits: Constraints) -> dict[str, float]:
    """Effective epochs: share times budget, divided by the tokens available."""
    if not limits.token_budget:
        return {}
    return {
        name: mixture[name] * limits.token_budget / tokens
        for name, tokens in limits.available.items()
        if name in mixture.domains and tokens > 0
    }
