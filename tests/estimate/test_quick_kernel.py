"""Claims about the quick kernel: what is left out in closed form is what a fit without it would say."""

from __future__ import annotations

import numpy as np
import pytest

from causalmix_nb.estimate.problem import Problem
from causalmix_nb.estimate.quick_kernel import QuickKernel, QuickKernels
from wild import table


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem.from_runs(table(n=40))


@pytest.mark.parametrize("group", [[7], [3, 4, 21]], ids=str)
def test_a_value_left_out_is_what_the_others_alone_predict(problem, group):
    fit = QuickKernels(problem, np.arange(40)).explain(problem.y)
    away, sd = fit.left_out([np.array(group)])
    kept = np.setdiff1d(np.arange(40), group)
    covariance = fit.gram + fit.ratio * np.eye(40)
    known, between = covariance[np.ix_(kept, kept)], covariance[np.ix_(group, kept)]
    y = (problem.y - fit.level) / fit.spread
    expected = fit.level + fit.spread * between @ np.linalg.solve(known, y[kept])
    left = covariance[np.ix_(group, group)] - between @ np.linalg.solve(known, between.T)
    np.testing.assert_allclose(away[group], problem.y[group] - expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(sd[group], fit.spread * np.sqrt(fit.signal * np.diag(left)), rtol=1e-8)


def test_the_likeliest_kernel_is_the_likeliest_of_all_that_are_tried(problem):
    kernels = QuickKernels(problem, np.arange(40))
    fit = kernels.explain(problem.y)
    y = (problem.y - problem.y.mean()) / problem.y.std()

    def likelihood(length: float, ratio: float) -> float:
        covariance = QuickKernel(problem, (length, 0.7)).gram() + ratio * np.eye(40)
        signal = y @ np.linalg.solve(covariance, y) / 40
        return float(-20 * np.log(signal) - np.linalg.slogdet(covariance)[1] / 2)

    tried = {
        (length, ratio): likelihood(length, ratio)
        for length in (0.7, 1.5, 3.0)
        for ratio in np.geomspace(1e-4, 30, 24)
    }
    (length, ratio), _ = max(tried.items(), key=lambda pair: pair[1])
    assert fit.ratio == ratio
    np.testing.assert_array_equal(fit.gram, QuickKernel(problem, (length, 0.7)).gram())
