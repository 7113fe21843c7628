"""The batched swarm: its arithmetic against plain formulas, its runs against themselves alone, its data against a loop."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from torch.nn import functional as F

from causalmix_nb.data.corpus import Corpus, run_windows
from causalmix_nb.data.pool import BOILERPLATE, Perturbation
from causalmix_nb.data.windows import END, Stream
from causalmix_nb.design.simplex import RunSpec, sample_mixtures
from causalmix_nb.proxies import fused
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.proxies.outcomes import Evaluator
from causalmix_nb.proxies.swarm import ProxySwarm
from causalmix_nb.proxies.train import train_base, train_runs
from tiny import TINY


@pytest.fixture(scope="module")
def corpus(pool, tmp_path_factory):
    return Corpus.build(pool, tmp_path_factory.mktemp("corpus"))


# -- arithmetic ------------------------------------------------------------------------------------------


def plainly_shifted(x: torch.Tensor) -> torch.Tensor:
    y = F.rms_norm(x, (x.shape[-1],), eps=fused.EPSILON)
    return torch.cat([F.pad(y[:, :-1, :4], (0, 0, 1, 0)), y[..., 4:]], -1)


@pytest.mark.parametrize(
    ("ours", "plain"),
    [
        (lambda x: fused.norm(x, torch.float64), lambda x: F.rms_norm(x, (x.shape[-1],), eps=fused.EPSILON)),
        (fused.squared_relu, lambda x: F.relu(x).square()),
        (lambda x: fused.shifted_norm(x, 5, torch.float64), lambda x: plainly_shifted(x)),
    ],
)
def test_a_step_and_its_written_derivative_are_those_of_the_plain_formula(ours, plain):
    x = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad=True)
    towards = torch.randn(2, 5, 8, dtype=torch.float64)
    (a,), (b,) = (torch.autograd.grad((f(x) * towards).sum(), x) for f in (ours, plain))
    assert torch.allclose(ours(x), plain(x)) and torch.allclose(a, b)


def test_cross_entropy_and_its_derivative_are_torchs():
    logits, target = torch.randn(3, 7, 256, requires_grad=True), torch.randint(256, (3, 7))
    ours, theirs = (
        fused.cross_entropy(logits, target),
        F.cross_entropy(logits.movedim(-1, 1), target, reduction="none"),
    )
    weight = torch.rand(3, 7)
    (a,), (b,) = (torch.autograd.grad((loss * weight).sum(), logits) for loss in (ours, theirs))
    assert torch.allclose(ours, theirs, atol=1e-5) and torch.allclose(a, b, atol=1e-6)


def test_attention_is_the_fused_kernels():
    q, k, v = torch.randn(3, 4, 2, 6, 8)
    bias = torch.randn(2, 6, 6)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(4, -1, -1, -1))
    assert torch.allclose(fused.attention(q, k, v, bias), theirs, atol=1e-5)


def test_no_token_sees_what_comes_after_it():
    swarm = ProxySwarm(ProxyConfig(d_model=16, n_heads=2, context=16, precision="fp32"), 1)
    tokens = torch.randint(1, 255, (1, 1, 16))
    changed = tokens.clone()
    changed[..., 9:] = 65
    before, after = swarm.logits(tokens), swarm.logits(changed)
    assert torch.allclose(before[..., :9, :], after[..., :9, :], atol=1e-5)
    assert not torch.allclose(before[..., 9:, :], after[..., 9:, :], atol=1e-3)


# -- runs ------------------------------------------------------------------------------------------------


def specs_of(n: int, **named) -> list[RunSpec]:
    return [
        RunSpec(tuple(row), 4000, seed=i, **named) for i, row in enumerate(sample_mixtures(n, 3).tolist())
    ]


def test_a_run_among_31_others_ends_as_it_would_alone(corpus):
    config = ProxyConfig(**{**TINY.to_dict(), "precision": "fp32"})
    evaluate, specs = Evaluator(corpus, config.context), specs_of(32)
    together = train_runs(corpus, specs, config, None, evaluate)
    others = [specs[5], *specs_of(32)[20:24]]
    alone = train_runs(corpus, [specs[5]], config, None, evaluate)[0]
    elsewhere = train_runs(corpus, others, config, None, evaluate)[0]
    assert alone.outcomes == pytest.approx(together[5].outcomes, abs=1e-4)
    assert alone.outcomes == pytest.approx(elsewhere.outcomes, abs=1e-4)


def test_half_precision_moves_an_outcome_less_than_another_seed_does(corpus):
    spec = specs_of(1)[0]
    kinds = {kind: ProxyConfig(**{**TINY.to_dict(), "precision": kind}) for kind in ("fp32", "bf16")}
    base = train_base(corpus, kinds["fp32"]).weights()
    evaluate = Evaluator(corpus, TINY.context)
    scores = {
        kind: [
            run.outcomes["bpb"]
            for run in train_runs(
                corpus, [RunSpec(spec.mixture, 4000, seed=s) for s in range(6)], config, base, evaluate
            )
        ]
        for kind, config in kinds.items()
    }
    rounding = np.abs(np.subtract(scores["fp32"], scores["bf16"])).max()
    assert 0 < rounding < np.std(scores["fp32"], ddof=1)


def test_every_run_may_have_a_learning_rate_of_its_own(corpus):
    config = ProxyConfig(**{**TINY.to_dict(), "precision": "fp32"})
    evaluate, mixture = Evaluator(corpus, config.context), (1 / 3, 1 / 3, 1 / 3)
    rates = (3e-4, 3e-3)
    mixed = train_runs(
        corpus, [RunSpec(mixture, 4000, learning_rate=rate) for rate in rates], config, None, evaluate
    )
    for rate, run in zip(rates, mixed):
        own = ProxyConfig(**{**config.to_dict(), "learning_rate": rate})
        alone = train_runs(corpus, [RunSpec(mixture, 4000)], own, None, evaluate)[0]
        assert run.outcomes == pytest.approx(alone.outcomes, abs=1e-4)
    assert abs(mixed[0].outcomes["bpb"] - mixed[1].outcomes["bpb"]) > 0.01


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler (g++)")
def test_a_compiled_swarm_has_the_same_losses():
    swarm = ProxySwarm(ProxyConfig(d_model=16, n_layers=1, n_heads=2, context=16, precision="fp32"), 2)
    windows = torch.randint(1, 255, (2, 3, 17))
    plain = swarm.token_losses(windows)
    swarm.compile()
    assert torch.allclose(swarm.token_losses(windows), plain, atol=1e-5)


# -- data ------------------------------------------------------------------------------------------------


def one_by_one(view, n: int, seed: int) -> bytes:
    """What a stream should give, document by document."""
    import zlib

    rng, out = np.random.default_rng([seed, zlib.crc32(view.domain.encode())]), b""
    while len(out) < n:
        for i in rng.permutation(view.n_documents):
            source = int(view.plan.index[i])
            if view.plan.boilerplate[i]:
                out += BOILERPLATE[source % len(BOILERPLATE)].encode() + bytes([END])
                continue
            documents = view._noisy if view.plan.noisy[i] else view._clean
            out += bytes(documents.tokens[documents.offsets[source] : documents.offsets[source + 1]])
    return out[:n]


@pytest.mark.parametrize(
    "perturbation", [Perturbation(), Perturbation(noise=0.5, boilerplate=0.3, duplicates=0.4, keep=0.6)]
)
def test_a_stream_is_its_documents_in_their_order_epoch_after_epoch(corpus, perturbation):
    view = corpus.view("apples", perturbation, 3)
    stream, rng = view.stream(7), np.random.default_rng(0)
    n = 3 * int(view.available_tokens)
    pieces, have = [], 0
    while have < n:
        pieces.append(stream.take(int(rng.integers(1, 200)))[0])
        have += len(pieces[-1])
    assert bytes(np.concatenate(pieces)) == one_by_one(view, have, 7)


def test_windows_do_not_depend_on_how_many_are_taken_at_a_time(corpus):
    make = lambda size: list(run_windows(corpus, [0.5, 0.3, 0.2], {}, 0, 0, 50, 32).blocks(size))  # noqa: E731
    whole, pieces = make(50), make(7)
    assert len(pieces) == 8
    for a, b in zip(whole[0], map(np.concatenate, zip(*pieces))):
        assert (a == b).all()


def test_the_mask_of_a_stream_goes_with_its_tokens():
    tokens, mask = np.arange(1, 7, dtype=np.uint8), np.array([0, 1, 1, 0, 0, 1], bool)
    stream = Stream(
        [(tokens, mask)], np.zeros(2, int), np.array([0, 3]), np.array([3, 3]), np.random.default_rng(0)
    )
    got, counted = stream.take(60)
    assert (counted == mask[got - 1]).all() and set(got.tolist()) == set(range(1, 7))


# -- pace ------------------------------------------------------------------------------------------------


def test_a_small_launch_is_not_measured_and_a_large_one_is_once(tmp_path, monkeypatch):
    from causalmix_nb.launch import pace

    asked = []

    def measured(config, workers, budget):
        asked.append((workers, budget))
        return pace.Pace(1, 2, 16, 1000.0, {"1 x 2 x 16": 1000.0})

    monkeypatch.setattr(pace, "measure", measured)
    config = ProxyConfig()
    assert pace.pace_for(tmp_path, config, [1000] * 8).tokens_per_second is None and not asked
    large = [100_000] * 128
    assert pace.pace_for(tmp_path, config, large).width == 16
    assert pace.pace_for(tmp_path, config, large).width == 16 and asked == [(None, 100_000)]
    pace.pace_for(tmp_path, ProxyConfig(d_model=72), large)
    (tmp_path / pace.NOTE).write_text("{")
    pace.pace_for(tmp_path, config, large)
    assert len(asked) == 3


def test_the_fastest_arrangement_that_was_measured_is_taken():
    from causalmix_nb.launch.pace import measure

    found = measure(TINY, workers=1, token_budget=1000)
    assert found.workers == 1 and found.tokens_per_second == pytest.approx(max(found.tried.values()), abs=1)
    best = max(found.tried, key=found.tried.get)
    assert best.split(" x ")[2] == str(found.width) and len(found.tried) > 1


def test_a_swarm_that_would_not_fit_is_not_tried(monkeypatch):
    from causalmix_nb.launch import pace

    monkeypatch.setattr(pace, "free_memory", lambda: 2e9)
    assert pace.fits(ProxyConfig(), 4, 100_000, 1) and not pace.fits(ProxyConfig(), 512, 100_000, 2)


def test_no_more_workers_than_fit_where_a_hub_limits_the_memory(monkeypatch, tmp_path):
    from causalmix_nb import machine
    from causalmix_nb.launch import pace

    monkeypatch.setattr(pace, "cores", lambda: 8)
    monkeypatch.setattr(pace, "WORTH", 1e99)
    monkeypatch.setenv("MEM_LIMIT", str(64 * 2**30))
    usual, roomy = pace.SHARE, (pace.free_memory() or 0) > 8e9
    monkeypatch.setattr(pace, "SHARE", usual if roomy else 1e9)  # also where the machine itself is small
    assert pace.pace_for(tmp_path, ProxyConfig(), [100_000] * 64).workers == 8
    monkeypatch.setattr(pace, "SHARE", usual)
    monkeypatch.setenv("MEM_LIMIT", str(2**30))
    assert pace.free_memory() < 2**30 - machine.SERVER
    assert pace.pace_for(tmp_path, ProxyConfig(), [100_000] * 64).workers == 1
    assert pace.pace_for(tmp_path, ProxyConfig(), [100_000] * 64, workers=3).workers == 3  # as asked


def test_two_workers_fit_beside_a_lesson_in_two_gigabytes(monkeypatch, tmp_path):
    from causalmix_nb.launch import pace

    monkeypatch.setattr(pace, "cores", lambda: 2)
    monkeypatch.setattr(pace, "WORTH", 1e99)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64e9))
    monkeypatch.setattr(psutil.Process, "memory_info", lambda process: SimpleNamespace(rss=0.97e9))
    monkeypatch.setenv("MEM_LIMIT", str(2 * 2**30))
    assert pace.pace_for(tmp_path, ProxyConfig(), [100_000] * 128).workers == 2
    monkeypatch.setenv("MEM_LIMIT", str(3 * 2**29))
    assert pace.pace_for(tmp_path, ProxyConfig(), [100_000] * 128).workers == 1


def test_a_gpu_gets_one_process_and_a_wide_swarm_that_fits(monkeypatch, tmp_path):
    from causalmix_nb.launch import pace

    monkeypatch.setattr(pace, "on_gpu", lambda: True)
    monkeypatch.setattr(pace, "WORTH", 1e99)
    monkeypatch.setattr(pace, "free_memory", lambda: 80e9)
    found = pace.pace_for(tmp_path, ProxyConfig(), [100_000] * 512)
    assert (found.workers, found.width) == (1, pace.GPU_WIDTH)
    assert pace.pace_for(tmp_path, ProxyConfig(), [100_000] * 512, workers=2).workers == 2
    with monkeypatch.context() as patch:
        patch.setattr(pace, "WORTH", 0.0)
        patch.setattr(pace, "cores", lambda: 16)
        patch.setattr(pace, "measure", lambda *_: pace.Pace(2, 8, 128))
        assert pace.pace_for(tmp_path, ProxyConfig(), [100_000] * 512) == pace.Pace(2, 8, 128)
    monkeypatch.setattr(pace, "free_memory", lambda: 3e9)
    assert 1 < pace.pace_for(tmp_path, ProxyConfig(), [100_000] * 512).width < pace.GPU_WIDTH


def test_the_gpu_benchmark_runs_at_toy_size_without_a_gpu():
    script = Path(__file__).parents[1] / "benchmarks" / "swarm_gpu.py"
    shown = subprocess.run(
        [sys.executable, str(script), "--dry", "--sizes", "1M"], capture_output=True, text=True, check=True
    ).stdout
    assert "MFU" in shown and "Trainer:" in shown and "4 runs x 2,000 tokens" in shown
