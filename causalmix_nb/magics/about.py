"""The subcommands that tell where one is: help, status, doctor, tutorial and report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import did_you_mean
from causalmix_nb.magics import parser, topics
from causalmix_nb.magics.language import MagicError

if TYPE_CHECKING:
    from causalmix_nb.study.study import Study

Arguments = argparse.Namespace
Namespace = Mapping[str, Any]


class AboutMagics:
    """Expects the shell, the defaults and the current study of :class:`causalmix_nb.magics.magics.CausalMixMagics`."""

    study: Study | None
    _graph: str | None

    if TYPE_CHECKING:

        def _folder(self, args: Arguments) -> Path: ...

        def _current(self, args: Arguments) -> Study: ...

    def _help(self, args: Arguments, ns: Namespace) -> None:
        about = args.about
        if about is None:
            print(parser.overview())
        elif about in parser.COMMANDS:
            print(parser.parser(about).format_help())
        elif about in topics.TOPICS:
            print(topics.topic(about))
        else:
            near = did_you_mean(about, (*parser.COMMANDS, *topics.TOPICS))
            raise MagicError(
                f"there is no subcommand or topic {about!r}.{near} %causalmix help lists all of them."
            )

    def _status(self, args: Arguments, ns: Namespace) -> Any:
        from causalmix_nb.cards.status import no_study
        from causalmix_nb.study.study import META

        if self.study is not None:
            return self.study.status()
        folder = self._folder(args)
        step = (
            f"%causalmix study open {folder} – there is a study in it" if (folder / META).exists()
            else "%causalmix pool demo – or files:, hf: or a variable of yours"
        )  # fmt: skip
        return no_study(step, "; ".join((self._graph or "").split("\n")))

    def _doctor(self, args: Arguments, ns: Namespace) -> Any:
        from causalmix_nb.checkup import doctor

        return doctor(self._folder(args))

    def _tutorial(self, args: Arguments, ns: Namespace) -> Any:
        from causalmix_nb.tutorial import copy_tutorial

        return copy_tutorial(args.folder, overwrite=args.overwrite)

    def _report(self, args: Arguments, ns: Namespace) -> Any:
        return self._current(args).report(args.path, overwrite=args.overwrite)
