"""The gradient of the marginal likelihood with respect to the hyper-parameters, in closed form.

What the likelihood wants of the covariance matrix G is known at once: dF/dG = (G^-1 - a a') / 2, with a = G^-1 y. From there
every part of the kernel is pulled back by hand: an amplitude by one sum over the matrix, the relevances of all columns of a
smooth part by one product with the columns, since the sum of P_ij (x_i - x_j)² needs the products P x and P 1 only. That is a
dozen passes over the matrix, where automatic differentiation took some hundred.

Reference: Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, section 5.4.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from causalmix_nb.methods.gaussian.kernel import CONSTANT, FACTOR, Kernel, Points, rational
from causalmix_nb.methods.gaussian.posterior import inverse, lower, noise_variance, solve

KEPT = 16_000_000  # numbers of the smooth parts of own states that are kept rather than worked out twice

Pull = Callable[[np.ndarray], np.ndarray]


def marginal(
    kernel: Kernel, theta: np.ndarray, data: Points, y: np.ndarray, each: np.ndarray
) -> tuple[float, np.ndarray]:
    """Minus the log marginal likelihood of y (n,), up to a constant, and its gradient (p,).

    each (n,): the noise of the runs in units of a typical one's variance.
    Where the covariance is no covariance by rounding, the value is infinite.
    """
    gram, pull = gram_and_pull(kernel, theta, data)
    gram[np.diag_indices_from(gram)] += noise_variance(kernel, theta) * each
    try:
        chol = lower(gram)
    except np.linalg.LinAlgError:
        return math.inf, np.zeros(len(theta))
    wanted, alpha = inverse(chol), solve(chol, y)
    wanted -= np.outer(alpha, alpha)
    wanted /= 2
    found = pull(wanted)
    noise = kernel.layout()["noise"]
    found[noise] = float(np.diagonal(wanted) @ each) * math.exp(theta[noise][0])
    return float(y @ alpha / 2 + np.log(np.diagonal(chol)).sum()), found


def gram_and_pull(kernel: Kernel, theta: np.ndarray, data: Points) -> tuple[np.ndarray, Pull]:
    """Covariance (n, n) of the runs without noise, and what pulls dF/dG (n, n), symmetric, back to dF/dtheta (p,)."""
    at, where = kernel.named(theta), kernel.layout()
    R, U = data
    D, C = kernel.n_context, kernel.n_covariates
    inverse_T = at["ard_T"] / at["length_T"]
    linear, smooth = kernel.shares(at, R, R)
    on_linear: np.ndarray | float = at["linear_T"][0]
    on_smooth: np.ndarray | float = at["smooth_T"][0]
    gram = np.full((len(R), len(R)), CONSTANT)
    if D:
        relevance = kernel.relevance(at)
        scaled = U * relevance
        straight, curved = scaled @ scaled.T, rational(scaled, scaled)
        gram += at["linear_U"] * straight
        gram += at["smooth_U"] * curved
        on_linear = on_linear + at["linear_TU"] * straight + at["mixed_TU"] * curved
        on_smooth = on_smooth + at["smooth_TU"] * curved
    gram += linear * on_linear
    gram += smooth * on_smooth
    own = _Own(kernel, at, data) if C else None
    if own is not None:
        own.add(gram)
        E = kernel.effective(at, R, U) * (at["ard_T"] / at["length_E"])
        alike = rational(E, E)
        gram += at["smooth_E"] * alike

    def pull(W: np.ndarray) -> np.ndarray:
        out = np.zeros(len(theta))

        def amplitude(name: str, derivative: float) -> None:
            out[where[name]] = derivative * at[name]

        W_linear, W_smooth = W * linear, W * smooth
        amplitude("linear_T", W_linear.sum())
        amplitude("smooth_T", W_smooth.sum())
        out[where["weight_T"]] = at["weight_T"] * _inside(W * on_linear, R)
        lengths = 2 * inverse_T**2 * _apart(W_smooth * smooth * (-0.5 * on_smooth), R)
        out[where["ard_T"]] = lengths
        out[where["length_T"]] = -lengths.sum()
        if D:
            amplitude("linear_U", np.vdot(W, straight))
            amplitude("smooth_U", np.vdot(W, curved))
            amplitude("linear_TU", np.vdot(W_linear, straight))
            amplitude("mixed_TU", np.vdot(W_linear, curved))
            amplitude("smooth_TU", np.vdot(W_smooth, curved))
            of_linear = at["linear_U"] * W + at["linear_TU"] * W_linear
            of_smooth = at["smooth_U"] * W + at["mixed_TU"] * W_linear + at["smooth_TU"] * W_smooth
            of_smooth *= curved
            of_smooth *= curved
            found = 2 * relevance**2 * (_inside(of_linear, U) - 0.5 * _apart(of_smooth, U))
            out[where["ard_U"]] = found
            if C:
                tied = np.array(kernel.covariate)
                out[where["tie"]] = np.bincount(tied[tied >= 0], found[tied >= 0], C)
        if own is not None:
            own.pull(W, out)
            of_alike = W * alike
            amplitude("smooth_E", of_alike.sum())
            of_alike *= alike
            of_alike *= -0.5 * at["smooth_E"]
            pushed = 4 * E * (of_alike.sum(1)[:, None] * E - of_alike @ E)  # by the logarithm of E, (n, K)
            out[where["ard_T"]] += pushed.sum(0)
            out[where["length_E"]] = -pushed.sum()
            worth = kernel.worth_of(at)
            pushed *= 0.5 * (1 - np.tanh(U @ worth / FACTOR) ** 2)
            raised = U.T @ pushed  # (D, K)
            for j, k in enumerate(kernel.domain):
                if k >= 0:
                    out[where["worth"].start + kernel.covariate[j]] += raised[j, k]
        return out

    return gram, pull


class _Own:
    """What the domains' own states add: for every domain its root share times a function of its own state."""

    def __init__(self, kernel: Kernel, at: dict[str, np.ndarray], data: Points) -> None:
        self._kernel, self._at, (R, U) = kernel, at, data
        self._parts = []  # per domain: root shares (n,), own columns (n, c), their covariates
        for k, columns in kernel.owned():
            self._parts.append((R[:, k], U[:, columns], [kernel.covariate[j] for j in columns]))
        self._kept: list[np.ndarray] | None = [] if len(self._parts) * len(R) ** 2 <= KEPT else None

    def _smooth(self, i: int) -> np.ndarray:
        """Root shares times root shares times the smooth similarity of the i-th domain's states, (n, n) of each: similarity alone."""
        if self._kept and i < len(self._kept):
            return self._kept[i]
        _, columns, kinds = self._parts[i]
        scaled = columns * self._at["own_ard"][kinds]
        found = rational(scaled, scaled)
        if self._kept is not None:
            self._kept.append(found)
        return found

    def _features(self) -> np.ndarray:
        """Root share times own column, over domains side by side: (n, D')."""
        return np.hstack([root[:, None] * columns for root, columns, _ in self._parts])

    def add(self, gram: np.ndarray) -> None:
        scaled = self._features() * self._at["own_ard"][self._kinds()]
        gram += self._at["own_linear"] * (scaled @ scaled.T)
        for i, (root, _, _) in enumerate(self._parts):
            gram += (root[:, None] * (self._at["own_smooth"] * root)) * self._smooth(i)

    def _kinds(self) -> list[int]:
        return [kind for _, _, kinds in self._parts for kind in kinds]

    def pull(self, W: np.ndarray, out: np.ndarray) -> None:
        at, where, kinds = self._at, self._kernel.layout(), self._kinds()
        inside = at["own_ard"][kinds] ** 2 * _inside(W, self._features())
        linear, smooth = at["own_linear"][0], at["own_smooth"][0]
        out[where["own_linear"]] = linear * inside.sum()
        found = np.bincount(kinds, 2 * linear * inside, self._kernel.n_covariates)
        total = 0.0
        for i, (root, columns, own_kinds) in enumerate(self._parts):
            similar = self._smooth(i)
            P = W * similar
            P *= root
            P *= root[:, None]
            total += P.sum()
            P *= similar
            along = -smooth * at["own_ard"][own_kinds] ** 2 * _apart(P, columns)
            found += np.bincount(own_kinds, along, self._kernel.n_covariates)
        out[where["own_smooth"]] = smooth * total
        out[where["own_ard"]] = found


def _inside(W: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Sum over i, j of W_ij x_ik x_jk for every column k of X (n, k)."""
    return ((W @ X) * X).sum(0)


def _apart(P: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Sum over i, j of P_ij (x_ik - x_jk)² for every column k of X (n, k); P (n, n) symmetric."""
    return 2 * (P.sum(1) @ (X * X) - _inside(P, X))
