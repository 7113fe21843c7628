"""A format, a reader and a baseline that one file adds are used, listed, completed and named in messages; and gone when they are taken back."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from causalmix_nb.decide.baselines.baseline import BASELINES, Baseline, Case, baseline_mixture
from causalmix_nb.decide.export.export import export
from causalmix_nb.decide.export.formats.format import FORMATS as EXPORTS
from causalmix_nb.decide.export.formats.format import Beside, Written
from causalmix_nb.decide.export.formats.format import Format as ExportFormat
from causalmix_nb.errors import ExportError, GraphError, MixtureError, RunsError
from causalmix_nb.graph.formats.format import FORMATS as GRAPHS
from causalmix_nb.graph.formats.format import Format as GraphFormat
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.graph.reading import Reading
from causalmix_nb.magics.language import MagicError
from causalmix_nb.mixture import Mixture
from causalmix_nb.runs.evaluations.reader import READERS, Reader, score
from causalmix_nb.runs.lm_eval import attach_lm_eval, read_lm_eval
from causalmix_nb.runs.store import Runs


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


# -- readers of evaluations -------------------------------------------------------------------------------------


def probed(content):
    return {name: score(value, name) for name, value in content["probes"].items()}


@pytest.fixture
def probing():
    yield READERS.register(
        Reader("probing", "Probe", "the probes.json of Probe", lambda c: isinstance(c, dict) and "probes" in c,
               probed, files=("probes.json",), instead=("probes.json", "probes-part.json"))
    )  # fmt: skip
    READERS.remove("probing")


@pytest.fixture
def probes(tmp_path):
    for name in ("mix-one", "mix-two"):
        (tmp_path / name).mkdir()
        for file in ("probes.json", "probes-part.json"):
            (tmp_path / name / file).write_text(json.dumps({"probes": {"maze.loss": 0.5}}))
    return tmp_path


def test_a_readers_files_are_found_read_and_attached(probing, probes, shell):
    assert read_lm_eval(probes / "mix-one" / "probes.json") == {"maze.loss": (0.5, True)}
    assert "probing" in shell.printed("%causalmix help runs") and "probing" in shell.printed(
        "%causalmix runs --help"
    )
    mixtures = pd.DataFrame({"a": [0.2, 0.8], "b": [0.8, 0.2]}, index=["mix-one", "mix-two"])
    runs = Runs.from_frames(mixtures, pd.DataFrame({"acc": [0.1, 0.2]}, index=mixtures.index))
    attached = attach_lm_eval(runs, probes)
    assert attached.minimize == {"maze.loss": True} and len(attached.table) == 2
    (probes / "mix-one" / "probes.json").write_text("{")
    with pytest.raises(RunsError, match="no result file of .*Probe"):
        attach_lm_eval(runs, probes)


def test_a_reader_is_named_where_nothing_reads_a_file_and_gone_when_it_is_taken_back(probes):
    file = probes / "mix-one" / "probes.json"
    with pytest.raises(RunsError) as refused:
        read_lm_eval(file)
    assert "Probe" not in str(refused.value) and "OLMES" in str(refused.value)


# -- graphs -----------------------------------------------------------------------------------------------------


def arrowed(text):
    reading = Reading()
    for line in text.split("\n")[1:]:
        if len(names := line.split()) != 2:
            raise GraphError(f"{line!r} is no arrow; write two names.")
        reading.join(names[:1], "->", names[1:])
    return reading


@pytest.fixture
def arrows():
    yield GRAPHS.register(
        GraphFormat(
            "arrows", "two names a line", lambda text: text.startswith("%ARROWS"), arrowed,
            lambda edges, hidden, nodes: "\n".join(["%ARROWS", *map(" ".join, edges)]),
            also=("pfeile",), suffixes=(".arr",),
        )
    )  # fmt: skip
    GRAPHS.remove("arrows")


def test_a_graph_format_is_recognised_read_written_and_named(arrows, shell, tmp_path):
    graph = CausalGraph.parse("%ARROWS\nstate mixture\nmixture score")
    assert graph.edges == (("state", "mixture"), ("mixture", "score"))
    assert graph.to_text("pfeile") == "%ARROWS\nstate mixture\nmixture score"
    (tmp_path / "graph.arr").write_text("any head\nstate mixture\nmixture score")
    assert CausalGraph.parse(tmp_path / "graph.arr") == graph
    with pytest.raises(GraphError, match="Did you mean 'arrows'.*Formats are arrows, "):
        graph.to_text("arrow")
    with pytest.raises(GraphError, match="two names a line cannot hold every name"):
        CausalGraph([("a b", "c")]).to_text("arrows")
    assert "arrows" in shell.printed("%causalmix help dag") and "arrows" in shell.printed(
        "%causalmix dag --help"
    )
    assert shell.offered("%causalmix dag --to ar") == ["arrows"]
    assert shell.printed("%causalmix dag 'state -> score' --to arrows") == "%ARROWS\nstate score\n"


def test_a_graph_format_that_is_taken_back_is_gone():
    with pytest.raises(GraphError, match="there is no format 'arrows'. Formats are bnlearn"):
        CausalGraph([("a", "b")]).to_text("arrows")
    with pytest.raises(GraphError):
        CausalGraph.parse("%ARROWS\nstate mixture")
