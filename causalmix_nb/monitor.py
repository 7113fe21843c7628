"""The swarm while it trains: how far it is, what each run became, what failed and why; a button to stop, one to go on.

What is shown comes from the store and from the note that whoever trains keeps on disk, so that a monitor of another notebook's training
shows the same. The page is updated by a thread that only sets traits; it never prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import shlex
import threading
from typing import TYPE_CHECKING, Any

import traitlets

from causalmix_nb.cards import render
from causalmix_nb.jobs import GONE, RUNNING, Standing, ask_to_stop, standing
from causalmix_nb.plots import clean, short
from causalmix_nb.typesetting import Bundle, card, escape, note_list, paragraph, text_lines
from causalmix_nb.widget import STATIC, LiveWidget, answers

if TYPE_CHECKING:
    from causalmix_nb.study import Study

EVERY = 0.3  # seconds between two looks
SHOWN = 600  # runs that are drawn, one square each


class SwarmMonitor(LiveWidget):
    """Watches the training of a study.

    Attributes
    ----------
    job: the :class:`causalmix_nb.jobs.Job` of this process, or None while another process trains. standing: how it stands.
    """

    _esm = STATIC / "monitor.js"
    view: Any = traitlets.Dict().tag(sync=True)
    runs: Any = traitlets.List().tag(sync=True)  # of its own: it is sent only when a run has finished

    def __init__(self, study: Study) -> None:
        super().__init__()
        self._study = study
        self.standing: Standing | None = None
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
        rows: list[dict[str, Any]] = []
        failures: dict[str, int] = {}
        best = None
        if runs is not None and len(runs):
            frame = runs.frame
            name = self._study.outcome or runs.outcome_names[0]
            column, minimize = f"outcome.{name}", runs.minimize[name]
            values = frame[column].astype(float)
            finished = values.dropna()
            best = float(finished.min() if minimize else finished.max()) if len(finished) else None
            shares = frame[[f"mixture.{d}" for d in runs.domains]].to_numpy()
            for i in range(max(0, len(frame) - SHOWN), len(frame)):
                top = [f"{short(runs.domains[k])} {shares[i, k]:.0%}" for k in (-shares[i]).argsort()[:3]]
                value = float(values.iloc[i])
                ok = frame["status"].iloc[i] == "done"
                good = (
                    math.nan
                    if not math.isfinite(value)
                    else float((finished > value).mean() if minimize else (finished < value).mean())
                )
                rows.append(
                    {
                        "ok": bool(ok), "rank": None if math.isnan(good) else round(good, 2),
                        "said": clean(f"{', '.join(top)}: {value:.4g}" if ok else f"{', '.join(top)}: {frame['reason'].iloc[i]}"),
                    }
                )  # fmt: skip
            for reason in frame.loc[frame["status"] == "failed", "reason"].dropna():
                failures[clean(reason)] = failures.get(clean(reason), 0) + 1
        p = stands.progress if stands else None
        number = lambda x: None if x is None or not math.isfinite(x) else float(x)  # noqa: E731
        view = {
            "status": stands.status if stands else "never",
            "said": clean(str(stands)) if stands else "no proxy has been trained in the background yet",
            "stage": p.stage if p else "", "done": p.done if p else 0, "total": p.total if p else 0,
            "failed": p.failed if p else 0, "speed": number(p.tokens_per_second) if p else None,
            "eta": number(p.eta_seconds) if p else None, "best": best, "outcome": clean(self._study.outcome or ""),
            "recorded": len(runs) if runs is not None else 0,
            "failures": [f"{reason} ({n}x)" for reason, n in list(failures.items())[:5]],
        }  # fmt: skip
        return view, rows

    def snapshot(self) -> Bundle:
        now, view = self.standing, self.view
        if now is not None and self.report is not None and now.status not in (RUNNING, GONE):
            found = render(self.report)
            assert found is not None
            return found
        body = paragraph(view["said"], strong=True) + note_list(view["failures"])
        body += f"<p>{view['recorded']} runs are recorded{escape(_best(view))}.</p>"
        return Bundle(card("Proxy runs", body), text_lines(view["said"], *view["failures"]))

    def show_code(self) -> str:
        folder, asked = self._study.folder, self.standing.asked if self.standing is not None else 0
        budget = self._study._budget()
        magic = ["%load_ext causalmix_nb", f"%causalmix study open {shlex.quote(str(folder))}",
                 f"%causalmix run{f' --runs {asked}' if asked else ''} --budget {budget} --wait"]  # fmt: skip
        runs = f"n_runs={asked}, " if asked else ""
        python = [
            "import causalmix_nb as cm",
            f"study = cm.Study.open({str(folder)!r})",
            f"study.run({runs}token_budget={budget})",
        ]
        return "\n".join(magic) + "\n\n" + "\n".join(python)


def _best(view: dict[str, Any]) -> str:
    return f", the best {view['outcome']} {view['best']:.4g}" if view["best"] is not None else ""
