"""How results look in IPython: cards while the extension is loaded, one line of progress for long steps.

Results stay plain objects with their plain ``repr``; the cards are display formatters, registered by name (so
that nothing is imported for it) and taken back on unload. What a magic has to say about a result besides the
result itself, a note or a second picture, is attached to that object and shown with it, so that an assignment
and a final ``;`` stay silent. A table that a magic returns is shown as the card attached to
it; tables of the user's own are left to pandas.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalmix_nb.cards.typesetting import Bundle
    from causalmix_nb.launch.launch import Progress

TYPES = (  # module and name, sorted
    ("cards.report", "Report"),
    ("cards.status", "StudyStatus"),
    ("data.pool", "Pool"),
    ("decide.comparison", "Comparison"),
    ("decide.export.export", "ExportResult"),
    ("decide.policy", "Recommendation"),
    ("estimate.model", "Effect"),
    ("estimate.model", "Model"),
    ("finding", "Finding"),  # and whatever is one
    ("graph.graph", "CausalGraph"),
    ("launch.checkup", "CheckUp"),
    ("launch.launch", "RunReport"),
    ("mixture", "Mixture"),
    ("runs.store", "Runs"),
    ("study.study", "Study"),
)
FRAMES = ("pandas.DataFrame", "pandas.core.frame.DataFrame")  # of pandas 3, and before
EVERY = 0.2  # seconds between two updates of the progress
KEPT = 32  # results whose notes are remembered


class ResultDisplay:
    """The formatters of one shell, and what is attached to recent results."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._formatter = shell.display_formatter.mimebundle_formatter
        self._attached: list[tuple[Any, str, Sequence[Callable[[], Bundle]]]] = []
        self._recognised: list[type] = []

    def register(self) -> None:
        for module, name in TYPES:
            self._formatter.for_type_by_name(f"causalmix_nb.{module}", name, self.format)
        for name in FRAMES:
            self._formatter.for_type_by_name(*name.rsplit(".", 1), self.format)

    def unregister(self) -> None:
        for module, name in TYPES:
            self._formatter.pop(f"causalmix_nb.{module}.{name}", None)
        for name in FRAMES:
            self._formatter.pop(name, None)
        for kind in self._recognised:
            self._formatter.pop(kind, None)

    def recognise(self, result: Any) -> None:
        """Show results of this type as cards from now on, if they bring their words: answers from outside."""
        kind = type(result)
        if kind in self._formatter:
            return
        match result:
            case object(title=str(), sentences=_, table=_):
                self._formatter.for_type(kind, self.format)
                self._recognised.append(kind)

    def attach(self, result: Any, note: str = "", *more: Callable[[], Bundle]) -> None:
        """Show a sentence under a result, and cards below it (of a table: instead of it), when shown."""
        others = [entry for entry in self._attached if entry[0] is not result]
        self._attached = [*others, (result, note, more)][-KEPT:]

    def show(self, result: Any) -> None:
        """Display something now, in this shell."""
        data, metadata = self._shell.display_formatter.format(result)
        if data:
            self._shell.display_pub.publish(data, metadata)

    def format(self, result: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The MIME bundle of a result, as IPython's formatters return it."""
        bundle = self.bundle(result)
        wanted = (
            self._shell.display_formatter.active_types
        )  # a terminal's are text only: no picture is drawn for it
        return ({}, {}) if bundle is None else (bundle._repr_mimebundle_(include=wanted), {})

    def bundle(self, result: Any) -> Bundle | None:
        """The card of a result with everything that is attached to it."""
        from causalmix_nb.cards.results import render
        from causalmix_nb.cards.typesetting import Bundle, escape

        found = render(result)
        note, more = next(((note, more) for known, note, more in self._attached if known is result), ("", ()))
        parts = [*([found] if found else []), *(make() for make in more)]
        if not parts:
            return None
        below = f'<div style="margin:4px 2px;opacity:.8">{escape(note)}</div>' if note else ""
        html = '<div style="height:8px"></div>'.join(part.html for part in parts)
        text = "\n".join([*(part.text for part in parts), *([note] if note else [])])
        return Bundle(html + below, text, parts[0].figure)


class LiveProgress:
    """The progress of a step, in place: a display in a notebook, a line in a terminal; five times a second.

    Use as a context manager; call it with a :class:`causalmix_nb.launch.launch.Progress`. vanish: leave
    nothing behind in a notebook.
    """

    def __init__(self, shell: Any, clock: Callable[[], float] = time.monotonic, vanish: bool = False) -> None:
        self._vanish = vanish
        self._notebook = hasattr(shell, "kernel")
        self._clock = clock
        self._handle: Any = None
        self._last: Progress | None = None
        self._shown_at = -1.0
        self._pending = False
        self._width = 0

    def __enter__(self) -> LiveProgress:
        return self

    def __call__(self, progress: Progress) -> None:
        fresh = self._last is None or self._last.stage != progress.stage
        if fresh and not self._notebook:
            self._end_line()
        self._last = progress
        self._pending = True
        if fresh or self._clock() - self._shown_at >= EVERY:
            self._show()

    def __exit__(self, *_: Any) -> None:
        if self._vanish and self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)
            return
        if self._pending:
            self._show()
        self._end_line()

    def _show(self) -> None:
        assert self._last is not None
        self._pending, self._shown_at = False, self._clock()
        done = self._last.done >= self._last.total
        from causalmix_nb.cards.results import render

        bundle = render(
            replace(self._last, eta_seconds=math.nan) if done else self._last
        )  # nothing is left to wait for
        if bundle is None:
            return
        if not self._notebook:
            self._line(bundle.text)
        elif self._handle is None:
            from IPython.display import display

            self._handle = display(bundle, display_id=True)
        else:
            self._handle.update(bundle)

    def _line(self, text: str) -> None:
        text = text.replace("\n", " ")
        if sys.stdout.isatty():
            print("\r" + text.ljust(self._width), end="", flush=True)
            self._width = len(text)
        else:
            self._width = -1  # nobody watches: only the last line of a stage is worth printing
            self._text = text

    def _end_line(self) -> None:
        if self._width < 0:
            print(self._text, flush=True)
        elif self._width:
            print(flush=True)
        self._width = 0
