"""Scores of the EleutherAI evaluation harness as outcomes of runs: what its result files say, and which run each belongs to.

``lm_eval --output_path FOLDER`` writes ``FOLDER/<model>/results_<time>.json``. Its ``results`` hold, per task, ``"<metric>,<filter>"`` -> value
beside ``"<metric>_stderr,<filter>"``; ``higher_is_better`` says per task and metric which way is good. Each becomes an outcome ``<task>.<metric>``;
the filter is named too where it is not ``none``. A file belongs to the run whose key is its name, the name of a folder it lies in, or part of
one, unless a mapping says otherwise; of several files for one run the one written last counts, task by task.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import RunsError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.runs import Runs

LOWER = (
    "perplexity",
    "bits_per_byte",
    "loss",
    "nll",
    "brier_score",
    "mse",
    "ter",
)  # where the file does not say
SHORTEST = 6  # characters of a key that are told apart inside a longer name


@dataclass(frozen=True, slots=True)
class AttachedScores:
    """What was attached. table: one row per run key, one column per outcome, NaN where a file has none. minimize: outcome -> whether lower
    is better. unmatched: files that name no run."""

    table: pd.DataFrame
    minimize: dict[str, bool]
    unmatched: tuple[str, ...] = ()
    n_runs: int = 0

    @property
    def title(self) -> str:
        return f"Scores of the evaluation harness for {len(self.table)} of {self.n_runs} runs"

    @property
    def sentences(self) -> tuple[str, ...]:
        names = [f"{name} ({'lower' if low else 'higher'} is better)" for name, low in self.minimize.items()]
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        said = [f"{len(names)} outcomes: {', '.join(names[:8])}{more}"]
        if len(self.table) < self.n_runs:
            said.append(
                f"{self.n_runs - len(self.table)} runs have no file: a fit of these outcomes leaves them out"
            )
        if self.unmatched:
            said.append(
                f"{len(self.unmatched)} files name no run and were left out: {', '.join(self.unmatched[:3])}"
            )
        return tuple(said)


def attach_lm_eval(
    runs: Runs, path: str | Path, key: str | Mapping[str, str] | None = None
) -> AttachedScores:
    """Read the harness's result files and record their scores with the runs they belong to.

    Parameters
    ----------
    runs: the store; the runs must be done.
    path: one ``results_*.json``, or a folder that is searched with all its folders.
    key: the run of a single file; or file or folder name -> key of its run; None matches by name.

    Raises
    ------
    RunsError: nothing there, a file that is not the harness's, an unknown key, no file that names a run, or two runs in one name.
    """
    import pandas as pd

    files, done = _files(Path(path)), runs.keys("done")
    if isinstance(key, str) and len(files) > 1:
        raise RunsError(
            f"{Path(path)} holds {len(files)} result files, and one key; give a mapping of file or folder name to key."
        )
    for wanted in [key] if isinstance(key, str) else (key or {}).values():
        if wanted not in done:
            raise RunsError(
                f"{wanted!r} is the key of no finished run.{did_you_mean(wanted, done)} %causalmix runs shows the keys."
            )
    scores: dict[str, dict[str, float]] = {}
    minimize: dict[str, bool] = {}
    unmatched = []
    for file in files:
        found = read_lm_eval(file)
        run = key if isinstance(key, str) else _run_of(file, Path(path), key, done)
        if run is None:
            unmatched.append(file.name if file.parent == Path(path) else f"{file.parent.name}/{file.name}")
            continue
        scores.setdefault(run, {}).update({name: value for name, (value, _) in found.items()})
        minimize.update({name: low for name, (_, low) in found.items()})
    if not scores:
        raise RunsError(
            f"no file name or folder in {Path(path)} holds the key of a run ({', '.join(sorted(done)[:2])}, …); "
            "name the output folder of each evaluation after its run, or give key= as a mapping."
        )
    runs.add_outcomes(scores, minimize)
    table = pd.DataFrame.from_dict(scores, orient="index").rename_axis("run")
    return AttachedScores(table, minimize, tuple(unmatched), len(done))


def read_lm_eval(file: str | Path) -> dict[str, tuple[float, bool]]:
    """Outcomes of one result file: ``<task>.<metric>`` -> (value, whether lower is better).

    Raises
    ------
    RunsError: a file that cannot be read, or is no result file of the harness.
    """
    file = Path(file)
    try:
        content = json.loads(file.read_text())
        results = content["results"]
        tasks = {**results, **(content.get("groups") or {})}
        better = content.get("higher_is_better") or {}
        found = {}
        for task, metrics in tasks.items():
            for name, value in metrics.items():
                metric, comma, kind = name.partition(",")
                number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if not comma or metric.endswith("_stderr") or not number or not math.isfinite(value):
                    continue
                outcome = f"{task}.{metric}" + ("" if kind == "none" else f".{kind}")
                found[outcome] = (float(value), not _higher(better.get(task), metric))
    except (OSError, UnicodeDecodeError) as error:
        raise RunsError(f"cannot read {file} ({error}); check the path.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunsError(
            f"{file.name} is no result file of the evaluation harness; give a results_*.json that lm_eval --output_path wrote."
        ) from None
    if not found:
        raise RunsError(f"{file.name} holds no score; was the evaluation run with --predict_only?")
    return found


def _higher(said: Any, metric: str) -> bool:
    """Whether higher is better: what the file says, else by the metric's name."""
    stated = said.get(metric) if isinstance(said, Mapping) else None
    return stated if isinstance(stated, bool) else not any(word in metric for word in LOWER)


def _files(path: Path) -> list[Path]:
    """Result files, oldest first by name (the harness writes the time into it)."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise RunsError(f"there is nothing at {path}; give a results_*.json or the folder that holds them.")
    files = sorted(path.rglob("results*.json"), key=lambda file: (file.name, str(file)))
    files = files or sorted(path.rglob("*.json"))
    if not files:
        raise RunsError(f"no results_*.json in {path}; give the --output_path of lm_eval.")
    return files


def _run_of(file: Path, root: Path, mapping: Mapping[str, str] | None, keys: set[str]) -> str | None:
    """The run that a file belongs to, by its own name first, then by its folders, the nearest first."""
    inside = file.relative_to(root) if root.is_dir() else Path(file.name)
    names = [inside.name, inside.stem, *(part.name for part in inside.parents if part.name), root.name]
    if mapping is not None:
        return next((mapping[name] for name in [str(inside), *names] if name in mapping), None)
    for name in names:
        if name in keys:
            return name
        held = [key for key in keys if len(key) >= SHORTEST and key in name]
        if len(held) > 1:
            raise RunsError(
                f"{name!r} holds the keys of {len(held)} runs ({', '.join(_first(held))}); give key= as a mapping."
            )
        if held:
            return held[0]
    return None


def _first(names: Sequence[str], n: int = 2) -> list[str]:
    return sorted(names)[:n]
