"""What training is asked for: the object that ``run``, ``start``, ``resume`` and ``cost`` make and pass on.

No field has a default, so that whoever makes a request says all of it: an argument that one of the four takes
and another forgets is an error when it is made, not another training. Defaults stand in the signatures of
``run``, ``start`` and ``cost``, which are written out: ``progress`` stands amid the arguments of ``run``, and
a signature that a decorator made of these fields is one that editors and the documentation cannot read. A
test holds the three to each other and to the fields here.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from causalmix_nb.errors import StudyError
from causalmix_nb.launch.executor import EXECUTORS, as_executor
from causalmix_nb.launch.launch import AnyExecutor
from causalmix_nb.proxies.scores import Score

USUAL = {  # field -> its default in the signatures of run, start and cost
    "executor": "local",
    "workers": None,
    "states": True,
    "halving": None,
    "target_tokens": None,
    "score": None,
}
FLAGS = {  # field -> its option in a notebook
    "executor": "--executor",
    "workers": "--workers",
    "halving": "--halving",
    "target_tokens": "--target-tokens",
    "score": "--score",
}


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The arguments of ``Study.run`` that decide what is trained and where; see there what they mean."""

    n_runs: int
    token_budget: int
    executor: AnyExecutor
    workers: int | None
    states: bool
    halving: int | None
    target_tokens: float | None
    score: str | Score | None

    @property
    def arguments(self) -> dict[str, Any]:
        """Field -> value, to call ``run`` or ``start`` with."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to_dict(self) -> dict[str, Any]:
        """What a study remembers of it, as JSON; of a score that is a function only that there was one."""
        found = self.arguments
        if not isinstance(self.executor, str):
            found["executor"] = {self.executor.name: asdict(self.executor)}
        if not (self.score is None or isinstance(self.score, str)):
            found["score"] = {"function": getattr(self.score, "__qualname__", "score")}
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunRequest:
        """The request that a study remembers.

        Raises
        ------
        StudyError: one whose score was a function that only the process that is gone could call.
        """
        found = {field.name: values[field.name] for field in fields(cls)}
        if isinstance(found["executor"], Mapping):
            ((name, options),) = found["executor"].items()
            found["executor"] = replace(EXECUTORS.find(name), **options)
        if isinstance(found["score"], Mapping):
            raise StudyError(
                f"the runs were scored by {found['score']['function']}, a function of another session; "
                "start them again with study.start(…, score=…), or without a score."
            )
        return cls(**found)

    def as_code(self, n_runs: int = 0) -> str:
        """The arguments of a call as Python, unusual ones by name. n_runs: instead of its own."""
        given = self._unusual()
        written = {name: repr(value) for name, value in given.items()}
        if not isinstance(self.executor, str):
            written["executor"] = self.executor.code
        if "score" in given and not isinstance(self.score, str):
            written["score"] = f"{getattr(self.score, '__qualname__', 'score')}"
        more = "".join(f", {name}={value}" for name, value in written.items())
        return f"{n_runs or self.n_runs}, token_budget={self.token_budget}{more}"

    def as_options(self, n_runs: int = 0) -> str:
        """The options of ``%causalmix run``. n_runs: instead of its own."""
        words = ["--runs", str(n_runs or self.n_runs), "--budget", str(self.token_budget)]
        for name, value in self._unusual().items():
            if name == "states":
                words.append("--fixed-state")
            elif name == "executor":
                place = as_executor(value)
                words += [FLAGS[name], place.name, *place.options]
            elif isinstance(value, (str, int, float)):
                words += [
                    FLAGS[name],
                    f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value),
                ]
        return shlex.join(words)

    def _unusual(self) -> dict[str, Any]:
        return {name: value for name, value in self.arguments.items() if value != USUAL.get(name, value)}
