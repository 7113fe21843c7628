"""Runs of one mixture judge each other: who agrees with its repeats is not wild, however unexpected it is."""

from __future__ import annotations

import math

import numpy as np

FEWEST = 3  # repeated mixtures from which it is known by how much repeats differ


class Repeats:
    """What repeated runs say of each other.

    z (n,): outcomes. mixture (n,) int: runs of one mixture share a number. slight: a distance in z that harms
    nobody.
    """

    def __init__(self, z: np.ndarray, mixture: np.ndarray, slight: float) -> None:
        order = np.argsort(mixture, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(mixture[order])) + 1)
        self.groups = [
            rows for rows in parts if len(rows) > 1
        ]  # rows of each mixture that was run more than once
        self._known: list[tuple[np.ndarray, np.ndarray]] = []  # rows, and how far each is from their median
        if len(self.groups) < FEWEST:
            return
        self._known = [(rows, z[rows] - np.median(z[rows])) for rows in self.groups]
        fewest = min(len(rows) for rows in self.groups)
        within = np.concatenate([apart for rows, apart in self._known if len(rows) == fewest])
        # the median of a pair lies between the two, so deviations of pairs are half of their difference
        self._typical = math.hypot(1.4826 * float(np.median(np.abs(within))) * math.sqrt(2), slight)

    def judged(self, off: np.ndarray) -> np.ndarray:
        """``off`` (n,), distances from what other mixtures let expect; for repeated runs those from their repeats.

        Both in standard deviations.
        """
        off = off.copy()
        for rows, apart in self._known:
            if len(rows) == 2:  # which of the two it is, the other mixtures say
                further = np.abs(off[rows]) == np.abs(off[rows]).max()
                apart = np.where(further, math.sqrt(2) * apart, 0.0)
            off[rows] = apart / self._typical
        return off
