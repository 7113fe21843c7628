"""What a run scored: held-out bits per byte by domain, exact match where answers can be checked, and their mean.

Held-out documents come from the pool as it is, never from a perturbed sub-pool: the state changes what a run learns
from, not what it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.proxies.scores import Score, load_score, score_runs

if TYPE_CHECKING:
    import torch

EVAL_WINDOWS = 64  # held-out windows per domain
AT_ONCE = 8  # of them that are scored at once on a CPU: more do not fit a core's cache
BPB, EXACT = "bpb", "exact_match"


def outcome_directions(corpus: Corpus) -> dict[str, bool]:
    """Names of the outcomes of a corpus's runs -> whether lower is better."""
    checkable = [name for name in corpus.domains if corpus.checkable(name)]
    names = {BPB: True, **{f"{BPB}.{name}": True for name in corpus.domains}}
    return {**names, **{f"{EXACT}.{name}": False for name in checkable}}


def target_weights(corpus: Corpus, target: Mapping[str, float] | None) -> dict[str, float]:
    """Weights of the domains in the mean outcome, summing to 1; equal by default.

    Raises
    ------
    StudyError: a target that names an unknown domain, or weights that are negative or all 0.
    """
    if target is None:
        return {name: 1 / len(corpus.domains) for name in corpus.domains}
    for name, weight in target.items():
        if name not in corpus.domains:
            raise StudyError(
                f"the target names {name!r}, which is no domain.{did_you_mean(name, corpus.domains)} "
                f"Domains are {', '.join(corpus.domains)}."
            )
        if not weight >= 0:
            raise StudyError(f"the target weight of {name!r} is {weight}; weights must not be negative.")
    total = sum(target.values())
    if not total > 0:
        raise StudyError("the target weights are all 0; give at least one domain a positive weight.")
    return {name: weight / total for name, weight in target.items() if weight}


class Trained(Protocol):
    """What can be scored: R models that read the same windows, a swarm of proxies or one Hugging Face model."""

    n_runs: int
    device: torch.device

    def token_losses(self, windows: torch.Tensor) -> torch.Tensor: ...

    def likeliest(self, tokens: torch.Tensor) -> torch.Tensor: ...

    def alone(self) -> list[Any]:
        """Every run as a proxy of its own."""
        ...


class Evaluator:
    """Scores all runs of a swarm on the same held-out data; prepared once, used for every chunk."""

    def __init__(
        self,
        corpus: Corpus,
        context: int,
        target: Mapping[str, float] | None = None,
        score: str | Score | None = None,
    ) -> None:
        self._score = load_score(score) if score is not None else None
        self.target = target_weights(corpus, target)
        self._heldout = {name: corpus.heldout_windows(name, EVAL_WINDOWS, context) for name in corpus.domains}
        self._bytes = {name: corpus.heldout_bytes(name, EVAL_WINDOWS, context) for name in corpus.domains}
        self._pairs = {
            name: pairs for name in corpus.domains if (pairs := corpus.checkable(name, context=context))
        }

    def __call__(self, swarm: Trained) -> list[dict[str, float]]:
        """Outcomes of every run, in order: ``bpb``, ``bpb.<domain>``, ``exact_match.<domain>``, and what the score says."""
        import torch

        results: list[dict[str, float]] = [{} for _ in range(swarm.n_runs)]
        with torch.no_grad():
            for name, (windows, mask) in self._heldout.items():
                bits = _masked_sum(swarm, windows, mask) / math.log(2) / max(1, self._bytes[name])
                for result, value in zip(results, bits):
                    result[f"{BPB}.{name}"] = float(value)
            for name, pairs in self._pairs.items():
                for result, value in zip(results, _exact_match(swarm, pairs)):
                    result[f"{EXACT}.{name}"] = float(value)
        for result in results:
            mean = sum(weight * result[f"{BPB}.{name}"] for name, weight in self.target.items())
            result[BPB] = mean
        results = [{BPB: result[BPB], **result} for result in results]
        if self._score is None:
            return results
        with torch.no_grad():
            more = score_runs(self._score, swarm.alone(), frozenset().union(*results))
        return [{**result, **found} for result, found in zip(results, more)]


def _masked_sum(swarm: Trained, windows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Summed loss in nats over the masked targets, shape (R,)."""
    import torch

    tokens, counted = torch.from_numpy(windows).to(swarm.device), torch.from_numpy(mask).to(swarm.device)
    total = torch.zeros(swarm.n_runs, device=swarm.device)
    size = AT_ONCE if tokens.device.type == "cpu" else max(AT_ONCE, EVAL_WINDOWS // swarm.n_runs)
    for rows, some in zip(tokens.split(size), counted.split(size)):
        total += (swarm.token_losses(rows.expand(swarm.n_runs, *rows.shape)) * some).sum((1, 2))
    return total.cpu().numpy()


def _exact_match(swarm: Trained, pairs: list[tuple[Sequence[int], Sequence[int]]]) -> np.ndarray:
    """Share of responses that greedy decoding would write exactly, shape (R,).

    Greedy decoding writes the response if and only if every next token of it is the most likely one given the true
    ones before it, so that one forward pass decides.
    """
    import torch

    width = max(len(p) + len(r) for p, r in pairs)
    tokens = np.zeros((len(pairs), width), np.int64)
    mask = np.zeros((len(pairs), width - 1), bool)
    for i, (prompt, response) in enumerate(pairs):
        end = len(prompt) + len(response)
        tokens[i, :end] = [*prompt, *response]
        mask[i, len(prompt) - 1 : end - 1] = True
    windows = torch.from_numpy(tokens).to(swarm.device)
    best = swarm.likeliest(windows[:, :-1].expand(swarm.n_runs, -1, -1))  # (R, n, width - 1)
    right = (best == windows[:, 1:]) | ~torch.from_numpy(mask).to(swarm.device)
    return right.all(-1).double().mean(-1).cpu().numpy()
