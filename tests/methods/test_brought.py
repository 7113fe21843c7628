"""A method from a cell of a notebook is known wherever methods are fitted side by side, in other processes too."""

import subprocess
import sys

CELL = """
import numpy as np
import pandas as pd

import causalmix_nb as cm
from causalmix_nb.answers.leaderboard import leaderboard
from causalmix_nb.estimate.model import Model
from causalmix_nb.methods.fit import fit_outcomes
from causalmix_nb.methods.method import METHODS, Method


class Constant(Model):
    method = "constant"
    uses_state = False

    def mean(self, T, X, S):
        return np.full(len(T), self.problem.y.mean())

    def joint_at(self, T, X, S):
        return self.mean(T, X, S), np.full((len(T), len(T)), 1.0)


METHODS.register(Method("constant", "the mean", lambda problem, random_state=0: Constant(problem), uses_state=False))
T = np.random.default_rng(0).dirichlet(np.ones(3), 60)
runs = cm.Runs.from_frames(pd.DataFrame(T, columns=list("abc")), pd.DataFrame({"one": T[:, 0], "two": T[:, 1]}))
print(*(model.method for model in fit_outcomes(runs, method="constant", n_jobs=2).values()))
table = leaderboard(runs, methods=["constant", "equal"], budgets=(None,), n_splits=2, n_jobs=2).table
print(table["refused"].isna().all() or not table["refused"].astype(bool).any())
"""


def test_a_method_of_ones_own_is_fitted_in_other_processes():
    made = subprocess.run([sys.executable, "-c", CELL], capture_output=True, text=True, check=True)
    assert made.stdout.split() == ["constant", "constant", "True"]
