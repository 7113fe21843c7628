"""Are two things independent given others, whatever the shape of their dependence? A test by distances and permutations.

What the condition explains of either side is taken away by a smooth regression: linear, and a ridge on Gaussian kernels
around some of the runs, its penalty by generalised cross-validation. The distance correlation of what is left is 0 only
if the two are independent. Its p-value comes from permuting the residuals of one side and regressing them again, so that
what the regression uses up of the degrees of freedom is in the reference as it is in the statistic. The regression
takes away means: a condition that moves the spread of both sides may pass for dependence.

References: G. Székely, M. Rizzo, *Partial distance correlation with methods for dissimilarities*, 2014 (the unbiased
    distance covariance); D. Freedman, D. Lane, *A nonstochastic interpretation of reported significance levels*, 1983
    (permuting residuals); J. Besag, P. Clifford, *Sequential Monte Carlo p-values*, 1991 (stopping early).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

_LANDMARKS = 120  # kernels of the smooth regression
_ENOUGH = 20  # permutations at least as extreme as the data after which no more are drawn

Residual = Callable[[np.ndarray], np.ndarray]


def distance_test(
    A: np.ndarray, B: np.ndarray, given: np.ndarray, draws: int, rng: np.random.Generator
) -> dict[str, float]:
    """Distance correlation of what a smooth regression on ``given`` leaves of A (n, p) and B (n, q).

    ``estimate`` is the root of the unbiased squared distance correlation (0 where that is negative), ``statistic``
    that square times n. There is no interval: permutations know the statistic under independence only.
    """
    from scipy.spatial.distance import pdist

    n = len(A)
    residual = _smoother(given, rng)
    (a, _), (b, again) = residual(_left(A, given)), residual(_left(B, given))
    a, b = a / a.std(0), b / b.std(0)
    centred = _u_centred(pdist(a))
    distances = pdist(b)
    pairs = n * (n - 3) / 2
    covariance = float(centred @ distances) / pairs
    size = math.sqrt(float(centred @ centred) * float(_u_centred(distances) @ distances)) / pairs
    beyond = drawn = 0
    while drawn < draws and beyond < _ENOUGH:
        permuted = again(b[rng.permutation(n)])
        drawn += 1
        beyond += float(centred @ pdist(permuted / permuted.std(0))) / pairs >= covariance
    squared = covariance / size
    return {
        "estimate": math.sqrt(max(squared, 0.0)),
        "statistic": n * squared,
        "p": beyond / drawn if beyond == _ENOUGH else (beyond + 1) / (drawn + 1),
    }


def _u_centred(distances: np.ndarray) -> np.ndarray:
    """Distances of pairs (n (n - 1) / 2,) less the means of their rows and columns, so that every row sums to 0."""
    from scipy.spatial.distance import squareform

    D = squareform(distances)
    n = len(D)
    row = D.sum(0) / (n - 2)
    i, j = np.triu_indices(n, 1)
    return distances - row[i] - row[j] + D.sum() / ((n - 1) * (n - 2))


def _smoother(
    given: np.ndarray, rng: np.random.Generator
) -> Callable[[np.ndarray], tuple[np.ndarray, Callable]]:
    """What a smooth regression on ``given`` (n, r) leaves of columns, and the same regression for other values of them."""
    from scipy.spatial.distance import cdist, pdist

    n = len(given)
    linear = np.hstack([np.full((n, 1), n**-0.5), _orthonormal(given)])
    U, sizes = np.zeros((n, 0)), np.zeros(0)
    if given.shape[1]:
        x = given / given.std(0)
        marks = x[rng.permutation(n)[: min(_LANDMARKS, n // 2)]]
        width = np.median(pdist(marks)) if len(marks) > 1 else 1.0
        K = np.exp(-0.5 * (cdist(x, marks) / (width or 1.0)) ** 2)
        U, sizes, _ = np.linalg.svd(K - linear @ (linear.T @ K), full_matrices=False)
        U, sizes = U[:, sizes > 1e-6 * sizes[0]], sizes[sizes > 1e-6 * sizes[0]]
    penalties = np.append(np.geomspace(1e-4, 1e4, 25) * (sizes[:1] ** 2 if len(sizes) else [1.0]), np.inf)
    shrink = sizes**2 / (sizes**2 + penalties[:, None])  # (penalties, features)
    freedom = n - linear.shape[1] - shrink.sum(1)

    def residual(M: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        M = M - linear @ (linear.T @ M)
        inside = (U.T @ M) ** 2
        rest = (M**2).sum(0) + ((1 - shrink) ** 2 - 1) @ inside  # (penalties, columns)
        best = np.where(freedom[:, None] > 0, rest / np.maximum(freedom[:, None], 1e-9) ** 2, np.inf).argmin(
            0
        )
        kept = shrink[best].T

        def again(values: np.ndarray) -> np.ndarray:
            values = values - linear @ (linear.T @ values)
            return values - U @ (kept * (U.T @ values))

        return again(M), again

    return residual


def _left(M: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The columns of ``M`` (unit length) of which the linear regression on ``given`` leaves something."""
    basis = _orthonormal(given)
    return M[:, np.linalg.norm(M - basis @ (basis.T @ M), axis=0) > 1e-6]


def _orthonormal(M: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span those of ``M`` (centred, of unit length), shape (n, rank)."""
    left, sizes, _ = np.linalg.svd(M, full_matrices=False)
    return left[:, sizes > 1e-7]
