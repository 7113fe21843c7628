"""Mixtures: validation, log-ratios, interventions on the simplex."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmix_nb.errors import MixtureError
from causalmix_nb.mixture import Mixture, as_shares, clr, ilr, ilr_basis, intervene, parse_shares

DOMAINS = ["math", "code", "web"]


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"math": 0.5, "code": 0.4}, "sums to 0.9"),
        ({"math": 1.2, "code": -0.2}, "share of 'code' is -0.2"),
        ({"math": float("nan"), "code": 1}, "share of 'math' is not a number"),
        ({}, "at least one domain"),
        (3, "mapping of domain to share"),
    ],
)
def test_shares_that_are_no_mixture_are_refused_with_a_sentence(shares, said):
    with pytest.raises(MixtureError, match=said):
        Mixture(shares)


def test_normalise_rescales():
    assert Mixture({"math": 1, "code": 3}, normalise=True)["code"] == 0.75


def test_an_unknown_domain_is_named_with_the_nearest_one():
    with pytest.raises(MixtureError, match="unknown domain 'maths'. Did you mean 'math'"):
        as_shares({"maths": 1.0}, DOMAINS)
    with pytest.raises(MixtureError, match="unknown domain"):
        Mixture.equal(DOMAINS)["physics"]


def test_column_order_does_not_matter():
    frame = pd.DataFrame({"web": [0.2], "math": [0.5], "code": [0.3]})
    assert as_shares(frame, DOMAINS).tolist() == [[0.5, 0.3, 0.2]]


def test_shares_are_read_from_text():
    assert Mixture.parse("math=40%, code=0.6").shares == {"math": 0.4, "code": 0.6}
    for text in ("math", "math=", "math=x", "=0.4", "math=nan"):
        with pytest.raises(MixtureError, match="write domain=share"):
            parse_shares(text)
    with pytest.raises(MixtureError, match="given twice"):
        parse_shares("math=0.1 math=0.2")


mixtures = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda v: np.array([v]) / sum(v))


@settings(max_examples=50, deadline=None)
@given(mixtures, st.floats(0, 1))
def test_interventions_keep_the_sum_at_1_and_the_ratios_of_the_others(T, share):
    out = intervene(T, DOMAINS, {"math": share})
    assert np.isclose(out.sum(), 1) and (out >= 0).all() and np.isclose(out[0, 0], share)
    assert np.isclose(out[0, 1] * T[0, 2], out[0, 2] * T[0, 1])


def test_a_swap_moves_two_domains_only():
    out = intervene(np.array([[0.5, 0.3, 0.2]]), DOMAINS, {"math": 0.6}, keep="from=code")
    assert np.allclose(out, [[0.6, 0.2, 0.2]])


@pytest.mark.parametrize(
    ("shares", "keep", "said"),
    [
        ({"math": 0.9}, "from=code", "only 0.3 to give"),
        ({"math": 0.9}, "from=physics", "not understood"),
        ({"math": 0.9}, "sideways", "not understood"),
        ({"physics": 0.1}, "proportional", "unknown domain 'physics'"),
        ({"math": 1.4}, "proportional", "between 0 and 1"),
        ({"math": 0.7, "code": 0.7}, "proportional", "at most 1"),
        ({}, "proportional", "no share to set"),
    ],
)
def test_impossible_interventions_say_why(shares, keep, said):
    with pytest.raises(MixtureError, match=said):
        intervene(np.array([[0.5, 0.3, 0.2]]), DOMAINS, shares, keep)


def test_the_ilr_is_an_isometry_of_the_clr():
    T = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    assert np.allclose(np.linalg.norm(ilr(T), axis=1), np.linalg.norm(clr(T), axis=1))
    assert np.allclose(clr(T).sum(1), 0)
    assert np.allclose(ilr_basis(5).sum(0), 0)
