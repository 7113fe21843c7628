"""Where the documents of a domain lie – files, the hub, some rows of either – so that a trainer can load the same ones."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from causalmix_nb.data.documents.documents import CHAT_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS, TEXT_COLUMNS
from causalmix_nb.errors import PoolError

LOADERS = {
    ".jsonl": "json", ".json": "json", ".ndjson": "json", ".parquet": "parquet", ".csv": "csv", ".txt": "text", ".md": "text",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """Where one domain's rows are.

    files: their paths, absolute. hub: the name of a dataset instead. split: which part of it.
    domain_column, domain: only the rows whose column says so (as text), where domains share the files.
    columns: what a column holds ("text"; "prompt", "input", "response"; "messages") -> its name.

    >>> Source(files=("/data/books.jsonl.gz",), columns={"text": "text"}).loader
    'json'
    """

    files: tuple[str, ...] = ()
    hub: str = ""
    split: str = "train"
    domain_column: str = ""
    domain: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def loader(self) -> str:
        """The builder of ``datasets`` that reads the files; empty for a dataset of the hub."""
        return loader_of(self.files[0]) if self.files else ""

    @property
    def located(self) -> bool:
        """Whether it says where the rows are, not only what they look like."""
        return bool(self.files or self.hub)

    @property
    def kind(self) -> str:
        """What a row is: "text", "pair" (prompt and response), "messages", or "" where the columns are not known."""
        if "messages" in self.columns:
            return "messages"
        if "response" in self.columns:
            return "pair"
        return "text" if "text" in self.columns else ""

    def of(self, domain_column: str, domain: str) -> Source:
        """Those of its rows that belong to a domain."""
        return replace(self, domain_column=domain_column, domain=domain)

    def to_dict(self) -> dict[str, Any]:
        """What is known, as JSON."""
        found = {
            "files": list(self.files), "hub": self.hub, "split": self.split if self.hub else "",
            "domain_column": self.domain_column, "domain": self.domain, "columns": dict(self.columns),
        }  # fmt: skip
        return {name: value for name, value in found.items() if value}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Source:
        """What :meth:`to_dict` wrote."""
        return cls(**{**content, "files": tuple(content.get("files", ()))})

    def __str__(self) -> str:
        where = self.hub or ", ".join(self.files)
        return f"{where} [{self.domain_column} = {self.domain}]" if self.domain_column else where


def loader_of(path: str | Path) -> str:
    """The builder of ``datasets`` that reads a file, by its suffix; empty for none.

    >>> loader_of("a/books.jsonl.gz"), loader_of("my_org/my_dataset")
    ('json', '')
    """
    return LOADERS.get(Path(str(path).removesuffix(".gz")).suffix.lower(), "")


def file_source(paths: Sequence[str | Path]) -> Source:
    """The source that some files are."""
    return Source(files=tuple(str(Path(path).expanduser().absolute()) for path in paths))


def named_source(given: str | Sequence[str] | Source) -> Source:
    """What a user names: a dataset of the hub, a file or a glob, or several files."""
    if isinstance(given, Source):
        return given
    names = [given] if isinstance(given, str) else [str(name) for name in given]
    if all(loader_of(name) or name.endswith(".npy") for name in names):
        found = [path for name in names for path in sorted(glob.glob(str(Path(name).expanduser()))) or [name]]
        source = file_source(found)
        return replace(source, columns=columns_of(_peek(source.files[0])))
    return Source(hub=names[0]) if len(names) == 1 else Source(files=tuple(names))


def _peek(path: str) -> list[str]:
    """Names of the columns of a table, from its first row; none where that does not tell."""
    import csv
    import gzip
    import json

    try:
        if loader_of(path) == "parquet":
            from pyarrow.parquet import read_schema

            return list(read_schema(path).names)
        if loader_of(path) == "text":
            return ["text"]
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8-sig") as file:
            if loader_of(path) == "csv":
                return next(csv.reader(file), [])
            row = json.loads(file.readline())
            return list(row) if isinstance(row, dict) else []
    except (
        OSError,
        ValueError,
        csv.Error,
        EOFError,
    ):  # not here, or not what its suffix says: nothing is known
        return []


def own_files(names: Sequence[str]) -> dict[str, str]:
    """A file for each of some domains, whatever signs their names have; no two share one.

    >>> own_files(["code", "a/b", "a:b"])
    {'code': 'code.jsonl', 'a/b': 'a_b.jsonl', 'a:b': 'a_b_2.jsonl'}
    """
    found: dict[str, str] = {}
    for name in names:
        stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:80]
        taken, n, file = {other.casefold() for other in found.values()}, 1, f"{stem}.jsonl"
        while file.casefold() in taken:
            n, file = n + 1, f"{stem}_{n + 1}.jsonl"
        found[name] = file
    return found


def columns_of(has: Sequence[str], given: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """What the columns of a table hold, by the names given or the usual ones.

    >>> columns_of(["id", "instruction", "input", "output"])
    {'prompt': 'instruction', 'response': 'output', 'input': 'input'}
    """
    usual = {"text": TEXT_COLUMNS, "prompt": PROMPT_COLUMNS, "response": RESPONSE_COLUMNS}
    found = {
        what: (given or {}).get(f"{what}_column") or next((name for name in names if name in has), "")
        for what, names in usual.items()
    }
    if "chosen" in has and not found["response"]:  # a pair of answers: the one that is to be learnt
        found["response"] = "chosen" if found["prompt"] else ""
    chats = [name for name in (*CHAT_COLUMNS, "chosen") if name in has]
    if found["prompt"] and found["response"] and not (given or {}).get("text_column"):
        pair = {"prompt": found["prompt"], "response": found["response"]}
        return {**pair, "input": "input"} if found["prompt"] == "instruction" and "input" in has else pair
    if found["text"]:
        return {"text": found["text"]}
    return {"messages": chats[0]} if chats else {}


def load_hub(name: str, split: str, streaming: bool, max_documents: int | None) -> Any:
    """Rows of a dataset of the Hugging Face hub.

    Raises
    ------
    PoolError: the hub cannot be reached, or has no such dataset.
    """
    from datasets import Dataset, load_dataset
    from datasets.exceptions import DatasetNotFoundError

    part = split if streaming or not max_documents else f"{split}[:{max_documents}]"
    try:
        data = load_dataset(name, split=part, streaming=streaming)
        return Dataset.from_list(list(data.take(max_documents))) if streaming else data
    except DatasetNotFoundError:
        raise PoolError(
            f"the hub has no dataset {name!r}, or it cannot be read without logging in; check the name."
        ) from None
    except (ConnectionError, OSError, ValueError) as error:
        if isinstance(error, ValueError):
            raise PoolError(
                f"dataset {name!r} cannot be loaded ({str(error).splitlines()[0][:120]}); check it."
            ) from None
        raise PoolError(
            f"the hub cannot be reached for {name!r}; check the connection, or use files: or a dataset you have."
        ) from None
