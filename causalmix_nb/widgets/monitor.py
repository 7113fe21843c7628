"""The swarm while it trains: how far it is, what each run became, what failed and why; a button to stop, one
to go on.

What is shown comes from the store and from the note that whoever trains keeps on disk, so that a monitor of
another notebook's training shows the same. The page is updated by a thread that only sets traits; it never
prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import shlex
import threading
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import traitlets

from causalmix_nb.cards.results import render
from causalmix_nb.cards.typesetting import Bundle, card, escape, note_list, paragraph, text_lines
from causalmix_nb.launch.background import GONE, RUNNING, Standing, ask_to_stop, standing
from causalmix_nb.plots.pictures import clean, short
from causalmix_nb.widgets.base import LiveWidget, answers, page

if TYPE_CHECKING:
    from pathlib import Path

    from causalmix_nb.launch.background import Job
    from causalmix_nb.runs.store import Runs

EVERY = 0.3  # seconds between two looks
SHOWN = 600  # runs that are drawn, one square each


class Request(Protocol):
    """What training was asked for, as one would type it; n_runs: if another number was asked for since."""

    def as_code(self, n_runs: int = 0) -> str: ...

    def as_options(self, n_runs: int = 0) -> str: ...


class Watched(Protocol):
    """A study whose proxies train, here or in another process."""

    job: Job | None

    @property
    def folder(self) -> Path | None: ...

    @property
    def runs(self) -> Runs | None: ...

    @property
    def outcome(self) -> str | None: ...

    @property
    def token_budget(self) -> int: ...

    @property
    def request(self) -> Request | None: ...

    def resume(self) -> Job: ...


class SwarmMonitor(LiveWidget):
    """Watches the training of a study.

    Attributes
    ----------
    job: the :class:`causalmix_nb.launch.background.Job` of this process, or None while another process
        trains. standing: how it stands.
    """

    _esm = page("monitor.js")
    view: Any = traitlets.Dict().tag(sync=True)
    runs: Any = traitlets.List().tag(sync=True)  # of its own: it is sent only when a run has finished

    def __init__(self, study: Watched) -> None:
        super().__init__()
        self._study = study
        self.standing: Standing | None = None
        self._read: tuple[Any, list[dict[str, Any]], float | None, dict[str, int]] = (None, [], None, {})
        self._loop: asyncio.AbstractEventLoop | None = None
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        self.on_msg(self._asked)
        self.look()
        self._watch()

    @property
    def job(self) -> Any:
        return self._study.job

    @property
    def report(self) -> Any:
        """The report of the job when it has ended, else None."""
        return self.job.report if self.job is not None else None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until training has ended, at most so long; whether it has."""
        ended = self.job.wait(seconds) if self.job is not None else True
        self.look()
        return ended

    @answers
    def _asked(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        if content.get("do") == "stop":
            self.stop()
        elif content.get("do") == "resume":
            self.resume()

    def stop(self) -> None:
        """Ask whoever trains to stop; finished runs stay."""
        assert self._study.folder is not None
        if self.job is not None and self.job.status == RUNNING:
            self.job.stop()
        else:
            ask_to_stop(self._study.folder)
        self.look()

    def resume(self) -> None:
        """Go on with the runs that are not done, as they were asked for last."""
        if self.job is None or self.job.status != RUNNING:
            self._study.resume()
        self.look()
        self._watch()

    def look(self) -> None:
        """Bring the page up to date."""
        assert self._study.folder is not None
        job = self.job
        self.standing = job.standing() if job is not None else standing(self._study.folder)
        self._tell()
        self.changed()

    def _watch(self) -> None:
        if self.standing is None or self.standing.status != RUNNING:
            return

        def watch() -> None:
            pause = threading.Event()
            while True:
                pause.wait(EVERY)
                with contextlib.suppress(Exception):  # the store may be busy: look again
                    now = self.job.standing() if self.job is not None else standing(self._study.folder)  # type: ignore[arg-type]
                    self.standing = now
                    self._tell()
                    if now is None or now.status != RUNNING:
                        break
            if self._loop is not None and self._loop.is_running():
                self._loop.call_soon_threadsafe(self.changed)

        threading.Thread(target=watch, name="causalmix-monitor", daemon=True).start()

    def _tell(self) -> None:
        view, rows = self._now()
        self.runs, self.view = rows, view

    def _now(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What the page shows, and one row per recorded run."""
        runs, stands = self._study.runs, self.standing
        now = stands.progress if stands else None
        mark = (
            len(runs) if runs is not None else 0,
            now and (now.done, now.failed),
            stands and stands.status,
        )
        if mark != self._read[0]:  # the store is read only when something has been added to it
            self._read = (mark, *self._recorded())
        _, rows, best, failures = self._read
        p = stands.progress if stands else None
        number = lambda x: None if x is None or not math.isfinite(x) else float(x)  # noqa: E731
        view = {
            "status": stands.status if stands else "never",
            "text": clean(str(stands)) if stands else "no proxy has been trained in the background yet",
            "stage": p.stage if p else "",
            "done": p.done if p else 0,
            "total": p.total if p else 0,
            "failed": p.failed if p else 0,
            "speed": number(p.tokens_per_second) if p else None,
            "eta": number(p.eta_seconds) if p else None,
            "best": best,
            "outcome": clean(self._study.outcome or ""),
            "recorded": len(runs) if runs is not None else 0,
            "failures": [f"{reason} ({n}x)" for reason, n in list(failures.items())[:5]],
        }
        return view, rows

    def _recorded(self) -> tuple[list[dict[str, Any]], float | None, dict[str, int]]:
        """One row per run, the best outcome, and how often each reason of a failure was given."""
        runs = self._study.runs
        if runs is None or not len(runs):
            return [], None, {}
        frame, domains = runs.frame, [short(name) for name in runs.domains]
        name = self._study.outcome or runs.outcome_names[0]
        sign = -1.0 if runs.minimize[name] else 1.0
        values = frame[f"outcome.{name}"].to_numpy(dtype=float)
        finished = np.sort(sign * values[np.isfinite(values)])
        best = float(sign * finished[-1]) if len(finished) else None
        shares = frame[[f"mixture.{d}" for d in runs.domains]].to_numpy()
        rows = []
        for i in range(max(0, len(frame) - SHOWN), len(frame)):
            top = ", ".join(f"{domains[k]} {shares[i, k]:.0%}" for k in (-shares[i]).argsort()[:3])
            ok, known = frame["status"].iloc[i] == "done", math.isfinite(values[i])
            beaten = float(np.searchsorted(finished, sign * values[i])) / len(finished) if known else None
            result = f"{top}: {values[i]:.4g}" if ok else f"{top}: {frame['reason'].iloc[i]}"
            rows.append(
                {
                    "ok": bool(ok),
                    "rank": None if beaten is None else round(beaten, 2),
                    "text": clean(result),
                }
            )
        failures: dict[str, int] = {}
        for reason in frame.loc[frame["status"] == "failed", "reason"].dropna():
            failures[clean(reason)] = failures.get(clean(reason), 0) + 1
        return rows, best, failures

    def snapshot(self) -> Bundle:
        now, view = self.standing, self.view
        if now is not None and self.report is not None and now.status not in (RUNNING, GONE):
            found = render(self.report)
            assert found is not None
            return found
        body = paragraph(view["text"], strong=True) + note_list(view["failures"])
        body += f"<p>{view['recorded']} runs are recorded{escape(_best(view))}.</p>"
        return Bundle(card("Proxy runs", body), text_lines(view["text"], *view["failures"]))

    def show_code(self) -> str:
        folder, asked = self._study.folder, self.standing.asked if self.standing is not None else 0
        budget, request = self._study.token_budget, self._study.request
        words = f"{f'--runs {asked} ' if asked else ''}--budget {budget}"
        runs = f"{f'n_runs={asked}, ' if asked else ''}token_budget={budget}"
        if request is not None:
            words, runs = request.as_options(asked), request.as_code(asked)
        magic = [
            "%load_ext causalmix_nb",
            f"%causalmix study open {shlex.quote(str(folder))}",
            f"%causalmix run {words} --wait",
        ]
        python = [
            "import causalmix_nb as cm",
            f"study = cm.Study.open({str(folder)!r})",
            f"study.run({runs})",
        ]
        return "\n".join(magic) + "\n\n" + "\n".join(python)


def _best(view: dict[str, Any]) -> str:
    return f", the best {view['outcome']} {view['best']:.4g}" if view["best"] is not None else ""
