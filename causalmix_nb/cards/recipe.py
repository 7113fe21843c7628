"""How to get at a fitted model in another session: the lines that stand before a question, as magics and as Python."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from causalmix_nb.data.pool import Perturbation

OPTIONS = {"noise": "noise", "duplicates": "duplicates", "boilerplate": "boilerplate", "keep": "available"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """magic, python: the lines before the question. magic_options, python_options: what the question itself gets."""

    magic: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    magic_options: str = ""
    python_options: str = ""


def recipe_of(
    folder: Path | None,
    graph: str,
    fitted: Mapping[str, Any],
    perturbation: Mapping[str, Perturbation] | None = None,
) -> Recipe:
    """The lines for a study.

    Parameters
    ----------
    folder: of the study; None for imported runs, which only Python can hand over.
    graph: its text. fitted: what ``study.fit`` was called with. perturbation: the sub-pool that is asked about.

    >>> print(*recipe_of(Path("my study"), "mixture -> score", {"method": "gp"}).magic, sep="\\n")
    %load_ext causalmix_nb
    %causalmix study open 'my study'
    %causalmix fit --method gp
    """
    given = {name: value for name, value in fitted.items() if value}
    fit = f"study.fit({', '.join(f'{name}={value!r}' for name, value in given.items())})"
    changed = {name: _changed(value) for name, value in (perturbation or {}).items()}
    perturbations = ", ".join(
        f"{name!r}: cm.Perturbation({', '.join(f'{k}={v!r}' for k, v in of.items())})"
        for name, of in changed.items()
    )
    python_options = f", perturbation={{{perturbations}}}" if perturbations else ""
    if folder is None:
        made = f"study = cm.Study.from_runs(runs, {graph!r})  # runs: as you made them"
        return Recipe((), ("import causalmix_nb as cm", made, fit), "", python_options)
    words = ["%causalmix fit"]
    for name, option in (("outcome", "outcome"), ("method", "method"), ("random_state", "seed")):
        if name in given:
            words.append(f"--{option} {shlex.quote(str(given[name]))}")
    options = "".join(
        f" --{OPTIONS[k]} {shlex.quote(f'{name}={v:g}')}"
        for name, of in changed.items()
        for k, v in of.items()
        if k in OPTIONS
    )
    where = str(folder)
    return Recipe(
        ("%load_ext causalmix_nb", f"%causalmix study open {shlex.quote(where)}", " ".join(words)),
        ("import causalmix_nb as cm", f"study = cm.Study.open({where!r})", fit), options, python_options,
    )  # fmt: skip


def _changed(perturbation: Perturbation) -> dict[str, float]:
    return {
        f.name: getattr(perturbation, f.name)
        for f in fields(perturbation)
        if getattr(perturbation, f.name) != f.default
    }
