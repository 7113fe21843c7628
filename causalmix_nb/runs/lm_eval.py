"""Scores of evaluation tools as outcomes of runs: which files there are, and which run each belongs to.

``lm_eval --output_path FOLDER`` writes ``FOLDER/<model>/results_<time>.json``; OLMES and others have layouts of their own
(:mod:`causalmix_nb.runs.evaluations.reader` reads them all). A file belongs to the run that is called as the file is, or as a folder it lies in, the nearest
first: by its key, by its label, by the name that it had in an imported table; in full, else as a part that ends where a word ends, so that
``mix-1`` is never taken for ``mix-10``. A mapping may say otherwise. Of several files for one run the one written last counts, task by task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from causalmix_nb.errors import RunsError, did_you_mean
from causalmix_nb.finding import Finding
from causalmix_nb.runs.evaluations.reader import FROM_FILE, READERS, UNKNOWN, Score, read_scores

if TYPE_CHECKING:
    import pandas as pd

SHORTEST = (
    6  # characters of a name that is told apart inside a longer one; three where it has letters and digits
)
# single questions and answers, and what lies beside a checkpoint
NO_SCORES = (
    "samples_*", "*predictions*", "*requests*", "*recorded-inputs*", "*config.json", "tokenizer*.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "trainer_state.json", "*.index.json",
)  # fmt: skip
PLAN = ("design", "repeat")  # labels of runs that a design made: no names
_IMPORTED = re.compile(r"\d{6}-(.+)", re.DOTALL)  # keys of imported runs: the row, and its name in the table


@dataclass(frozen=True, slots=True)
class AttachedScores(Finding):
    """What was attached. table: one row per run key, one column per outcome, NaN where a file has none. minimize: outcome -> whether lower
    is better. unmatched: files that name no run. notes: what was assumed on the way."""

    table: pd.DataFrame
    minimize: dict[str, bool]
    unmatched: tuple[str, ...] = ()
    n_runs: int = 0
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Scores of the evaluation harness for {len(self.table)} of {self.n_runs} runs"

    @property
    def sentences(self) -> tuple[str, ...]:
        names = [f"{name} ({'lower' if low else 'higher'} is better)" for name, low in self.minimize.items()]
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        sentences = [f"{len(names)} outcomes: {', '.join(names[:8])}{more}"]
        if len(self.table) < self.n_runs:
            without = _counted(self.n_runs - len(self.table), "run has", "runs have")
            sentences.append(f"{without} no file and no part in a fit of these outcomes")
        if self.unmatched:
            sentences.append(
                f"left out, since {_counted(len(self.unmatched), 'file names', 'files name')} no run: "
                f"{', '.join(self.unmatched[:3])}"
            )
        return (*sentences, *self.notes)


class Scored(Protocol):
    """Runs that scores can be recorded with: :class:`causalmix_nb.runs.store.Runs`."""

    @property
    def frame(self) -> pd.DataFrame: ...

    @property
    def minimize(self) -> Mapping[str, bool]: ...

    def add_outcomes(
        self, outcomes: Mapping[str, Mapping[str, float]], minimize: Mapping[str, bool] | None = None
    ) -> None: ...


def attach_lm_eval(
    runs: Scored, path: str | Path, key: str | Mapping[str, str] | None = None
) -> AttachedScores:
    """Read result files of an evaluation tool and record their scores with the runs they belong to.

    Parameters
    ----------
    runs: the store; the runs must be done.
    path: one result file, or a folder that is searched with all its folders.
    key: the run of a single file; or file or folder name -> its run, by key or by name; None matches by name.

    Raises
    ------
    RunsError: nothing there, a file that is no tool's, an unknown run, no file that names a run, or two runs in one name.
    """
    import pandas as pd

    path = Path(path)
    files, ignored = _files(path)
    called = _Names(runs)
    if isinstance(key, str) and len(files) > 1:
        raise RunsError(
            f"{path} holds {len(files)} result files, and one key; give a mapping of file or folder name to key."
        )
    if isinstance(key, str):
        key = called.given(key)
    elif key is not None:
        key = {str(name): called.given(str(wanted)) for name, wanted in key.items()}
    scores: dict[str, dict[str, float]] = {}
    agreed: dict[str, Score] = {}
    unmatched, parts = [], []
    for file in files:
        found = read_scores(file)
        run, part = (key, "") if isinstance(key, str) else _run_of(file, path, key, called)
        if run is None:
            unmatched.append(file.name if file.parent == path else f"{file.parent.name}/{file.name}")
            continue
        parts += [f"{part} is read as run {called.shown(run)}"] if part else []
        scores.setdefault(run, {}).update({name: score.value for name, score in found.items()})
        for name, score in found.items():
            agreed[name] = _agreed(name, agreed.get(name), score)
    if not scores:
        some = ", ".join(sorted(map(called.shown, called.keys))[:2])
        raise RunsError(
            f"no file name or folder in {path} holds the key of a run, or its name ({some}, …); "
            "name the output folder of each evaluation after its run, or give key= as a mapping."
        )
    runs.add_outcomes(scores, {name: score.lower for name, score in agreed.items()})
    table = pd.DataFrame.from_dict(scores, orient="index").rename_axis("run")
    known = runs.minimize
    notes = _notes(agreed, known, list(dict.fromkeys(parts)), ignored)
    return AttachedScores(
        table, {name: known[name] for name in agreed}, tuple(unmatched), len(called.keys), notes
    )


def read_lm_eval(file: str | Path) -> dict[str, tuple[float, bool]]:
    """Outcomes of one result file: ``<task>.<metric>`` -> (value, whether lower is better).

    Raises
    ------
    RunsError: a file that cannot be read, or is no result file of a tool that is known here.
    """
    return {name: (score.value, score.lower) for name, score in read_scores(file).items()}


def _agreed(name: str, before: Score | None, now: Score) -> Score:
    """The direction that counts where several files hold an outcome: a file's own word before a guess by the name."""
    if before is None or (now.source == FROM_FILE and before.source != FROM_FILE):
        return now
    if before.lower != now.lower and before.source == now.source == FROM_FILE:
        raise RunsError(
            f"one file says that higher is better for {name!r}, another that lower is; correct higher_is_better in one of them."
        )
    return before


def _notes(
    agreed: Mapping[str, Score], known: Mapping[str, bool], parts: list[str], ignored: list[str]
) -> tuple[str, ...]:
    notes = []
    if parts:
        matched = _counted(len(parts), "file was", "files were")
        notes.append(f"{matched} matched by a part of the name: {', '.join(parts[:3])}")
    unknown = [name for name, score in agreed.items() if score.source == UNKNOWN and not known[name]]
    if unknown:
        some = f"{', '.join(unknown[:4])}{' …' if len(unknown) > 4 else ''}"
        notes.append(
            f"neither file nor name says which way {some} {'is' if len(unknown) == 1 else 'are'} better: taken as higher; "
            "runs.declare_outcomes({name: True}) says that lower is"
        )
    other = [
        name for name, score in agreed.items() if score.source == FROM_FILE and known[name] != score.lower
    ]
    if other:
        notes.append(
            f"the files say the opposite of what was declared before on {', '.join(other[:4])}: the declaration stays; "
            "runs.declare_outcomes changes it"
        )
    if ignored:
        notes.append(
            f"left out, since {_counted(len(ignored), 'other JSON file holds', 'other JSON files hold')} no scores: "
            f"{', '.join(ignored[:3])}"
        )
    return tuple(notes)


def _counted(n: int, one: str, many: str) -> str:
    """A count with its words.

    >>> _counted(1, "run has", "runs have"), _counted(2, "run has", "runs have")
    ('1 run has', '2 runs have')
    """
    return f"{n} {one if n == 1 else many}"


# -- files -----------------------------------------------------------------------------------------------------


def _files(path: Path) -> tuple[list[Path], list[str]]:
    """Result files, oldest first by name (the harness writes the time into it), and names of JSON files that are none."""
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise RunsError(f"there is nothing at {path}; give a results_*.json or the folder that holds them.")
    own = [pattern for reader in READERS.values() for pattern in reader.files]
    found, ignored = [], []
    for file in sorted(path.rglob("*.json*"), key=lambda file: (file.name, str(file))):
        if not file.is_file() or any(fnmatchcase(file.name, pattern) for pattern in NO_SCORES):
            continue
        if any(fnmatchcase(file.name, pattern) for pattern in own) or _read(file):
            found.append(file)
        elif file.suffix == ".json":
            ignored.append(file)
    found = [file for file in found if not _said_better(file, found)]
    if not found and ignored:
        read_scores(ignored[0])  # says what is wrong with it
    if not found:
        raise RunsError(f"no results_*.json in {path}; give the --output_path of lm_eval.")
    return found, [file.name for file in ignored]


def _read(file: Path) -> bool:
    """Whether a file of a name that is no tool's holds scores: version 0.3 of the harness leaves the name to its user."""
    if file.suffix != ".json":
        return False
    try:
        return bool(read_scores(file))
    except RunsError:
        return False


def _said_better(file: Path, found: list[Path]) -> bool:
    """Whether another file in the same folder holds the same and more."""
    for reader in READERS.values():
        kinds = [pattern for pattern in reader.instead if fnmatchcase(file.name, pattern)]
        if kinds:
            before = reader.instead[: reader.instead.index(kinds[0])]
            return any(
                other.parent == file.parent and any(fnmatchcase(other.name, pattern) for pattern in before)
                for other in found
            )
    return False


# -- which run -------------------------------------------------------------------------------------------------


class _Names:
    """What finished runs are called: their keys, their labels, and the names that they had in an imported table."""

    def __init__(self, runs: Scored) -> None:
        frame = runs.frame
        frame = frame[frame["status"] == "done"]
        self.keys = [str(key) for key in frame["key"]]
        self._exact: dict[str, set[str]] = {}
        self._loose: dict[str, set[str]] = {}
        self._shown: dict[str, str] = {}
        for key, label in zip(self.keys, frame["label"]):
            tail = _IMPORTED.fullmatch(key)
            own = isinstance(label, str) and label.strip() and label not in PLAN and ":" not in label
            for name in (key, *([tail[1]] if tail else []), *([label] if own else [])):
                self._exact.setdefault(name, set()).add(key)
                self._loose.setdefault(_loose(name), set()).add(key)
                self._shown[key] = name

    def shown(self, key: str) -> str:
        """The name by which people know a run."""
        return self._shown[key]

    def given(self, name: str) -> str:
        """The key of the run that is called so.

        Raises
        ------
        RunsError: none, or several.
        """
        if found := self.called(name):
            return found
        raise RunsError(
            f"{name!r} is the key of no finished run, nor its name.{did_you_mean(name, self._exact)} %causalmix runs shows the keys."
        )

    def called(self, name: str) -> str | None:
        """The key of the run that has this name in full."""
        if name in self.keys:
            return name
        for known, asked in ((self._exact, name), (self._loose, _loose(name))):
            if found := known.get(asked):
                return _only(name, found, self._shown)
        return None

    def inside(self, name: str) -> str | None:
        """The key of the run whose name is a part of this one."""
        text = _loose(name)
        held = {known: keys for known, keys in self._loose.items() if _tells(known) and _holds(text, known)}
        longest = {
            known: keys
            for known, keys in held.items()
            if not any(known != o and _holds(o, known) for o in held)
        }
        return _only(name, set().union(*longest.values()), self._shown) if longest else None


def _loose(name: str) -> str:
    """A name as file systems and the harness leave it: case, signs and what stands for a slash do not count.

    >>> _loose("Org/Mix_01"), _loose("org__mix-01")
    ('org-mix-01', 'org-mix-01')
    """
    return re.sub(r"(?:[^\w.]|_)+", "-", name.casefold()).strip("-")


def _tells(name: str) -> bool:
    """Whether a name is long enough to be told apart inside a longer one."""
    mixed = any(c.isdigit() for c in name) and any(c.isalpha() for c in name)
    return len(name) >= (3 if mixed else SHORTEST) and not name.replace("-", "").replace(".", "").isdigit()


def _holds(text: str, name: str) -> bool:
    """Whether a name stands in a text as whole words: ``mix-1`` stands in ``eval-mix-1-final``, not in ``mix-10`` or ``mix-1.5``."""
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        before, after = text[:start][-1:], text[end : end + 2]
        decimal = name[-1:].isdigit() and after[:1] == "." and after[1:].isdigit()
        if not before.isalnum() and before != "." and not after[:1].isalnum() and not decimal:
            return True
        start = text.find(name, start + 1)
    return False


def _only(name: str, keys: set[str], shown: Mapping[str, str]) -> str:
    if len(keys) > 1:
        some = ", ".join(sorted({f"{shown[key]} ({key})" if shown[key] != key else key for key in keys})[:2])
        raise RunsError(
            f"{name!r} holds the keys of {len(keys)} runs, or their names ({some}); give key= as a mapping."
        )
    return next(iter(keys))


def _run_of(
    file: Path, root: Path, mapping: Mapping[str, str] | None, called: _Names
) -> tuple[str | None, str]:
    """The run that a file belongs to, by its own name first, then by its folders, the nearest first; and the name, where it is a part of it."""
    inside = file.relative_to(root) if root.is_dir() else Path(file.name)
    names = [inside.name, inside.stem, *(part.name for part in inside.parents if part.name)]
    whole = root.resolve() if root.is_dir() else root.resolve().parent
    if mapping is not None:
        keys = [str(inside), inside.as_posix(), *names, whole.name]
        return next((mapping[name] for name in keys if name in mapping), None), ""
    for level in (names, [whole.name]):  # the folder that was given stands for all that lies in it
        for name in level:
            if found := called.called(name):
                return found, ""
        for name in level:
            if found := called.inside(name):
                return found, name
    return None, ""
