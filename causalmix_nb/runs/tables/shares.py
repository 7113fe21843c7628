"""Which columns of a table are the shares of domains, and how they are brought to shares of 1.

Shares are known by what they do: in every run they lie in 0…1 and sum to 1, or to 100 where they are in per cent. Columns that do not sum with
the others are no domains. Counts of tokens are told by their size. What was rescaled, and by how much, is said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from causalmix_nb.errors import MixtureError, RunsError, listed

ROUNDED = 5e-3  # tables with rounded shares sum to 1 only about so well
EXACTLY = 1e-6
TOKENS = 1000.0  # rows of whole numbers that sum to at least so much count tokens
MOST = 40  # candidates among which columns to leave out are looked for two by two


@dataclass(frozen=True, slots=True)
class Shares:
    """T: (n, K) shares that sum to 1. totals: n sums before, where they were counts of tokens, else None. said: what was rescaled; doubts:
    what of it may be wrong."""

    T: np.ndarray
    totals: np.ndarray | None = None
    remarks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """Columns that are domains, and why others are none; rival: others that sum to 1 just as well."""

    domains: list[int]
    out: dict[int, str] = field(default_factory=dict)
    rival: list[int] = field(default_factory=list)


def tolerance_of(n_domains: int, decimals: int | None) -> float:
    """How far from 1 shares may sum that were rounded to so many decimals (of a share of 1): more domains, more rounding.

    >>> tolerance_of(3, 3), round(tolerance_of(17, 2), 3), tolerance_of(2, None)
    (0.005, 0.082, 0.005)
    """
    if decimals is None or decimals < 2 or decimals > 6:
        return ROUNDED
    return max(ROUNDED, 10.0**-decimals * min(0.5 * n_domains, 2 * n_domains**0.5) + 1e-9)


def sums_to(T: np.ndarray, tolerance: float) -> np.ndarray:
    """What each row sums to by its look, shape (n,): 1, 100, or NaN for neither."""
    total = T.sum(axis=1)
    near = np.where(
        np.abs(total - 1) <= tolerance, 1.0, np.where(np.abs(total - 100) <= 100 * tolerance, 100.0, np.nan)
    )
    return np.where((T < -1e-9).any(axis=1), np.nan, near)


def find_shares(values: np.ndarray, decimals: Sequence[int | None]) -> Found | None:
    """Which of the columns are shares: those that sum to 1 or 100 in every row that is complete, or count tokens; None where none do.

    values: (n, C), NaN where a cell holds no number. decimals: of each column.
    """
    n, C = values.shape
    everything = list(range(C))
    if not n or not C:
        return None
    if (total := _total(values)) is not None:
        rest = [k for k in everything if k != total]
        found = find_shares(values[:, rest], [decimals[k] for k in rest])
        if found is not None:
            why = {rest[k]: words for k, words in found.out.items()}
            return Found([rest[k] for k in found.domains], {**why, total: "is the sum of the others"})

    def whole(columns: Sequence[int]) -> bool:
        if not columns:
            return False
        part = values[:, list(columns)]
        part = part[~np.isnan(part).any(axis=1)]
        if not len(part):
            part = np.nan_to_num(values[~np.isnan(values[:, list(columns)]).all(axis=1)][:, list(columns)])
        known = [decimals[k] for k in columns]
        most = None if any(d is None for d in known) else max(d for d in known if d is not None)
        if not len(part):
            return False
        percent = (part.sum(axis=1) > 50).mean() > 0.5
        return bool(
            np.isfinite(
                sums_to(part, tolerance_of(len(columns), most + 2 if percent and most is not None else most))
            ).all()
        )

    with np.errstate(all="ignore"):
        top = np.nan_to_num(np.nanmax(np.where(np.isnan(values), -np.inf, values), axis=0), neginf=0.0)
        low = np.nan_to_num(np.nanmin(np.where(np.isnan(values), np.inf, values), axis=0), posinf=0.0)
    out: dict[int, str] = {}
    if whole(everything):
        return Found(*_exact(values, everything, out))
    inside = [k for k in everything if low[k] >= -1e-9 and top[k] <= 1 + 1e-9]
    percent = [k for k in everything if low[k] >= -1e-9 and top[k] <= 100 + 1e-9]
    for columns, words in ((inside, "does not lie in 0…1"), (percent, "does not lie in 0…100")):
        if len(columns) > 1 and len(columns) < C and whole(columns):
            out = {k: words for k in everything if k not in columns}
            return Found(*_exact(values, columns, out))
    words = "does not sum with the others"
    for columns in (inside, percent):
        blocks = _blocks(values, columns) if n > 1 else []
        fitting = [
            block for block in blocks if np.nanstd(values[:, block], axis=0).max() > 0 and whole(block)
        ]
        if fitting:
            block = fitting[0]
            rival = next((other for other in fitting[1:] if set(block).isdisjoint(other)), [])
            return Found(*_exact(values, block, {k: words for k in everything if k not in block}), rival)
        for gone in (1, 2):
            if n > 1 and 3 <= len(columns) <= MOST:
                kept = [[k for k in columns if k not in some] for some in combinations(columns, gone)]
                fitting = [some for some in kept if len(some) > 1 and whole(some)]
                if len(fitting) == 1:
                    return Found(fitting[0], {k: words for k in everything if k not in fitting[0]})
    counts = [
        k
        for k in everything
        if low[k] >= 0 and not np.nanmax(np.abs(values[:, k] - np.round(values[:, k])), initial=0.0)
    ]
    if (
        len(counts) > 1
        and (np.nansum(values[:, counts], axis=1) >= TOKENS).all()
        and all(top[k] > 100 or not top[k] for k in counts)
    ):
        return Found(counts, {k: "is no count of tokens" for k in everything if k not in counts})
    return None


def _blocks(values: np.ndarray, columns: Sequence[int]) -> list[list[int]]:
    """Neighbouring columns that may sum to 1 or 100 by a rough look, the longest first."""
    part = np.nan_to_num(values[:, list(columns)])
    sums = np.concatenate([np.zeros((len(part), 1)), part.cumsum(axis=1)], axis=1)
    found: list[list[int]] = []
    for i in range(len(columns) - 1):
        block = sums[:, i + 2 :] - sums[:, [i]]
        near = (np.abs(block - 1) < 0.2) | (np.abs(block - 100) < 20)
        rough = near.mean(axis=0) >= 0.5  # rows with an empty cell sum to less
        found += [
            list(columns[i : i + 2 + j])
            for j in map(int, np.flatnonzero(rough))
            if columns[i + 1 + j] - columns[i] == j + 1
        ]
    return sorted(found, key=len, reverse=True)


def _total(values: np.ndarray) -> int | None:
    """The column that is the sum of all others in every row, or None."""
    rows = ~np.isnan(values).any(axis=1)
    if rows.sum() < 2 or values.shape[1] < 3:
        return None
    half = values[rows].sum(axis=1, keepdims=True) / 2
    same = (np.abs(values[rows] - half) <= 1e-9 * np.abs(half) + 1e-12).all(axis=0) & (values[rows] > 0).all(
        axis=0
    )
    return int(same.argmax()) if same.sum() == 1 else None


def _exact(values: np.ndarray, columns: list[int], out: dict[int, str]) -> tuple[list[int], dict[int, str]]:
    """Without a column that only seems to belong: the others sum to 1 (or 100) exactly without it, and do not with it."""
    part = values[:, columns]
    rows = ~np.isnan(part).any(axis=1)
    if rows.sum() < 2 or len(columns) < 3:
        return columns, out
    total = part[rows].sum(axis=1)
    unit = 100.0 if np.median(total) > 50 else 1.0
    if np.abs(total / unit - 1).max() <= 1e-9:
        return columns, out
    for k in columns:
        rest = total - values[rows, k]
        if np.abs(rest / unit - 1).max() <= 1e-9:
            return [j for j in columns if j != k], {**out, k: "does not sum with the others"}
    return columns, out


def rescale(
    values: np.ndarray,
    domains: Sequence[str],
    runs: Sequence[str],
    decimals: int | None = None,
    words: Mapping[tuple[int, int], str] | None = None,
    normalise: bool = False,
) -> Shares:
    """Shares of 1 from shares of 1 or 100, rounded ones, and counts of tokens.

    Parameters
    ----------
    values: (n, K), NaN where there is none. domains, runs: names, for the sentences. decimals: most that a share was written with.
    words: (row, column) -> what stood there instead of a number. normalise: rescale whatever is not negative.

    Raises
    ------
    MixtureError: a share that is empty, no number or negative, a run whose shares are all 0, or shares that do not sum to 1.
    """
    T = np.array(values, dtype=float)
    missing = np.argwhere(~np.isfinite(T))
    if len(missing):
        i, k = map(int, missing[0])
        word = (words or {}).get((i, k))
        more = f" ({len(missing)} such cells)" if len(missing) > 1 else ""
        what = "is empty" if word is None else f"is {word[:40]!r}, which is not a number"
        raise MixtureError(
            f"share of {domains[k]!r} in run {runs[i]!r} {what}{more}; write 0 where a run had none of it, or drop the run."
        )
    T[(T < 0) & (T > -1e-9)] = 0.0
    if (T < 0).any():
        i, k = map(int, np.argwhere(T < 0)[0])
        raise MixtureError(
            f"share of {domains[k]!r} in run {runs[i]!r} is {T[i, k]:.4g}; shares must be between 0 and 1."
        )
    total = T.sum(axis=1)
    if (total <= 0).any():
        raise MixtureError(
            f"the shares of run {runs[int((total <= 0).argmax())]!r} are all 0; give at least one domain a share."
        )
    n, K = T.shape
    if normalise:
        off = np.abs(total - 1).max() > EXACTLY
        return Shares(
            _divide(T),
            remarks=(f"shares summed to {_range(total)} and were rescaled to 1, as asked",) if off else (),
        )
    percent = (total > 50).mean() > 0.5
    of_one = None if decimals is None else decimals + 2 if percent else decimals
    tolerance = tolerance_of(K, of_one)
    unit = sums_to(T, tolerance)
    counts = not (np.round(T) != T).any() and (total >= TOKENS).all()
    if np.isnan(unit).any() and counts:
        return Shares(
            _divide(T),
            total,
            (f"shares are counts, of {_range(total)} tokens a run, and were rescaled to 1",),
        )
    if np.isnan(unit).any():
        away = np.minimum(np.abs(total - 1), np.abs(total / 100 - 1))
        i = int(np.where(np.isnan(unit), away, -1).argmax())
        bad = int(np.isnan(unit).sum())
        more = f" and {bad - 1} more do not sum to 1 either" if bad > 1 else ""
        raise MixtureError(
            f"mixture sums to {total[i]:.6g} in run {runs[i]!r}{more} (domains {listed(domains, 4)}); shares must sum to 1 (±{tolerance:g}). "
            "Pass normalise=True to rescale."
        )
    scaled = total / unit
    remarks = []
    n_percent = int((unit == 100).sum())
    if n_percent:
        remarks.append(
            "shares are in per cent"
            if n_percent == n
            else f"{n_percent} of {n} runs have their shares in per cent"
        )
    off = np.abs(scaled - 1)
    if off.max() > ROUNDED and n >= 8 and (np.all(scaled < 1 - 1e-9) or np.all(scaled > 1 + 1e-9)):
        raise MixtureError(
            f"mixture sums to {_range(scaled)}, {'less' if scaled[0] < 1 else 'more'} than 1 in every run, which rounding does not do (domains "
            f"{listed(domains, 4)}); is a domain missing? Pass normalise=True to rescale."
        )
    if off.max() > EXACTLY:
        remarks.append(f"shares sum to {_range(scaled)}, as rounded shares do, and were rescaled to 1")
    return Shares(_divide(T), remarks=tuple(remarks))


def _divide(T: np.ndarray) -> np.ndarray:
    return T / T.sum(axis=1, keepdims=True)


def _range(total: np.ndarray) -> str:
    low, high = (f"{x:,.0f}" if x >= TOKENS else f"{x:.6g}" for x in (float(total.min()), float(total.max())))
    return low if low == high else f"{low} to {high}"


def decimals_of(T: np.ndarray) -> int | None:
    """How many decimals all numbers of a table have, at most; None where more than 6.

    >>> decimals_of(np.array([[0.25, 0.7], [1.0, 0.05]])), decimals_of(np.array([[1 / 3]]))
    (2, None)
    """
    finite = T[np.isfinite(T)]
    return next((d for d in range(7) if np.abs(finite - np.round(finite, d)).max(initial=0.0) < 1e-9), None)


def distinct_names(names: Sequence[str], what: str = "domains") -> None:
    """Refuse names that are the same, and of domains those that differ only in case or spaces.

    Raises
    ------
    RunsError: two such names.
    """
    seen: dict[str, str] = {}
    for name in map(str, names):
        bare = (
            re.sub(r"\s+", "", unicodedata.normalize("NFKC", name)).casefold() if what == "domains" else name
        )
        if bare in seen:
            how = "come twice" if seen[bare] == name else "differ only in case or spaces"
            both = repr(name) if seen[bare] == name else f"{seen[bare]!r} and {name!r}"
            raise RunsError(f"{what} {both} {how}; give each a name of its own, or add their columns up.")
        seen[bare] = name
