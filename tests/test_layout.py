"""The folders tell the story: packages in the order in which data flows, no circle, short files, nothing heavy at import.

What does not hold is listed here, and only that: the lists are empty, and an entry that is not needed fails.
"""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "causalmix_nb"
FLOORS = [  # a package imports only those above it; the first is the ground floor, the files beside __init__.py
    "",
    "data",
    "runs",
    "plots",
    "graph",
    "design",
    "estimate",
    "proxies",
    "methods",
    "launch",
    "decide",
    "answers",
    "cards",
    "widgets",
    "benchmark",
    "study",
    "magics",
    "quickstart",  # the door at the other end: a file beside __init__.py that runs a lesson
]
KNOWN: set[tuple[str, str]] = set()  # imports against that order, still to be turned: none
ROUND: dict[
    str, int
] = {}  # files that need each other, if only for the types of what they are given, by package: none
LONG: dict[str, int] = {}  # files over 450 lines, and how long they are: none
BORROWED: set[tuple[str, str]] = set()  # names with a leading underscore that another file imports: none
LONGEST = 450  # lines of a file
FULLEST = 14  # files of a folder
HEAVY = [
    "torch",
    "datasets",
    "transformers",
    "statsmodels",
    "lightgbm",
    "econml",
    "sklearn",
    "matplotlib",
    "pandas",
    "scipy",
    "accelerate",
    "ray",
]


def named(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


FILES = {named(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
FOLDERS = sorted({path.parent for path in PACKAGE.rglob("*.py")})


def floor(module):
    """The package of a module: what stands before the first dot."""
    return module.split(".")[0] if "." in module else "quickstart" if module == "quickstart" else ""


def imported(tree, types=False):
    """(module below causalmix_nb, name) of every import of ours, also inside functions; not those for type checking unless asked for."""
    skipped = set()
    for block in ast.walk(tree):
        if (
            isinstance(block, ast.If)
            and isinstance(block.test, ast.Name)
            and block.test.id == "TYPE_CHECKING"
        ):
            skipped |= {id(node) for line in block.body for node in ast.walk(line)}
    for node in ast.walk(tree):
        if id(node) in skipped and not types:
            continue
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            if (node.module or "").split(".")[0] == "causalmix_nb":
                for alias in node.names:
                    yield node.module.removeprefix("causalmix_nb").lstrip("."), alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("causalmix_nb."):
                    yield alias.name.removeprefix("causalmix_nb."), ""


def arrows(tree, types=False):
    """Modules of ours that a file imports."""
    for module, name in imported(tree, types):
        inside = f"{module}.{name}".strip(".")
        yield from [full for full in (inside, module) if full in FILES][:1]


ARROWS = {name: set(arrows(tree)) - {name} for name, tree in TREES.items()}
TYPED = {name: set(arrows(tree, types=True)) - {name} for name, tree in TREES.items()}  # for its types too


def circles(edges):
    """Groups of nodes that one can go round in, each in alphabetical order."""

    def beyond(node):
        seen, ahead = set(), [node]
        while ahead:
            fresh = edges[ahead.pop()] - seen
            seen |= fresh
            ahead += fresh
        return seen

    reach = {node: beyond(node) for node in edges}
    return sorted({tuple(sorted(o for o in reach[n] if n in reach[o])) for n in edges if n in reach[n]})


def not_composed(tree, ours):
    """(class, why) of every class in a file that is put together of others by inheritance; ours: names of all classes of ours."""
    for made in ast.walk(tree):
        if not isinstance(made, ast.ClassDef):
            continue
        bases = [re.split(r"[\[(]", ast.unparse(base))[0].split(".")[-1] for base in made.bases]
        if len(set(bases) - {"Protocol", "Generic"}) > 1 and set(bases) & ours:
            yield made.name, "a base of ours beside another"
        if made.name.endswith(("Mixin", "MixIn")):
            yield made.name, "named as a part of others"
        if any(isinstance(part, ast.If) and "TYPE_CHECKING" in ast.unparse(part.test) for part in made.body):
            yield made.name, "declares what another class has to bring"


def test_every_folder_has_its_floor():
    there = {folder.relative_to(PACKAGE).parts[0] for folder in FOLDERS if folder != PACKAGE}
    assert there == set(FLOORS) - {"", "quickstart"}


@pytest.mark.parametrize("package", FLOORS)
def test_a_package_imports_only_those_above_it(package):
    here = FLOORS.index(package)
    below = {
        (name, other)
        for name in FILES
        if floor(name) == package
        for other in ARROWS[name]
        if FLOORS.index(floor(other)) > here
    }
    assert below == {pair for pair in KNOWN if floor(pair[0]) == package}


def test_no_module_imports_itself_in_a_circle():
    assert circles(ARROWS) == []


def test_no_module_needs_itself_in_a_circle_for_its_types():
    found = Counter(floor(name) for group in circles(TYPED) for name in group)
    assert set(found) == set(ROUND) and not found - Counter(ROUND)


def test_a_circle_would_be_found():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "f"}, "e": set(), "f": {"g"}, "g": {"f"}}
    assert circles(edges) == [("a", "b", "c"), ("f", "g")]


def test_what_a_class_needs_it_holds():
    ours = {made.name for tree in TREES.values() for made in ast.walk(tree) if isinstance(made, ast.ClassDef)}
    assert [(name, *found) for name, tree in TREES.items() for found in not_composed(tree, ours)] == []


def test_a_class_put_together_by_inheritance_would_be_found():
    text = """
class Study(Questions, Training): ...
class Magic(Questions, foreign.Magics): ...
class AskMixin: ...
class Half:
    if TYPE_CHECKING:
        def _need(self): ...
class Asked(Questions, Protocol[T]): ...
class Fitted(Questions): ...
class Table(dict, Mapping): ...
"""
    found = not_composed(ast.parse(text), {"Questions", "Training"})
    assert [name for name, _ in found] == ["Study", "Magic", "AskMixin", "Half"]


def test_no_package_imports_another_in_a_circle():
    edges = {package: set() for package in FLOORS}
    for name, others in ARROWS.items():
        edges[floor(name)] |= {floor(other) for other in others if (name, other) not in KNOWN} - {floor(name)}
    assert circles(edges) == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_short(name):
    lines = len(FILES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LONG.get(name, LONGEST)
    assert name not in LONG or lines > LONGEST, f"{name} is short now: take it off the list"


def test_what_may_be_long_is_there():
    assert set(LONG) <= set(FILES)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_holds_few_files_and_says_what_it_is(folder):
    assert len(list(folder.glob("*.py"))) <= FULLEST
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))


def test_a_name_with_a_leading_underscore_stays_in_its_file():
    borrowed = {
        (name, f"{module}.{one}")
        for name, tree in TREES.items()
        for module, one in imported(tree, types=True)
        if re.match("_[^_]", one)
    }
    assert borrowed == BORROWED


@pytest.mark.parametrize("name", FILES)
def test_a_file_reads_nothing_unsafe(name):
    text = FILES[name].read_text(encoding="utf-8")
    names = {node.id for node in ast.walk(TREES[name]) if isinstance(node, ast.Name)}
    assert not names & {"pickle", "eval", "exec"} and "import pickle" not in text and "yaml.load(" not in text


def test_tests_are_named_once_and_lie_beside_what_they_test():
    tests = [path for path in (ROOT / "tests").rglob("test_*.py")]
    assert len({path.name for path in tests}) == len(tests)
    folders = {path.parent.name for path in tests} - {"tests"}
    assert folders <= {*FLOORS, "claims", "faults", "browser"}


def heavy_after(code: str) -> list[str]:
    code += f"\nimport sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()


def test_importing_the_package_loads_nothing_heavy():
    assert heavy_after("import causalmix_nb") == []


def test_loading_the_extension_loads_nothing_heavy():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "import sys; before = set(sys.modules)\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'causalmix_nb')"
    )
    assert heavy_after(code) == []


def test_help_and_completion_load_nothing_heavy():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "import contextlib, io; shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'causalmix_nb')\n"
        "from causalmix_nb.magics.command import commands\n"
        "complete = shell.magics_manager.registry['CausalMixMagics'].matcher\n"
        "from IPython.core.completer import CompletionContext\n"
        "def tab(line): complete(CompletionContext(line, line.split()[-1], len(line), 0, 200))\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    shell.run_line_magic('causalmix', 'help')\n"
        "    for name in commands():\n"
        "        shell.run_line_magic('causalmix', f'{name} --help')\n"
        "        tab(f'%causalmix {name} ')\n"
        "    for line in ('fit --method ', 'compare ', 'export --format ', 'optimize --policy ', 'run --executor '):\n"
        "        tab(f'%causalmix {line}')"
    )
    assert heavy_after(code) == []


def test_a_public_name_is_never_hidden_by_a_submodule():
    import causalmix_nb

    submodules = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert not submodules & set(causalmix_nb.__all__)


def test_every_public_name_exists_and_is_documented():
    import causalmix_nb

    for name in causalmix_nb.__all__:
        assert getattr(causalmix_nb, name).__doc__


def test_the_picture_of_the_architecture_is_true():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert re.findall(r"^[├└]── (\w+)/", text, re.MULTILINE) == [
        name for name in FLOORS if name not in ("", "quickstart")
    ]
    places = re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", text)
    missing = [place for place in places if not any((root / place).exists() for root in (PACKAGE, ROOT))]
    assert places and not missing
