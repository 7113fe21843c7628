"""What a mixture must respect – floors, caps, fixed shares, data that run out – and the nearest mixtures that do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from causalmix_nb.errors import MixtureError, did_you_mean
from causalmix_nb.mixture import unknown_domain


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a mixture must respect.

    floor, cap: least and greatest share, of every domain (a number) or of some (domain -> share).
    fixed: domain -> share.
    ratios: "code/math" -> 2.0: the share of code is twice that of math.
    available: domain -> tokens that there are; with ``token_budget`` (tokens to train on) and ``max_epochs``
        (how often a token may be seen) this caps the shares at ``max_epochs · available / token_budget``.
    """

    floor: float | Mapping[str, float] | None = None
    cap: float | Mapping[str, float] | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    ratios: Mapping[str, float] = field(default_factory=dict)
    available: Mapping[str, float] = field(default_factory=dict)
    token_budget: float | None = None
    max_epochs: float | None = None

    def bounds(self, domains: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest share of each domain, each shape (K,).

        Raises
        ------
        MixtureError: an unknown domain, a share outside [0, 1], or constraints that no mixture satisfies.
        """
        lower, upper = (
            _per_domain(self.floor, domains, 0.0, "floor"),
            _per_domain(self.cap, domains, 1.0, "cap"),
        )
        if self.max_epochs is not None and not self.max_epochs > 0:
            raise MixtureError(
                f"max_epochs is {self.max_epochs:g}; it counts how often a token may be seen, so give a number above 0."
            )
        if self.max_epochs is not None and self.available and self.token_budget:
            available = _named(self.available, domains, "available", None)
            for name, tokens in available.items():
                k = domains.index(name)
                upper[k] = min(upper[k], self.max_epochs * tokens / self.token_budget)
        elif self.max_epochs is not None:
            raise MixtureError(
                "max_epochs needs to know the data: give available (domain -> tokens) and token_budget too."
            )
        for name, share in _named(self.fixed, domains, "fixed", 1.0).items():
            k = domains.index(name)
            if not lower[k] - 1e-12 <= share <= upper[k] + 1e-12:
                raise MixtureError(
                    f"{name!r} is fixed at {share:.4g}, outside its bounds {lower[k]:.4g} to {upper[k]:.4g}; change one of them."
                )
            lower[k] = upper[k] = share
        for k, name in enumerate(domains):
            if lower[k] > upper[k]:
                raise MixtureError(
                    f"{name!r} must have at least {lower[k]:.4g} but at most {upper[k]:.4g}; lower the floor or raise the cap "
                    "(with max_epochs: more data, more epochs or a smaller budget)."
                )
        if lower.sum() > 1 + 1e-9:
            raise MixtureError(f"floors and fixed shares sum to {lower.sum():.4g}, more than 1; lower them.")
        if upper.sum() < 1 - 1e-9:
            raise MixtureError(
                f"caps allow shares that sum to only {upper.sum():.4g}; raise them"
                f"{', allow more epochs or a smaller token_budget' if self.max_epochs is not None else ''}."
            )
        return lower, upper

    def feasible(self, domains: tuple[str, ...]) -> Feasible:
        """The mixtures that respect all of it.

        Raises
        ------
        MixtureError: as :meth:`bounds`, ratios that name no pair of domains, contradict each other or cannot be met.
        """
        lower, upper = self.bounds(domains)
        parts = _tied(self.ratios, domains)
        with np.errstate(divide="ignore", invalid="ignore"):
            low = np.where(parts > 0, lower / parts, 0.0).max(1)
            high = np.minimum(np.where(parts > 0, upper / parts, np.inf).min(1), 1.0)
        if (low > high + 1e-9).any() or low.sum() > 1 + 1e-9 or high.sum() < 1 - 1e-9:
            raise MixtureError(
                "no mixture has these ratios within the floors, caps and fixed shares; drop one of them."
            )
        return Feasible(np.minimum(low, high), high, parts)


@dataclass(frozen=True, slots=True)
class Feasible:
    """Mixtures within bounds, with some domains tied to each other.

    lower, upper (G,): bounds of groups of tied domains; parts (G, K): what of a group's share each domain gets.
    """

    lower: np.ndarray
    upper: np.ndarray
    parts: np.ndarray

    @property
    def free(self) -> bool:
        """Whether every mixture is feasible."""
        return (
            len(self.parts) == self.parts.shape[1] and not self.lower.any() and bool((self.upper >= 1).all())
        )

    def nearest(self, T: np.ndarray) -> np.ndarray:
        """The nearest-in-ratio feasible mixtures, shape (n, K)."""
        if self.free:
            return T
        return project(T @ (self.parts > 0).T, self.lower, self.upper) @ self.parts

    def settled(self, T: np.ndarray) -> np.ndarray:
        """Mixtures that are feasible up to rounding, made exactly so, shape (n, K)."""
        return settle(T @ (self.parts > 0).T, self.lower, self.upper) @ self.parts

    def contains(self, t: np.ndarray) -> bool:
        """Whether one mixture (K,) is feasible, up to rounding."""
        return bool(np.abs(self.settled(t[None])[0] - t).max() <= 1e-9)


def _tied(ratios: Mapping[str, float], domains: tuple[str, ...]) -> np.ndarray:
    """Groups of domains that ratios tie together, each with its parts summing to 1, shape (G, K)."""
    weight, group = np.ones(len(domains)), np.arange(len(domains))
    for pair, ratio in ratios.items():
        names = _pair(pair, domains)
        if not (np.isfinite(ratio) and ratio > 0):
            raise MixtureError(
                f"the ratio {pair} is {ratio:.4g}; it must be positive. Fix a share at 0 instead."
            )
        a, b = (domains.index(name) for name in names)
        factor = ratio * weight[b] / weight[a]
        if group[a] == group[b]:
            if abs(factor - 1) > 1e-9:
                raise MixtureError(
                    f"the ratio {pair} = {ratio:.4g} contradicts the others; drop one of them."
                )
            continue
        joining = group == group[a]
        weight[joining] *= factor
        group[joining] = group[b]
    members = [group == g for g in sorted(set(group.tolist()))]
    return np.array([np.where(rows, weight, 0) / weight[rows].sum() for rows in members])


def _pair(pair: str, domains: tuple[str, ...]) -> tuple[str, str]:
    """The two domains of "a/b"; a name may itself hold a slash."""
    for i in (i for i, c in enumerate(pair) if c in "/:"):
        if pair[:i] in domains and pair[i + 1 :] in domains and pair[:i] != pair[i + 1 :]:
            return pair[:i], pair[i + 1 :]
    raise MixtureError(
        f"{pair!r} names no two domains; write a ratio as code/math. Domains are {', '.join(domains[:12])}."
    )


def as_constraints(given: Constraints | Mapping[str, Any] | None) -> Constraints:
    if given is None or isinstance(given, Constraints):
        return given or Constraints()
    fields = Constraints.__dataclass_fields__
    for name in given:
        if name not in fields:
            raise MixtureError(
                f"unknown constraint {name!r}.{did_you_mean(name, fields)} Constraints are {', '.join(fields)}."
            )
    return Constraints(**given)


def project(T: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Nearest-in-ratio mixtures within bounds: ``clip(λ t, lower, upper)`` with λ such that rows sum to 1, shape (n, K)."""
    if not lower.any() and (upper >= 1).all():
        return T
    T = np.maximum(T, 1e-12)
    low, high = np.zeros((len(T), 1)), 1 / T.min(axis=1, keepdims=True)
    low, high = np.full_like(high, -30.0), np.log(high)
    for _ in range(70):
        middle = (low + high) / 2
        over = np.clip(np.exp(middle) * T, lower, upper).sum(axis=1, keepdims=True) > 1
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    out = np.clip(np.exp((low + high) / 2) * T, lower, upper)
    return settle(out, lower, upper)


def settle(T: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Spread what rounding left over the domains that have room, so that rows sum to 1 and no bound is crossed."""
    T = np.clip(T, lower, upper)
    for _ in range(3):
        rest = 1 - T.sum(axis=1, keepdims=True)
        room = np.where(rest > 0, upper - T, T - lower)
        total = room.sum(axis=1, keepdims=True)
        T = np.clip(T + rest * room / np.where(total > 0, total, 1), lower, upper)
    return T


def _named(
    shares: Mapping[str, float], domains: tuple[str, ...], what: str, most: float | None
) -> dict[str, float]:
    for name, share in shares.items():
        if name not in domains:
            raise unknown_domain(name, domains)
        if not (np.isfinite(share) and share >= 0 and (most is None or share <= most)):
            raise MixtureError(
                f"{what} of {name!r} is {share:.4g}; it must be {'between 0 and 1' if most else 'at least 0'}."
            )
    return {str(name): float(share) for name, share in shares.items()}


def _per_domain(
    given: float | Mapping[str, float] | None, domains: tuple[str, ...], otherwise: float, what: str
) -> np.ndarray:
    shares: Mapping[str, float]
    if given is None:
        shares = {}
    elif isinstance(given, Mapping):
        shares = given
    else:
        shares = dict.fromkeys(domains, float(given))
    named = _named(shares, domains, what, 1.0)
    return np.array([named.get(name, otherwise) for name in domains])
