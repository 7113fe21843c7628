"""A plan as data: JSON, YAML, and the source mixture of OLMo-core."""

from __future__ import annotations

import json
import math

from causalmix_nb.decide.export.plan import ExportPlan
from causalmix_nb.decide.export.text import comments, facts, printable

BATCH, MOST_BATCH = (
    4096,
    2**22,
)  # tokens of a batch: the least (two sequences of 2,048), and the most that is proposed
STEPS = 256  # at least so many batches in the budget, so that whole batches meet it to half a per cent
SLACK = 1.01  # of the repetitions: a count of tokens that differs by a hundredth is no reason to refuse


def json_text(plan: ExportPlan) -> str:
    """All of the plan."""
    return json.dumps(facts(plan), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def yaml_text(plan: ExportPlan) -> str:
    """All of the plan, with the verdict as a comment too."""
    return comments(plan) + dump(facts(plan))


def olmocore_text(plan: ExportPlan) -> str:
    """A ``SourceMixtureDatasetConfig`` of OLMo-core: target ratios of tokens, which is what it draws."""
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
    return comments(plan, *more) + dump(content)


def dump(content: dict) -> str:
    """YAML that a safe loader reads back as it was."""
    import yaml

    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
    if yaml.safe_load(text) == content:
        return text  # letters as they are; a few kinds of line ends do not survive that
    return yaml.safe_dump(content, sort_keys=False, width=10_000)
