"""The posterior of a Gaussian process at given hyper-parameters, exact or through inducing points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from causalmix_nb.methods.gaussian.kernel import Kernel, Points

JITTER = 1e-6  # smallest noise variance of a standardised outcome
CHUNK = 4096  # rows of a kernel matrix that are held at once


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the runs say at given hyper-parameters: the mean is ``k(·, points) @ weights``.

    theta: logarithms of the hyper-parameters. points: the runs, or inducing points, m of them. weights (m,).
    chol (m, m): Cholesky factor of the points' own covariance, with noise where the points are the runs.
    inner (m, m): where points stand for the runs, Cholesky factor of what the runs say about them; else None.
    """

    theta: np.ndarray
    points: Points
    weights: np.ndarray
    chol: np.ndarray
    inner: np.ndarray | None = None

    def covariance(self, cross: np.ndarray, prior: np.ndarray) -> np.ndarray:
        """Posterior covariance (n, n) from the covariances with the points (n, m) and between the n places (n, n)."""
        half = forward(self.chol, cross.T)
        cov = prior - half.T @ half
        if self.inner is not None:
            known = forward(self.inner, half)
            cov += known.T @ known
        return (cov + cov.T) / 2


def noise_variance(kernel: Kernel, theta: np.ndarray) -> float:
    return float(np.exp(theta[kernel.layout()["noise"]])[0]) + JITTER


def with_noise(kernel: Kernel, theta: np.ndarray, data: Points, each: np.ndarray) -> np.ndarray:
    """Covariance of runs whose variances are ``each`` (n,) times that of a typical run."""
    gram = kernel.gram(theta, data, data)
    gram[np.diag_indices_from(gram)] += noise_variance(kernel, theta) * each
    return gram


def exact(kernel: Kernel, theta: np.ndarray, data: Points, y: np.ndarray, each: np.ndarray) -> Posterior:
    chol = lower(with_noise(kernel, theta, data, each))
    return Posterior(theta, data, solve(chol, y), chol)


def through(
    kernel: Kernel, theta: np.ndarray, data: Points, y: np.ndarray, each: np.ndarray, points: Points
) -> Posterior:
    """Posterior through inducing points, with the runs visited in chunks so that memory does not grow with them."""
    sd = np.sqrt(noise_variance(kernel, theta) * each)
    m = len(points[0])
    chol = lower(kernel.gram(theta, points, points) + 1e-6 * np.eye(m))
    precision, moment = np.eye(m), np.zeros(m)
    for i in range(0, len(y), CHUNK):
        rows = slice(i, i + CHUNK)
        cross = kernel.gram(theta, points, (data[0][rows], data[1][rows]))
        half = forward(chol, cross) / sd[rows]
        precision += half @ half.T
        moment += half @ (y[rows] / sd[rows])
    inner = lower(precision)
    return Posterior(theta, points, forward(chol, solve(inner, moment), transposed=True), chol, inner)


# -- triangles -------------------------------------------------------------------------------------------


def lower(matrix: np.ndarray) -> np.ndarray:
    """Lower Cholesky factor. Raises LinAlgError where the matrix is not positive definite."""
    from scipy.linalg.lapack import dpotrf

    factor, failed = dpotrf(matrix, lower=1, clean=1)
    if failed:
        raise np.linalg.LinAlgError("not positive definite")
    return factor


def forward(factor: np.ndarray, b: np.ndarray, transposed: bool = False) -> np.ndarray:
    """The lower factor, or its transpose, solved for b (m,) or (m, k)."""
    from scipy.linalg.lapack import dtrtrs

    return dtrtrs(factor, b, lower=1, trans=int(transposed))[0]


def solve(factor: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The matrix whose lower Cholesky factor is given, solved for b (m,) or (m, k)."""
    from scipy.linalg.lapack import dpotrs

    return dpotrs(factor, b, lower=1)[0]


def inverse(factor: np.ndarray) -> np.ndarray:
    """Inverse of the matrix whose lower Cholesky factor is given."""
    from scipy.linalg.lapack import dpotri

    half = dpotri(factor, lower=1)[0]
    whole = half + half.T
    whole[np.diag_indices_from(whole)] /= 2
    return whole
