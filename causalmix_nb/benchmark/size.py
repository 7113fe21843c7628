"""How large an experiment is, in runs."""

from __future__ import annotations

from dataclasses import dataclass

from causalmix_nb.benchmark.shifts import REACTION, SPREAD


@dataclass(frozen=True, slots=True)
class Size:
    """How large an experiment is, in runs.

    runs: of the design. history: runs whose mixture somebody chose; 0 leaves that part out. seeds: paired, of
        every method at every shift.
    first, rounds, batch: of the direct search at each shift, besides the methods' mixtures. finalists:
        mixtures of it that are trained again, with ``again`` seeds each. search: runs of grid and Bayesian
        optimisation as methods. reaction, spread: of the history, as in
        :func:`causalmix_nb.benchmark.shifts.logged_history`.
    """

    runs: int = 256
    history: int = 256
    seeds: int = 8
    first: int = 6
    rounds: int = 2
    batch: int = 6
    finalists: int = 3
    again: int = 2
    search: int = 40
    reaction: float = REACTION
    spread: float = SPREAD

    def tokens_of_search(self, n_methods: int, token_budget: int) -> int:
        """Training tokens of the direct search at one shift, which begins with every method's mixture."""
        n_runs = n_methods + self.first + self.rounds * self.batch + self.finalists * self.again
        return n_runs * token_budget


FULL = Size()
QUICK = Size(24, 24, 3, 5, 1, 2, 2, 1, 12)
