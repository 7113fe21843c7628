"""One chunk of runs, trained as one swarm, and how it travels: what every executor does the same way.

A chunk is a few runs with one token budget. Messages are plain dicts that JSON can carry: ``{"tokens": n}`` while it trains,
``{"results": {key: {"outcomes": …, "reason": …}}}`` when it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from causalmix_nb.corpus import Corpus
from causalmix_nb.design import RunSpec
from causalmix_nb.proxy import ProxyConfig, load_weights

DATA, BASE = "data", "base.safetensors"  # where a study keeps its tokens and its base proxy

Message = Mapping[str, Any]
Take = Callable[[Message], None]


def train_chunk(
    setup: Mapping[str, Any], jobs: Mapping[str, RunSpec], cache: dict[str, Any], emit: Callable[[int], None]
) -> dict[str, Any]:
    """Train one chunk of runs and return its results as a message; ``cache`` keeps what chunks share."""
    from causalmix_nb.outcomes import Evaluator
    from causalmix_nb.train import train_runs

    folder, config = Path(setup["folder"]), ProxyConfig(**setup["config"])
    if not cache:
        corpus = Corpus.open(folder / DATA)
        cache.update(
            corpus=corpus,
            evaluate=Evaluator(corpus, config.context, setup["target"]),
            base=load_weights(folder / BASE) if config.base_tokens else None,
        )
    trained = train_runs(
        cache["corpus"], list(jobs.values()), config, cache["base"], cache["evaluate"], emit, setup["seed"]
    )
    return {
        "results": {key: {"outcomes": run.outcomes, "reason": run.reason} for key, run in zip(jobs, trained)}
    }
