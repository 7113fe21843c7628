"""What may become of a pool after the runs were made: named shifts, and a history of runs in which people
reacted to the pool.

A shift is a sub-pool that no run was designed for, sometimes with another budget or a larger proxy. The
shifts are those of practice: a domain that matters gets harder, goes bad, is copied, runs out or is
overwritten. One shift is so mild that nothing can be won by adapting; the right answer to it is to keep the
mixture.

A history is the opposite of a design: whoever made the runs looked at the pool first. Mixture and outcome
then have a common cause.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from causalmix_nb.data.pool import Perturbation
from causalmix_nb.design.simplex import RunSpec, sample_perturbations, scarcest_shares
from causalmix_nb.errors import StudyError, did_you_mean

AS_IT_IS = "as it is"
LARGER = 5.0  # times the parameters of the study's proxies, about
SCARCE_EPOCHS = 5.0  # how often a run with half its tokens there reads all that is left of the scarce domain
REACTION = 1.0  # of a history: log share per standard deviation of a domain's loss
SPREAD = 0.5  # of a history: standard deviation of what people did for other reasons, in log shares


@dataclass(frozen=True, slots=True)
class Shift:
    """One thing that may happen to a pool. budget: times the tokens of a run. larger: with proxies of about
    five times the size.
    """

    name: str
    what: str
    perturbations: Mapping[str, Perturbation] = field(default_factory=dict)
    budget: float = 1.0
    larger: bool = False

    @property
    def seed(self) -> int:
        """A number of its own: runs of one shift share all chance, runs of two share none."""
        return zlib.crc32(self.name.encode()) % 100_000 * 1000


def pool_shifts(
    weights: Mapping[str, float], available: Mapping[str, int], token_budget: int
) -> tuple[Shift, ...]:
    """The pool as it is, and what may become of it, the domains that matter most hit first.

    Parameters
    ----------
    weights: domain -> weight in the outcome, for all domains; what matters most is hit most.
    available: domain -> distinct tokens there are.
    token_budget: tokens of a run.

    >>> [shift.name for shift in pool_shifts({"a": 2, "b": 1}, {"a": 10_000, "b": 10_000}, 1000)][:3]
    ['as it is', 'harder', 'noisier']
    """
    first, second, *_ = sorted(weights, key=lambda name: -weights[name])
    left = 0.5 * token_budget / SCARCE_EPOCHS
    keep = round(min(1.0, max(left / available[first], 1e-4)), 5)
    noisy = {first: Perturbation(noise=0.85)}
    return (
        Shift(AS_IT_IS, "nothing changed"),
        Shift(
            "harder",
            f"only the harder half of {first} and {second} is left",
            {name: Perturbation(difficulty=1.0) for name in (first, second)},
        ),
        Shift("noisier", f"most of {first} is corrupted", noisy),
        Shift(
            "duplicated",
            f"nearly all of {first} are copies of a few documents",
            {first: Perturbation(duplicates=0.98)},
        ),
        Shift("scarce", f"{first} is nearly gone, so that it repeats", {first: Perturbation(keep=keep)}),
        Shift(
            "replaced",
            f"most of {first} is overwritten with boilerplate",
            {first: Perturbation(boilerplate=0.9)},
        ),
        Shift(
            "two bad",
            f"{first} and {second} are corrupted at once",
            {first: Perturbation(noise=0.7), second: Perturbation(noise=0.7)},
        ),
        Shift("mild", "documents a little easier or harder: little to gain", _mild(list(weights))),
        Shift("twice the budget", "the same pool, twice the tokens", {}, 2.0),
        Shift("larger proxy", f"most of {first} is corrupted, and the proxies are larger", noisy, 1.0, True),
    )


def _mild(domains: Sequence[str]) -> dict[str, Perturbation]:
    return {name: Perturbation(difficulty=0.2 if k % 2 else -0.2) for k, name in enumerate(domains)}


def chosen_shifts(shifts: Sequence[Shift], names: Sequence[str] | None) -> tuple[Shift, ...]:
    """The pool as it is and the shifts that are named; all of them without names.

    Raises
    ------
    StudyError: a name that no shift has.
    """
    known = {shift.name: shift for shift in shifts}
    for name in names or ():
        if name not in known:
            raise StudyError(
                f"there is no shift {name!r}.{did_you_mean(name, known)} Shifts are {', '.join(known)}."
            )
    return tuple(s for s in shifts if names is None or s.name in names or s.name == AS_IT_IS)


def logged_history(
    domains: Sequence[str],
    losses: Mapping[int, Mapping[str, float]],
    states: Sequence[Mapping[str, Perturbation]],
    n_runs: int,
    token_budget: int,
    seed: int = 0,
    reaction: float = REACTION,
    spread: float = SPREAD,
) -> list[RunSpec]:
    """Runs whose mixture was chosen because of the pool: more of a domain whose loss is high, as if it were
    hard and not bad.

    Parameters
    ----------
    states: sub-pools, one after the other, two runs each.
    losses: number of a state -> domain -> the loss that was measured there, before mixing.
    reaction: log share per standard deviation of a domain's loss. spread: standard deviation of what people
        did for other reasons, which is normal in log shares.
    """
    rng = np.random.default_rng([seed, 11])
    table = np.array([[losses[i][name] for name in domains] for i in range(len(states))])
    scaled = (table - table.mean(0)) / np.where(table.std(0) > 0, table.std(0), 1)
    specs = []
    for i in range(n_runs):
        which = (i // 2) % len(states)
        logs = reaction * scaled[which] + spread * rng.standard_normal(len(domains))
        shares = np.exp(logs - logs.max())
        specs.append(
            RunSpec(
                tuple((shares / shares.sum()).tolist()),
                token_budget,
                states[which],
                seed,
                seed + 500_009 + i,
                "history",
            )
        )
    return specs


def history_states(
    domains: Sequence[str], n_runs: int, seed: int, available: Mapping[str, int], token_budget: int
) -> list[dict[str, Perturbation]]:
    """Sub-pools of a history: of the same kinds as in a design, but others."""
    return sample_perturbations(
        domains, n_runs // 2 + 1, seed + 1, scarcest=scarcest_shares(available, token_budget)
    )
