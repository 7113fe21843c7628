"""The state of a pool: covariates of every domain, measured on the data themselves before anything is mixed.

A state measured on the mixed data would be a consequence of the mixture, and conditioning on it would take away part
of the effect. Measured per domain, before mixing, it is a true covariate.

Covariates (after arXiv 2607.01104): ``loss`` – bits per byte under a scorer model (difficulty); ``hes`` – mean entropy
in bits of the 0.5 % most uncertain tokens under it (complexity); ``style`` – automated readability index of the text,
from textstat (quality); ``size`` – log10 of the distinct tokens that are there (availability).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from causalmix_nb.corpus import Corpus
from causalmix_nb.errors import StudyError
from causalmix_nb.pool import Tilt
from causalmix_nb.proxy import END, ProxySwarm

if TYPE_CHECKING:
    import pandas as pd

COVARIATES = ("loss", "hes", "style", "size")
SAMPLE_BYTES = 24_576  # of a domain that is scored
EXCERPT = 128  # bytes of one document in the sample: many documents, a little of each
TOP_SHARE = 0.005
SCORED_AT_ONCE = 32  # windows: more do not fit a core's cache


class Scorer(Protocol):
    """Anything that can say how surprising texts are."""

    def score(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
        """Loss in nats (n,) and entropy in nats (n,) of every next token, and the bytes they cover."""
        ...


class ProxyScorer:
    """The study's base proxy as a scorer."""

    def __init__(self, swarm: ProxySwarm) -> None:
        self._swarm = swarm

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

    With ``gguf_file`` a model in GGUF form is read, for example the one that the ``[scorer]`` extra brings.
    """

    def __init__(
        self, name: str, *, gguf_file: str | None = None, context: int = 512, batch: int = 4
    ) -> None:
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError:
            raise StudyError(
                "a Hugging Face scorer needs transformers; pip install 'causalmix_nb[hf]'."
            ) from None
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(name, gguf_file=gguf_file)
            self._model = AutoModelForCausalLM.from_pretrained(name, gguf_file=gguf_file).eval()
        except OSError:
            raise StudyError(
                f"cannot load the scorer {name!r}; check the name and the connection, or give a local folder."
            ) from None
        self._context, self._batch = context, batch

    def score(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
        import torch

        losses, entropies, n_bytes = [], [], 0
        for text in texts:
            ids = self._tokenizer(
                text, return_tensors="pt", truncation=True, max_length=self._context
            ).input_ids
            if ids.shape[1] < 2:
                continue
            with torch.no_grad():
                logs = self._model(ids).logits[0, :-1].float().log_softmax(-1)
            losses.append(-logs.gather(-1, ids[0, 1:, None])[:, 0].numpy())
            entropies.append(-(logs.exp() * logs).sum(-1).numpy())
            n_bytes += len(str(self._tokenizer.decode(ids[0, 1:])).encode())
        if not losses:
            raise StudyError(
                "the sample holds no text of two tokens or more; the state cannot be measured on it."
            )
        return np.concatenate(losses), np.concatenate(entropies), n_bytes


def measure_domain(
    corpus: Corpus, domain: str, tilt: Tilt | None, scorer: Scorer, seed: int = 0
) -> dict[str, float]:
    """The covariates of one domain of a sub-pool, from a seeded sample of about 200 documents or more."""
    import textstat

    view = corpus.view(domain, tilt, seed)
    texts = view.excerpts(SAMPLE_BYTES, EXCERPT, seed)
    loss, entropy, n_bytes = scorer.score(texts)
    top = np.sort(entropy)[-max(1, math.ceil(TOP_SHARE * len(entropy))) :]
    return {
        "loss": float(loss.sum() / math.log(2) / n_bytes),
        "hes": float(top.mean() / math.log(2)),
        "style": float(np.clip(textstat.automated_readability_index(" ".join(texts)), -20, 60)),
        "size": math.log10(max(1, view.available_tokens)),
    }


def measure_state(
    corpus: Corpus,
    scorer: Scorer,
    tilts: Mapping[str, Tilt] | None = None,
    seed: int = 0,
    cache: dict | None = None,
) -> pd.DataFrame:
    """The state of a sub-pool before mixing.

    Parameters
    ----------
    corpus: the tokenised pool.
    scorer: the model whose loss and entropy are taken.
    tilts: domain -> tilt; None means the pool as it is.
    seed: which documents the tilts touch and which are sampled.
    cache: remembers measured domains between calls.

    Returns
    -------
    DataFrame indexed by domain with columns loss (bits per byte), hes (bits), style (grade), size (log10 tokens).
    """
    import pandas as pd

    tilts, cache = tilts or {}, {} if cache is None else cache
    rows = []
    for name in corpus.domains:
        key = (name, tilts.get(name) or Tilt(), seed)
        if key not in cache:
            cache[key] = measure_domain(corpus, name, tilts.get(name), scorer, seed)
        rows.append(cache[key])
    return pd.DataFrame(rows, index=pd.Index(corpus.domains, name="domain"), columns=list(COVARIATES))


def flatten_state(state: pd.DataFrame) -> dict[str, float]:
    """A state as the runs record it: ``<domain>.<covariate>`` -> value."""
    return {
        f"{name}.{column}": float(value) for name, row in state.iterrows() for column, value in row.items()
    }
