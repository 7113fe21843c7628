"""Claims about the explorer: shares always make a mixture, numbers are the model's, stale questions are dropped, mistakes are seen."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import causalmix_nb as cm
from causalmix_nb.errors import MixtureError
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.methods.linear import fit_linear
from causalmix_nb.methods.quick_surface import quick_surfaces
from causalmix_nb.mixture import Mixture
from causalmix_nb.widgets.explorer import MixtureExplorer
from causalmix_nb.widgets.ternary import SIDE, cells
from worlds import make_world

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
    from causalmix_nb.answers.interventions import do

    send(explorer, set=2, to=0.3, seq=1)
    magic, python = explorer.code.split("\n\n")
    assert magic.startswith("%causalmix do domain0=")
    shares = json.loads(python.removeprefix("study.do(").removesuffix(")"))
    assert abs(sum(shares.values()) - 1) < 1e-9
    assert -do(model, shares, state=HERE).estimate == pytest.approx(explorer.answer["gain"], abs=1e-4)


def test_a_preset_leaves_locked_shares_and_divides_the_rest_as_it_does(explorer):
    send(explorer, set=3, to=0.6, seq=1)
    send(explorer, lock=3, seq=2)
    send(explorer, preset=0, seq=3)  # natural: 0.5, 0.2, 0.1, 0.1, 0.1
    np.testing.assert_allclose(explorer.shares, [0.4 * 5 / 9, 0.4 * 2 / 9, 0.4 / 9, 0.6, 0.4 / 9])
    for k in (0, 1, 2, 4):
        send(explorer, lock=k, seq=4 + k)
    send(explorer, preset=1, seq=9)
    assert "all domains are locked" in explorer.error


def test_a_swap_takes_from_one_domain_only(explorer):
    before = np.array(explorer.shares)
    send(explorer, partner=4, seq=1)
    send(explorer, set=0, to=before[0] + 0.04, seq=2)
    np.testing.assert_allclose(np.array(explorer.shares) - before, [0.04, 0, 0, 0, -0.04], atol=1e-12)
    send(explorer, set=0, to=1.0, seq=3)  # the other has no more to give
    assert explorer.shares[4] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(explorer.shares[1:4], before[1:4])
    send(explorer, lock=4, seq=4)
    send(explorer, set=0, to=0.1, seq=5)
    assert "cannot give or take" in explorer.error


def confounded(n=300):
    """People who saw a good pool took much of ``a``, which does nothing; the good pool raised the score. ``b`` helps."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=n)
    T = np.exp(np.column_stack([1.2 * quality, np.zeros(n), np.zeros(n)]) + 0.7 * rng.normal(size=(n, 3)))
    T /= T.sum(1, keepdims=True)
    score = 2 * quality + 3 * T[:, 1] + 0.1 * rng.normal(size=n)
    return cm.Runs.from_frames(
        pd.DataFrame(T, columns=["a", "b", "c"]),
        pd.DataFrame({"score": score, "other": -score + T[:, 2], "flat": np.ones(n)}),
        state=pd.DataFrame({"quality": quality}),
    )


def test_seeing_is_not_doing_where_the_pool_decided_the_mixture():
    runs = confounded()
    study = cm.Study.from_runs(runs, "quality -> mixture; quality -> score; mixture -> score")
    (surface,) = quick_surfaces([Problem.from_runs(runs, "score", study.graph)])
    study.model = study.prepared(surface)
    explorer = study.explore()
    explorer.mixture = {"a": 0.6, "b": 0.2, "c": 0.2}
    truth = 3 * (0.2 - 1 / 3)  # a does nothing, b was given up
    a = explorer.answer
    assert a["gain_lower"] < truth < a["gain_upper"] and a["gain"] < 0
    send(explorer, mode="see", seq=1)
    seen = explorer.answer
    assert seen["gain_lower"] > 0.5  # what one would read off the runs: more of a looks good
    assert seen["done"][0] == pytest.approx(a["gain"])
    assert "quality" not in seen["why"] and "state of the pool moved both" in seen["why"]
    effect = study.see({"a": 0.6, "b": 0.2, "c": 0.2})
    assert effect.estimate == pytest.approx(seen["gain"], abs=1e-6)
    assert "Causal effect (do)" in explorer.snapshot().text
    send(explorer, mode="do", seq=2)
    assert explorer.answer["gain"] == pytest.approx(a["gain"])


def test_seeing_is_doing_where_mixtures_were_drawn_at_random():
    runs = WORLD.runs(256, 0)
    (model,) = quick_surfaces([Problem.from_runs(runs)])
    explorer = MixtureExplorer(model, runs=runs)
    send(explorer, set=0, to=0.5, seq=1)
    done = explorer.answer
    send(explorer, mode="see", seq=2)
    seen = explorer.answer
    assert seen["gain_lower"] < done["gain"] < seen["gain_upper"]


def test_every_other_outcome_that_can_be_fitted_has_a_bar_that_follows():
    study = cm.Study.from_runs(confounded(), "quality -> mixture; quality -> score; mixture -> score")
    study.fit("score", method="linear")
    explorer = study.explore()
    assert explorer.bars == [] and explorer.more
    send(explorer, bars=True, seq=1)
    assert [bar["outcome"] for bar in explorer.bars] == ["score", "other"]  # flat never varies
    explorer.mixture = {"a": 0.1, "b": 0.8, "c": 0.1}
    score, other = explorer.bars
    assert score["gain"] == pytest.approx(explorer.answer["gain"])
    truth = -3 * (0.8 - 1 / 3) + (0.1 - 1 / 3)
    assert other["gain_lower"] < truth < other["gain_upper"] and other["verdict"].startswith("worse")
    assert "other: gain" in explorer.snapshot().text
    send(explorer, bars=False, seq=2)
    assert explorer.bars == []


def test_the_triangle_shows_the_surface_and_moves_three_shares_only(explorer, model):
    send(explorer, three=[0, 2, 4], seq=1)
    t = explorer.triangle
    assert (
        len(t["strength"]) == len(t["covered"]) == SIDE**2
        and max(t["strength"]) == 1
        and min(t["strength"]) == 0
    )
    before = np.array(explorer.shares)
    best = cells().mean(1)[int(np.argmax(t["strength"]))]
    send(explorer, divide=best.tolist(), seq=2)
    after = np.array(explorer.shares)
    np.testing.assert_allclose(after[[1, 3]], before[[1, 3]])
    np.testing.assert_allclose(after[[0, 2, 4]], best * before[[0, 2, 4]].sum())
    shown = explorer.ternary(["domain0", "domain2", "domain4"])
    assert shown.value[int(np.argmax(t["strength"]))] == pytest.approx(explorer.answer["mean"], abs=1e-6)
    assert explorer.snapshot().html.count("<img") == 2
    send(explorer, lock=2, seq=3)
    send(explorer, divide=[1, 0, 0], seq=4)
    assert "domain2 is locked" in explorer.error
    send(explorer, three=[0, 0, 4], seq=5)
    assert "three different domains" in explorer.error


def test_the_mixture_as_it_stands_is_written_and_a_file_that_is_there_is_not_replaced(explorer, tmp_path):
    send(explorer, set=0, to=0.5, seq=1)
    send(explorer, export=str(tmp_path / "mixture.json"), seq=2)
    assert json.loads((tmp_path / "mixture.json").read_text())["mixture"]["domain0"] == 0.5
    assert "mixture.json" in explorer.note
    send(explorer, export=str(tmp_path / "mixture.json"), seq=3)
    assert "exists" in explorer.error


def test_a_drag_at_17_domains_and_512_runs_sends_little_and_the_state_stays_small():
    world = make_world(3, n_domains=17)
    runs = world.runs(512, 0)
    frame = runs.frame
    outcomes = pd.DataFrame({f"o{j}": frame["outcome.score"] * (j + 1) + j for j in range(13)})
    runs = cm.Runs.from_frames(
        frame[[f"mixture.{d}" for d in world.domains]].rename(columns=lambda c: c[8:]), outcomes,
        state=frame[[f"state.{s}" for s in world.states]].rename(columns=lambda c: c[6:]),
    )  # fmt: skip
    (model,) = quick_surfaces([Problem.from_runs(runs, "o0")])
    explorer = MixtureExplorer(model, runs=runs)
    send(explorer, bars=True, three=[0, 1, 2], mode="see", seq=1)
    assert explorer.error == "" and len(explorer.bars) == 13
    state = {k: v for k, v in explorer.get_state().items() if k not in ("_esm", "_css")}
    assert len(json.dumps(state, default=str)) < 200_000


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
