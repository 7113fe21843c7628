"""Without a browser the tests say so in one line, and in CI they fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("ci", "code", "word"), [("", 0, "were skipped: the browser tests need chromium"), ("true", 1, "ERROR")]
)
def test_a_machine_without_chromium_skips_in_one_line_and_ci_fails(ci, code, word):
    chosen = [f"tests/browser/test_{name}_in_lab.py" for name in ("explorer", "dag_editor")]
    environment = {**os.environ, "PATH": "/nowhere", "CI": ci}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *chosen], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout
    told = [line for line in done.stdout.splitlines() if word in line]
    assert len(told) == 1 if not ci else told
