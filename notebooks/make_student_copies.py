"""Makes the copies that students get from the solved tutorials: ``python notebooks/make_student_copies.py build/student``.

What stands between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` (the marks of nbgrader) becomes ``# YOUR CODE HERE``; outputs go.
The lines before the marks give the answer a value to start from, so that the check below it can say "not yet" in one sentence.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BEGIN, END, STUB = "### BEGIN SOLUTION", "### END SOLUTION", "# YOUR CODE HERE"
_SOLUTION = re.compile(rf"^([ \t]*){BEGIN}[ \t]*\n(?:.*\n)*?[ \t]*{END}[ \t]*$", re.MULTILINE)


def without_solution(source: str) -> str:
    """A cell's source with its solution taken out.

    Raises
    ------
    ValueError: a mark without its partner.

    >>> without_solution("answer = None\\n### BEGIN SOLUTION\\nanswer = 42\\n### END SOLUTION")
    'answer = None\\n# YOUR CODE HERE'
    """
    stripped = _SOLUTION.sub(lambda found: found[1] + STUB, source)
    if BEGIN in stripped or END in stripped:
        raise ValueError(f"{BEGIN!r} and {END!r} do not pair up in the cell that starts {source[:60]!r}; mend that cell.")
    return stripped


def student_copy(book: Any) -> Any:
    """A solved notebook as students get it: no solutions, no outputs. The notebook given is left as it was."""
    from copy import deepcopy

    copy = deepcopy(book)
    copy.metadata.pop("widgets", None)
    for cell in copy.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.source = without_solution(cell.source)
            cell.outputs, cell.execution_count = [], None
    return copy


def main(out: Path) -> list[Path]:
    """Write the student copy of every tutorial into a folder, with the data that they read; returns what was written."""
    import nbformat

    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(HERE.glob("[0-9][0-9]_*.ipynb")):
        if "instructors" in path.name:
            continue  # it has the answers
        nbformat.write(student_copy(nbformat.read(path, as_version=4)), out / path.name)
        written.append(out / path.name)
    if (HERE / "data").exists():
        shutil.copytree(HERE / "data", out / "data", dirs_exist_ok=True)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Say where to: python notebooks/make_student_copies.py build/student")
    for made in main(Path(sys.argv[1])):
        print(made)
