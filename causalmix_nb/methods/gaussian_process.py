"""A Gaussian process on (state, square root of the shares, scale): the surface to optimise with.

The square root maps the simplex onto a sphere, where Euclidean distance is (up to a factor) the Hellinger
distance of mixtures: steps near share 0 count for more, and share 0 itself needs no replacement.

The hyper-parameters are learnt, and what is learnt from some hundred runs is not certain: an interval that takes them as
known is too narrow. So the posterior is averaged over draws of the hyper-parameters, which also errs less than the posterior at their
mode. Intervals are those of the average; :meth:`GaussianProcess.widen` widens them where left-out runs lie further off than it says. Up to
:data:`EXACT` runs the posterior is exact; beyond, it goes through inducing points.

References: Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, chapters 2 and 5; M. Titsias,
*Variational learning of inducing variables in sparse Gaussian processes*, 2009; R. Neal, *MCMC using Hamiltonian dynamics*, 2011.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from causalmix_nb.estimate.folds import pure_error
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.noise import noise_model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.warp import moments
from causalmix_nb.estimate.weights import BEYOND, SLIGHT, student, weighed
from causalmix_nb.methods.gaussian.kernel import Points, kernel_of
from causalmix_nb.methods.gaussian.learn import Effort, Learner
from causalmix_nb.methods.gaussian.posterior import CHUNK, Posterior, exact, inverse, noise_variance, through
from causalmix_nb.methods.threads import one_thread

SUBSET = 192  # runs on which the starts of the hyper-parameters are compared
POLISH = 1024  # runs on which the best start is polished
EXACT = 2000  # runs up to which the posterior is exact
INDUCING = 1024  # inducing points beyond
WORSE = 1.1  # by how much errors of left-out runs may grow, in mean square, when noisy runs count for less
LEAST = 1e-8  # weight that a run keeps, however wild
LONG, SHORT = Effort(16, 2, 8), Effort(8, 1, 6)  # chains of draws of the hyper-parameters
MANY = 256  # runs up to which there is time for a long chain
FEW = 8  # states that effective shares are averaged over, of those that all else is averaged over


def _few(U: np.ndarray, share: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Up to FEW of the contexts U (m, D), evenly spread, each with its share of an average in which they have ``share`` (m,)."""
    if len(U) <= FEW:
        return list(zip(U, share))
    standing = np.searchsorted(np.cumsum(share), (np.arange(FEW) + 0.5) / FEW)
    return [(u, 1 / FEW) for u in U[np.minimum(standing, len(U) - 1)]]


def _few_draws(m: int) -> float:
    """By how much the variance among m draws is too small for the error of their average."""
    return (m + 1) / max(m - 1, 1)


# -- model -----------------------------------------------------------------------------------------------


class GaussianProcess(Model):
    """Posterior of a Gaussian process, averaged over draws of its hyper-parameters.

    ``expected`` answers at their mode, which is quick and made for searching; ``mean``, ``predict``, ``contrast`` and whatever carries
    an interval average over the draws. ``members``: number of draws; None chooses by the number of runs; 0 keeps to the mode.
    """

    method = "gp"
    climbable = True

    @one_thread()
    def __init__(
        self,
        problem: Problem,
        random_state: int = 0,
        n_starts: int = 2,
        max_iter: int = 20,
        members: int | None = None,
    ) -> None:
        problem = weighed(problem)
        if problem.n_runs <= EXACT:
            problem = replace(problem, noise=None)  # how noise varies, it hears from its own errors
        super().__init__(problem)
        self._level, self._spread, _ = moments(problem.y, problem.trust)
        U = np.hstack([problem.X, problem.S])
        self._centre, self._unit = U.mean(0), np.where(U.std(0) > 0, U.std(0), 1.0)
        self.kernel = kernel_of(problem)
        self._data = self._points(problem.T, problem.X, problem.S)
        rng = np.random.default_rng(random_state)
        y = (problem.y - self._level) / self._spread
        self._each = 1 / np.maximum(problem.precision, LEAST)
        theta, best = self._search(y, rng, n_starts, max_iter)
        self._inducing = self._spread_out(rng) if len(y) > EXACT else None
        self._mode = self._condition(theta, y)
        if self._inducing is None:
            best = self._judge_again(y, best, max_iter // 2)
        theta = self._mode.theta
        n = len(y)
        wanted = (
            (32 if n <= MANY else 16 if n <= 600 else 8 if n <= 1500 else 0) if members is None else members
        )
        self._members = self._drawn(theta, y, wanted, rng) if wanted else [self._mode]
        self._inflation = 1.0
        self.fitted_noise_sd = math.sqrt(noise_variance(self.kernel, theta)) * self._spread
        self.noise_sd = math.sqrt(self._inflation) * self.fitted_noise_sd
        self.diagnostics = {
            "log_posterior": best,
            "noise_sd_fitted": self.noise_sd,
            "interval_inflation": self._inflation,
            "hyper_parameters": f"averaged over {wanted} draws" if wanted else "at their mode",
        }
        if self._inducing is not None:
            self.diagnostics["approximation"] = (
                f"hyper-parameters are learnt from {min(n, POLISH)} of {n} runs, and the posterior goes through {INDUCING} of them"
            )

    def widen(self, factor: float) -> None:
        """Multiply every variance by a factor of at least 1, found by comparing predictions with left-out runs."""
        self._inflation *= factor
        self.noise_sd *= math.sqrt(factor)
        self.diagnostics["interval_inflation"] = self._inflation

    @one_thread()
    def left_out(self, folds: Sequence[np.ndarray]) -> np.ndarray | None:
        """As :meth:`Model.left_out`, over all draws together; None where the posterior goes through inducing points."""
        if self._inducing is not None:
            return None
        m = len(self._members)
        away, variance = np.zeros((2, m, self.problem.n_runs))
        for i, member in enumerate(self._members):
            inverted = inverse(member.chol)
            for rows in folds:
                block = np.linalg.inv(inverted[np.ix_(rows, rows)])
                away[i, rows], variance[i, rows] = block @ member.weights[rows], np.diagonal(block)
        return self._spread * np.sqrt(self._inflation * (variance.mean(0) + away.var(0) * _few_draws(m)))

    def _points(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> Points:
        return np.sqrt(T), (np.hstack([X, S]) - self._centre) / self._unit

    # -- learning ----------------------------------------------------------------------------------------

    def _search(
        self, y: np.ndarray, rng: np.random.Generator, n_starts: int, max_iter: int
    ) -> tuple[np.ndarray, float]:
        """Mode of the posterior of the log hyper-parameters: several starts on a subset of the runs, the best polished on more."""
        mean, sd = self.kernel.prior()
        first = mean.copy()
        repeated, df = pure_error(self.problem)
        if df:
            first[self.kernel.layout()["noise"]] = math.log(max((repeated / self._spread) ** 2, 1e-5))
        order = rng.permutation(len(y))
        rows = np.sort(order[:SUBSET])
        starts = [first, *(first + 0.7 * sd * rng.standard_normal(len(mean)) for _ in range(n_starts - 1))]
        learner = self._learner(y)
        theta, height = learner.some(rows).climb(starts, 60)
        if len(rows) < len(y):
            rows = np.sort(order[:POLISH])
            theta, height = learner.some(rows).climb([theta], max_iter)
        return theta, height * len(y) / len(rows)

    def _learner(self, y: np.ndarray) -> Learner:
        return Learner(self.kernel, self._data, y, self._each)

    def _condition(self, theta: np.ndarray, y: np.ndarray) -> Posterior:
        if self._inducing is None:
            return exact(self.kernel, theta, self._data, y, self._each)
        return through(self.kernel, theta, self._data, y, self._each, self._inducing)

    def _spread_out(self, rng: np.random.Generator) -> Points:
        """Inducing points: runs drawn at random, which follows the density of the runs."""
        rows = np.sort(rng.permutation(len(self._data[0]))[:INDUCING])
        return self._data[0][rows], self._data[1][rows]

    def _judge_again(self, y: np.ndarray, best: float, max_iter: int) -> float:
        """Judge the runs by this surface, which sees more than the quick one that judged them first; the log posterior after it.

        Runs that it expects where they are get their weight back. The noise may depend on the mixture, if the errors of left-out runs
        say so and minding the noisy ones less does not make them much larger: what a surface misses is not noise.
        """
        weights = self._acquitted()
        if weights is not None:
            best = self._learn_with(replace(self.problem, weights=weights), y, max_iter)
        error, certain, typical = self._left_out()
        p = self.problem
        noise = noise_model(p.T, p.S, error, certain, typical, p.trust)
        if noise is None:
            return best
        before = p, self._each, self._mode
        found = self._learn_with(replace(p, noise=noise), y, max_iter)
        if float(p.trust @ self._left_out()[0] ** 2) <= WORSE * float(p.trust @ error**2):
            return found
        self.problem, self._each, self._mode = before
        return best

    def _learn_with(self, problem: Problem, y: np.ndarray, max_iter: int) -> float:
        """Learn on from where the hyper-parameters are, with other weights of the runs."""
        self.problem = problem
        self._each = 1 / np.maximum(problem.precision, LEAST)
        rows = np.sort(np.random.default_rng(0).permutation(len(y))[:POLISH])
        theta, height = self._learner(y).some(rows).climb([self._mode.theta], max_iter)
        self._mode = self._condition(theta, y)
        return height * len(y) / len(rows)

    def _left_out(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Error of every run when it is left out (n,), the variance of that without its own noise (n,), and the typical noise's."""
        variance = 1 / np.diagonal(inverse(self._mode.chol))
        typical = noise_variance(self.kernel, self._mode.theta)
        return self._mode.weights * variance, np.maximum(variance - typical * self._each, 0), typical

    def _acquitted(self) -> np.ndarray | None:
        """Weights (n,) with runs given theirs back that this surface expects and whose outcome was not drawn in; None if there are none."""
        weights = self.problem.trust
        suspects = np.flatnonzero((weights < 1) & (weights > BEYOND))
        if not len(suspects):
            return None
        inverted = inverse(self._mode.chol)
        block = np.linalg.inv(inverted[np.ix_(suspects, suspects)])  # together: no suspect speaks for another
        away = block @ self._mode.weights[suspects]
        typical = noise_variance(self.kernel, self._mode.theta)
        variance = np.diagonal(block) - typical * self._each[suspects] + typical
        found = np.maximum(
            weights[suspects], student(away / np.sqrt(np.maximum(variance, typical) + SLIGHT**2))
        )
        if (found - weights[suspects]).max() < 0.1:
            return None
        weights = weights.copy()
        weights[suspects] = found
        return weights

    def _drawn(
        self, theta: np.ndarray, y: np.ndarray, members: int, rng: np.random.Generator
    ) -> list[Posterior]:
        """Posteriors at draws of the hyper-parameters."""
        effort = LONG if len(y) <= MANY else SHORT
        draws = self._learner(y).draws(theta, members, effort, rng)
        return [self._condition(draw, y) for draw in draws]

    # -- answers -----------------------------------------------------------------------------------------

    @one_thread()
    def mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        out = np.zeros(len(T))
        for i in range(0, len(T), CHUNK):
            rows = slice(i, i + CHUNK)
            places = self._points(T[rows], X[rows], S[rows])
            for member in self._members:
                out[rows] += self.kernel.gram(member.theta, places, member.points) @ member.weights
        return self._level + self._spread * out / len(self._members)

    @one_thread()
    def expected(self, T: np.ndarray, state: Any = None, scale: Any = None) -> np.ndarray:
        """As :meth:`Model.expected`, with the part that depends on state and scale summed once for all mixtures."""
        weights, Q = self._mode.weights, self._mode.points[0]
        U, share = self._contexts(state, scale)
        at, context, own = self._averaged_context(self._mode, U)
        level, on_linear, on_smooth = (share @ part * weights for part in context)
        per_share = np.zeros(T.shape[1])
        for k, worth in own.items():
            per_share[k] = (share @ worth * Q[:, k]) @ weights
        known = self.kernel.effective(at, *self._mode.points) if own else None
        few = _few(U, share)
        out = np.empty(len(T))
        for i in range(0, len(T), CHUNK):
            R = np.sqrt(T[i : i + CHUNK])
            linear, smooth = self.kernel.shares(at, R, Q)
            value = level.sum() + linear @ on_linear + smooth @ on_smooth + R @ per_share
            if known is not None:
                for u, part in few:
                    here = self.kernel.effective(at, R, u[None])
                    value += part * self.kernel.alike(at, here, known) @ weights
            out[i : i + CHUNK] = value
        return self._level + self._spread * out

    def joint(self, T: np.ndarray, state: Any = None, scale: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`Model.joint`; covariances of averages over states are averages of the kernel's context."""
        return self._averaged_joint(self._members, T, state, scale)

    def quick_joint(
        self, T: np.ndarray, state: Any = None, scale: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`joint`, at the mode of the hyper-parameters."""
        return self._averaged_joint([self._mode], T, state, scale)

    @one_thread()
    def _averaged_joint(
        self, members: list[Posterior], T: np.ndarray, state: Any, scale: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        R, (U, share) = np.sqrt(T), self._contexts(state, scale)
        parts = []
        for member in members:
            at, context, own = self._averaged_context(member, U)
            cross = self.kernel.blend(
                at, R, member.points[0], tuple(share @ part for part in context),
                {k: share @ worth for k, worth in own.items()},
            )  # fmt: skip
            inner = tuple(share @ part @ share for part in self.kernel.context(at, U, U))
            worths = {k: share @ worth @ share for k, worth in self.kernel.own(at, U, U).items()}
            prior = self.kernel.blend(at, R, R, inner, worths)
            if own:
                few = [(self.kernel.effective(at, R, u[None]), part) for u, part in _few(U, share)]
                known = self.kernel.effective(at, *member.points)
                cross = cross + sum(p * self.kernel.alike(at, here, known) for here, p in few)
                prior = prior + sum(p * q * self.kernel.alike(at, a, b) for a, p in few for b, q in few)
            parts.append((cross @ member.weights, member.covariance(cross, prior)))
        return self._together(parts)

    @one_thread()
    def joint_at(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places, parts = self._points(T, X, S), []
        for member in self._members:
            cross = self.kernel.gram(member.theta, places, member.points)
            prior = self.kernel.gram(member.theta, places, places)
            parts.append((cross @ member.weights, member.covariance(cross, prior)))
        return self._together(parts)

    def _together(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance over the draws: within them, and of their means, whose own average is as uncertain as they are few."""
        m, means = len(parts), np.stack([mean for mean, _ in parts])
        mean = means.mean(0)
        away = means - mean
        cov = sum(cov for _, cov in parts) / m + away.T @ away / m * _few_draws(m)
        return (
            self._level + self._spread * mean,
            self._inflation * self._spread**2 * cov,
        )

    def _contexts(self, state: Any, scale: Any) -> tuple[np.ndarray, np.ndarray]:
        """The contexts (m, D) that are averaged over, and their weights (m,)."""
        states, weights = self.averaged(state)
        nowhere = np.zeros((len(states), len(self.domains)))
        return self._points(nowhere, states, self.scales(scale, len(states)))[1], weights

    def _averaged_context(
        self, member: Posterior, U: np.ndarray
    ) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, ...], dict[int, np.ndarray]]:
        at, V = self.kernel.named(member.theta), member.points[1]
        return at, self.kernel.context(at, U, V), self.kernel.own(at, U, V)
