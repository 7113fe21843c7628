"""Points on the simplex: validation, log-ratios, and interventions that keep the sum at 1.

A *mixture* gives every domain of a pool its share of the training data. Shares are not free: raising one
lowers others, so only K - 1 directions exist. The functions here work on arrays of shape (n, K) whose rows
are mixtures; :class:`Mixture` is one such row with names.

Reference: J. Aitchison, *The Statistical Analysis of Compositional Data*, 1986; Egozcue et al., *Isometric
logratio transformations*, 2003 (the ilr basis).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import MixtureError, did_you_mean, listed

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6  # how far from 1 a mixture may sum
DIVIDE = "Divide them by their sum, or give a Mixture(…, normalise=True)."
ZERO = 1e-3  # the share that stands in for 0 where a logarithm is taken


class Mixture:
    """Shares of named domains, each in [0, 1], summing to 1.

    Parameters
    ----------
    shares: domain name -> share of the training tokens (unitless).
    normalise: rescale shares that do not sum to 1 instead of refusing them.

    Raises
    ------
    MixtureError: no domain, a negative or non-finite share, or a sum that is not 1.

    >>> mixture = Mixture({"math": 0.4, "code": 0.6})
    >>> mixture["math"]
    0.4
    >>> Mixture({"math": 0.4, "code": 0.57})
    Traceback (most recent call last):
    ...
    causalmix_nb.errors.MixtureError: mixture sums to 0.97; shares must sum to 1 (±1e-06). Pass normalise=True to rescale.
    """

    __slots__ = ("_shares",)

    def __init__(self, shares: Mapping[str, float] | pd.Series, *, normalise: bool = False) -> None:
        try:
            named = {str(name): float(share) for name, share in dict(shares).items()}
        except (TypeError, ValueError):
            raise MixtureError(
                f"a mixture is a mapping of domain to share, got {type(shares).__name__}; write {{'math': 0.4, 'code': 0.6}}."
            ) from None
        if not named:
            raise MixtureError("a mixture needs at least one domain; write {'math': 0.4, 'code': 0.6}.")
        self._shares = dict(
            zip(named, _checked(np.array([list(named.values())]), list(named), normalise)[0].tolist())
        )

    @classmethod
    def equal(cls, domains: Sequence[str]) -> Mixture:
        """The same share for every domain."""
        return cls({name: 1 / len(domains) for name in domains})

    @classmethod
    def of(cls, domains: Sequence[str], shares: np.ndarray) -> Mixture:
        """Shares (K,) in the order of the domains, rescaled to sum to 1.

        >>> Mixture.of(["math", "code"], np.array([1, 3]))
        Mixture(math=0.250, code=0.750)
        """
        return cls(dict(zip(domains, np.asarray(shares).tolist())), normalise=True)

    @classmethod
    def parse(cls, text: str, *, normalise: bool = False) -> Mixture:
        """Read ``math=0.4 code=0.6`` (spaces or commas between the pairs)."""
        return cls(parse_shares(text), normalise=normalise)

    @property
    def shares(self) -> dict[str, float]:
        """Domain name -> share."""
        return dict(self._shares)

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in the order given."""
        return tuple(self._shares)

    def to_series(self) -> pd.Series:
        """The shares as a pandas Series indexed by domain."""
        import pandas as pd

        return pd.Series(self._shares, name="share")

    def to_array(self, domains: Sequence[str]) -> np.ndarray:
        """The shares in the order of ``domains``, shape (K,); a domain that is not named has share 0."""
        return as_shares(self, domains)[0]

    def keys(self) -> tuple[str, ...]:
        return self.domains

    def __getitem__(self, domain: str) -> float:
        try:
            return self._shares[domain]
        except KeyError:
            raise unknown_domain(domain, self._shares) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._shares)

    def __len__(self) -> int:
        return len(self._shares)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mixture) and self._shares == other._shares

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._shares.items())))

    def __repr__(self) -> str:
        return f"Mixture({', '.join(f'{name}={share:.3f}' for name, share in self._shares.items())})"


def parse_shares(text: str) -> dict[str, float]:
    """Read ``math=0.4 code=0.6`` into a dict; percentages (``math=40%``) are understood.

    >>> parse_shares("math=40%, code=0.6")
    {'math': 0.4, 'code': 0.6}
    """
    shares: dict[str, float] = {}
    for pair in text.replace(",", " ").split():
        name, equals, value = pair.rpartition("=")
        try:
            share = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            share = float("nan")
        if not equals or not name or not np.isfinite(share):
            raise MixtureError(f"cannot read {pair!r} as a share; write domain=share, for example math=0.4.")
        if name in shares:
            raise MixtureError(f"domain {name!r} is given twice; name each domain once.")
        shares[name] = share
    return shares


def unknown_domain(name: object, domains: Any) -> MixtureError:
    """The error for a domain that the pool or the runs do not have."""
    known = [str(domain) for domain in domains]
    return MixtureError(
        f"unknown domain {str(name)!r}.{did_you_mean(str(name), known)} Domains are {listed(known)}."
    )


def as_shares(mixtures: Any, domains: Sequence[str], *, tolerance: float = TOLERANCE) -> np.ndarray:
    """Rows of shares in the order of ``domains``, shape (n, K), each validated and summing to exactly 1.

    Parameters
    ----------
    mixtures: a :class:`Mixture`, a mapping or Series (one row), a DataFrame with one column per domain in any
        order, or an array of shape (n, K) or (K,) in the order of ``domains``. Domains left out have share 0.
    domains: names of the K domains.

    Raises
    ------
    MixtureError: an unknown domain, a negative or non-finite share, or a row that does not sum to 1.
    """
    import pandas as pd

    domains = [str(name) for name in domains]
    if isinstance(mixtures, pd.DataFrame):
        frame = mixtures.rename(columns=str)
    elif isinstance(mixtures, (Mixture, Mapping, pd.Series)):
        row = mixtures.shares if isinstance(mixtures, Mixture) else dict(mixtures)
        frame = pd.DataFrame([{str(name): share for name, share in row.items()}])
    else:
        array = np.atleast_2d(np.asarray(mixtures, dtype=float))
        if array.ndim != 2 or array.shape[1] != len(domains):
            raise MixtureError(
                f"mixtures have shape {array.shape}; expected (n, {len(domains)}), one column per domain: {', '.join(domains)}."
            )
        return _checked(array, domains, False, tolerance, DIVIDE)
    for name in frame.columns:
        if name not in domains:
            raise unknown_domain(name, domains)
    return _checked(
        frame.reindex(columns=domains, fill_value=0.0).to_numpy(dtype=float),
        domains,
        False,
        tolerance,
        DIVIDE,
    )


def _checked(
    T: np.ndarray,
    domains: Sequence[str],
    normalise: bool,
    tolerance: float = TOLERANCE,
    advice: str = "Pass normalise=True to rescale.",
) -> np.ndarray:
    if not np.isfinite(T).all():
        bad = domains[int(np.argwhere(~np.isfinite(T))[0, 1])]
        raise MixtureError(f"share of {bad!r} is not a number; give every domain a share between 0 and 1.")
    if (T < 0).any():
        row, column = np.argwhere(T < 0)[0]
        raise MixtureError(
            f"share of {domains[int(column)]!r} is {T[row, column]:.4g}; shares must be between 0 and 1."
        )
    total = T.sum(axis=1, keepdims=True)
    off = np.abs(total - 1)
    if normalise and (total > 0).all():
        return T / total
    if (off > tolerance).any():
        worst = float(total[int(off.argmax()), 0])
        raise MixtureError(f"mixture sums to {worst:.6g}; shares must sum to 1 (±{tolerance:g}). {advice}")
    return T / total


def replace_zeros(T: np.ndarray, eps: float = ZERO) -> np.ndarray:
    """Rows with every share at least about ``eps``, still summing to 1 (additive smoothing), shape (n, K)."""
    return (T + eps) / (1 + eps * T.shape[-1])


def log_mixture(T: np.ndarray, eps: float = ZERO) -> np.ndarray:
    """``log(T + eps)``, the treatment of arXiv 2607.01104, shape (n, K); nearly rank K - 1."""
    return np.log(T + eps)


def clr(T: np.ndarray, eps: float = ZERO) -> np.ndarray:
    """Centred log-ratios, shape (n, K); rows sum to 0."""
    logs = np.log(replace_zeros(T, eps))
    return logs - logs.mean(axis=-1, keepdims=True)


def ilr_basis(n_domains: int) -> np.ndarray:
    """Orthonormal basis of the log-ratio space, shape (K, K - 1); its columns sum to 0 (Helmert contrasts).

    >>> import numpy as np
    >>> basis = ilr_basis(4)
    >>> bool(np.allclose(basis.T @ basis, np.eye(3)) and np.allclose(basis.sum(axis=0), 0))
    True
    """
    basis = np.zeros((n_domains, n_domains - 1))
    for j in range(1, n_domains):
        basis[:j, j - 1] = 1 / j
        basis[j, j - 1] = -1
        basis[:, j - 1] *= np.sqrt(j / (j + 1))
    return basis


def ilr(T: np.ndarray, eps: float = ZERO) -> np.ndarray:
    """Isometric log-ratios, shape (n, K - 1)."""
    return clr(T, eps) @ ilr_basis(T.shape[-1])


def intervene(
    T: np.ndarray, domains: Sequence[str], shares: Mapping[str, float], keep: str = "proportional"
) -> np.ndarray:
    """Set some shares and say where the rest comes from, so that rows still sum to 1.

    Parameters
    ----------
    T: (n, K) mixtures to start from.
    domains: names of the K domains.
    shares: domain -> new share. If every domain is named, this is the whole mixture.
    keep: ``"proportional"`` – the domains that are not named keep their ratios; ``"from=<domain>"`` – that
        domain alone gives or takes the difference.

    Raises
    ------
    MixtureError: an unknown domain, shares outside [0, 1] or summing to more than 1, or a donor without enough.

    >>> intervene(np.array([[0.5, 0.3, 0.2]]), ["math", "code", "web"], {"math": 0.2}).round(3).tolist()
    [[0.2, 0.48, 0.32]]
    """
    T = np.atleast_2d(np.asarray(T, dtype=float))
    domains = list(domains)
    if not shares:
        raise MixtureError("no share to set; name at least one, for example math=0.4.")
    for name, share in shares.items():
        if name not in domains:
            raise unknown_domain(name, domains)
        if not (np.isfinite(share) and 0 <= share <= 1):
            raise MixtureError(f"share of {name!r} is {share:.4g}; shares must be between 0 and 1.")
    total = float(sum(shares.values()))
    everything = len(shares) == len(domains)
    if total > 1 + TOLERANCE or (everything and abs(total - 1) > TOLERANCE):
        raise MixtureError(
            f"the shares set sum to {total:.4g}; they must sum to {'' if everything else 'at most '}1."
        )
    named = [domains.index(name) for name in shares]
    out = T.copy()
    out[:, named] = list(shares.values())
    rest = [k for k in range(len(domains)) if k not in named]
    if everything:
        return out / out.sum(axis=1, keepdims=True)
    if keep == "proportional":
        weight = T[:, rest]
        sums = weight.sum(axis=1, keepdims=True)
        weight = np.where(sums > 0, weight / np.where(sums > 0, sums, 1), 1 / len(rest))
        out[:, rest] = weight * (1 - total)
        return out
    donor = keep.removeprefix("from=").removeprefix("from:")
    if donor == keep or donor not in domains or donor in shares:
        others = ", ".join(domains[k] for k in rest)
        raise MixtureError(
            f"keep={keep!r} is not understood; use 'proportional' or 'from=<domain>' with one of {others}."
        )
    k = domains.index(donor)
    out[:, k] = T[:, k] - (out[:, named] - T[:, named]).sum(axis=1)
    if (out[:, k] < -TOLERANCE).any():
        raise MixtureError(
            f"{donor!r} has only {float(T[:, k].min()):.3g} to give, which is less than needed; use keep='proportional'."
        )
    out[:, k] = out[:, k].clip(min=0)
    return out
