"""Where a study stands, one phrase per step with the numbers behind it, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.decide.comparison import Comparison
    from causalmix_nb.decide.policy import Recommendation
    from causalmix_nb.estimate.model import Model
    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.launch.background import Job
    from causalmix_nb.mixture import Mixture
    from causalmix_nb.runs.store import Runs

STEPS = ("pool", "graph", "runs", "fit", "recommendation", "comparison")


class Steps(Protocol):
    """The steps of a study and what each left, None where it has not been made."""

    graph: CausalGraph
    model: Model | None
    recommendation: Recommendation | None
    comparison: Comparison | None
    job: Job | None

    @property
    def folder(self) -> Path | None: ...

    @property
    def corpus(self) -> Corpus | None: ...

    @property
    def runs(self) -> Runs | None: ...

    @property
    def domains(self) -> tuple[str, ...]: ...

    @property
    def outcome(self) -> str | None: ...

    @property
    def natural(self) -> Mixture | None: ...


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """A phrase per step (``not yet …`` or ``none yet`` where it has not been made), and what to do next.

    The numbers behind the phrases, where there are some: shares – natural mixture; scores – of the finished
    runs, with the direction ``minimize``; rank – rank correlation on unseen mixtures, and its ceiling or
    None; best and baseline – mixtures; gain – estimate, lower, upper in the good direction; checked –
    differences to each method after training.
    """

    pool: str
    graph: str
    runs: str
    fit: str
    recommendation: str
    comparison: str
    next_step: str
    shares: Mapping[str, float] | None = None
    scores: tuple[float, ...] = ()
    minimize: bool = False
    rank: tuple[float, float | None] | None = None
    best: Mapping[str, float] | None = None
    baseline: Mapping[str, float] | None = None
    gain: tuple[float, float, float] | None = None
    checked: tuple[tuple[str, float, float, float], ...] = ()


def study_status(study: Steps) -> StudyStatus:
    """The status of a study; reads what is there and computes nothing."""
    runs, model, best, compared = study.runs, study.model, study.recommendation, study.comparison
    n = len(runs) if runs else 0
    failed = len(runs.keys("failed")) if runs else 0
    training = study.job is not None and study.job.status == "running"
    recorded = f"{n} runs{f', {failed} failed' if failed else ''}{', more are training' if training else ''}"
    scores, minimize = _scores(study)
    return StudyStatus(
        pool=f"{len(study.domains)} domains: {', '.join(study.domains)}",
        graph="; ".join(study.graph.to_text().split("\n")),
        runs=recorded if n or training else "none yet",
        fit=f"{model.method} on {model.outcome}" if model else "not yet",
        recommendation=best.verdict if best else f"not yet{_earlier(study.folder, 'recommendation')}",
        comparison=compared.verdict if compared else f"not yet{_earlier(study.folder, 'comparison')}",
        next_step=next_step(study),
        shares=study.natural.shares if study.natural is not None else None,
        scores=scores,
        minimize=minimize,
        rank=_rank(model),
        best=best.mixture.shares if best else None,
        baseline=best.baseline.shares if best else None,
        gain=(best.gain, best.lower, best.upper) if best else None,
        checked=_checked(compared),
    )


def no_study(step: str, graph: str = "") -> StudyStatus:
    """The status before there is a study."""
    return StudyStatus("none yet", graph or "not yet", "none yet", "not yet", "not yet", "not yet", step)


def next_step(study: Steps) -> str:
    """What to do next in a study."""
    if study.job is not None and study.job.status == "running":
        return "%causalmix attach – watch the runs that are training"
    if not study.runs or not len(study.runs):
        return "%causalmix run – train the proxies"
    if study.model is None:
        return "%causalmix fit – estimate what the mixture causes"
    if study.recommendation is None:
        return "%causalmix optimize – find the mixture"
    if study.comparison is None and study.corpus:
        return "%causalmix compare – check it by training"
    return "%causalmix export mixture.yaml – use it"


def _scores(study: Steps) -> tuple[tuple[float, ...], bool]:
    """Scores of the finished runs on the outcome that was fitted, else on the first one."""
    name = study.model.outcome if study.model else study.outcome
    if not study.runs or name is None or not len(study.runs):
        return (), False
    frame = study.runs.frame
    column = f"outcome.{name}"
    values = frame[column].dropna().astype(float) if column in frame else ()
    return tuple(values), bool(study.runs.minimize.get(name, False))


def _rank(model: Model | None) -> tuple[float, float | None] | None:
    found = model.diagnostics if model is not None else {}
    value, ceiling = found.get("cv_spearman"), found.get("noise_ceiling")
    return (float(value), None if ceiling is None else float(ceiling)) if value is not None else None


def _checked(compared: Comparison | None) -> tuple[tuple[str, float, float, float], ...]:
    if compared is None:
        return ()
    rows = compared.table[["difference", "lower", "upper"]].astype(float).dropna()
    return tuple((str(name), *map(float, row)) for name, row in zip(rows.index, rows.to_numpy()))  # type: ignore[misc]


def _earlier(folder: Path | None, step: str) -> str:
    """What an earlier session found, by the note that it left in the folder."""
    try:
        verdict = (
            json.loads((folder / f"{step}.json").read_text(encoding="utf-8"))["verdict"] if folder else ""
        )
    except (OSError, ValueError, KeyError, TypeError):
        verdict = ""
    return f" in this session; an earlier one found: {verdict}" if verdict else ""
