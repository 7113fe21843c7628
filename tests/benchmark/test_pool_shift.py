"""Claims about the pool-shift experiment: its statistics are right, chance is shared within a shift, and a
stop costs nothing.
"""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from causalmix_nb.benchmark.differences import (
    Difference,
    pool_differences,
    ratio_of_means,
    resampled_interval,
)
from causalmix_nb.benchmark.page import write_report
from causalmix_nb.benchmark.pool_shift import pool_shift, prove
from causalmix_nb.benchmark.results import BEST, KEPT, PoolShift
from causalmix_nb.benchmark.rivals import ADAPTING, advise
from causalmix_nb.benchmark.shifts import AS_IT_IS, Shift, logged_history, pool_shifts
from causalmix_nb.benchmark.size import Size
from causalmix_nb.benchmark.trials import STORE, larger_study
from causalmix_nb.data.pool import Perturbation
from causalmix_nb.errors import StudyError
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.study import Study
from worlds import make_world

TINY = Size(runs=24, history=0, seeds=3, first=4, rounds=1, batch=2, finalists=2, again=1, search=12)
ASKED = {"size": TINY, "shifts": ["noisier", "mild"], "methods": ["regmix"], "executor": "inline"}


@pytest.fixture(scope="module", autouse=True)
def _one_surface():
    """Ours without the choice among methods, which has its own tests and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ADAPTING, "causalmix", ({"method": "gp"}, "auto"))
        yield


@pytest.fixture(scope="module")
def study(_finished, tmp_path_factory):
    return Study.open(shutil.copytree(_finished.folder, tmp_path_factory.mktemp("shift") / "study"))


@pytest.fixture(scope="module")
def found(study):
    return pool_shift(study, **ASKED)


def experiment(gains: dict[str, dict[str, float]], noise: float, n_seeds: int = 8) -> PoolShift:
    """Shift -> method -> true gain over the mixture that was best before; seeds share most of their chance."""
    rng, rows = np.random.default_rng(0), []
    for shift, methods in gains.items():
        shared = rng.normal(size=n_seeds)
        for name, gain in methods.items():
            values = 2 + shared - gain + noise * rng.normal(size=n_seeds)
            rows += [(shift, name, j, y) for j, y in enumerate(values)]
    advice = pd.DataFrame({"gain": 0.0, "lower": 0.0, "upper": 0.0, "keeps": True}, index=list(gains))
    return PoolShift(
        pd.DataFrame(rows, columns=["shift", "method", "seed", "outcome"]), pd.DataFrame(), advice,
        tuple(Shift(name, "") for name in gains), {}, "bpb", True, {}, {},
    )  # fmt: skip


# -- statistics
# -----------------------------------------------------------------------------------------------


def test_a_difference_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 8), rng.normal(0, 1, 8)
    interval = ttest_rel(a, b).confidence_interval(0.95)
    mine = Difference.of(a - b)
    assert (mine.lower, mine.upper) == pytest.approx((interval.low, interval.high))


def test_averages_over_shifts_cover_the_truth_as_often_as_they_say():
    rng, covered, ratios = np.random.default_rng(1), [], []
    for _ in range(400):
        parts = [Difference.of(rng.normal(0.5, sd, n)) for sd, n in ((0.1, 8), (1.0, 8), (3.0, 5))]
        mean = pool_differences(parts)
        covered.append(mean.lower <= 0.5 <= mean.upper)
        below = rng.normal(1.0, 0.2, 8)
        ratio = ratio_of_means(0.7 * below + rng.normal(0, 0.1, 8), below)
        ratios.append(ratio.lower <= 0.7 <= ratio.upper)
    assert 0.92 <= np.mean(covered) <= 0.985
    assert 0.92 <= np.mean(ratios) <= 0.985


def test_shifts_that_differ_widen_the_interval_for_shifts_like_these():
    rng = np.random.default_rng(2)
    parts = [rng.normal(effect, 0.01, 8) for effect in (0.0, 0.1, 0.2, 0.4)]
    these = pool_differences([Difference.of(part) for part in parts])
    wide = resampled_interval(parts)
    assert wide[1] - wide[0] > 5 * (these.upper - these.lower)
    assert wide[0] < np.mean([0.0, 0.1, 0.2, 0.4]) < wide[1]


def test_headroom_is_seen_where_it_is_and_nothing_is_recovered_where_there_is_none():
    won = {"causalmix": 0.08, "equal": -0.1, "natural": -0.05, "regmix": 0.02, BEST: 0.1, KEPT: 0.0}
    level = dict.fromkeys(won, 0.0)
    result = experiment({AS_IT_IS: level, "wide": won, "none": level}, noise=0.004)
    assert result.headroom["room"].to_dict() == {AS_IT_IS: False, "wide": True, "none": False}
    assert result.headroom.loc["wide", "noise_floor"] == pytest.approx(
        0.004 * np.sqrt(2 / 8), rel=0.5
    )  # though the seeds themselves vary 250 times as much
    assert result.table.loc["causalmix", "recovered"] == pytest.approx(0.8, abs=0.06)
    assert result.table.loc["regmix", "recovered"] == pytest.approx(0.2, abs=0.06)
    assert np.isnan(result.headroom.loc["none", "recovered"])
    assert "none: no detectable headroom" in " ".join(result.sentences)
    wide = result.by_shift.set_index(["shift", "method"]).loc["wide"]
    assert wide["rank"].dropna().to_dict() == {"causalmix": 1, "regmix": 2, "natural": 3, "equal": 4}
    assert result.pooled_table.loc["equal", "lower"] > 0


def test_a_history_is_scored_by_its_share_of_the_others_regret():
    names = ("causalmix (history)", "lightgbm (history)", "regmix (history)")
    level = {"causalmix": 0.1, "equal": 0.0, BEST: 0.1, KEPT: 0.0}
    gains = {AS_IT_IS: level, "bad": level | dict(zip(names, (0.08, 0.06, 0.0)))}
    table = experiment(gains, noise=0.001).history_table
    assert table.loc["regmix", "share"] == pytest.approx(0.2, abs=0.04)
    assert table.loc["lightgbm", "share"] == pytest.approx(0.5, abs=0.06)
    assert table.loc["regmix", "lower"] < 0.2 < table.loc["regmix", "upper"]


# -- shifts and histories -----------------------------------------------------------------------------------


def test_what_matters_most_is_hit_and_what_is_left_of_it_repeats():
    shifts = {s.name: s for s in pool_shifts({"a": 1, "b": 3, "c": 0}, dict.fromkeys("abc", 100_000), 10_000)}
    assert set(shifts["noisier"].perturbations) == {"b"}
    assert set(shifts["two bad"].perturbations) == {"a", "b"}
    left = shifts["scarce"].perturbations["b"].keep * 100_000
    assert 0.5 * 10_000 / left == pytest.approx(5)
    assert len({s.seed for s in shifts.values()}) == len(shifts)


def test_in_a_history_the_state_decides_the_mixture():
    rng, domains = np.random.default_rng(0), ("a", "b", "c")
    losses = {i: dict(zip(domains, rng.normal(3, 1, 3))) for i in range(32)}
    specs = logged_history(
        domains, losses, [{"a": Perturbation(noise=0.01 * i)} for i in range(32)], 64, 1000
    )
    state = np.array([[losses[i // 2][name] for name in domains] for i in range(64)])
    logs = np.log([spec.mixture for spec in specs])
    contrast = np.corrcoef(state[:, 0] - state[:, 1], logs[:, 0] - logs[:, 1])[0, 1]
    assert contrast > 0.7
    assert len({spec.seed for spec in specs}) == 64


# -- the experiment -----------------------------------------------------------------------------------------


def test_every_method_is_trained_with_the_same_seeds_and_the_references_with_them(found):
    for shift in (AS_IT_IS, "noisier", "mild"):
        values = found.seeds(shift)
        assert {"causalmix", "regmix", "equal", BEST, KEPT} == set(values.index)
        assert values.shape == (5, 3) and values.notna().all(axis=None)
    assert found.paired(AS_IT_IS, BEST, KEPT).tolist() == [0, 0, 0]  # there it is the same mixture
    kept = found.mixtures.xs(KEPT, level="method")
    assert len(kept.drop_duplicates()) == 1
    np.testing.assert_allclose(found.mixtures.sum(axis=1), 1)


def test_seeds_are_shared_within_a_shift_and_not_between_shifts(study, found):
    store = Runs.open(study.folder / STORE)
    proof = store.frame[store.frame["label"] == "proof by training"]
    assert proof["seed"].nunique() == 3 * 3
    assert set(proof["seed"]).isdisjoint(store.frame.loc[store.frame["label"] != "proof by training", "seed"])


def test_without_headroom_it_keeps_the_mixture_and_says_that_there_is_none(found):
    assert not found.headroom.loc["mild", "room"]
    assert found.advice.loc["mild", "keeps"]
    ours = found.mixtures.xs("causalmix", level="method")
    assert (ours.loc["mild"] == ours.loc[AS_IT_IS]).all()
    assert "mild: no detectable headroom" in str(found) and "keeps the mixture" in str(found)


def test_an_experiment_that_is_stopped_goes_on_where_it_was(finished, found):
    again = finished  # a study of the same runs in which no experiment has begun

    def stop(p):
        if p.stage == "proof by training" and p.done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(StudyError, match="the same call goes on"):
        pool_shift(again, **ASKED, progress=stop)
    before = len(Runs.open(again.folder / STORE))
    seen = []
    second = pool_shift(again, **ASKED, progress=seen.append)
    trained = sum(p.done for p in seen if p.stage == "proof by training" and p.done == p.total)
    assert 0 < before < len(Runs.open(again.folder / STORE))
    assert not [p for p in seen if p.stage == "direct search" and p.done]
    assert trained == len(Runs.open(again.folder / STORE)) - before
    pd.testing.assert_frame_equal(second.outcomes, found.outcomes)


def test_what_was_recommended_is_proven_on_a_larger_model(study, found):
    larger = larger_study(study, 2)
    shifts = [shift for shift in found.shifts if shift.name != "noisier"]
    asked = (found.mixtures, found.advice, shifts, found.tokens, TINY, "inline")
    proven = prove(larger, *asked)
    assert proven.methods == found.methods and set(proven.outcomes["shift"]) == {AS_IT_IS, "mild"}
    ours = [(AS_IT_IS, "causalmix"), ("mild", "regmix"), ("mild", "equal")]
    pd.testing.assert_frame_equal(proven.mixtures.loc[ours], found.mixtures.loc[ours])
    assert not np.allclose(proven.seeds("mild").loc["equal"], found.seeds("mild").loc["equal"])
    store = Runs.open(larger.folder / STORE)
    assert store.frame["scale.parameters"].unique() == [larger.config.n_parameters]
    assert len(store) > 0 and prove(larger, *asked).outcomes.equals(proven.outcomes)
    with pytest.raises(StudyError, match="nothing was recommended for the shift 'scarce'"):
        prove(larger, found.mixtures, found.advice, [*shifts, Shift("scarce", "")], size=TINY)
    with pytest.raises(StudyError, match="the shifts lack 'as it is'"):
        prove(larger, found.mixtures, found.advice, shifts[1:], size=TINY)
    with pytest.raises(StudyError, match="the study has apples"):
        prove(larger, found.mixtures.drop(columns="bolts"), found.advice, shifts, size=TINY)


def test_the_page_and_the_tables_are_written_with_names_escaped(found, tmp_path):
    page = write_report(found, tmp_path)
    names = {"methods", "headroom", "ours_minus", "by_shift", "outcomes", "mixtures", "advice", "history"}
    assert names <= {path.stem for path in tmp_path.glob("*.csv")}
    assert len(pd.read_csv(tmp_path / "outcomes.csv")) == 3 * 5 * 3
    text = page.read_text()
    assert "<title>Pool shift" in text and text.count("<table") >= 5
    assert found.figure().alt.startswith("Gain over the mixture that was best before the change")


def test_larger_proxies_are_a_study_of_the_same_tokens(study):
    larger = larger_study(study, 5)
    assert 5 <= larger.config.n_parameters / study.config.n_parameters < 10
    assert (
        larger.corpus.fingerprint == study.corpus.fingerprint
        and larger.trainer.context != study.trainer.context
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shifts": ["noisy"]}, "no shift 'noisy'. Did you mean 'noisier'"),
        ({"methods": ["regmx"]}, "unknown method 'regmx'. Did you mean 'regmix'"),
    ],
)
def test_an_unknown_name_is_refused_before_anything_is_trained(study, options, message):
    with pytest.raises(StudyError, match=message):
        pool_shift(study, **{**ASKED, **options})


def test_it_leaves_the_mixture_where_that_pays_and_keeps_it_where_the_state_is_the_same():
    world = make_world(0)
    runs, source = world.runs(128, 0), np.zeros(len(world.states))
    study = SimpleNamespace(graph=CausalGraph.parse("state -> mixture; state -> score; mixture -> score"))
    away = {f"far {i}": row for i, row in enumerate(np.random.default_rng(1).normal(size=(4, len(source))))}
    states = {
        name: pd.Series(row, index=list(world.states)) for name, row in {AS_IT_IS: source, **away}.items()
    }
    said = advise(study, runs, "causalmix", states, states[AS_IT_IS], runs.outcome_names[0])
    kept = said[AS_IT_IS]
    assert kept.keeps
    lost = [world.regret(kept.mixture.to_array(world.domains), row) for row in away.values()]
    now = [world.regret(said[name].mixture.to_array(world.domains), row) for name, row in away.items()]
    assert not all(said[name].keeps for name in away)
    assert np.mean(now) < 0.5 * np.mean(lost)
