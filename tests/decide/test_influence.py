"""Claims about the quick looks behind an audit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.answers.interventions import do
from causalmix_nb.decide.influence import influence
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.weights import weighed
from causalmix_nb.methods.quick_surface import quick_surfaces
from causalmix_nb.runs.store import Runs
from wild import NAMES, loss, table


def test_the_gain_of_a_quick_look_is_over_equal_shares_of_what_the_runs_have_used():
    T = np.random.default_rng(0).dirichlet(np.ones(4), 60)
    mixtures = pd.DataFrame(T, columns=NAMES).assign(unused=0.0)
    problem = Problem.from_runs(Runs.from_frames(mixtures, pd.DataFrame({"loss": loss(T)}), minimize=True))
    look = influence(problem, [str(i) for i in range(60)]).weighed
    (model,) = quick_surfaces([weighed(problem)])
    assert look.mixture["unused"] == 0
    assert look.gain == pytest.approx(-do(model, look.mixture).estimate, rel=1e-9)


def test_without_the_run_that_does_not_fit_a_quick_look_is_that_of_the_other_runs():
    problem = Problem.from_runs(table({5: 5.0}))
    found = influence(problem, [str(i) for i in range(64)])
    others = problem.subset(np.setdiff1d(np.arange(64), 5))
    (model,) = quick_surfaces([others])
    assert found.table.index[0] == "5"
    assert found.without is not None and found.in_full is not None
    assert found.without.gain == pytest.approx(-do(model, found.without.mixture).estimate, rel=1e-6)
    assert found.weighed.gain == pytest.approx(found.without.gain, abs=0.05)


def test_where_all_runs_fit_there_is_one_quick_look():
    found = influence(Problem.from_runs(table()), [str(i) for i in range(64)])
    assert found.without is None and found.in_full is None
    assert "gain" in str(found.weighed)
