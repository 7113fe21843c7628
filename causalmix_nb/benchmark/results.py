"""What a pool-shift experiment found: headroom, what of it was recovered, and how the methods differ.

Headroom is what adapting could win at most: the best mixture found by direct search at the shift, less the
best mixture found at the pool as it was, both trained at the shift with paired seeds. Where it is small, no
method can win, and keeping the mixture is right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.benchmark.differences import (
    Difference,
    pool_differences,
    ratio_of_means,
    resampled_interval,
)
from causalmix_nb.benchmark.rivals import EQUAL, LOGGED, NATURAL, OURS
from causalmix_nb.benchmark.shifts import AS_IT_IS, Shift
from causalmix_nb.finding import Finding
from causalmix_nb.plots.shift import SHOWN, shift_gains

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BEST, KEPT = "best found", "best before"  # by direct search at the shift; at the pool as it was
REFERENCES = (BEST, KEPT)
FLOORS = 5.0  # noise floors of headroom, below which no gain can be detected
LEARNT_FROM_HISTORY = " (history)"


@dataclass(frozen=True)
class PoolShift(Finding):
    """Methods at a pool that changed, proven by training; differences are in the good direction.

    outcomes: one row per training: ``shift``, ``method``, ``seed``, ``outcome`` (own units). Methods that
        learnt from a history of chosen mixtures end in `` (history)``; ``best found`` and ``best before`` are
        the references.
    mixtures: (shift, method) × domain. advice: per shift, what ours predicted (``gain``, ``lower``,
        ``upper``) and whether it ``keeps``.
    tokens: method -> training tokens that its answers cost, for all shifts together.
    """

    outcomes: pd.DataFrame
    mixtures: pd.DataFrame
    advice: pd.DataFrame
    shifts: tuple[Shift, ...]
    tokens: Mapping[str, int]
    outcome: str
    minimize: bool
    assignment: Mapping[
        str, float
    ]  # design, history -> share of the mixture's variance that the state explains
    refused: Mapping[str, str]  # method -> why it could not be fitted

    # -- numbers ------------------------------------------------------------------------------------------

    def seeds(self, shift: str) -> pd.DataFrame:
        """Method × seed at one shift, larger is better; seeds that failed for a method are missing."""
        return self._seeds[shift]

    @cached_property
    def _seeds(self) -> dict[str, pd.DataFrame]:
        sign = -1.0 if self.minimize else 1.0
        return {
            str(shift): sign * rows.pivot(index="method", columns="seed", values="outcome")
            for shift, rows in self.outcomes.groupby("shift", sort=False)
        }

    def paired(self, shift: str, method: str, other: str) -> np.ndarray:
        """Differences (seeds,) of two methods at one shift."""
        values = self.seeds(shift)
        return (values.loc[method] - values.loc[other]).dropna().to_numpy()

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that learnt from the design or from nothing, in the order of the table."""
        names = dict.fromkeys(self.outcomes["method"])
        return tuple(n for n in names if n not in REFERENCES and not n.endswith(LEARNT_FROM_HISTORY))

    @cached_property
    def headroom(self) -> pd.DataFrame:
        """Per shift: ``headroom`` with its interval, ``noise_floor`` (standard error of a paired difference
        to the best found, median over methods), ``floors`` (their ratio), ``room`` (whether there is any),
        and what ours did: ``keeps``, ``recovered``, ``regret``.
        """
        import pandas as pd

        rows = {}
        for shift in self.shifts:
            values = self.seeds(shift.name)
            most = Difference.of(self.paired(shift.name, BEST, KEPT))
            differences = [
                Difference.of((values.loc[BEST] - values.loc[name]).dropna().to_numpy()).se
                for name in self.methods
                if name in values.index
            ]
            floor = float(np.median([se for se in differences if se > 0] or [float("nan")]))
            room = most.estimate >= FLOORS * floor and most.lower > 0
            rows[shift.name] = {
                "headroom": most.estimate,
                "lower": most.lower,
                "upper": most.upper,
                "noise_floor": floor,
                "floors": most.estimate / floor,
                "room": bool(room),
                "keeps": bool(self.advice.loc[shift.name, "keeps"]),
                "recovered": self.recovered(shift.name, OURS).estimate if room else float("nan"),
                "regret": float(self.paired(shift.name, BEST, OURS).mean()),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("shift")

    def recovered(self, shift: str, method: str) -> Difference:
        """Share of the headroom that a method wins: 1 is the best found there, 0 the best before."""
        values = self.seeds(shift)
        rows = values.loc[[method, KEPT, BEST]].dropna(axis=1)
        return ratio_of_means(
            (rows.loc[method] - rows.loc[KEPT]).to_numpy(), (rows.loc[BEST] - rows.loc[KEPT]).to_numpy()
        )

    @cached_property
    def by_shift(self) -> pd.DataFrame:
        """One row per (shift, method): ``outcome`` (own units), ``difference`` to Equal with ``lower`` and
        ``upper``, ``rank`` among methods, ``regret`` to the best found, ``recovered`` (NaN without headroom).
        """
        import pandas as pd

        room, rows = self.headroom["room"], []
        for shift in self.shifts:
            values = self.seeds(shift.name)
            means = values.mean(axis=1)
            ranks = means[[name for name in self.methods if name in means.index]].rank(ascending=False)
            for name in values.index:
                gain = Difference.of(self.paired(shift.name, name, EQUAL))
                rows.append(
                    {
                        "shift": shift.name,
                        "method": name,
                        "outcome": (-1 if self.minimize else 1) * means[name],
                        "difference": gain.estimate,
                        "lower": gain.lower,
                        "upper": gain.upper,
                        "rank": ranks.get(name, float("nan")),
                        "regret": means[BEST] - means[name],
                        "recovered": self.recovered(shift.name, name).estimate
                        if room[shift.name]
                        else float("nan"),
                        "seeds": int(values.loc[name].notna().sum()),
                    }
                )
        return pd.DataFrame(rows)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per method, best average rank first: ``rank`` and ``regret`` averaged over the shifts where
        every method was trained, ``recovered`` over those with headroom, with its interval, ``difference`` to
        Equal pooled over shifts, ``tokens`` it cost.
        """
        import pandas as pd

        found, room = self.by_shift, self._with_room
        rows = {}
        for name in (*self.methods, KEPT):
            here = found[(found["method"] == name) & (found["shift"] != AS_IT_IS)]
            gain = self.pooled(name, EQUAL)
            won = [self.recovered(s, name) for s in room if name in self.seeds(s).index]
            share = pool_differences(won) if won else Difference.make(*[float("nan")] * 3)
            rows[name] = {
                "rank": here["rank"].mean(),
                "recovered": share.estimate,
                "recovered_lower": share.lower,
                "recovered_upper": share.upper,
                "regret": here["regret"].mean(),
                "difference": gain.estimate,
                "lower": gain.lower,
                "upper": gain.upper,
                "shifts": len(here),
                "tokens": self.tokens.get(name, 0),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method").sort_values("rank")

    @property
    def _changed(self) -> list[str]:
        return [shift.name for shift in self.shifts if shift.name != AS_IT_IS]

    @property
    def _with_room(self) -> list[str]:
        table = self.headroom
        return [name for name in self._changed if table.loc[name, "room"]]

    def pooled(self, method: str, other: str) -> Difference:
        """Mean difference of two methods over the shifts at which both were trained."""
        return pool_differences([Difference.of(d) for d in self._pairs(method, other)])

    def _pairs(self, method: str, other: str) -> list[np.ndarray]:
        parts = [
            self.paired(shift, method, other)
            for shift in self._changed
            if {method, other} <= set(self.seeds(shift).index)
        ]
        return [part for part in parts if len(part) > 1]

    @cached_property
    def pooled_table(self) -> pd.DataFrame:
        """Ours minus each other method, averaged over the shifts: interval for these shifts (``lower``,
        ``upper``), and for shifts like these (``wide_lower``, ``wide_upper``).
        """
        import pandas as pd

        rows = {}
        for name in self.methods:
            if name == OURS or not (parts := self._pairs(OURS, name)):
                continue
            mean = self.pooled(OURS, name)
            wide = resampled_interval(parts)
            rows[name] = {
                "difference": mean.estimate,
                "lower": mean.lower,
                "upper": mean.upper,
                "wide_lower": wide[0],
                "wide_upper": wide[1],
                "shifts": len(parts),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("ours minus")

    @cached_property
    def history_table(self) -> pd.DataFrame:
        """Methods that learnt from a history in which people chose mixtures because of the pool: mean
        ``regret`` over the shifts, and ours as a ``share`` of it with an interval over seeds. Empty without a
        history.
        """
        import pandas as pd

        names = [n for n in dict.fromkeys(self.outcomes["method"]) if n.endswith(LEARNT_FROM_HISTORY)]
        if not names:
            return pd.DataFrame(columns=["regret", "share", "lower", "upper"])
        shifts = [s for s in self._changed if set(names) <= set(self.seeds(s).index)]
        ours = OURS + LEARNT_FROM_HISTORY
        rows = {}
        for name in names:
            regret = [self.paired(s, BEST, name) for s in shifts]
            mine = [self.paired(s, BEST, ours) for s in shifts]
            below = float(np.mean([r.mean() for r in regret]))
            share = float(np.mean([r.mean() for r in mine])) / below
            errors = [
                np.std(a - share * b, ddof=1) / math.sqrt(len(a)) for a, b in zip(mine, regret)
            ]  # of the sum over shifts, by the delta method
            se = float(np.sqrt(np.sum(np.square(errors))) / len(shifts) / abs(below))
            interval = Difference.make(share, se, sum(len(r) - 1 for r in regret))
            rows[name.removesuffix(LEARNT_FROM_HISTORY)] = {
                "regret": below,
                "share": share,
                "lower": interval.lower,
                "upper": interval.upper,
                "shifts": len(shifts),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")

    # -- words ---------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        return f"Which mixtures hold when the pool changes? {self.outcome}, {len(self._changed)} shifts"

    @property
    def sentences(self) -> tuple[str, ...]:
        table, head, ahead = self.table, self.headroom, self.pooled_table
        room = [name for name in self._changed if head.loc[name, "room"]]
        lines = []
        if room:
            ours = table.loc[OURS]
            lines.append(
                f"of what adapting could gain, {OURS} recovers {ours['recovered']:.0%} "
                f"({ours['recovered_lower']:.0%} to {ours['recovered_upper']:.0%}) without a new run, "
                f"on average over {len(room)} shifts with headroom"
            )
        else:
            lines.append("no shift leaves headroom that these seeds can detect, so that no method can gain")
        lines.append(
            "average rank: "
            + ", ".join(
                f"{name} {row['rank']:.1f}" for name, row in table.drop(index=KEPT).head(4).iterrows()
            )
        )
        for name in (EQUAL, NATURAL, "regmix"):
            if name in ahead.index:
                row = ahead.loc[name]
                sure = (
                    ": better"
                    if row["lower"] > 0
                    else ": worse"
                    if row["upper"] < 0
                    else ": not significant, the 95 % interval includes 0"
                )
                lines.append(
                    f"against {name} over all shifts {row['difference']:+.4f} "
                    f"({row['lower']:+.4f} to {row['upper']:+.4f} for these shifts, "
                    f"{row['wide_lower']:+.4f} to {row['wide_upper']:+.4f} for shifts like these){sure}"
                )
        for name in self._changed:
            if not head.loc[name, "room"]:
                did = "keeps the mixture" if head.loc[name, "keeps"] else "changes it"
                lines.append(
                    f"{name}: no detectable headroom ({head.loc[name, 'headroom']:.4f}, "
                    f"noise floor {head.loc[name, 'noise_floor']:.4f}); {OURS} {did}"
                )
        logged = self.history_table
        for name in LOGGED[1:]:
            if name in logged.index:
                row = logged.loc[name]
                lines.append(
                    f"from a history of chosen mixtures: regret {row['share']:.2f} of {name}'s "
                    f"({row['lower']:.2f} to {row['upper']:.2f})"
                )
        lines += [f"{name} could not be fitted: {why.rstrip('.')}" for name, why in self.refused.items()]
        return tuple(lines)

    def figure(self) -> Figure:
        import pandas as pd

        rows = []
        for shift in self.shifts:
            for name in {method for method, *_ in SHOWN} & set(self.seeds(shift.name).index):
                gain = Difference.of(self.paired(shift.name, name, KEPT))
                rows.append((shift.name, name, gain.estimate, gain.upper - gain.estimate))
        return shift_gains(pd.DataFrame(rows, columns=["shift", "method", "gain", "half"]), self.outcome)

    def __str__(self) -> str:
        return "\n".join([self.title, *self.sentences])
