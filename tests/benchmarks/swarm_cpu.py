"""Training throughput of the swarm beside Hugging Face's Trainer and beside our own runs one after another, in one go.

The same windows, batch, context, optimiser and number of tokens for all three; the Trainer trains a Llama of the same size on all cores, as its
defaults have it (float32), and with ``bf16=True`` for comparison. Two figures for the swarm: what ``%causalmix run`` takes from the start of
the launch to the last record – worker processes, drawing the data and scoring every run on held-out text included – and training alone,
which is what is timed of the others.

    python tests/benchmarks/swarm_cpu.py --sizes 50k 150k 1M
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from causalmix_nb import demo_pool
from causalmix_nb.data.corpus import Corpus, run_windows
from causalmix_nb.design.simplex import design_runs
from causalmix_nb.launch import pace
from causalmix_nb.launch.launch import launch
from causalmix_nb.proxies.config import DATA
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.proxies.outcomes import outcome_directions
from causalmix_nb.proxies.swarm import precision_of
from causalmix_nb.runs.store import Runs

SHAPES = {"50k": (40, 2), "150k": (72, 2), "1M": (144, 4)}  # width, layers


def config_of(size: str) -> ProxyConfig:
    width, layers = SHAPES[size]
    return ProxyConfig(d_model=width, n_layers=layers, base_tokens=0)


def matmul_peak(dtype) -> float:
    """Multiply-adds per second of a large matrix product, all cores."""
    import torch

    a = torch.randn(2048, 2048).to(dtype)
    times = []
    for _ in range(6):
        started = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - started)
    return 2048**3 / min(times)


def windows_of(corpus: Corpus, spec, config: ProxyConfig) -> np.ndarray:
    n = max(config.batch, spec.token_budget // config.context)
    data = run_windows(corpus, spec.mixture, {}, 0, spec.seed, n, config.context)
    return np.concatenate([windows for windows, _ in data.blocks()])


def swarm(folder: Path, specs, config: ProxyConfig) -> tuple[float, pace.Pace]:
    """Tokens per second of a whole launch, and the pace that was measured for it beforehand."""
    corpus = Corpus.open(folder / DATA)
    found = pace.pace_for(folder, config, [spec.token_budget for spec in specs])
    store = Runs.open(folder / f"{config.d_model}.sqlite", create=True)
    store.declare_outcomes(outcome_directions(corpus))
    jobs = {f"{i}": spec for i, spec in enumerate(specs)}
    report = launch(folder, jobs, {key: {} for key in jobs}, store, config)
    assert report.done == len(specs), report
    return report.done * specs[0].token_budget / report.seconds, found


def one_by_one(corpus: Corpus, specs, config: ProxyConfig) -> float:
    from causalmix_nb.proxies.train import fit, new_swarm

    started = time.perf_counter()
    for spec in specs:
        n = max(config.batch, spec.token_budget // config.context)
        data = run_windows(corpus, spec.mixture, {}, 0, spec.seed, n, config.context)
        fit(new_swarm(config, 1, None), [data], config.learning_rate)
    return len(specs) * specs[0].token_budget / (time.perf_counter() - started)


def trainer(corpus: Corpus, specs, config: ProxyConfig, bf16: bool) -> tuple[float, int]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
    from transformers.utils import logging as hf_logging

    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    llama = LlamaConfig(
        vocab_size=256, hidden_size=config.d_model, intermediate_size=round(8 * config.d_model / 3),
        num_hidden_layers=config.n_layers, num_attention_heads=config.n_heads, tie_word_embeddings=True,
        max_position_embeddings=config.context,
    )  # fmt: skip
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        for spec in specs:
            windows = windows_of(corpus, spec, config)[:, :-1].astype(np.int64)
            rows = [{"input_ids": torch.from_numpy(w), "labels": torch.from_numpy(w)} for w in windows]
            model = LlamaForCausalLM(llama)
            settings = TrainingArguments(
                out, per_device_train_batch_size=config.batch, num_train_epochs=1, learning_rate=config.learning_rate,
                weight_decay=config.weight_decay, adam_beta2=0.95, max_grad_norm=config.clip, lr_scheduler_type="linear",
                warmup_steps=config.warmup, use_cpu=not torch.cuda.is_available(), report_to=[], save_strategy="no", logging_strategy="no",
                disable_tqdm=True, bf16=bf16,
            )  # fmt: skip
            with contextlib.redirect_stdout(io.StringIO()):
                Trainer(model=model, args=settings, train_dataset=rows).train()
    return len(specs) * specs[0].token_budget / (time.perf_counter() - started), model.num_parameters()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=200_000, help="of each run")
    parser.add_argument(
        "--alone", type=int, default=6, help="runs that the Trainer and the single runs are timed over"
    )
    options = parser.parse_args()
    import torch

    pace.WORTH = 0.0  # measured however little there is to train, so that there is a figure
    peaks = {name: matmul_peak(getattr(torch, name)) for name in ("float32", "bfloat16")}
    print(
        f"{os.cpu_count()} cores; matrix products reach "
        + ", ".join(f"{v / 1e9:.0f} G multiply-adds/s in {k}" for k, v in peaks.items())
    )
    dtype = precision_of("auto", torch.device("cpu"))
    peak = peaks[str(dtype).removeprefix("torch.")]
    print(
        f"products of the swarm are in {dtype}; shares are of that peak, counting 3 multiply-adds per parameter and token"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpus = Corpus.build(demo_pool(), folder / DATA)
        for size in options.sizes:
            config = config_of(size)
            specs = design_runs(corpus.domains, options.runs, options.tokens, states=False)
            few = specs[: options.alone]
            trainer(corpus, few[:1], config, False)  # what is slow the first time
            theirs, parameters = trainer(corpus, few, config, False)
            half, _ = trainer(corpus, few, config, True)
            whole, chosen = swarm(folder, specs, config)
            single = one_by_one(corpus, few, config)
            again, _ = trainer(corpus, few, config, False)
            theirs = (theirs + again) / 2  # before and after ours, since the machine's speed drifts
            training = chosen.tokens_per_second
            print(
                f"{size:>5s}: swarm {training:9,.0f} tokens/s training ({config.n_parameters:,} parameters, "
                f"{training * 3 * config.n_parameters / peak:.0%} of the peak; {chosen.workers} workers x {chosen.threads} threads x {chosen.width} runs), "
                f"{whole:9,.0f} with start, data and scoring; one by one {single:9,.0f} ({training / single:.2f}x, {whole / single:.2f}x); "
                f"Trainer {theirs:9,.0f} ({parameters:,} parameters; {training / theirs:.2f}x, {whole / theirs:.2f}x), in bf16 {half:9,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
