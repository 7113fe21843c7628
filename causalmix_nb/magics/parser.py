"""The subcommands of ``%causalmix``: every one has a parser of its own, with an example that its help shows.

>>> args = parse("optimize --cap code=50% web=0.2 --max-epochs 4   # a comment")
>>> args.command, args.cap, args.max_epochs
('optimize', {'code': 0.5, 'web': 0.2}, 4.0)
>>> parse("run --rums 8")
Traceback (most recent call last):
...
causalmix_nb.magics.language.MagicError: %causalmix run has no option '--rums'. Did you mean '--runs'? See %causalmix help run.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from functools import partial

from causalmix_nb.errors import did_you_mean
from causalmix_nb.magics.language import (
    PLACEHOLDER,
    HelpAsked,
    MagicError,
    Merge,
    Parser,
    count,
    keep,
    pairs,
    put_in,
    real,
    seed,
    split_words,
    variable,
)
from causalmix_nb.magics.options import (
    constraint_options,
    executor_options,
    outcome_option,
    study_option,
    tilt_options,
)
from causalmix_nb.magics.topics import TOPICS, topic

# -- subcommands ----------------------------------------------------------------------------------------------


def _pool(p: Parser) -> None:
    p.add(
        "spec",
        nargs="?",
        completes="pool",
        help="demo, hf:<name>, files:<glob>[,<glob>], or a variable; nothing shows the pool",
    )
    p.add("--domain", metavar="COLUMN", help="column that tells domains apart")
    for what in ("text", "prompt", "response"):
        p.add(
            f"--{what}", metavar="COLUMN", help=f"column with the {what}, where its name is not the usual one"
        )
    p.add(
        "--encoding",
        metavar="NAME",
        help="how text files are written, where it is not UTF-8 (cp1252, gbk, …)",
    )
    p.add("--split", metavar="NAME", help="split of a hub dataset (train)")
    p.add("--streaming", action="store_true", help="read a hub dataset without downloading all of it")
    p.add("--documents", type=count, metavar="N", help="take at most N documents of each hub dataset")
    p.add("--target", type=pairs, action=Merge, nargs="+", metavar="DOMAIN=WEIGHT", completes="pair",
          help="what the model is for: weights of the domains in the mean outcome (equal)")  # fmt: skip
    p.add("--model", metavar="NAME", completes="path",
          help="proxies are this Hugging Face model: a name on the hub, a folder, or a GGUF file (our own small one)")  # fmt: skip
    p.add("--lora", type=count, metavar="RANK", help="of that model, train adapters instead of the weights")
    p.add("--context", type=count, metavar="TOKENS", help="of that model, tokens per training window (512)")
    p.add("--precision", metavar="NAME", help="of that model: no, bf16 or fp16 (no)")
    p.add("--seed", type=seed, default=0, help="seed of everything random in the study (0)")
    study_option(p)


def _state(p: Parser) -> None:
    tilt_options(p)


def _dag(p: Parser) -> None:
    p.add(
        "source",
        nargs="?",
        completes="variable",
        help="a variable with a graph or its text, the text in quotes, or a file (graph.dot)",
    )
    p.add(
        "--show",
        action="store_true",
        help="draw the graph, with what to adjust for (also without this option)",
    )
    p.add(
        "--edit",
        action="store_true",
        help="edit the graph by mouse or keyboard (in a terminal: as text in the next cell)",
    )
    p.add("--to-cell", action="store_true", help="put the graph as text into the next cell")
    p.add("--test", action="store_true", help="hold the independences that the graph claims against the runs")
    p.add(
        "--method",
        choices=("linear", "distance"),
        default="linear",
        help="of the test: distance sees dependence of any shape and asks for more runs (linear)",
    )


def _run(p: Parser) -> None:
    p.add("--runs", type=count, metavar="N", help="runs in all; those that are there are not repeated (128)")
    p.add(
        "--budget", type=count, metavar="TOKENS", help="training tokens of each run, for example 100k (100k)"
    )
    executor_options(p)
    p.add(
        "--fixed-state",
        action="store_true",
        help="train on the pool as it is, instead of varying its state between runs",
    )
    p.add(
        "--wait",
        action="store_true",
        help="keep the cell until all have trained (a notebook trains in the background)",
    )
    p.add("--halving", type=count, metavar="N",
          help="all runs at a small budget, one in N of them again at N times as many tokens, up to --budget (4 is usual)")  # fmt: skip
    p.add("--target-tokens", type=count, metavar="N",
          help="tokens of the training that the mixture is for, counted as the proxies do (in bytes): runs repeat each domain as it would")  # fmt: skip
    p.add(
        "--score",
        metavar="MODULE:FUNCTION",
        help="a function of your own that scores every trained proxy; its results become outcomes",
    )
    p.add(
        "--cost", action="store_true", help="only say what it would take: time, memory, disk; train nothing"
    )
    study_option(p)


def _attach(p: Parser) -> None:
    study_option(p)


def _runs(p: Parser) -> None:
    p.add(
        "action",
        nargs="?",
        metavar="import|use|attach",
        completes="action",
        help="import two CSV tables, or one with ratio_* and metric_* columns; use a variable; attach results of lm_eval or OLMES; nothing shows the runs",
    )
    p.add(
        "names",
        nargs="*",
        metavar="RATIOS METRICS | TABLE | VARIABLE | FOLDER",
        completes="path",
        help="the files, the variable, or the folder with the result files of lm_eval or OLMES",
    )
    p.add(
        "--run",
        metavar="KEY",
        help="attach: the run that one result file belongs to (the one whose key or name is in its name)",
    )
    p.add("--csv", metavar="FOLDER", completes="path", help="write ratios.csv and metrics.csv into a folder")
    p.add("--on", metavar="COLUMN", help="column that names a run in both files (looked for)")
    p.add(
        "--maximize",
        action="store_true",
        help="higher is better in all of the imported metrics (by their names)",
    )
    p.add(
        "--minimize",
        nargs="*",
        metavar="METRIC",
        help="lower is better in these of the imported metrics, in all without a name",
    )
    for part in ("state", "scale"):
        p.add(
            f"--{part}", metavar="FILE", completes="path", help=f"a third table, with the {part} of each run"
        )
    p.add(
        "--normalise",
        action="store_true",
        help="rescale shares that do not sum to 1 instead of refusing them",
    )


def _fit(p: Parser) -> None:
    outcome_option(p)
    p.add(
        "--method",
        default="auto",
        completes="method",
        metavar="NAME",
        help="linear, forest, gp, lightgbm, law, regmix or auto (auto)",
    )
    p.add("--no-state", action="store_true", help="ignore the state of the pool")
    p.add(
        "--no-orthogonalisation",
        action="store_true",
        help="linear and forest: regress on the mixture as it is, as in the paper's ablation",
    )
    p.add("--seed", type=seed, default=0, help="seed of everything random (0)")


def _do(p: Parser) -> None:
    p.add(
        "shares",
        nargs="*",
        type=pairs,
        action=Merge,
        metavar="DOMAIN=SHARE",
        completes="pair",
        help="shares to set",
    )
    p.add("--keep", type=keep, default="proportional", metavar="HOW", completes="keep",
          help="where the difference comes from: proportional, or from=<domain> (proportional)")  # fmt: skip
    tilt_options(p, nargs=None)


def _optimize(p: Parser) -> None:
    p.add(
        "--policy",
        default="auto",
        completes="policy",
        metavar="NAME",
        help="analytic, search, surface or auto (auto)",
    )
    constraint_options(p)
    p.add("--caution", type=real, metavar="N",
          help="standard errors of its gain that a mixture is marked down by; 1.96 maximises the lower end (0.5)")  # fmt: skip
    p.add("--worst", action="store_true", help="the worst mixture instead, to learn what to avoid")
    p.add("--scale", type=pairs, action=Merge, nargs="+", metavar="NAME=VALUE",
          help="model size or tokens to answer for, where the runs differ in them")  # fmt: skip
    tilt_options(p)
    p.add(
        "--candidates",
        type=count,
        default=100_000,
        metavar="N",
        help="random mixtures that are scored (100k)",
    )
    p.add("--seed", type=seed, default=0, help="the same seed gives the same mixture (0)")


def _check(p: Parser) -> None:
    outcome_option(p)
    p.add("--seed", type=seed, default=0, help="seed of everything random (0)")


def _overlap(p: Parser) -> None:
    tilt_options(p)


def _select(p: Parser) -> None:
    outcome_option(p)
    p.add(
        "--method",
        default="gp",
        completes="method",
        metavar="NAME",
        help="what is fitted on each subset (gp)",
    )
    p.add("--seed", type=seed, default=0, help="seed of everything random (0)")


def _interpret(p: Parser) -> None:
    p.add(
        "--depth",
        type=count,
        default=2,
        metavar="N",
        help="questions that the tree asks in a row, 1 to 3 (2)",
    )


def _paths(p: Parser) -> None:
    p.add(
        "through",
        nargs="*",
        metavar="NODE",
        help="only paths through one of these nodes of the graph (all paths)",
    )
    outcome_option(p)
    p.add("--seed", type=seed, default=0, help="seed of everything random (0)")


def _price(p: Parser) -> None:
    p.add("features", nargs="*", type=pairs, action=Merge, metavar="FEATURE=VALUE",
          help="what describes the domain, as %%causalmix state shows it for the others")  # fmt: skip
    outcome_option(p)
    tilt_options(p, nargs=None)
    p.add("--seed", type=seed, default=0, help="seed of everything random (0)")


def _explore(p: Parser) -> None:
    tilt_options(p, nargs=None)


def _refute(p: Parser) -> None:
    outcome_option(p)
    p.add("--repeats", type=count, default=20, metavar="N", help="placebo mixtures and subsets to try (20)")
    p.add("--seed", type=seed, default=0, help="seed of everything random (0)")


def _leaderboard(p: Parser) -> None:
    p.add("methods", nargs="*", completes="method", metavar="METHOD", help="what to compare (all of them)")
    outcome_option(p)
    p.add(
        "--runs", type=count, nargs="+", metavar="N", help="how many runs to learn from (64 128 256 and all)"
    )
    p.add("--splits", type=count, default=3, metavar="N", help="how often runs are left out (3)")
    p.add("--seed", type=seed, default=0, help="seed of everything random (0)")


def _effect(p: Parser) -> None:
    p.add("--pairs", action="store_true", help="one domain against another, for every pair")
    p.add("--together", action="store_true", help="widen the intervals so that all of them hold together")
    tilt_options(p)


def _counterfactual(p: Parser) -> None:
    p.add(
        "run",
        metavar="RUN",
        help="key of a recorded run, its first letters, or the number of its row, counted from 0",
    )
    p.add("shares", nargs="*", type=pairs, action=Merge, metavar="DOMAIN=SHARE", completes="pair", help="its shares, had they been")  # fmt: skip
    p.add("--keep", type=keep, default="proportional", metavar="HOW", completes="keep",
          help="where the difference comes from: proportional, or from=<domain> (proportional)")  # fmt: skip


def _pareto(p: Parser) -> None:
    p.add(
        "outcomes",
        nargs="*",
        metavar="OUTCOME",
        completes="outcome",
        help="two to five outcomes (the first three domains')",
    )
    p.add(
        "--method", default="gp", completes="method", metavar="NAME", help="how each outcome is fitted (gp)"
    )
    constraint_options(p)
    tilt_options(p)
    p.add("--seed", type=seed, default=0, help="seed of everything random (0)")


def _transfer(p: Parser) -> None:
    p.add(
        "--mixtures",
        type=count,
        default=16,
        metavar="N",
        help="mixtures to train under both settings, at least 16 (16)",
    )
    p.add(
        "--parameters",
        type=count,
        metavar="N",
        help="size of the other proxy, for example 500k (four times the study's)",
    )
    p.add(
        "--learning-rate",
        type=real,
        metavar="RATE",
        help="peak learning rate of the other proxy, for example 1e-4 (the study's)",
    )
    p.add(
        "--budget",
        type=count,
        metavar="TOKENS",
        help="training tokens of each run (those of the study's runs)",
    )
    outcome_option(p)
    executor_options(p)


def _compare(p: Parser) -> None:
    p.add("baselines", nargs="*", completes="baseline",
          help="equal, natural, regmix, best_run, law, dmo; grid, bayes, doremi, odm (these train); or variables that hold a mixture (equal natural regmix)")  # fmt: skip
    p.add("--seeds", type=count, metavar="N", help="paired seeds of each (5)")
    executor_options(p)
    tilt_options(p)


def _benchmark(p: Parser) -> None:
    p.add(
        "--shifts",
        nargs="+",
        metavar="NAME",
        help="what happens to the pool, for example noisier scarce mild (all of them)",
    )
    p.add(
        "--methods",
        nargs="+",
        metavar="NAME",
        help="whom to compare with, for example regmix lightgbm (all of them)",
    )
    p.add(
        "--runs",
        type=count,
        metavar="N",
        help="runs to learn from; those that are there are not repeated (256)",
    )
    p.add(
        "--no-history",
        action="store_true",
        help="leave out learning from runs whose mixture somebody chose because of the pool",
    )
    p.add("--seeds", type=count, metavar="N", help="paired seeds of every method at every shift (8)")
    p.add("--quick", action="store_true", help="everything tiny: to see that it works, not who wins")
    p.add(
        "--report",
        metavar="FOLDER",
        completes="path",
        help="write a page and the tables as CSV into a folder",
    )
    executor_options(p)


def _export(p: Parser) -> None:
    p.add("path", nargs="?", completes="path", help="file to write; without one the text is shown")
    p.add(
        "--format",
        completes="format",
        metavar="NAME",
        help="llamafactory, trl, datasets, olmocore, json or yaml (by suffix)",
    )
    p.add("--tokens", type=count, metavar="N", help="tokens to train on (those of optimize)")
    p.add("--max-epochs", type=real, metavar="N", help="how often a token may be read (as in optimize)")
    p.add(
        "--tokenizer",
        metavar="NAME",
        help="of the model to be trained, by name or folder (what the proxies read)",
    )
    p.add("--max-length", type=count, metavar="N", help="tokens after which the trainer cuts an example")
    p.add("--overwrite", action="store_true", help="replace a file that is there")


def _report(p: Parser) -> None:
    p.add(
        "path",
        nargs="?",
        default="causalmix_report.html",
        completes="path",
        metavar="FILE",
        help="page to write (causalmix_report.html)",
    )
    p.add("--overwrite", action="store_true", help="replace a file that is there")
    study_option(p)


def _study(p: Parser) -> None:
    p.add(
        "action",
        nargs="?",
        metavar="open",
        completes="action",
        help="open a study; nothing gives the Study object itself",
    )
    p.add("folder", nargs="?", metavar="FOLDER", completes="path", help="where it is")


def _status(p: Parser) -> None:
    pass


def _help(p: Parser) -> None:
    p.add(
        "about",
        nargs="?",
        metavar="SUBCOMMAND|TOPIC",
        completes="command",
        help="what to explain; nothing lists all",
    )


def _doctor(p: Parser) -> None:
    study_option(p)


def _tutorial(p: Parser) -> None:
    p.add(
        "folder",
        nargs="?",
        default="causalmix_tutorial",
        metavar="FOLDER",
        completes="path",
        help="where to put them, made if it is not there (causalmix_tutorial)",
    )
    p.add("--overwrite", action="store_true", help="replace notebooks of the same name")


_COMMANDS: dict[str, tuple[Callable[[Parser], None], str, str]] = {
    "pool": (_pool, "Choose the data: a pool of named domains, and the folder of the study.", "%causalmix pool files:data/*.jsonl --study my_study"),
    "dag": (_dag, "Show, edit or test the causal graph; write it in a %%causalmix dag cell.", "%causalmix dag --show"),
    "run": (_run, "Train proxies over mixtures and states of the pool; an interrupt stops them, again resumes.", "%causalmix run --runs 128 --budget 100k"),
    "attach": (_attach, "Watch the proxies that train in the background, also those of another notebook or of a kernel that died.", "%causalmix attach"),
    "stop": (_attach, "Stop the proxies that train in the background; what has finished stays.", "%causalmix stop"),
    "runs": (_runs, "Show the runs, write them as CSV, or bring your own.", "%causalmix runs import ratios.csv metrics.csv"),
    "state": (_state, "Measure every domain before mixing: loss, entropy, style, size.", "%causalmix state --noise code=0.8"),
    "fit": (_fit, "Estimate what the mixture causes, as the graph identifies it.", "%causalmix fit --method gp"),
    "check": (_check, "Before the answer: can these runs say what the mixture causes, and how small an effect?", "%causalmix check"),
    "do": (_do, "What would happen if some shares were set, with an interval.", "%causalmix do math=0.4 --keep from=code"),
    "optimize": (_optimize, "The mixture to train on, its gain over the baseline, and how sure that is.", "%causalmix optimize --cap code=0.5 --max-epochs 4"),
    "explore": (_explore, "Move the mixture by hand: sliders, the expected gain and its interval as they move.", "%causalmix explore"),
    "effect": (_effect, "What more of each domain causes, with intervals: the marginal returns.", "%causalmix effect --together"),
    "interpret": (_interpret, "How what each domain is worth depends on the state of the pool: a tree and a heat map.", "%causalmix interpret"),
    "paths": (_paths, "Through which recorded capability a domain helps, along the paths of the graph.", "%causalmix paths"),
    "price": (_price, "What a domain that no run has had would be worth, from its description.", "%causalmix price loss=2.1 style=9"),
    "overlap": (_overlap, "Which mixtures were tried, and which at states like this one.", "%causalmix overlap --noise code=0.8"),
    "refute": (_refute, "Does an effect survive placebo mixtures, noise, subsets of the runs, a hidden cause?", "%causalmix refute"),
    "select": (_select, "Which covariates of the state earn their place.", "%causalmix select"),
    "leaderboard": (_leaderboard, "Which method learns most from how many of these runs, on runs it has not seen.", "%causalmix leaderboard gp linear regmix --runs 64 128"),
    "counterfactual": (_counterfactual, "What a recorded run would have scored under other shares.", "%causalmix counterfactual 12 math=0.4"),
    "pareto": (_pareto, "Mixtures that trade several outcomes off: what more of one costs another.", "%causalmix pareto bpb.code bpb.prose --cap 0.6"),
    "transfer": (_transfer, "Do mixtures keep their order under another size or learning rate of the proxy? Trains the same ones under both.", "%causalmix transfer --mixtures 24 --learning-rate 1e-4"),
    "compare": (_compare, "Train the recommendation and others with the same seeds, side by side.", "%causalmix compare regmix equal natural --seeds 5"),
    "benchmark": (_benchmark, "Does the mixture survive a change of the pool? Every method, without a new run, proven by training.", "%causalmix benchmark --shifts noisier mild --methods regmix natural --quick"),
    "export": (_export, "Write the recommended mixture for a trainer.", "%causalmix export mixture.yaml --format llamafactory"),
    "report": (_report, "Write the study as one page that opens anywhere: every card, and the code to make it again.", "%causalmix report report.html"),
    "status": (_status, "Where the study stands and what to do next; %causalmix alone says the same.", "%causalmix status"),
    "study": (_study, "The Study behind these lines, for Python; or open another one.", "study = %causalmix study"),
    "doctor": (_doctor, "What is installed, what this machine has, and what to do about what is missing.", "%causalmix doctor"),
    "tutorial": (_tutorial, "Copy the tutorial notebooks into a folder of yours.", "%causalmix tutorial my_lessons"),
    "help": (_help, "Explain a subcommand or a topic: graph, state, effects, intervals, …", "%causalmix help optimize"),
}  # fmt: skip
COMMANDS = tuple(_COMMANDS)


def parser(command: str) -> Parser:
    """The parser of a subcommand.

    Raises
    ------
    MagicError: no such subcommand.
    """
    if command not in _COMMANDS:
        raise MagicError(
            f"unknown subcommand {command!r}.{did_you_mean(command, COMMANDS)} %causalmix help lists all of them."
        )
    build, summary, example = _COMMANDS[command]
    made = Parser(command, summary, example, partial(topic, command) if command in TOPICS else None)
    build(made)
    made.add("-o", "--out", type=variable, metavar="NAME", help="keep the result in a variable too")
    return made


def parse(line: str, resolve: Callable[[str], str] | None = None) -> argparse.Namespace:
    """Read one line (what follows ``%causalmix``): arguments by name, ``command`` and ``quiet`` (it ended in ``;``).

    Parameters
    ----------
    resolve: gives the text that stands for ``{{name}}``.

    Raises
    ------
    MagicError: a line that cannot be understood.
    HelpAsked: ``--help`` was on it.
    """
    read, quiet = split_words(line)
    if not (read and read[0].text == "dag"):  # in the text of a graph braces are its own
        put_in(read)
    words = [word.text for word in read]
    if resolve is not None:
        words = [PLACEHOLDER.sub(lambda found: resolve(found[1].strip()), word) for word in words]
    command = words[0] if words else "status"
    if command in ("-h", "--help"):
        raise HelpAsked(overview())
    args = parser(command).read(words[1:])
    args.quiet = quiet
    return args


def overview() -> str:
    """All subcommands, one line each."""
    wide = max(map(len, COMMANDS))
    lines = [f"  {name:<{wide}}  {summary}" for name, (_, summary, _) in _COMMANDS.items()]
    return "\n".join([
        "usage: %causalmix SUBCOMMAND [arguments]      %causalmix alone says where you are", "", *lines, "",
        textwrap.fill(f"topics: {', '.join(TOPICS)}", 100, subsequent_indent="        "), "",
        "%causalmix help SUBCOMMAND, %causalmix help TOPIC and %causalmix SUBCOMMAND --help say more. Every result is an object:",
        "  best = %causalmix optimize        or        %causalmix optimize -o best        (a final ; keeps it quiet)",
        "{{name}} puts a number or text of the notebook into a line; objects are given by name.",
        "%%causalmix dag takes the graph as the body of its cell; %%causalmix alone takes one subcommand a line.",
    ])  # fmt: skip
