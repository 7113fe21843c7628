"""The covariance of the Gaussian process: what a mixture, a state and their interplay have in common.

A :class:`Kernel` is a sum of parts, simple ones first; the marginal likelihood decides which of them the runs carry.
Its gradient is in :mod:`causalmix_nb.methods.gaussian.gradient`.

Reference: Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from causalmix_nb.estimate.problem import Problem

CONSTANT = 10.0  # prior variance of the level of a standardised outcome: flat for practical purposes
FACTOR = 2.0  # a share counts for at most e^FACTOR times as much as at the average state, and at least for e^-FACTOR
SIGNED = ("worth",)  # parameters that may be negative; of all others the logarithm is learnt

Points = tuple[np.ndarray, np.ndarray]  # square roots of the shares (n, K), standardised context (n, D)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Covariance of two points (r, u): r the square roots of K shares, u the D standardised state and scale columns.

    A sum of parts, each with its own amplitude:

    * a flat level;
    * of the mixture: linear and smooth in r;
    * of the context: linear and smooth in u;
    * of both: the products linear x linear, linear x smooth and smooth x smooth – the state changes what a domain is worth;
    * where state columns are named ``domain.covariate``: for every domain, its own share times a linear and a smooth
      function of its own state, the same function for all domains up to a factor drawn once per domain; and a smooth function of
      the effective shares, each share times what its own state makes it worth. A corrupted half of a domain is then much like
      half the domain, which the runs know about; without this part it is a state like no other, about which they say nothing.

    Smooth parts are rational quadratic, ``1 / (1 + d²/2)``, with one relevance (inverse length scale) per column.
    ``covariate``: for each of the D columns the number of its covariate, or -1; ``domain``: likewise its domain. Columns of one
    covariate share part of their relevance, so that four covariates of six domains are not 24 unrelated numbers.
    """

    n_domains: int
    n_context: int
    covariate: tuple[int, ...] = ()
    domain: tuple[int, ...] = ()

    @property
    def n_covariates(self) -> int:
        return max(self.covariate, default=-1) + 1

    def layout(self) -> dict[str, slice]:
        """Name of each block of the parameter vector -> where it is."""
        K, D, C = self.n_domains, self.n_context, self.n_covariates
        sizes = {"noise": 1, "linear_T": 1, "smooth_T": 1, "length_T": 1, "weight_T": K, "ard_T": K}
        if D:
            sizes |= {"linear_U": 1, "smooth_U": 1, "linear_TU": 1, "mixed_TU": 1, "smooth_TU": 1, "ard_U": D}
        if C:
            sizes |= {"tie": C, "own_linear": 1, "own_smooth": 1, "own_ard": C}
            sizes |= {"smooth_E": 1, "length_E": 1, "worth": C}
        ends = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends)}

    def prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the normal prior on every parameter's logarithm (on itself where it may be negative).

        A column's relevance is expected to be small, the smaller the more columns there are: a column that does not
        help stays switched off. The widths were settled by errors and coverage in known-truth worlds
        (tests/benchmarks/surface_calibration.py) and by ranks of RegMix's runs: with relevances of shares half as wide the worlds are
        better served, and a few dozen runs of 17 domains, of which few matter, much worse.
        """
        layout = self.layout()
        mean = np.zeros(max(where.stop for where in layout.values()))
        sd = np.full(len(mean), 1.5)
        for name, (centre, width) in {
            "noise": (math.log(0.05), 3.0),
            "weight_T": (0.0, 0.5),
            "ard_T": (0.0, 1.0),
            "ard_U": (-math.log(2 * math.sqrt(max(self.n_context, 1))), 0.7 if self.n_covariates else 1.0),
            "tie": (0.0, 1.0),
            "own_ard": (-math.log(2 * math.sqrt(max(self.n_covariates, 1))), 1.0),
            "worth": (0.0, 0.7),
        }.items():
            if name in layout:
                mean[layout[name]], sd[layout[name]] = centre, width
        return mean, sd

    def shares(
        self, at: dict[str, np.ndarray], R: np.ndarray, Q: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Linear and smooth similarity of mixtures R (m, K) and Q (n, K), each (m, n), without amplitudes."""
        inverse = at["ard_T"] / at["length_T"]
        return (R * at["weight_T"]) @ Q.T, rational(R * inverse, Q * inverse)

    def context(
        self, at: dict[str, np.ndarray], U: np.ndarray, V: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What contexts U (m, D) and V (n, D) add, and the amplitudes of the linear and the smooth similarity; (m, n) or (1, 1)."""
        if not self.n_context:
            return np.full((1, 1), CONSTANT), at["linear_T"][None], at["smooth_T"][None]
        relevance = self.relevance(at)
        linear, smooth = (U * relevance**2) @ V.T, rational(U * relevance, V * relevance)
        return (
            CONSTANT + at["linear_U"] * linear + at["smooth_U"] * smooth,
            at["linear_T"] + at["linear_TU"] * linear + at["mixed_TU"] * smooth,
            at["smooth_T"] + at["smooth_TU"] * smooth,
        )

    def relevance(self, at: dict[str, np.ndarray]) -> np.ndarray:
        """Inverse length scale of every column of the context, (D,)."""
        if not self.n_covariates:
            return at["ard_U"]
        return at["ard_U"] * np.append(at["tie"], 1.0)[list(self.covariate)]  # -1 picks the 1 at the end

    def owned(self) -> list[tuple[int, list[int]]]:
        """Every domain with a state of its own, and the columns of that."""
        return [
            (k, [j for j, domain in enumerate(self.domain) if domain == k])
            for k in sorted(set(self.domain) - {-1})
        ]

    def own(self, at: dict[str, np.ndarray], U: np.ndarray, V: np.ndarray) -> dict[int, np.ndarray]:
        """For each domain with a state of its own: the covariance (m, n) of what that state makes a unit of its root share worth."""
        parts = {}
        for k, columns in self.owned():
            relevance = at["own_ard"][[self.covariate[j] for j in columns]]
            A, B = U[:, columns] * relevance, V[:, columns] * relevance
            parts[k] = at["own_linear"] * (A @ B.T) + at["own_smooth"] * rational(A, B)
        return parts

    def gram(
        self, theta: np.ndarray, A: tuple[np.ndarray, np.ndarray], B: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Prior covariance of the expected outcome (standardised) between points A = (R, U) and B, shape (m, n)."""
        at = self.named(theta)
        gram = self.blend(at, A[0], B[0], self.context(at, A[1], B[1]), self.own(at, A[1], B[1]))
        if self.n_covariates:
            here = self.effective(at, *A)
            gram = gram + self.alike(at, here, here if A is B else self.effective(at, *B))
        return gram

    def blend(
        self,
        at: dict[str, np.ndarray],
        R: np.ndarray,
        Q: np.ndarray,
        context: tuple[np.ndarray, ...],
        own: dict[int, np.ndarray],
    ) -> np.ndarray:
        """Covariance (m, n) of mixtures R and Q, with the factors of the context given, broadcastable to (m, n); without effective shares."""
        linear, smooth = self.shares(at, R, Q)
        gram = context[0] + linear * context[1] + smooth * context[2]
        for k, worth in own.items():
            gram = gram + R[:, k, None] * Q[:, k] * worth
        return gram

    def effective(self, at: dict[str, np.ndarray], R: np.ndarray, U: np.ndarray) -> np.ndarray:
        """Square roots of the effective shares (m, K) of mixtures R (m, K) in contexts U (m, D) or (1, D)."""
        return R * np.exp(FACTOR / 2 * np.tanh(U @ self.worth_of(at) / FACTOR))

    def worth_of(self, at: dict[str, np.ndarray]) -> np.ndarray:
        """By how much a column of the context raises the logarithm of a domain's effective share, shape (D, K)."""
        columns = [j for j, k in enumerate(self.domain) if k >= 0]
        worth = np.zeros((self.n_context, self.n_domains))
        worth[columns, [self.domain[j] for j in columns]] = at["worth"][[self.covariate[j] for j in columns]]
        return worth

    def alike(self, at: dict[str, np.ndarray], E: np.ndarray, F: np.ndarray) -> np.ndarray:
        """Covariance (m, n) of what the effective shares add, from their square roots E (m, K) and F (n, K)."""
        inverse = at["ard_T"] / at["length_E"]
        return at["smooth_E"] * rational(E * inverse, F * inverse)

    def named(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """The parameters themselves, block by block, from their logarithms."""
        values = np.exp(theta)
        return {name: (theta if name in SIGNED else values)[where] for name, where in self.layout().items()}


def rational(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """1 / (1 + d²/2) for the distances d of rows A (m, D) and B (n, D), shape (m, n)."""
    out = A @ (-B.T)  # half of the squared distance, and 1, in place
    out += ((A * A).sum(1) / 2)[:, None]
    out += (B * B).sum(1) / 2
    np.maximum(out, 0.0, out=out)
    out += 1.0
    return np.reciprocal(out, out=out)


def kernel_of(problem: Problem) -> Kernel:
    """The kernel for the columns of a problem; ``domain.covariate`` columns are recognised by their names."""
    known = {name: k for k, name in enumerate(problem.domains)}
    split = [name.rpartition(".") for name in problem.state_names]
    kinds: dict[str, int] = {}
    domain = [known.get(owner, -1) for owner, _, _ in split]
    covariate = [
        kinds.setdefault(kind, len(kinds)) if k >= 0 else -1 for k, (_, _, kind) in zip(domain, split)
    ]
    scales = [-1] * len(problem.scale_names)
    return Kernel(len(known), len(split) + len(scales), (*covariate, *scales), (*domain, *scales))
