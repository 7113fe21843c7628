"""Tables as people, spreadsheets and trackers write them: every run keeps its own score, or one sentence says why not."""

import io
import warnings

import numpy as np
import pandas as pd
import pytest

from causalmix_nb.errors import CausalMixError, MixtureError, RunsError
from causalmix_nb.runs.store import Runs

RATIOS = "run,math,code\na,.2,.8\nb,.6,.4\n"
METRICS = "run,loss\na,1\nb,3\n"


@pytest.fixture
def read(tmp_path):
    """Runs of two texts, a warning of ours silenced: what it says stands in the report."""

    def read(ratios=RATIOS, metrics=METRICS, encoding="utf-8", **options):
        for name, text in (("ratios.csv", ratios), ("metrics.csv", metrics)):
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "assumed on import", UserWarning)
            return Runs.from_csv(tmp_path / "ratios.csv", tmp_path / "metrics.csv", **options)

    return read


def scores(runs, domain="math", outcome="loss"):
    """Share of a domain -> what the run scored."""
    frame = runs.frame
    return dict(zip(frame[f"mixture.{domain}"].round(6), frame[f"outcome.{outcome}"]))


# -- joining --------------------------------------------------------------------------------------------------

OWN = {0.2: 1.0, 0.6: 3.0}


@pytest.mark.parametrize(
    ("ratios", "metrics"),
    [
        ("Name,math,code\na,.2,.8\nb,.6,.4\n", "Name,loss\nb,3\na,1\n"),
        ("run_name,math,code\na,.2,.8\nb,.6,.4\n", "ID,loss\nb,3\na,1\n"),
        ("run id,math,code\na,.2,.8\nb,.6,.4\n", "Run,loss\nb,3\na,1\n"),
        ("recipe,math,code\na,.2,.8\nb,.6,.4\n", "what,loss\nb,3\na,1\n"),  # words that both have
        (
            ",Name,math,code\n0,a,.2,.8\n1,b,.6,.4\n",
            ",Name,loss\n0,b,3\n1,a,1\n",
        ),  # pandas' row number is no key
        ("Unnamed: 0,id,math,code\n0,7,.2,.8\n1,9,.6,.4\n", "Unnamed: 0,id,loss\n0,9,3\n1,7,1\n"),
        (",math,code\n0,.2,.8\n1,.6,.4\n", ",loss\n1,3\n0,1\n"),  # unless there is no better one
        (",math,code\n0,.2,.8\n1,.6,.4\n", "run,loss\n1,3\n0,1\n"),
        ("run,math,code\n1,.2,.8\n2,.6,.4\n", "run,loss\n2.0,3\n1.0,1\n"),
        ("run,math,code\n001,.2,.8\n002,.6,.4\n", "run,loss\n2,3\n1,1\n"),
        ("run,math,code\nMix-1,.2,.8\nMix-2,.6,.4\n", "run,loss\nmix-2 ,3\n mix-1,1\n"),
        ("index,math,code\n1,.2,.8\n2,.6,.4\n", "index,loss\n2,3\n1,1\n"),
        (",index,math,code\n0,1,.2,.8\n1,0,.6,.4\n", ",index,loss\n0,0,3\n1,1,1\n"),
        ("recipe,math,code\n12,.2,.8\n15,.6,.4\n", "recipe,loss\n15,3\n12,1\n"),
        ("run,index,math,code\nx,0,.2,.8\ny,1,.6,.4\n", "run,index,loss\ny,0,3\nx,1,1\n"),
    ],
)
def test_runs_are_joined_by_what_both_tables_call_them(read, ratios, metrics):
    assert scores(read(ratios, metrics)) == OWN


def test_runs_in_only_one_table_are_counted_and_named(read):
    runs = read("run,math,code\na,.2,.8\nb,.6,.4\nc,.5,.5\n", "run,loss\nb,3\na,1\nd,2\n")
    assert scores(runs) == OWN
    said = " ".join(runs.import_report.doubts)
    assert "1 run of ratios.csv is not in metrics.csv and was left out: c" in said
    assert "1 run of metrics.csv is not in ratios.csv and was left out: d" in said


def test_tables_without_a_key_are_joined_row_by_row_and_that_is_said(read):
    runs = read("math,code\n.2,.8\n.6,.4\n", "loss\n1\n3\n")
    assert scores(runs) == OWN
    assert "joined row by row" in runs.import_report.doubts[0]


def test_two_sweeps_joined_keep_each_run_its_own_score(read):
    ratios = ",math,code\n0,.1,.9\n1,.2,.8\n0,.3,.7\n1,.4,.6\n"
    runs = read(ratios, ",loss\n0,1\n1,2\n0,3\n1,4\n")
    assert scores(runs) == {0.1: 1, 0.2: 2, 0.3: 3, 0.4: 4}
    with pytest.raises(RunsError, match="number their rows differently"):
        read(ratios, ",loss\n0,1\n0,3\n1,2\n1,4\n")


@pytest.mark.parametrize(
    ("ratios", "metrics", "said"),
    [
        ("math,code\n.2,.8\n.6,.4\n", "loss\n1\n2\n3\n", "2 rows and metrics.csv 3, and no column names the run in both"),
        ("math,code\n.2,.8\n.6,.4\n", "run,loss\n1,3\n0,1\n", "rows of metrics.csv are out of order"),
        (",math,code\n0,.2,.8\n1,.6,.4\n", ",loss\n0,1\n", "nothing but numbers of rows"),
        (RATIOS, "run,loss\nx,1\ny,3\n", "no run in common .'run': a, b; 'run': x, y.; name the joining column with on="),
        (RATIOS, "run,loss\na,1\na,2\nb,3\n", "metrics.csv names run 'a' twice; keep one row per run"),
        ("run,trial,math,code\na,1,.2,.8\nb,2,.6,.4\n", "run,trial,loss\na,2,1\nb,1,3\n", "pair their rows differently"),
    ],
)  # fmt: skip
def test_rows_that_nothing_joins_are_refused(read, ratios, metrics, said):
    with pytest.raises(RunsError, match=said):
        read(ratios, metrics)


def test_a_history_counts_with_each_runs_last_values(read):
    runs = read(metrics="run,_step,loss,acc\na,0,5,.1\na,10,1,\nb,10,3,.4\nb,0,6,.2\n")
    assert scores(runs) == OWN and scores(runs, outcome="acc") == {0.2: 0.1, 0.6: 0.4}
    assert any("is a history" in text for text in runs.import_report.sentences)


def test_rows_that_come_twice_count_once(read):
    assert scores(read(metrics="run,loss\na,1\nb,3\na,1\n")) == OWN


def test_a_seed_of_a_mixture_is_a_run_of_its_own(read):
    runs = read("mix,math,code\na,.2,.8\nb,.6,.4\n", "mix,seed,loss\na,0,1\na,1,1.5\nb,0,3\nb,1,3.5\n")
    frame = runs.frame
    assert list(zip(frame["mixture.math"].round(6), frame["outcome.loss"])) == [(0.2, 1), (0.2, 1.5), (0.6, 3), (0.6, 3.5)]  # fmt: skip
    assert frame["label"].tolist() == ["a seed 0", "a seed 1", "b seed 0", "b seed 1"]


def test_an_imported_run_is_found_by_its_own_name(read):
    runs = read("Name,math,code\nmix-01,.2,.8\nmix-02,.6,.4\n", "Name,loss\nmix-02,3\nmix-01,1\n")
    assert runs.keys() == {"mix-01", "mix-02"}
    assert runs.frame["label"].tolist() == ["mix-01", "mix-02"]


def test_states_and_scales_come_as_tables_or_as_columns(read, tmp_path):
    (tmp_path / "state.csv").write_text("run,dirt\nb,.5\na,.1\n")
    (tmp_path / "scale.csv").write_text("Run,tokens\nb,2e6\na,1000000\n")
    runs = read(state=tmp_path / "state.csv", scale=tmp_path / "scale.csv")
    assert runs.frame["state.dirt"].tolist() == [0.1, 0.5] and runs.frame["scale.tokens"].tolist() == [
        1e6,
        2e6,
    ]
    runs = read(metrics="run,loss,tokens,dirt\nb,3,2e6,.5\na,1,1e6,.1\n", state=["dirt"], scale=["tokens"])
    assert runs.frame["state.dirt"].tolist() == [0.1, 0.5] and runs.frame["scale.tokens"].tolist() == [
        1e6,
        2e6,
    ]
    assert runs.outcome_names == ("loss",)
    with pytest.raises(RunsError, match="column of neither table. Did you mean 'dirt'"):
        read(metrics="run,loss,dirt\nb,3,.5\na,1,.1\n", state=["dirrt"])


def test_what_was_written_comes_back_with_its_names_states_and_scales(read, tmp_path):
    runs = read(metrics="run,loss,tokens,dirt\nb,3,2e6,.5\na,1,1e6,.1\n", state=["dirt"], scale=["tokens"])
    paths = runs.to_csv(tmp_path / "out")
    again = Runs.from_csv(*paths, tmp_path / "out" / "state.csv", tmp_path / "out" / "scale.csv")
    pd.testing.assert_frame_equal(again.frame, runs.frame, check_like=True)


# -- columns --------------------------------------------------------------------------------------------------


def test_columns_of_trackers_are_neither_domains_nor_outcomes(read):
    runs = read(
        "Name,State,Created,Runtime,Tags,Notes,math,code,lr,_step\na,finished,2024-01-01,12,t,,.2,.8,3e-4,100\nb,finished,2024-01-02,13,,7,.6,.4,3e-4,90\n",
        "Name,State,_runtime,_timestamp,seed,notes,epoch,loss\na,finished,1,2,3,1,1,1\nb,crashed,2,3,4,2,1,3\n",
    )
    assert runs.domains == ("math", "code") and runs.outcome_names == ("loss",)
    assert any("1 run (crashed) did not finish" in text for text in runs.import_report.doubts)


@pytest.mark.parametrize(
    "word", ["diverged", "crashed", "-", "", "NaN", "inf", "n/a", "see notes", "#DIV/0!"]
)
def test_one_word_in_a_column_of_numbers_is_one_missing_score(read, word):
    runs = read("run,math,code\na,.2,.8\nb,.6,.4\nc,.5,.5\n", f"run,loss,acc\na,1,.3\nb,3,.2\nc,{word},.4\n")
    assert runs.minimize == {"loss": True, "acc": False}
    assert runs.frame["outcome.loss"].isna().tolist() == [False, False, True]
    assert any("loss is missing in 1 of 3 runs" in text for text in runs.import_report.sentences)


@pytest.mark.parametrize(
    ("ratios", "out"),
    [
        ("run,math,code,temp\na,.2,.8,.7\nb,.6,.4,.9\n", "temp"),
        ("run,temp,math,code\na,.7,.2,.8\nb,.7,.6,.4\n", "temp"),
        ("run,math,code,quality\na,.2,.8,7\nb,.6,.4,9\n", "quality"),
        ("run,math,code,total\na,.2,.8,1\nb,.6,.4,1\n", "total"),
        ("run,all,math,code\na,10000,2000,8000\nb,10000,6000,4000\n", "all"),
        ("run,math,code,tiny\na,.2,.8,.0003\nb,.6,.4,.0003\n", "tiny"),
        ("run,math,code,n_params\na,20,80,30\nb,60,40,30\n", "n_params"),
    ],
)
def test_what_does_not_sum_with_the_others_is_no_domain(read, ratios, out):
    runs = read(ratios)
    assert runs.domains == ("math", "code") and scores(runs) == OWN
    assert (
        runs.import_report.table.loc[out].iloc[0 if runs.import_report.table.loc[out].ndim == 2 else 1]
        is not None
    )


def test_a_chart_of_weights_and_biases_gives_each_run_its_last_value(read):
    runs = read(
        metrics="Step,a - loss,a - loss__MIN,a - loss__MAX,b - loss,b - loss__MIN,b - loss__MAX\n0,5,5,5,6,6,6\n10,1,1,1,,,\n20,,,,3,3,3\n"
    )
    assert scores(runs) == OWN and runs.outcome_names == ("loss",)


def test_the_range_of_a_metric_is_no_metric(read):
    runs = read(metrics="Name,loss,loss__MIN,loss__MAX,acc,acc_stderr\na,1,0,2,.1,.01\nb,3,2,4,.2,.01\n")
    assert runs.outcome_names == ("loss", "acc")


def test_mlflow_says_what_is_a_metric_and_what_a_parameter(read, tmp_path):
    table = (
        "run_id,status,start_time,metrics.loss,metrics.acc,params.math,params.code,params.lr,tags.mlflow.user\n"
        "x,FINISHED,2024-01-01,1,.2,.2,.8,.1,me\ny,FINISHED,2024-01-01,3,.3,.6,.4,.1,me\n"
    )
    runs = read(table, table)
    assert runs.domains == ("math", "code") and runs.outcome_names == ("loss", "acc") and scores(runs) == OWN


def test_a_table_without_prefixes_is_told_apart_by_what_sums_to_1():
    table = pd.read_csv(io.StringIO("Name,State,mix.math,mix.code,lr,eval/loss,acc\na,finished,.2,.8,.01,1,.2\nb,finished,.6,.4,.01,3,.3\n"))  # fmt: skip
    runs = Runs.from_wide(table)
    assert runs.domains == ("math", "code") and runs.minimize == {"eval/loss": True, "acc": False}
    assert scores(runs, outcome="eval/loss") == OWN


def test_the_sum_under_a_table_is_no_run(read):
    runs = read("run,math,code\na,.2,.8\nb,.6,.4\ntotal,.8,1.2\n", "run,loss\na,1\nb,3\nmean,2\n")
    assert scores(runs) == OWN
    assert (
        len(read("run,math,code\na,.2,.8\nb,.6,.4\nmean,.1,.9\n", "run,loss\na,1\nb,3\nmean,9\n")) == 3
    )  # a run


# -- which way is better --------------------------------------------------------------------------------------


def test_which_way_is_better_is_read_from_names_and_shown(read):
    runs = read(metrics="run,val_loss,glossary_f1,wer\na,1,2,3\nb,3,4,5\n")
    assert runs.minimize == {"val_loss": True, "glossary_f1": False, "wer": True}
    assert "lower is better in val_loss, wer; minimize={…} says otherwise" in runs.import_report.sentences
    assert runs.import_report.doubts == ()


def test_a_name_that_says_nothing_is_asked_about(tmp_path):
    (tmp_path / "r.csv").write_text(RATIOS)
    (tmp_path / "m.csv").write_text("run,score7\na,1\nb,3\n")
    with pytest.warns(UserWarning, match="score7 does not say which way is better"):
        runs = Runs.from_csv(tmp_path / "r.csv", tmp_path / "m.csv")
    assert runs.minimize == {"score7": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Runs.from_csv(tmp_path / "r.csv", tmp_path / "m.csv", minimize=["score7"]).minimize["score7"]
        assert not Runs.from_csv(tmp_path / "r.csv", tmp_path / "m.csv", minimize={"score7": False}).minimize[
            "score7"
        ]


@pytest.mark.parametrize(
    "metrics",
    [
        "run,score7,loss\nhigher_is_better,False,True\na,1,2\nb,3,4\n",
        "run,score7,loss\ndirection,min,max\na,1,2\nb,3,4\n",
        "run,score7 ↓,loss ↑\na,1,2\nb,3,4\n",
    ],
)
def test_a_table_that_says_which_way_is_better_is_believed(read, metrics):
    assert read(metrics=metrics).minimize == {"score7": True, "loss": False}


def test_an_explicit_direction_wins(read):
    assert read(metrics="run,loss,acc\na,1,2\nb,3,4\n", minimize=True).minimize == {"loss": True, "acc": True}
    assert read(minimize=False).minimize == {"loss": False}


# -- numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratios", "encoding"),
    [
        ("run,math,code\na,20,80\nb,60,40\n", "utf-8"),
        ("run,math,code\na,20%,80 %\nb,60%,40%\n", "utf-8"),
        ("run,math,code\na,2e-1,8E-1\nb,.6,0.4\n", "utf-8"),
        ("run;math;code\na;0,2;0,8\nb;0,6;0,4\n", "utf-8-sig"),
        ("run;math;code\na;20,00 %;80,00 %\nb;60,00 %;40,00 %\n", "cp1252"),
        ('run,math,code\na,"0,2","0,8"\nb,"0,6","0,4"\n', "utf-8"),
        ("run\tmath\tcode\r\na\t0,200\t0,800\r\nb\t0,600\t0,400\r\n", "utf-16"),
        ("sep=;\nrun;math;code\na;.2;.8\nb;.6;.4\n", "utf-8"),
        ("run math code\na .2 .8\nb .6 .4\n", "utf-8"),
        ("| run | math | code |\n|---|---:|---:|\n| a | 0.2 | 0.8 |\n| b | 0.6 | 0.4 |\n", "utf-8"),
        ('run,math,code\na,"2,000,000","8,000,000"\nb,6000000,"4,000,000"\n', "utf-8"),
        ("run;math;code\na;2.000.000;8.000.000\nb;6.000.000;4.000.000\n", "utf-8"),
        ("run,math,code\na,2 000 000,8\u00a0000\u00a0000\nb,6M,4.0M\n", "utf-8"),
        ("run,math,code\na,０.２,０.８\nb,0.6,0.4\n", "utf-8"),
        ("My sweep,,\n\nrun,math,code\na,.2,.8\n\nrun,math,code\nb,.6,.4\n,,\n", "utf-8"),
        ("run,math,code,\na,.2,.8,\nb,.6,.4,\n", "utf-8"),
        ("math,code\na,.2,.8\nb,.6,.4\n", "utf-8"),  # R leaves the names of rows without a header
    ],
)
def test_shares_are_read_as_people_write_them(read, ratios, encoding):
    assert scores(read(ratios, encoding=encoding)) == OWN


def test_rounded_shares_are_rescaled_and_that_is_said(read):
    runs = read("run,x,y,z\na,.33,.33,.33\nb,.5,.25,.25\n")
    assert np.allclose(runs.frame.filter(like="mixture.").sum(axis=1), 1, atol=1e-12)
    assert any(
        "shares sum to 0.99 to 1, as rounded shares do" in text for text in runs.import_report.sentences
    )


def test_counts_of_tokens_stay_known(read):
    runs = read("run,math,code\na,2000000,8000000\nb,12000000,8000000\n")
    assert runs.frame["data.tokens"].tolist() == [1e7, 2e7]


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ("run,x,y\na,.2,.8\nb,,1\n", "share of 'x' in run 'b' is empty"),
        ("run,x,y\na,.2,.8\nb,lots,1\nc,.5,.5\n", "share of 'x' in run 'b' is 'lots', which is not a number"),
        ("run,x,y\na,-.2,1.2\nb,.5,.5\n", "share of 'x' in run 'a' is -0.2"),
        ("run,x,y\na,.2,.7\nb,.5,.5\n", "sums to 0.9 in run 'a'.*Pass normalise=True"),
        ("run,x,y\na,0,0\nb,.5,.5\n", "shares of run 'a' are all 0"),
    ],
)
def test_a_share_that_cannot_be_meant_is_refused_by_run_and_column(read, ratios, said):
    with pytest.raises(MixtureError, match=said):
        read(ratios)


def test_a_domain_that_is_missing_is_no_rounding(read):
    rows = "\n".join(f"r{i},.{30 + i},.{40 - i},.29" for i in range(10))
    metrics = "run,loss\n" + "".join(f"r{i},{i}\n" for i in range(10))
    with pytest.raises(MixtureError, match="is a domain missing"):
        read(f"run,x,y,z\n{rows}\n", metrics)


def test_two_stages_of_shares_are_not_mistaken_for_one_mixture(read):
    with pytest.raises(
        RunsError, match="two sets of columns of ratios.csv sum to 1, s1 math, s1 code and s2 math, s2 code"
    ):
        read("run,s1 math,s1 code,s2 math,s2 code\na,.2,.8,.3,.7\nb,.6,.4,.9,.1\n")


def test_a_domain_may_be_called_as_a_tracker_calls_its_columns(read):
    assert read("run,github,notes,time\na,.2,.5,.3\nb,.6,.3,.1\n").domains == ("github", "notes", "time")
    assert read("run,github,code\na,2000,8000\nb,6000,4000\n").domains == ("github", "code")


def test_a_row_without_a_name_is_left_out_and_counted(read):
    runs = read("run,math,code\na,.2,.8\n,.5,.5\nb,.6,.4\n")
    assert scores(runs) == OWN
    assert "1 row of ratios.csv without a name was left out" in runs.import_report.sentences


@pytest.mark.parametrize("names", ["Math,math", "math ,m ath", "MATH,ｍａｔｈ"])
def test_domains_that_differ_only_in_case_or_spaces_are_refused(read, names):
    with pytest.raises(RunsError, match="differ only in case or spaces"):
        read(f"run,{names}\na,.2,.8\nb,.6,.4\n")


def test_normalise_exists_where_a_message_names_it(read):
    ratios = "run,x,y\na,1,3\nb,2,2\n"
    assert scores(read(ratios, normalise=True), "x") == {0.25: 1, 0.5: 3}
    frames = pd.DataFrame({"x": [1, 2], "y": [3, 2]}), pd.DataFrame({"loss": [1.0, 3.0]})
    assert scores(Runs.from_frames(*frames, normalise=True), "x") == {0.25: 1, 0.5: 3}
    wide = pd.DataFrame({"ratio_x": [1, 2], "ratio_y": [3, 2], "metric_loss": [1.0, 3.0]})
    assert scores(Runs.from_wide(wide, normalise=True), "x") == {0.25: 1, 0.5: 3}


def test_a_number_that_may_be_two_is_not_guessed(read):
    runs = read("run\tmath\tcode\na\t20\t80\nb\t60\t40\n", "run\tloss\tacc\na\t1,234\t.5\nb\t2,345\t0,5\n")
    assert runs.outcome_names == ("acc",)
    assert any("'1,234' may be 1234 or 1.234" in text for text in runs.import_report.doubts)


@pytest.mark.parametrize(
    ("ratios", "metrics"),
    [
        ("run\tmath\tcode\na\t0,200\t0,800\nb\t0,600\t0,400\n", "run\tloss\na\t1,125\nb\t3,250\n"),
        ("run;math;code\na;0.2;0.8\nb;0.6;0.4\n", "run;loss\na;1.125\nb;3.250\n"),
    ],
)
def test_tables_that_came_together_tell_each_other_how_decimals_are_written(read, ratios, metrics):
    assert scores(read(ratios, metrics)) == {0.2: 1.125, 0.6: 3.25}


# -- frames ---------------------------------------------------------------------------------------------------


def sweeps(index=(0, 1, 0, 1)):
    mixtures = pd.DataFrame({"math": [0.1, 0.2, 0.3, 0.4], "code": [0.9, 0.8, 0.7, 0.6]}, index=list(index))
    return mixtures, pd.DataFrame({"loss": [1.0, 2.0, 3.0, 4.0]}, index=list(index))


def test_frames_with_repeated_labels_keep_each_run_its_own_score():
    assert scores(Runs.from_frames(*sweeps())) == {0.1: 1, 0.2: 2, 0.3: 3, 0.4: 4}


def test_repeated_labels_in_another_order_are_refused():
    mixtures, outcomes = sweeps()
    with pytest.raises(RunsError, match="labels come more than once"):
        Runs.from_frames(mixtures, outcomes.sort_index())


def test_labels_of_frames_are_the_names_of_runs():
    assert Runs.from_frames(*sweeps(["mix-01", "mix-02", "x", "y"])).keys() == {"mix-01", "mix-02", "x", "y"}


def test_columns_of_one_name_are_refused():
    mixtures, outcomes = sweeps()
    with pytest.raises(RunsError, match="come twice"):
        Runs.from_frames(mixtures.set_axis(["math", "math"], axis=1), outcomes)


def test_frames_may_hold_missing_numbers_of_any_kind():
    mixtures, outcomes = sweeps(range(4))
    outcomes["loss"] = pd.array([1, None, 3, 4], dtype="Int64")
    outcomes["acc"] = pd.Series([0.5, None, 1, 2], dtype=object)
    frame = Runs.from_frames(mixtures, outcomes).frame
    assert frame["outcome.loss"].isna().tolist() == frame["outcome.acc"].isna().tolist() == [False, True, False, False]  # fmt: skip


def test_frames_in_per_cent_are_rescaled_with_a_note():
    mixtures, outcomes = sweeps(range(4))
    runs = Runs.from_frames(100 * mixtures, outcomes)
    assert scores(runs) == {0.1: 1, 0.2: 2, 0.3: 3, 0.4: 4}
    assert runs.import_report.sentences == ("shares are in per cent",)
    assert Runs.from_frames(mixtures, outcomes).import_report is None


# -- files that are no tables, and the report ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a CSV table"),
        (b"\x00\x01\x02" * 50, "not a CSV table"),
        (b"run,math\n", "not a CSV table"),
        (b"\x1f\x8bnot gzip", "damaged gzip"),
        (b"PAR1 not parquet", "cannot be read as Parquet"),
        (b"0.2,0.8\n0.3,0.7\n", "has no header"),
        (b"run,a,b\nx,0,3,0,7\ny,.5,.5\n", "row 1 of ratios.csv has 5 cells and its header 3"),
        (b"run,a,a\nx,.3,.7\ny,.5,.5\n", "two columns 'a' that differ"),
        (b'run,a\n"x,.3\ny,.5\n', "not a CSV table"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(read, content, said):
    with pytest.raises(RunsError, match=said) as error:
        read(content)
    assert "\n" not in str(error.value)


def test_parquet_and_gzip_are_read(read, tmp_path):
    frame = pd.DataFrame({"run": ["a", "b"], "math": [0.2, 0.6], "code": [0.8, 0.4]})
    frame.to_parquet(tmp_path / "r.parquet")
    assert scores(read((tmp_path / "r.parquet").read_bytes())) == OWN
    frame.to_csv(tmp_path / "r.csv.gz", index=False)
    assert scores(read((tmp_path / "r.csv.gz").read_bytes())) == OWN


def test_names_that_are_no_utf8_are_read_with_a_note(read):
    runs = read("run;modèle;été\na;0,2;0,8\nb;0,6;0,4\n", encoding="cp1252")
    assert runs.domains == ("modèle", "été")
    assert any("read as Windows-1252" in text for text in runs.import_report.sentences)


def test_every_column_stands_in_the_report_with_what_it_was_read_as(read):
    table = read(metrics="run,loss,seed,remark\na,1,0,x\nb,3,1,x\n").import_report.table
    assert table.set_index("table", append=True)["read as"].to_dict() == {
        ("run", "ratios.csv"): "run", ("math", "ratios.csv"): "domain", ("code", "ratios.csv"): "domain",
        ("run", "metrics.csv"): "run", ("loss", "metrics.csv"): "outcome", ("seed", "metrics.csv"): "left out",
        ("remark", "metrics.csv"): "left out",
    }  # fmt: skip


def test_the_report_is_shown_and_hostile_names_are_not_obeyed(read):
    runs = read(metrics="run,loss,<img src=x onerror=alert(1)>\na,1,x\nb,3,y\n")
    assert "import_report" in repr(runs) and "2 runs over 2 domains" in str(runs.import_report)
    assert "<img" not in runs.import_report._repr_html_()


def test_every_refusal_is_one_sentence(read):
    for ratios in ("run\n1\n", "a,b\nx,y\nz,w\n", "run,x\na,1\na,.9\n", "x,y\n1,2\n3,4\n"):
        with pytest.raises(CausalMixError) as error:
            read(ratios)
        assert "\n" not in str(error.value) and str(error.value)[-1] == "."


# -- tables as they come from frames, trackers and other languages ----------------------------------------------


def quietly(*tables, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "assumed on import", UserWarning)
        return Runs.from_csv(*tables, **options)


SHARES = pd.DataFrame({"math": [0.2, 0.6, 0.4], "code": [0.8, 0.4, 0.6]})
LOSSES = pd.DataFrame({"loss": [1.0, 3.0, 2.0]})


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda frame: frame.sort_values("loss", ascending=False), id="sorted"),
        pytest.param(lambda frame: frame.iloc[::-1], id="reversed"),
        pytest.param(lambda frame: frame.iloc[[2, 0, 1]], id="shuffled"),
    ],
)
def test_a_frame_that_was_sorted_is_joined_by_its_labels(changed):
    assert scores(quietly(SHARES, changed(LOSSES))) == {0.2: 1.0, 0.6: 3.0, 0.4: 2.0}


def test_frames_that_were_cut_differently_are_not_joined_row_by_row():
    assert scores(quietly(SHARES.drop(index=1), LOSSES.drop(index=0))) == {0.4: 2.0}
    with pytest.raises(RunsError, match="one from 0 and one from 1"):
        quietly(SHARES[:2], LOSSES[1:])


def test_sentences_tell_two_frames_apart():
    said = quietly(SHARES.assign(run=list("abc")), LOSSES.assign(Name=list("cba"))).import_report.sentences
    assert said[0] == "rows of ratios and metrics are joined by 'run' and 'Name'"


def test_rows_that_one_table_counts_from_0_and_the_other_from_1_are_not_shifted(read):
    for name in ("", "index"):
        with pytest.raises(RunsError, match="one from 0 and one from 1"):
            read(f"{name},math,code\n0,.2,.8\n1,.6,.4\n", f"{name},loss\n1,1\n2,3\n")


def test_numbers_of_runs_under_other_names_forbid_a_join_row_by_row(read):
    with pytest.raises(RunsError, match="hold the same numbers in another order"):
        read("recipe,math,code\n10,.2,.8\n20,.6,.4\n", "Recipe nr.,loss\n20,3\n10,1\n")


def test_languages_that_are_called_as_a_key_is_are_domains_and_outcomes(read):
    runs = read("en,id,no\n.2,.3,.5\n.6,.1,.3\n", "en,id,no\n2.1,2.2,2.3\n1.1,1.2,1.3\n", minimize=True)
    assert runs.domains == runs.outcome_names == ("en", "id", "no")


def test_what_a_trainer_logs_beside_its_losses_is_no_outcome(read):
    logged = "eval_runtime,eval_samples_per_second,total_flos,train/learning_rate,train/grad_norm,train/global_step"
    runs = read(metrics=f"run,eval_loss,{logged}\na,1,9,5,1e15,1e-4,.3,100\nb,3,9,5,1e15,1e-4,.3,100\n")
    assert runs.outcome_names == ("eval_loss",)
    runs = read(metrics="run,metrics.eval_loss,metrics.epoch,metrics.learning_rate\na,1,1,1e-4\nb,3,1,1e-4\n")
    assert runs.outcome_names == ("eval_loss",)


def test_precision_is_a_score_unless_it_counts_bits(read):
    assert read(metrics="run,precision,loss\na,.5,1\nb,.4,3\n").outcome_names == ("precision", "loss")
    assert read(metrics="run,precision,loss\na,16,1\nb,32,3\n").outcome_names == ("loss",)


def test_a_metric_without_any_number_is_said_to_be_left_out(read):
    runs = read(metrics="run,loss,acc\na,diverged,.1\nb,diverged,.2\n")
    assert "left out: loss (is empty)" in runs.import_report.sentences


@pytest.mark.parametrize(
    "cells", [("**1**", "3"), ("1*", "3†"), ("1 ± 0.1", "3 ± .2"), ("1±0.1", "3 +/- 0.2"), ("`1`", "3")]
)
def test_marks_of_the_best_and_spreads_do_not_lose_a_score(read, cells):
    assert scores(read(metrics=f"run,loss\na,{cells[0]}\nb,{cells[1]}\n")) == OWN


def test_a_spread_that_is_cut_off_is_said(read):
    said = read(metrics="run,loss\na,1 ± 0.1\nb,3 ± 0.2\n").import_report.sentences
    assert "of outcome loss the numbers are taken without the spread after ±" in said


@pytest.mark.parametrize(
    "column, asked",
    [("metrics.score7", "metrics.score7"), ("score7↑", "score7↑"), ("score7 (↑)", "score7"), ("metrics.score7", "score7")],
)  # fmt: skip
def test_an_outcome_may_be_asked_for_by_what_stands_in_the_file(read, column, asked):
    assert read(metrics=f"run,{column}\na,1\nb,3\n", minimize=[asked]).minimize == {"score7": True}


def test_a_chart_may_say_what_its_lines_are(read):
    runs = read(metrics="Step,Name: a - loss,Name: b - loss\n1,9,8\n2,1,3\n")
    assert scores(runs) == OWN


def test_prefixes_of_a_wide_table_may_be_capital():
    runs = Runs.from_wide(
        pd.DataFrame({"Ratio_math": [0.2, 0.6], "Ratio_code": [0.8, 0.4], "Metric_loss": [1.0, 3.0]})
    )
    assert runs.domains == ("math", "code") and runs.minimize == {"loss": True}


def test_one_run_is_one_run(read):
    assert read("run,math,code\na,.2,.8\n", "run,loss\na,1\n").import_report.title.startswith(
        "1 run over 2 domains with 1 outcome,"
    )


def test_the_answer_that_a_note_suggests_leaves_other_outcomes_as_they_are(read):
    said = read(metrics="run,loss,score7\na,1,5\nb,3,4\n").import_report.doubts[0]
    assert "minimize={'score7': True} says otherwise" in said
    answered = read(metrics="run,loss,score7\na,1,5\nb,3,4\n", minimize={"score7": True})
    assert answered.minimize == {"loss": True, "score7": True}


def test_a_loss_that_a_list_leaves_out_is_named(read):
    runs = read(metrics="run,loss,score7\na,1,5\nb,3,4\n", minimize=["score7"])
    assert runs.minimize == {"loss": False, "score7": True}
    assert any("minimize leaves out loss" in text for text in runs.import_report.sentences)


@pytest.mark.parametrize("minimize", [True, np.True_, ["loss"], "loss", {"loss": True}, ("loss",), None])
def test_a_direction_may_be_given_in_any_plain_way(read, minimize):
    assert read(minimize=minimize).minimize == {"loss": True}


def test_a_direction_that_is_none_is_refused(read):
    with pytest.raises(RunsError, match="minimize is 7; give True, False, a list"):
        read(minimize=7)


def test_a_wide_table_of_shares_alone_is_asked_for_its_outcomes():
    with pytest.raises(RunsError, match="beside those that sum to 1 there is none for an outcome"):
        Runs.from_wide(SHARES.assign(run=list("abc")))


@pytest.mark.parametrize("names", [("run-2", "run-1"), ("fancy-dawn-12", "calm-lake-7")])
def test_names_that_are_numbered_in_another_order_forbid_a_join_row_by_row(read, names):
    with pytest.raises(RunsError, match="out of order"):
        read(",math,code\n0,.2,.8\n1,.6,.4\n", f"run,loss\n{names[0]},3\n{names[1]},1\n")


@pytest.mark.parametrize(
    "ratios, metrics", [("mix_01,mix_02", "mix-01,mix-02"), ("mix-01,mix-02", "mix-1,mix-2"), ("Mix 1,Mix 2", "mix_1,mix_2")]
)  # fmt: skip
def test_names_that_differ_in_signs_alone_are_the_same_runs(read, ratios, metrics):
    (a, b), (x, y) = ratios.split(","), metrics.split(",")
    runs = read(f"run,math,code\n{a},.2,.8\n{b},.6,.4\n", f"run,loss\n{y},3\n{x},1\n")
    assert scores(runs) == OWN and "do not count" in runs.import_report.sentences[0]


def test_names_that_differ_in_signs_are_not_guessed_where_a_run_is_left_over(read):
    with pytest.raises(RunsError, match="no run in common"):
        read("run,math,code\nw-0.05,.2,.8\nw-0.1,.6,.4\n", "run,loss\nw_0.5,3\nw_0.1,1\n")


def test_a_table_of_one_metric_with_names_of_rows_as_r_writes_it_has_a_header(read):
    assert scores(read('"math","code"\n"1",.2,.8\n"2",.6,.4\n', '"loss"\n"1",1\n"2",3\n')) == OWN


def test_a_domain_that_no_run_has_is_named(tmp_path):
    (tmp_path / "runs.csv").write_text(
        "run,web,code,law,loss\na,0.2,0.8,0,1.2\nb,0.7,0.3,0,1.1\nc,0.5,0.5,0,1.0\n"
    )
    with pytest.warns(UserWarning, match="the domains are those that sum to 1"):
        report = Runs.from_wide(tmp_path / "runs.csv").import_report
    assert "no run has any of law, so nothing can be learnt of it from these runs" in report.sentences
    assert report.table.loc["law", "why"] == "0 in every run" and report.table.loc["web", "why"] == ""
