"""Interventions: what would happen if a share were set, shifted or swapped, and what a given run would have scored.

``do(T = t)`` sets the mixture whatever the state was; shares sum to 1, so every intervention says where the difference comes
from (``keep``). A *counterfactual* asks the same of one run that was made, and keeps what was particular to it.
*Seeing* is not doing: where people chose mixtures after a look at the pool, the average outcome of runs with a mixture, E[Y | T = t], mixes
what the mixture did with what the pool did. It is of no use for deciding, and shown to teach the difference.
Pearl, *Causality*, 2009, chapters 3 and 7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.answers.question import KEEP, QUESTIONS, Argument, Question
from causalmix_nb.errors import MixtureError, RunsError, did_you_mean
from causalmix_nb.estimate.model import LEVEL, Effect, Model
from causalmix_nb.estimate.moves import move
from causalmix_nb.estimate.support import Support, TrustRegion
from causalmix_nb.methods.quick_surface import QuickSurface, quick_surfaces
from causalmix_nb.mixture import Mixture, as_shares, unknown_domain

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.runs.store import Runs

ELSEWHERE = 1.25  # distance from the runs, in mixture and state, from which a mixture counts as tried at other states only
DO = "Do: what the mixture would cause if you set it, with the pool as it is"
SEE = "See: what runs with such mixtures happened to score, whatever made people choose them"


def do(
    model: Model,
    shares: Mapping[str, float] | Mixture,
    state: Any = None,
    keep: str = "proportional",
    baseline: Any = None,
    scale: Any = None,
    level: float = LEVEL,
) -> Effect:
    """What setting some shares would change, against the baseline mixture at the same state.

    Parameters
    ----------
    shares: domain -> new share; naming every domain sets the whole mixture.
    state: Series or dict; None is the pool's own state, else the average over the runs' states.
    keep: where the difference comes from: ``"proportional"`` (the other domains keep their ratios) or
        ``"from=<domain>"``.
    baseline: the mixture to start from and to compare with; None is the model's baseline, else Equal.

    Returns
    -------
    Effect in the outcome's units; its interval is that of the difference.

    Raises
    ------
    MixtureError: an unknown domain, shares that are no mixture, or a donor without enough.
    """
    named = {str(name): float(shares[name]) for name in shares}
    rest = len(named.keys() - (model.problem.held or {}).keys()) < len(model.problem.moving_domains)
    text = ", ".join(f"{name}={share:.4g}" for name, share in named.items())
    label = f"do({text}{', ' + _others(keep) if rest else ''})"
    return _difference(model, move(model, named, keep, baseline), label, state, scale, level)


def shift(
    model: Model,
    domain: str,
    delta: float,
    state: Any = None,
    keep: str = "proportional",
    baseline: Any = None,
    scale: Any = None,
    level: float = LEVEL,
) -> Effect:
    """What raising one domain's share by ``delta`` (lowering it, if negative) would change."""
    start = _start(model, baseline)
    share = _shifted(model, start, domain, delta)
    label = f"shift({domain} by {delta:+.4g}, {_others(keep)})"
    return _difference(model, move(model, {domain: share}, keep, start), label, state, scale, level)


def swap(
    model: Model,
    a: str,
    b: str,
    delta: float,
    state: Any = None,
    baseline: Any = None,
    scale: Any = None,
    level: float = LEVEL,
) -> Effect:
    """What giving ``a`` a share of ``delta`` more, taken from ``b`` alone, would change."""
    start = _start(model, baseline)
    share = _shifted(model, start, a, delta)
    if b not in model.domains:
        raise unknown_domain(b, model.domains)
    if a == b:
        raise MixtureError(
            f"a swap needs two domains, got {a!r} twice; name another one to take the share from."
        )
    label = f"swap({a} {delta:+.4g}, from {b})"
    return _difference(model, move(model, {a: share}, f"from={b}", start), label, state, scale, level)


def dose_response(
    model: Model,
    domain: str,
    state: Any = None,
    keep: str = "proportional",
    grid: Sequence[float] | None = None,
    baseline: Any = None,
    scale: Any = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Expected outcome as one domain's share goes from 0 to the largest share that the runs have seen.

    Returns
    -------
    DataFrame with columns share, mean, se, lower, upper, one row per share, in the outcome's units.
    """
    import pandas as pd

    if domain not in model.domains:
        raise unknown_domain(domain, model.domains)
    start = _start(model, baseline)
    k = model.domains.index(domain)
    if domain in (model.problem.held or {}):
        move(model, {domain: 1.0}, keep, start)  # says why there is nothing to draw
    if grid is None:
        top = float(model.problem.T[:, k].max())
        if keep != "proportional":  # the donor cannot give more than it has
            donor = keep.removeprefix("from=").removeprefix("from:")
            top = min(top, start[donor] + start[domain]) if donor in start.domains else top
        grid = np.linspace(0, top, 21).tolist()
    rows = np.vstack([move(model, {domain: float(share)}, keep, start)[0] for share in grid])
    table = model.predict(pd.DataFrame(rows, columns=list(model.domains)), state, scale, level)
    table.insert(0, "share", np.asarray(grid, dtype=float))
    return table.reset_index(drop=True)


def seen_surface(model: Model) -> QuickSurface:
    """The regression of the outcome on the mixture alone, from the runs of a model."""
    (surface,) = quick_surfaces([model.problem.without_state()])
    surface.baseline = model.baseline
    return surface


def see(
    model: Model, shares: Mapping[str, float], keep: str = "proportional", baseline: Mixture | None = None
) -> Effect:
    """How much better or worse than runs near the baseline did runs near a mixture score? Not what the mixture causes.

    Parameters
    ----------
    model: a fitted model; only its runs are used. shares, keep, baseline: as for :func:`causalmix_nb.do`.
    """
    after, before = move(model, shares, keep, baseline)
    return seen_surface(model).contrast(after, before, label="seen with such mixtures")


def why_they_differ(model: Model) -> str:
    """One sentence on the difference between seeing and doing, for these runs."""
    if not model.problem.state_names:
        return "No state is recorded with these runs, so nothing sets the two apart but the model."
    assignment: Any = model.diagnostics.get("assignment")
    assigned = f" Here {assignment}." if assignment else ""
    return f"They differ where the state of the pool moved both the choice of the mixture and the outcome.{assigned}"


def counterfactual(
    model: Model,
    runs: Runs,
    run_key: str,
    shares: Mapping[str, float] | Mixture,
    keep: str = "proportional",
    level: float = LEVEL,
) -> Effect:
    """What a run that was made would have scored under another mixture, minus what it scored.

    Abduction: the run's residual, in units of the noise of such runs, is taken to be particular to it (its seed, its documents) and
    to stay what it was. Action: its shares are set. Prediction: the fitted surface at its own state and scale, plus the residual in
    units of the noise there. Where the noise does not depend on the mixture the difference is that of the surface. The interval knows
    how uncertain the surface is, and how uncertain the noise; that a residual keeps its place among others (rank invariance) no run can show.

    Raises
    ------
    RunsError: no such run, or one that has no outcome.
    """
    T, state, scale, observed = _factual(model, runs, run_key)
    start = Mixture(dict(zip(model.domains, T.tolist())))
    named = {str(name): float(shares[name]) for name in shares}
    after, before = move(model, named, keep, start)
    if np.allclose(after, before, rtol=0, atol=1e-12):
        after = before
    effect = _keeping_its_residual(
        model, model.contrast(after, before, state, scale, level), (after, before), state, scale, observed
    )
    text = ", ".join(f"{name}={share:.4g}" for name, share in named.items())
    label = f"run {run_key} with {text}: {observed + effect.estimate:.4g} instead of {observed:.4g}"
    return replace(effect, label=label)


def _keeping_its_residual(
    model: Model,
    effect: Effect,
    moved: tuple[np.ndarray, np.ndarray],
    state: Any,
    scale: Any,
    observed: float,
) -> Effect:
    """The effect on a run whose residual (observed - m) grows by the ratio of the noise after to that before."""
    T = np.vstack(moved)
    mean, cov = model.joint(T, state, scale)
    noise = model.noise_at(mean, T, model.scales(scale, 2))
    ratio = float(noise[0] / noise[1]) if noise[1] > 0 else 1.0
    if not math.isfinite(ratio) or abs(ratio - 1) < 1e-9:
        return effect
    residual, w = observed - float(mean[1]), np.array([1.0, -ratio])
    uncertain = 0.0
    if model.problem.noise is not None:
        # a log standard deviation is known to 1 / √(2 n) per standard deviation of what it depends on
        apart = model.problem.noise.apart(T, model.scales(scale, 2))
        uncertain = residual * ratio * apart / math.sqrt(2 * model.problem.n_runs)
    se = math.sqrt(max(float(w @ cov @ w), 0.0) + uncertain**2)
    estimate, q = effect.estimate + (ratio - 1) * residual, model.quantile(effect.level)
    return replace(effect, estimate=estimate, se=se, lower=estimate - q * se, upper=estimate + q * se)


def _key_of(keys: list[str], given: str) -> str:
    """The key that is meant: the key itself, the only one that begins so, or the number of its row.

    >>> _key_of(["a1f0", "a1b2", "c3d4"], "c3"), _key_of(["a1f0", "a1b2"], "1")
    ('c3d4', 'a1b2')
    """
    if given in keys:
        return given
    numbered = any(
        key.isdecimal() for key in keys
    )  # runs that are themselves named by numbers are not counted by others
    if given.isdecimal() and not numbered and len(given) < 8 and int(given) < len(keys):
        return keys[int(given)]
    begun = [key for key in keys if given and key.startswith(given)]
    if len(begun) == 1:
        return begun[0]
    if not keys:
        raise RunsError(f"no run {given!r}, since there are no runs; %causalmix run makes some.")
    many = f" {len(begun)} runs begin so; give more of the key." if begun else ""
    by_row = "" if numbered else f", or 0 to {len(keys) - 1} by row"
    raise RunsError(
        f"no run {given!r}.{many or did_you_mean(given, keys)} Runs are {keys[0]} to {keys[-1]}{by_row}."
    )


def _factual(model: Model, runs: Runs, run_key: str) -> tuple[np.ndarray, Any, Any, float]:
    """Mixture (K,), state, scale and outcome of a recorded run."""
    frame = runs.frame.set_index("key")
    run_key = _key_of([str(key) for key in frame.index], str(run_key))
    row = frame.loc[run_key]
    observed = float(row[f"outcome.{model.outcome}"])
    if not np.isfinite(observed):
        raise RunsError(
            f"run {run_key!r} has no {model.outcome}, so there is nothing to compare with; choose a finished run."
        )
    T = np.array([[float(row.get(f"mixture.{name}", 0.0)) for name in model.domains]])
    state = {name: float(row[f"state.{name}"]) for name in model.problem.state_names} or None
    scale = {name: float(row[f"scale.{name}"]) for name in model.problem.scale_names} or None
    return as_shares(T, model.domains, tolerance=5e-3)[0], state, scale, observed


def _difference(
    model: Model, moved: tuple[np.ndarray, np.ndarray], label: str, state: Any, scale: Any, level: float
) -> Effect:
    """The effect of a mixture against the one before it, labelled with what it leans on besides runs."""
    after, before = moved
    # a mixture far from all runs, or a scale beyond theirs
    far = _unsupported(model, after, state, scale)
    caveats = "; ".join(filter(None, (far, model.beyond(scale))))
    return model.contrast(after, before, state, scale, level, f"{label} [{caveats}]" if caveats else label)


def _unsupported(model: Model, T: np.ndarray, state: Any, scale: Any) -> str:
    """Whether a mixture (1, K) was tried at all, and whether at states like those that are asked about, in words."""
    problem = model.problem
    if TrustRegion(problem.T).distance(T)[0] > 1 + 1e-9:
        return "outside what the runs cover: an extrapolation"
    if not problem.state_names:
        return ""
    states, weights = model.averaged(state)
    W = np.hstack([states, np.repeat(model.scales(scale, 1), len(states), axis=0)])
    away = Support(problem).distance(np.repeat(T, len(states), axis=0), W)
    part = float(weights @ (away > ELSEWHERE))
    if len(states) == 1 and part:
        return "no run at a state like this one has tried such a mixture: an extrapolation from other states"
    if part > 0.5:
        return f"tried only at other states than {part:.0%} of those averaged over: an extrapolation"
    return ""


def _start(model: Model, baseline: Any) -> Mixture:
    return Mixture(dict(zip(model.domains, model.start(baseline)[0].tolist())))


def _shifted(model: Model, start: Mixture, domain: str, delta: float) -> float:
    if domain not in model.domains:
        raise unknown_domain(domain, model.domains)
    share = start[domain] + delta
    if not -1e-9 <= share <= 1 + 1e-9:
        raise MixtureError(
            f"{domain!r} has share {start[domain]:.4g}; changed by {delta:+.4g} it would be {share:.4g}, outside 0 to 1."
        )
    return min(max(share, 0.0), 1.0)


def _others(keep: str) -> str:
    if keep == "proportional":
        return "others proportional"
    return keep.replace("from=", "from ").replace("from:", "from ")


QUESTIONS.register(
    Question(
        "counterfactual",
        "What a recorded run would have scored under other shares.",
        "%causalmix counterfactual 12 math=0.4",
        lambda study, run, shares, keep: study.counterfactual(run, shares, keep=keep),
        (
            Argument(
                "run",
                "key of a recorded run, its first letters, or the number of its row, counted from 0",
                words="?",
                metavar="RUN",
            ),
            Argument(
                "shares",
                "its shares, had they been",
                "pairs",
                words="*",
                metavar="DOMAIN=SHARE",
                completes="pair",
                needed="a run and a share",
            ),
            KEEP,
        ),
    )
)
