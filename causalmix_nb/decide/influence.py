"""On which runs does the answer hang? Those that do not fit the others, and those without which another mixture would be chosen.

Read off a quick surface, for which leaving out any one run is known in closed form, before the careful one is fitted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.decide.policy import draw_candidates
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.support import TrustRegion
from causalmix_nb.estimate.weights import judge
from causalmix_nb.methods.quick_surface import quick_surfaces, used

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.runs.store import Runs

CANDIDATES = 1000
BEST = 20  # candidates that a quick recommendation averages
SHOWN = 3  # most influential runs


@dataclass(frozen=True, slots=True)
class QuickLook:
    """What a quick surface recommends. mixture: domain -> share. gain: over Equal, in the outcome's units."""

    mixture: dict[str, float]
    gain: float

    def __str__(self) -> str:
        """Its largest shares and its gain."""
        top = sorted(self.mixture.items(), key=lambda pair: -pair[1])[:3]
        return f"{', '.join(f'{name} {share:.0%}' for name, share in top)} (gain {self.gain:.3g})"


@dataclass(frozen=True, slots=True)
class Influence:
    """The runs behind an answer.

    table: by key of the run: ``observed`` and ``expected`` (by the other runs) in the outcome's units, ``off`` (standard
    deviations between them), ``weight`` (1 counts in full), ``moved`` (share of the tokens by which a quick recommendation
    changes without the run); the runs that do not fit, the wildest first, then those that move most.
    weighed: what a quick look recommends where runs count as in a fit. without, in_full: where those that do not fit are
    left out or count like any other; None where all fit.
    """

    table: pd.DataFrame
    weighed: QuickLook
    without: QuickLook | None = None
    in_full: QuickLook | None = None


def keys_of(runs: Runs, problem: Problem) -> list[str]:
    """Keys of the runs of a problem, in its order."""
    frame = runs.frame
    rows = np.arange(len(frame)) if problem.rows is None else problem.rows
    return [str(key) for key in frame["key"].iloc[rows]]


def influence(problem: Problem, keys: list[str], random_state: int = 0) -> Influence:
    """Which runs do not fit the others, and which move the recommendation most."""
    import pandas as pd

    found = judge(problem)
    fits = found.counted(problem)
    rng = np.random.default_rng(random_state)
    (model,) = quick_surfaces([fits])
    candidates = draw_candidates(model, model.sign, model.start()[0], CANDIDATES, rng)
    covered = TrustRegion(problem.T).inside(candidates)
    candidates = candidates[covered] if covered.sum() >= BEST else candidates
    whole, moved = _best(model, candidates), np.full(problem.n_runs, np.nan)
    each = model.sign * model.without_each(candidates)
    for i, row in enumerate(used(problem.n_runs)):
        top = np.argsort(-each[:, i], kind="stable")[:BEST]
        moved[row] = np.abs(candidates[top].mean(0) - whole).sum() / 2
    most = np.argsort(-np.nan_to_num(moved), kind="stable")[:SHOWN]
    rows = np.array(list(dict.fromkeys([*found.wild.tolist(), *most.tolist()])), dtype=int)
    table = pd.DataFrame(
        {
            "observed": problem.y[rows], "expected": found.expected[rows], "off": found.off[rows],
            "weight": found.weights[rows], "moved": moved[rows],
        },
        index=pd.Index([keys[row] for row in rows], name="run"),
    )  # fmt: skip
    looks = [_look(model, whole)]
    if len(found.wild):
        in_full = replace(problem, weights=np.ones(problem.n_runs))
        others = quick_surfaces([in_full.subset(fits.trusted), in_full])
        looks += [_look(other, _best(other, candidates)) for other in others]
    return Influence(table, *looks)


def _best(model: Model, candidates: np.ndarray) -> np.ndarray:
    value = model.sign * model.expected(candidates)
    return candidates[np.argsort(-value, kind="stable")[:BEST]].mean(0)


def _look(model: Model, T: np.ndarray) -> QuickLook:
    value = model.sign * model.expected(np.vstack([T[None], model.start()]))
    return QuickLook(dict(zip(model.domains, T.tolist())), float(value[0] - value[1]))
