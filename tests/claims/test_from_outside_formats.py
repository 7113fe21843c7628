"""A format, a reader and a baseline that one file adds are used, listed, completed and named in messages; and gone when they are taken back."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from causalmix_nb.decide.baselines.baseline import BASELINES, Baseline, Case, baseline_mixture
from causalmix_nb.decide.export.export import export
from causalmix_nb.decide.export.formats.format import FORMATS as EXPORTS
from causalmix_nb.decide.export.formats.format import Beside, Written
from causalmix_nb.decide.export.formats.format import Format as ExportFormat
from causalmix_nb.errors import ExportError, MixtureError
from causalmix_nb.magics.language import MagicError
from causalmix_nb.mixture import Mixture


class Shell:
    """IPython with the extension: what a line prints, and what Tab offers."""

    def __init__(self):
        self.inside = InteractiveShell()
        self.inside.history_manager.enabled = False
        self.inside.run_line_magic("load_ext", "causalmix_nb")

    def printed(self, line):
        with redirect_stdout(io.StringIO()) as out:
            self.inside.run_cell(line).raise_error()
        return out.getvalue()

    def offered(self, text):
        with provisionalcompleter():
            return [found.text for found in self.inside.Completer.completions(text, len(text))]


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    made = Shell()
    yield made
    made.inside.history_manager.end_session()


# -- exports ----------------------------------------------------------------------------------------------------


def written(plan, folder):
    lines = "".join(f"{domain.name}\t{domain.share}\n" for domain in plan.used)
    return Written(lines, {"kept.log": Beside("new\n", lambda old, path, overwrite: old + "new\n")})


@pytest.fixture
def tabbed():
    yield EXPORTS.register(
        ExportFormat(
            "tabbed", "a line a domain", written, (".tab",), {"mosaic": "Mosaic reads tabbed files."}
        )
    )
    EXPORTS.remove("tabbed")


def test_an_export_format_is_written_by_name_and_by_suffix(tabbed, tmp_path):
    assert export({"a": 0.5, "b": 0.5}, format="tabbed").text == "a\t0.5\nb\t0.5\n"
    for _ in range(2):
        found = export({"a": 0.5, "b": 0.5}, tmp_path / "mix.tab", overwrite=True)
    assert found.format == "tabbed" and found.path.read_text() == found.text
    assert (tmp_path / "kept.log").read_text() == "new\nnew\n"


def test_an_export_format_is_named_in_help_completion_and_messages(tabbed, shell):
    assert "tabbed" in shell.printed("%causalmix export --help")
    assert shell.offered("%causalmix export mix.tab --format ta") == ["tabbed"]
    for asked, said in (("tabed", "Did you mean 'tabbed'"), ("mosaic", "Mosaic reads tabbed files.")):
        with pytest.raises(ExportError, match=said):
            export({"a": 1.0}, format=asked)
    with pytest.raises(ExportError, match=r"end in .*\.tab"):
        export({"a": 1.0}, "mix.tabs")


def test_an_export_format_that_is_taken_back_is_gone(shell):
    assert "tabbed" not in shell.printed("%causalmix export --help")
    assert shell.offered("%causalmix export mix.tab --format ta") == []
    with pytest.raises(ExportError, match="unknown format 'tabbed'"):
        export({"a": 1.0}, format="tabbed")
    with pytest.raises(ExportError, match="names no format"):
        export({"a": 1.0}, "mix.tab")


# -- baselines --------------------------------------------------------------------------------------------------


def duel(case):
    """Two corners, trained; the better one."""
    lab = case.need_lab()
    found = lab.outcomes(np.eye(len(lab.domains))[:2], case.outcome, "duel")
    return Mixture.of(
        lab.domains, np.eye(len(lab.domains))[int((found if lab.lower(case.outcome) else -found).argmin())]
    )


@pytest.fixture
def dueling():
    yield BASELINES.register(Baseline("duel", "the better of two domains", duel, trains=True))
    BASELINES.remove("duel")


def test_a_baseline_that_trains_is_compared_with(dueling, finished):
    finished.fit(method="linear")
    finished.optimize(policy="analytic")
    compared = finished.compare(["duel"], n_seeds=2, executor="inline")
    assert max(compared.mixtures["duel"].shares.values()) == 1 and compared.outcomes.notna().all(axis=None)


def test_a_baseline_is_named_in_help_completion_and_messages(dueling, shell, finished):
    assert "duel" in shell.printed("%causalmix compare --help")
    assert shell.offered("%causalmix compare du") == ["duel"]
    with pytest.raises(MixtureError, match="Did you mean 'duel'"):
        finished.baseline("duell")


def test_a_baseline_that_is_taken_back_is_gone(shell, finished):
    assert "duel" not in shell.printed("%causalmix compare --help")
    assert shell.offered("%causalmix compare du") == []
    with pytest.raises(MixtureError, match="unknown baseline 'duel'"):
        finished.baseline("duel")
    shell.printed(f"%causalmix study open {finished.folder};")
    with pytest.raises(MagicError, match="'duel' is neither a baseline nor a variable"):
        shell.printed("%causalmix compare duel")


def test_a_baseline_that_trains_asks_for_what_trains(dueling, finished):
    case = Case(finished.runs, finished.outcome)
    with pytest.raises(MixtureError, match="needs a study with a pool"):
        baseline_mixture("duel", case)
