"""The folder tells the story: modules in the order in which data flows, nothing heavy at import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "causalmix_nb"
ORDER = [
    "errors",
    "directions",
    "mixture",
    "doctor",
    "tutorial",
    "pictures",
    "plots",
    "plots_policy",
    "plots_audit",
    "plots_domain",
    "plots_state",
    "sparklines",
    "plots_shift",
    "plots_transfer",
    "typesetting",
    "cards_runs",
    "status",
    "cards_study",
    "cards",
    "widget",
    "pool",
    "demo",
    "checksums",
    "steps",
    "proxy",
    "checkpoint",
    "adapter_kernels",
    "adapter_loss",
    "adapter_sites",
    "adapters",
    "adapter_training",
    "adapter_cost",
    "sampling",
    "corpus",
    "tokenise",
    "state",
    "design",
    "repetition",
    "shifts",
    "scores",
    "outcomes",
    "train",
    "hf",
    "hf_processes",
    "pace",
    "online",
    "lm_eval",
    "lock",
    "backup",
    "runs",
    "chunk",
    "workers",
    "ray_cluster",
    "launch",
    "hf_cost",
    "cost",
    "jobs",
    "graph_text",
    "identification",
    "distance",
    "independence",
    "graph_svg",
    "graph",
    "dag_editor",
    "problem",
    "model",
    "nuisances",
    "support",
    "quick_surface",
    "forest",
    "effects",
    "mixed_model",
    "new_domain",
    "kernel",
    "gaussian_process",
    "warped",
    "surface",
    "fit",
    "selection",
    "leaderboard",
    "interventions",
    "constraints",
    "policy",
    "pareto",
    "overlap",
    "seeing",
    "ternary",
    "export",
    "recipe",
    "explorer",
    "audit",
    "refute",
    "baselines",
    "search",
    "rivals",
    "shift_results",
    "interpret",
    "paths",
    "questions",
    "comparison",
    "halving",
    "training",
    "contenders",
    "transfer",
    "planning",
    "report",
    "pool_shift",
    "study",
    "monitor",
    "magic_language",
    "magic_topics",
    "magic_options",
    "magic_parser",
    "magic_completion",
    "magic_display",
    "magic_answers",
    "magic_graph",
    "magic_training",
    "magic_about",
    "magics",
    "quickstart",
]
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
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def imported(tree: ast.AST) -> set[str]:
    """Modules of this package that are imported anywhere but for type checking."""
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in skipped and node.module:
            if node.module == "causalmix_nb":
                names |= {alias.name for alias in node.names}
            elif node.module.startswith("causalmix_nb."):
                names.add(node.module.split(".")[1])
    return names


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_those_above_it(module):
    assert module in ORDER, f"{module} is new: give it its place in ORDER, below all that it imports"
    below = imported(ast.parse((PACKAGE / f"{module}.py").read_text())) - set(ORDER[: ORDER.index(module)])
    assert not below & set(ORDER), f"{module} imports {sorted(below)}, which stand below it"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_and_reads_nothing_unsafe(module):
    text = (PACKAGE / f"{module}.py").read_text()
    assert len(text.splitlines()) <= 600
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert not names & {"pickle", "eval", "exec"} and "import pickle" not in text and "yaml.load(" not in text


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


def test_functions_that_share_their_modules_name_stay_functions():
    code = (
        "import causalmix_nb, causalmix_nb.fit, causalmix_nb.export, causalmix_nb.interpret\n"
        "assert callable(causalmix_nb.fit) and callable(causalmix_nb.export) and callable(causalmix_nb.interpret)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists_and_is_documented():
    import causalmix_nb

    for name in causalmix_nb.__all__:
        assert getattr(causalmix_nb, name).__doc__
