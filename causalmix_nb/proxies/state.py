"""The state of a pool: covariates of every domain, measured on the data themselves before anything is mixed.

A state measured on the mixed data would be a consequence of the mixture, and conditioning on it would take away part
of the effect. Measured per domain, before mixing, it is a true covariate.

Covariates (after arXiv 2607.01104): ``loss`` – bits per byte under a scorer model (difficulty); ``top_token_entropy`` – mean
entropy in bits of the 0.5 % most uncertain tokens under it (complexity); ``readability_grade`` – automated readability index of the text,
from textstat (quality); ``size`` – log10 of the distinct tokens that are there (availability).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.data.pool import Perturbation
from causalmix_nb.data.windows import END
from causalmix_nb.errors import StudyError
from causalmix_nb.files import write_whole
from causalmix_nb.proxies.huggingface.checkpoint import load_model, load_tokenizer
from causalmix_nb.proxies.huggingface.settings import HFSettings

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.proxies.swarm import ProxySwarm

COVARIATES = ("loss", "top_token_entropy", "readability_grade", "size")
VERSION = 1  # raise it when the code below makes something else of the same texts
SAMPLE_BYTES = 24_576  # of a domain that is scored
EXCERPT = 128  # bytes of one document in the sample: many documents, a little of each
TOP_SHARE = 0.005
# What a state is: runs whose states are of another definition must not be fitted together with these.
DEFINITION = f"covariates {VERSION}: loss, hes, style, size of {SAMPLE_BYTES} bytes in excerpts of {EXCERPT}, top {TOP_SHARE:g}"
FIRST_DEFINITION = "covariates 1: loss, hes, style, size of 24576 bytes in excerpts of 128, top 0.005"  # of stores that note none
SCORED_AT_ONCE = 32  # windows: more do not fit a core's cache


class Scorer(Protocol):
    """Anything that can say how surprising texts are.

    A scorer may have an ``identity``, a text that differs where its scores do (the name and revision of a model); see :func:`identity_of`.
    One that holds a large model may have a ``release()``; see :func:`release`.
    """

    def score(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
        """Loss in nats (n,) and entropy in nats (n,) of every next token, and the bytes they cover."""
        ...


class ProxyScorer:
    """The study's base proxy as a scorer."""

    def __init__(self, swarm: ProxySwarm) -> None:
        self._swarm = swarm

    @cached_property
    def identity(self) -> str:
        """A digest of the weights: two bases score differently."""
        digest = hashlib.sha256()
        for name, values in sorted(self._swarm.weights().items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values.detach().cpu().float().numpy()).tobytes())
        return f"proxy {digest.hexdigest()[:16]}"

    def score(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
        import torch

        length = self._swarm.config.context
        data = bytes([END]) + b"".join(text.encode().replace(b"\0", b" ") + bytes([END]) for text in texts)
        data += bytes(-(len(data) - 1) % length)
        stream = np.frombuffer(data, np.uint8)
        start = np.arange((len(stream) - 1) // length)[:, None] * length
        windows = torch.from_numpy(stream[start + np.arange(length + 1)]).long()
        losses, entropies = [], []
        for piece in windows.to(self._swarm.device).split(SCORED_AT_ONCE):
            with torch.no_grad():
                logs = self._swarm.logits(piece[None, :, :-1])[0].log_softmax(-1)
            losses.append(-logs.gather(-1, piece[:, 1:, None])[..., 0].flatten())
            entropies.append(-(logs.exp() * logs).sum(-1).flatten())
        return torch.cat(losses).cpu().numpy(), torch.cat(entropies).cpu().numpy(), windows[:, 1:].numel()


class HuggingFaceScorer:
    """Any Hugging Face causal language model as a scorer: a hub name or a local folder (extra ``[hf]``).

    With ``gguf_file`` a model in GGUF form is read, for example the one that the ``[scorer]`` extra brings. It is loaded when it is first
    asked; :meth:`release` gives its memory back until it is asked again. Every token counts, the first of a text too: an end-of-text token
    before it stands for the beginning.
    """

    def __init__(
        self,
        name: str,
        *,
        gguf_file: str | None = None,
        context: int = 512,
        batch: int = 32,
        load: Callable[[], tuple[Any, Any]] | None = None,
        identity: str | None = None,
    ) -> None:
        self.identity = identity or " ".join(filter(None, (name, gguf_file, f"context {context}")))
        self._load = load or (lambda: _load_pair(HFSettings(name, gguf_file=gguf_file, context=context)))
        self._context, self._batch = context, batch
        self._pair: tuple[Any, Any] | None = None

    def release(self) -> None:
        self._pair = None

    def score(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
        import torch
        from accelerate import PartialState

        if self._pair is None:
            model, tokenizer = self._load()
            self._pair = model.eval().to(PartialState().device), tokenizer
        model, tokenizer = self._pair
        start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        rows, n_bytes = [], 0
        for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]:
            rows += [ids[i : i + self._context - 1] for i in range(0, len(ids), self._context - 1)]
        n_bytes = sum(len(text.encode()) for text in texts)
        if not rows:
            raise StudyError("the sample holds no text; the state cannot be measured on it.")
        rows.sort(key=len)  # rows of one length need no padding
        losses, entropies = [], []
        for first in range(0, len(rows), self._batch):
            some = rows[first : first + self._batch]
            sizes = torch.tensor([len(row) for row in some])
            width = int(sizes.max())
            padded = torch.tensor([[start, *row, *[start] * (width - len(row))] for row in some]).to(
                model.device
            )
            there = torch.arange(width)[None] < sizes[:, None]  # padding stands behind, where nothing sees it
            with torch.no_grad():
                logs = model(input_ids=padded[:, :-1], use_cache=False).logits.float().log_softmax(-1)
            losses.append(-logs.gather(-1, padded[:, 1:, None])[..., 0].cpu()[there])
            entropies.append(-(logs.exp() * logs).sum(-1).cpu()[there])
        return torch.cat(losses).numpy(), torch.cat(entropies).numpy(), n_bytes


def _load_pair(config: HFSettings) -> tuple[Any, Any]:
    return load_model(config), load_tokenizer(config)


def identity_of(scorer: Scorer) -> str:
    """What a scorer is told apart by: its ``identity``, else its class and the object itself, which is only known in this process."""
    own = getattr(scorer, "identity", None)
    if isinstance(own, str) and own:
        return own
    return f"{type(scorer).__module__}.{type(scorer).__qualname__} without identity"


def release(scorer: Scorer) -> None:
    """Give back the memory of a scorer that has a ``release()``; it is loaded again when it is asked again."""
    own = getattr(scorer, "release", None)
    if callable(own):
        own()


class _Itself:
    """A scorer as a part of a key: equal to itself only, whatever it says of equality, and alive as long as the key is."""

    __slots__ = ("scorer",)

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.scorer is self.scorer

    def __hash__(self) -> int:
        return id(self.scorer)


def measured_as(
    domain: str, perturbation: Perturbation | None, seed: int, scorer: Scorer
) -> tuple[str, Perturbation, int, Any]:
    """Under what :func:`measure_state` remembers a domain: scorers that cannot be told apart by name are told apart as objects."""
    own = getattr(scorer, "identity", None)
    return (
        domain,
        perturbation or Perturbation(),
        seed,
        own if isinstance(own, str) and own else _Itself(scorer),
    )


def measure_domain(
    corpus: Corpus, domain: str, perturbation: Perturbation | None, scorer: Scorer, seed: int = 0
) -> dict[str, float]:
    """The covariates of one domain of a sub-pool, from a seeded sample of about 200 documents or more."""
    import textstat

    view = corpus.view(domain, perturbation, seed)
    texts = view.excerpts(SAMPLE_BYTES, EXCERPT, seed)
    loss, entropy, n_bytes = scorer.score(texts)
    top = np.sort(entropy)[-max(1, math.ceil(TOP_SHARE * len(entropy))) :]
    return {
        "loss": float(loss.sum() / math.log(2) / n_bytes),
        "top_token_entropy": float(top.mean() / math.log(2)),
        "readability_grade": float(np.clip(textstat.automated_readability_index(" ".join(texts)), -20, 60)),
        "size": math.log10(max(1, view.available_tokens)),
    }


def measure_state(
    corpus: Corpus,
    scorer: Scorer,
    perturbations: Mapping[str, Perturbation] | None = None,
    seed: int = 0,
    cache: dict | None = None,
) -> pd.DataFrame:
    """The state of a sub-pool before mixing.

    Parameters
    ----------
    corpus: the tokenised pool.
    scorer: the model whose loss and entropy are taken.
    perturbations: domain -> perturbation; None means the pool as it is.
    seed: which documents the perturbations touch and which are sampled.
    cache: remembers measured domains between calls.

    Returns
    -------
    DataFrame indexed by domain with columns loss (bits per byte), top_token_entropy (bits), readability_grade, size (log10 tokens).
    """
    import pandas as pd

    perturbations, cache = perturbations or {}, {} if cache is None else cache
    rows = []
    for name in corpus.domains:
        key = measured_as(name, perturbations.get(name), seed, scorer)
        if key not in cache:
            cache[key] = measure_domain(corpus, name, perturbations.get(name), scorer, seed)
        rows.append(cache[key])
    return pd.DataFrame(rows, index=pd.Index(corpus.domains, name="domain"), columns=list(COVARIATES))


def write_measured(path: Path, cache: Mapping) -> None:
    """Keep what :func:`measure_state` has in its cache, whole or not at all: a checkpoint takes a while to measure with."""
    rows = [
        [name, asdict(perturbation), seed, values, scorer]
        for (name, perturbation, seed, scorer), values in cache.items()
        if isinstance(scorer, str)
    ]
    with contextlib.suppress(OSError):  # it can be measured again
        write_whole(path, json.dumps(rows))


def read_measured(path: Path, scorer: Scorer) -> dict:
    """The cache that :func:`write_measured` kept; empty where there is none that can be read.

    scorer: the checkpoint, which measured what is kept without a name: nothing else was, before scorers had one.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        own = identity_of(scorer)
        return {
            (name, Perturbation(**perturbation), seed, by[0] if by else own): values
            for name, perturbation, seed, values, *by in rows
        }
    except (OSError, ValueError, TypeError):
        return {}


def flatten_state(state: pd.DataFrame) -> dict[str, float]:
    """A state as the runs record it: ``<domain>.<covariate>`` -> value."""
    return {
        f"{name}.{column}": float(value) for name, row in state.iterrows() for column, value in row.items()
    }
