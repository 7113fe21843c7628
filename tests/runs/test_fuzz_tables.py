"""Tables drawn at random in the ways that people write them: each run keeps its own numbers, or one sentence says why not."""

import io
import random
import string
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from causalmix_nb.errors import CausalMixError
from causalmix_nb.runs.store import Runs
from fuzzing import tries

LONGEST = 500  # characters of a sentence


DOMAINS = ["math", "code", "web text", "Bücher", "law-2", "mix.wiki", "stack/exchange", "x1"]
KEYS = ["run", "Name", "run_id", "ID", "Run ID", "recipe", "experiment name", "index"]
JUNK = {"State": "finished", "_step": "100", "Created": "2024-05-01T10:00:00Z", "Tags": "a;b", "seed": "7", "lr": "0.0003", "notes": "ok, fine",
        "_runtime": "12.5", "Batch Size": "64", "git commit": "ab12f"}  # fmt: skip
FAILED = ["diverged", "crashed", "-", "", "NaN", "inf", "OOM"]


def number(value, comma, grouped=False):
    text = f"{value:,}" if grouped else f"{value:.6f}" if isinstance(value, float) else str(value)
    return text.translate({ord(","): ".", ord("."): ","}) if comma else text


def written(header, rows, sign, quote_all=False):
    """A table as text; cells with the sign or a quote are put into quotes."""
    out = io.StringIO()
    for row in [header, *rows]:
        cells = []
        for cell in row:
            ugly = quote_all or sign in cell or '"' in cell or "\n" in cell
            cells.append('"' + cell.replace('"', '""') + '"' if ugly else cell)
        out.write(sign.join(cells) + "\n")
    return out.getvalue()


def files(seed):
    """Two tables of one truth, and the truth: name -> (shares, loss)."""
    rng = random.Random(seed)
    n, k = rng.randint(3, 12), rng.randint(2, 6)
    domains = rng.sample(DOMAINS, k)
    parts = [[rng.randint(1, 400) for _ in range(k)] for _ in range(n)]
    shares = [[p / sum(row) for p in row] for row in parts]
    losses = [round(rng.uniform(1, 9), 4) for _ in range(n)]
    sign, comma = rng.choice(
        [(",", False), (";", True), ("\t", False), ("\t", True), (";", False), (",", True)]
    )
    form = rng.choice(["share", "share", "per cent", "%", "tokens"])
    words = rng.random() < 0.7
    names = [
        f"mix-{rng.choice(string.ascii_lowercase)}{i:02d}" if words else str(i + rng.choice([0]))
        for i in range(n)
    ]
    header, rows = [rng.choice(KEYS), *domains], []
    for name, row, counts in zip(names, shares, parts):
        if form == "tokens":
            cells = [number(1000 * p, comma, rng.random() < 0.5 and p >= 1000) for p in counts]
        else:
            times = 1.0 if form == "share" else 100.0
            cells = [number(times * v, comma) + ("%" if form == "%" else "") for v in row]
        rows.append([name, *cells])
    junk = rng.sample(sorted(JUNK), rng.randint(0, 3))
    where = rng.choice(["end", "front"])

    def with_junk(header, rows):
        extra = [JUNK[name] for name in junk]
        if where == "end":
            return [*header, *junk], [[*row, *extra] for row in rows]
        return [header[0], *junk, *header[1:]], [[row[0], *extra, *row[1:]] for row in rows]

    left = with_junk(header, rows)
    order = rng.sample(range(n), n)
    failed = {names[i]: rng.choice(FAILED) for i in rng.sample(range(n), rng.choice([0, 0, 1]))}
    key = header[0] if rng.random() < 0.5 or header[0] in ("recipe", "index") else rng.choice(KEYS[:5])
    right = (
        [key, "val_loss", "glossary_f1"],
        [[names[i], failed.get(names[i], number(losses[i], comma)), number(0.25, comma)] for i in order],
    )
    numbered = rng.random() < 0.3
    if numbered:  # as pandas writes its index
        left = ["", *left[0]], [[str(i), *row] for i, row in enumerate(left[1])]
        right = ["", *right[0]], [[str(i), *row] for i, row in enumerate(right[1])]
    encoding = rng.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    texts = [written(*table, sign, rng.random() < 0.2) for table in (left, right)]
    if rng.random() < 0.2:
        texts = [text.replace("\n", "\r\n") for text in texts]
    if rng.random() < 0.2:
        texts[0] += sign * (len(left[0]) - 1) + "\n\n"
    truth = {
        name: (dict(zip(domains, row)), None if name in failed else loss)
        for name, row, loss in zip(names, shares, losses)
    }
    return [text.encode(encoding) for text in texts], truth


def imported(tmp, contents, **options):
    paths = [tmp / "ratios.csv", tmp / "metrics.csv"]
    for path, content in zip(paths, contents):
        path.write_bytes(content)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "assumed on import", UserWarning)
        try:
            return Runs.from_csv(*paths, **options)
        finally:
            assert time.perf_counter() - started < 5


def a_sentence(error):
    said = str(error)
    return "\n" not in said and 15 < len(said) <= LONGEST and said[-1] in ".!?"


@tries(700)
@given(st.integers(0, 10**9))
@example(465)  # names under "index" beside pandas' row numbers
@example(214899)  # numbers under "index" beside pandas' row numbers
@example(1044312)  # numbers of recipes that only their common header makes a key
def test_each_run_keeps_its_own_shares_and_score(tmp_path_factory, seed):
    contents, truth = files(seed)
    runs = imported(tmp_path_factory.getbasetemp(), contents)
    frame = runs.frame.set_index("label")
    assert set(frame.index) == set(truth)
    assert runs.minimize == {"val_loss": True, "glossary_f1": False}
    for name, (shares, loss) in truth.items():
        for domain, share in shares.items():
            assert frame.at[name, f"mixture.{domain}"] == pytest.approx(share, abs=2e-5)
        found = frame.at[name, "outcome.val_loss"]
        assert np.isnan(found) if loss is None else found == pytest.approx(loss, abs=1e-9)


cells = st.one_of(
    st.sampled_from(["", "0.5", "1", "0,5", "1,234", "50%", "a", "b", "run", "nan", "-", "1e400", "-1", "0.25", "0.75", "total", "=1+1", '"', "'", "²", "٣"]),
    st.text(max_size=6),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)  # fmt: skip
headers = st.one_of(
    st.sampled_from(["run", "Name", "", "math", "code", "loss", "acc", "Step", "a - loss", "a - loss__MIN", "_step", "index", "higher_is_better", "metrics.loss", "params.x", "total", "ratio_a", "ratio_b", "metric_loss", "state_x"]),
    st.text(max_size=6),
)  # fmt: skip


@st.composite
def tables(draw):
    width = draw(st.integers(1, 5))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=0, max_size=5))
    header = draw(st.lists(headers, min_size=width, max_size=width))
    sign = draw(st.sampled_from([",", ";", "\t", "|"]))
    return written(header, rows, sign).encode(
        draw(st.sampled_from(["utf-8", "utf-16", "utf-8-sig"])), "replace"
    )


def checked(runs):
    """What was read is a mixture in every run."""
    shares = runs.frame.filter(like="mixture.").to_numpy(dtype=float)
    assert (shares >= 0).all() and np.allclose(shares.sum(axis=1), 1)
    assert np.isfinite(shares).all() and len(runs) and runs.outcome_names


@tries(500)
@given(tables(), tables())
@example(b"run,math,code\na,.5,.5\n", b"run,loss\na,1\n")
def test_nonsense_is_read_as_runs_or_refused_in_one_sentence(tmp_path_factory, left, right):
    for contents in ((left, right), (left, left)):
        try:
            checked(imported(tmp_path_factory.getbasetemp(), contents))
        except CausalMixError as error:
            assert a_sentence(error), str(error)


@tries(300)
@given(tables())
@example(b"run|run\n")
def test_one_table_of_nonsense_is_read_or_refused_in_one_sentence(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "wide.csv"
    path.write_bytes(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "assumed on import", UserWarning)
        try:
            checked(Runs.from_wide(path))
        except CausalMixError as error:
            assert a_sentence(error), str(error)


@tries(200)
@given(st.binary(max_size=200))
def test_bytes_are_no_reason_for_another_exception(tmp_path_factory, content):
    try:
        imported(tmp_path_factory.getbasetemp(), (content, b"run,loss\na,1\nb,2\n"))
    except CausalMixError as error:
        assert a_sentence(error), str(error)


@tries(200)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=6),
    st.randoms(use_true_random=False),
)
def test_frames_with_labels_in_any_order_pair_as_pandas_would_or_are_refused(labels, rng):
    x = np.linspace(0.1, 0.9, len(labels))
    mixtures = pd.DataFrame({"a": x, "b": 1 - x}, index=labels)
    order = list(range(len(labels)))
    if rng.random() < 0.7:
        rng.shuffle(order)
    outcomes = pd.DataFrame({"loss": 10 * x}, index=labels).iloc[order]
    try:
        frame = Runs.from_frames(mixtures, outcomes).frame
    except CausalMixError as error:
        assert a_sentence(error) and len(set(labels)) < len(labels)
        return
    unique = len(set(labels)) == len(labels)
    wanted = 10 * x if unique else outcomes["loss"].to_numpy()
    assert unique or outcomes.index.tolist() == labels
    assert np.allclose(frame["outcome.loss"], wanted)
