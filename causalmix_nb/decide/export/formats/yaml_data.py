"""All of a plan as YAML, with the verdict as a comment too."""

from __future__ import annotations

from pathlib import Path

from causalmix_nb.decide.export.formats.format import FORMATS, Format, Written
from causalmix_nb.decide.export.plan import ExportPlan
from causalmix_nb.decide.export.text import as_yaml, comments, facts


def write(plan: ExportPlan, folder: Path) -> Written:
    """All of the plan."""
    return Written(comments(plan) + as_yaml(facts(plan)))


FORMATS.register(Format("yaml", "the same for people", write, suffixes=(".yaml", ".yml")))
