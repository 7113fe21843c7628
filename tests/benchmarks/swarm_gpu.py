"""Training on one GPU: the swarm at several widths and sizes (not compiled), with its share of the card's peak (MFU), beside Hugging Face's Trainer.

MFU counts 6 floating-point operations per parameter and token and, per layer, 12 per token, context and width for attention; ``--peak`` is the
card's dense bfloat16 peak. ``--launch`` also times a whole launch: 512 runs x 10M tokens at 1M parameters, data and scoring included.
Without a GPU every step runs on the CPU at toy size (``--dry``): the path is tested, the figures mean nothing.

    python tests/benchmarks/swarm_gpu.py --peak 989e12 --launch
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from swarm_cpu import trainer

from causalmix_nb import Pool, demo_pool
from causalmix_nb.data.corpus import Corpus
from causalmix_nb.design.simplex import design_runs
from causalmix_nb.launch.launch import launch
from causalmix_nb.launch.pace import GPU_WIDTHS
from causalmix_nb.proxies.config import DATA
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.proxies.outcomes import outcome_directions
from causalmix_nb.proxies.swarm_cost import speed_here
from causalmix_nb.runs.store import Runs

SHAPES = {"1M": (144, 4, 128), "15M": (384, 8, 512), "60M": (640, 12, 512)}  # width, layers, context


def flop_per_token(config: ProxyConfig) -> float:
    return 6 * config.n_parameters + 12 * config.n_layers * config.context * config.d_model


def whole_launch(folder: Path, n_runs: int, tokens: int, config: ProxyConfig) -> float:
    """Seconds of a launch from nothing to the last record."""
    corpus = Corpus.open(folder / DATA)
    specs = design_runs(corpus.domains, n_runs, tokens, states=False)
    store = Runs.open(folder / "runs.sqlite", create=True)
    store.declare_outcomes(outcome_directions(corpus))
    jobs = {f"{i}": spec for i, spec in enumerate(specs)}
    started = time.perf_counter()
    report = launch(folder, jobs, {key: {} for key in jobs}, store, config)
    assert report.done == n_runs, report
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peak", type=float, default=989e12, help="FLOP per second of the card in bfloat16")
    parser.add_argument("--sizes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--launch", action="store_true", help="512 runs x 10M tokens at 1M parameters")
    parser.add_argument("--dry", action="store_true", help="toy sizes, to see that it runs")
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available() and not options.dry:
        raise SystemExit("there is no GPU here; --dry runs the same steps at toy size on the CPU.")
    dry = options.dry
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    print(f"{name}, torch {torch.__version__}")
    widths = (1, 2) if dry else GPU_WIDTHS
    for size in options.sizes:
        width, layers, context = (16, 1, 32) if dry else SHAPES[size]
        config = ProxyConfig(d_model=width, n_layers=layers, context=context, base_tokens=0)
        best = 0.0
        for runs in widths:
            try:
                speed = speed_here(config, runs, 0.02 if dry else 2.0)
            except torch.OutOfMemoryError:
                print(f"{size} x {runs}: out of memory")
                break
            used = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
            print(
                f"{size} ({config.n_parameters:,} parameters) x {runs}: {speed:,.0f} tokens/s, "
                f"MFU {speed * flop_per_token(config) / options.peak:.1%}, {used:.1f} GiB",
                flush=True,
            )
            if speed < 0.95 * best:
                break
            best = max(best, speed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = {d: [f"{d} {i} {i * i}" for i in range(200)] for d in ("one", "two")}
        corpus = Corpus.build(Pool.from_dict(texts) if dry else demo_pool(), folder / DATA)
        config = (
            ProxyConfig(d_model=16, n_layers=1, context=32, base_tokens=0)
            if dry
            else ProxyConfig(d_model=144, n_layers=4, base_tokens=0)
        )
        specs = design_runs(corpus.domains, 4, 2_000 if dry else 1_000_000, states=False)
        trainer(corpus, specs[:1], config, bf16=not dry)
        theirs, parameters = trainer(corpus, specs[:2], config, bf16=not dry)
        print(f"Trainer: {theirs:,.0f} tokens/s at {parameters:,} parameters")
        if options.launch or dry:
            n_runs, tokens = (4, 2_000) if dry else (512, 10_000_000)
            seconds = whole_launch(folder, n_runs, tokens, config)
            print(
                f"{n_runs} runs x {tokens:,} tokens: {seconds:.0f} s, {n_runs * tokens / seconds:,.0f} tokens/s "
                f"({n_runs * tokens / seconds / theirs:.1f}x the Trainer)"
            )


if __name__ == "__main__":
    main()
