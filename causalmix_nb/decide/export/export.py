"""A mixture in the form that a trainer reads.

The shares of a recommendation are of tokens; trainers draw examples. Every format gets both, with the number of examples to
draw and how often each domain is read: ``json`` and ``yaml`` (all of it as data), ``datasets`` (a script that draws it),
``trl`` (the same for SFTTrainer), ``llamafactory`` (its YAML and dataset_info.json) and ``olmocore`` (a source mixture, by
tokens). Axolotl concatenates its datasets and has no probabilities; the ``datasets`` script writes a file for it.

A format is one function from an :class:`~causalmix_nb.decide.export.plan.ExportPlan` to text, in :data:`FORMATS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.data.documents.sources import Source, named_source, own_files
from causalmix_nb.decide.export.llamafactory import INFO, llamafactory_text, merged_info
from causalmix_nb.decide.export.plan import DomainSize, ExportPlan, PoolSizes, make_plan
from causalmix_nb.decide.export.scripts import datasets_text, trl_text
from causalmix_nb.decide.export.sizes import describe_pool, measure_sizes, pool_rows
from causalmix_nb.decide.export.tables import json_text, olmocore_text, yaml_text
from causalmix_nb.decide.policy import Recommendation
from causalmix_nb.errors import ExportError, did_you_mean
from causalmix_nb.mixture import Mixture, unknown_domain

if TYPE_CHECKING:
    from causalmix_nb.data.pool import Pool

SUFFIXES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".py": "datasets"}

Written = str | tuple[str, dict[str, str]]
Writer = Callable[[ExportPlan, Path], Written]

FORMATS: dict[str, Writer] = {
    "json": lambda plan, folder: json_text(plan),
    "yaml": lambda plan, folder: yaml_text(plan),
    "datasets": lambda plan, folder: datasets_text(plan),
    "llamafactory": llamafactory_text,
    "trl": lambda plan, folder: trl_text(plan),
    "olmocore": lambda plan, folder: olmocore_text(plan),
}


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written.

    text: of the file. path: where; None if nowhere. files: name -> text of what belongs beside it.
    plan: examples and tokens of every domain. notes: what to know before training with it.
    """

    text: str
    path: Path | None
    format: str
    plan: ExportPlan | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        return self.plan.notes if self.plan else ()

    def __str__(self) -> str:
        return self.text


def export(
    mixture: Mixture | Recommendation | Mapping[str, float],
    path: str | Path | None = None,
    format: str | None = None,
    overwrite: bool = False,
    sources: Mapping[str, Any] | None = None,
    token_budget: float | None = None,
    *,
    pool: Pool | PoolSizes | None = None,
    lengths: Mapping[str, float] | None = None,
    tokenizer: Any = None,
    max_epochs: float | None = None,
    max_length: int | None = None,
    notes: Sequence[str] = (),
) -> ExportResult:
    """Write a mixture for a trainer.

    Parameters
    ----------
    mixture: shares of the tokens to train on; a recommendation brings its verdict, gain and interval along.
    path: the file; None returns the text only. ``dataset_info.json`` is written beside the YAML of LLaMA-Factory.
    format: "json", "yaml", "datasets", "llamafactory", "trl" or "olmocore"; by default what the suffix says.
    overwrite: replace files that are there.
    sources: domain -> where its rows are: a dataset of the hub, a file, a glob, or a list of files; the pool's own by default.
    token_budget: tokens to train on.
    pool: the data, for how long examples are, how many there are and where; :meth:`Study.export` knows it by itself.
    lengths: domain -> tokens of an example on average, where there is no pool.
    tokenizer: of the model to be trained (or its name), to count its tokens; None counts bytes.
    max_epochs: how often a token may be read.
    max_length: tokens after which the trainer cuts an example.
    notes: what else the file should say.

    Raises
    ------
    ExportError: an unknown format or suffix, a file that exists, or a folder that cannot be written.

    >>> result = export(Mixture({"math": 0.4, "code": 0.6}), lengths={"math": 100, "code": 600}, format="llamafactory")
    >>> print(result.text[result.text.index("dataset:"):])
    dataset: math,code
    mix_strategy: interleave_under
    interleave_probs: 0.8,0.2
    <BLANKLINE>
    """
    path = None if path is None else Path(path)
    form = _format(path, format)
    if not isinstance(mixture, (Mixture, Recommendation)):
        mixture = Mixture(mixture)
    shares = mixture.mixture if isinstance(mixture, Recommendation) else mixture
    for name in (*(sources or {}), *(lengths or {})):
        if name not in shares.domains:
            raise unknown_domain(name, shares.domains)
    for name in shares.domains:
        _check_name(name)
    where = {name: _source(name, given) for name, given in (sources or {}).items()}
    sizes = _sizes(shares, pool, lengths, tokenizer, max_length)
    folder = path.parent if path else Path()
    plan = _housed(make_plan(mixture, sizes, token_budget, max_epochs, where).noted(*notes), folder)
    written = FORMATS[form](plan, folder)
    text, beside = written if isinstance(written, tuple) else (written, {})
    if path is not None:
        write_whole(path, text, beside, overwrite)
    return ExportResult(text, path, form, plan, beside)


def write_whole(path: Path, text: str, beside: Mapping[str, str], overwrite: bool) -> None:
    """Write a file and what belongs beside it, all of it or nothing."""
    if os.path.lexists(path) and not overwrite:
        raise ExportError(
            f"{path} exists; add --overwrite (overwrite=True) to replace it, or choose another name."
        )
    if not path.parent.is_dir():
        raise ExportError(f"there is no folder {path.parent}; make it first, or choose another.")
    texts = {path: text}
    for name, content in beside.items():
        other = path.parent / name
        if other == path:
            raise ExportError(f"{name} is written beside the file, so it cannot be its name; choose another.")
        if name == INFO and other.exists():
            content = merged_info(_read(other), content, other, overwrite)
        texts[other] = content
    partial: dict[Path, Path] = {}
    try:
        for target, content in texts.items():
            real = Path(os.path.realpath(target))
            made = real.with_name(f".{real.name}.{os.getpid()}.partial")
            partial[made] = real
            made.write_text(content, encoding="utf-8", newline="\n")
            if real.exists():
                made.chmod(real.stat().st_mode & 0o777)
                if real.is_dir():
                    raise IsADirectoryError(21, "it is a folder")
        for made, real in reversed(partial.items()):  # the file itself last: it is there when all is
            os.replace(made, real)
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        why = getattr(error, "strerror", None) or error
        raise ExportError(
            f"cannot write {str(path)!r} ({why}); choose a folder that can be written."
        ) from None
    finally:
        for made in partial:
            made.unlink(missing_ok=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _format(path: Path | None, given: str | None) -> str:
    if given is not None:
        if given == "axolotl":
            raise ExportError(
                "Axolotl concatenates its datasets and has no mixing probabilities; "
                "export --format datasets to mix.py, run `python mix.py mixed.jsonl`, and train on mixed.jsonl."
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


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ExportError(
            f"the domain {name!r} has half a character in its name, which no file can hold; rename the domain."
        ) from None


def _source(name: str, given: Any) -> Source:
    if not isinstance(given, (str, Path, Source)) and not (
        isinstance(given, Sequence) and given and all(isinstance(one, (str, Path)) for one in given)
    ):
        raise ExportError(
            f"the source of {name!r} is {given!r}; give a dataset's name, a file, a glob, or a list of files."
        )
    return named_source(str(given) if isinstance(given, Path) else given)


def _housed(plan: ExportPlan, folder: Path) -> ExportPlan:
    """The plan with a file for every domain whose documents are in memory only, and how to write it."""
    homeless = [domain.name for domain in plan.used if domain.source and not domain.source.located]
    if not homeless:
        return plan
    files = own_files([domain.name for domain in plan.used])
    domains = tuple(
        replace(d, source=replace(d.source, files=(str(folder / files[d.name]),)))
        if d.name in homeless and d.source
        else d
        for d in plan.domains
    )
    lines = "; ".join(f"pool[{name!r}].documents.to_json({files[name]!r})" for name in homeless)
    said = f"to do: some documents are in no file that this one could name, so write them beside it: {lines}"
    return replace(plan, domains=domains).noted(said)


def _sizes(
    shares: Mixture, pool: Any, lengths: Mapping[str, float] | None, tokenizer: Any, max_length: int | None
) -> PoolSizes | None:
    if isinstance(pool, PoolSizes):
        return pool
    if pool is not None:
        return measure_sizes(describe_pool(pool), lambda name: pool_rows(pool, name), tokenizer, max_length)
    if lengths is None:
        return None
    known = {}
    for name, share in shares.shares.items():
        if not share:
            continue
        try:
            value = float(lengths[name])
        except (KeyError, TypeError, ValueError):
            value = 0.0
        if not 0 < value < float("inf"):
            raise ExportError(
                f"the length of {name!r} is {lengths.get(name)!r}; give every domain its tokens per example, a number above 0."
            )
        known[name] = DomainSize(value)
    return PoolSizes(known, "tokens", max_length)
