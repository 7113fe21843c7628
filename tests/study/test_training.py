"""Corpus, design, proxies, training and launching, on a pool that trains in seconds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from causalmix_nb.data.corpus import Corpus, run_windows
from causalmix_nb.data.pool import Perturbation, Pool
from causalmix_nb.data.windows import END
from causalmix_nb.design.simplex import (
    SCARCE_EPOCHS,
    RunSpec,
    design_runs,
    sample_mixtures,
    sample_perturbations,
)
from causalmix_nb.errors import CausalMixError, PoolError, StudyError, TrainingError
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.proxies.outcomes import Evaluator, target_weights
from causalmix_nb.proxies.state import COVARIATES, ProxyScorer, measure_state
from causalmix_nb.proxies.swarm import ProxySwarm
from causalmix_nb.proxies.train import train_base, train_runs
from tiny import TINY, sentences

LEARNS = ProxyConfig(d_model=32, n_layers=1, n_heads=2, context=32, base_tokens=60_000)


@pytest.fixture(scope="module")
def corpus(pool, tmp_path_factory):
    return Corpus.build(pool, tmp_path_factory.mktemp("corpus"))


# -- corpus ----------------------------------------------------------------------------------------------


def test_no_heldout_document_is_trained_on(corpus):
    for name in corpus.domains:
        parts = {part: corpus.documents(name, part) for part in ("train", "heldout")}
        texts = {part: {d.text(i) for i in range(len(d))} for part, d in parts.items()}
        assert texts["train"] and texts["heldout"] and not texts["train"] & texts["heldout"]


def test_only_the_response_counts_in_the_loss(corpus):
    documents = corpus.documents("sums")
    span = slice(documents.offsets[0], documents.offsets[1])
    tokens, mask = bytes(documents.tokens[span]), documents.mask[span]
    prompt, _, response = tokens.partition(b"=")
    assert bytes(np.frombuffer(tokens, np.uint8)[mask]) == response and response.endswith(bytes([END]))


def test_a_run_meets_its_shares_to_within_one_window(corpus):
    windows, _ = next(run_windows(corpus, [0.5, 0.3, 0.2], {}, 0, 0, 40, 32).blocks())
    assert windows.shape == (40, 33)
    apples = sum(b"apple" in bytes(window) for window in windows)
    assert abs(apples - 20) <= 1


def test_the_same_seed_gives_the_same_data(corpus):
    make = [next(run_windows(corpus, [0.2, 0.3, 0.5], {}, 0, seed, 20, 32).blocks())[0] for seed in (0, 0, 1)]
    assert (make[0] == make[1]).all() and (make[0] != make[2]).any()


def test_a_scarce_domain_has_fewer_tokens_and_still_serves(corpus):
    scarce = corpus.view("apples", Perturbation(keep=0.05))
    assert scarce.available_tokens < corpus.view("apples").available_tokens / 5
    assert scarce.windows(100, 32, 0)[0].shape == (100, 33)


def test_copies_add_no_available_tokens(corpus):
    assert corpus.view("apples", Perturbation(duplicates=1.0)).available_tokens < 200


def test_a_domain_with_one_distinct_document_is_refused(tmp_path):
    pool = Pool.from_dict({"a": ["same", "same"], "b": sentences("b")})
    with pytest.raises(PoolError, match="too few distinct documents"):
        Corpus.build(pool, tmp_path)


def test_a_damaged_corpus_is_named(pool, tmp_path):
    corpus = Corpus.build(pool, tmp_path)
    (tmp_path / "00.train.npy").write_bytes(b"x")
    with pytest.raises(StudyError, match="damaged"):
        corpus.documents("apples")


# -- design ----------------------------------------------------------------------------------------------


def test_the_design_has_centre_corners_and_rows_that_sum_to_1():
    T = sample_mixtures(64, 5)
    assert np.allclose(T.sum(1), 1) and (T >= 0).all()
    assert np.allclose(T[0], 0.2) and np.allclose(T[1:6], np.eye(5))


def test_a_longer_design_starts_with_the_shorter_one():
    short, long = (design_runs(("a", "b", "c"), n, 10_000) for n in (24, 48))
    assert long[:24] == short


def test_some_runs_repeat_another_with_a_new_seed():
    runs = design_runs(("a", "b", "c"), 64, 10_000)
    repeats = [run for run in runs if run.label == "repeat"]
    assert len(repeats) == 4
    for run in repeats:
        twins = [
            r
            for r in runs
            if r.mixture == run.mixture and r.perturbations == run.perturbations and r.seed != run.seed
        ]
        assert twins


def test_the_state_says_nothing_about_the_mixture():
    runs = design_runs(("a", "b", "c"), 512, 10_000)
    noise = [run.perturbations.get("a", Perturbation()).noise for run in runs]
    assert abs(np.corrcoef(noise, [run.mixture[0] for run in runs])[0, 1]) < 0.12


def test_the_first_state_is_the_pool_as_it_is():
    perturbations = sample_perturbations(("a", "b"), 16)
    assert perturbations[0] == {} and any(perturbations[1:])


def test_views_that_were_used_long_ago_are_forgotten(pool, tmp_path, monkeypatch):
    monkeypatch.setattr("causalmix_nb.data.corpus.VIEWED", 500)
    corpus = Corpus.build(pool, tmp_path)
    first = corpus.view("sums")
    for level in range(1, 60):
        assert corpus.view("sums") is first  # used again and again
        corpus.view("apples", Perturbation(noise=level / 100))
    assert 1 < len(corpus._views) < 20


def test_a_domain_is_made_so_scarce_that_it_repeats_and_no_scarcer():
    runs = design_runs(("a", "b"), 400, 10_000, available={"a": 10**6, "b": 10**3})
    kept = {
        name: [run.perturbations[name].keep for run in runs if name in run.perturbations]
        for name in ("a", "b")
    }
    scarcest = 0.5 * 10_000 / SCARCE_EPOCHS / 10**6
    assert scarcest <= min(kept["a"]) < 4 * scarcest
    assert min(kept["b"]) > 0.5  # 1,000 tokens repeat five times as they are


def test_a_run_is_known_by_what_decides_its_outcome():
    run = RunSpec((0.5, 0.5), 1000, {"a": Perturbation(noise=0.5)})
    assert RunSpec.from_dict(run.to_dict()) == run
    assert run.key("x") == RunSpec((0.5, 0.5), 1000, {"a": Perturbation(noise=0.5)}, label="other").key("x")
    assert len({run.key("x"), run.key("y"), RunSpec((0.5, 0.5), 1000, seed=1).key("x")}) == 3


@pytest.mark.parametrize(
    ("n", "budget", "said"), [(4, 10_000, "cannot tell 3 domains"), (24, 10, "too small")]
)
def test_designs_that_can_teach_nothing_are_refused(n, budget, said):
    with pytest.raises(TrainingError, match=said):
        design_runs(("a", "b", "c"), n, budget)


# -- proxies ---------------------------------------------------------------------------------------------


def test_a_run_in_a_swarm_ends_as_it_would_alone(corpus):
    specs = [RunSpec(tuple(row), 2000, seed=i) for i, row in enumerate(sample_mixtures(5, 3).tolist())]
    evaluate = Evaluator(corpus, TINY.context)
    together = train_runs(corpus, specs, TINY, None, evaluate)
    for i, spec in enumerate(specs):
        alone = train_runs(corpus, [spec], TINY, None, evaluate)[0]
        assert alone.outcomes == pytest.approx(together[i].outcomes, abs=2e-3)


def test_a_run_that_diverges_is_reported_and_leaves_its_neighbours_alone(corpus):
    swarm = ProxySwarm(TINY, 2)
    base = swarm.weights()
    evaluate = Evaluator(corpus, TINY.context)
    broken = {name: tensor * torch.inf for name, tensor in base.items()}
    run = train_runs(corpus, [RunSpec((1 / 3, 1 / 3, 1 / 3), 1000)], TINY, broken, evaluate)[0]
    assert not run.outcomes and "diverged" in run.reason


def test_training_learns(corpus):
    evaluate = Evaluator(corpus, TINY.context)
    before = evaluate(ProxySwarm(TINY, 1))[0]
    after = evaluate(train_base(corpus, TINY))[0]
    assert after["bpb"] < before["bpb"] - 0.5


def test_exact_match_agrees_with_greedy_decoding(corpus):
    swarm = train_base(corpus, LEARNS)
    pairs = corpus.checkable("sums", context=32)
    right = 0
    for prompt, response in pairs:
        tokens = list(prompt)
        while len(tokens) < len(prompt) + len(response):
            with torch.no_grad():
                tokens.append(int(swarm.logits(torch.tensor([[tokens]]))[0, 0, -1].argmax()))
        right += bytes(tokens[len(prompt) :]) == response
    assert Evaluator(corpus, 32)(swarm)[0]["exact_match.sums"] == pytest.approx(right / len(pairs))
    assert corpus.checkable("apples") == []


def test_proxies_have_at_least_100_000_parameters_by_default():
    config = ProxyConfig()
    assert config.n_parameters == sum(t.numel() for t in ProxySwarm(config, 1)) >= 100_000


@pytest.mark.parametrize(
    "bad", [{"d_model": 30}, {"batch": 0}, {"n_layers": 1.5}, {"learning_rate": 0}, {"base_tokens": -1}]
)
def test_configurations_that_cannot_train_are_refused(bad):
    with pytest.raises(TrainingError):
        ProxyConfig(**bad)


# -- state -----------------------------------------------------------------------------------------------


def test_noise_shows_in_the_measured_state_and_nowhere_else(corpus):
    scorer = ProxyScorer(train_base(corpus, LEARNS))
    clean, noisy = (
        measure_state(corpus, scorer, perturbations)
        for perturbations in ({}, {"apples": Perturbation(noise=1.0)})
    )
    assert list(clean.columns) == list(COVARIATES)
    assert noisy.loc["apples", "loss"] > clean.loc["apples", "loss"] + 0.3
    assert noisy.drop("apples").equals(clean.drop("apples"))


def test_a_target_weights_the_mean_outcome(corpus):
    assert target_weights(corpus, {"apples": 3, "bolts": 1}) == {"apples": 0.75, "bolts": 0.25}
    for target, said in (
        ({"apple": 1}, "Did you mean 'apples'"),
        ({"apples": -1}, "negative"),
        ({"apples": 0}, "all 0"),
    ):
        with pytest.raises(StudyError, match=said):
            target_weights(corpus, target)
    scored = Evaluator(corpus, TINY.context, {"apples": 1})(ProxySwarm(TINY, 1))[0]
    assert scored["bpb"] == scored["bpb.apples"]


# -- launching -------------------------------------------------------------------------------------------


def test_workers_and_this_process_record_the_same_runs(pool, study, tmp_path):
    from causalmix_nb.study.study import Study

    other = Study.create(tmp_path / "other", pool, config=TINY)
    assert study.run(8, 1_000, executor="local", workers=2).done == 8
    assert other.run(8, 1_000, executor="inline").done == 8
    columns = ["key", "outcome.bpb"]
    here, there = (s.runs.frame[columns].set_index("key").sort_index() for s in (study, other))
    assert list(here.index) == list(there.index)
    assert np.allclose(here, there, atol=2e-3)


def test_finished_runs_are_not_repeated_and_more_are_added(study):
    assert study.run(8, 1_000, executor="inline").done == 8
    again = study.run(8, 1_000, executor="inline")
    assert (again.done, again.reused) == (0, 8)
    more = study.run(12, 1_000, executor="inline")
    assert (more.done, more.reused) == (4, 8) and len(study.runs) == 12


def test_progress_is_told_and_ends_complete(study):
    seen = []
    study.run(8, 1_000, executor="inline", progress=seen.append)
    assert {p.stage for p in seen} >= {"base proxy", "proxy runs"}
    assert (seen[-1].done, seen[-1].total) == (8, 8)


def test_an_interrupt_leaves_a_study_that_resumes(study):
    def interrupt(progress):
        if progress.stage == "proxy runs" and progress.done:
            raise KeyboardInterrupt

    report = study.run(24, 1_000, executor="inline", progress=interrupt)
    assert report.interrupted and 0 < report.done < 24 and "resumes" in str(report)
    assert study.run(24, 1_000, executor="inline").reused == report.done
    assert len(study.runs.keys("done")) == 24


def test_the_runs_of_a_killed_worker_are_tried_again(study, monkeypatch):
    from causalmix_nb.launch import workers

    started = []
    real = workers.start_worker

    def start(*args):
        started.append(real(*args))
        return started[-1]

    monkeypatch.setattr(workers, "start_worker", start)

    def kill_first(progress):
        if progress.stage == "proxy runs" and progress.done and started[0].poll() is None:
            started[0].kill()

    report = study.run(40, 1_000, workers=2, progress=kill_first)
    assert (report.done, report.failed) == (40, 0) and 0 < report.retried <= 8
    assert "tried again after their process died" in str(report)
    assert len(started) == 3 and len(study.runs.keys("done")) == 40


@pytest.mark.parametrize("fatal", [set(), {"3"}, {"0", "7"}, set("01234567")])
def test_runs_that_kill_every_process_are_told_from_their_neighbours(fatal):
    from causalmix_nb.launch.chunk import Chunks

    chunks, done, failed, deaths = Chunks(["01234567", "89"]), set(), set(), 0
    while chunks:
        keys = chunks.next()
        if fatal.isdisjoint(keys):
            done.update(keys)
            continue
        deaths += 1
        failed.update(chunks.lost(keys, "killed").get("results", ()))
    assert done == set("0123456789") - fatal and failed == fatal
    assert deaths <= 2 + 2 + 4 + 8


def test_workers_that_cannot_start_end_the_launch_with_the_reason(study, monkeypatch):
    from causalmix_nb.launch import workers

    study.run(5, 1_000, executor="inline")
    monkeypatch.setattr(workers.sys, "executable", "/bin/false")
    with pytest.raises(TrainingError, match="workers end before they can train"):
        study.run(8, 1_000, workers=1)


def test_a_chunk_that_does_not_fit_goes_on_in_halves(study, monkeypatch):
    from causalmix_nb.proxies.kinds import byte_gpt

    real, widths = byte_gpt.train_runs, []

    def train_runs(corpus, specs, *rest):
        widths.append(len(specs))
        if len(specs) > 2:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes")
        return real(corpus, specs, *rest)

    monkeypatch.setattr(byte_gpt, "train_runs", train_runs)
    assert study.run(8, 1_000, executor="inline").done == 8
    assert widths == [4, 4, 2, 2, 2, 2]


def test_workers_end_when_their_driver_is_killed(study):
    code = (
        "import sys; from causalmix_nb.launch import workers; from causalmix_nb.study.study import Study\n"
        "real = workers.start_worker\n"
        "def start(*a):\n    w = real(*a); print(w.pid, flush=True); return w\n"
        "workers.start_worker = start\n"
        "Study.open(sys.argv[1]).run(64, 20_000, workers=1)"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", code, str(study.folder)], stdout=subprocess.PIPE, text=True
    )
    worker = int(driver.stdout.readline())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            break
        if "Z" in Path(f"/proc/{worker}/stat").read_text().split(")")[1][:3]:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the worker outlived its driver by 10 s")
    assert study.run(8, 1_000, executor="inline").failed == 0


def test_an_unknown_executor_is_named(study):
    with pytest.raises(CausalMixError, match="Did you mean 'local'"):
        study.run(8, 1_000, executor="locl")
