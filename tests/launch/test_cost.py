"""What training will cost: the arithmetic against figures worked out by hand, the forecast against what a launch then does."""

import json
import math

import pytest

from causalmix_nb.cards.results import render
from causalmix_nb.errors import TrainingError
from causalmix_nb.launch.cost import (
    BINDER,
    PROCESS,
    SPEED,
    Speed,
    launch_cost,
    measured_speed,
    remembered_speed,
    training_cost,
)
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.study.study import Study
from tiny import TINY

KNOWN = Speed(10_000.0, 2, "a test")


def cost_of(config=TINY, budgets=(1_000,) * 8, **options):
    return launch_cost(config, budgets, 3, KNOWN, **{"workers": 2, "width": 8, **options})


def test_arithmetic_is_six_operations_per_parameter_and_token():
    cost = cost_of(budgets=[1_000, 3_000])
    assert cost.tokens == 4_000 and cost.flop == 6 * TINY.n_parameters * 4_000
    assert cost_of(base=True).tokens - cost_of().tokens == TINY.base_tokens


def test_time_grows_with_the_work_and_shrinks_with_the_speed():
    short, long = cost_of(budgets=[1_000_000] * 4), cost_of(budgets=[2_000_000] * 4)
    assert long.seconds - short.seconds == pytest.approx(4e6 / 1e4)


def test_memory_counts_weights_gradients_and_two_moments_of_every_run_and_worker():
    small, wide = (ProxyConfig(n_layers=n) for n in (2, 3))
    one = launch_cost(small, [1_000] * 8, 3, KNOWN, workers=1, width=1).memory
    eight = launch_cost(small, [1_000] * 8, 3, KNOWN, workers=1, width=8).memory
    assert eight - one >= 7 * 16 * small.n_parameters
    assert launch_cost(wide, [1_000] * 8, 3, KNOWN, workers=1, width=8).memory > eight
    assert launch_cost(small, [1_000] * 8, 3, KNOWN, workers=3, width=8).memory > eight + 2 * PROCESS
    here = launch_cost(small, [1_000] * 8, 3, KNOWN, workers=0, width=8).memory
    assert eight - here == pytest.approx(
        PROCESS
    )  # the swarm is the same, in this process or in one of its own


def test_a_launch_that_does_not_fit_a_binder_says_so():
    big = ProxyConfig(d_model=512, n_layers=8, n_heads=8)
    cost = cost_of(big)
    assert cost.memory > BINDER and "will not fit a Binder (2 GB)" in str(cost)
    assert any("will not fit a Binder" in text for text in cost.sentences)
    assert "Binder" not in str(cost_of())


def test_the_forecast_says_that_it_has_no_interval_and_where_the_speed_is_from():
    said = " ".join(cost_of().sentences)
    assert "without an interval" in said and "a test" in said and "on 2 workers" in said


def test_finished_runs_cost_nothing(study):
    asked = study.cost(8, 1_000, executor="inline")
    assert (asked.n_runs, asked.finished, asked.workers) == (8, 0, 0) and "in this process" in str(asked)
    study.run(8, 1_000, executor="inline")
    again = study.cost(8, 1_000, executor="inline")
    assert (again.n_runs, again.finished, again.tokens) == (0, 8, 0) and "Nothing to train" in str(again)
    assert study.cost(12, 1_000, executor="inline").n_runs == 4


def test_a_cost_trains_nothing(study):
    study.cost(8, 1_000)
    assert not len(study.runs) and not study.trainer.meter.has_base


def test_the_speed_of_the_last_launch_is_remembered_for_the_same_proxies(study):
    note = {"tokens_per_second": 5_000.0, "workers": 1, "config": TINY.to_dict()}
    (study.folder / SPEED).write_text(json.dumps(note))
    found = remembered_speed(study.folder, TINY, 1)
    assert found.tokens_per_second == 5_000 and "last launch" in found.source
    assert remembered_speed(study.folder, ProxyConfig(), 1) is None
    assert "last launch" in study.cost(8, 1_000, workers=1).sentences[1]
    (study.folder / SPEED).write_text("{")
    assert remembered_speed(study.folder, TINY, 1) is None


def test_a_launch_leaves_its_speed_behind(study, monkeypatch):
    from causalmix_nb.launch.launch import RunReport, launch
    from causalmix_nb.study import trainer

    def slow(*args, **named):
        report = launch(*args, **named)
        return RunReport(report.requested, report.reused, report.done, 0, 10.0, 800.0)

    monkeypatch.setattr(trainer, "launch", slow)
    study.run(8, 1_000, executor="inline")
    assert (
        Study.open(study.folder).cost(16, 1_000, executor="inline").speed.source == "the study's last launch"
    )


def test_a_measurement_gives_a_speed_and_leaves_the_threads_alone():
    import torch

    before = torch.get_num_threads()
    found = measured_speed(TINY, 2, 4, seconds=0.01)
    assert math.isfinite(found.tokens_per_second) and found.tokens_per_second > 0
    assert torch.get_num_threads() == before


def test_what_a_launch_would_refuse_its_cost_refuses_too(study):
    for options, said in (
        ({"executor": "locl"}, "Did you mean 'local'"),
        ({"token_budget": 10}, "too small"),
    ):
        with pytest.raises(TrainingError, match=said):
            study.cost(**{"n_runs": 8, "token_budget": 1_000, **options})


def test_a_cost_looks_like_every_other_result():
    for cost in (cost_of(), training_cost(1e9, 20e9)):
        bundle = render(cost)
        assert cost.title in bundle.text and "FLOP" in bundle.html


def test_cost_elsewhere_scales_with_runs_tokens_and_parameters():
    one = training_cost(5e8, 1e9)
    assert training_cost(5e8, 1e9, n_runs=7).price == pytest.approx(7 * one.price)
    assert training_cost(5e8, 3e9).device_hours == pytest.approx(3 * one.device_hours)
    assert training_cost(1e9, 1e9).flop == pytest.approx(2 * one.flop)
    assert training_cost(1e9, 2e9).flop == pytest.approx(4 * one.flop)  # tokens in proportion to the size
    spread = training_cost(5e8, 1e9, n_devices=8)
    assert spread.hours == pytest.approx(one.hours / 8) and spread.price == pytest.approx(one.price)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"n_parameters": 0}, "n_parameters is 0; a cost needs a positive number"),
        ({"mfu": 30}, "mfu is 30; it is a share of the peak"),
        ({"tokens": math.inf}, "tokens is inf"),
        ({"price_per_hour": -1}, "price_per_hour is -1"),
    ],
)
def test_costs_of_impossible_hardware_are_refused(bad, said):
    with pytest.raises(TrainingError, match=said):
        training_cost(**{"n_parameters": 1e9, "tokens": 1e9, **bad})
