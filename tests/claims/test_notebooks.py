"""The tutorials: every one runs from top to bottom, fits a small machine, and is kept with its pictures and its exercise."""

import importlib.util
import re
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
TUTORIALS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
BINDER_BYTES = (
    2 * 2**30
)  # mybinder.org restarts what needs more than its "2G", which JupyterHub counts in powers of 1024
LAB_BYTES = 0.2e9  # of these the server of JupyterLab takes some 130 MB
WIDTH = 108  # characters of code in a line: more would scroll on a page of 1280 pixels


def script(name):
    """A script of the notebooks folder, as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


execute, students = script("execute"), script("make_student_copies")


@pytest.fixture(params=TUTORIALS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def book(path):
    return nbformat.read(path, as_version=4)


class Memory(threading.Thread):
    """Looks five times a second at what a process and its children hold, the most of it being ``peak`` (bytes).

    Proportional sets are summed: a page that several processes share (torch's libraries) counts once, as it does for a container. A
    limit on address space would be no test, because torch reserves several times what it touches.
    """

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.process, self.peak, self.over = psutil.Process(pid), 0, threading.Event()

    def run(self):
        while not self.over.is_set():
            held = 0
            try:
                for process in [self.process, *self.process.children(recursive=True)]:
                    try:
                        held += process.memory_full_info().pss
                    except (psutil.NoSuchProcess, psutil.AccessDenied):
                        continue
            except psutil.NoSuchProcess:
                return
            self.peak = max(self.peak, held)
            time.sleep(0.2)


def test_a_tutorial_runs_from_top_to_bottom_within_the_memory_of_binder(path, tmp_path, monkeypatch):
    monkeypatch.setenv("MEM_LIMIT", str(BINDER_BYTES))  # as JupyterHub sets it: as many workers as fit
    watched = []

    def watch(pid):
        watched.append(Memory(pid))
        watched[0].start()

    start = time.monotonic()
    execute.execute(path, tmp_path, watch)
    watched[0].over.set()
    print(f"{path.name}: {time.monotonic() - start:.0f} s, {watched[0].peak / 1e9:.2f} GB")
    assert 2e7 < watched[0].peak < BINDER_BYTES - LAB_BYTES


def test_a_tutorial_is_kept_executed_small_and_without_a_trace_of_this_machine(path, book):
    nbformat.validate(book)
    assert path.stat().st_size < 1_000_000
    counts = [cell.execution_count for cell in book.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    text = path.read_text()
    assert not re.search(r'"(output_type": "error|stderr)"', text), "an error or a warning is in the outputs"
    assert not re.search(r"/(home|root|tmp|work|Users)/", text), "an output names a folder of this machine"


def test_a_tutorial_shows_its_pictures_and_its_code_without_scrolling(path, book):
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    shown = [output.get("data", {}) for cell in code for output in cell.outputs]
    if code:
        assert any("image/png" in data or "svg" in "".join(data.get("text/html", "")) for data in shown)
    wide = [line for cell in code for line in cell.source.split("\n") if len(line) > WIDTH]
    assert not wide, wide


def test_prose_stands_between_the_cells(book):
    kinds = [cell.cell_type for cell in book.cells]
    assert kinds[0] == "markdown" and "?" in book.cells[0].source, "a lesson starts with a question"
    runs = re.findall("c+", "".join(kind[0] for kind in kinds))
    assert all(len(run) <= 3 for run in runs), "explain: more than three cells of code in a row"


def test_links_between_the_tutorials_lead_somewhere(path, book):
    prose = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose)
    broken = [link for link in links if "://" not in link and not (FOLDER / link).exists()]
    assert not broken
    at = TUTORIALS.index(path)
    for neighbour in TUTORIALS[max(at - 1, 0) : at] + TUTORIALS[at + 1 : at + 2]:
        assert neighbour.name in links, f"{path.name} does not lead to {neighbour.name}"


# -- exercises --------------------------------------------------------------------------------------------------


def exercise(book):
    """The cell with the solution, and the cell that checks it."""
    cells = book.cells
    at = [i for i, cell in enumerate(cells) if students.BEGIN in cell.source]
    return (cells[at[0]], cells[at[0] + 1]) if at else None


def test_a_tutorial_has_one_exercise_and_its_stub_fails_with_a_friendly_sentence(path, book):
    found = exercise(book)
    if "instructors" in path.name:
        assert found is None and "<details>" in path.read_text()
        return
    if found is None:  # left open, as in the quickstart: it says so itself
        said = [output.get("text", "") for cell in book.cells for output in cell.get("outputs", [])]
        assert any(text.startswith("Not yet: ") for text in said)
        return
    solved, check = found
    assert sum(students.BEGIN in cell.source for cell in book.cells) == 1
    stub = nbformat.v4.new_notebook(metadata=book.metadata)
    stub.cells = [
        nbformat.v4.new_code_cell("import causalmix_nb as cm\n" + students.without_solution(solved.source)),
        check,
    ]
    with pytest.raises(CellExecutionError) as failed:
        NotebookClient(stub, kernel_name="python3").execute()
    assert failed.value.ename == "CausalMixError" and failed.value.evalue.startswith("Not done yet: ")


def test_a_student_copy_has_neither_solution_nor_output(tmp_path):
    written = students.main(tmp_path)
    assert [path.name for path in written] == [
        path.name for path in TUTORIALS if "instructors" not in path.name
    ]
    for path in written:
        text = path.read_text()
        assert students.BEGIN not in text and students.END not in text
        assert students.STUB in text or students.BEGIN not in (FOLDER / path.name).read_text()
        assert not any(cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells)


def test_a_solution_that_is_not_closed_is_refused():
    with pytest.raises(ValueError, match="do not pair up"):
        students.without_solution("answer = None\n### BEGIN SOLUTION\nanswer = 42")


def test_the_pictures_of_the_documents_are_those_of_the_saved_lessons():
    shown = {}
    for path in TUTORIALS:
        shown |= execute.figures(nbformat.read(path, as_version=4))
    assert shown
    for name, picture in shown.items():
        assert (FOLDER / "figures" / name).read_bytes() == picture
    made = {path.name for path in (FOLDER / "figures").iterdir()} - {"recommendation.png"}  # the quickstart's
    assert made == set(shown)


def test_the_invented_runs_are_those_that_their_script_makes(tmp_path):
    spec = importlib.util.spec_from_file_location("made", FOLDER / "data" / "make_example_runs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path)
    for name in ("example_ratios.csv", "example_metrics.csv"):
        assert (FOLDER / "data" / name).read_text() == (tmp_path / name).read_text()
