"""The subcommands that tell where one is: help, status, doctor, tutorial, report, and the study itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from causalmix_nb.answers.question import Argument
from causalmix_nb.magics import parser
from causalmix_nb.magics.command import COMMANDS, Command
from causalmix_nb.magics.language import MagicError
from causalmix_nb.magics.options import OVERWRITE, STUDY
from causalmix_nb.magics.session import Session

if TYPE_CHECKING:
    from causalmix_nb.cards.report import Report
    from causalmix_nb.cards.status import StudyStatus
    from causalmix_nb.launch.checkup import CheckUp
    from causalmix_nb.magics.tutorial import Tutorial
    from causalmix_nb.study.study import Study


def help_(session: Session, about: str | None) -> None:
    print(parser.overview() if about is None else parser.explain(about))


COMMANDS.register(
    Command(
        "help",
        "Explain a subcommand or a topic: graph, state, effects, intervals, …",
        "%causalmix help optimize",
        help_,
        (
            Argument(
                "about",
                "what to explain; nothing lists all",
                words="?",
                metavar="SUBCOMMAND|TOPIC",
                completes="command",
            ),
        ),
    )
)


def status(session: Session) -> StudyStatus:
    if session.study is not None:
        return session.study.status()
    from causalmix_nb.cards.status import no_study

    step = "%causalmix pool demo – or files:, hf: or a variable of yours"
    if session.has_study():
        step = f"%causalmix study open {session.folder()} – there is a study in it"
    return no_study(step, "; ".join((session.early_graph or "").split("\n")))


COMMANDS.register(
    Command(
        "status",
        "Where the study stands and what to do next; %causalmix alone says the same.",
        "%causalmix status",
        status,
    )
)


def study(session: Session, action: str | None, folder: str | None) -> Study:
    if action is None:
        return session.current()
    if action != "open" or folder is None:
        raise MagicError("write %causalmix study open FOLDER, or %causalmix study for the current one.")
    from causalmix_nb.study.study import Study

    return session.use(Study.open(Path(folder).expanduser()))


COMMANDS.register(
    Command(
        "study",
        "The Study behind these lines, for Python; or open another one.",
        "study = %causalmix study",
        study,
        (
            Argument(
                "action",
                "open a study; nothing gives the Study object itself",
                words="?",
                metavar="open",
                choices=("open",),
            ),
            Argument("folder", "where it is", words="?", metavar="FOLDER", completes="path"),
        ),
    )
)


def report(session: Session, path: str, overwrite: bool, study: str | None) -> Report:
    return session.current(study).report(path, overwrite=overwrite)


COMMANDS.register(
    Command(
        "report",
        "Write the study as one page that opens anywhere: every card, and the code to make it again.",
        "%causalmix report report.html",
        report,
        (
            Argument(
                "path",
                "page to write (causalmix_report.html)",
                default="causalmix_report.html",
                words="?",
                metavar="FILE",
                completes="path",
            ),
            OVERWRITE,
            STUDY,
        ),
    )
)


def doctor(session: Session, study: str | None) -> CheckUp:
    from causalmix_nb.launch.checkup import doctor as examine

    return examine(session.folder(study))


COMMANDS.register(
    Command(
        "doctor",
        "What is installed, what this machine has, and what to do about what is missing.",
        "%causalmix doctor",
        doctor,
        (STUDY,),
    )
)


def tutorial(session: Session, folder: str, overwrite: bool) -> Tutorial:
    from causalmix_nb.magics.tutorial import copy_tutorial

    return copy_tutorial(folder, overwrite=overwrite)


COMMANDS.register(
    Command(
        "tutorial",
        "Copy the tutorial notebooks into a folder of yours.",
        "%causalmix tutorial my_lessons",
        tutorial,
        (
            Argument(
                "folder",
                "where to put them, made if it is not there (causalmix_tutorial)",
                default="causalmix_tutorial",
                words="?",
                metavar="FOLDER",
                completes="path",
            ),
            Argument("--overwrite", "replace notebooks of the same name", "flag"),
        ),
    )
)
