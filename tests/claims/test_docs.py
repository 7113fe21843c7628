"""What is written beside the code holds: lines that can be typed, blocks that run, files that are there, the same packages on Binder."""

import ast
import doctest
import importlib.util
import json
import os
import re
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml

import causalmix_nb
from causalmix_nb.answers.question import QUESTIONS, handed
from causalmix_nb.cards.results import render
from causalmix_nb.magics.language import MagicError
from causalmix_nb.magics.parser import parse
from causalmix_nb.methods.method import METHODS

ROOT = Path(__file__).parents[2]
README, CONTRIBUTING = ((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def blocks(text, language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body for name, body in found if name == language]


def magics(text):
    """Lines of ``%causalmix`` in blocks and in running text."""
    fenced = [line for block in blocks(text, "") for line in block.split("\n")]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    found = [re.search(r"(?<!%)%causalmix\b(.*)", line) for line in (*fenced, *inline)]
    return [match[1].strip() for match in found if match]


def prose(path):
    return "\n".join(
        cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"
    )


@pytest.mark.parametrize("line", sorted(set(magics(README))))
def test_every_line_of_the_readme_can_be_typed(line):
    parse(line)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_line_in_the_prose_of_a_lesson_can_be_typed(path):
    for line in magics(prose(path)):
        parse(line)


def test_a_line_that_cannot_be_typed_would_be_found():
    assert magics("`%causalmix optimise`\n```\nx = %causalmix run --rums 8\n```") == [
        "run --rums 8",
        "optimise",
    ]
    with pytest.raises(MagicError):
        parse("run --rums 8")


@pytest.mark.parametrize("block", [block for block in blocks(README, "python") if ">>>" in block])
def test_a_session_in_the_readme_prints_what_it_says(block):
    session = doctest.DocTestParser().get_doctest(block, {}, "README", "README.md", 0)
    assert doctest.DocTestRunner().run(session).failed == 0


@pytest.mark.parametrize("block", [block for block in blocks(README, "python") if ">>>" not in block])
def test_python_in_the_readme_uses_names_that_there_are(block):
    tree = ast.parse(block)
    owners = {"cm": causalmix_nb, "study": causalmix_nb.Study}
    used = [
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in owners
    ]
    assert used
    missing = [f"{owner}.{name}" for owner, name in used if not hasattr(owners[owner], name)]
    assert not missing


def test_files_and_targets_that_the_documents_name_are_there():
    text = README + CONTRIBUTING
    for target in set(re.findall(r"^(?:`|)make (\w+)", text, re.MULTILINE)):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(), f"make {target}"
    named = re.findall(r"`((?:tests|notebooks|binder|causalmix_nb)/[\w./]*)`", text)
    named += re.findall(r"\]\((?!https?:)([^)#\s]+)\)", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    assert named and not missing


# -- CONTRIBUTING: the examples run -----------------------------------------------------------------------------


@pytest.fixture
def example(tmp_path):
    """Loads the example in CONTRIBUTING.md that has some words in it, as a module of its own."""

    def load(words):
        (block,) = [block for block in blocks(CONTRIBUTING, "python") if words in block]
        assert len(block.strip().split("\n")) <= 40
        (tmp_path / "example.py").write_text(block)
        spec = importlib.util.spec_from_file_location("example", tmp_path / "example.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    METHODS.remove("constant")


def test_the_example_of_an_estimator_has_intervals(example):
    from causalmix_nb.estimate.problem import Problem
    from known_truth import make_runs, make_world

    problem = Problem.from_runs(make_runs(make_world(0), 40), "score")
    said = example("ConstantModel").fit_constant(problem).predict(problem.T[:3])
    assert np.allclose(said["mean"], problem.y.mean())
    assert (said["lower"] < said["mean"]).all() and (said["mean"] < said["upper"]).all()


def test_the_example_of_a_domain_source_yields_prompts_and_texts(example):
    rows = list(example("_errors")._errors())
    assert len(rows) > 40 and all(prompt and isinstance(text, str) for prompt, text in rows)


def test_the_example_of_a_question_is_a_subcommand(example, finished):
    try:
        question = QUESTIONS[example("QUESTIONS.register").spread.__name__]
        args = parse("spread --largest 2")
        found = question.ask(finished, **handed(question.arguments, vars(args)))
        assert len(found.table) == 2 and "varies most" in render(found).text
    finally:
        QUESTIONS.remove("spread")


def test_the_example_of_a_widget_counts_and_shows_its_errors(example):
    counter = example("LiveWidget").Counter()
    counter._asked(counter, {"add": 2}, [])
    assert counter.count == 2 and counter.snapshot().text == "clicked 2 times"
    assert counter.code == "Counter(count=2)"
    counter._asked(counter, {}, [])
    assert "KeyError" in counter.error


# -- Binder and versions ----------------------------------------------------------------------------------------

CONDA = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}  # names of conda-forge that differ


def required():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["lab"]]
    return {re.match(r"[\w-]+", entry)[0] for entry in wanted}


def pinned():
    lines = (ROOT / "constraints.txt").read_text().split()
    return dict(line.lower().split("==") for line in lines if "==" in line)


def test_binder_has_the_packages_of_the_project_at_the_versions_it_is_tested_with():
    environment = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())
    on_binder = dict(entry.partition("=")[::2] for entry in environment["dependencies"])
    assert on_binder.pop("python") and "pip" in on_binder
    on_binder.pop("pip")
    assert set(on_binder) == {CONDA.get(name, name) for name in required()}
    for name in required():
        minor = ".".join(pinned()[name].split(".")[:2])
        assert on_binder[CONDA.get(name, name)] == minor, f"{name}: constraints.txt has {pinned()[name]}"


def test_binder_installs_the_package_and_opens_the_first_lesson():
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK), "repo2docker runs postBuild only if it may be executed"
    assert "pip install --no-deps ." in script.read_text()
    settings = json.loads((ROOT / "binder" / "jupyter_server_config.json").read_text())
    opened = settings["ServerApp"]["default_url"].removeprefix("/lab/tree/")
    assert (ROOT / opened) == LESSONS[0]


def test_the_citation_and_the_changelog_know_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == causalmix_nb.__version__ and citation["license"] == "MIT"
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changes or f"## {causalmix_nb.__version__}" in changes


def test_help_on_a_public_name_teaches(capsys):
    for name in causalmix_nb.__all__:
        if name.startswith("__"):
            continue
        help(getattr(causalmix_nb, name))
        shown = capsys.readouterr().out
        assert len(shown.split("\n")) > 8 and name in shown


def test_the_glossary_explains_each_term_once_in_a_sentence():
    rows = re.findall(
        r"^\| (.+) \| (.+) \|$", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )[1:]
    terms = [term for term, _ in rows]
    assert len(rows) > 20 and terms == sorted(set(terms))
    assert all(meaning.endswith(".") and meaning.count(". ") == 0 for _, meaning in rows)
    assert "docs/glossary.md" in README
