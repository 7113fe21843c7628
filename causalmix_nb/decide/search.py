"""Mixtures found by trying them: a grid over the simplex, and Bayesian optimisation. No causal model, and no state: the price is in runs.

Both ask a function for the outcomes of mixtures, a batch at a time, so that a batch can train as one swarm. Bayesian optimisation
fits a Gaussian process to what has been seen and asks for the batch with the largest noisy expected improvement, the
expectation taken over joint draws of the surface at tried and untried mixtures alike.

References: B. Letham et al., *Constrained Bayesian optimization with noisy experiments*, 2019; H. Scheffé, *Experiments with
mixtures*, 1958 (the lattice).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.decide.policy import draw_candidates
from causalmix_nb.design.simplex import sample_mixtures
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.finding import Finding
from causalmix_nb.methods.warped import fit_gp
from causalmix_nb.mixture import Mixture

if TYPE_CHECKING:
    import pandas as pd

Evaluate = Callable[[np.ndarray], np.ndarray]  # mixtures (n, K) -> outcomes (n,), NaN where a run failed

CANDIDATES, DRAWS = 1500, 128


@dataclass(frozen=True, slots=True)
class Search(Finding):
    """What a search tried, and the mixture it ends with.

    table: one row per run, in order: ``mixture.<domain>``, ``outcome``, ``round``. mixture: of the best run for a grid; of the highest
    fitted mean for Bayesian optimisation, which is less a matter of luck. rounds: batches that had to wait for each other.
    """

    mixture: Mixture
    table: pd.DataFrame
    method: str
    minimize: bool

    @property
    def title(self) -> str:
        return f"Search for a mixture by {'a grid' if self.method == 'grid' else 'Bayesian optimisation'}"

    @property
    def sentences(self) -> tuple[str, ...]:
        y = self.table["outcome"]
        best = y.min() if self.minimize else y.max()
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.mixture.shares.items())
        sentences = [
            f"it ends with {shares}",
            f"the best of its {len(y)} runs scored {best:.4g}, which is optimistic (winner's curse)",
        ]
        if y.isna().any():
            sentences.append(f"{int(y.isna().sum())} runs failed")
        sentences.append(
            f"the runs came in {self.table['round'].max() + 1} batches, each trained for this search alone"
        )
        return tuple(sentences)


def grid_mixtures(n_domains: int, n: int) -> np.ndarray:
    """The finest lattice of the simplex with at most n points (Scheffé's), corners and faces included, shape (m, K).

    >>> grid_mixtures(3, 10).shape
    (10, 3)

    Raises
    ------
    FitError: fewer points than corners.
    """
    if n < n_domains:
        raise FitError(
            f"a grid over {n_domains} domains has {n_domains} corners; allow at least as many runs."
        )
    steps = 1
    while math.comb(n_domains + steps, steps + 1) <= n:
        steps += 1
    bars = np.array(list(itertools.combinations(range(steps + n_domains - 1), n_domains - 1)))
    edges = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), steps + n_domains - 1)])
    return (np.diff(edges, axis=1) - 1) / steps


def grid_search(evaluate: Evaluate, domains: Sequence[str], n_runs: int, minimize: bool = False) -> Search:
    """Try a lattice of mixtures, all at once, and take the best.

    Raises
    ------
    FitError: fewer runs than domains, or no run that finished.
    """
    T = grid_mixtures(len(domains), n_runs)
    y = np.asarray(evaluate(T), dtype=float)
    good = np.where(np.isfinite(y), -y if minimize else y, -np.inf)
    if not np.isfinite(good).any():
        raise FitError("none of the runs of the grid finished; look at why they failed.")
    return Search(
        Mixture.of(domains, T[int(good.argmax())]), _table(domains, T, y, [len(T)]), "grid", minimize
    )


def bayesian_optimisation(
    evaluate: Evaluate,
    domains: Sequence[str],
    n_runs: int,
    minimize: bool = False,
    batch: int = 8,
    n_first: int | None = None,
    random_state: int = 0,
) -> Search:
    """Look for the best mixture by noisy expected improvement, a batch of runs at a time.

    Parameters
    ----------
    n_runs: runs in all. batch: runs that train side by side. n_first: space-filling ones to begin with, 2 K + 2 by default.

    Raises
    ------
    FitError: fewer runs than needed to begin with, or too few of them that finished.
    """
    K = len(domains)
    first = n_first or 2 * K + 2
    if n_runs < first or batch < 1:
        raise FitError(f"a search over {K} domains begins with {first} runs; allow at least as many.")
    rng = np.random.default_rng(random_state)
    T = sample_mixtures(first, K, random_state)
    y, sizes = np.asarray(evaluate(T), dtype=float), [first]
    while len(T) < n_runs:
        fresh = next_mixtures(domains, T, y, minimize, min(batch, n_runs - len(T)), rng)
        T, y = np.vstack([T, fresh]), np.append(y, np.asarray(evaluate(fresh), dtype=float))
        sizes.append(len(fresh))
    best = likeliest_best(domains, T, y, minimize, 1, rng)[0]
    return Search(Mixture.of(domains, best), _table(domains, T, y, sizes), "bayes", minimize)


def likeliest_best(
    domains: Sequence[str], T: np.ndarray, y: np.ndarray, minimize: bool, n: int, rng: np.random.Generator
) -> np.ndarray:
    """The n mixtures (n, K) of the highest fitted mean, tried or not; no two closer than 0.1 in total variation."""
    model = fit_gp(_problem(domains, T, y, minimize), n_starts=1)
    K = len(domains)
    candidates = draw_candidates(model, model.sign, np.full(K, 1 / K), CANDIDATES, rng)
    order = np.argsort(-model.sign * model.expected(candidates), kind="stable")
    chosen = candidates[order[:1]]
    for row in candidates[order[1:]]:
        if len(chosen) >= n:
            break
        if (np.abs(chosen - row).sum(1) / 2 > 0.1).all():
            chosen = np.vstack([chosen, row])
    return chosen


def next_mixtures(
    domains: Sequence[str], T: np.ndarray, y: np.ndarray, minimize: bool, n: int, rng: np.random.Generator
) -> np.ndarray:
    """The n mixtures that together promise the largest improvement over the best of what was tried, chosen one by one.

    T: mixtures tried, (m, K). y: their outcomes (m,), NaN where a run failed.
    """
    problem = _problem(domains, T, y, minimize)
    model = fit_gp(problem, n_starts=1, members=0)
    K = len(problem.domains)
    candidates = draw_candidates(model, model.sign, np.full(K, 1 / K), CANDIDATES, rng)
    tried = problem.T / problem.T.sum(1, keepdims=True)
    mean, cov = model.joint(np.vstack([tried, candidates]))
    sizes, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(np.maximum(sizes, 0))
    draws = model.sign * (mean[:, None] + root @ rng.standard_normal((len(mean), DRAWS)))
    best = draws[: len(tried)].max(0)
    chosen: list[int] = []
    ahead = draws[len(tried) :]
    for _ in range(n):
        gain = np.maximum(ahead - best, 0).mean(1)
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        best = np.maximum(best, ahead[chosen[-1]])
    return candidates[chosen]


def _problem(domains: Sequence[str], T: np.ndarray, y: np.ndarray, minimize: bool) -> Problem:
    done = np.isfinite(y)
    if done.sum() < len(domains) + 2:
        raise FitError(
            f"only {int(done.sum())} of {len(y)} runs finished, too few to go on; look at why they failed."
        )
    T, y = T[done], y[done]
    groups = np.unique(T.round(9), axis=0, return_inverse=True)[1].ravel()
    none = np.zeros((len(y), 0))
    return Problem("outcome", minimize, tuple(domains), (), (), T, none, none, y, groups, np.arange(len(y)))


def _table(domains: Sequence[str], T: np.ndarray, y: np.ndarray, sizes: Sequence[int]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(T, columns=[f"mixture.{name}" for name in domains])
    return table.assign(outcome=y, round=np.repeat(np.arange(len(sizes)), sizes))
