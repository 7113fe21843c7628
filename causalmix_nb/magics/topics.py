"""``%causalmix help TOPIC``: what the words mean, from the docstrings of the modules that the topic is about.

The docstrings are read from the source without importing it, since some modules bring heavy libraries.

>>> paragraphs("mixture")[0]
'Points on the simplex: validation, log-ratios, and interventions that keep the sum at 1.'
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

WIDTH = 100
PLAIN = (
    (re.compile(r":\w+:`~?(?:[\w.]*\.)?([^`.]+)`"), r"\1"),  # :class:`causalmix_nb.x.Y` -> Y
    (re.compile(r"``(.+?)``"), r"\1"),
    (re.compile(r"\*(\w[^*\n]*)\*"), r"\1"),
)


@dataclass(frozen=True, slots=True)
class Topic:
    """Paragraphs (module, how many of its docstring), a sentence of use, subcommands to read next."""

    source: tuple[tuple[str, int], ...]
    use: str
    see: tuple[str, ...]


TOPICS: dict[str, Topic] = {
    "pool": Topic((("data.pool", 2),), "A pool is the data, a domain one of its parts.", ("state",)),
    "domain": Topic(
        (("data.pool", 2),),
        "A column (--domain source), one file each, or the keys of a dict tell domains apart.",
        ("pool",),
    ),
    "state": Topic(
        (("proxies.state", 3),),
        "--noise code=0.8 and its likes ask about a perturbed pool, the same data in another state.",
        ("select", "interpret"),
    ),
    "mixture": Topic(
        (("mixture", 2),),
        "Write shares as math=0.4 or math=40%; the others make room in proportion unless --keep from=code "
        "says which domain gives up the share.",
        ("do", "optimize"),
    ),
    "graph": Topic(
        (("graph.graph", 3),),
        "Write one arrow or chain a line in a %%causalmix dag cell: state -> mixture, or a <-> b for a "
        "hidden common cause; DOT, dagitty, mermaid, lavaan and tables of arrows are read too.",
        ("dag", "paths"),
    ),
    "runs": Topic(
        (("runs.store", 2), ("design.simplex", 2)),
        "Runs of your own come in with %causalmix runs import.",
        ("run", "runs"),
    ),
    "proxies": Topic(
        (("proxies.swarm", 2),),
        "--budget is the training tokens of each run; every run continues from one base proxy.",
        ("run",),
    ),
    "outcome": Topic(
        (("proxies.outcomes", 2),),
        "--outcome bpb.code asks about one domain, bpb about the mean by the weights of --target.",
        ("fit", "pareto"),
    ),
    "effects": Topic(
        (("methods.linear", 2),),
        "An effect always names what changes against what: one share cannot move alone.",
        ("effect", "do", "refute"),
    ),
    "intervals": Topic(
        (("estimate.model", 2),),
        "A 95% interval covers noise and finite runs under the graph that you drew, not a wrong graph; "
        "where it includes 0 the card says that the effect is not significant.",
        ("do", "check"),
    ),
    "surface": Topic(
        (("methods.gaussian_process", 2), ("methods.fit", 2)),
        "--method auto chooses by rank correlation on mixtures that the model has not seen.",
        ("fit", "leaderboard"),
    ),
    "policies": Topic(
        (("decide.policy", 3),),
        "--policy auto takes the surface policy where there is a surface.",
        ("optimize", "pareto"),
    ),
    "constraints": Topic(
        (("decide.constraints", 1),),
        "--cap, --floor, --fix, --ratio and --max-epochs say what a mixture must respect.",
        ("optimize",),
    ),
    "baselines": Topic(
        (("decide.baselines.__init__", 2),),
        "%causalmix compare trains them beside the recommendation with the same seeds.",
        ("compare", "leaderboard"),
    ),
    "counterfactual": Topic(
        (("answers.interventions", 2),),
        "A run is named by its key, the first letters of it, or the number of its row in the table of runs.",
        ("counterfactual", "do"),
    ),
    "overlap": Topic(
        (("answers.overlap", 2),),
        "What lies outside is called an extrapolation, and its interval is wide.",
        ("overlap", "check"),
    ),
    "refuters": Topic(
        (("answers.refute", 2),),
        "None of them is needed for an answer; each could show that it is wrong.",
        ("refute",),
    ),
    "executors": Topic(
        (("launch.executor", 2), ("launch.executors.ray_cluster", 2)),
        "--executor local (worker processes) is for daily use, inline (this process) for debugging, ray for a cluster.",
        ("run", "compare"),
    ),
    "background": Topic(
        (("launch.background", 2),),
        "The cell of %causalmix run is free at once in a notebook; --wait keeps it.",
        ("run", "attach", "stop"),
    ),
    "widgets": Topic(
        (("widgets.base", 2),),
        "dag --edit, explore and run show widgets in a notebook; a terminal gets the same as text.",
        ("dag", "explore", "run"),
    ),
    "export": Topic(
        (("decide.export.export", 2),),
        "Without a file the text is shown, so that it can be looked at first.",
        ("export",),
    ),
    "lines": Topic(
        (("magics.language", 1),),
        "Quote what holds spaces; {{name}} puts a number or text in; # begins a comment; a final ; keeps "
        "the result quiet; objects are given by name.",
        ("help",),
    ),
    "config": Topic(
        (),
        "%config CausalMix shows the defaults of the magics, %config CausalMix.budget = 50_000 changes one "
        "for this session: study_folder, runs, budget (tokens of a run) and seeds (of compare).",
        ("run", "compare"),
    ),
}


def topic(name: str) -> str:
    """What a topic is about: the first paragraphs of its modules, how it is used, where to read on."""
    about = TOPICS[name]
    parts = [part for module, count in about.source for part in paragraphs(module)[:count]]
    see = " · ".join(f"%causalmix help {command}" for command in about.see if command != name)
    return "\n\n".join([*map(_wrapped, parts), _wrapped(about.use), *([f"More: {see}"] if see else [])])


def paragraphs(module: str) -> list[str]:
    """The paragraphs of a module's docstring, without the marks of reStructuredText."""
    source = (Path(__file__).parents[1] / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(source)) or ""
    for mark, plain in PLAIN:
        text = mark.sub(plain, text)
    return [part for part in text.split("\n\n") if part.strip() and "-----" not in part]


def _wrapped(paragraph: str) -> str:
    if paragraph.lstrip().startswith(("- ", "* ", "|", ">>>")):
        return paragraph
    return "\n".join(textwrap.wrap(" ".join(paragraph.split()), WIDTH, break_on_hyphens=False))
