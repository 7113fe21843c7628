"""Which runs to make: mixtures over the whole simplex, crossed with states of the pool, some repeated.

The states are drawn independently of the mixtures, so that the mixture is randomised by design; a few runs are
repeated with other seeds, so that the noise floor is known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from causalmix_nb.data.pool import Perturbation
from causalmix_nb.errors import TrainingError

SCARCE_EPOCHS = 8.0  # a run with half its tokens in the scarcest domain reads what is left so often
MOST_RUNS, MOST_TOKENS = 100_000, 10**10  # beyond these a typing mistake is likelier than a plan

FORMERLY = {"tilts": "perturbations", "tilt_seed": "perturbation_seed"}  # in what is written -> here


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run to make.

    mixture: shares in the order of the pool's domains.
    perturbations: domain -> how this run's sub-pool differs from the pool, before mixing.
    perturbation_seed: which documents the perturbations touch.
    seed: the order of the data.
    token_budget: training tokens.
    label: free text, for people.
    learning_rate: peak of this run, where it is not the proxy's own.
    target_tokens: repeat every domain as a training on so many tokens would; None sees as many documents as there are.
    """

    mixture: tuple[float, ...]
    token_budget: int
    perturbations: Mapping[str, Perturbation] = field(default_factory=dict)
    perturbation_seed: int = 0
    seed: int = 0
    label: str = ""
    learning_rate: float | None = None
    target_tokens: int | None = None

    def to_dict(self) -> dict:
        """As JSON can carry it; the words are those of the first version, since keys of runs are hashes of them."""
        words = {new: old for old, new in FORMERLY.items()}
        return {words.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping) -> RunSpec:
        given = {FORMERLY.get(name, name): value for name, value in values.items()}
        changed = {name: Perturbation(**fields) for name, fields in given["perturbations"].items()}
        return cls(**{**given, "mixture": tuple(values["mixture"]), "perturbations": changed})

    def key(self, context: str) -> str:
        """Content hash of all that decides the run's outcome; ``context`` names the pool and the proxy."""
        content = {
            name: value for name, value in self.to_dict().items() if name != "label" and value is not None
        }
        return hashlib.sha256(json.dumps([context, content], sort_keys=True).encode()).hexdigest()[:20]


def sample_mixtures(n: int, n_domains: int, seed: int = 0) -> np.ndarray:
    """Mixtures over the whole simplex, shape (n, K): the centre, the corners, then space-filling and sparser ones.

    Two of three further rows are a scrambled Sobol sequence mapped to the uniform distribution on the simplex, the
    third is Dirichlet(1/2), which visits the faces. A longer design starts with the shorter one.

    >>> sample_mixtures(8, 3).sum(axis=1).round(9).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    fixed = np.vstack([np.full((1, n_domains), 1 / n_domains), np.eye(n_domains)])
    gaps = -np.log(_sobol(n, n_domains, [seed, 1]))
    rows = gaps / gaps.sum(1, keepdims=True)
    sparse = np.random.default_rng([seed, 2]).dirichlet(np.full(n_domains, 0.5), size=n)
    rows[2::3] = sparse[2::3]
    return np.vstack([fixed, rows])[:n]


def sample_perturbations(
    domains: Sequence[str],
    n_states: int,
    seed: int = 0,
    share: float = 1 / 3,
    scarcest: Mapping[str, float] | None = None,
) -> list[dict[str, Perturbation]]:
    """States of a pool to train under: the pool as it is, then sub-pools in which some domains went bad.

    A domain is perturbed with probability ``share``; a perturbed one is noisy (most often), duplicated, full of boilerplate, or scarce. Levels
    and kinds fill their space evenly, and a longer list starts with the shorter one.

    Parameters
    ----------
    scarcest: domain -> smallest share of its documents that is kept, as :func:`scarcest_shares` finds it; 0.02 without it.
    """
    K = len(domains)
    points = _sobol(max(1, n_states), 2 * K, [seed, 3])
    states: list[dict[str, Perturbation]] = [{}]
    for row in points:
        state = {}
        for name, u, kind in zip(domains, row[:K], row[K:]):
            if u < share:
                level = round(0.1 + 0.9 * u / share, 3)
                state[name] = _perturbation(level, kind, 0.02 if scarcest is None else scarcest[name])
        states.append(state)
    return states[:n_states]


def scarcest_shares(available: Mapping[str, int], token_budget: int) -> dict[str, float]:
    """Domain -> the share of its tokens that a run with half its budget there would read ``SCARCE_EPOCHS`` times, at most 1.

    Scarcity costs something only where it makes data repeat, so it is counted in epochs and not in documents.

    >>> scarcest_shares({"a": 1_000_000, "b": 1_000}, 160_000)
    {'a': 0.01, 'b': 1.0}
    """
    read = 0.5 * token_budget / SCARCE_EPOCHS
    return {name: min(1.0, read / max(tokens, 1)) for name, tokens in available.items()}


def _perturbation(level: float, kind: float, scarcest: float) -> Perturbation:
    """A perturbation of level 0.1 … 1; nothing so extreme that a domain holds nothing useful at all."""
    if kind < 0.4:
        return Perturbation(noise=round(0.9 * level, 3))
    if kind < 0.6:
        return Perturbation(duplicates=round(0.95 * level, 3))
    if kind < 0.8:
        return Perturbation(boilerplate=round(0.9 * level, 3))
    return Perturbation(keep=float(f"{scarcest**level:.4g}"))


def _sobol(n: int, dimensions: int, seed: Sequence[int]) -> np.ndarray:
    """Scrambled Sobol points (n, dimensions) in the open unit cube."""
    import warnings

    from scipy.stats import qmc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # balance at powers of two does not matter here
        points = qmc.Sobol(dimensions, rng=np.random.default_rng(list(seed))).random(n)
    return np.clip(points, 1e-9, 1 - 1e-9)


def design_runs(
    domains: Sequence[str],
    n_runs: int,
    token_budget: int,
    seed: int = 0,
    states: bool = True,
    available: Mapping[str, int] | None = None,
) -> list[RunSpec]:
    """The runs of a study: mixtures × states × seeds; a longer design starts with the shorter one.

    Two runs in a row share a state of the pool; every sixteenth run repeats an earlier one with another seed.

    Parameters
    ----------
    domains: names of the K domains.
    n_runs: runs in all, repeats included.
    token_budget: training tokens of each.
    seed: of the design, of the perturbations and of the runs.
    states: vary the state of the pool; False trains on the pool as it is.
    available: domain -> distinct tokens there are; how scarce a domain is made follows from it.

    Raises
    ------
    TrainingError: fewer than K + 2 runs or more than 100,000; a budget below 1,000 or above 10 billion tokens.
    """
    if n_runs < len(domains) + 2:
        raise TrainingError(
            f"{n_runs} runs cannot tell {len(domains)} domains apart; "
            f"ask for at least {len(domains) + 2}, better 16 per domain."
        )
    if n_runs > MOST_RUNS:
        raise TrainingError(
            f"{n_runs} runs are more than a study is made for; ask for at most {MOST_RUNS:,} (128 is usual)."
        )
    if token_budget > MOST_TOKENS:
        raise TrainingError(
            f"a budget of {token_budget} tokens is more than a proxy can use; give at most {MOST_TOKENS:,} (--budget 100k is usual)."
        )
    if token_budget < 1000:
        raise TrainingError(
            f"a budget of {token_budget} tokens is too small to learn from; give at least 1000 (--budget 100k)."
        )
    mixtures = sample_mixtures(n_runs, len(domains), seed)
    scarcest = None if available is None else scarcest_shares(available, token_budget)
    perturbations = (
        sample_perturbations(domains, n_runs // 2 + 1, seed, scarcest=scarcest) if states else [{}]
    )
    runs: list[RunSpec] = []
    for i, row in enumerate(mixtures):
        if i % 16 == 15:
            spec = runs[i - 8]
            runs.append(replace(spec, seed=seed + i, label="repeat"))
        else:
            runs.append(
                RunSpec(
                    tuple(row.tolist()),
                    token_budget,
                    perturbations[(i // 2) % len(perturbations)],
                    seed,
                    seed + i,
                    "design",
                )
            )
    return runs
