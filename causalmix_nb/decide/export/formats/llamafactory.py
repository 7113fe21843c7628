"""LLaMA-Factory: its YAML, and the ``dataset_info.json`` that goes with it.

LLaMA-Factory draws examples. ``split`` of an entry of ``dataset_info.json`` is handed to ``datasets``, which reads the rows that it names:
those whose tokens are the share, where the file is here. Elsewhere ``num_samples`` takes so many rows by chance (all of them first, some
again where there are fewer), whose tokens are the share on average. ``concat`` takes each of them once, and the trainer shuffles them;
``interleave_once`` would say the same and fails with the ``datasets`` that LLaMA-Factory 0.9.5 asks for. Without counts, ``interleave_under`` draws by probability and stops when a domain runs out; ``interleave_over`` would go on
until every domain has been read once, and read the others as often as that takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from causalmix_nb.data.documents.sources import Source, own_files
from causalmix_nb.decide.export.formats.format import FORMATS, Beside, Format, Written
from causalmix_nb.decide.export.plan import ExportPlan, PlannedDomain, probabilities, with_examples
from causalmix_nb.decide.export.stretches import row_bytes, stretches
from causalmix_nb.decide.export.text import as_yaml, comments, printable
from causalmix_nb.errors import ExportError

INFO = "dataset_info.json"
READS = (".arrow", ".csv", ".json", ".jsonl", ".parquet", ".txt")
MOST_TIMES = 50  # that all rows of a file are named; of more, a sample of their number is as close
CUTOFF = 2048  # tokens, after which LLaMA-Factory cuts an example unless told otherwise


def write(plan: ExportPlan, folder: Path) -> Written:
    """The YAML, and ``dataset_info.json`` beside it unless nothing is known of the data."""
    for domain in plan.used:
        _check_name(domain.name)
    by_line = [d for d in plan.used if d.source and d.source.loader == "text"]
    plan = with_examples(plan, {d.name: _lines(d.source) for d in by_line})
    entries, todo, own = {}, [], own_files([domain.name for domain in plan.used])
    for domain in plan.used:
        if domain.source is None and not plan.measured:
            todo.append(f"No source is known here for {domain.name}: your {INFO} must describe it.")
            continue
        entries[domain.name], more = _entry(domain, folder.absolute(), own[domain.name], plan.max_length)
        todo += more
    content: dict[str, Any] = {
        **({"dataset_dir": str(folder)} if entries else {}),
        "dataset": ",".join(domain.name for domain in plan.used),
    }
    if plan.exact:
        content |= {"mix_strategy": "concat", "num_train_epochs": 1.0}
    else:
        probs = ",".join(f"{share:.12g}" for share in probabilities(plan.used))
        content |= {"mix_strategy": "interleave_under", "interleave_probs": probs}
    if plan.max_length is not None:
        content["cutoff_len"] = plan.max_length
    remarks = _remarks(plan, entries) if entries else []
    described = Beside(json.dumps(entries, indent=2) + "\n", partial(joined, entries))
    text = comments(plan, *remarks, *map(printable, todo)) + as_yaml(content)
    return Written(text, {INFO: described} if entries else {})


def joined(ours: Mapping[str, Any], old: str, path: Path, overwrite: bool) -> str:
    """The entries of a ``dataset_info.json`` that is there, with ours.

    Raises
    ------
    ExportError: a file that holds no entries, or another entry of the same name, unless it may be replaced.
    """
    try:
        there = json.loads(old)
    except ValueError:
        there = None
    if not isinstance(there, dict):
        raise ExportError(
            f"{path} is there and holds no data sets; move it away, or export to another folder."
        )
    taken = [name for name, entry in ours.items() if name in there and there[name] != entry]
    if taken and not overwrite:
        raise ExportError(
            f"{path} describes {taken[0]!r} already; add --overwrite (overwrite=True) to replace it, or export to another folder."
        )
    return json.dumps({**there, **ours}, indent=2) + "\n"


def _check_name(name: str) -> None:
    if "," in name:
        raise ExportError(
            f"LLaMA-Factory separates datasets by commas, and the domain {name!r} has one; rename the domain."
        )
    if name != name.strip() or not name:
        raise ExportError(
            f"LLaMA-Factory drops the spaces around a name, and the domain {name!r} has some; rename the domain."
        )
    if "${" in name:
        raise ExportError(
            f"LLaMA-Factory replaces what stands in ${{…}}, and the domain {name!r} has it; rename the domain."
        )


def _lines(source: Source | None) -> int:
    """Examples that LLaMA-Factory makes of text files: one a line; 0 where the files are not here."""
    count = 0
    for path in source.files if source else ():
        try:
            with open(path, "rb") as file:
                count += sum(1 for _ in file)
        except OSError:
            return 0
    return count


def _entry(
    domain: PlannedDomain, folder: Path, own: str, cut: int | None
) -> tuple[dict[str, Any], list[str]]:
    """One entry, and what has to be done before it can be read."""
    source, todo = domain.source, []
    entry: dict[str, Any] = {}
    if source is None:
        entry["file_name"] = own
        todo.append(
            f"To do: nothing is known of where {domain.name} is; write its documents to {own}, or say in {INFO} where they are."
        )
    elif source.domain_column:
        entry["file_name"] = own
        todo.append(
            f"To do: LLaMA-Factory cannot choose rows; write those of {source.hub or ', '.join(source.files)} "
            f"whose {source.domain_column} is {source.domain} to {own}."
        )
    elif source.hub:
        entry["hf_hub_url"] = source.hub
        if source.split != "train":
            entry["split"] = source.split
    else:
        name, more = _file_name(source, folder, own)
        entry["file_name"] = name
        todo += more
    columns = _columns(source)
    if source and not columns:
        todo.append(f"To do: say in {INFO} which columns of {domain.name} hold what.")
    entry |= columns
    if domain.draw is not None:
        entry |= _drawn(domain, cut)
    return entry, todo


def _drawn(domain: PlannedDomain, cut: int | None) -> dict[str, Any]:
    """What of a domain is read: the rows that make its tokens where their lengths can be known, else so many rows by chance."""
    if domain.source and domain.per_byte and domain.tokens:
        lengths = row_bytes(domain.source)
        if lengths is None or len(lengths) != domain.documents or not lengths.any():
            return {"num_samples": domain.draw}
        tokens = np.minimum(lengths * domain.per_byte, cut or np.inf)
        times, some = stretches(tokens, domain.tokens)
        if times <= MOST_TIMES:
            return {"split": "+".join(["train"] * times + [f"train[{a}:{b}]" for a, b in some])}
    return {"num_samples": domain.draw}


def _file_name(source: Source, folder: Path, own: str) -> tuple[str, list[str]]:
    """The one file of an entry, and what makes it where LLaMA-Factory cannot read what there is."""
    path, todo = Path(source.files[0]).absolute(), []
    if source.options:
        return own, [
            f"To do: LLaMA-Factory reads only UTF-8 and commas; {path.name} is read with "
            f"{', '.join(f'{name} {value!r}' for name, value in source.options.items())}, so write its rows to {own}."
        ]
    if len(source.files) > 1:
        return own, [
            f"To do: an entry of LLaMA-Factory is one file; join {', '.join(source.files)} as {own}."
        ]
    if path.suffix.lower() not in READS:
        readable = path.with_suffix("") if path.suffix == ".gz" else path
        if readable.suffix.lower() not in READS:
            readable = readable.with_suffix({"text": ".txt"}.get(source.loader, ".jsonl"))
        todo.append(f"To do: LLaMA-Factory does not read {path.name}; unpack or rename it to {readable}.")
        path = readable
    return (str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)), todo


def _columns(source: Source | None) -> dict[str, Any]:
    columns = dict(source.columns) if source else {}
    if "messages" in columns:
        tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}  # fmt: skip
        named = {"formatting": "sharegpt", "columns": {"messages": columns["messages"]}}
        return named if columns["messages"] == "conversations" else {**named, "tags": tags}
    if "response" in columns:
        named = {"prompt": "prompt", "input": "query", "response": "response", "system": "system"}
        return {"columns": {ours: columns[what] for what, ours in named.items() if what in columns}}
    return {"columns": {"prompt": columns["text"]}} if "text" in columns else {}


def _remarks(plan: ExportPlan, entries: Mapping[str, Any]) -> list[str]:
    kinds = {domain.source.kind for domain in plan.used if domain.source}
    sentences = [f"The data sets are described in {INFO} beside this file."]
    if plan.exact:
        sentences.append(
            "split there names the rows to read, num_samples how many; concat takes each once and needs no interleave_probs. Train without "
            "streaming, which ignores num_samples and does not mix what is concatenated."
        )
        chance = [name for name, entry in entries.items() if "num_samples" in entry]
        if len(chance) < len(entries):
            sentences.append(
                "The rows that split names have the tokens that are wanted to a row; only their order is chance."
            )
        if chance:
            sentences.append(
                f"Which num_samples rows are drawn is chance, and their tokens with them ({', '.join(chance)}): a sample of few rows may be "
                "some per cent off."
            )
    if "text" in kinds:
        sentences.append("Plain text is for stage: pt." + (" Other domains here are for stage: sft." if len(kinds) > 1 else ""))  # fmt: skip
    if plan.max_length is None and kinds != {"text"}:
        sentences.append(
            f"LLaMA-Factory cuts examples after cutoff_len ({CUTOFF:,} tokens); if some are longer, export with max_length."
        )
    return [printable(line) for line in sentences]


FORMATS.register(Format("llamafactory", "its YAML and dataset_info.json", write))
