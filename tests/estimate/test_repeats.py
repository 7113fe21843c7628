"""Claims about repeated runs: they judge each other."""

from __future__ import annotations

import numpy as np

from causalmix_nb.estimate.robust.repeats import Repeats

MIXTURE = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3])


def test_who_agrees_with_its_repeats_is_not_wild_however_unexpected():
    z = np.array([5.0, 5.1, 4.9, 0.0, 0.1, -0.1, 1.0, 1.1, 4.0, 9.0])
    off = Repeats(z, MIXTURE, slight=0.05).judged(np.full(10, 8.0))
    assert (np.abs(off[[0, 1, 2, 3, 4, 5, 6, 7]]) < 3).all()
    assert off[8] > 10  # of three it is the one that disagrees
    assert off[9] == 8.0  # not repeated: what others expect holds


def test_of_two_that_disagree_it_is_the_one_that_other_mixtures_do_not_expect():
    mixture, z = np.array([0, 0, 1, 1, 2, 2]), np.array([0.0, 3.0, 1.0, 1.1, 2.0, 2.1])
    off = Repeats(z, mixture, slight=0.05).judged(np.array([0.2, 7.0, 1.0, 1.0, 1.0, 1.0]))
    assert off[0] == 0.0 and off[1] > 10


def test_too_few_repeated_mixtures_judge_nobody():
    given = np.arange(4.0)
    off = Repeats(np.array([0.0, 9.0, 1.0, 1.1]), np.array([0, 0, 1, 1]), slight=0.05).judged(given)
    np.testing.assert_array_equal(off, given)
