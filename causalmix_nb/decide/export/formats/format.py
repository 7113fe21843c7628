"""What a format of an export is: a name, and a function from a plan to text.

A file of this folder that writes for a trainer registers its format at its end; yours may be registered from anywhere, also from a cell.
:func:`causalmix_nb.decide.export.export.export`, ``--help`` and Tab read :data:`FORMATS`.

>>> def lines(plan, folder):
...     return Written("".join(f"{domain.name} {domain.share}\\n" for domain in plan.used))
>>> form = Format("lines", "one line a domain", lines)
>>> FORMATS.register(form).name in FORMATS
True
>>> from causalmix_nb.decide.export.export import export
>>> print(export({"math": 0.4, "code": 0.6}, format="lines"), end="")
math 0.4
code 0.6
>>> FORMATS.remove("lines")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from causalmix_nb.decide.export.plan import ExportPlan
from causalmix_nb.errors import ExportError
from causalmix_nb.registry import Registry


@dataclass(frozen=True, slots=True)
class Beside:
    """What belongs beside a file.

    text: of it. join: the text of one that is there already, its path and whether it may be replaced -> the text with ours;
    None where it is a file of ours alone.
    """

    text: str
    join: Callable[[str, Path, bool], str] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a format makes of a plan. text: of the file. beside: name of a file -> what belongs beside it."""

    text: str
    beside: Mapping[str, Beside] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """One form in which a trainer reads a mixture.

    name: what ``--format`` calls it.
    summary: what it is, in a few words.
    write: the plan and the folder that the file will lie in -> what is written.
    suffixes: of files that are written so where nobody names a format; one suffix names one format.
    serves: a trainer that reads what this format makes -> how, in a sentence.
    """

    name: str
    summary: str
    write: Callable[[ExportPlan, Path], Written]
    suffixes: tuple[str, ...] = ()
    serves: Mapping[str, str] = field(default_factory=dict)


FORMATS: Registry[Format] = Registry("format", home=__package__ or "", error=ExportError)
