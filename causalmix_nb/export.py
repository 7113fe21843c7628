"""A mixture in the form that a trainer reads.

Formats with mixing probabilities of their own: ``datasets`` (``interleave_datasets``), ``llamafactory``
(``interleave_probs``), ``olmocore`` (a source mixture's ``target_ratio``) and ``trl`` (a script over
``interleave_datasets``, since its dataset mixtures concatenate). Axolotl concatenates its datasets and has no
probabilities; it is refused with that reason when no token counts are known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from causalmix_nb.errors import ExportError, did_you_mean
from causalmix_nb.mixture import Mixture, unknown_domain

DIGITS = 6
SUFFIXES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".py": "datasets"}


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written: the text, the file (None if none), and the format."""

    text: str
    path: Path | None
    format: str

    def __str__(self) -> str:
        return self.text


def export(
    mixture: Mixture,
    path: str | Path | None = None,
    format: str | None = None,
    overwrite: bool = False,
    sources: Mapping[str, str] | None = None,
    token_budget: int | None = None,
) -> ExportResult:
    """Write a mixture for a trainer.

    Parameters
    ----------
    mixture: what to train on.
    path: the file; None returns the text only.
    format: "json", "yaml", "datasets", "llamafactory", "trl" or "olmocore"; by default what the suffix says.
    overwrite: replace a file that is there.
    sources: domain -> name of the dataset or file it stands for; the domain's own name by default.
    token_budget: tokens to train on, recorded where the format has a place for it.

    Raises
    ------
    ExportError: an unknown format or suffix, a file that exists, or a folder that cannot be written.

    >>> print(export(Mixture({"math": 0.4, "code": 0.6}), format="llamafactory"))
    dataset: math,code
    mix_strategy: interleave_over
    interleave_probs: 0.4,0.6
    <BLANKLINE>
    """
    path = None if path is None else Path(path)
    form = _format(path, format)
    for name in sources or {}:
        if name not in mixture.domains:
            raise unknown_domain(name, mixture.domains)
    shares = _rounded(mixture)
    named = {name: (sources or {}).get(name, name) for name in shares}
    text = FORMATS[form](shares, named, token_budget)
    if path is not None:
        _write(path, text, overwrite)
    return ExportResult(text, path, form)


def _format(path: Path | None, given: str | None) -> str:
    if given is not None:
        if given == "axolotl":
            raise ExportError(
                "Axolotl concatenates its datasets and has no mixing probabilities; "
                "export --format datasets and train on the mixed dataset."
            )
        if given not in FORMATS:
            raise ExportError(
                f"unknown format {given!r}.{did_you_mean(given, FORMATS)} Formats are {', '.join(FORMATS)}."
            )
        return given
    if path is None:
        return "json"
    if path.suffix not in SUFFIXES:
        raise ExportError(
            f"the suffix {path.suffix!r} names no format; end in {', '.join(SUFFIXES)}, or say which with format="
        )
    return SUFFIXES[path.suffix]


def _rounded(mixture: Mixture) -> dict[str, float]:
    """Shares of six digits that sum to exactly 1: what rounding leaves goes to the largest."""
    units = {name: round(share * 10**DIGITS) for name, share in mixture.shares.items()}
    largest = max(units, key=lambda name: units[name])
    units[largest] += 10**DIGITS - sum(units.values())
    return {name: count / 10**DIGITS for name, count in units.items()}


def _write(path: Path, text: str, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise ExportError(
            f"{path} exists; add --overwrite (overwrite=True) to replace it, or choose another name."
        )
    if not path.parent.is_dir():
        raise ExportError(f"there is no folder {path.parent}; make it first, or choose another.")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExportError(
            f"cannot write {path} ({error.strerror}); choose a folder that can be written."
        ) from None


Writer = Callable[[Mapping[str, float], Mapping[str, str], int | None], str]


def _plain(shares: Mapping[str, float], named: Mapping[str, str], budget: int | None) -> dict:
    content: dict = {"mixture": dict(shares)}
    if any(named[name] != name for name in shares):
        content["sources"] = dict(named)
    if budget:
        content["token_budget"] = budget
    return content


def _json(shares: Mapping[str, float], named: Mapping[str, str], budget: int | None) -> str:
    return json.dumps(_plain(shares, named, budget), indent=2, ensure_ascii=False) + "\n"


def _yaml(shares: Mapping[str, float], named: Mapping[str, str], budget: int | None) -> str:
    import yaml

    return yaml.safe_dump(_plain(shares, named, budget), sort_keys=False, allow_unicode=True)


def _datasets(shares: Mapping[str, float], named: Mapping[str, str], budget: int | None) -> str:
    used = {name: share for name, share in shares.items() if share > 0}
    lines = [f"    load_dataset({named[name]!r}, split='train'),  # {name!r}" for name in used]
    return "\n".join(
        [
            "from datasets import interleave_datasets, load_dataset",
            "",
            "sources = [",
            *lines,
            "]",
            "mixed = interleave_datasets(",
            "    sources,",
            f"    probabilities={list(used.values())},  # per example: equal to shares of tokens for equally long ones",
            "    seed=0,",
            "    stopping_strategy='all_exhausted',",
            ")",
            "",
        ]
    )


def _llamafactory(shares: Mapping[str, float], named: Mapping[str, str], budget: int | None) -> str:
    import yaml

    used = {named[name]: share for name, share in shares.items() if share > 0}
    for name in used:
        if "," in name:
            raise ExportError(
                f"LLaMA-Factory separates datasets by commas, and {name!r} has one; give another name in sources="
            )
    content = {
        "dataset": ",".join(used),
        "mix_strategy": "interleave_over",
        "interleave_probs": ",".join(f"{share:.{DIGITS}g}" for share in used.values()),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)


def _trl(shares: Mapping[str, float], named: Mapping[str, str], budget: int | None) -> str:
    return _datasets(shares, named, budget) + "# SFTTrainer(model=..., train_dataset=mixed, ...)\n"


def _olmocore(shares: Mapping[str, float], named: Mapping[str, str], budget: int | None) -> str:
    import yaml

    sources = [
        {"source_name": name, "target_ratio": share, "paths": [named[name]]}
        for name, share in shares.items()
        if share > 0
    ]
    content: dict = {"source_list": {"sources": sources}}
    if budget:
        content["requested_tokens"] = budget
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


FORMATS: dict[str, Writer] = {
    "json": _json,
    "yaml": _yaml,
    "datasets": _datasets,
    "llamafactory": _llamafactory,
    "trl": _trl,
    "olmocore": _olmocore,
}
