"""How long ``%load_ext`` takes, and how many bytes every card adds to a notebook, for a study the size of the demo's.

The study: six domains, four covariates each, 128 runs with a known truth; fitted, optimised, compared. Bytes are those of the
output as a notebook saves it (HTML, text and PNG).

    python tests/benchmarks/notebook_sizes.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from causalmix_nb.cards.results import render
from causalmix_nb.cards.runs import dose_card, effects_card
from causalmix_nb.cards.study import state_sparklines
from causalmix_nb.data.pool import Pool
from causalmix_nb.decide.comparison import compare_outcomes
from causalmix_nb.launch.checkup import doctor
from causalmix_nb.mixture import Mixture
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.study import Study

DOMAINS = ("code", "documentation", "mathematics", "legal", "readme", "arithmetic")
COVARIATES = ("loss", "top_token_entropy", "readability_grade", "size")
LOAD = (
    "import time; from IPython.core.interactiveshell import InteractiveShell as S; s = S(); t, c = time.perf_counter(), time.process_time();"
    "s.run_line_magic('load_ext', 'causalmix_nb'); print(time.perf_counter() - t, time.process_time() - c)"
)


def load_seconds(repeats: int = 5) -> list[tuple[float, float]]:
    """Seconds of ``%load_ext`` in fresh processes: by the clock, and of the processor."""
    said = [
        subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True).stdout
        for _ in range(repeats)
    ]
    return [(float(wall), float(cpu)) for wall, cpu in map(str.split, said)]


def demo_sized(seed: int = 0) -> Study:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(len(DOMAINS)), 128)
    state = pd.DataFrame({f"{d}.{c}": rng.normal(2, 0.5, 128) for d in DOMAINS for c in COVARIATES})
    worth = np.log(shares + 0.02) @ rng.normal(-0.05, 0.03, len(DOMAINS))
    names = ("bpb", *(f"bpb.{d}" for d in DOMAINS))
    outcomes = pd.DataFrame({name: 2 + worth + rng.normal(0, 0.02, 128) for name in names})
    return Study.from_runs(
        Runs.from_frames(pd.DataFrame(shares, columns=DOMAINS), outcomes, state=state, minimize=True)
    )


def results(study: Study) -> dict[str, object]:
    rng = np.random.default_rng(1)
    model, best = study.fit(method="gp"), study.optimize(n_candidates=5000)
    mixtures = {
        "causalmix": best.mixture,
        **{name: Mixture.equal(DOMAINS) for name in ("equal", "natural", "regmix")},
    }
    trained = pd.DataFrame(rng.normal(2, 0.01, (4, 5)), index=list(mixtures))
    assert study.runs is not None
    frame = study.runs.frame.filter(regex="^state[.]").rename(columns=lambda name: name[6:])
    own = pd.DataFrame(2.0, index=list(DOMAINS), columns=list(COVARIATES))
    pool = Pool.from_dict({name: [f"{name} {i}" for i in range(50)] for name in DOMAINS})
    effect = study.do({"code": 0.4})
    found: dict[str, object] = {
        "status": study.status(), "pool": pool, "state of the pool": state_sparklines(own, frame), "graph": study.graph,
        "runs": study.runs, "check": study.check(), "fit": model, "do": effect,
        "dose response": dose_card(study.dose_response("code"), "code", "bpb", True, 1 / 6),
        "effect": effects_card(study.effects(), "bpb", True, False, False), "overlap": study.overlap(),
        "interpret": study.interpret(), "optimize": best,
        "compare": compare_outcomes(trained, mixtures, "bpb", True), "export": study.export(), "doctor": doctor(),
    }  # fmt: skip
    return found


def main() -> None:
    seconds = load_seconds()
    wall, cpu = (statistics.median(column) for column in zip(*seconds))
    print(
        f"%load_ext: {wall:.3f} s, of which processor {cpu:.3f} s (medians of {len(seconds)} fresh processes)"
    )
    study, total = demo_sized(), 0
    print(f"{'card':<20}{'html':>9}{'png':>9}{'text':>9}{'saved':>9}  bytes")
    for name, result in results(study).items():
        bundle = render(result) or result
        data = bundle._repr_mimebundle_()  # type: ignore[attr-defined]
        sizes = [len(data.get(kind, "")) for kind in ("text/html", "image/png", "text/plain")]
        saved = len(json.dumps(data))
        total += saved
        print(f"{name:<20}" + "".join(f"{size:>9,}" for size in (*sizes, saved)))
    with tempfile.TemporaryDirectory() as folder:
        size = study.report(Path(folder) / "report.html").size
    print(
        f"all cards together {total / 1e3:,.0f} kB in a notebook; the report of the same study {size / 1e3:,.0f} kB"
    )


if __name__ == "__main__":
    main()
