"""What is held out together, and how predictions of it are judged: folds, repeats of one mixture, ranks."""

from __future__ import annotations

import math

import numpy as np

from causalmix_nb.errors import FitError
from causalmix_nb.estimate.problem import Problem


def folds(groups: np.ndarray, n_folds: int, seed: int) -> list[np.ndarray]:
    """Rows of each fold; runs of one group (repeated seeds) are never split, and every run is in exactly one fold."""
    members, index = np.unique(groups, return_inverse=True)
    if len(members) < 2:
        raise FitError(
            "all runs share one mixture, so nothing can be held out; make runs with different mixtures."
        )
    fold_of = np.random.default_rng(seed).permutation(len(members)) % min(n_folds, len(members))
    return [np.flatnonzero(fold_of[index] == fold) for fold in range(fold_of.max() + 1)]


def pure_error(problem: Problem) -> tuple[float, int]:
    """Standard deviation of one run around the mean of its repeats, and its degrees of freedom (nan, 0 without repeats)."""
    if not problem.evenly:  # a typical run: noisy ones count for less, wild ones not at all
        problem = problem.subset(problem.trusted)
    _, group = np.unique(problem.repeats, return_inverse=True)
    size, weight = np.bincount(group), problem.precision
    mean = np.bincount(group, weight * problem.y) / np.bincount(group, weight)
    within = np.sqrt(weight) * (problem.y - mean[group])
    df = len(problem.y) - len(size)
    return (math.sqrt(float(within @ within) / df), df) if df else (math.nan, 0)


def rank_correlation(predicted: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation; 0 where one side is constant or not finite."""
    from scipy.stats import spearmanr

    if not np.isfinite(predicted).all() or np.ptp(predicted) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(spearmanr(predicted, y).statistic)
