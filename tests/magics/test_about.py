"""The check-up, the tutorial and the explanations: what a reader sees before there is a study."""

import json
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from causalmix_nb.cards import results
from causalmix_nb.errors import ExportError
from causalmix_nb.launch.checkup import Check, CheckUp, doctor
from causalmix_nb.magics import topics
from causalmix_nb.magics.tutorial import copy_tutorial, heading, notebooks

ROOT = Path(__file__).parents[2]


def found(check_up: CheckUp, name: str) -> Check:
    return next(check for check in check_up.checks if check.name == name)


def test_the_check_up_names_every_requirement_with_the_version_that_is_there(tmp_path):
    checks = doctor(tmp_path)
    for name in ("torch", "pandas", "ipython"):
        assert found(checks, name).found == metadata.version(name)
    assert checks.healthy and checks.verdict.startswith("Everything that is needed is here")
    assert "can be written" in found(checks, "study folder").found


def test_what_is_missing_comes_with_the_line_that_installs_it(monkeypatch, tmp_path):
    real = metadata.version

    def without(name):
        if name in ("scipy", "econml"):
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "numpy" else real(name)

    monkeypatch.setattr(metadata, "version", without)
    checks = doctor(tmp_path)
    assert not checks.healthy and "scipy (missing) – pip install 'scipy>=" in checks.verdict
    assert found(checks, "numpy").advice.startswith("pip install -U 'numpy>=")
    assert found(checks, "forest").advice == "pip install 'causalmix_nb[forest]'"
    assert "✗ scipy" in results.render(checks).text


def test_the_check_up_needs_nothing_heavy():
    code = "import sys; from causalmix_nb.launch.checkup import doctor; doctor(); print(*{'torch', 'pandas', 'numpy'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == ""


@pytest.mark.parametrize(
    ("variable", "where"), [("BINDER_SERVICE_HOST", "Binder"), ("COLAB_RELEASE_TAG", "Colab")]
)
def test_the_place_and_the_limits_that_it_sets_are_told(variable, where, tmp_path):
    checks = doctor(tmp_path, {variable: "x", "MEM_LIMIT": "1073741824", "CPU_LIMIT": "0.5"})
    assert found(checks, "place").found.startswith(where)
    assert found(checks, "memory").found == "1.07 GB" and found(checks, "memory").ok is None
    assert found(checks, "cores").found == "0.5"


def test_a_study_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert found(doctor(tmp_path / "new" / "study"), "study folder").ok
    if Path("/proc").is_dir():
        checks = doctor("/proc/study")
        assert not checks.healthy and "--study FOLDER" in found(checks, "study folder").advice


def test_the_tutorial_is_copied_once_and_never_over_what_is_there(tmp_path):
    copied = copy_tutorial(tmp_path / "lessons")
    assert copied.lessons["01_quickstart.ipynb"] == heading(notebooks() / "01_quickstart.ipynb") != ""
    assert json.loads((tmp_path / "lessons" / "01_quickstart.ipynb").read_text())["cells"]
    (tmp_path / "lessons" / "01_quickstart.ipynb").write_text("mine")
    with pytest.raises(ExportError, match="01_quickstart.ipynb is there already; name another folder"):
        copy_tutorial(tmp_path / "lessons")
    assert (tmp_path / "lessons" / "01_quickstart.ipynb").read_text() == "mine"
    copy_tutorial(tmp_path / "lessons", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write to"):
        copy_tutorial(tmp_path / "file" / "lessons")


def test_an_installed_wheel_brings_every_notebook(tmp_path):
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    lessons = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    code = "from causalmix_nb.magics.tutorial import *; print(notebooks()); print(*copy_tutorial('x').lessons, sep='|')"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
    ).stdout.split("\n")  # fmt: skip
    assert said[0] == str(tmp_path / "site" / "causalmix_nb" / "notebooks")
    assert set(said[1].split("|")) == lessons


@pytest.mark.parametrize("name", topics.TOPICS)
def test_a_topic_is_explained_in_plain_text(name):
    text = topics.topic(name)
    assert len(text) > 150 and "``" not in text and ":class:" not in text and ":func:" not in text
    assert max(map(len, text.split("\n"))) <= 120
    assert topics.TOPICS[name].use in " ".join(text.split())


def test_topics_lead_on_to_subcommands_that_exist():
    from causalmix_nb.magics.command import commands

    assert {see for about in topics.TOPICS.values() for see in about.see} <= set(commands())


def test_every_kind_that_has_a_card_of_its_own_is_shown_by_the_magics():
    import causalmix_nb.study.study  # noqa: F401  (registers the card of a study)
    from causalmix_nb.cards.results import render
    from causalmix_nb.magics.display import TYPES

    kinds = {(kind.__module__.removeprefix("causalmix_nb."), kind.__name__) for kind in render.registry}
    shown_by_steps = {("launch.launch", "Progress"), ("builtins", "object")}
    assert kinds - shown_by_steps == set(TYPES) - {("finding", "Finding")}
