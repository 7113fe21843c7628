"""How often a run has seen each domain: tokens available, epochs, and whether they are those of the training it stands for.

Data that repeat are worth less each time, so the best mixture of a run that repeats nothing is not that of a target that reads a scarce domain
ten times: an error of 0.75 between them fell to 0.05 once repetition was matched (arXiv 2606.07597). With ``target_tokens`` a run sees so few
documents of every domain that it repeats them as the target would.

Epochs follow from the mixture. They are recorded beside a run (``data.epochs.<domain>``) and never among its state or scale: conditioned on, they
would take away part of what the mixture causes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causalmix_nb.data.corpus import FEWEST_DOCUMENTS, Corpus, seen_tokens
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import TrainingError

MATCHED = 0.1  # relative difference of epochs that is no difference


def as_target(target_tokens: float | None, token_budget: int) -> int | None:
    """Checked tokens of the training that runs stand for.

    Raises
    ------
    TrainingError: fewer than the runs themselves train on.
    """
    if target_tokens is None:
        return None
    if not (np.isfinite(target_tokens) and target_tokens >= token_budget):
        raise TrainingError(
            f"the target trains on {target_tokens:,.0f} tokens, less than a run ({token_budget:,}); "
            "give the tokens of the training that the mixture is for, counted as here (a byte each, if the proxies read bytes)."
        )
    return round(target_tokens)


def repetition(corpus: Corpus, spec: RunSpec) -> dict[str, float]:
    """``available.<domain>``: distinct tokens a run could see; ``epochs.<domain>``: how often it saw them on average;
    with a target also ``target_epochs.<domain>``."""
    found: dict[str, float] = {}
    for name, share in zip(corpus.domains, spec.mixture):
        view = corpus.view(name, spec.perturbations.get(name), spec.perturbation_seed)
        few = seen_tokens(corpus, view, spec.token_budget, spec.target_tokens)
        available = view.tokens_in(view.rows(few, spec.seed))
        found[f"available.{name}"] = float(available)
        found[f"epochs.{name}"] = share * spec.token_budget / available
        if spec.target_tokens is not None:
            found[f"target_epochs.{name}"] = share * spec.token_budget / float(few or 1)
    return found


def mismatch(corpus: Corpus, specs: Sequence[RunSpec]) -> str:
    """Which domains the runs cannot repeat as the target would, and why; nothing where they can."""
    worst: dict[str, tuple[float, float, float]] = {}
    for spec in specs:
        if spec.target_tokens is None:
            continue
        found = repetition(corpus, spec)
        for name in corpus.domains:
            here, there = found[f"epochs.{name}"], found[f"target_epochs.{name}"]
            off = abs(here / there - 1) if there > 0 else 0.0
            if off > worst.get(name, (MATCHED, 0, 0))[0]:
                worst[name] = (off, here, there)
    if not worst:
        return ""
    named = [
        f"{name} {here:.2g} times instead of {there:.2g}"
        for name, (_, here, there) in list(worst.items())[:4]
    ]
    return (
        f"some runs cannot repeat their data as the target would: {', '.join(named)} at the worst (whole documents, at least "
        f"{FEWEST_DOCUMENTS} of a domain; a longer run comes nearer)"
    )
