"""How one domain of a sub-pool differs from the pool before anything is mixed: noisier, duplicated, scarcer, harder.

A :class:`Perturbation` says it, and :func:`plan_perturbation` turns it into a list of documents, which is all that training needs.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields

import numpy as np

from causalmix_nb.errors import PoolError

BOILERPLATE = (
    "Home | Products | About us | Careers | Contact | Sign in\nThis site uses cookies to improve your experience. "
    "By continuing to browse you accept our use of cookies. Accept all | Manage preferences\n",
    "Copyright. All rights reserved. No part of this page may be reproduced without permission. "
    "Terms of service | Privacy policy | Accessibility | Sitemap\n",
    "Subscribe to our newsletter! Enter your e-mail address to receive news and special offers. "
    "You can unsubscribe at any time. Share this page: Facebook | Twitter | LinkedIn | E-mail\n",
)


@dataclass(frozen=True, slots=True)
class Perturbation:
    """How one domain of a sub-pool differs from the pool's, before mixing.

    >>> Perturbation(noise=1.4)
    Traceback (most recent call last):
    ...
    causalmix_nb.errors.PoolError: noise is 1.4; it must lie between 0 and 1.
    """

    noise: float = 0.0  # share of documents whose characters are shuffled, 0 … 1
    duplicates: float = (
        0.0  # share of documents replaced by copies of a few (1 %) of the domain's documents, 0 … 1
    )
    boilerplate: float = 0.0  # share of documents replaced by boilerplate, 0 … 1
    difficulty: float = 0.0  # -1 keeps the easiest half, +1 the hardest half, by compressed size per byte
    keep: float = 1.0  # share of the documents that is there at all, above 0 … 1

    def __post_init__(self) -> None:
        for name, low in (
            ("noise", 0),
            ("duplicates", 0),
            ("boilerplate", 0),
            ("difficulty", -1),
            ("keep", 0),
        ):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and low <= value <= 1):
                raise PoolError(f"{name} is {value}; it must lie between {low} and 1.")
        if self.keep == 0:
            raise PoolError(
                "keep is 0; a domain cannot lose all its documents. Give it a share of 0 in the mixture."
            )

    def __str__(self) -> str:
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return ", ".join(f"{name} {value:.0%}" for name, value in changed.items()) or "as it is"


@dataclass(frozen=True, slots=True)
class PerturbationPlan:
    """The documents of a perturbed domain: index (m,) int of the source document, noisy (m,) and boilerplate (m,) bool."""

    index: np.ndarray
    noisy: np.ndarray
    boilerplate: np.ndarray


def plan_perturbation(
    n_documents: int, perturbation: Perturbation, seed: int, difficulty: np.ndarray | None = None
) -> PerturbationPlan:
    """Which documents a perturbed domain has, and what is wrong with them.

    The same seed nests: what is noisy at 0.3 is noisy at 0.6.

    Parameters
    ----------
    n_documents: of the domain.
    difficulty: (n_documents,) scores, larger is harder; needed where ``perturbation.difficulty`` is not 0.
    """
    rng = np.random.default_rng(seed)
    keep, noise, copy, replaced = rng.random((4, n_documents))
    originals = rng.permutation(n_documents)[: max(1, n_documents // 100)]
    copied = originals[rng.integers(len(originals), size=n_documents)]
    kept = keep < perturbation.keep
    if perturbation.difficulty and difficulty is not None:
        rank = np.argsort(np.argsort(difficulty, kind="stable")) / max(1, n_documents - 1)
        hardest = 1 - perturbation.difficulty / 2 if perturbation.difficulty < 0 else 1.0
        kept &= (rank >= max(0.0, perturbation.difficulty / 2)) & (
            rank <= (1 + perturbation.difficulty / 2 if perturbation.difficulty < 0 else hardest)
        )
    if not kept.any():
        kept[int(keep.argmin())] = True
    index = np.where(copy < perturbation.duplicates, copied, np.arange(n_documents))
    return PerturbationPlan(
        index[kept], (noise < perturbation.noise)[kept], (replaced < perturbation.boilerplate)[kept]
    )


def corrupt_text(text: str, seed: int) -> str:
    """The same characters in a random order that depends on the seed and the text."""
    data = text.encode()
    characters = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    rng = np.random.default_rng([seed, zlib.crc32(data)])
    return characters[rng.permutation(len(characters))].tobytes().decode("utf-32-le")
