"""What every widget of ours shares: errors that are seen, the code that gives the same result, and a picture that is saved.

A notebook keeps a widget's state seldom and its kernel never. So a widget is shown twice: alive, and as a static snapshot in an output of
its own, which is brought up to date a moment after the last change and hidden while the living one is on the page. What is
reopened without a kernel, exported or read on GitHub is the snapshot. A terminal gets text.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from causalmix_nb.cards.typesetting import Bundle
from causalmix_nb.errors import CausalMixError

STATIC = Path(__file__).parent / "static"
ALIVE = "(a widget; below is its picture)"
CALM = 0.6  # seconds without a change before the snapshot is drawn again


def page(name: str) -> str:
    """The module that the browser loads for a widget: what all pages share, and the page's own file of ``static/``."""
    return "".join((STATIC / part).read_text(encoding="utf-8") for part in ("shared.js", name))


def answers(method: Callable[..., Any]) -> Callable[..., Any]:
    """A callback whose exceptions are shown in the widget: Jupyter would swallow them."""

    @functools.wraps(method)
    def guarded(self: LiveWidget, *args: Any, **named: Any) -> Any:
        self.error = ""  # so that the same mistake again is a change that the page hears of
        try:
            result = method(self, *args, **named)
        except CausalMixError as error:
            self.error = str(error)
        except Exception as error:  # a mistake of ours: still better seen than swallowed
            self.error = f"{type(error).__name__}: {error}"
        else:
            return result
        return None

    return guarded


class LiveWidget(anywidget.AnyWidget):
    """Base of the widgets; subclasses set ``_esm = page("name.js")`` and give :meth:`snapshot` and :meth:`show_code`.

    Traits for the page: ``error`` (shown in red until the next success), ``code`` (the magic and the Python that give the same result),
    ``live_id``: while alive, the page hides elements of the class ``causalmix-snapshot-<live_id>``.
    """

    error = traitlets.Unicode("").tag(sync=True)
    code = traitlets.Unicode("").tag(sync=True)
    live_id = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **named: Any) -> None:
        super().__init__(live_id=uuid.uuid4().hex[:12], **named)
        self._handle: Any = None
        self._later: asyncio.TimerHandle | None = None

    def snapshot(self) -> Bundle:
        """The widget as it stands, as HTML without a script and as text."""
        raise NotImplementedError

    def show_code(self) -> str:
        """The magic, and the Python call, that give what the widget shows."""
        raise NotImplementedError

    def changed(self) -> None:
        """To be called after every change: refreshes the code at once, the snapshot when it has been calm for a moment."""
        self.code = self.show_code()
        if self._handle is None:
            return
        if self._later is not None:
            self._later.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel's loop: a script, a test
            self.refresh()
        else:
            self._later = loop.call_later(CALM, self.refresh)

    def refresh(self) -> None:
        """Draw the snapshot again now."""
        if self._handle is not None:
            with contextlib.suppress(Exception):  # a picture that fails must not stop the widget
                self._handle.update(self._framed(self.snapshot()), raw=True)

    def _framed(self, bundle: Bundle) -> dict[str, str]:
        html = f'<div class="causalmix-snapshot-{self.live_id}">{bundle.html}</div>'
        return {"text/html": html, "text/plain": bundle.text}

    def _ipython_display_(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        bundle = self.snapshot()
        self.code = self.show_code()
        if getattr(get_ipython(), "kernel", None) is None:
            print(bundle.text)
            return
        alive = self._repr_mimebundle_()
        data, metadata = alive if isinstance(alive, tuple) else (alive, {})
        display({**(data or {}), "text/plain": ALIVE}, metadata=metadata, raw=True)
        self._handle = display(self._framed(bundle), raw=True, display_id=True)
