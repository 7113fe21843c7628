"""Where a partially linear surface may be wrong, tested, and how much wider its intervals are for it.

A regression of residuals on residuals, ``y ~ rows``, is asked three questions, each by letting further columns in beside it: is the
surface curved (roots of the shares), did the nuisances leave confounding behind (a quadratic in the state), does the effect vary with the
state (products that were left out)? What the columns would change of an effect, d, is what the effect is wrong by if they are right; it
enters the variance of every difference as w² d², with w = (1 - q / W)+ of Wald's statistic W of the q columns, so that what chance alone would
show counts for nothing. An interval that knows of its bias is wider, not moved. A curved surface is no matter of width alone:
its failure is said, and no effect is called sure.

References: J. Ramsey, *Tests for specification errors in classical linear least-squares regression*, 1969 (the test); W. James, C. Stein,
*Estimation with quadratic loss*, 1961 (the weight); T. Armstrong, M. Kolesár, *Simple and honest confidence intervals*, 2020 (widths
that know of the bias).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from causalmix_nb.estimate.nuisances import Nuisance, at_distinct

MOST_FEATURES = 3  # components of the state in the quadratic that looks for confounding left behind
CURVED = 0.05  # p-value of the test of curvature below which no effect is called sure
MIN_SPARE = 10  # distinct runs that must be left per question, or it is not asked


@dataclass(frozen=True, slots=True)
class Departure:
    """What further columns would change of a regression.

    shift (c,): change of the regression's own coefficients. extra (q,): coefficients of the further columns. weight: 0 to 1, how far
    it is more than chance. p: p-value that the further columns have no effect; nan where the runs do not carry the question. wald: its statistic.
    """

    shift: np.ndarray
    extra: np.ndarray
    weight: float
    p: float
    wald: float = 0.0

    def at(self, rows: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
        """What is added to the error at n places, as one direction: rows (n, c), further columns (n, q) or none, shape (n,)."""
        moved = rows @ self.shift
        return self.weight * (moved if columns is None else moved + columns @ self.extra)


def departure(
    y: np.ndarray, rows: np.ndarray, columns: np.ndarray, clusters: np.ndarray, n_distinct: int
) -> Departure:
    """Let ``columns`` (n, q) into the regression of y (n,) on ``rows`` (n, c), whose first column is the level.

    clusters (n,): runs with one number err together; n_distinct: runs that are not repeats of others.
    """
    from scipy import stats

    c = rows.shape[1]
    size = np.linalg.norm(columns, axis=0)
    columns = columns / np.where(size > 0, size, 1.0)
    # what the regression explains of the columns already is no further column
    left = columns - rows @ np.linalg.lstsq(rows, columns, rcond=None)[0]
    left = left - rows @ np.linalg.lstsq(rows, left, rcond=None)[0]
    _, s, Vt = np.linalg.svd(left, full_matrices=False)
    V = Vt[s > 1e-3].T
    q, df = V.shape[1], n_distinct - c - V.shape[1]
    if not q or df < MIN_SPARE:
        return Departure(np.zeros(c), np.zeros(len(size)), 0.0, math.nan)
    D = np.hstack([rows, columns @ V])
    bread = np.linalg.pinv(D.T @ D, hermitian=True)
    beta = bread @ D.T @ y
    base = np.linalg.lstsq(rows, y, rcond=None)[0]
    meat = D * ((y - D @ beta) / np.maximum(1 - np.einsum("ij,jk,ik->i", D, bread, D), 0.1))[:, None]
    scores = np.zeros((int(clusters.max()) + 1, D.shape[1]))
    np.add.at(scores, clusters, meat)
    cov = (bread @ (scores.T @ scores) @ bread)[c:, c:]
    W = float(beta[c:] @ np.linalg.pinv(cov, hermitian=True) @ beta[c:])
    extra = V @ beta[c:] / np.where(size > 0, size, np.inf)
    return Departure(beta[:c] - base, extra, max(0.0, 1 - q / W), float(stats.f.sf(W / q, q, df)), W)


def design_rows(Z: np.ndarray, F: np.ndarray) -> np.ndarray:
    """Design rows [1, Z, Z * f_1, ..., Z * f_p], shape (n, 1 + r (1 + p)), from Z (n, r) and features F (n, p)."""
    n, r = Z.shape
    F = np.hstack([np.ones((n, 1)), F])
    return np.hstack([np.ones((n, 1)), (F[:, :, None] * Z[:, None, :]).reshape(n, r * F.shape[1])])


@dataclass(frozen=True, slots=True)
class Departures:
    """Curved in the roots of shares (``explained``: their part that the state explains), confounding left, effects that vary with
    components ``varied`` (from, to) of the state."""

    curved: Departure
    left: Departure
    varying: Departure
    varied: tuple[int, int]
    explained: Nuisance

    def at(
        self, rows: np.ndarray, Z: np.ndarray, roots: np.ndarray, W: np.ndarray, F: np.ndarray
    ) -> np.ndarray:
        """What each would change at n places, shape (n, 3): rows (n, c) of the regression, residuals Z (n, r) of the mixture,
        roots (n, k) of the shares, state W (n, d) and its components F (n, p)."""
        products = design_rows(Z, F[:, slice(*self.varied)])[:, 1 + Z.shape[1] :]
        roots = roots - at_distinct(self.explained.predict, W)
        return np.column_stack(
            [self.curved.at(rows, roots), self.left.at(rows), self.varying.at(rows, products)]
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A regression of residuals y (n,) on residuals Z (n, r); root (n,): of the weights; together (n,): runs with one number err
    together; n_distinct: runs that are not repeats of others."""

    y: np.ndarray
    Z: np.ndarray
    root: np.ndarray
    together: np.ndarray
    n_distinct: int

    def _let_in(self, rows: np.ndarray, columns: np.ndarray) -> Departure:
        root = self.root[:, None]
        return departure(self.root * self.y, root * rows, root * columns, self.together, self.n_distinct)

    def how_many_earn(self, F: np.ndarray) -> int:
        """How many of the components F (n, p) to let effects vary with: Akaike's choice, by robust Wald statistics.

        An interaction that is not there doubles an interval for nothing.
        """
        best, chosen, r = 0.0, 0, self.Z.shape[1]
        for p in range(1, F.shape[1] + 1):
            rows = design_rows(self.Z, F[:, :p])
            gained = self._let_in(rows[:, : 1 + r], rows[:, 1 + r :]).wald - 2 * r * p
            if gained > best:
                best, chosen = gained, p
        return chosen

    def departures(
        self,
        F: np.ndarray,
        features: tuple[int, int],
        roots: np.ndarray,
        explained: Nuisance,
        confounded: bool,
    ) -> Departures:
        """What roots (n, k) of the shares, a quadratic in the state's components F (n, p), and products with those of them that
        the runs carry but the regression lacks (``features``: it has, they carry) would change. confounded: False does not ask
        for what of the state was left."""
        used, carried = features
        rows = design_rows(self.Z, F[:, :used])
        B = F[:, : MOST_FEATURES if confounded else 0]
        first, second = np.triu_indices(B.shape[1])
        return Departures(
            self._let_in(rows, roots - explained.fitted[0]),
            self._let_in(rows, np.hstack([B, B[:, first] * B[:, second]])),
            self._let_in(rows, design_rows(self.Z, F[:, used:carried])[:, 1 + self.Z.shape[1] :]),
            features,
            explained,
        )


def curvature_sentence(p: float, method: str) -> str:
    """Why no effect of a log-linear method is called sure, or nothing."""
    if not p < CURVED:
        return ""
    p_text = f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
    return f"since the outcome is curved where method '{method}' draws a line ({p_text}): ask method 'gp'"
