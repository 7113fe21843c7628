"""A mixture in the form that a trainer reads.

The shares of a recommendation are of tokens; trainers draw examples. Every format gets both, with the number of examples to
draw and how often each domain is read. The script for ``datasets`` writes a file for trainers that only read one, such as Axolotl.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.data.documents.sources import Source, named_source, own_files
from causalmix_nb.decide.export.formats.format import FORMATS, Format, Written
from causalmix_nb.decide.export.plan import DomainSize, ExportPlan, PoolSizes, make_plan
from causalmix_nb.decide.export.sizes import describe_pool, measure_sizes, pool_rows
from causalmix_nb.decide.policy import Recommendation
from causalmix_nb.errors import ExportError
from causalmix_nb.files import replacing
from causalmix_nb.mixture import Mixture, unknown_domain

if TYPE_CHECKING:
    from causalmix_nb.data.pool import Pool


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
    path: the file; None returns the text only. What a format needs beside it (LLaMA-Factory's ``dataset_info.json``) is written too.
    format: a name in :data:`FORMATS` ("json", "yaml", "datasets", "llamafactory", "trl", "olmocore"); by default what the suffix says.
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
    written = form.write(plan, folder)
    if path is not None:
        _write_whole(path, written, overwrite)
    beside = {name: file.text for name, file in written.beside.items()}
    return ExportResult(written.text, path, form.name, plan, beside)


def _write_whole(path: Path, written: Written, overwrite: bool) -> None:
    """Write a file and what belongs beside it, all of it or nothing."""
    if os.path.lexists(path) and not overwrite:
        raise ExportError(
            f"{path} exists; add --overwrite (overwrite=True) to replace it, or choose another name."
        )
    if not path.parent.is_dir():
        raise ExportError(f"there is no folder {path.parent}; make it first, or choose another.")
    texts = {path: written.text}
    for name, file in written.beside.items():
        other = path.parent / name
        if other == path:
            raise ExportError(f"{name} is written beside the file, so it cannot be its name; choose another.")
        texts[other] = (
            file.join(_read(other), other, overwrite) if file.join and other.exists() else file.text
        )
    try:
        if folder := next((target for target in texts if target.is_dir()), None):
            raise IsADirectoryError(errno.EISDIR, f"{folder.name} is a folder")
        with ExitStack() as ends:  # in turn from the last: the file itself is there when all is
            for target, content in texts.items():
                ends.enter_context(replacing(target, durable=False)).write_bytes(content.encode())
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        why = getattr(error, "strerror", None) or error
        raise ExportError(
            f"cannot write {str(path)!r} ({why}); choose a folder that can be written."
        ) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _format(path: Path | None, given: str | None) -> Format:
    """The format that was asked for; else the one of the path's suffix; else JSON.

    Raises
    ------
    ExportError: an unknown format or suffix, or a trainer that another format serves.
    """
    if given is not None:
        if how := next((form.serves[given] for form in FORMATS.values() if given in form.serves), None):
            raise ExportError(how)
        return FORMATS.find(given)
    if path is None:
        return FORMATS["json"]
    suffixes = {suffix: form for form in FORMATS.values() for suffix in form.suffixes}
    if path.suffix not in suffixes:
        raise ExportError(
            f"the suffix {path.suffix!r} names no format; end in {', '.join(suffixes)}, or say which with format="
        )
    return suffixes[path.suffix]


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
    note = f"to do: some documents stand in no file as they were read, so write them beside it: {lines}"
    return replace(plan, domains=domains).noted(note)


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
