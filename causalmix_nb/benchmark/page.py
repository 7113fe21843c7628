"""What an experiment found as files: one page of HTML, and its tables as CSV."""

from __future__ import annotations

import json
from pathlib import Path

from causalmix_nb.benchmark.results import PoolShift
from causalmix_nb.cards.results import render
from causalmix_nb.cards.typesetting import card, paragraph, table
from causalmix_nb.files import write_whole


def write_report(found: PoolShift, folder: str | Path) -> Path:
    """One HTML page and the tables as CSV files, in a folder; returns the page."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found.outcomes.to_csv(folder / "outcomes.csv", index=False)
    tables = {
        "methods": (found.table, "Methods over all shifts"),
        "headroom": (found.headroom, "What adapting could gain at each shift"),
        "ours_minus": (found.pooled_table, "Ours minus each other method, averaged over shifts"),
        "history": (found.history_table, "Learnt from a history of chosen mixtures"),
        "by_shift": (found.by_shift, "Method by shift"),
        "mixtures": (found.mixtures.reset_index(), "Mixtures"),
        "advice": (found.advice, "Predicted gain of ours over the mixture it would keep"),
    }
    parts = []
    for name, (frame, caption) in tables.items():
        frame.to_csv(folder / f"{name}.csv", index=frame.index.name is not None)
        groups = [("", frame)] if "shift" not in frame else list(frame.groupby("shift", sort=False))
        body = "".join(
            table(part.drop(columns="shift", errors="ignore"), str(label)) for label, part in groups
        )
        parts.append(card(caption, body))
    what = "".join(paragraph(f"{shift.name}: {shift.what}") for shift in found.shifts)
    first = render(found)
    assert first is not None
    page = folder / "pool_shift.html"
    write_whole(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8><title>Pool shift</title>"
        "<body style='max-width:860px;margin:24px auto'>"
        f"{first.html}{card('The shifts', what)}{''.join(parts)}</body></html>",
    )
    write_whole(
        folder / "pool_shift.json",
        json.dumps({"sentences": found.sentences, "explained": dict(found.assignment)}, indent=1),
    )
    return page
