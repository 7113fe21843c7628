"""Runs the quickstart notebook in a fresh kernel and says what it found: ``python -m causalmix_nb.quickstart``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

NOTEBOOK, OUT = Path("notebooks/01_quickstart.ipynb"), Path("build/quickstart")


def main(notebook: Path = NOTEBOOK, out: Path = OUT) -> int:
    """Execute a notebook into a folder, write it as HTML too, and print the recommendation; returns an exit status."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbconvert import HTMLExporter

    if not notebook.exists():
        print(f"There is no {notebook} here; run this from the top of the repository.", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    book = nbformat.read(notebook, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    start = time.monotonic()

    def announce(cell: Any, cell_index: int, **_: Any) -> None:
        if cell.cell_type == "code":
            first = cell.source.split("\n")[0][:70]
            print(f"  {time.monotonic() - start:5.0f} s  {first}", flush=True)

    client = NotebookClient(
        book,
        timeout=None,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],  # a note on TCP is no news here
        resources={"metadata": {"path": str(out)}},
        on_cell_execute=announce,
    )
    print(f"Running {notebook} in a fresh kernel:", flush=True)
    failed = None
    try:
        client.execute()
    except CellExecutionError as error:
        failed = error
    seconds = time.monotonic() - start
    executed = out / notebook.name
    nbformat.write(book, executed)
    html, _ = HTMLExporter().from_notebook_node(book)
    executed.with_suffix(".html").write_text(html, encoding="utf-8")
    if failed:
        print(
            f"{failed.ename}: {failed.evalue}\nThe notebook stopped there; see {executed}.", file=sys.stderr
        )
        return 1
    for line in (
        *_found(out),
        f"The notebook took {seconds:.0f} s.",
        f"Executed notebook: {executed}",
        f"As a page: {executed.with_suffix('.html')}",
    ):
        print(line)
    return 0


def _found(out: Path) -> list[str]:
    """What the studies in a folder recommend, in words; draws each recommendation beside it."""
    import pandas as pd

    from causalmix_nb.plots.mixtures import mixture_bars

    lines = []
    for path in sorted(out.glob("*/recommendation.json")):
        best = json.loads(path.read_text(encoding="utf-8"))
        mixture = pd.Series(best["mixture"])
        picture = out / "recommendation.png"
        figure = mixture_bars(mixture, pd.Series(1 / len(mixture), mixture.index))
        figure.savefig(picture, dpi=150, facecolor="white")
        shares = ", ".join(f"{name} {share:.1%}" for name, share in mixture.items())
        lines += [
            f"\nRecommended mixture: {shares}",
            f"Gain in {best['outcome']} over equal shares: {best['gain']:.4f} "
            f"(95 % interval {best['lower']:.4f} to {best['upper']:.4f})",
            f"As a picture: {picture}",
        ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
