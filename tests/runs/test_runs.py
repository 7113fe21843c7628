"""The record of runs: frames in and out, the store, other people's tables."""

import csv
import os
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.errors import MixtureError, RunsError
from causalmix_nb.runs.database import SCHEMA_VERSION
from causalmix_nb.runs.store import Runs

MIXTURES = pd.DataFrame({"math": [0.2, 0.8, 0.5], "code": [0.8, 0.2, 0.5]})
OUTCOMES = pd.DataFrame({"loss": [1.2, 1.1, np.nan]})


def row(key, **more):
    return {"key": key, "mixture": {"math": 0.5, "code": 0.5}, "outcome": {"loss": 1.0}, **more}


def test_frames_come_back_tidy():
    state = pd.DataFrame({"math.loss": [1.0, 2.0, 3.0]})
    scale = pd.DataFrame({"tokens": [1e5, 1e5, 2e5]})
    frame = Runs.from_frames(MIXTURES, OUTCOMES, state, scale, minimize=True).frame
    assert {"mixture.math", "mixture.code", "state.math.loss", "scale.tokens", "outcome.loss"} <= set(frame)
    assert np.allclose(frame["mixture.math"], MIXTURES["math"])
    assert frame["outcome.loss"].isna().tolist() == [False, False, True]


def test_tables_with_other_rows_are_refused():
    with pytest.raises(RunsError, match="give every table the same index"):
        Runs.from_frames(MIXTURES, OUTCOMES.iloc[:2])


def test_tables_in_another_row_order_are_joined_by_index():
    frame = Runs.from_frames(MIXTURES, OUTCOMES.iloc[::-1]).frame
    assert frame["outcome.loss"].iloc[0] == 1.2


def test_shares_that_are_rounded_are_taken_and_rescaled():
    rounded = pd.DataFrame({"a": [0.333], "b": [0.333], "c": [0.333]})
    frame = Runs.from_frames(rounded, pd.DataFrame({"y": [1.0]})).frame
    assert np.isclose(frame.filter(like="mixture.").sum(axis=1).iloc[0], 1, atol=1e-12)


def test_shares_that_are_no_mixture_are_refused():
    with pytest.raises(MixtureError, match="sums to 0.9"):
        Runs.from_frames(pd.DataFrame({"a": [0.5], "b": [0.4]}), pd.DataFrame({"y": [1.0]}))


def test_words_in_a_table_are_refused():
    with pytest.raises(RunsError, match="not numeric"):
        Runs.from_frames(MIXTURES, pd.DataFrame({"loss": ["a", "b", "c"]}))


def test_minimize_must_name_an_outcome():
    with pytest.raises(RunsError, match="Did you mean 'loss'"):
        Runs.from_frames(MIXTURES, OUTCOMES, minimize=["los"])


def test_no_name_in_a_csv_is_run_by_a_spreadsheet_and_all_come_back(tmp_path):
    label = '=HYPERLINK("http://x")'
    runs = Runs.from_frames(
        pd.DataFrame({"@web": [0.2, 0.8], "-code": [0.8, 0.2]}, index=[label, "+b"]),
        pd.DataFrame({"loss": [-1.2, 1.1]}, index=[label, "+b"]),
    )
    paths = runs.to_csv(tmp_path)
    for path in paths:
        for row in csv.reader(path.open()):
            assert not [cell for cell in row if cell[:1] in ("=", "+", "-", "@") and cell != "-1.2"]
    again = Runs.from_csv(*paths)
    assert again.domains == ("@web", "-code")
    assert list(again.frame["label"]) == [label, "+b"] == list(runs.frame["label"])


def test_csv_round_trip(tmp_path):
    runs = Runs.from_frames(MIXTURES, OUTCOMES.fillna(1.3), minimize=True)
    again = Runs.from_csv(*runs.to_csv(tmp_path))
    pd.testing.assert_frame_equal(
        runs.frame.filter(regex="mixture|outcome"), again.frame.filter(regex="mixture|outcome")
    )
    assert again.minimize == {"loss": True}


def test_the_layouts_of_regmix_and_olmix_are_read(tmp_path):
    (tmp_path / "r.csv").write_text(
        "index,train_the_pile_arxiv,train_the_pile_github\n1,0.25,0.748\n2,0.5,0.5\n"
    )
    (tmp_path / "m.csv").write_text(
        "index,metric/the_pile_arxiv_val_loss,metric/the_pile_github_val_loss\n2,5,6\n1,3,4\n"
    )
    runs = Runs.from_csv(tmp_path / "r.csv", tmp_path / "m.csv")
    assert runs.domains == ("arxiv", "github") and runs.frame["outcome.arxiv_val_loss"].tolist() == [3, 5]
    (tmp_path / "r.csv").write_text("run,name,index,art,law\na,x,0,0.25,0.75\nb,y,1,0.5,0.5\n")
    (tmp_path / "m.csv").write_text("run,name,index,bpb,sparse\na,x,0,1.5,\nb,y,1,1.25,3\n")
    runs = Runs.from_csv(tmp_path / "r.csv", tmp_path / "m.csv", drop_incomplete=True)
    assert runs.domains == ("art", "law") and runs.outcome_names == ("bpb",)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b'"a\nb,c,d\n1'])
def test_a_file_that_is_no_csv_is_refused(tmp_path, content):
    (tmp_path / "r.csv").write_bytes(content)
    with pytest.raises(RunsError, match="not a CSV table"):
        Runs.from_csv(tmp_path / "r.csv", tmp_path / "r.csv")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunsError, match="no file"):
        Runs.from_csv(tmp_path / "r.csv", tmp_path / "m.csv")


def test_one_wide_table_tells_its_columns_apart_by_their_prefixes(tmp_path):
    """As tables of fine-tuning runs are published: ratio_*, metric_*; shares in per cent; the rest is left out."""
    table = pd.DataFrame(
        {
            "run": ["x", "y"],
            "ratio_math": [20, 80],
            "ratio.code": [80, 20],
            "metric_gsm8k": [0.1, 0.3],
            "metric_valid_loss": [2.0, 1.9],
            "metric_unmeasured": [np.nan, np.nan],
            "state_math.loss": [1.0, 1.1],
            "scale_parameters": [5e8, 7e9],
            "note": ["a", "b"],
        }
    )
    table.to_csv(tmp_path / "wide.csv", index=False)
    runs = Runs.from_wide(tmp_path / "wide.csv")
    assert runs.domains == ("math", "code")
    assert runs.minimize == {"gsm8k": False, "valid_loss": True}
    assert (runs.state_names, runs.scale_names) == (("math.loss",), ("parameters",))
    assert runs.frame["mixture.math"].tolist() == [0.2, 0.8]
    assert not Runs.from_wide(table, minimize=False).minimize["valid_loss"]


def test_a_table_without_the_prefixes_says_which_columns_it_has():
    with pytest.raises(RunsError, match="no column begins with 'ratio_'.*Columns are math, code"):
        Runs.from_wide(pd.DataFrame({"math": [0.5], "code": [0.5]}))


def test_a_finished_run_is_never_overwritten_and_a_failed_one_is(tmp_path):
    runs = Runs.open(tmp_path / "runs.sqlite", create=True)
    runs.declare_outcomes({"loss": True})
    runs.add([row("a"), row("b", status="failed", outcome={}, reason="diverged")])
    runs.add([row("a", outcome={"loss": 9.0}), row("b", outcome={"loss": 2.0})])
    assert runs.frame.set_index("key")["outcome.loss"].to_dict() == {"a": 1.0, "b": 2.0}


def test_a_failed_run_has_no_outcome(tmp_path):
    runs = Runs.open(tmp_path / "runs.sqlite", create=True)
    runs.declare_outcomes({"loss": True})
    runs.add([row("a", status="failed", outcome={"loss": 1.0}, reason="diverged")])
    assert runs.frame["outcome.loss"].isna().all() and runs.keys("failed") == {"a"}


def test_a_finished_run_survives_the_death_of_its_writer(tmp_path):
    code = (
        "import os, sys; from causalmix_nb.runs.store import Runs; r = Runs.open(sys.argv[1], create=True);"
        "r.add([{'key': 'a', 'mixture': {'math': 1.0}}]); os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "runs.sqlite"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert Runs.open(path).keys() == {"a"}


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "runs.sqlite"
    Runs.open(path, create=True).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(RunsError, match="newer version"):
        Runs.open(path)


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "x.sqlite").write_text("hello, this is not a database at all" * 10)
    with pytest.raises(RunsError, match="not a store of runs"):
        Runs.open(tmp_path / "x.sqlite")
    with pytest.raises(RunsError, match="no runs at"):
        Runs.open(tmp_path / "missing.sqlite")
    with pytest.raises(RunsError, match="cannot open"):
        Runs.open(tmp_path / "missing" / "runs.sqlite", create=True)


def test_a_read_only_folder_is_named(tmp_path):
    """As an ordinary user: the superuser may write anywhere, so root steps down for this test."""
    tmp_path.chmod(0o500)
    was = os.geteuid()
    try:
        if was == 0:
            os.seteuid(65534)
        with pytest.raises(RunsError, match="is its folder there and writable"):
            Runs.open(tmp_path / "runs.sqlite", create=True)
        if was == 0:  # a folder that only root may look into
            with pytest.raises(RunsError, match="is its folder there and writable"):
                Runs.open(tmp_path / "runs.sqlite")
    finally:
        os.seteuid(was)
        tmp_path.chmod(0o700)
