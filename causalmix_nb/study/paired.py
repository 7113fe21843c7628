"""The recommendation against baselines by training, with the same seeds for every mixture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from causalmix_nb.decide.comparison import RECOMMENDED, Comparison, compare_outcomes
from causalmix_nb.decide.policy import Recommendation
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import StudyError
from causalmix_nb.estimate.model import Model
from causalmix_nb.launch.launch import AnyExecutor, OnProgress
from causalmix_nb.mixture import Mixture
from causalmix_nb.study.folder import Perturbations
from causalmix_nb.study.formerly import formerly
from causalmix_nb.study.trainer import Trains

COMPARED = "compared.sqlite"
SEED = 1_000_003  # of the first training of every mixture


class Compared(Trains, Protocol):
    """What there is to compare: a study."""

    recommendation: Recommendation | None
    comparison: Comparison | None
    arguments: dict[str, dict[str, Any]]

    def fitted(self) -> Model: ...

    def baseline(
        self,
        given: str | Mixture | Mapping[str, float],
        outcome: str | None = None,
        progress: OnProgress | None = None,
        executor: AnyExecutor = "local",
        workers: int | None = None,
    ) -> Mixture: ...


@formerly(tilt="perturbation")
def compare(
    study: Compared,
    baselines: Sequence[str | Mixture | Mapping[str, float]] | Mapping[str, Mixture] = (
        "equal",
        "natural",
        "regmix",
    ),
    n_seeds: int = 5,
    perturbation: Perturbations | None = None,
    progress: OnProgress | None = None,
    executor: AnyExecutor = "local",
    workers: int | None = None,
) -> Comparison:
    """Train the recommendation and the baselines with paired seeds and show the differences.

    Baselines are names (equal, natural, regmix, best_run, law, dmo; grid, bayes, doremi, odm train their own
    runs first), mixtures of your own, or a dict of name -> mixture. The sub-pool is the one the
    recommendation was made for, unless ``perturbation`` says otherwise. The runs go into a store of their own:
    mixtures chosen by the model must not be fed back to it as if they were designed.

    Raises
    ------
    StudyError: no recommendation, a number of seeds that gives no interval, imported runs, or an interrupt;
        the same call then goes on.
    """
    import pandas as pd

    model, best, files = study.fitted(), study.recommendation, study.trainer.files
    files.need_corpus()
    if best is None:
        raise StudyError("there is no recommendation to compare; %causalmix optimize makes one.")
    if n_seeds < 2:
        raise StudyError(f"{n_seeds} seed gives no interval; compare with at least 2, better 5.")
    if n_seeds > 1000:
        raise StudyError(f"{n_seeds} seeds would never end; compare with at most 1,000, 5 is usual.")
    recommended_for = study.arguments.get("optimize", {}).get("perturbation")
    perturbation = files.checked(perturbation if perturbation is not None else recommended_for)
    mixtures = {RECOMMENDED: best.mixture}
    for name, given in _named(baselines).items():
        mixtures[name] = study.baseline(given, model.outcome, progress, executor, workers)
    specs = [
        RunSpec(
            tuple(mixture.to_array(files.domains).tolist()),
            files.token_budget,
            perturbation,
            files.seed,
            SEED + files.seed + j,
            f"compare:{name}",
        )
        for name, mixture in mixtures.items()
        for j in range(n_seeds)
    ]
    stage = "check by training"
    y_NS = study.trainer.outcomes(specs, COMPARED, model.outcome, stage, executor, workers, progress)
    outcomes = pd.DataFrame(y_NS.reshape(len(mixtures), n_seeds), index=list(mixtures))  # name, seed
    study.comparison = compare_outcomes(
        outcomes, mixtures, model.outcome, model.minimize, predicted=(best.gain, best.lower, best.upper)
    )
    study.arguments["compare"] = {"baselines": baselines, "n_seeds": n_seeds, "perturbation": perturbation}
    files.write("comparison.json", json.dumps({"verdict": study.comparison.verdict}))
    return study.comparison


def _named(
    baselines: Sequence[str | Mixture | Mapping[str, float]] | Mapping[str, Mixture],
) -> Mapping[str, str | Mixture | Mapping[str, float]]:
    """Baselines by name; those without one by their place."""
    if isinstance(baselines, Mapping):
        return baselines
    return {b if isinstance(b, str) else f"mixture {i + 1}": b for i, b in enumerate(baselines)}
