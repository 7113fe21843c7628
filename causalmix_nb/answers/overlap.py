"""Where the runs have support: which mixtures were tried, and which were tried at states like the one that is asked about.

Adjusting for the state compares runs at like states, so it needs runs there: if people never gave the noisy pool much code, no
estimate can say what much code does to it except by extrapolating. Distances are counted in the runs' own: a place is covered
if its third nearest run is no further than the third nearest run is for 95 % of the runs.

Reference: A. D'Amour, P. Ding, A. Feller, L. Lei, J. Sekhon, *Overlap in observational studies with high-dimensional
covariates*, 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.answers.question import QUESTIONS, Question, perturbation
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.support import Support
from causalmix_nb.finding import Finding
from causalmix_nb.plots.checks import shares_tried

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COMPONENTS = (
    3  # leading components of the state that distances look at: of more, everything is far from everything
)
NEAR = 0.25  # the part of the runs that counts as being at a like state
SAMPLE = 2000  # mixtures drawn evenly over the simplex


@dataclass(frozen=True, slots=True)
class Overlap(Finding):
    """What mixtures the runs have tried, over all and near one state.

    table: one row per domain: ``least``, ``median``, ``most`` (shares tried in all runs) and the same ``…_near`` (in the quarter of
    the runs at the states most like the one asked about). covered, covered_near: part of evenly drawn mixtures (of the domains that runs have moved) that is covered,
    anywhere and at that state, with Wilson's 95 % interval. shares, near: what the picture is made from.
    """

    table: pd.DataFrame
    covered: tuple[float, float, float]
    covered_near: tuple[float, float, float] | None
    shares: pd.DataFrame
    near: np.ndarray

    @property
    def title(self) -> str:
        return f"Which mixtures {len(self.shares)} runs have tried"

    @property
    def sentences(self) -> tuple[str, ...]:
        p, low, high = self.covered
        sentences = [f"{p:.0%} of all mixtures are covered by runs (interval {low:.0%} to {high:.0%})"]
        if self.covered_near is not None:
            q, low, high = self.covered_near
            sentences.append(f"at this state {q:.0%} of them are (interval {low:.0%} to {high:.0%})")
            if q < 0.5 * p:
                sentences.insert(
                    0,
                    "the runs at states like this one tried much fewer mixtures than the runs in all: an answer for this "
                    "state is extrapolated from other states",
                )
        never = [str(name) for name in self.table.index[self.table["most"] <= 0]]
        if never:
            sentences.append(f"no run has any {', '.join(never)}: its effect is not identified")
        rare = [str(name) for name in self.table.index[(self.table["most"] > 0) & (self.table["most"] < 0.2)]]
        if rare:
            sentences.append(f"never more than a fifth in any run: {', '.join(rare)}")
        return tuple(sentences)

    def figure(self) -> Figure:
        return shares_tried(self.shares, self.near if self.covered_near is not None else None)


def overlap(fitted: Model | Problem, state: Any = None, random_state: int = 0) -> Overlap:
    """Where the runs behind a model have support.

    Parameters
    ----------
    fitted: a model, or the problem it was fitted on.
    state: the state to ask about (Series or dict); None is the model's pool state, else no particular one.
    """
    import pandas as pd

    problem = fitted.problem if isinstance(fitted, Model) else fitted
    support = Support(problem)
    w = _place(fitted, state)
    near = support.near(w) if w is not None else np.ones(problem.n_runs, dtype=bool)
    columns: dict[str, np.ndarray] = {}
    for suffix, rows in (("", slice(None)), ("_near", near)):
        T = problem.T[rows]
        columns |= {
            f"least{suffix}": T.min(0),
            f"median{suffix}": np.median(T, axis=0),
            f"most{suffix}": T.max(0),
        }
    table = pd.DataFrame(columns, index=pd.Index(problem.domains, name="domain"))
    drawn = np.zeros(
        (SAMPLE, len(problem.domains))
    )  # of the domains that moved; the others are as in every run
    moving = problem.moving
    drawn[:, moving] = np.random.default_rng(random_state).dirichlet(np.ones(int(moving.sum())), SAMPLE)
    drawn = problem.hold(drawn) if problem.held else drawn
    # anywhere: the mixture is covered at the state of some run
    anywhere = Support(problem.without_state()) if problem.X.shape[1] else support
    bare = np.tile(np.median(problem.S, axis=0), (SAMPLE, 1))
    covered = _wilson(int((anywhere.distance(drawn, bare) <= 1 + 1e-9).sum()), SAMPLE)
    here = None
    if w is not None:
        here = _wilson(int((support.distance(drawn, np.tile(w, (SAMPLE, 1))) <= 1 + 1e-9).sum()), SAMPLE)
    return Overlap(table, covered, here, pd.DataFrame(problem.T, columns=list(problem.domains)), near)


def _place(fitted: Model | Problem, state: Any) -> np.ndarray | None:
    """State and log scale (d,) to ask about, or None."""
    problem = fitted.problem if isinstance(fitted, Model) else fitted
    model = fitted if isinstance(fitted, Model) else Model(problem)
    if not problem.X.shape[1] or (state is None and model.pool_state is None):
        return None
    return np.hstack([model.states(state)[0], model.scales(None, 1)[0]])


def _wilson(count: int, n: int) -> tuple[float, float, float]:
    """A share with Wilson's 95 % interval."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(count, n, method="wilson")
    return count / n, float(low), float(high)


QUESTIONS.register(
    Question(
        "overlap",
        "Which mixtures were tried, and which at states like this one.",
        "%causalmix overlap --noise code=0.8",
        lambda study, perturbation: study.overlap(perturbation),
        (perturbation(),),
    )
)
