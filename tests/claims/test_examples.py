"""The example in the help of every subcommand runs: in one shell, on a small study, in an order that makes sense.

A new subcommand is picked up by itself. If its example needs something that is not there (a file, a variable), give it in
``prepare``; if it must come before or after others, give it a place in ``FIRST`` or ``LAST``; otherwise it runs after the fit.
"""

import io
import json
import re
from contextlib import redirect_stdout

import pytest
from IPython.core.interactiveshell import InteractiveShell

from causalmix_nb.magics.command import commands
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig

DOMAINS = ("code", "math", "prose")  # the names in the examples
CHEAP = {  # option -> what the example runs with here, where it asks for much: a value that only costs time
    "--runs": "6",
    "--budget": "1k",
    "--seeds": "2",
    "--mixtures": "16",
}
SHORTER = {
    "refute": " --repeats 5",
    "select": " --method linear",
    "leaderboard": " --splits 1",
}  # said besides
FIRST = (
    "help",
    "doctor",
    "tutorial",
    "pool",
    "dag",
    "status",
    "study",
    "state",
    "run",
    "stop",
    "attach",
    "runs",
)
LAST = ("optimize", "compare", "export", "report")
BACKGROUND = ("stop", "attach")  # answer with a sentence where nothing trains


def example(command: str) -> str:
    """The line that the help of a subcommand shows."""
    return commands()[command].example


def test_every_subcommand_has_an_example_of_its_own():
    missing = [c for c in commands() if not re.search(rf"%causalmix {c}\b", example(c))]
    assert not missing, (
        f"give {missing} an example in their Command or Question, which users and this test can run"
    )


def order() -> list[str]:
    rest = [name for name in commands() if name not in (*FIRST, *LAST)]
    rest.sort(key=lambda name: name != "fit")
    return [name for name in (*FIRST, *rest, *LAST) if name in commands()]


def cheap(line: str) -> str:
    """The same line with smaller numbers, for the options that only cost time."""
    for option, value in CHEAP.items():
        line = re.sub(rf"({option}) [\d.]+[kM]?((?: [\d.]+[kM]?)*)", rf"\1 {value}", line)
    return line


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell in a folder that has what the examples name."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("examples")
        patch.chdir(folder)
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setattr(
            "causalmix_nb.study.study.ProxyConfig",
            lambda **given: ProxyConfig(**({"d_model": 16, "n_layers": 1, "n_heads": 2, "context": 32, "batch": 4, "base_tokens": 2_000} | given)),
        )  # fmt: skip
        (folder / "data").mkdir()
        for name in DOMAINS:
            texts = [f"The {name} number {i} is {name} and {i * 7 % 13}." for i in range(60)]
            (folder / "data" / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts))
        made = InteractiveShell()
        made.history_manager.enabled = False
        made.run_line_magic("load_ext", "causalmix_nb")
        yield made
        made.history_manager.end_session()


def run(shell, cell):
    with redirect_stdout(io.StringIO()) as out:
        found = shell.run_cell(cell)
    shell.printed = out.getvalue()
    found.raise_error()
    return found.result


@pytest.fixture(scope="module")
def done(shell):
    """Subcommand -> what its example printed or raised; all of them, one after another."""
    told = {}
    for command in order():
        line = cheap(example(command)) + SHORTER.get(command, "")
        prepare(shell, command)
        try:
            result = run(shell, line)
            assigned = re.match(r"(\w+) = %", line)
            told[command] = shell.printed + str(
                shell.user_ns[assigned[1]] if assigned else "" if result is None else result
            )
        except Exception as error:  # told by the test of that subcommand
            told[command] = error
    return told


def prepare(shell, command: str) -> None:
    """What an example needs that no earlier one has made."""
    if command == "runs":  # its example imports two tables, which must not replace the study
        run(shell, "%causalmix run --runs 24 --budget 1k --executor inline;\n%causalmix runs --csv .;")
    if command == "fit":
        run(shell, "%causalmix study open my_study;")


@pytest.mark.parametrize("command", order())
def test_the_example_in_the_help_runs(done, command):
    told = done[command]
    if command in BACKGROUND and isinstance(told, Exception):
        assert "proxies" in str(told)
        return
    assert not isinstance(told, Exception), f"{example(command)}: {told}"
    assert told.strip(), f"{example(command)} shows nothing"
