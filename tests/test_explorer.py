"""Claims about the explorer: shares always make a mixture, numbers are the model's, stale questions are dropped, mistakes are seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from worlds import make_world

from causalmix_nb.effects import fit_linear
from causalmix_nb.errors import MixtureError
from causalmix_nb.explorer import MixtureExplorer
from causalmix_nb.mixture import Mixture
from causalmix_nb.model import Problem

WORLD = make_world(0)
HERE = dict(zip(WORLD.states, [0.5, 0.0, -0.5]))


@pytest.fixture(scope="module")
def model():
    return fit_linear(Problem.from_runs(WORLD.runs(96, 0, minimize=True)), n_repeats=1)


@pytest.fixture
def explorer(model):
    natural = Mixture(dict(zip(WORLD.domains, [0.5, 0.2, 0.1, 0.1, 0.1])))
    available = dict.fromkeys(WORLD.domains, 1e6)
    return MixtureExplorer(model, None, {"natural": natural}, available, 2e6, HERE)


def send(explorer, **content):
    explorer._asked(explorer, content, [])


def test_shares_make_a_mixture_whatever_is_asked(explorer):
    rng = np.random.default_rng(0)
    for i in range(300):
        if rng.random() < 0.2:
            send(explorer, lock=int(rng.integers(5)), seq=i)
        else:
            send(explorer, set=int(rng.integers(5)), to=float(rng.uniform(-0.5, 1.5)), seq=i, final=False)
        assert abs(sum(explorer.shares) - 1) < 1e-9
        assert min(explorer.shares) >= 0


def test_a_locked_share_stays_and_the_others_keep_their_ratios(explorer):
    before = np.array(explorer.shares)
    send(explorer, lock=0, seq=1)
    send(explorer, set=1, to=0.4, seq=2)
    after = np.array(explorer.shares)
    assert after[0] == pytest.approx(before[0]) and after[1] == pytest.approx(0.4)
    np.testing.assert_allclose(after[2:] / after[2:].sum(), before[2:] / before[2:].sum())
    send(explorer, set=1, to=0.9, seq=3)  # more than the locked one leaves
    assert explorer.shares[1] == pytest.approx(1 - before[0])


def test_the_numbers_are_those_of_the_model(explorer, model):
    send(explorer, set=2, to=0.3, seq=1)
    a = explorer.answer
    predicted = model.predict(explorer.mixture, HERE).iloc[0]
    assert a["mean"] == pytest.approx(predicted["mean"], abs=1e-9)
    assert a["lower"] == pytest.approx(predicted["lower"], abs=1e-6)
    effect = model.contrast(explorer.mixture, Mixture.equal(model.domains), HERE)
    assert a["gain"] == pytest.approx(-effect.estimate, abs=1e-9)  # lower is better here
    assert a["gain_lower"] == pytest.approx(-effect.upper, abs=1e-6)
    assert a["epochs"][2] == pytest.approx(0.6)


def test_an_old_question_is_not_answered_after_a_newer_one(explorer):
    send(explorer, set=0, to=0.7, seq=9)
    send(explorer, set=0, to=0.1, seq=8)
    assert explorer.shares[0] == pytest.approx(0.7)
    assert explorer.answer["seq"] == 9


def test_presets_and_python_move_the_sliders(explorer):
    assert explorer.presets == ["natural", "equal", "baseline"]
    send(explorer, preset=1, seq=1)
    assert explorer.mixture == Mixture.equal(WORLD.domains)
    assert "not distinguishable" in explorer.answer["verdict"]
    assert explorer.answer["gain"] == pytest.approx(0, abs=1e-12)
    explorer.mixture = Mixture(dict(zip(WORLD.domains, [0.6, 0.1, 0.1, 0.1, 0.1])))
    assert explorer.to_series().iloc[0] == pytest.approx(0.6)


def test_a_mixture_that_nobody_tried_comes_with_a_warning(explorer):
    assert explorer.answer["warning"] == ""
    send(explorer, set=3, to=1.0, seq=1)
    assert "extrapolation" in explorer.answer["warning"]
    assert "extrapolation" in explorer.snapshot().text


def test_what_cannot_be_done_is_said_in_the_widget(explorer):
    for k in range(1, 5):
        send(explorer, lock=k, seq=k)
    send(explorer, set=0, to=0.5, seq=5)
    assert explorer.error.startswith("all other domains are locked")
    send(explorer, set=1, to=0.5, seq=6)
    assert "is locked; unlock it" in explorer.error
    send(explorer, set=0, to=float("nan"), seq=7)
    assert "a number between 0 and 1" in explorer.error
    send(explorer, lock=1, seq=8)
    assert explorer.error == ""
    with pytest.raises(MixtureError):
        explorer.mixture = {"domain9": 1.0}


def test_the_code_gives_the_same_number(explorer, model):
    from causalmix_nb.interventions import do

    send(explorer, set=2, to=0.3, seq=1)
    magic, python = explorer.code.split("\n")
    assert magic.startswith("%causalmix do domain0=")
    shares = json.loads(python.removeprefix("study.do(").removesuffix(")"))
    assert -do(model, shares, state=HERE).estimate == pytest.approx(explorer.answer["gain"], abs=1e-3)


def test_names_are_text_in_the_snapshot_and_the_state_is_small():
    world = make_world(1, n_domains=3)
    runs = world.runs(60, 0)
    hostile = '<img src=x onerror="x">'
    problem = Problem.from_runs(runs)
    from dataclasses import replace

    model = fit_linear(replace(problem, domains=(hostile, "b c", "ü")), n_repeats=1)
    explorer = MixtureExplorer(model)
    assert "<img src=x" not in explorer.snapshot().html
    state = {name: value for name, value in explorer.get_state().items() if name not in ("_esm", "_css")}
    assert len(json.dumps(state, default=str)) < 20_000
