"""The subcommand of the runs: shown, written as CSV, imported, or given the results of evaluations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.question import Argument
from causalmix_nb.errors import StudyError
from causalmix_nb.magics.command import COMMANDS, Command
from causalmix_nb.magics.language import MagicError
from causalmix_nb.magics.session import Session

if TYPE_CHECKING:
    from causalmix_nb.cards.typesetting import Bundle
    from causalmix_nb.runs.store import Runs

FORMS = (
    "write %causalmix runs import RATIOS METRICS, %causalmix runs import TABLE, %causalmix runs use VARIABLE "
    "or %causalmix runs attach FOLDER."
)


def runs(
    session: Session, action: str | None, names: list[str], run: str | None, csv: str | None, **reading: Any
) -> Any:
    if action is None:
        return _shown(session, csv)
    if action == "attach" and len(names) == 1:
        return session.current().attach_lm_eval(Path(names[0]).expanduser(), run)
    from causalmix_nb.runs.store import Runs
    from causalmix_nb.study.study import Study

    if action == "import" and len(names) in (1, 2):
        found = _imported(names, **reading)
    elif action == "use" and len(names) == 1:
        found = session.variable(names[0], "a Runs object", Runs)
    else:
        raise MagicError(FORMS)
    # Imported tables seldom record a state; a graph that asks to adjust for one could then not be fitted.
    session.use(Study.from_runs(found, None if found.state_names else "mixture -> score"))
    note = "The study is now one of these runs: fit, do, optimize and export work on them."
    session.display.attach(found, note, *_report(found))
    return found


def _shown(session: Session, csv: str | None) -> Runs:
    found = session.current().runs
    if found is None:
        raise StudyError("this study has no runs; %causalmix run trains proxies.")
    if csv:
        paths = found.to_csv(Path(csv).expanduser())
        session.display.attach(found, f"Written to {paths[0]} and {paths[1]}.")
    return found


def _imported(
    names: list[str],
    on: str | None,
    maximize: bool,
    minimize: list[str] | None,
    state: str | None,
    scale: str | None,
    normalise: bool,
) -> Runs:
    """The runs of one to four tables; what was assumed stands on the card, so nothing is warned of."""
    from causalmix_nb.runs.store import Runs

    if len(names) == 1 and (state or scale):
        raise MagicError("--state and --scale go with two tables; one table has columns state_* and scale_*.")
    if maximize and minimize is not None:
        raise MagicError(
            "--maximize is for all metrics; leave it out and name those that are better when lower with "
            "--minimize."
        )
    lower: Any = False if maximize else None if minimize is None else minimize or True
    options: dict[str, Any] = {"on": on, "minimize": lower, "normalise": normalise}
    paths = [str(Path(name).expanduser()) for name in names]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "assumed on import", UserWarning)
        if len(paths) == 1:
            return Runs.from_wide(paths[0], **options)
        thirds = (str(Path(given).expanduser()) if given else None for given in (state, scale))
        return Runs.from_csv(*paths, *thirds, **options)


def _report(found: Runs) -> list[Callable[[], Bundle]]:
    """The report of an import, to be shown under its runs."""
    from causalmix_nb.cards.results import render

    report = found.import_report
    shown = render(report) if report is not None else None
    return [lambda: shown] if shown is not None else []


COMMANDS.register(
    Command(
        "runs",
        "Show the runs, write them as CSV, or bring your own.",
        "%causalmix runs import ratios.csv metrics.csv",
        runs,
        (
            Argument(
                "action",
                "import two CSV tables, or one with ratio_* and metric_* columns; use a variable; "
                "attach results of evaluations ({names of evaluation reader}); nothing shows the runs",
                words="?",
                metavar="import|use|attach",
                choices=("import", "use", "attach"),
            ),
            Argument(
                "names",
                "the files, the variable, or the folder with the result files of evaluations",
                words="*",
                metavar="RATIOS METRICS | TABLE | VARIABLE | FOLDER",
                completes="path",
            ),
            Argument(
                "--run",
                "attach: the run that one result file belongs to (the one whose key or name is in its name)",
                metavar="KEY",
            ),
            Argument(
                "--csv", "write ratios.csv and metrics.csv into a folder", metavar="FOLDER", completes="path"
            ),
            Argument("--on", "column that names a run in both files (looked for)", metavar="COLUMN"),
            Argument(
                "--maximize", "higher is better in all of the imported metrics (by their names)", "flag"
            ),
            Argument(
                "--minimize",
                "lower is better in these of the imported metrics, in all without a name",
                words="*",
                metavar="METRIC",
            ),
            *(
                Argument(
                    f"--{part}",
                    f"a third table, with the {part} of each run",
                    metavar="FILE",
                    completes="path",
                )
                for part in ("state", "scale")
            ),
            Argument("--normalise", "rescale shares that do not sum to 1 instead of refusing them", "flag"),
        ),
        step="data",
    )
)
