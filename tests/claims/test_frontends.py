"""The same lines in a plain ``ipython``, as a script, and executed by nbconvert: text where there are no pictures."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbconvert import HTMLExporter, LatexExporter, MarkdownExporter
from nbformat.v4 import new_code_cell, new_notebook

LINES = {  # a line -> what its text says, in a terminal and for frontends that strip HTML
    "status": "Status|pool ",
    "runs": "24 runs over 3 domains",
    "check": "fine",
    "fit --method gp": "Marginal returns",
    "do apples=0.4": "changes bpb by",
    "effect": "Marginal return of each domain",
    "overlap": "mixtures",
    "optimize --candidates 500": "Recommended mixture",
    "explore": "A mixture by hand",
    "compare equal --seeds 2 --executor inline": "paired seeds",
    "export --format yaml": "mixture",
    "doctor": "Python",
    "dag --show": "state -> mixture",
    "study": "Status|pool ",
    "report page.html": "opens without a network",
}
PICTURES = ("runs", "fit", "do", "optimize", "compare", "overlap")  # that carry a PNG besides


def said(line: str, text: str) -> bool:
    text = " ".join(text.split())  # wherever a line of text was folded
    return any(words in text for words in LINES[line].split("|"))


def notebook(finished) -> nbformat.NotebookNode:
    cells = ["%load_ext causalmix_nb", f"%causalmix study open {finished.folder};"]
    cells += [f"%causalmix {line}" for line in LINES]
    book = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return book


def test_a_script_of_magics_prints_every_result_as_text(finished, tmp_path):
    script = tmp_path / "lines.ipy"
    shown = [f"print('=== {line}')\nr = %causalmix {line}\nif r is not None: display(r)" for line in LINES]
    script.write_text(
        "\n".join([f"%load_ext causalmix_nb\n%causalmix study open {finished.folder};", *shown])
    )
    out = subprocess.run(
        [sys.executable, "-m", "IPython", str(script)],
        capture_output=True, text=True, timeout=900, cwd=tmp_path, env=os.environ | {"IPYTHONDIR": str(tmp_path)},
    )  # fmt: skip
    assert out.returncode == 0, out.stdout[-2000:] + out.stderr[-2000:]
    parts = dict(part.split("\n", 1) for part in out.stdout.split("=== ")[1:])
    for line in LINES:
        assert said(line, parts[line]), (line, parts[line])
        assert "<div" not in parts[line] and "<img" not in parts[line]
    assert (tmp_path / "page.html").exists()


def test_an_error_in_a_script_is_a_sentence_and_an_exit_status(tmp_path):
    script = tmp_path / "wrong.ipy"
    script.write_text("%load_ext causalmix_nb\n%causalmix optimise\nprint('not reached')")
    out = subprocess.run(
        [sys.executable, "-m", "IPython", str(script)],
        capture_output=True, text=True, timeout=900, cwd=tmp_path, env=os.environ | {"IPYTHONDIR": str(tmp_path)},
    )  # fmt: skip
    assert out.returncode != 0 and "not reached" not in out.stdout
    assert "Did you mean 'optimize'" in out.stdout + out.stderr
    assert "causalmix_nb/magics/magics.py" not in out.stdout + out.stderr


@pytest.fixture(scope="module")
def executed(_finished, tmp_path_factory):
    """The notebook of all lines, executed by the command line of nbconvert."""
    folder = tmp_path_factory.mktemp("executed")
    nbformat.write(notebook(_finished), folder / "book.ipynb")
    out = subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", "book.ipynb"],
        capture_output=True, text=True, timeout=900, cwd=folder,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr[-3000:]
    return nbformat.read(folder / "book.ipynb", as_version=4)


def bundles(book, line: str) -> list[dict]:
    cell = book.cells[2 + list(LINES).index(line)]
    return [output["data"] for output in cell.outputs if "data" in output]


@pytest.mark.parametrize("line", LINES)
def test_an_executed_notebook_carries_every_result_as_html_and_as_text(executed, line):
    found = bundles(executed, line)
    assert found and any(said(line, data.get("text/plain", "")) for data in found)
    html = "".join(data.get("text/html", "") for data in found)
    assert "causalmix" in html and "<script" not in html
    if line.split()[0] in PICTURES:
        assert any(len(data.get("image/png", "")) in range(1_000, 30_000) for data in found)


def test_pages_show_the_card_and_papers_the_picture(executed):
    html, _ = HTMLExporter().from_notebook_node(executed)
    shown = len(
        [
            1
            for cell in executed.cells
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})
        ]
    )
    assert not re.search("<img[^>]*data:image/png", html) and html.count('class="causalmix"') >= len(LINES)
    latex, resources = LatexExporter().from_notebook_node(executed)
    assert (
        latex.count(r"\adjustimage") == shown == len([n for n in resources["outputs"] if n.endswith(".png")])
    )
    text, _ = MarkdownExporter().from_notebook_node(executed)
    assert "Gain over the baseline" in text
    assert len(json.dumps(executed)) < 1_000_000
