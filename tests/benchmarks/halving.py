"""What successive halving saves and what it costs: recommendations from halved runs, from all runs at full length, and from as few full runs
as the halved ones cost, each checked by training with paired seeds on the demo pool.

    python tests/benchmarks/halving.py --runs 64 --tokens 100000 --eta 4 --target code=2 mathematics=1
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from causalmix_nb import demo_pool
from causalmix_nb.decide.policy import optimize
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.methods.fit import fit
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.paired import COMPARED
from causalmix_nb.study.request import RunRequest
from causalmix_nb.study.study import Study


def part(study: Study, rows) -> Runs:
    """Some of the runs of a study as a store of their own."""
    frame = study.runs.frame
    kept = frame[rows(frame)].reset_index(drop=True)

    def columns(what: str):
        found = kept[[name for name in kept if name.startswith(f"{what}.")]]
        return found.rename(columns={name: name.removeprefix(f"{what}.") for name in found})

    return Runs.from_frames(
        columns("mixture"),
        columns("outcome"),
        columns("state"),
        columns("scale"),
        minimize={name: low for name, low in study.runs.minimize.items()},
    )


def recommend(study: Study, runs: Runs):
    model = study.prepared(fit(runs, "bpb", graph=study.graph))
    return optimize(model), model


def train(study: Study, mixtures: dict, tokens: int, n_seeds: int) -> dict[str, np.ndarray]:
    specs = {
        (name, j): RunSpec(
            tuple(mixture.to_array(study.domains).tolist()), tokens, {}, study.seed, 1_000_003 + j
        )
        for name, mixture in mixtures.items()
        for j in range(n_seeds)
    }
    values = study.trainer.outcomes(list(specs.values()), COMPARED, "bpb", "check")
    found = dict(zip(specs, values))
    return {name: np.array([found[name, j] for j in range(n_seeds)]) for name in mixtures}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--eta", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--target",
        nargs="*",
        default=[],
        metavar="DOMAIN=WEIGHT",
        help="an even mean is flat on the demo pool",
    )
    options = parser.parse_args()
    target = {name: float(weight) for name, _, weight in (pair.partition("=") for pair in options.target)}
    with tempfile.TemporaryDirectory() as temporary:
        study = Study.create(Path(temporary) / "study", demo_pool(), target=target or None)
        started = time.perf_counter()
        report = study.run(options.runs, options.tokens, halving=options.eta)
        print(
            f"{report}  ({time.perf_counter() - started:.0f} s, base proxy and states included)", flush=True
        )
        halved, short = recommend(study, part(study, lambda f: f["status"] == "done"))
        spent = int(study.runs.frame["scale.tokens"].sum())
        few = max(len(study.domains) + 2, round(spent / options.tokens))
        print(study.run(options.runs, options.tokens), flush=True)
        all_long, long = recommend(study, part(study, lambda f: f["scale.tokens"] == options.tokens))
        first = {
            spec.key(study.trainer.context)
            for spec in study.trainer.design(
                RunRequest(options.runs, options.tokens, "inline", None, True, None, None, None)
            )[:few]
        }
        few_long, little = recommend(study, part(study, lambda f: f["key"].isin(first)))
        chosen = {
            "halved": halved.mixture,
            "all long": all_long.mixture,
            "few long": few_long.mixture,
            "equal": halved.baseline,
        }
        scored = train(study, chosen, options.tokens, options.seeds)
        tokens = {
            "halved": spent,
            "all long": options.runs * options.tokens,
            "few long": few * options.tokens,
            "equal": 0,
        }
        models = {"halved": short, "all long": long, "few long": little}
        for name, y in scored.items():
            against = scored["all long"] - y
            se = against.std(ddof=1) / np.sqrt(len(y))
            rank = models[name].diagnostics["cv_spearman"] if name in models else float("nan")
            shares = ", ".join(f"{d} {s:.0%}" for d, s in chosen[name].shares.items())
            print(
                f"{name:>9s}: {tokens[name]:>10,} tokens; bpb {y.mean():.4f}; better than all long by {against.mean():+.4f} "
                f"(se {se:.4f}); rank correlation {rank:.2f}; {shares}"
            )


if __name__ == "__main__":
    main()
