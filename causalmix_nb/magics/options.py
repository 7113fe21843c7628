"""Options that several subcommands share: a sub-pool, constraints on the mixture, an outcome, where runs execute, the study's folder."""

from __future__ import annotations

from causalmix_nb.magics.language import Merge, Parser, count, limits, pairs, real

TILTS = {  # option -> field of a Tilt, and what it says about a domain
    "noise": ("noise", "corrupted"),
    "duplicates": ("duplicates", "copies of a few"),
    "boilerplate": ("boilerplate", "page furniture"),
    "available": ("keep", "there at all"),
}


def outcome_option(p: Parser) -> None:
    p.add("--outcome", metavar="NAME", completes="outcome", help="what to explain (the first outcome)")


def constraint_options(p: Parser) -> None:
    for name, help in (("cap", "greatest"), ("floor", "least")):
        p.add(f"--{name}", type=limits, action=Merge, nargs="+", metavar="DOMAIN=SHARE", completes="pair",
              help=f"{help} share of a domain, or one number for all")  # fmt: skip
    p.add(
        "--fix",
        type=pairs,
        action=Merge,
        nargs="+",
        metavar="DOMAIN=SHARE",
        completes="pair",
        help="share that is not up for choice",
    )
    p.add("--ratio", type=pairs, action=Merge, nargs="+", metavar="A/B=RATIO", completes="pair",
          help="code/math=2: twice as much code as math")  # fmt: skip
    p.add("--max-epochs", type=real, metavar="N", help="how often a token may be seen")
    p.add(
        "--tokens",
        type=count,
        metavar="N",
        help="tokens that the mixture is for, with --max-epochs (those of a run)",
    )


def tilt_options(p: Parser, nargs: str | None = "+") -> None:
    for option, (_, what) in TILTS.items():
        p.add(f"--{option}", type=pairs, action=Merge, nargs=nargs, metavar="DOMAIN=SHARE", completes="pair",
              help=f"the same pool, with that share of a domain's documents {what}")  # fmt: skip


def executor_options(p: Parser) -> None:
    p.add(
        "--executor",
        default="local",
        completes="executor",
        metavar="NAME",
        help="local (worker processes), inline or ray, a cluster (local)",
    )
    p.add("--workers", type=count, metavar="N", help="worker processes (one per core)")
    p.add(
        "--address",
        metavar="ADDRESS",
        help="of the Ray cluster, with --executor ray (one that is there, else this machine)",
    )
    p.add(
        "--gpus",
        type=float,
        metavar="SHARE",
        help="of a GPU for each chunk of runs, with --executor ray, for example 0.25 (none)",
    )


def study_option(p: Parser) -> None:
    p.add(
        "--study",
        metavar="FOLDER",
        completes="path",
        help="folder of the study, made if it is not there (causalmix_study)",
    )
