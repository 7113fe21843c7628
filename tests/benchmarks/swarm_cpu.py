"""Training throughput of the swarm beside Hugging Face's Trainer and beside our own runs one after another, in one go.

The same windows, batch, context, optimiser and number of tokens for all three; the Trainer trains a Llama of the same size. The swarm is what
``%causalmix run`` does: worker processes, several runs as one model, evaluation included; the Trainer's figure is without evaluation.

    python tests/benchmarks/swarm_cpu.py --sizes 50k 150k 1M
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from causalmix_nb import demo_pool
from causalmix_nb.chunk import DATA
from causalmix_nb.corpus import Corpus, training_windows
from causalmix_nb.design import design_runs
from causalmix_nb.launch import launch
from causalmix_nb.outcomes import outcome_directions
from causalmix_nb.proxy import ProxyConfig
from causalmix_nb.runs import Runs

SHAPES = {"50k": (40, 2), "150k": (72, 2), "1M": (144, 4)}  # width, layers


def config_of(size: str) -> ProxyConfig:
    width, layers = SHAPES[size]
    return ProxyConfig(d_model=width, n_layers=layers, base_tokens=0)


def matmul_peak() -> float:
    """Multiply-adds per second of a large matrix product, both cores."""
    import torch

    a = torch.randn(2048, 2048)
    a @ a
    started = time.perf_counter()
    for _ in range(5):
        a @ a
    return 5 * 2048**3 / (time.perf_counter() - started)


def windows_of(corpus: Corpus, spec, config: ProxyConfig) -> np.ndarray:
    n = max(config.batch, spec.token_budget // config.context)
    return training_windows(corpus, spec.mixture, {}, 0, spec.seed, n, config.context)[0]


def swarm(folder: Path, specs, config: ProxyConfig) -> float:
    corpus = Corpus.open(folder / DATA)
    store = Runs.open(folder / f"{config.d_model}.sqlite", create=True)
    store.declare_outcomes(outcome_directions(corpus))
    jobs = {f"{i}": spec for i, spec in enumerate(specs)}
    report = launch(folder, jobs, {key: {} for key in jobs}, store, config)
    assert report.done == len(specs), report
    return report.done * specs[0].token_budget / report.seconds


def one_by_one(corpus: Corpus, specs, config: ProxyConfig) -> float:
    from causalmix_nb.train import fit, new_swarm

    started = time.perf_counter()
    for spec in specs:
        windows = windows_of(corpus, spec, config)
        fit(
            new_swarm(config, 1, None),
            windows[None],
            np.ones(windows[None, :, 1:].shape, bool),
            config.learning_rate,
        )
    return len(specs) * specs[0].token_budget / (time.perf_counter() - started)


def trainer(corpus: Corpus, specs, config: ProxyConfig) -> tuple[float, int]:
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
                warmup_steps=config.warmup, use_cpu=True, report_to=[], save_strategy="no", logging_strategy="no",
                disable_tqdm=True,
            )  # fmt: skip
            Trainer(model=model, args=settings, train_dataset=rows).train()
    return len(specs) * specs[0].token_budget / (time.perf_counter() - started), model.num_parameters()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=100_000, help="of each run")
    parser.add_argument(
        "--alone", type=int, default=6, help="runs that the Trainer and the single runs are timed over"
    )
    options = parser.parse_args()
    peak = matmul_peak()
    print(f"{os.cpu_count()} cores; matrix products reach {peak / 1e9:.0f} G multiply-adds/s")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpus = Corpus.build(demo_pool(), folder / DATA)
        for size in options.sizes:
            config = config_of(size)
            specs = design_runs(corpus.domains, options.runs, options.tokens, states=False)
            few = specs[: options.alone]
            ours = swarm(folder, specs, config)
            single = one_by_one(corpus, few, config)
            theirs, parameters = trainer(corpus, few, config)
            used = ours * 3 * config.n_parameters / peak  # forward and backward, multiply-adds
            print(
                f"{size:>5s}: swarm {ours:9,.0f} tokens/s ({config.n_parameters:,} parameters, {used:.0%} of the peak); "
                f"one by one {single:9,.0f} ({ours / single:.2f}x); Trainer {theirs:9,.0f} ({parameters:,} parameters, "
                f"{ours / theirs:.2f}x)",
                flush=True,
            )


if __name__ == "__main__":
    main()
