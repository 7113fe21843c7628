"""What a column of a table of runs is, by its name and its cells: what names the run, what a tracker wrote for itself, settings, sizes, spreads.

Names are compared by whole words (:func:`causalmix_nb.runs.tables.tables.normal`). Weights & Biases writes a runs table (``Name``, ``State``, ``Created``, …,
settings and scores) and charts (``Step`` and one column ``run - metric`` a run, with ``__MIN`` and ``__MAX``); MLflow writes ``metrics.x``,
``params.y`` and ``tags.z``, or ``Run ID``, ``Name``, ``Source Type``, ….
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from causalmix_nb.errors import RunsError
from causalmix_nb.runs.tables.numerals import Numbers, decimal_sign, numbers_of
from causalmix_nb.runs.tables.tables import Sheet, normal

KEYS = """run runid runname runkey name id displayname runuuid uid uuid key mixid mixtureid mixname mixturename experiment experimentname exp
    expid expname trial trialid trialname trialnumber job jobid jobname model modelname modelid checkpoint config configname configid
    mix mixture row rowid number no nr runnumber runindex runno lauf versuch""".split()  # the better ones first
WEAK = frozenset(
    ["", "index", "unnamed0", "unnamed", "level0", "idx", "i"]
)  # numbers of rows, where there is nothing better
TRACKER = frozenset(
    """state status created createdat creationtime updated updatedat ended endtime finishedat starttime started startedat lastupdated heartbeat
    heartbeatat runtime duration walltime elapsed elapsedtime time timestamp date datetime relativetime relativetimeprocess relativetimewall
    tags notes group jobtype sweep sweepname sweepid step steps globalstep trainglobalstep trainerglobalstep iteration iterations iter epoch
    epochs trainepoch seed randomseed rngseed dataseed sourcetype sourcename sourceversion lifecyclestage artifacturi experimentid gpucount
    gputype cpucount exitcode storageid higherisbetter lowerisbetter cost tokenspersecond tokenspersec throughput samplespersecond""".split()
)
REMARKS = frozenset(
    """tag note comment comments description remark remarks user username author owner entity project grouping host hostname machine node commit
    gitcommit github githash branch url path link os python version program command readonly""".split()
)  # a tracker's where they hold words; numbers under them may be the shares of a domain
SETTINGS = frozenset(
    """lr learningrate peaklr maxlr minlr batchsize globalbatchsize microbatchsize bs weightdecay wd warmup warmupsteps warmupratio beta1 beta2
    eps epsilon momentum dropout gradnorm gradclip clip maxsteps totalsteps nsteps numsteps seqlen sequencelength contextlength ctxlen maxlength
    gradientaccumulation gradientaccumulationsteps gradaccum numlayers nlayers layers hiddensize dmodel nheads numheads heads vocabsize
    temperature alpha topp topk precision bf16 fp16 optimizer scheduler lrscheduler""".split()
)
SIZES = frozenset(
    """parameters params nparams numparams nparameters numparameters modelparameters modelparams nonembeddingparameters nonembeddingparams
    modelsize tokens ntokens numtokens traintokens trainingtokens totaltokens tokensseen tokenbudget flop flops computeflops trainflops
    compute""".split()
)
TOTALS = frozenset("total totals sum summe gesamt check checksum sumofshares totalshare rowsum".split())
SPREADS = (
    "stderr",
    "std",
    "stdev",
    "sd",
    "se",
    "sem",
    "ci",
    "ci95",
    "lower",
    "upper",
    "low",
    "high",
)  # at the end of a name
NOT_METRICS = (
    "params.",
    "tags.",
    "config.",
    "config/",
    "system.",
    "system/",
    "gpu.",
    "parameters.",
    "hparams.",
    "hparams/",
)
METRICS = (
    "metrics.",
    "metric.",
    "metric/",
    "metrics/",
    "summary.",
    "summary/",
    "metric_",
    "metrics_",
    "outcome.",
    "score_",
    "outcome_",
)
SETTING_HEADS = ("params.", "config.", "config/", "hparams.", "hparams/", "parameters.")
RATIOS = ("mixture.", "mixture/", "mixture_", "mix.", "mix/", "mix_", "ratio.", "ratio/", "ratio_", "ratios.", "ratios/", "share.", "share/", "share_",
          "shares.", "shares/", "weight.", "weight/", "weight_", "weights.", "weights/", "prop_", "proportion_", "proportions.", "domain.", "domain_",
          "domain_weights.", "domain_weights/", "data_mix.", "data_mix/", "data_mixture.", "data.mix.", "mixing_weights.", "train_the_pile_", "train_", "p_", "w_")  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The columns of one sheet, each read as numbers once. beside: what stands before decimals in the tables that came with it, "" if unknown."""

    sheet: Sheet
    beside: str = ""

    @cached_property
    def sign(self) -> str:
        """What stands before decimals in this table; a semicolon between cells says that commas do."""
        if self.sheet.sign != ";" and not any("," in cell for row in self.sheet.rows for cell in row):
            return "."
        return self.shown or self.beside or ("," if self.sheet.sign == ";" else "")

    @cached_property
    def shown(self) -> str:
        """What stands before decimals, as the cells of this table alone show it."""
        return decimal_sign(cell for row in self.sheet.rows for cell in row)

    @cached_property
    def numbers(self) -> list[Numbers]:
        return [numbers_of(self.sheet.column(k), self.sign) for k in range(len(self.sheet.header))]

    def kind(self, k: int) -> str:
        """What the name of a column says that it is: "key", "row" (a number of a row), "tracker", "setting", "size", "total" or ""."""
        name = self.sheet.header[k]
        bare = normal(name)
        if name.startswith(("_", "tags.", "system/", "system.")) or bare.startswith("wandb"):
            return "tracker"
        if bare in WEAK or re.fullmatch(r"unnamed\d+(level\d+)?", bare):
            return (
                "row" if self.numbers[k].numeric or not any(self.sheet.column(k)) else "key"
            )  # words are names
        for head in SETTING_HEADS:
            bare = normal(name.removeprefix(head)) if name.startswith(head) else bare
        if bare in REMARKS and not self.numbers[k].numeric:
            return "tracker"
        for kind, names in (("tracker", TRACKER), ("setting", SETTINGS), ("size", SIZES), ("total", TOTALS)):
            if bare in names:
                return kind
        return "key" if bare in KEYS else ""


def metric_name(name: str) -> str:
    """The name of an outcome without what a tracker or a layout puts before it.

    >>> metric_name("metrics.val_loss"), metric_name("eval/loss")
    ('val_loss', 'eval/loss')
    """
    for head in METRICS:
        if name.startswith(head) and len(name) > len(head):
            return name[len(head) :]
    return name


def spread_of(name: str, others: Iterable[str]) -> str | None:
    """The outcome whose spread, least or greatest value a column is, by its name; None where it is an outcome of its own.

    >>> spread_of("loss__MIN", ["loss"]), spread_of("acc_stderr", ["acc"]), spread_of("low", ["high"])
    ('loss', 'acc', None)
    """
    known = set(others)
    for tail in ("__MIN", "__MAX", " (min)", " (max)"):
        if name.upper().endswith(tail.upper()) and name[: -len(tail)] in known:
            return name[: -len(tail)]
    found = re.fullmatch(r"(.+)[_./\- ]([A-Za-z0-9]+)(,[\w-]+)?", name)
    if found and found[2].casefold() in SPREADS:
        for base in (found[1], found[1] + (found[3] or "")):
            if base in known:
                return base
    inside = re.sub(r"_stderr\b", "", name)
    return inside if inside != name and inside in known else None


def without_common_head(names: Sequence[str], heads: Sequence[str]) -> list[str]:
    """Names without a beginning that all of them have, of those that layouts are known to put there.

    >>> without_common_head(["train_the_pile_arxiv", "train_the_pile_github"], RATIOS)
    ['arxiv', 'github']
    """
    found = [str(name) for name in names]
    for head in (*heads, "the_pile_"):
        if len(found) > 1 and all(name.startswith(head) and len(name) > len(head) for name in found):
            found = [name.removeprefix(head) for name in found]
    return found


def of_charts(sheet: Sheet) -> Sheet:
    """A chart of Weights & Biases (``Step``, ``run - metric``, …) as one row per run with its last values; other sheets as they are."""
    parts: dict[int, tuple[str, str]] = {}
    for k, name in enumerate(sheet.header):
        run, dash, metric = name.rpartition(" - ")
        if dash and run and metric:
            parts[k] = (run, metric)
    others = [k for k in range(len(sheet.header)) if k not in parts]
    columns = Columns(sheet)
    if not parts or any(columns.kind(k) not in ("tracker", "row") for k in others):
        return sheet
    runs = list(dict.fromkeys(run for run, _ in parts.values()))
    metrics = list(dict.fromkeys(metric for _, metric in parts.values()))
    cells = {
        part: next((cell for cell in reversed(sheet.column(k)) if cell), "") for k, part in parts.items()
    }
    rows = [[run, *(cells.get((run, metric), "") for metric in metrics)] for run in runs]
    note = f"the table {sheet.name} is a chart with a column a run: of each the last value is taken, over {len(sheet.rows)} steps"
    return replace(sheet, header=["Name", *metrics], rows=rows, notes=(*sheet.notes, note))


def unambiguous(sheet: Sheet) -> tuple[Sheet, tuple[str, ...]]:
    """A sheet without columns that come twice with the same cells.

    Raises
    ------
    RunsError: two columns of one name that differ in their cells.
    """
    seen: dict[str, int] = {}
    twice = []
    for k, name in enumerate(sheet.header):
        if not name:
            continue
        if name in seen and sheet.column(k) != sheet.column(seen[name]):
            raise RunsError(
                f"{sheet.name} has two columns {name!r} that differ; give each a name of its own."
            )
        if name in seen:
            twice.append(k)
        seen.setdefault(name, k)
    notes = tuple(f"column {sheet.header[k]!r} of {sheet.name} comes twice and counts once" for k in twice)
    return (sheet.without(twice) if twice else sheet), notes


def read_alike(tables: Mapping[str, Columns]) -> dict[str, Columns]:
    """Tables that came together: where one does not show what stands before its decimals, the others may."""
    shown = {columns.shown for columns in tables.values()} - {""}
    if len(shown) != 1 or all(columns.shown for columns in tables.values()):
        return dict(tables)
    (sign,) = shown
    return {part: Columns(columns.sheet, "" if columns.shown else sign) for part, columns in tables.items()}
