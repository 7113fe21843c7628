"""What every fitted model offers, whatever its method: predictions, contrasts and marginal returns with intervals.

A :class:`Model` answers questions about the *expected* outcome E[Y | do(T = t), X = x]. Each method supplies two primitives – the mean
at some points, and the joint covariance of its estimation error there – and every interval in the package is derived from them here, so
that a difference of two mixtures is never treated as a difference of independent estimates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem, standing
from causalmix_nb.mixture import Mixture, as_shares, replace_zeros

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
STRETCH = 0.25  # of the range of the outcomes: further outside it a number is an extrapolation


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference in expected outcome that an intervention causes, with its interval.

    estimate, se, lower, upper: in the outcome's own units.
    n_runs: runs behind the estimate.
    contrast: domain -> change of its share; sums to 0.
    level: coverage the interval claims.
    label: the question in words.
    note: what the numbers lean on besides runs, in words; empty where they lean on runs alone.
    doubt: why the effect may not be called sure, whatever its interval; empty where nothing speaks against the model.
    """

    estimate: float
    se: float
    lower: float
    upper: float
    n_runs: int
    contrast: dict[str, float]
    level: float = LEVEL
    label: str = ""
    outcome: str = ""
    minimize: bool = False
    note: str = ""
    doubt: str = ""

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes 0 and nothing speaks against the model that it comes from."""
        return not self.doubt and (self.lower > 0 or self.upper < 0)

    @property
    def verdict(self) -> str:
        """ "better", "worse", or why neither can be said."""
        if self.distinguishable:
            return "better" if (self.estimate < 0) == self.minimize else "worse"
        return f"cannot be sure, {self.doubt}" if self.doubt else "not distinguishable from no effect"

    def __str__(self) -> str:
        return (
            f"{self.label or 'effect'} on {self.outcome}: {self.estimate:+.4g} "
            f"({self.level:.0%} interval {self.lower:+.4g} to {self.upper:+.4g}; {self.n_runs} runs): {self.verdict}"
            f"{f' [{self.note}]' if self.note else ''}"
        )


class Model:
    """A fitted answer to "what would the outcome be under this mixture, at this state?".

    Subclasses set ``method``, ``problem``, ``diagnostics`` and ``noise_sd`` (standard deviation of one run around
    its expectation, in the outcome's units) and implement :meth:`mean` and :meth:`joint_at`.
    """

    method = ""
    has_interval = True
    uses_state = True  # whether the expected outcome depends on the state
    climbable = False  # whether the surface is smooth, and its joint covariance cheap
    relates_states = True  # whether the joint covariance knows how errors at different states go together
    covers_the_best = (
        True  # whether the interval stays honest at a mixture that was chosen as the best of many
    )

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.diagnostics: dict[str, Any] = {}
        self.noise_sd = math.nan
        self.df = math.inf  # degrees of freedom behind the intervals
        self.doubt = ""  # why no effect may be called sure: a test that the model failed, in words
        self.pool_state: pd.Series | None = None
        self.baseline: Mixture | None = None

    # -- primitives --------------------------------------------------------------------------------------

    def mean(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> np.ndarray:
        """Expected outcome at n points, shape (n,), in the outcome's units.

        T (n, K) mixtures, X (n, d) states, S (n, s) log10 of scales; so for all that takes points.
        """
        raise NotImplementedError

    def joint_at(self, T: np.ndarray, X: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected outcome (n,) and covariance (n, n) of its estimation error."""
        raise NotImplementedError

    def widen(self, factor: float) -> None:
        """Multiply every variance by a factor of at least 1; nothing where the method has seen to left-out runs itself."""

    def left_out(self, folds: Sequence[np.ndarray]) -> np.ndarray | None:
        """Standard deviation (n,) of every run around what is expected of it when its fold is left out; None where a method cannot tell.

        folds: rows of each. What else was learnt (scales, lengths) is taken from all runs.
        """
        return None

    def noise_at(
        self, mean: np.ndarray, T: np.ndarray | None = None, S: np.ndarray | None = None
    ) -> np.ndarray:
        """Standard deviation of one run where its expectation is ``mean``, shape (n,).

        T (n, K) and S (n, s): mixtures and log scales, where the noise depends on them; None means a typical run.
        """
        return self.noise_sd * self.relative_noise(len(mean), T, S)

    def relative_noise(self, n: int, T: np.ndarray | None, S: np.ndarray | None) -> np.ndarray:
        """Noise of n runs in units of the typical one's; see :meth:`noise_at`."""
        if self.problem.noise is None or T is None:
            return np.ones(n)
        return self.problem.noise.relative(T, self.scales(None, n) if S is None else S)

    # -- questions ---------------------------------------------------------------------------------------

    @property
    def outcome(self) -> str:
        return self.problem.outcome

    @property
    def minimize(self) -> bool:
        return self.problem.minimize

    @property
    def domains(self) -> tuple[str, ...]:
        return self.problem.domains

    @property
    def sign(self) -> float:
        """+1 where higher outcomes are better, -1 where lower ones are."""
        return -1.0 if self.minimize else 1.0

    def predict(
        self, mixtures: Any, state: Any = None, scale: Any = None, level: float = LEVEL
    ) -> pd.DataFrame:
        """Expected outcome of mixtures, with pointwise intervals for the expectation.

        Parameters
        ----------
        mixtures: one :class:`Mixture` or a DataFrame with a column per domain, n rows.
        state: a Series or dict (one state for all), a DataFrame (row by row), or None: the pool's own state
            where the model has one, else the average over the runs' states.
        scale: likewise, in natural units (parameters, tokens); None means the largest of the runs.

        Returns
        -------
        DataFrame with columns mean, se, lower, upper, in the outcome's units; the index of ``mixtures``. Where a number lies far
        outside the outcomes of the runs, ``table.attrs["note"]`` says so, with the word extrapolation.
        """
        import pandas as pd

        T = self.problem.answerable(as_shares(mixtures, self.domains))
        states, weights = self.averaged(state, len(T))
        S = self.scales(scale, len(T))
        by_row = isinstance(state, pd.DataFrame) and len(state) == len(T)
        mean, variance = self._averaged(T, states, weights, S, by_row)
        se = np.sqrt(variance)
        q = self.quantile(level)
        index = mixtures.index if isinstance(mixtures, pd.DataFrame) else None
        table = pd.DataFrame(
            {"mean": mean, "se": se, "lower": mean - q * se, "upper": mean + q * se}, index=index
        )
        if far := self.extrapolated(table.to_numpy()[:, [0, 2, 3]]):
            table.attrs["note"] = far
        return table

    def expected(self, T: np.ndarray, state: Any = None, scale: Any = None) -> np.ndarray:
        """Expected outcome of many mixtures at one state, without intervals, shape (n,); for searching."""
        S = self.scales(scale, len(T))
        if not self.uses_state:
            return self.mean(T, np.zeros((len(T), 0)), S)
        total = np.zeros(len(T))
        for x, weight in zip(*self.averaged(state)):
            total += weight * self.mean(T, np.broadcast_to(x, (len(T), len(x))), S)
        return total

    def joint(self, T: np.ndarray, state: Any = None, scale: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Expected outcome (n,) of a few mixtures at one state, and the covariance (n, n) of its error."""
        (states, weights), n = self.averaged(state), len(T)
        m = len(states)
        mean, cov = self.joint_at(
            np.repeat(T, m, axis=0), np.tile(states, (n, 1)), np.repeat(self.scales(scale, n), m, axis=0)
        )
        cov = np.einsum("iajb,a,b->ij", cov.reshape(n, m, n, m), weights, weights)
        return mean.reshape(n, m) @ weights, cov

    def quick_joint(
        self, T: np.ndarray, state: Any = None, scale: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`joint`, perhaps less careful and quicker: for steering a search, never for an interval."""
        return self.joint(T, state, scale)

    def contrast(
        self, a: Any, b: Any, state: Any = None, scale: Any = None, level: float = LEVEL, label: str = ""
    ) -> Effect:
        """E[Y | do(a)] - E[Y | do(b)] at one state, with the interval of the difference."""
        T = self.problem.answerable(np.vstack([as_shares(a, self.domains), as_shares(b, self.domains)]))
        mean, cov = self.joint(T, state, scale)
        w = np.array([1.0, -1.0])
        return self._effect(float(w @ mean), float(w @ cov @ w), T[0] - T[1], level, label)

    def marginal_return(self, state: Any = None, at: Any = None, level: float = LEVEL) -> pd.DataFrame:
        """What more of each domain causes: the derivative of the expected outcome along its centred log-ratio.

        The contrast of domain k raises log(share_k) by 1 - 1/K and lowers every other by 1/K, starting from ``at``
        (the baseline mixture, or Equal). Estimates are contrasts: they sum to 0 for a log-linear surface. A domain that no run has
        moved has no return and no row; K counts the others.

        Returns
        -------
        DataFrame indexed by domain: estimate, se, lower, upper, in outcome units per unit of log share.
        """
        import pandas as pd

        estimate, cov = self.returns(state, at)
        se, q = np.sqrt(np.maximum(np.diag(cov), 0)), self.quantile(level)
        return pd.DataFrame(
            {"estimate": estimate, "se": se, "lower": estimate - q * se, "upper": estimate + q * se},
            index=pd.Index(self.problem.moving_domains, name="domain"),
        )

    def returns(self, state: Any = None, at: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Marginal returns (k,) of the k moving domains and their covariance (k, k), by central differences in the log-ratios."""
        T, W = nudged(self, at)
        mean, cov = self.joint(T, state)
        return W @ mean, W @ cov @ W.T

    def start(self, given: Any = None) -> np.ndarray:
        """The mixture to start from and to compare with, shape (1, K): the one given, else the model's baseline, else Equal.

        Domains that no run has moved are at their share; a mixture that has another one is refused.
        """
        if given is None:
            given = self.baseline if self.baseline is not None else self.problem.equal
        start = self.problem.answerable(as_shares(given, self.domains))
        return self.problem.hold(start) if self.problem.held else start

    def summary(self) -> str:
        """The model in words: what was fitted, on what, how well it predicts unseen mixtures, what was left out."""
        p = self.problem
        lines = [
            f"{self.method}: {p.outcome} ({'lower' if p.minimize else 'higher'} is better), {p.n_runs} runs, "
            f"{len(p.domains)} domains, {len(p.state_names)} state column{'s' * (len(p.state_names) != 1)}"
        ]
        for name, value in self.diagnostics.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            lines.append(f"  {name.replace('_', ' ')}: {shown}")
        return "\n".join([*lines, *(f"  note: {note}" for note in p.notes)])

    # -- points ------------------------------------------------------------------------------------------

    def states(self, state: Any = None, n: int | None = None) -> np.ndarray:
        """State rows, shape (m, d): one given state, n given rows, or the runs' own distinct states."""
        return self.averaged(state, n)[0]

    def averaged(self, state: Any = None, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """State rows (m, d) as in :meth:`states` and their weights (m,) in an average: a state counts by how many runs had it."""
        rows = self._rows(state, n)
        if rows is None:
            return standing(self.problem.X)
        absent = np.isnan(rows).any(0)  # recorded of the runs, no part of a pool's state
        if not absent.any():
            return rows, np.full(len(rows), 1 / len(rows))
        if len(rows) > 1:
            wanted = ", ".join(self.problem.recorded)
            raise FitError(f"{wanted} is adjusted for, and a state lacks it; give it in every row.")
        values, weights = standing(self.problem.X[:, absent])
        rows = np.repeat(rows, len(values), axis=0)
        rows[:, absent] = values
        return rows, weights

    def _rows(self, state: Any, n: int | None) -> np.ndarray | None:
        """The states that are given, (m, d), or None for those of the runs."""
        import pandas as pd

        names = self.problem.state_names
        if state is None:
            state = self.pool_state
        if not names or state is None:
            return None if names else np.zeros((1, 0))
        rows = state if isinstance(state, pd.DataFrame) else pd.DataFrame([dict(state)])
        rows = rows.assign(**{name: math.nan for name in self.problem.recorded if name not in rows})
        missing = [name for name in names if name not in rows]
        if missing:
            raise FitError(
                f"the state lacks {', '.join(missing[:4])}; give all of {', '.join(names[:8])}{'…' if len(names) > 8 else ''}."
            )
        if isinstance(state, pd.DataFrame) and n is not None and len(rows) not in (1, n):
            raise FitError(
                f"the state has {len(rows)} rows for {n} mixtures; give one row, or one per mixture."
            )
        values = rows[list(names)].to_numpy(dtype=float)
        free = np.isnan(values) & [name in self.problem.recorded for name in names]
        if not (np.isfinite(values) | free).all():
            raise FitError(
                "the state has a value that is not finite; measure it again or leave the state out."
            )
        return values

    def scales(self, scale: Any, n: int) -> np.ndarray:
        """log10 of the scale for n points, shape (n, s)."""
        import pandas as pd

        names = self.problem.scale_names
        if not names:
            return np.zeros((n, 0))
        if scale is None:
            S = self.problem.S
            return np.tile(S[int(S.sum(1).argmax())], (n, 1))  # the run that took the most arithmetic
        rows = scale if isinstance(scale, pd.DataFrame) else pd.DataFrame([dict(scale)])
        missing = [name for name in names if name not in rows]
        if missing:
            raise FitError(f"the scale lacks {', '.join(missing)}; give all of {', '.join(names)}.")
        values = rows[list(names)].to_numpy(dtype=float)
        if not (values > 0).all():
            raise FitError("a scale must be positive; give parameters and tokens in natural units.")
        return np.log10(np.broadcast_to(values, (n, len(names))))

    def beyond(self, scale: Any) -> str:
        """How far a scale lies outside those of the runs, in words; empty inside them or without a scale."""
        if scale is None or not self.problem.scale_names:
            return ""
        beyond = []
        for name, value, runs in zip(self.problem.scale_names, self.scales(scale, 1)[0], self.problem.S.T):
            low, high = runs.min(), runs.max()
            if not low - 1e-9 <= value <= high + 1e-9:
                away, end = (value - high, high) if value > high else (low - value, low)
                which = "the largest" if value > high else "the smallest"
                beyond.append(
                    f"{name} {10**value:.3g} is {10**away:.3g} times beyond {which} of the runs ({10**end:.3g})"
                )
        return "; ".join(beyond) + ": an extrapolation" if beyond else ""

    def extrapolated(self, values: Any, difference: bool = False) -> str:
        """What no run has come near among expected outcomes (or differences of two), in words; empty where nothing is.

        The range is that of the runs that fit the others: a wild run does not widen what can be promised.
        """
        y = self.problem.y[self.problem.trusted]
        low, high = float(y.min()), float(y.max())
        reach, values = high - low, np.asarray(values, dtype=float)
        if difference:
            far = bool((np.abs(values) > (1 + STRETCH) * reach).any())
            return f"more than the whole range of the runs ({reach:.3g}): an extrapolation" if far else ""
        far = bool(((values < low - STRETCH * reach) | (values > high + STRETCH * reach)).any())
        return f"outside the outcomes of the runs ({low:.4g} to {high:.4g}): an extrapolation" if far else ""

    # -- arithmetic of intervals -------------------------------------------------------------------------

    def _averaged(
        self, T: np.ndarray, states: np.ndarray, weights: np.ndarray, S: np.ndarray, by_row: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance per mixture, each at its own state (``by_row``) or averaged over all the states."""
        n = len(T)
        by_row = by_row and states.shape[1] > 0
        w = np.ones(1) if by_row else weights
        per = len(w)
        chunk = max(1, 512 // per)
        mean, variance = np.empty(n), np.empty(n)
        for i in range(0, n, chunk):
            rows = slice(i, min(i + chunk, n))
            size = rows.stop - rows.start
            X = states[rows] if by_row else np.tile(states, (size, 1))
            mu, cov = self.joint_at(np.repeat(T[rows], per, axis=0), X, np.repeat(S[rows], per, axis=0))
            mean[rows] = mu.reshape(size, per) @ w
            variance[rows] = np.einsum("iaib,a,b->i", cov.reshape(size, per, size, per), w, w)
        return mean, np.maximum(variance, 0)

    def _effect(
        self, estimate: float, variance: float, change: np.ndarray, level: float, label: str
    ) -> Effect:
        se, q = math.sqrt(max(variance, 0.0)), self.quantile(level)
        contrast = dict(zip(self.domains, change.tolist()))
        ends = estimate - q * se, estimate + q * se
        return Effect(
            estimate, se, *ends, self.problem.n_runs, contrast, level, label,
            self.outcome, self.minimize, self.extrapolated([estimate, *ends], difference=True), self.doubt,
        )  # fmt: skip

    def quantile(self, level: float) -> float:
        """Standard errors on either side of an estimate that its interval of this level reaches.

        Raises
        ------
        FitError: a level that does not lie between 0 and 1.
        """
        from scipy import stats

        if not 0 < level < 1:
            raise FitError(f"level is {level:g}; it must lie between 0 and 1, for example 0.95.")
        return float(
            stats.t.ppf(0.5 + level / 2, self.df)
            if math.isfinite(self.df)
            else stats.norm.ppf(0.5 + level / 2)
        )


def nudged(model: Model, at: Any = None, step: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Mixtures (2 k, K) with each of the k moving domains' centred log-ratio raised and lowered, and the weights (k, 2 k) of the
    difference that is its marginal return."""
    problem, start = model.problem, model.start(at)
    moving = problem.moving
    k, part = int(moving.sum()), start[:, moving]
    moves = step * (np.eye(k) - 1 / k)
    T = np.repeat(start, 2 * k, axis=0)
    T[:, moving] = np.exp(np.log(replace_zeros(part / part.sum())) + np.vstack([moves, -moves]))
    return problem.hold(T), np.hstack([np.eye(k), -np.eye(k)]) / (2 * step)
