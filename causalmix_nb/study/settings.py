"""Do mixtures keep their order under another setting of the proxy? The same ones are trained under both."""

from __future__ import annotations

from dataclasses import replace

from causalmix_nb.answers.transfer import FEWEST, Transfer, rank_agreement, setting_name
from causalmix_nb.design.simplex import RunSpec, sample_mixtures
from causalmix_nb.errors import StudyError
from causalmix_nb.launch.launch import AnyExecutor, OnProgress
from causalmix_nb.proxies.outcomes import outcome_directions
from causalmix_nb.study.folder import RUNS
from causalmix_nb.study.trainer import Trainer, Trains

TRANSFERRED = "transfer"  # folder inside a study's, with one of its own for every setting of the proxy
SEED, APART = 3_000_003, 10_007  # of the first training, and from one setting to the next


def transfer(
    study: Trains,
    n_mixtures: int = FEWEST,
    parameters: int | None = None,
    learning_rate: float | None = None,
    token_budget: int | None = None,
    outcome: str | None = None,
    executor: AnyExecutor = "local",
    workers: int | None = None,
    progress: OnProgress | None = None,
) -> Transfer:
    """Do mixtures keep their order at another size or learning rate of the proxy? Trains them under both.

    Parameters
    ----------
    n_mixtures: at least 16.
    parameters, learning_rate: of the other setting; four times the parameters if neither is given.
    token_budget: of each run; that of the study's runs by default.

    The runs go into folders of their own, each with its base proxy; the same call again trains nothing twice.

    Raises
    ------
    StudyError: too few mixtures, an unknown outcome, the study's own setting, proxies that are not the
        built-in ones, or an interrupt.
    """
    import pandas as pd

    files = study.trainer.files
    mine = files.config
    if not mine.resizable:
        raise StudyError("transfer compares settings of the built-in proxy; create a study without model=.")
    if n_mixtures < FEWEST:
        raise StudyError(f"{n_mixtures} mixtures are too few for a rank correlation; give at least {FEWEST}.")
    if parameters is None and learning_rate is None:
        parameters = 4 * mine.n_parameters
    other = mine.resized(parameters) if parameters is not None else mine
    if learning_rate is not None:
        other = replace(other, learning_rate=learning_rate)
    if other == mine:
        raise StudyError(
            f"that is the setting of the study ({setting_name(mine)}); "
            "give other parameters or another learning rate."
        )
    wanted = outcome or next(iter(outcome_directions(files.need_corpus())))
    lower = files.lower(wanted)
    mixtures = sample_mixtures(n_mixtures, len(files.domains), files.seed)
    budget, columns = token_budget or files.token_budget, {}
    for turn, (name, config) in enumerate((("first", mine), ("other", other), ("first again", mine))):
        specs = [
            RunSpec(
                tuple(row), budget, {}, files.seed, SEED + files.seed + turn * APART + i, f"transfer:{name}"
            )
            for i, row in enumerate(mixtures.tolist())
        ]
        setting = setting_name(config)
        inside = files.with_config(f"{TRANSFERRED}/{setting.replace(' ', '-')}", config)
        inside.need_runs().close()  # the trainer opens it by its name
        columns[name] = Trainer(inside).outcomes(
            specs, RUNS, wanted, f"{setting}: proxy runs", executor, workers, progress
        )
    outcomes = pd.DataFrame(columns).rename_axis("mixture")
    return Transfer(
        outcomes,
        (setting_name(mine), setting_name(other)),
        (mine.n_parameters, other.n_parameters),
        (mine.learning_rate, other.learning_rate),
        rank_agreement(outcomes["first"], outcomes["other"], files.seed),
        rank_agreement(outcomes["first"], outcomes["first again"], files.seed),
        wanted,
        lower,
        budget,
    )
