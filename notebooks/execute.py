"""Executes tutorials in a fresh kernel each and keeps their outputs: ``python notebooks/execute.py 02 05``, or all without a number.

A notebook runs in an empty folder, beside copies of the data that it reads, so that what it writes stays out of the way and its
outputs name no folder of this machine. Times and widget states are not kept: the same notebook gives the same file.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TUTORIALS = sorted(HERE.glob("[0-9][0-9]_*.ipynb"))


def execute(path: Path, folder: Path, on_start: Callable[[int], None] | None = None, timeout: int = 3600) -> Any:
    """Run a notebook from top to bottom in ``folder``; returns it with its outputs.

    on_start: called with the process id of the kernel, for whoever measures it.

    Raises
    ------
    nbclient.exceptions.CellExecutionError: a cell failed.
    """
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    _forget(book)
    if (path.parent / "data").exists():
        shutil.copytree(path.parent / "data", folder / "data", dirs_exist_ok=True)
    client = NotebookClient(
        book,
        timeout=timeout,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # a note on TCP is no news here
        resources={"metadata": {"path": str(folder)}},
        on_notebook_start=lambda **_: on_start(client.km.provisioner.pid) if on_start else None,
    )
    client.execute()
    return book


def _forget(book: Any) -> None:
    """Outputs, counts and times of an earlier execution."""
    book.metadata.pop("widgets", None)
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def figures(book: Any) -> dict[str, bytes]:
    """Pictures that documents show: of each cell tagged ``figure:<name>`` the PNG that it drew, by ``<name>.png``."""
    import base64

    found = {}
    for cell in book.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("figure:"):
                drawn = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
                found[f"{tag.removeprefix('figure:')}.png"] = base64.b64decode(drawn[-1])
    return found


def main(numbers: list[str]) -> int:
    import nbformat

    chosen = [path for path in TUTORIALS if not numbers or path.name[:2] in numbers]
    for path in chosen:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            book = execute(path, Path(folder))
        nbformat.validate(book)
        nbformat.write(book, path)
        for name, picture in figures(book).items():
            (HERE / "figures" / name).write_bytes(picture)
        print(f"{path.name}: {time.monotonic() - start:.0f} s, {path.stat().st_size / 1e3:.0f} kB", flush=True)
    return 0 if chosen else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
