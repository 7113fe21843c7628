"""What a subcommand is given: the current study, its folder, the notebook's variables, where results show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Int, Unicode
from traitlets.config import Configurable

from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.magics.display import LiveProgress, ResultDisplay
from causalmix_nb.magics.language import MagicError
from causalmix_nb.magics.names import names

if TYPE_CHECKING:
    from causalmix_nb.study.study import Study
    from causalmix_nb.widgets.monitor import SwarmMonitor

UNNAMED = (
    "module",
    "function",
    "builtin_function_or_method",
    "type",
)  # variables that nobody gives to a line


class CausalMix(Configurable):
    """Defaults of the magics: ``%config CausalMix.budget = 50_000``."""

    study_folder = Unicode("causalmix_study", help="folder of the study, where --study does not say").tag(
        config=True
    )
    runs = Int(128, help="runs of %causalmix run").tag(config=True)
    budget = Int(100_000, help="training tokens of each run").tag(config=True)
    seeds = Int(5, help="paired seeds of %causalmix compare").tag(config=True)


class Session:
    """One shell with its current study.

    Attributes
    ----------
    study: the current one, or None.
    defaults: what ``%config CausalMix`` says.
    variables: names that a line may mean: those of the scope that it stands in.
    early_graph: the text of a graph that was written before there is a study.
    monitor: of proxies that train in the background, whose last picture is still to be drawn.
    """

    def __init__(self, shell: Any, defaults: CausalMix) -> None:
        self.shell, self.defaults, self.display = shell, defaults, ResultDisplay(shell)
        self.variables: Mapping[str, Any] = shell.user_ns
        self.study: Study | None = None
        self.early_graph: str | None = None
        self.monitor: SwarmMonitor | None = None

    @property
    def is_notebook(self) -> bool:
        """Whether widgets can be shown, and cells run while proxies train."""
        return hasattr(self.shell, "kernel")

    def progress(self, vanish: bool = False) -> LiveProgress:
        """Shows the progress of a long step, in a ``with`` statement. vanish: leave nothing in a notebook."""
        return LiveProgress(self.shell, vanish=vanish)

    # -- the study -----------------------------------------------------------------------------------------

    def folder(self, given: str | None = None) -> Path:
        """The folder that ``--study`` names, or the usual one."""
        return Path(given or self.defaults.study_folder).expanduser()

    def has_study(self, given: str | None = None) -> bool:
        """Whether there is a study in that folder."""
        from causalmix_nb.study.folder import META

        return (self.folder(given) / META).exists()

    def current(self, given: str | None = None) -> Study:
        """The study of this session, or the one in the folder that is meant.

        Raises
        ------
        StudyError: there is none.
        """
        from causalmix_nb.study.study import Study

        folder = self.folder(given)
        if self.study is not None and (given is None or self.study.folder == folder):
            return self.study
        if not self.has_study(given):
            raise StudyError(f"there is no study in {folder} yet; start one with %causalmix pool demo.")
        study = self.use(Study.open(folder))
        print(f"Opened the study in {folder}.")
        return study

    def use(self, study: Study) -> Study:
        """Make a study the current one; a graph that was written before goes into it."""
        from causalmix_nb.graph.graph import CausalGraph

        self.study = study
        if self.early_graph is not None:
            graph, self.early_graph = CausalGraph.parse(self.early_graph), None
            if graph != study.graph:
                study.set_graph(graph)
        return study

    def wait(self) -> None:
        """Wait for proxies that train in the background; an interrupt ends the waiting, not the training.

        Raises
        ------
        StudyError: interrupted, or the training failed meanwhile.
        """
        job = self.study.job if self.study is not None else None
        if job is None:
            return
        waited = job.status == "running"
        try:
            with self.progress(vanish=True) as progress:
                while not job.wait(0.3):
                    progress(job.progress)
        except KeyboardInterrupt:
            raise StudyError(
                "stopped waiting; the proxies train on: "
                "%causalmix attach watches them, %causalmix stop ends them."
            ) from None
        if self.monitor is not None:  # from this cell: a notebook that runs by itself keeps the end of it
            self.monitor.look()
            self.monitor.refresh()
            self.monitor = None
        if waited and job.error is not None:
            raise StudyError(f"training failed: {job.error}")

    # -- names of the notebook -----------------------------------------------------------------------------

    def variable(self, name: str, what: str, kind: type) -> Any:
        """The object in a variable. what: its kind in words, for the sentence that refuses another.

        Raises
        ------
        MagicError: no such variable, or another kind of object.
        """
        if name not in self.variables:
            raise MagicError(
                f"there is no variable {name!r}.{did_you_mean(name, self._named())} Give {what}."
            )
        if not isinstance(self.variables[name], kind):
            raise MagicError(f"{name!r} is a {type(self.variables[name]).__name__}; give {what}.")
        return self.variables[name]

    def names(self, kind: str) -> list[str]:
        """What there is of a kind, for completion and for "did you mean"."""
        study = self.study
        match kind:
            case "domain":
                return list(study.domains) if study else []
            case "outcome":
                return list(study.runs.outcome_names) if study and study.runs else []
            case "node" if study:
                return list(dict.fromkeys([*study.graph.nodes, *study.domains]))
            case "node":
                return ["mixture", "state", "score"]
            case "baseline":
                return [*names(kind), *self._named("Mixture", "Recommendation")]
            case "pool":
                return self._named("Pool", "dict", "DataFrame", "Dataset")
            case "variable":
                return self._named()
        return list(names(kind))

    def _named(self, *types: str) -> list[str]:
        """Variables of the user, optionally only those of some types."""
        hidden = self.shell.user_ns_hidden

        def offered(name: str, value: Any) -> bool:
            kind = type(value).__name__
            own = not name.startswith("_") and hidden.get(name) is not value
            return own and kind not in UNNAMED and (not types or kind in types)

        return [name for name, value in list(self.shell.user_ns.items()) if offered(name, value)]
