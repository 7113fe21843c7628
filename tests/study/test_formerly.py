"""Studies, arguments and names of earlier versions go on under the words of today."""

import sqlite3

import pandas as pd
import pytest

import causalmix_nb as cm
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.runs.covariates import RENAMED
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.study import Study


@pytest.fixture
def abbreviated(finished):
    """The finished study as an earlier version left it."""
    finished.files.runs.close()
    with sqlite3.connect(finished.folder / "runs.sqlite") as store:
        for old, new in RENAMED.items():
            changed = store.execute("UPDATE runs SET state = replace(state, ?, ?)", (f".{new}", f".{old}"))
            assert changed.rowcount == 24
    return finished.folder


def test_states_are_read_by_the_names_of_today(abbreviated, finished):
    study = Study.open(abbreviated)
    wanted = {f"{domain}.{name}" for domain in study.runs.domains for name in study.measure_state().columns}
    assert set(study.runs.state_names) == wanted
    assert {column[6:] for column in study.runs.frame if column.startswith("state.")} == wanted


def test_further_runs_join_the_old_ones(abbreviated):
    study = Study.open(abbreviated)
    study.run(26, 2_000, executor="inline")
    assert len(study.runs) == 26 and not study.runs.frame.filter(like="state.").isna().any(axis=None)


def test_a_graph_may_use_either_name(abbreviated):
    study = Study.open(abbreviated)
    domain = study.runs.domains[0]
    study.set_graph(f"hes, {domain}.style -> mixture; mixture, hes, {domain}.style -> score")
    assert {"top_token_entropy", f"{domain}.readability_grade"} < set(study.graph.nodes)
    used = study.fit(method="gp").problem.state_names
    assert {f"{domain}.readability_grade", f"{domain}.top_token_entropy"} < set(used)


def test_a_table_of_somebody_keeps_its_names():
    state = pd.DataFrame({"code.style": [1.0, 2.0], "code.loss": [2.0, 1.0]})
    runs = Runs.from_frames(
        pd.DataFrame({"web": [0.5, 0.4], "code": [0.5, 0.6]}), pd.DataFrame({"acc": [0.1, 0.2]}), state
    )
    assert set(runs.state_names) == set(state)


def test_perturbations_are_taken_under_their_old_name(finished):
    assert cm.Tilt is cm.Perturbation
    new = finished.measure_state(perturbation={finished.runs.domains[0]: cm.Perturbation(noise=0.5)})
    with pytest.warns(FutureWarning, match="tilt= is called perturbation= now"):
        old = finished.measure_state(tilt={finished.runs.domains[0]: cm.Tilt(noise=0.5)})
    assert old.equals(new)


def test_keys_of_designed_runs_are_those_of_earlier_versions():
    spec = RunSpec((0.5, 0.5), 1000, {"code": cm.Perturbation(noise=0.5)}, 3)
    assert spec.key("pool") == "b94a076d0cee4cd7b418" and RunSpec.from_dict(spec.to_dict()) == spec
