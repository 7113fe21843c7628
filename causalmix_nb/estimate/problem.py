"""The arrays of one estimation problem: what of a table of runs a method may learn from, and which covariates the graph allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import FitError, MixtureError, did_you_mean, listed
from causalmix_nb.estimate.noise import Noise
from causalmix_nb.estimate.warp import TRUSTED
from causalmix_nb.mixture import Mixture, as_shares

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

NEVER = 1e-6  # a share below which no run has used a domain
MAX_STATES = 64  # rows that stand for all states of the runs in an average over them
STILL = 0.04  # a share that moves by less than this part of itself, and of what moved most, was held: the rest is rounding


@dataclass(frozen=True, slots=True)
class Problem:
    """The arrays of one estimation problem; rows are finished runs with a finite outcome.

    T (n, K) shares; X (n, d) state; S (n, s) log10 of scale; y (n,) outcome in its own units;
    groups (n,) int: runs with equal mixture and state (repeated seeds, or one run at several scales) share a number and must not be
    split between folds; clusters (n,) int: runs with equal state share a number; notes: what was left out and why.
    held: domain -> its share, of the domains that no run has moved: 0 where no run has used it. Nothing can be learnt of them, so every
    mixture asked about has them at that share; found from T where it is not given, and kept for parts of the problem.
    recorded: those of ``state_names`` that are no state of a pool but outcomes that the graph asks to adjust for; an answer at a state that
    is given without them is an average over their values in the runs.
    rows (n,) int: where each run stands in the table of runs. weights (n,): how far each run is trusted, from 1 down to 0, and
    noise: how noisy runs are where; None until :func:`causalmix_nb.estimate.weights.weighed` has judged them.
    """

    outcome: str
    minimize: bool
    domains: tuple[str, ...]
    state_names: tuple[str, ...]
    scale_names: tuple[str, ...]
    T: np.ndarray
    X: np.ndarray
    S: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    clusters: np.ndarray
    adjustment: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    held: Mapping[str, float] | None = None
    rows: np.ndarray | None = None
    weights: np.ndarray | None = None
    noise: Noise | None = None

    def __post_init__(self) -> None:
        if self.held is None:
            object.__setattr__(self, "held", held_shares(self.T, self.domains))

    @property
    def moving(self) -> np.ndarray:
        """(K,) bool: the domains whose share differs between runs, so that something can be learnt of them."""
        return np.array([name not in (self.held or {}) for name in self.domains], dtype=bool)

    @property
    def moving_domains(self) -> tuple[str, ...]:
        return tuple(name for name in self.domains if name not in (self.held or {}))

    @property
    def equal(self) -> Mixture:
        """Equal shares of the moving domains; the held ones as they are in every run."""
        return Mixture(dict(zip(self.domains, self.hold(np.ones((1, len(self.domains))))[0].tolist())))

    def hold(self, T: np.ndarray) -> np.ndarray:
        """Mixtures (n, K) with the held domains at their shares and the others rescaled to what is left, shape (n, K)."""
        if not self.held:
            return T / T.sum(1, keepdims=True)
        moving, out = self.moving, np.empty_like(T, dtype=float)
        out[:, ~moving] = [self.held[name] for name in self.domains if name in self.held]
        part = T[:, moving]
        total = part.sum(1, keepdims=True)
        part = np.where(total > 0, part / np.where(total > 0, total, 1), 1 / part.shape[1])
        out[:, moving] = part * (1 - sum(self.held.values()))
        return out

    def answerable(self, T: np.ndarray) -> np.ndarray:
        """The same mixtures (n, K), if the held domains are at their shares.

        Raises
        ------
        MixtureError: a mixture with another share of a domain that no run has moved, of which nothing is known.
        """
        for k, name in enumerate(self.domains):
            if name not in (self.held or {}):
                continue
            share = self.held[name]  # type: ignore[index]
            off = np.abs(T[:, k] - share)
            if (off > max(NEVER, STILL * share) + 1e-12).any():
                wrong, put = float(T[int(off.argmax()), k]), "vary" if share else "use"
                raise MixtureError(
                    f"{_held_words(name, share)}, so what a share of {wrong:.4g} does is not identified: any figure would be an extrapolation. "
                    f"Leave it at {share:.4g}, or make runs that {put} it."
                )
        return T

    @property
    def held_sentences(self) -> tuple[str, ...]:
        """What is held, in words."""
        return tuple(
            f"{_held_words(name, share)}: it is left out of the comparison and stays at {share:.3g}, since nothing can be learnt of it"
            for name, share in (self.held or {}).items()
        )

    @property
    def n_runs(self) -> int:
        return len(self.y)

    @property
    def repeats(self) -> np.ndarray:
        """(n,) int: runs with equal mixture, state and scale share a number; they differ by chance alone."""
        return np.unique(np.column_stack([self.groups, self.S.round(9)]), axis=0, return_inverse=True)[
            1
        ].ravel()

    @property
    def rungs(self) -> np.ndarray:
        """(n,) int: runs of equal scale share a number."""
        return (
            np.unique(self.S.round(9), axis=0, return_inverse=True)[1].ravel()
            if self.S.shape[1]
            else np.zeros(self.n_runs, int)
        )

    @property
    def trust(self) -> np.ndarray:
        """(n,) how far each run is trusted; 1 for all where they were not judged."""
        return np.ones(self.n_runs) if self.weights is None else self.weights

    @property
    def trusted(self) -> np.ndarray:
        """(n,) bool: the runs that fit the others."""
        return self.trust >= TRUSTED

    @property
    def precision(self) -> np.ndarray:
        """(n,) weight of each run in a fit: how far it is trusted, by how quiet such runs are; 1 for a typical one."""
        return self.trust if self.noise is None else self.trust / self.noise.relative(self.T, self.S) ** 2

    @property
    def evenly(self) -> bool:
        """Whether all runs count alike."""
        return self.noise is None and (self.weights is None or bool((self.weights == 1).all()))

    def subset(self, rows: np.ndarray) -> Problem:
        """The same problem on some of its rows (indices or a mask)."""
        parts = ("T", "X", "S", "y", "groups", "clusters", "rows", "weights")
        known = {name: getattr(self, name) for name in parts}
        return replace(self, **{name: part[rows] for name, part in known.items() if part is not None})

    def without_state(self) -> Problem:
        """The same problem as a method sees it that ignores the pool's state."""
        return replace(self, X=self.X[:, :0], state_names=(), recorded=())

    @classmethod
    def from_runs(
        cls,
        runs: Runs,
        outcome: str | Mapping[str, float] | None = None,
        graph: CausalGraph | None = None,
        use_state: bool = True,
    ) -> Problem:
        """Select the usable runs, and the state columns that the graph allows to condition on.

        outcome: a name, or outcome -> weight for a weighted sum (of outcomes where higher is better, losses count
        negatively; a sum of losses alone stays a loss).

        Raises
        ------
        FitError: unknown outcome; no finished run; an outcome that is constant or never finite; fewer than two domains.
        GraphError: the graph lacks the mixture or the outcome, does not identify the effect, or needs a
            covariate that the runs do not record.
        """
        frame = runs.frame
        outcome, minimize, y_all, node = _outcome(runs, outcome, graph)
        chosen = _covariates(runs, node, graph, use_state)
        usable = np.isfinite(y_all) & (frame["status"] == "done").to_numpy()
        notes: list[str] = []
        if not usable.any():
            raise FitError(
                f"outcome {outcome!r} has no finite value in {len(frame)} runs; check the runs that failed."
            )
        if not usable.all():
            notes.append(
                f"{int((~usable).sum())} of {len(frame)} runs left out: failed, or {outcome} is not finite"
            )
        for name in chosen.recorded:
            known = np.isfinite(frame[f"outcome.{name}"].to_numpy(dtype=float))
            if lacking := int((usable & ~known).sum()):
                notes.append(f"{lacking} runs left out: they do not record {name}, which is adjusted for")
            usable &= known
        if not usable.any():
            raise FitError(
                f"no run has both {outcome} and {', '.join(chosen.recorded)}, which the graph asks to adjust for; record it, "
                "or change the graph."
            )
        frame, y = frame[usable].reset_index(drop=True), y_all[usable]
        if np.ptp(y) <= 1e-12 * max(1.0, float(np.abs(y).max())):
            raise FitError(
                f"outcome {outcome!r} is {y[0]:.6g} in every run, so nothing can be learnt from it; choose another outcome."
            )
        domains = runs.domains
        if len(domains) < 2:
            raise FitError(f"runs have {len(domains)} domain; a mixture needs at least 2.")
        T = as_shares(
            frame[[f"mixture.{name}" for name in domains]].to_numpy(dtype=float), domains, tolerance=5e-3
        )
        notes += chosen.notes
        held = held_shares(T, domains)
        X, state_names = _columns(frame, "state", chosen.state, notes)
        R, recorded = _columns(frame, "outcome", chosen.recorded, notes)
        S, scale_names = _columns(frame, "scale", chosen.scale, notes)
        if (S <= 0).any():
            raise FitError(
                "a scale must be positive (parameters, tokens); check the scale columns of the runs."
            )
        S = np.log10(S)
        groups = np.unique(np.hstack([T, X]).round(9), axis=0, return_inverse=True)[1].ravel()
        if scales := _scales_sentence(scale_names, S):
            notes.append(scales)
        clusters = (
            np.unique(X.round(9), axis=0, return_inverse=True)[1].ravel() if X.shape[1] else np.arange(len(y))
        )
        found = cls(
            outcome, minimize, domains, state_names + recorded, scale_names,
            T, np.hstack([X, R]), S, y, groups, clusters, chosen.adjustment, recorded, (), held, np.flatnonzero(usable),
        )  # fmt: skip
        return replace(found, notes=(*found.held_sentences, *notes))


def standing(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of X (n, d), at most MAX_STATES that stand for all, and the share of the rows that each stands for.

    >>> rows, share = standing(np.array([[0.0], [1.0], [0.0], [0.0]]))
    >>> rows.ravel().tolist(), share.tolist()
    ([0.0, 1.0], [0.75, 0.25])
    """
    distinct, counts = np.unique(X.round(9), axis=0, return_counts=True)
    if len(distinct) > MAX_STATES:
        some = (np.arange(MAX_STATES) + 0.5) / MAX_STATES * counts.sum()
        chosen, counts = np.unique(np.searchsorted(np.cumsum(counts), some, side="right"), return_counts=True)
        distinct = distinct[chosen]
    return distinct, counts / counts.sum()


def held_shares(T: np.ndarray, domains: Sequence[str]) -> dict[str, float]:
    """Domain -> share, of those that no run has moved; none where all runs have one mixture, of which nothing can be learnt anyway.

    Shares that were rounded and rescaled differ a little though they were held: what moves by less than a twenty-fifth of itself, and
    of what the domain that moved most did, is taken as held at its mean.

    >>> held_shares(np.array([[0.5, 0.4, 0.1, 0.0], [0.3, 0.6, 0.1, 0.0]]), ["math", "code", "talk", "law"])
    {'talk': 0.1, 'law': 0.0}
    """
    if not T.size:
        return {}
    spread, mean = np.ptp(T, axis=0), T.mean(0)
    never = T.max(0) <= NEVER
    still = (spread <= STILL * mean) & (spread <= STILL * spread.max())
    if spread.max() <= 1e-9 or (~(never | still)).sum() < 2:  # one share cannot move alone
        still = np.zeros_like(never)
    exact = np.where(spread <= 1e-9, T[0], mean)
    return {
        name: 0.0 if never[k] else round(float(exact[k]), 12)
        for k, name in enumerate(domains)
        if never[k] or still[k]
    }


def _held_words(name: str, share: float) -> str:
    return f"{name} has a share of {share:.3g} in every run" if share else f"no run has used {name}"


def _scales_sentence(names: Sequence[str], S: np.ndarray) -> str:
    """That runs of several scales are fitted together, or nothing."""
    if not names:
        return ""
    counts = np.unique(S.round(9), axis=0, return_counts=True)[1]
    largest = ", ".join(f"{10**value:,.0f} {name}" for name, value in zip(names, S[int(S.sum(1).argmax())]))
    return (
        f"runs of {len(counts)} scales are fitted together, with the scale as a covariate; predictions are for the largest, {largest}, "
        f"where {int((S.round(9) == S[int(S.sum(1).argmax())].round(9)).all(1).sum())} runs are"
    )


def _outcome(
    runs: Runs, outcome: str | Mapping[str, float] | None, graph: CausalGraph | None
) -> tuple[str, bool, np.ndarray, str]:
    """Name of the outcome, whether lower is better, its values (n,) and its node in the graph."""
    if not isinstance(outcome, Mapping):
        name = _resolve_outcome(runs, outcome)
        node = name if graph is not None and name in graph.nodes else "score"
        return name, runs.minimize.get(name, False), runs.frame[f"outcome.{name}"].to_numpy(dtype=float), node
    weights = {_resolve_outcome(runs, name): float(weight) for name, weight in outcome.items()}
    if (
        not weights
        or not all(math.isfinite(w) and w >= 0 for w in weights.values())
        or not any(weights.values())
    ):
        raise FitError(
            "weights of outcomes must be numbers of at least 0, not all 0; write {'math': 0.5, 'code': 0.5}."
        )
    losses = {name: runs.minimize.get(name, False) for name in weights}
    mixed = len(set(losses.values())) > 1
    sign = {name: -1.0 if mixed and losses[name] else 1.0 for name in weights}
    terms = [f"{'-' if sign[name] < 0 else '+'} {weight:g} {name}" for name, weight in weights.items()]
    y = sum(
        sign[name] * weight * runs.frame[f"outcome.{name}"].to_numpy(dtype=float)
        for name, weight in weights.items()
    )
    node = next((name for name in weights if graph is not None and name in graph.nodes), "score")
    return " ".join(terms).removeprefix("+ "), not mixed and all(losses.values()), np.asarray(y), node


def _resolve_outcome(runs: Runs, outcome: str | None) -> str:
    names = runs.outcome_names
    if not names:
        raise FitError("the runs record no outcome; run some proxies first.")
    if outcome is None or (outcome == "score" and "score" not in names):
        return names[0]
    if outcome not in names:
        raise FitError(
            f"unknown outcome {outcome!r}.{did_you_mean(outcome, names)} Outcomes are {listed(names)}."
        )
    return outcome


@dataclass(frozen=True, slots=True)
class _Covariates:
    """Columns of the runs that a model conditions on, by the part of the table that has them, and why others are left out."""

    state: tuple[str, ...]
    scale: tuple[str, ...]
    recorded: tuple[str, ...] = ()  # outcomes that the graph asks to adjust for
    adjustment: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _covariates(runs: Runs, node: str, graph: CausalGraph | None, use_state: bool) -> _Covariates:
    """What the graph allows to condition on, and what it asks for; without a graph, all states and scales."""
    if not use_state:
        return _Covariates((), runs.scale_names, notes=("state is switched off",))
    if graph is None:
        return _Covariates(runs.state_names, runs.scale_names)
    treatment: Any = "mixture" if "mixture" in graph.nodes else [d for d in runs.domains if d in graph.nodes]
    treatment = treatment or "mixture"
    columns = {name: graph.columns_of(name, runs) for name in graph.nodes}
    adjustment = graph.adjustment_set(treatment, node, within=[name for name in columns if columns[name]])
    for name in sorted(adjustment):
        if not columns[name]:
            raise FitError(
                f"the graph asks to adjust for {name!r}, which the runs do not record; record it as a state column, "
                f"or change the graph. State columns are {', '.join(runs.state_names) or 'none'}."
            )
    covariates = {
        name: [column for column in found if column.split(".")[0] in ("state", "scale")]
        for name, found in columns.items()
    }
    candidates = [name for name in covariates if covariates[name]]
    allowed = graph.allowed_controls(treatment, node, candidates, include=adjustment)
    bad = graph.bad_controls(treatment, node)
    refused = {column: name for name in candidates if name not in allowed for column in covariates[name]}
    named = set().union(*covariates.values())
    notes = [
        f"{column.partition('.')[2]} is not conditioned on: {name} {bad.get(name, 'would open a path together with other controls')}"
        for column, name in sorted(refused.items())
    ]
    if silent := [name for name in runs.state_names if f"state.{name}" not in named]:
        notes.append(f"not in the graph, so not used: {', '.join(silent)}")
    recorded = [
        column.removeprefix("outcome.")
        for name in sorted(adjustment)
        for column in columns[name]
        if column.startswith("outcome.")
    ]
    if recorded:
        notes.append(f"recorded of the runs and adjusted for: {', '.join(recorded)}")
    state = [name for name in runs.state_names if f"state.{name}" in named and f"state.{name}" not in refused]
    scale = [name for name in runs.scale_names if f"scale.{name}" not in refused]
    return _Covariates(tuple(state), tuple(scale), tuple(recorded), tuple(sorted(adjustment)), tuple(notes))


def _columns(
    frame: pd.DataFrame, part: str, names: Sequence[str], notes: list[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Columns of one part that vary; those that never do carry nothing and are noted."""
    values = frame.reindex(columns=[f"{part}.{name}" for name in names]).to_numpy(dtype=float)
    for name, column in zip(names, values.T):
        if not np.isfinite(column).all():
            raise FitError(
                f"{part} {name!r} is missing in {int((~np.isfinite(column)).sum())} runs; fill it in or drop the column."
            )
    varies = np.array(
        [np.ptp(column) > 1e-12 * max(1.0, float(np.abs(column).max())) for column in values.T], dtype=bool
    )
    constant = [name for name, v in zip(names, varies) if not v]
    if constant and part == "state":
        notes.append(f"the same in every run, so not used: {', '.join(constant)}")
    kept = tuple(name for name, v in zip(names, varies) if v)
    return values[:, varies] if len(names) else np.zeros((len(frame), 0)), kept
