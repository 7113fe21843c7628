"""What setting some shares makes of a mixture, where domains that nobody has moved stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from causalmix_nb.errors import MixtureError
from causalmix_nb.estimate.model import Model
from causalmix_nb.mixture import TOLERANCE, intervene


def move(model: Model, shares: Mapping[str, float], keep: str, start: Any) -> tuple[np.ndarray, np.ndarray]:
    """The mixtures after and before setting some shares, each shape (1, K).

    Domains that no run has moved keep their share: they neither give nor take.

    Raises
    ------
    MixtureError: an unknown domain, shares that are no mixture, or a domain asked to move of which the runs say nothing.
    """
    problem, before = model.problem, model.start(start)
    held = problem.held or {}
    donor = keep.removeprefix("from=").removeprefix("from:")
    if donor != keep and donor in held:
        raise MixtureError(
            f"{donor!r} has a share of {held[donor]:.4g} in every run, so what it would do to give is not known; let another domain give."
        )
    stay = {name: float(before[0, model.domains.index(name)]) for name in held if name not in shares}
    left = 1 - sum(stay.values())
    total = sum(share for share in shares.values())
    if sum(stay.values()) > 0 and 1 + TOLERANCE >= total > left + TOLERANCE:
        kept = ", ".join(f"{name} {share:.4g}" for name, share in stay.items() if share)
        raise MixtureError(
            f"the shares set sum to {total:.4g}, but every run has {kept}, which stays: set at most {left:.4g} of the others."
        )
    whole = {**stay, **shares} if shares else shares
    after = intervene(before, model.domains, whole, keep)
    return problem.answerable(after), before
