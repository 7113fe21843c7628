"""All of a plan as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from causalmix_nb.decide.export.formats.format import FORMATS, Format, Written
from causalmix_nb.decide.export.plan import ExportPlan
from causalmix_nb.decide.export.text import facts


def write(plan: ExportPlan, folder: Path) -> Written:
    """All of the plan."""
    return Written(json.dumps(facts(plan), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


FORMATS.register(Format("json", "all of it as data", write, suffixes=(".json",)))
