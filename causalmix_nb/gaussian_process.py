"""A Gaussian process on (state, square root of the shares, scale): the surface to optimise with.

The square root maps the simplex onto a sphere, where Euclidean distance is (up to a factor) the Hellinger
distance of mixtures: steps near share 0 count for more, and share 0 itself needs no replacement. The
kernel is a sum of parts, simple ones first, and the marginal likelihood decides which of them the runs carry.

Reference: Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, chapters 2 and 5.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from causalmix_nb.model import Model, Problem

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT = 10.0  # prior variance of the level of a standardised outcome: flat for practical purposes
JITTER = 1e-6  # smallest noise variance of a standardised outcome
SUBSET = 192  # runs on which the starts of the hyper-parameters are compared
CHUNK = 4096  # rows of a kernel matrix that are held at once

_LOCK = threading.RLock()
Function = TypeVar("Function", bound=Callable[..., Any])


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread, and put its number of threads back.

    Matrices of a few hundred rows gain nothing from a second thread, lose up to tenfold where cores are shared, and are
    the same bit by bit only if sums are taken in the same order.
    """
    import torch

    with _LOCK:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _on_one_thread(function: Function) -> Function:
    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:
        with _one_thread():
            return function(*args, **options)

    return wrapped  # type: ignore[return-value]


def pure_error(problem: Problem) -> tuple[float, int]:
    """Standard deviation of one run around the mean of its repeats, and its degrees of freedom (nan, 0 without repeats)."""
    _, group = np.unique(problem.groups, return_inverse=True)
    size = np.bincount(group)
    within = problem.y - (np.bincount(group, problem.y) / size)[group]
    df = len(problem.y) - len(size)
    return (math.sqrt(float(within @ within) / df), df) if df else (math.nan, 0)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Covariance of two points (r, u): r the square roots of K shares, u the D standardised state and scale columns.

    A sum of parts, each with its own amplitude:

    * a flat level;
    * of the mixture: linear and smooth in r;
    * of the context: linear and smooth in u;
    * of both: the two products linear x linear and smooth x smooth – the state changes what a domain is worth;
    * where state columns are named ``domain.covariate``: for every domain, its own share times a linear and a smooth
      function of its own state, the same function for all domains up to a factor drawn once per domain.

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
            sizes |= {"linear_U": 1, "smooth_U": 1, "linear_TU": 1, "smooth_TU": 1, "ard_U": D}
        if C:
            sizes |= {"tie": C, "own_linear": 1, "own_smooth": 1, "own_ard": C}
        ends = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends)}

    def prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the normal prior on the logarithm of every parameter.

        A column's relevance is expected to be small, the smaller the more columns there are: a column that does not
        help stays switched off.
        """
        layout = self.layout()
        mean = np.zeros(max(where.stop for where in layout.values()))
        sd = np.full(len(mean), 2.0)
        for name, (centre, width) in {
            "noise": (math.log(0.05), 3.0),
            "weight_T": (0.0, 1.0),
            "ard_T": (0.0, 1.0),
            "ard_U": (-math.log(2 * math.sqrt(max(self.n_context, 1))), 0.7 if self.n_covariates else 1.0),
            "tie": (0.0, 1.0),
            "own_ard": (-math.log(2 * math.sqrt(max(self.n_covariates, 1))), 1.0),
        }.items():
            if name in layout:
                mean[layout[name]], sd[layout[name]] = centre, width
        return mean, sd

    def shares(self, at: dict[str, Tensor], R: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
        """Linear and smooth similarity of mixtures R (m, K) and Q (n, K), each (m, n), without amplitudes."""
        inverse = at["ard_T"] / at["length_T"]
        return (R * at["weight_T"]) @ Q.T, _rational(R * inverse, Q * inverse)

    def context(self, at: dict[str, Tensor], U: Tensor, V: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What contexts U (m, D) and V (n, D) add, and the amplitudes of the linear and the smooth similarity; (m, n) or (1, 1)."""
        if not self.n_context:
            return U.new_full((1, 1), CONSTANT), at["linear_T"][None], at["smooth_T"][None]
        relevance = at["ard_U"]
        if self.n_covariates:
            one = relevance.new_ones(1)
            relevance = relevance * _cat(at["tie"], one)[list(self.covariate)]  # -1 picks the 1 at the end
        linear, smooth = (U * relevance**2) @ V.T, _rational(U * relevance, V * relevance)
        return (
            CONSTANT + at["linear_U"] * linear + at["smooth_U"] * smooth,
            at["linear_T"] + at["linear_TU"] * linear,
            at["smooth_T"] + at["smooth_TU"] * smooth,
        )

    def own(self, at: dict[str, Tensor], U: Tensor, V: Tensor) -> dict[int, Tensor]:
        """For each domain with a state of its own: the covariance (m, n) of what that state makes a unit of its root share worth."""
        parts = {}
        for k in sorted(set(self.domain) - {-1}):
            columns = [j for j, domain in enumerate(self.domain) if domain == k]
            relevance = at["own_ard"][[self.covariate[j] for j in columns]]
            A, B = U[:, columns] * relevance, V[:, columns] * relevance
            parts[k] = at["own_linear"] * (A @ B.T) + at["own_smooth"] * _rational(A, B)
        return parts

    def gram(self, theta: Tensor, A: tuple[Tensor, Tensor], B: tuple[Tensor, Tensor]) -> Tensor:
        """Prior covariance of the expected outcome (standardised) between points A = (R, U) and B, shape (m, n)."""
        at = self.named(theta)
        return self.blend(at, A[0], B[0], self.context(at, A[1], B[1]), self.own(at, A[1], B[1]))

    def blend(
        self, at: dict[str, Tensor], R: Tensor, Q: Tensor, context: tuple[Tensor, ...], own: dict[int, Tensor]
    ) -> Tensor:
        """Covariance (m, n) of mixtures R and Q, with the factors of the context given, broadcastable to (m, n)."""
        linear, smooth = self.shares(at, R, Q)
        gram = context[0] + linear * context[1] + smooth * context[2]
        for k, worth in own.items():
            gram = gram + R[:, k, None] * Q[:, k] * worth
        return gram

    def named(self, theta: Tensor) -> dict[str, Tensor]:
        """The parameters themselves, block by block, from their logarithms."""
        values = theta.exp()
        return {name: values[where] for name, where in self.layout().items()}


def _rational(A: Tensor, B: Tensor) -> Tensor:
    d2 = (A * A).sum(1)[:, None] + (B * B).sum(1) - 2 * A @ B.T
    return 1 / (1 + d2.clamp_min(0) / 2)


def _cat(*parts: Tensor) -> Tensor:
    import torch

    return torch.cat(parts)


def _kernel_of(problem: Problem) -> Kernel:
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


class GaussianProcess(Model):
    """Posterior of a Gaussian process with hyper-parameters at the mode of their posterior."""

    method = "gp"

    @_on_one_thread
    def __init__(
        self, problem: Problem, random_state: int = 0, n_starts: int = 2, max_iter: int = 20
    ) -> None:
        import torch

        super().__init__(problem)
        self._level, self._spread = float(problem.y.mean()), float(problem.y.std())
        U = np.hstack([problem.X, problem.S])
        self._centre, self._unit = U.mean(0), np.where(U.std(0) > 0, U.std(0), 1.0)
        self.kernel = _kernel_of(problem)
        self._data = self._points(problem.T, problem.X, problem.S)
        y = torch.tensor((problem.y - self._level) / self._spread)
        self.theta, posterior = self._search(y, random_state, n_starts, max_iter)
        self._condition(y)
        noise = math.exp(float(self.theta[self.kernel.layout()["noise"]][0])) + JITTER
        self.noise_sd = math.sqrt(noise * self._inflation) * self._spread
        self.diagnostics = {
            "log_posterior": posterior,
            "noise_sd_fitted": self.noise_sd,
            "interval_inflation": self._inflation,
        }

    def widen(self, factor: float) -> None:
        """Multiply every variance by a factor of at least 1, found by comparing predictions with left-out runs."""
        self._inflation *= factor
        self.noise_sd *= math.sqrt(factor)
        self.diagnostics["interval_inflation"] = self._inflation

    def _points(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[Tensor, Tensor]:
        import torch

        U = (np.hstack([X, S]) - self._centre) / self._unit
        return torch.tensor(np.sqrt(T)), torch.tensor(U)

    def _search(self, y: Tensor, random_state: int, n_starts: int, max_iter: int) -> tuple[Tensor, float]:
        """Mode of the posterior of the log hyper-parameters: several starts on a subset of the runs, the best polished on all."""
        rng = np.random.default_rng(random_state)
        mean, sd = self.kernel.prior()
        first = mean.copy()
        repeated, df = pure_error(self.problem)
        if df:
            first[self.kernel.layout()["noise"]] = math.log(max((repeated / self._spread) ** 2, 1e-5))
        rows = rng.permutation(len(y))[:SUBSET]
        rows.sort()
        starts = [first, *(first + 0.7 * sd * rng.standard_normal(len(mean)) for _ in range(n_starts - 1))]
        best = min((self._climb(y, rows, start, 60) for start in starts), key=lambda result: result.fun)
        if len(rows) < len(y):
            best = self._climb(y, np.arange(len(y)), best.x, max_iter)
        import torch

        return torch.tensor(best.x), -float(best.fun)

    def _climb(self, y: Tensor, rows: np.ndarray, start: np.ndarray, max_iter: int) -> Any:
        """L-BFGS on the marginal likelihood of some rows times the prior."""
        import torch
        from scipy.optimize import minimize

        mean, sd = self.kernel.prior()
        noise, eye = self.kernel.layout()["noise"], torch.eye(len(rows), dtype=torch.float64)
        index = torch.tensor(rows)
        y, data = y[index], (self._data[0][index], self._data[1][index])

        def objective(v: np.ndarray) -> tuple[float, np.ndarray]:
            # The gradient of the likelihood with respect to the covariance is known in closed form; autograd only
            # has to go through the kernel, not through the Cholesky factor.
            theta = torch.tensor(v, requires_grad=True)
            gram = self.kernel.gram(theta, data, data) + (torch.exp(theta[noise]) + JITTER) * eye
            L, failed = torch.linalg.cholesky_ex(gram.detach())
            if failed:
                return 1e10, np.zeros_like(v)
            inverse = torch.cholesky_inverse(L)
            alpha = inverse @ y
            gram.backward((inverse - torch.outer(alpha, alpha)) / 2)
            value = float(y @ alpha / 2 + torch.log(torch.diagonal(L)).sum())
            pull = (v - mean) / sd
            assert theta.grad is not None
            return value + float(pull @ pull) / 2, theta.grad.numpy() + pull / sd

        return minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_iter, "maxfun": 2 * max_iter},
        )

    def _condition(self, y: Tensor) -> None:
        """Solve for the posterior, and widen it where left-out groups of runs fall outside what it expects."""
        import torch

        noise = torch.exp(self.theta[self.kernel.layout()["noise"]]) + JITTER
        gram = self.kernel.gram(self.theta, self._data, self._data) + noise * torch.eye(
            len(y), dtype=torch.float64
        )
        self._chol = torch.linalg.cholesky(gram)
        inverse = torch.cholesky_inverse(self._chol)
        self._alpha = inverse @ y
        surprise = 0.0
        for group in np.unique(self.problem.groups):
            rows = torch.tensor(np.flatnonzero(self.problem.groups == group))
            a = self._alpha[rows]
            surprise += float(a @ torch.linalg.solve(inverse[rows][:, rows], a))
        self._inflation = max(1.0, surprise / len(y))

    @_on_one_thread
    def _mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        out = np.empty(len(T))
        for i in range(0, len(T), CHUNK):
            rows = slice(i, i + CHUNK)
            gram = self.kernel.gram(self.theta, self._points(T[rows], X[rows], S[rows]), self._data)
            out[rows] = (gram @ self._alpha).numpy()
        return self._level + self._spread * out

    @_on_one_thread
    def expected(self, T: np.ndarray, state: Any = None, scale: Any = None) -> np.ndarray:
        """As :meth:`Model.expected`, with the part that depends on state and scale summed once for all mixtures."""
        import torch

        at, context, own = self._averaged_context(state, scale)
        level, on_linear, on_smooth = (part.mean(0) * self._alpha for part in context)
        weights = torch.zeros(T.shape[1], dtype=torch.float64)
        for k, worth in own.items():
            weights[k] = (worth.mean(0) * self._data[0][:, k]) @ self._alpha
        out = np.empty(len(T))
        for i in range(0, len(T), CHUNK):
            R = torch.tensor(np.sqrt(T[i : i + CHUNK]))
            linear, smooth = self.kernel.shares(at, R, self._data[0])
            out[i : i + CHUNK] = (level.sum() + linear @ on_linear + smooth @ on_smooth + R @ weights).numpy()
        return self._level + self._spread * out

    @_on_one_thread
    def joint(self, T: np.ndarray, state: Any = None, scale: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`Model.joint`; covariances of averages over states are averages of the kernel's context."""
        import torch

        R, Q = torch.tensor(np.sqrt(T)), self._data[0]
        at, context, own = self._averaged_context(state, scale)
        cross = self.kernel.blend(
            at, R, Q, tuple(part.mean(0) for part in context), {k: worth.mean(0) for k, worth in own.items()}
        )
        U = self._contexts(state, scale)
        inner = tuple(part.mean() for part in self.kernel.context(at, U, U))
        prior = self.kernel.blend(
            at, R, R, inner, {k: worth.mean() for k, worth in self.kernel.own(at, U, U).items()}
        )
        return self._posterior(cross, prior)

    def _contexts(self, state: Any, scale: Any) -> Tensor:
        states = self.states(state)
        return self._points(
            np.zeros((len(states), len(self.domains))), states, self.scales(scale, len(states))
        )[1]

    def _averaged_context(
        self, state: Any, scale: Any
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...], dict[int, Tensor]]:
        at, U, V = self.kernel.named(self.theta), self._contexts(state, scale), self._data[1]
        return at, self.kernel.context(at, U, V), self.kernel.own(at, U, V)

    def _posterior(self, cross: Tensor, prior: Tensor) -> tuple[np.ndarray, np.ndarray]:
        import torch

        half = torch.linalg.solve_triangular(self._chol, cross.T, upper=False)
        cov = prior - half.T @ half
        mean = self._level + self._spread * (cross @ self._alpha).numpy()
        return mean, self._inflation * self._spread**2 * ((cov + cov.T) / 2).numpy()

    @_on_one_thread
    def _joint(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = self._points(T, X, S)
        cross = self.kernel.gram(self.theta, points, self._data)
        return self._posterior(cross, self.kernel.gram(self.theta, points, points))
