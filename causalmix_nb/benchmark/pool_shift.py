"""The pool-shift experiment: learn once, change the pool, recommend without a run, then train there.

Every training is a run with a content key in a store of the study, made by the study's own launch: stopped at
any moment, the same call goes on where it was. Direct search at each shift says what could be won at all
(:mod:`causalmix_nb.benchmark.direct_search`). See :mod:`causalmix_nb.benchmark.results` for what is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from causalmix_nb.benchmark.direct_search import best_found
from causalmix_nb.benchmark.recommended import recommend
from causalmix_nb.benchmark.results import BEST, KEPT, LEARNT_FROM_HISTORY, REFERENCES, PoolShift
from causalmix_nb.benchmark.rivals import RIVALS, check_rivals
from causalmix_nb.benchmark.shifts import AS_IT_IS, Shift, chosen_shifts, pool_shifts
from causalmix_nb.benchmark.size import FULL, Size
from causalmix_nb.benchmark.subject import Subject
from causalmix_nb.benchmark.trials import Row, Trials
from causalmix_nb.errors import StudyError
from causalmix_nb.launch.launch import AnyExecutor, OnProgress
from causalmix_nb.proxies.outcomes import target_weights

if TYPE_CHECKING:
    import pandas as pd

TRAIN_SEED = 3_000_003


def pool_shift(
    study: Subject,
    size: Size = FULL,
    shifts: Sequence[str] | None = None,
    methods: Sequence[str] = RIVALS,
    executor: AnyExecutor = "local",
    workers: int | None = None,
    progress: OnProgress | None = None,
) -> PoolShift:
    """Does the mixture that was learnt once survive a change of the pool? Begins the experiment or goes on.

    Parameters
    ----------
    study: of a pool; its runs are made if they are not there, with the tokens a run of it has.
    shifts: names, as in :func:`causalmix_nb.benchmark.shifts.pool_shifts`; None means all. The pool as it is
        is always among them.
    methods: names, as in ``causalmix_nb.benchmark.rivals.RIVALS``; ours and Equal are always among them.

    Raises
    ------
    StudyError: an unknown shift or method, a study of imported runs, or an interrupt: the same call
        then goes on.
    """
    trials, methods = Trials(study, executor, workers, progress), check_rivals(methods)
    weights = target_weights(study.files.need_corpus(), study.files.target)
    weights = dict.fromkeys(trials.domains, 0.0) | weights
    chosen = chosen_shifts(pool_shifts(weights, study.available(), trials.budget), shifts)
    if study.run(size.runs, trials.budget, executor, workers, True, progress).interrupted:
        raise StudyError("the experiment was interrupted; the same call goes on where it was.")
    found = recommend(trials, size, chosen, methods)
    return _prove(
        trials,
        size,
        chosen,
        found.mixtures(trials.domains),
        found.ours,
        found.tokens,
        found.explained,
        found.refused,
    )


def prove(
    study: Subject,
    recommended: pd.DataFrame,
    advice: pd.DataFrame,
    shifts: Sequence[Shift],
    tokens: Mapping[str, int] | None = None,
    size: Size = FULL,
    executor: AnyExecutor = "local",
    workers: int | None = None,
    progress: OnProgress | None = None,
) -> PoolShift:
    """Train here what was recommended with the runs of another study: does it hold for a larger model?

    Parameters
    ----------
    recommended, advice, tokens: ``mixtures``, ``advice`` and ``tokens`` of the :class:`PoolShift` of that
        study; its references and what it learnt from a history are left out, and the best mixtures are
        searched for again, by training on this study.
    shifts: where to train, with the pool as it is.

    Raises
    ------
    StudyError: domains that are not those of the study, shifts without the pool as it is, one without a
        recommendation, or an interrupt; the same call then goes on.
    """
    if AS_IT_IS not in [shift.name for shift in shifts]:
        raise StudyError(f"the shifts lack {AS_IT_IS!r}, which the others are compared with; add it.")
    trials = Trials(study, executor, workers, progress)
    if set(recommended.columns) != set(trials.domains):
        raise StudyError(
            f"the mixtures are over {', '.join(recommended.columns)}; "
            f"the study has {', '.join(trials.domains)}."
        )
    mixtures: dict[str, dict[str, Row]] = {}
    for shift in shifts:
        if shift.name not in recommended.index.get_level_values(0):
            raise StudyError(f"nothing was recommended for the shift {shift.name!r}; leave it out.")
        rows = recommended.loc[shift.name, list(trials.domains)]
        mixtures[shift.name] = {
            str(name): trials.row(row)
            for name, row in zip(rows.index, rows.to_numpy(float))
            if name not in REFERENCES and not str(name).endswith(LEARNT_FROM_HISTORY)
        }
    kept = advice.loc[[shift.name for shift in shifts]]
    return _prove(trials, size, shifts, mixtures, kept, dict(tokens or {}), {}, {})


def _prove(
    trials: Trials,
    size: Size,
    shifts: Sequence[Shift],
    mixtures: dict[str, dict[str, Row]],
    advice: pd.DataFrame,
    tokens: dict[str, int],
    explained: Mapping[str, float],
    refused: dict[str, str],
) -> PoolShift:
    """What could be won at every shift, by direct search, and what every method's mixture is worth there."""
    import pandas as pd

    tokens[KEPT] = size.tokens_of_search(len(mixtures[AS_IT_IS]), trials.budget)
    best = best_found(trials, size, shifts, mixtures)
    for shift in shifts:
        mixtures[shift.name] |= {BEST: best[shift.name], KEPT: best[AS_IT_IS]}
    outcomes = _train(trials, size, shifts, mixtures)
    index = [(s.name, name) for s in shifts for name in mixtures[s.name]]
    table = pd.DataFrame(
        [mixtures[s][name] for s, name in index],
        index=pd.MultiIndex.from_tuples(index, names=["shift", "method"]),
        columns=list(trials.domains),
    )
    return PoolShift(
        outcomes, table, advice, tuple(shifts), tokens, trials.outcome, trials.minimize, explained, refused
    )


def _train(
    trials: Trials, size: Size, shifts: Sequence[Shift], mixtures: Mapping[str, Mapping[str, Row]]
) -> pd.DataFrame:
    """Every method's mixture with paired seeds at every shift."""
    import pandas as pd

    rows = [(s, name, j) for s in shifts for name in mixtures[s.name] for j in range(size.seeds)]
    jobs = [(s, mixtures[s.name][name], TRAIN_SEED + s.seed + j) for s, name, j in rows]
    values = trials.at(jobs, "proof by training")
    return pd.DataFrame(
        [(s.name, name, j, y) for (s, name, j), y in zip(rows, values)],
        columns=["shift", "method", "seed", "outcome"],
    )
