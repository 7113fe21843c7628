"""What a description tells of a domain's worth, and what not: a mixed model with its variances averaged out.

The worth of a unit of log share of domain k is ``w_k(x) = beta . phi_k(x) + u_k``: features phi_k, the same for every
domain, and an own part ``u_k ~ N(0, tau^2)``. With few domains tau is hardly known, so it is averaged over a grid, as
is the scale s of ``beta ~ N(0, s^2)``: both half-Cauchy, weighted by marginal likelihood. Given both, sigma integrates
out and the posterior is Student's t. Where descriptions tell all (tau = 0), few domains cannot show it, and intervals
are wider than need be.

Reference: A. Gelman, *Prior distributions for variance parameters in hierarchical models*, Bayesian Analysis, 2006.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_TAU, _S = np.geomspace(0.01, 20, 28), np.geomspace(0.1, 10, 8)  # grids, in units of the typical worth
_FREE = 100.0  # the same for a coefficient that is left free


@dataclass(frozen=True, slots=True)
class Posterior:
    """Mixture over G pairs (tau, s) of Student's t with df degrees of freedom.

    weight, tau (G,); mean of the coefficients (G, m) and their scale matrix cov (G, m, m).
    """

    weight: np.ndarray
    tau: np.ndarray
    mean: np.ndarray
    cov: np.ndarray
    df: float

    def of(self, contrast: np.ndarray, unseen: float, level: float) -> tuple[float, float, float, float]:
        """Mean, sd and interval of contrast . coefficients + unseen * (the own part of an unseen domain)."""
        from scipy.special import stdtr, stdtrit

        at = self.mean @ contrast
        scale = np.sqrt(np.einsum("i,gij,j->g", contrast, self.cov, contrast) + (unseen * self.tau) ** 2)
        mean = float(self.weight @ at)
        variance = float(self.weight @ (scale**2 * self.df / (self.df - 2) + (at - mean) ** 2))
        tail = (1 - level) / 2
        reach = scale * stdtrit(self.df, 1 - tail)
        low, high = np.full(2, (at - reach).min()), np.full(2, (at + reach).max())
        for _ in range(40):  # both ends by bisection: a quantile of a mixture lies between those of its parts
            middle = (low + high) / 2
            below = stdtr(self.df, (middle[:, None] - at) / scale) @ self.weight < [tail, 1 - tail]
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return mean, math.sqrt(variance), float(middle[0]), float(middle[1])


class MixedModel:
    """The mixed model of residuals: outcome y (n,), centred log shares Z (n, K), rows of Z summing to 0.

    phi (n, K, p): features by run; here (K, p): at the state asked about. Standardised over runs and domains inside.
    """

    def __init__(self, y: np.ndarray, Z: np.ndarray, phi: np.ndarray, here: np.ndarray, level: float) -> None:
        self.center, self.spread = phi.mean((0, 1)), phi.std((0, 1))
        self.y, self.Z, self.level = y - y.mean(), Z, level
        self.phi = phi = (phi - self.center) / self.spread
        self.here = (here - self.center) / self.spread
        described = np.einsum("nk,nkp->np", Z, phi)
        D = np.hstack([described, Z])
        D = D - D.mean(0)
        beta, _, rank, _ = np.linalg.lstsq(D, y, rcond=1e-8)
        noise = float(((y - D @ beta) ** 2).sum()) / max(1, len(y) - 1 - rank)
        self.noise = max(math.sqrt(noise), 1e-3 * float(y.std()))
        self.typical = float(y.std() / np.sqrt((Z**2).sum(1).mean()))  # worth, if it made all of the spread
        self.all = self._fit(described, Z, np.zeros((len(y), 0)))
        self.own_sd = float(self.all.weight @ self.all.tau)

    def _fit(self, described: np.ndarray, own: np.ndarray, free: np.ndarray) -> Posterior:
        """Posterior of [beta (p,), u (m,), free coefficients (q,)], from their columns in the design."""
        D = np.hstack([described, own, free])
        D = D - D.mean(0)
        gram, b, yy = D.T @ D, D.T @ self.y, float(self.y @ self.y)
        tau, s = (grid.ravel() for grid in np.meshgrid(_TAU, _S))
        unit = self.typical / self.noise
        counts = [described.shape[1], own.shape[1], free.shape[1]]
        scales = unit * np.repeat(np.stack([s, tau, np.full(len(s), _FREE)], 1), counts, axis=1)  # (G, m)
        M = np.eye(len(b)) + scales[:, :, None] * gram * scales[:, None, :]
        V = scales[:, :, None] * np.linalg.inv(M) * scales[:, None, :]
        mean = V @ b
        df = len(self.y) - 1.0 - free.shape[1]
        left = np.maximum(yy - mean @ b, 1e-9 * yy)
        log = -0.5 * (np.linalg.slogdet(M)[1] + df * np.log(left))
        log += np.log(tau * s / (1 + tau**2) / (1 + s**2))  # half-Cauchy, on grids even in the logarithm
        weight, sigma2 = np.exp(log - log.max()), left / df
        sd = unit * tau * np.sqrt(sigma2)  # scales are relative to sigma, so that it integrates out
        return Posterior(weight / weight.sum(), sd, mean, V * sigma2[:, None, None], df)

    def price(self, new: np.ndarray) -> tuple[float, float, float, float]:
        """Mean, sd and interval: a new domain with features (p,), against the average of those that are there."""
        K = self.Z.shape[1]
        ahead = (new - self.center) / self.spread - self.here.mean(0)
        return self.all.of(np.append(ahead, np.full(K, -1 / K)), 1.0, self.level)

    def outside(self, new: np.ndarray) -> np.ndarray:
        """Standard deviations by which features (p,) lie outside all of those of the runs, shape (p,)."""
        at = (new - self.center) / self.spread
        return np.maximum(np.maximum(self.phi.min((0, 1)) - at, at - self.phi.max((0, 1))), 0)

    def weights(self) -> list[tuple[float, float, float, float]]:
        """Mean, sd and interval of the worth of a standard deviation of each feature."""
        p, K = self.here.shape[1], self.Z.shape[1]
        return [self.all.of(row, 0.0, self.level) for row in np.eye(p, p + K)]

    def left_out(self, j: int) -> tuple[float, float, float, float, float, float, bool]:
        """A domain's own worth against the average (mean, interval), what the others predict, whether both agree.

        Its worth and how that goes with its features are left free, so that its share tells nothing of beta and tau.
        """
        K, p = self.here.shape
        others = np.arange(K) != j
        slopes = self.phi[:, j] - self.here[j]
        slopes = slopes[:, np.ptp(slopes, axis=0) > 1e-9]
        free = self.Z[:, [j]] * np.hstack([np.ones((len(self.y), 1)), slopes])
        columns = np.einsum("nk,nkp->np", self.Z[:, others], self.phi[:, others])
        fit = self._fit(columns, self.Z[:, others], free)
        shrink, average = 1 - 1 / K, np.append(self.here[others].mean(0), np.full(K - 1, 1 / (K - 1)))
        rest = np.zeros(free.shape[1])
        itself = np.append(np.zeros(p + K - 1), np.append(1.0, rest[1:]))
        described = np.concatenate([self.here[j], np.zeros(K - 1), rest])
        average = np.append(average, rest)
        own = fit.of(shrink * (itself - average), 0.0, self.level)
        predicted = fit.of(shrink * (described - average), shrink, self.level)
        apart = fit.of(shrink * (itself - described), shrink, self.level)
        return own[0], *own[2:], predicted[0], *predicted[2:], apart[2] <= 0 <= apart[3]
