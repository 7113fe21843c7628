"""A study as one page: every card in the order of the work, and the code that gives the same again.

The page stands alone: styles and pictures are inside it, it has no script and asks no server for anything
(its own content policy forbids both), follows the reader's light or dark setting and prints without broken
cards. It shows what has been done and computes no step that has not been: what is missing is named with the
line that makes it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from causalmix_nb.cards.results import render
from causalmix_nb.cards.runs import dose_card, effects_card
from causalmix_nb.cards.status import Steps, StudyStatus
from causalmix_nb.cards.study import report_card, state_sparklines
from causalmix_nb.cards.typesetting import Bundle, escape, paragraph
from causalmix_nb.errors import ExportError
from causalmix_nb.files import write_whole
from causalmix_nb.finding import Finding
from causalmix_nb.mixture import Mixture
from causalmix_nb.plots.pictures import clean

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.data.pool import Pool
    from causalmix_nb.runs.store import Runs

STYLE = """
:root { color-scheme: light dark; --jp-ui-font-color1: #1f2328; --jp-border-color2: #d5d9de; --ground: #ffffff; --code: #f4f5f7;
  --jp-ui-font-family: system-ui, -apple-system, "Segoe UI", sans-serif; }
@media (prefers-color-scheme: dark) { :root { --jp-ui-font-color1: #e4e6ea; --jp-border-color2: #3c4148; --ground: #14161a; --code: #1f2329; } }
body { margin: 0; background: var(--ground); color: var(--jp-ui-font-color1); font: 15px/1.5 var(--jp-ui-font-family); }
main { max-width: 800px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.7em; margin: 0 0 4px; } h2 { font-size: 1.25em; margin: 32px 0 8px; }
nav { margin: 12px 0 20px; } nav a { margin-right: 12px; white-space: nowrap; } a { color: inherit; }
section > div { margin-bottom: 12px; } .causalmix { background: none; }
pre { background: var(--code); padding: 12px; border-radius: 6px; overflow-x: auto; font-size: 0.92em; }
@media print { :root { --jp-ui-font-color1: #000; --ground: #fff; --jp-border-color2: #bbb; --code: #f4f5f7; }
  nav { display: none; } pre { white-space: pre-wrap; } .causalmix, pre { break-inside: avoid; } h2 { break-after: avoid; } main { padding: 0; max-width: none; } }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Request(Protocol):
    """What training was asked for, as the arguments of a call."""

    def as_code(self) -> str: ...


class Shown(Steps, Protocol):
    """What the page shows of a study: its steps, and the answers that cost nothing once they are made."""

    pool: Pool | None
    arguments: dict[str, dict[str, Any]]

    @property
    def state(self) -> pd.DataFrame | None: ...

    @property
    def request(self) -> Request | None: ...

    def status(self) -> StudyStatus: ...

    def check(self, outcome: str | None = None) -> Finding: ...

    def effects(self) -> pd.DataFrame: ...

    def dose_response(self, domain: str) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True)
class Report:
    """A page that was written: where, what it holds, and how large it is in bytes."""

    path: Path
    sections: tuple[str, ...]
    size: int

    def __str__(self) -> str:
        return f"{self.path}: {', '.join(self.sections)} ({self.size / 1e6:.2f} MB, opens without a network)."


def write_report(
    study: Shown,
    path: str | Path = "causalmix_report.html",
    overwrite: bool = False,
    today: datetime.date | None = None,
) -> Report:
    """Write the page of a study.

    Parameters
    ----------
    path: file to write; its folder is made if it is not there.
    overwrite: replace a file that is there.
    today: the date on the page; by default today.

    Raises
    ------
    ExportError: a file that is there already, or cannot be written.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ExportError(f"{path} is a folder; name a file, for example {path / 'report.html'}.")
    if path.exists() and not overwrite:
        raise ExportError(f"{path} is there already; name another file, or add --overwrite to replace it.")
    sections = {name: make(study) for name, make in SECTIONS.items()}
    page = _page(study, sections, today or datetime.date.today()).encode("utf-8")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page)
    except OSError as error:
        raise ExportError(f"cannot write {path} ({error.strerror}); name another file.") from None
    return Report(path, tuple(name for name, (done, _) in sections.items() if done), len(page))


def _page(study: Shown, sections: dict[str, tuple[bool, str]], today: datetime.date) -> str:
    from causalmix_nb import __version__

    name = clean(study.folder.name) if study.folder else "imported runs"
    links = "".join(f'<a href="#{_anchor(title)}">{escape(title)}</a>' for title in sections)
    body = "".join(
        f'<section id="{_anchor(title)}"><h2>{escape(title)}</h2>{html}</section>'
        for title, (_, html) in sections.items()
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(name)} – data mixture</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main><h1>How much of which data?</h1><div>{escape(name)} · {today.isoformat()} · causalmix_nb {__version__}</div>"
        f"<nav>{links}</nav>{body}</main></body></html>\n"
    )


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


# -- sections: whether the step has been made, and its cards -----------------------------------------------


def _cards(*results: Any) -> tuple[bool, str]:
    bundles = [result if isinstance(result, Bundle) else render(result) for result in results]
    return True, "".join(f"<div>{bundle.html}</div>" for bundle in bundles if bundle is not None)


def _missing(line: str) -> tuple[bool, str]:
    return False, paragraph(f"Not yet: {line} makes it.")


def _standing(study: Shown) -> tuple[bool, str]:
    return _cards(study.status())


def _pool(study: Shown) -> tuple[bool, str]:
    if study.corpus is None:
        return False, paragraph("Runs that were made elsewhere: there is no pool.")
    state, runs = study.state, study.runs
    shown: list[Any] = [study.pool if study.pool is not None else study.natural]
    if state is not None:
        trained = runs.frame.filter(regex="^state[.]").rename(columns=lambda name: name[6:]) if runs else None
        shown.append(state_sparklines(state, trained))
    return _cards(*shown)


def _graph(study: Shown) -> tuple[bool, str]:
    return _cards(study.graph)


def _runs(study: Shown) -> tuple[bool, str]:
    return _cards(study.runs) if study.runs else _missing("%causalmix run")


def _fit(study: Shown) -> tuple[bool, str]:
    return (
        _cards(study.check(study.model.outcome), study.model) if study.model else _missing("%causalmix fit")
    )


def _effects(study: Shown) -> tuple[bool, str]:
    model = study.model
    if model is None:
        return _missing("%causalmix fit")
    table = study.effects()
    shown = [effects_card(table, model.outcome, bool(model.minimize), False, False)]
    strongest = str((table["estimate"] / table["se"]).abs().idxmax())
    before = model.baseline[strongest] if model.baseline is not None else None
    response = study.dose_response(strongest)
    shown.append(dose_card(response, strongest, model.outcome, bool(model.minimize), before))
    return _cards(*shown)


def _recommendation(study: Shown) -> tuple[bool, str]:
    best = study.recommendation
    return _cards(best) if best is not None else _missing("%causalmix optimize")


def _comparison(study: Shown) -> tuple[bool, str]:
    if study.comparison is not None:
        return _cards(study.comparison)
    if study.corpus is None:
        return False, paragraph("Runs that were made elsewhere: nothing can be trained here.")
    return _missing("%causalmix compare")


def _code(study: Shown) -> tuple[bool, str]:
    return True, f"<pre>{escape_lines(code(study))}</pre>"


def escape_lines(text: str) -> str:
    """Text of several lines for HTML."""
    return "\n".join(escape(line).rstrip() for line in text.split("\n"))


SECTIONS: dict[str, Callable[[Shown], tuple[bool, str]]] = {
    "Status": _standing,
    "Pool": _pool,
    "Graph": _graph,
    "Runs": _runs,
    "Fit": _fit,
    "Effects": _effects,
    "Recommendation": _recommendation,
    "Comparison": _comparison,
    "Code": _code,
}


def code(study: Shown) -> str:
    """The Python that makes the steps of a study again, with the arguments that were given."""
    lines = ["import causalmix_nb as cm", "from causalmix_nb import Constraints, Mixture, Perturbation", ""]
    if study.folder is not None:
        lines.append(f"study = cm.Study.open({str(study.folder)!r})")
        if study.runs:
            asked = study.request
            lines.append(
                f"study.run({asked.as_code() if asked else f'{len(study.runs)}, token_budget={_budget(study.runs)}'})"
            )
    else:
        lines.append("study = cm.Study.from_runs(runs)  # the runs that were imported")
    lines.append(f"study.set_graph({study.graph.to_text()!r})")
    for step, made in (
        ("fit", study.model),
        ("optimize", study.recommendation),
        ("compare", study.comparison),
    ):
        if made is not None:
            given = study.arguments.get(step, {})
            lines.append(
                f"study.{step}({', '.join(f'{name}={literal(value)}' for name, value in given.items())})"
            )
    if study.recommendation is not None:
        lines.append("study.export('mixture.yaml')")
    return "\n".join(lines)


def _budget(runs: Runs) -> int:
    """Training tokens of the latest run."""
    tokens = runs.frame.get("scale.tokens")
    return int(tokens.iloc[-1]) if tokens is not None else 100_000


def literal(value: Any) -> str:
    """A value as Python that makes it again, mixtures with all their digits.

    >>> literal({"perturbation": None, "baselines": ("equal", 0.5)})
    "{'perturbation': None, 'baselines': ['equal', 0.5]}"
    """
    if isinstance(value, Mixture):
        return f"Mixture({value.shares!r})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {literal(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


render.register(Report, report_card)
