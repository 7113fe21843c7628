"""Does the mixture that was learnt once survive a change of the pool? Real trainings, every method, paired seeds.

    python tests/benchmarks/pool_shift.py --out FOLDER                         # the demo pool
    python tests/benchmarks/pool_shift.py --out FOLDER --data sft5 --target math=2,code=1
    python tests/benchmarks/pool_shift.py --out FOLDER --quick                 # everything, tiny

Stopped at any moment, the same line goes on. FOLDER gets the study, pool_shift.html and the tables as CSV.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from causalmix_nb import Pool, Study, demo_pool
from causalmix_nb.benchmark.page import write_report
from causalmix_nb.benchmark.pool_shift import pool_shift
from causalmix_nb.benchmark.rivals import RIVALS
from causalmix_nb.benchmark.size import FULL, QUICK
from causalmix_nb.cards.typesetting import text_table
from causalmix_nb.launch.launch import Progress
from causalmix_nb.magics.language import pairs
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.study.folder import META

DEMO_TARGET = {"code": 2.0, "documentation": 1.0, "readme": 1.0}
TINY = ProxyConfig(d_model=16, n_layers=1, n_heads=2, context=32, batch=4, base_tokens=20_000)


def say(stage: dict[str, float] = {}) -> object:  # noqa: B006 - what was said when
    def show(p: Progress) -> None:
        now = time.monotonic()
        if now - stage.get(p.stage, -60) > 20 or p.done == p.total:
            stage[p.stage] = now
            print(f"  {p.stage}: {p.done} of {p.total}, {p.tokens_per_second:,.0f} tokens/s", flush=True)

    return show


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--data", type=Path, help="folder of *.jsonl(.gz) files, one a domain; the demo pool without it"
    )
    parser.add_argument("--target", type=pairs, help="weights of the domains in the outcome")
    parser.add_argument("--budget", type=int, default=50_000, help="tokens of a run")
    parser.add_argument("--seed", type=int, default=0, help="of the design, the shifts and the runs")
    parser.add_argument("--shifts", nargs="+")
    parser.add_argument("--methods", nargs="+", default=list(RIVALS))
    parser.add_argument("--runs", type=int, help=f"of the design ({FULL.runs})")
    parser.add_argument(
        "--history", type=int, help=f"runs of a history of chosen mixtures, 0 for none ({FULL.history})"
    )
    parser.add_argument("--reaction", type=float, help=f"of the history to the pool ({FULL.reaction})")
    parser.add_argument("--spread", type=float, help=f"of the history for other reasons ({FULL.spread})")
    parser.add_argument("--seeds", type=int, help=f"paired, of every method ({FULL.seeds})")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    folder = options.out / "study"
    if (folder / META).exists():  # the demo pool changes with what is installed; what was begun goes on
        study = Study.open(folder)
    else:
        pool = Pool.from_files(str(options.data / "*.jsonl*")) if options.data else demo_pool()
        target = options.target or (None if options.data else DEMO_TARGET)
        study = Study.create(
            folder, pool, target=target, config=TINY if options.quick else None, seed=options.seed
        )
    study.files.note(token_budget=2_000 if options.quick else options.budget)
    given = {name: getattr(options, name) for name in ("runs", "history", "reaction", "spread", "seeds")}
    size = replace(QUICK if options.quick else FULL, **{k: v for k, v in given.items() if v is not None})
    found = pool_shift(study, size, options.shifts, options.methods, progress=say())
    page = write_report(found, options.out)
    for frame in (found.table, found.headroom, found.pooled_table, found.history_table):
        print(f"\n{text_table(frame, columns=150)}")
    print("\n" + "\n".join([*found.sentences, f"{page} after {time.monotonic() - started:.0f} s"]))


if __name__ == "__main__":
    main()
