"""OLMo-core: a source mixture, by tokens, which is what it draws."""

from __future__ import annotations

import math
from pathlib import Path

from causalmix_nb.decide.export.formats.format import FORMATS, Format, Written
from causalmix_nb.decide.export.plan import ExportPlan
from causalmix_nb.decide.export.text import as_yaml, comments, printable

BATCH, MOST_BATCH = (
    4096,
    2**22,
)  # tokens of a batch: the least, two sequences of 2,048; the most that is proposed
STEPS = 256  # at least so many batches in the budget, so that whole batches meet it to half a per cent
SLACK = 1.01  # of the repetitions: a count of tokens that differs by a hundredth is no reason to refuse


def write(plan: ExportPlan, folder: Path) -> Written:
    """A ``SourceMixtureDatasetConfig`` with target ratios of tokens."""
    sources, missing = [], []
    for domain in plan.used:
        files = list(domain.source.files) if domain.source else []
        if not files or not all(path.endswith(".npy") for path in files):
            missing.append(domain.name)
            files = [f"FILL IN: the .npy files with the tokens of {printable(domain.name)}"]
        times = max(1.0, plan.max_epochs or 1.0, math.ceil((domain.epochs or 1.0) * SLACK * 100) / 100)
        sources.append(
            {"source_name": domain.name, "target_ratio": domain.share, "paths": files,
             "max_repetition_ratio": float(times)}
        )  # fmt: skip
    content: dict = {"source_list": {"sources": sources}}
    more = []
    if missing:
        more.append(
            "OLMo-core reads tokens, not text: tokenise each domain (for example with `dolma tokens`) and put the paths of its "
            f".npy files where this file says FILL IN: {', '.join(map(printable, missing))}."
        )
    if plan.tokens is not None:
        batch = BATCH
        while batch < MOST_BATCH and 2 * batch * STEPS <= plan.tokens:
            batch *= 2
        content |= {"requested_tokens": plan.tokens, "global_batch_size": batch}
        more.append(
            "requested_tokens and global_batch_size are tokens; a batch must be a multiple of your sequence length."
        )
    else:
        more.append(
            "Give a token budget for requested_tokens and global_batch_size; this file is a SourceMixtureList without them."
        )
    return Written(comments(plan, *more) + as_yaml(content))


FORMATS.register(Format("olmocore", "a source mixture, by tokens", write))
