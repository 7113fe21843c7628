"""``%causalmix`` and ``%%causalmix``: a line is parsed and given to its subcommand; a result shows itself.

The magic holds no science and knows no subcommand: those are the files of ``magics/commands/`` and the
questions of ``answers/``. Errors are the package's own sentences and still fail the cell.
"""

from __future__ import annotations

import argparse
from collections import ChainMap
from typing import TYPE_CHECKING, Any

from IPython.core.completer import context_matcher
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand

from causalmix_nb.magics import completion, language, parser
from causalmix_nb.magics.command import commands, find
from causalmix_nb.magics.language import HelpAsked, MagicError
from causalmix_nb.magics.session import CausalMix, Session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

NAME = "CausalMixMagics"


@magics_class
class CausalMixMagics(Magics):
    """The ``causalmix`` magic of one shell."""

    shell: Any

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.session = Session(shell, CausalMix(parent=shell))
        self.matcher = context_matcher(identifier="causalmix")(completion.matcher(self.session.names))

    # A final ";" is read here and not by IPython's output_can_be_silenced, which tokenises the line as Python
    # after the work is done and fails on lines such as  pool files:(old)/*.jsonl .
    @needs_local_scope
    @no_var_expand
    @line_cell_magic
    def causalmix(
        self, line: str = "", cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Any:
        """Mixtures for training language models: %causalmix help lists the subcommands."""
        self.session.variables = ChainMap(local_ns or {}, self.shell.user_ns)
        try:
            if cell is None:
                return self._do_line(self._parse(line))
            words = language.split(line)[0]
            if not words:
                return self._script(cell)
            if not find(words[0]).cell:
                raise MagicError(
                    f"%%causalmix {words[0]} takes no cell; write %causalmix {words[0]} in one line, or "
                    "%%causalmix alone with one subcommand a line below it."
                )
            return self._do_line(self._parse(line), cell)
        except HelpAsked as asked:
            print(asked)
            return None

    # IPython asks for this before the docstring: ? shows what there is now, and loading looks nothing up.
    causalmix.getdoc = parser.overview  # type: ignore[union-attr]

    def _parse(self, line: str) -> argparse.Namespace:
        return parser.parse(line, lambda name: language.scalar(name, self.session.variables))

    def _do_line(self, args: argparse.Namespace, cell: str | None = None) -> Any:
        command = commands()[args.command]
        if command.waits:
            self.session.wait()
        result = command(self.session, args, cell)
        self.session.display.recognise(result)
        if args.out is not None:
            self.shell.user_ns[args.out] = result
        return None if args.quiet else result

    def _script(self, cell: str) -> Any:
        """Several lines, all read before the first runs; the last result is returned, the others shown."""
        lines = [line.strip().removeprefix("%causalmix") for line in language.joined(cell)]
        parsed = [self._parse(line) for line in lines if language.split(line)[0]]
        result = None
        for i, args in enumerate(parsed):
            result = self._do_line(args)
            if result is not None and i < len(parsed) - 1:
                self.session.display.show(result)
        return result


# -- loading ------------------------------------------------------------------------------------------------


def load(ipython: InteractiveShell) -> None:
    """Register the magic, its completion, its configuration and the cards of our types."""
    unload(ipython)
    magics = CausalMixMagics(ipython)
    ipython.register_magics(magics)
    ipython.Completer.custom_matchers.append(magics.matcher)
    ipython.configurables.append(magics.session.defaults)  # type: ignore[arg-type]
    magics.session.display.register()


def unload(ipython: InteractiveShell) -> None:
    """Take back everything that :func:`load` registered; does nothing where nothing is."""
    manager = ipython.magics_manager
    magics = manager.registry.pop(NAME, None)
    if magics is None:
        return
    for kind in ("line", "cell"):
        manager.magics[kind].pop("causalmix", None)
    ipython.Completer.custom_matchers.remove(magics.matcher)
    for configurable in (magics.session.defaults, magics):  # Magics adds itself
        if configurable in ipython.configurables:
            ipython.configurables.remove(configurable)
    magics.session.display.unregister()
