"""What could be won at a shift at all: the best mixture that direct search finds there by training.

It is given every method's mixture to begin with, and what it ends with is chosen on seeds of its own, so that
the best is not the luckiest.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from causalmix_nb.benchmark.results import LEARNT_FROM_HISTORY
from causalmix_nb.benchmark.shifts import Shift
from causalmix_nb.benchmark.size import Size
from causalmix_nb.benchmark.trials import Row, Trials
from causalmix_nb.decide.search import likeliest_best, next_mixtures
from causalmix_nb.design.simplex import sample_mixtures

SEARCH_SEED, FINAL_SEED = 4_000_003, 5_000_003


def best_found(
    trials: Trials, size: Size, shifts: Sequence[Shift], mixtures: Mapping[str, Mapping[str, Row]]
) -> dict[str, Row]:
    """Shift -> the best mixture found; all shifts search side by side, a batch at a time.

    mixtures: shift -> method -> what the search begins with.
    """
    domains, seed = trials.domains, trials.study.files.seed
    K = len(domains)
    first = [trials.row(row) for row in sample_mixtures(K + 1 + size.first, K, seed)[K + 1 :].round(4)]
    tried = {s.name: list(dict.fromkeys([*_starts(mixtures[s.name]), *first])) for s in shifts}
    scored: dict[str, np.ndarray] = {s.name: np.zeros(0) for s in shifts}
    rngs = {s.name: np.random.default_rng([seed, 13, s.seed]) for s in shifts}
    for turn in range(size.rounds + 1):
        fresh = {s.name: tried[s.name][len(scored[s.name]) :] for s in shifts}
        values = trials.at(
            [(s, row, _searching_seed(s, row)) for s in shifts for row in fresh[s.name]], "direct search"
        )
        for s, mine in zip(shifts, _by_shift(values, [len(fresh[s.name]) for s in shifts])):
            scored[s.name] = np.append(scored[s.name], mine)
            if turn < size.rounds:
                T, y = np.array(tried[s.name]), scored[s.name]
                more = next_mixtures(domains, T, y, trials.minimize, size.batch, rngs[s.name])
                tried[s.name] += [trials.row(row) for row in more]
    finals = {}
    for s in shifts:
        T, y = np.array(tried[s.name]), scored[s.name]
        likeliest = likeliest_best(domains, T, y, trials.minimize, size.finalists, rngs[s.name])
        finals[s.name] = [trials.row(row) for row in likeliest]
    values = trials.at(
        [
            (s, row, FINAL_SEED + s.seed + j)
            for s in shifts
            for row in finals[s.name]
            for j in range(size.again)
        ],
        "finalists",
    )
    sign, best = -1.0 if trials.minimize else 1.0, {}
    for s, mine in zip(shifts, _by_shift(values, [len(finals[s.name]) * size.again for s in shifts])):
        means = sign * np.nan_to_num(mine, nan=-sign * np.inf).reshape(-1, size.again).mean(1)
        best[s.name] = finals[s.name][int(means.argmax())]
    return best


def _by_shift(values: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """Outcomes of all shifts, one after another, as one array a shift."""
    return np.split(values, np.cumsum(counts)[:-1])


def _starts(mixtures: Mapping[str, Row]) -> list[Row]:
    """What a search begins with: every method's mixture, but those learnt from a history, so that it is the
    same without one.
    """
    return [row for name, row in mixtures.items() if not name.endswith(LEARNT_FROM_HISTORY)]


def _searching_seed(shift: Shift, row: Row) -> int:
    """Decided by what is tried, so that the order does not matter; never one of a comparison."""
    return SEARCH_SEED + shift.seed + zlib.crc32(repr(row).encode()) % 1000
