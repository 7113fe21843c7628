"""The posterior of a Gaussian process at given hyper-parameters, exact or through inducing points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from causalmix_nb.methods.kernel import Kernel, Points

if TYPE_CHECKING:
    from torch import Tensor

JITTER = 1e-6  # smallest noise variance of a standardised outcome
CHUNK = 4096  # rows of a kernel matrix that are held at once


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the runs say at given hyper-parameters: the mean is ``k(·, points) @ weights``.

    theta: logarithms of the hyper-parameters. points: the runs, or inducing points, m of them. weights (m,).
    chol (m, m): Cholesky factor of the points' own covariance, with noise where the points are the runs.
    inner (m, m): where points stand for the runs, Cholesky factor of what the runs say about them; else None.
    """

    theta: Tensor
    points: Points
    weights: Tensor
    chol: Tensor
    inner: Tensor | None = None

    def covariance(self, cross: Tensor, prior: Tensor) -> Tensor:
        """Posterior covariance (n, n) from the covariances with the points (n, m) and between the n places (n, n)."""
        import torch

        half = torch.linalg.solve_triangular(self.chol, cross.T, upper=False)
        cov = prior - half.T @ half
        if self.inner is not None:
            known = torch.linalg.solve_triangular(self.inner, half, upper=False)
            cov = cov + known.T @ known
        return (cov + cov.T) / 2


def noise_variance(kernel: Kernel, theta: Tensor) -> Tensor:
    return theta[kernel.layout()["noise"]].exp() + JITTER


def with_noise(kernel: Kernel, theta: Tensor, data: Points, each: Tensor) -> Tensor:
    """Covariance of runs whose variances are ``each`` (n,) times that of a typical run."""
    import torch

    return kernel.gram(theta, data, data) + torch.diag(noise_variance(kernel, theta) * each)


def exact(kernel: Kernel, theta: Tensor, data: Points, y: Tensor, each: Tensor) -> Posterior:
    import torch

    chol = torch.linalg.cholesky(with_noise(kernel, theta, data, each))
    return Posterior(theta, data, torch.cholesky_solve(y[:, None], chol)[:, 0], chol)


def through(
    kernel: Kernel, theta: Tensor, data: Points, y: Tensor, each: Tensor, points: Points
) -> Posterior:
    """Posterior through inducing points, with the runs visited in chunks so that memory does not grow with them."""
    import torch

    sd = (noise_variance(kernel, theta) * each).sqrt()
    m = len(points[0])
    eye = torch.eye(m, dtype=torch.float64, device=y.device)
    chol = torch.linalg.cholesky(kernel.gram(theta, points, points) + 1e-6 * eye)
    precision, moment = eye.clone(), torch.zeros(m, dtype=torch.float64, device=y.device)
    for i in range(0, len(y), CHUNK):
        rows = slice(i, i + CHUNK)
        cross = kernel.gram(theta, points, (data[0][rows], data[1][rows]))
        half = torch.linalg.solve_triangular(chol, cross, upper=False) / sd[rows]
        precision += half @ half.T
        moment += half @ (y[rows] / sd[rows])
    inner = torch.linalg.cholesky(precision)
    weights = torch.cholesky_solve(moment[:, None], inner)
    weights = torch.linalg.solve_triangular(chol.T, weights, upper=True)[:, 0]
    return Posterior(theta, points, weights, chol, inner)
