"""Claims about searches and about baselines that are fitted: they find what there is to find, with the runs they were allowed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.decide.baselines.baseline import Case, baseline_mixture
from causalmix_nb.decide.baselines.dmo import dmo, domain_losses
from causalmix_nb.decide.baselines.simulated import law
from causalmix_nb.decide.search import bayesian_optimisation, grid_mixtures, grid_search
from causalmix_nb.errors import CausalMixError, FitError, MixtureError
from causalmix_nb.mixture import Mixture
from causalmix_nb.runs.store import Runs
from worlds import make_world

WORLD = make_world(3, n_domains=4, n_states=1)
HERE = np.zeros(1)


def asked(noise=0.2, minimize=False, fails=()):
    rng, calls = np.random.default_rng(0), []

    def evaluate(T):
        calls.append(len(T))
        y = WORLD.expected(T, np.zeros((len(T), 1))) + noise * rng.normal(size=len(T))
        y[[i for i in fails if i < len(T)]] = np.nan
        return -y if minimize else y

    return evaluate, calls


def test_a_lattice_is_the_finest_that_the_runs_allow():
    T = grid_mixtures(4, 40)  # C(7, 3) = 35 points in quarters
    assert len(T) == 35
    assert len(np.unique(T, axis=0)) == 35
    np.testing.assert_allclose(T.sum(1), 1)
    assert set(np.unique(T)) == {0, 0.25, 0.5, 0.75, 1}
    assert len(grid_mixtures(4, 34)) == 20


def test_a_grid_ends_with_the_best_of_its_runs():
    evaluate, calls = asked(noise=0, minimize=True)
    found = grid_search(evaluate, WORLD.domains, 40, minimize=True)
    T = found.table.filter(like="mixture.").to_numpy()
    assert calls == [35]
    np.testing.assert_allclose(list(found.mixture.shares.values()), T[found.table["outcome"].argmin()])


def test_bayesian_optimisation_beats_the_grid_and_chance_with_the_same_runs():
    evaluate, calls = asked()
    found = bayesian_optimisation(evaluate, WORLD.domains, 34, batch=8)
    assert calls == [10, 8, 8, 8]
    assert len(found.table) == 34 and found.table["round"].max() == 3
    grid = grid_search(asked()[0], WORLD.domains, 34)
    regrets = [WORLD.regret(np.array(list(one.mixture.shares.values())), HERE) for one in (found, grid)]
    assert regrets[0] < regrets[1]
    chance = np.mean([WORLD.regret(t, HERE) for t in np.random.default_rng(0).dirichlet(np.ones(4), 40)])
    assert regrets[0] < 0.25 * chance


def test_a_search_is_repeatable_and_goes_on_without_runs_that_failed():
    first, again = (
        bayesian_optimisation(asked(fails=(1,), minimize=True)[0], WORLD.domains, 18, minimize=True)
        for _ in range(2)
    )
    assert first.mixture == again.mixture
    assert "2 runs failed" in " ".join(first.sentences)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: grid_search(e, WORLD.domains, 3), "4 corners; allow at least as many"),
        (lambda e: bayesian_optimisation(e, WORLD.domains, 5), "begins with 10 runs"),
        (
            lambda e: bayesian_optimisation(lambda T: np.full(len(T), np.nan), WORLD.domains, 20),
            "only 0 of 10",
        ),
        (lambda e: grid_search(lambda T: np.full(len(T), np.nan), WORLD.domains, 20), "none of the runs"),
    ],
)
def test_a_search_without_sense_gets_one_sentence(call, message):
    with pytest.raises(FitError, match=message):
        call(asked()[0])


# -- fitted baselines ----------------------------------------------------------------------------------------


def power_law_runs(n=60, seed=0, names="bpb.{}"):
    """Losses as DMO's paper has them: own data, and a part of the others', by a power law."""
    rng = np.random.default_rng(seed)
    T = rng.dirichlet([1.5, 1.5, 1.5], n)
    k, b, scale = [0.02, 0.1, 0.5], [0.3, 0.2, 0.2], [1.0, 1.0, 1.0]
    losses = {
        names.format(name): 1
        + scale[j] * (T[:, j] + k[j] * (1 - T[:, j]) ** 0.7) ** -b[j]
        + 0.01 * rng.normal(size=n)
        for j, name in enumerate("xyz")
    }
    return Runs.from_frames(pd.DataFrame(T, columns=list("xyz")), pd.DataFrame(losses), minimize=True)


def true_optimum(weights):
    grid = grid_mixtures(3, 5000)
    k, b = [0.02, 0.1, 0.5], [0.3, 0.2, 0.2]
    total = sum(
        w * (grid[:, j] + k[j] * (1 - grid[:, j]) ** 0.7 + 1e-12) ** -b[j] for j, w in enumerate(weights)
    )
    return grid[total.argmin()]


@pytest.mark.parametrize("weights", [(1, 1, 1), (4, 1, 0.5)])
def test_dmo_finds_the_minimum_of_the_sum_of_power_laws(weights):
    found = dmo(power_law_runs(), dict(zip("xyz", weights)))
    np.testing.assert_allclose(list(found.shares.values()), true_optimum(weights), atol=0.06)


def test_losses_are_matched_to_domains_by_name():
    assert domain_losses(power_law_runs(names="{}_val_loss")) == {name: f"{name}_val_loss" for name in "xyz"}
    scored = Runs.from_frames(
        pd.DataFrame({"x": [0.5], "y": [0.5]}), pd.DataFrame({"x": [1.0], "score": [2.0]})
    )
    assert domain_losses(scored) == {}


def test_the_mixing_law_goes_to_the_corner_that_it_sees():
    rng = np.random.default_rng(0)
    T = rng.dirichlet([1, 1, 1], 60)
    runs = Runs.from_frames(
        pd.DataFrame(T, columns=list("xyz")),
        pd.DataFrame({"loss": 2 + np.exp(1 - 2 * T[:, 0])}),
        minimize=True,
    )
    assert law(runs)["x"] > 0.97


def test_baselines_by_name():
    runs = power_law_runs()
    for name in ("equal", "best_run", "law", "dmo"):
        assert isinstance(baseline_mixture(name, Case(runs, "bpb.x")), Mixture)
    with pytest.raises(MixtureError, match="unknown baseline 'dmoo'. Did you mean 'dmo'"):
        baseline_mixture("dmoo", Case(runs, "bpb.x"))
    with pytest.raises(CausalMixError, match="needs a loss for each of two domains"):
        dmo(make_world(0).runs(30, 0))
