"""The recommendation against baselines, settled by training: every mixture with the same seeds, so that what is compared is the mixture."""

from __future__ import annotations

from collections.abc import Mapping

from causalmix_nb.decide.comparison import RECOMMENDED, Comparison, compare_outcomes
from causalmix_nb.decide.policy import Recommendation
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import StudyError
from causalmix_nb.estimate.model import Model
from causalmix_nb.launch.launch import AnyExecutor, OnProgress
from causalmix_nb.mixture import Mixture
from causalmix_nb.study.folder import Tilts
from causalmix_nb.study.trainer import Trainer

COMPARED = "compared.sqlite"
SEED = 1_000_003  # of the first training of every mixture


def check_seeds(n_seeds: int) -> None:
    """A StudyError where so many trainings of a mixture give no interval, or no end."""
    if n_seeds < 2:
        raise StudyError(f"{n_seeds} seed gives no interval; compare with at least 2, better 5.")
    if n_seeds > 1000:
        raise StudyError(f"{n_seeds} seeds would never end; compare with at most 1,000, 5 is usual.")


def train_paired(
    trainer: Trainer,
    model: Model,
    best: Recommendation,
    baselines: Mapping[str, Mixture],
    n_seeds: int,
    tilt: Tilts,
    executor: AnyExecutor = "local",
    workers: int | None = None,
    progress: OnProgress | None = None,
) -> Comparison:
    """Train the recommended mixture and others ``n_seeds`` times each on a sub-pool, and compare what they score.

    The runs go into a store of their own: mixtures chosen by the model must not be fed back to it as if they were designed.
    """
    import pandas as pd

    files, mixtures = trainer.files, {RECOMMENDED: best.mixture, **baselines}
    specs = [
        RunSpec(
            tuple(mixture.to_array(files.domains).tolist()),
            files.token_budget,
            dict(tilt),
            files.seed,
            SEED + files.seed + j,
            f"compare:{name}",
        )
        for name, mixture in mixtures.items()
        for j in range(n_seeds)
    ]
    y_NS = trainer.outcomes(
        specs, COMPARED, model.outcome, "check by training", executor, workers, progress
    ).reshape(len(mixtures), n_seeds)  # name, seed
    outcomes = pd.DataFrame(y_NS, index=list(mixtures))
    return compare_outcomes(
        outcomes, mixtures, model.outcome, model.minimize, promised=(best.gain, best.lower, best.upper)
    )
