"""A study's runs as adapters that train together: each is recorded as it was recorded alone, and stops and goes on as runs always did."""

import dataclasses
import os
import signal
import threading
import time

import numpy as np
import pytest

from causalmix_nb.design.simplex import RunSpec, design_runs
from causalmix_nb.proxies.adapters.runs import AdapterRuns, train_adapter_runs, why_alone
from causalmix_nb.proxies.config import NoRunAxis
from causalmix_nb.proxies.huggingface.cost import axis_bytes, run_axis, run_bytes
from causalmix_nb.proxies.huggingface.finetune import HFProxy, train_hf_runs
from causalmix_nb.proxies.huggingface.settings import Lora
from causalmix_nb.proxies.kinds.causal_lm import HFConfig
from causalmix_nb.proxies.outcomes import Evaluator
from causalmix_nb.study.study import Study

EVEN = (1 / 3, 1 / 3, 1 / 3)
SPECS = [
    RunSpec((1, 0, 0), 2_000, seed=1),
    RunSpec((0, 0.5, 0.5), 2_000, seed=2),
    RunSpec(EVEN, 2_000, seed=3, learning_rate=1e-2),
    RunSpec((0, 0, 1), 3_000, seed=4),
]


@pytest.fixture(scope="module")
def lora(config):
    return dataclasses.replace(config, lora=Lora(rank=4), weight_decay=0.1, clip=0.3, accumulation=2, batch=4)


@pytest.fixture(scope="module")
def one_by_one(corpus, lora, evaluate):
    return train_hf_runs(corpus, SPECS, HFProxy(lora, seed=5), evaluate)


def same(a, b, atol=2e-4):
    assert list(a) == list(b)
    assert np.allclose(list(a.values()), list(b.values()), atol=atol)


# -- what is recorded --------------------------------------------------------------------------------------


def test_runs_together_score_what_each_scores_one_after_another(corpus, lora, evaluate, one_by_one):
    tokens = []
    together = train_adapter_runs(corpus, SPECS, AdapterRuns(lora, seed=5), evaluate, tokens.append)
    for ours, theirs in zip(together, one_by_one):
        assert ours.reason is None
        same(ours.outcomes, theirs.outcomes)
    assert len({run.outcomes["bpb"] for run in together}) == 4
    assert sum(tokens) == pytest.approx(sum(spec.token_budget for spec in SPECS), rel=0.2)


def test_little_memory_changes_the_parts_of_a_step_and_nothing_else(corpus, lora, evaluate, one_by_one):
    proxies = AdapterRuns(lora, seed=5)
    assert proxies.recipe(4, None).at_once == 8 and proxies.recipe(4, 1e5).at_once == 1
    for ours, theirs in zip(train_adapter_runs(corpus, SPECS, proxies, evaluate, free=1e5), one_by_one):
        same(ours.outcomes, theirs.outcomes)


def test_a_chunk_finds_nothing_of_the_one_before(corpus, lora, evaluate):
    proxies = AdapterRuns(lora)
    first = train_adapter_runs(corpus, SPECS[:2], proxies, evaluate)
    train_adapter_runs(corpus, SPECS[1:], proxies, evaluate)
    assert train_adapter_runs(corpus, SPECS[:2], proxies, evaluate) == first


def test_a_run_that_diverges_has_the_reason_it_has_alone_and_the_others_their_scores(corpus, lora, evaluate):
    wild = [SPECS[0], dataclasses.replace(SPECS[1], learning_rate=1e38), SPECS[2]]
    together = train_adapter_runs(corpus, wild, AdapterRuns(lora), evaluate)
    alone = train_hf_runs(corpus, wild[1:2], HFProxy(lora), evaluate)[0]
    assert not together[1].outcomes and together[1].reason == alone.reason and "diverged" in alone.reason
    good = train_adapter_runs(corpus, [SPECS[0], SPECS[2]], AdapterRuns(lora), evaluate)
    for run, expected in zip((together[0], together[2]), good):
        same(run.outcomes, expected.outcomes, atol=1e-5)


def test_recomputing_activations_changes_no_score(corpus, lora, evaluate, one_by_one):
    proxies = AdapterRuns(dataclasses.replace(lora, checkpointing=True), seed=5)
    for ours, theirs in zip(train_adapter_runs(corpus, SPECS, proxies, evaluate), one_by_one):
        same(ours.outcomes, theirs.outcomes)


def test_a_score_of_ones_own_is_asked_of_every_run_alone(corpus, lora):
    def shape(proxy):
        windows, _ = corpus.heldout_windows("apples", 2, 32)
        import torch

        losses = proxy.token_losses(torch.from_numpy(windows.astype(np.int64))[None])
        return {"rows": losses.shape[0], "mean_loss": float(losses.mean())}

    scored = Evaluator(corpus, 32, score=shape)
    together = train_adapter_runs(corpus, SPECS, AdapterRuns(lora, seed=5), scored)
    alone = train_hf_runs(corpus, SPECS, HFProxy(lora, seed=5), scored)
    for ours, theirs in zip(together, alone):
        assert ours.outcomes["rows"] == 1
        same(ours.outcomes, theirs.outcomes)


# -- a study -----------------------------------------------------------------------------------------------


def by_seed(study):
    return study.runs.frame.set_index("seed").sort_index()


def test_a_study_trains_its_runs_together_and_records_them_as_before(pool, lora, tmp_path):
    study = Study.create(tmp_path / "s", pool, config=lora)
    assert lora.width(6) == 6
    report = study.run(6, 1_500, executor="inline", states=False)
    assert report.done == 6 and "one after another" not in report.remark
    specs = design_runs(study.domains, 6, 1_500, study.seed, False, None)
    alone = train_hf_runs(study.corpus, specs, HFProxy(lora, study.seed), Evaluator(study.corpus, 32))
    recorded = by_seed(study)
    for spec, run in zip(specs, alone):
        row = recorded.loc[spec.seed]
        assert row["outcome.bpb"] == pytest.approx(run.outcomes["bpb"], abs=2e-4)
        assert row["scale.tokens"] == 1_500 and row["scale.parameters"] == lora.n_parameters
    assert study.run(6, 1_500, executor="inline", states=False).reused == 6


def test_a_worker_that_is_killed_loses_its_runs_in_flight_and_they_are_trained_again(pool, lora, tmp_path):
    study = Study.create(tmp_path / "s", pool, config=lora)
    killed = []

    def kill(progress):
        if progress.stage == "proxy runs" and progress.tokens_per_second > 0 and not killed:
            for pid in children(os.getpid()):
                if b"causalmix_nb.launch.workers" in command(pid):
                    killed.append(pid)
                    os.kill(pid, signal.SIGKILL)

    report = study.run(5, 6_000, states=False, progress=kill)
    assert len(killed) == 1 and report.retried == 5 and report.done == 5
    calm = Study.create(tmp_path / "calm", pool, config=lora)
    calm.run(5, 6_000, executor="inline", states=False)
    assert np.allclose(by_seed(study)["outcome.bpb"], by_seed(calm)["outcome.bpb"], atol=2e-4)


def test_a_stopped_launch_goes_on_with_the_runs_that_are_missing(pool, lora, tmp_path):
    study = Study.create(tmp_path / "s", pool, config=lora)
    study.run(5, 1_000, executor="inline", states=False)
    before = by_seed(study)["outcome.bpb"]

    def stop(progress):
        if progress.stage == "proxy runs" and progress.tokens_per_second > 0:
            raise KeyboardInterrupt

    report = study.run(8, 1_000, executor="inline", states=False, progress=stop)
    assert report.interrupted and len(study.runs.keys("done")) == 5
    report = study.run(8, 1_000, executor="inline", states=False)
    assert (report.reused, report.done) == (5, 3)
    assert by_seed(study)["outcome.bpb"].loc[before.index].equals(before)


def children(pid):
    with open(f"/proc/{pid}/task/{threading.main_thread().native_id}/children") as file:
        return [int(child) for child in file.read().split()]


def command(pid):
    time.sleep(0.01)
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


# -- who trains together -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixing(model_folder, tmp_path_factory):
    """A model of experts, whose tokens compete for places."""
    import shutil

    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    from tiny_llama import SHAPE

    folder = tmp_path_factory.mktemp("experts")
    shutil.copytree(model_folder, folder, dirs_exist_ok=True)
    torch.manual_seed(0)
    shape = MixtralConfig(vocab_size=400, **SHAPE, num_local_experts=2, num_experts_per_tok=1)
    MixtralForCausalLM(shape).save_pretrained(folder)
    return folder


def test_what_cannot_train_together_says_why(lora, mixing):
    assert why_alone(lora) is None
    assert "all weights" in why_alone(dataclasses.replace(lora, lora=None))
    assert "fp16" in why_alone(dataclasses.replace(lora, precision="fp16"))
    assert "2 processes" in why_alone(dataclasses.replace(lora, processes=2))
    experts = dataclasses.replace(lora, model=str(mixing))
    assert "mixture of experts" in why_alone(experts) and experts.width(8) == 1


def test_layers_that_get_no_adapters_here_are_left_to_the_other_way_and_that_is_said_once(
    pool, lora, tmp_path
):
    head = dataclasses.replace(lora, lora=Lora(rank=2, targets=("q_proj", "embed_tokens")))
    with pytest.raises(NoRunAxis, match="embed_tokens"):
        AdapterRuns(head)
    study = Study.create(tmp_path / "s", pool, config=head)
    report = study.run(5, 1_000, executor="inline", states=False)
    assert report.done == 5 and report.retried == 0
    assert report.remark.count("one after another") == 1 and "embed_tokens" in report.remark
    again = study.run(6, 1_000, executor="inline", states=False)
    assert again.done == 1 and again.remark.count("one after another") == 1


def test_the_width_and_its_memory_follow_from_the_shape(lora):
    assert run_axis(lora, 1) == (1, 8) and run_axis(lora, 3) == (3, 8)
    assert lora.width(500) * 8 * 32 >= 2**12 and lora.width(0) == 1
    assert axis_bytes(lora, 8) > 2 * axis_bytes(lora, 2)
    assert axis_bytes(dataclasses.replace(lora, lora=None), 8) == run_bytes(
        dataclasses.replace(lora, lora=None)
    )


def test_the_cost_of_a_launch_counts_the_runs_that_train_together(pool, lora, tmp_path):
    study = Study.create(tmp_path / "s", pool, config=lora)
    few, many = study.cost(5, 1_000, executor="inline"), study.cost(16, 1_000, executor="inline")
    assert many.memory - few.memory == pytest.approx(axis_bytes(lora, 16) - axis_bytes(lora, 5), rel=0.01)


def test_dropout_of_the_checkpoint_is_off_on_both_ways(model_folder, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = GPT2Config(
        vocab_size=400, n_embd=16, n_layer=1, n_head=2, n_positions=64, attn_pdrop=0.5, resid_pdrop=0.5
    )
    GPT2LMHeadModel(shape).save_pretrained(tmp_path)
    proxy = HFProxy(HFConfig(str(tmp_path), context=32, lora=Lora(rank=2)))
    import torch

    proxy.model.train()
    tokens = torch.arange(32)[None]
    assert torch.equal(proxy.model(input_ids=tokens).logits, proxy.model(input_ids=tokens).logits)
