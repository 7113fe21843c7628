"""Named domains over Hugging Face datasets, and how a sub-pool may differ from the pool before anything is mixed.

A :class:`Pool` is what a team could train on: a few domains, each a set of documents. Documents are plain text, or a
prompt with the response to be learnt. A :class:`Tilt` says how one domain of a sub-pool differs (noisier, duplicated,
scarcer, …); :func:`plan_tilt` turns it into a list of documents, which is all that training needs.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.errors import PoolError, did_you_mean
from causalmix_nb.mixture import Mixture, unknown_domain
from causalmix_nb.sources import (
    LOADERS,
    PROMPT_COLUMNS,
    RESPONSE_COLUMNS,
    TEXT_COLUMNS,
    Source,
    columns_of,
    file_source,
    load_hub,
)

if TYPE_CHECKING:
    import datasets
    import pandas as pd

BOILERPLATE = (
    "Home | Products | About us | Careers | Contact | Sign in\nThis site uses cookies to improve your experience. "
    "By continuing to browse you accept our use of cookies. Accept all | Manage preferences\n",
    "Copyright. All rights reserved. No part of this page may be reproduced without permission. "
    "Terms of service | Privacy policy | Accessibility | Sitemap\n",
    "Subscribe to our newsletter! Enter your e-mail address to receive news and special offers. "
    "You can unsubscribe at any time. Share this page: Facebook | Twitter | LinkedIn | E-mail\n",
)


@dataclass(frozen=True, slots=True)
class Tilt:
    """How one domain of a sub-pool differs from the pool's, before mixing.

    >>> Tilt(noise=1.4)
    Traceback (most recent call last):
    ...
    causalmix_nb.errors.PoolError: noise is 1.4; it must lie between 0 and 1.
    """

    noise: float = 0.0  # share of documents whose characters are shuffled, 0 … 1
    duplicates: float = (
        0.0  # share of documents replaced by copies of a few (1 %) of the domain's documents, 0 … 1
    )
    boilerplate: float = 0.0  # share of documents replaced by page furniture, 0 … 1
    difficulty: float = 0.0  # -1 keeps the easiest half, +1 the hardest half, by compressed size per byte
    keep: float = 1.0  # share of the documents that is there at all, above 0 … 1

    def __post_init__(self) -> None:
        for name, low in (
            ("noise", 0),
            ("duplicates", 0),
            ("boilerplate", 0),
            ("difficulty", -1),
            ("keep", 0),
        ):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and low <= value <= 1):
                raise PoolError(f"{name} is {value}; it must lie between {low} and 1.")
        if self.keep == 0:
            raise PoolError(
                "keep is 0; a domain cannot lose all its documents. Give it a share of 0 in the mixture."
            )

    def __str__(self) -> str:
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return ", ".join(f"{name} {value:.0%}" for name, value in changed.items()) or "as it is"


@dataclass(frozen=True, slots=True)
class TiltPlan:
    """The documents of a tilted domain: index (m,) int of the source document, noisy (m,) and boilerplate (m,) bool."""

    index: np.ndarray
    noisy: np.ndarray
    boilerplate: np.ndarray


def plan_tilt(n_documents: int, tilt: Tilt, seed: int, difficulty: np.ndarray | None = None) -> TiltPlan:
    """Which documents a tilted domain has, and what is wrong with them.

    The same seed nests: what is noisy at 0.3 is noisy at 0.6.

    Parameters
    ----------
    n_documents: of the domain.
    difficulty: (n_documents,) scores, larger is harder; needed where ``tilt.difficulty`` is not 0.
    """
    rng = np.random.default_rng(seed)
    keep, noise, copy, furniture = rng.random((4, n_documents))
    originals = rng.permutation(n_documents)[: max(1, n_documents // 100)]
    copied = originals[rng.integers(len(originals), size=n_documents)]
    kept = keep < tilt.keep
    if tilt.difficulty and difficulty is not None:
        rank = np.argsort(np.argsort(difficulty, kind="stable")) / max(1, n_documents - 1)
        hardest = 1 - tilt.difficulty / 2 if tilt.difficulty < 0 else 1.0
        kept &= (rank >= max(0.0, tilt.difficulty / 2)) & (
            rank <= (1 + tilt.difficulty / 2 if tilt.difficulty < 0 else hardest)
        )
    if not kept.any():
        kept[int(keep.argmin())] = True
    index = np.where(copy < tilt.duplicates, copied, np.arange(n_documents))
    return TiltPlan(index[kept], (noise < tilt.noise)[kept], (furniture < tilt.boilerplate)[kept])


def corrupt_text(text: str, seed: int) -> str:
    """The same characters in a random order that depends on the seed and the text."""
    data = text.encode()
    characters = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    rng = np.random.default_rng([seed, zlib.crc32(data)])
    return characters[rng.permutation(len(characters))].tobytes().decode("utf-32-le")


def content_hash(text: str, seed: int = 0) -> float:
    """A number in [0, 1) that depends on the words of a text and the seed."""
    digest = hashlib.sha256(f"{seed}\0{' '.join(text.split())}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_by_hash(hashes: np.ndarray, holdout: float = 0.1) -> np.ndarray:
    """Which documents are held out, shape (n,) bool, by their :func:`content_hash` (n,): equal documents never lie on both sides.

    Each side gets at least one distinct document; with fewer than two distinct ones a side is empty.
    """
    distinct = np.unique(hashes)
    threshold = holdout
    if len(distinct) >= 2:
        threshold = float(np.clip(holdout, np.nextafter(distinct[0], 2), distinct[-1]))
    return hashes < threshold


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain: its name, its documents (columns ``prompt`` and ``text``) and where they come from.

    origin: where a trainer finds the rows; None where they are in memory only.
    n_rows: how many rows it finds there, also those without text; 0 where not all were read.
    """

    name: str
    documents: datasets.Dataset
    source: str = ""
    origin: Source | None = None
    n_rows: int = 0

    @property
    def n_documents(self) -> int:
        return len(self.documents)

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of the text (the responses, where there are prompts)."""
        import pyarrow.compute as pc

        batches = self.documents.with_format("arrow").iter(4096)
        return sum(pc.sum(pc.binary_length(batch["text"])).as_py() or 0 for batch in batches)

    @property
    def kind(self) -> str:
        """``"instruction"`` if any document has a prompt, else ``"text"``."""
        return "instruction" if any(self.documents[:64]["prompt"]) else "text"


class Pool(Mapping):
    """At least two named domains; a mapping of name to :class:`Domain`.

    >>> pool = Pool.from_dict({"a": ["one text", "another"], "b": ["a third", "a fourth"]})
    >>> pool.domains
    ('a', 'b')
    """

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        if len(domains) < 2:
            raise PoolError(
                f"the pool has {len(domains)} domain ({', '.join(domains) or 'none'}); a mixture needs at least 2."
            )
        self._domains = dict(domains)

    def __getitem__(self, name: str) -> Domain:
        try:
            return self._domains[name]
        except KeyError:
            raise unknown_domain(name, self._domains) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def __contains__(self, name: object) -> bool:
        return name in self._domains

    # -- making ------------------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], **columns: str | None) -> Pool:
        """A pool from what is in the notebook: domain -> texts, rows, a DataFrame or a ``datasets`` object.

        Parameters
        ----------
        data: domain -> list of texts, list of dicts (``prompt`` and ``response``, or ``text``), DataFrame or Dataset.
        columns: text_column, prompt_column, response_column, where their names are not the usual ones.

        Raises
        ------
        PoolError: fewer than two domains, an empty one, or one without a usable column.
        """
        return cls(
            {str(name): _domain(str(name), value, "notebook", columns) for name, value in data.items()}
        )

    @classmethod
    def from_files(
        cls,
        patterns: str | Path | Sequence[str | Path],
        domain_column: str | None = None,
        max_bytes: int | None = None,
        **columns: str | None,
    ) -> Pool:
        """A pool from JSON-lines, JSON, Parquet, CSV or text files (``.gz`` too); a file is a domain, named by its stem.

        Parameters
        ----------
        patterns: paths or globs.
        domain_column: split the rows of all files by this column instead.
        max_bytes: take at most so much of each file, as it comes.

        Raises
        ------
        PoolError: no such file, an unknown suffix, a file that is not what its suffix says, or no usable column.
        """
        patterns = [patterns] if isinstance(patterns, (str, Path)) else list(patterns)
        paths: list[Path] = []
        for pattern in patterns:
            found = sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))
            if not found:
                raise PoolError(f"no file matches {str(pattern)!r}; check the path.")
            paths += [Path(path) for path in found]
        if domain_column:
            from datasets import concatenate_datasets

            rows = concatenate_datasets([_load_file(path) for path in paths])
            return cls(_split(rows, domain_column, columns, file_source(paths)))
        named: dict[str, Domain] = {}
        for path in paths:
            stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
            if stem in named:
                raise PoolError(
                    f"two files are called {stem!r}; a file is a domain, so give them different names."
                )
            rows, origin = _load_file(path), file_source([path])
            named[stem] = _domain(stem, rows, path.name, columns, max_bytes, origin)
        return cls(named)

    @classmethod
    def from_dataset(cls, dataset: Any, domain_column: str, **columns: str | None) -> Pool:
        """A pool from one ``datasets`` object or DataFrame whose rows name their domain."""
        return cls(_split(_as_dataset(dataset, "the dataset"), domain_column, columns))

    @classmethod
    def from_hub(
        cls,
        names: str,
        domain_column: str | None = None,
        split: str = "train",
        streaming: bool = False,
        max_documents: int | None = None,
        **columns: str | None,
    ) -> Pool:
        """A pool from the Hugging Face hub: one dataset with a domain column, or several, one domain each.

        Parameters
        ----------
        names: dataset names, separated by commas.
        streaming: read without downloading all of it; needs ``max_documents``.
        max_documents: take at most so many rows of each.

        Raises
        ------
        PoolError: the hub cannot be reached, no such dataset, or no usable column.
        """
        if streaming and not max_documents:
            raise PoolError(
                "a streamed dataset has no end that is known; say how much to take with max_documents."
            )
        found = {
            name.strip(): load_hub(name.strip(), split, streaming, max_documents) for name in names.split(",")
        }
        part = f"{split}[:{max_documents}]" if max_documents else split
        if domain_column:
            from datasets import concatenate_datasets

            origin = Source(hub=names.strip(), split=part) if len(found) == 1 else None
            return cls(_split(concatenate_datasets(list(found.values())), domain_column, columns, origin))
        return cls({
            name.rpartition("/")[2]: _domain(name, data, name, columns, None, Source(hub=name, split=part))
            for name, data in found.items()
        })  # fmt: skip

    @classmethod
    def parse(
        cls,
        spec: str,
        namespace: Mapping[str, Any] | None = None,
        domain_column: str | None = None,
        **columns: Any,
    ) -> Pool:
        """A pool from a word: ``hf:<name>``, ``files:data/*.jsonl``, or the name of a variable."""
        kind, _, rest = spec.partition(":")
        if kind == "hf" and rest:
            return cls.from_hub(rest, domain_column, **columns)
        if kind == "files" and rest:
            return cls.from_files(rest.split(","), domain_column, **columns)
        names = namespace or {}
        if spec not in names:
            usable = [
                name for name, value in names.items() if isinstance(value, (Pool, dict)) and name[:1] != "_"
            ]
            raise PoolError(
                f"no variable {spec!r} in the notebook.{did_you_mean(spec, [*usable, 'demo'])} "
                "A pool is demo, hf:<name>, files:<glob> or a variable."
            )
        value = names[spec]
        if isinstance(value, Pool):
            return value
        if isinstance(value, Mapping) and not domain_column:
            return cls.from_dict(value, **columns)
        if domain_column is None:
            raise PoolError(f"{spec!r} is one table; name the column that tells domains apart with --domain.")
        return cls.from_dataset(value, domain_column, **columns)

    # -- what there is -----------------------------------------------------------------------------------

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""
        return tuple(self._domains)

    @property
    def natural(self) -> Mixture:
        """Shares proportional to the bytes of the domains."""
        return Mixture({name: domain.n_bytes for name, domain in self._domains.items()}, normalise=True)

    @property
    def fingerprint(self) -> str:
        """Hash of names and contents: equal pools have equal fingerprints."""
        digest = hashlib.sha256()
        for name, domain in self._domains.items():
            digest.update(name.encode() + b"\0\0")
            for batch in domain.documents.iter(1024):
                for prompt, text in zip(batch["prompt"], batch["text"]):
                    digest.update(f"{prompt}\0{text}\0".encode())
        return digest.hexdigest()[:20]

    def describe(self) -> pd.DataFrame:
        """One row per domain: documents, bytes, mean_bytes, share (by bytes), kind, source."""
        import pandas as pd

        rows = {
            name: {"documents": d.n_documents, "bytes": d.n_bytes, "kind": d.kind, "source": d.source}
            for name, d in self._domains.items()
        }
        frame = pd.DataFrame(rows).T.astype({"documents": int, "bytes": int})
        frame.insert(2, "mean_bytes", (frame["bytes"] / frame["documents"]).round().astype(int))
        frame.insert(3, "share", frame["bytes"] / frame["bytes"].sum())
        return frame.rename_axis("domain")

    def subset(self, names: Sequence[str]) -> Pool:
        """The pool of some of its domains, at least two."""
        return Pool({name: self[name] for name in names})

    def tilt(self, tilts: Mapping[str, Tilt], seed: int = 0) -> Pool:
        """The sub-pool in which some domains differ, with its documents written out."""
        return Pool(
            {**self._domains, **{name: _tilted(self[name], tilt, seed) for name, tilt in tilts.items()}}
        )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {domain.n_bytes / 1e6:.2f} MB" for name, domain in self._domains.items())
        return f"Pool({sizes})"


def _tilted(domain: Domain, tilt: Tilt, seed: int) -> Domain:
    from datasets import Dataset

    prompts, texts = domain.documents["prompt"], domain.documents["text"]
    scores = np.array([len(zlib.compress(t.encode(), 6)) / max(1, len(t.encode())) for t in texts])
    plan = plan_tilt(len(texts), tilt, seed + zlib.crc32(domain.name.encode()) % 10_000, scores)
    rows = []
    for i, noisy, furniture in zip(plan.index.tolist(), plan.noisy, plan.boilerplate):
        if furniture:
            rows.append({"prompt": "", "text": BOILERPLATE[i % len(BOILERPLATE)]})
        else:
            rows.append({"prompt": prompts[i], "text": corrupt_text(texts[i], seed) if noisy else texts[i]})
    return Domain(domain.name, Dataset.from_list(rows), f"{domain.source}, tilted")


def _split(
    dataset: Any, column: str, columns: Mapping[str, str | None], origin: Source | None = None
) -> dict[str, Domain]:
    """The domains of a table whose rows name theirs in a column."""
    import pandas as pd

    _need_column(dataset.column_names, column, "domain")
    groups = pd.Series(dataset[column]).groupby(pd.Series(dataset[column]).astype(str)).indices
    rest = dataset.remove_columns(column)
    return {
        name: _domain(name, rest.select(rows), column, columns, None, origin and origin.of(column, name))
        for name, rows in groups.items()
    }


def _domain(
    name: str, data: Any, source: str, columns: Mapping[str, str | None],
    max_bytes: int | None = None, origin: Source | None = None,
) -> Domain:  # fmt: skip
    """Documents with the columns ``prompt`` and ``text``; rows without text are dropped."""

    dataset = _as_dataset(data, f"domain {name!r}")
    if not len(dataset):
        raise PoolError(f"domain {name!r} is empty; leave it out or give it documents.")
    n_rows = 0 if max_bytes else len(dataset)
    if origin is not None:
        origin = replace(origin, columns=columns_of(dataset.column_names, columns))
    read = _reader(dataset.column_names, name, columns)

    def texts_of(batch: Mapping[str, list[Any]]) -> dict[str, list[str]]:
        rows = [
            (p if isinstance(p, str) else "", t) for p, t in read(batch) if isinstance(t, str) and t.strip()
        ]
        return {"prompt": [p for p, _ in rows], "text": [t for _, t in rows]}

    if max_bytes:
        dataset = _first_bytes(dataset, texts_of, max_bytes)
    else:
        with _quietly():  # what lies on disk stays there: the result is memory-mapped as its source is
            dataset = dataset.map(
                texts_of, batched=True, remove_columns=dataset.column_names, load_from_cache_file=False
            )
    if not len(dataset):
        raise PoolError(f"domain {name!r} has rows but no text in any of them; leave it out.")
    return Domain(name, dataset, source, origin, n_rows)


def _first_bytes(dataset: Any, texts_of: Callable[[Any], dict[str, list[str]]], max_bytes: int) -> Any:
    """As many of the first documents as make ``max_bytes``."""
    from datasets import Dataset

    rows, size = [], 0
    for batch in dataset.iter(256):
        for prompt, text in zip(*texts_of(batch).values()):
            rows.append({"prompt": prompt, "text": text})
            size += len(text)
            if size >= max_bytes:
                return Dataset.from_list(rows)
    return Dataset.from_list(rows)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the progress bars of ``datasets``."""
    from datasets.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def _reader(
    has: Sequence[str], name: str, given: Mapping[str, str | None]
) -> Callable[[Mapping[str, list[Any]]], Iterable[tuple[Any, Any]]]:
    """What reads (prompt, text) pairs off a batch of rows, by the columns given or the usual names."""
    chosen = {what: given.get(f"{what}_column") for what in ("text", "prompt", "response")}
    for what, column in chosen.items():
        if column:
            _need_column(has, column, what)
    text = chosen["text"] or next((c for c in TEXT_COLUMNS if c in has), None)
    prompt = chosen["prompt"] or next((c for c in PROMPT_COLUMNS if c in has), None)
    response = chosen["response"] or next((c for c in RESPONSE_COLUMNS if c in has), None)
    if prompt and response and not chosen["text"]:
        if prompt == "instruction" and "input" in has:
            return lambda rows: (
                (f"{a}\n{b}" if b else a, answer)
                for a, b, answer in zip(rows[prompt], rows["input"], rows[response])
            )
        return lambda rows: zip(rows[prompt], rows[response])
    if text:
        return lambda rows: (("", value) for value in rows[text])
    if "messages" in has:
        return lambda rows: map(_last_turn, rows["messages"])
    raise PoolError(
        f"domain {name!r} has the columns {', '.join(has)}, none of which is known to hold text; "
        "name it with text_column=, or prompt_column= and response_column=."
    )


def _last_turn(messages: Sequence[Mapping[str, str]]) -> tuple[str, str | None]:
    """A conversation as (all before the last answer, the last answer)."""
    last = max((i for i, turn in enumerate(messages) if turn.get("role") == "assistant"), default=None)
    if last is None:
        return "", None
    return "\n".join(turn.get("content") or "" for turn in messages[:last]) + "\n", messages[last].get(
        "content"
    )


def _as_dataset(data: Any, what: str) -> Any:
    import pandas as pd
    from datasets import Dataset, DatasetDict

    if isinstance(data, Domain):
        return data.documents
    if isinstance(data, Dataset):
        return data
    if isinstance(data, pd.DataFrame):
        return Dataset.from_pandas(data, preserve_index=False)
    if isinstance(data, DatasetDict):
        raise PoolError(f"{what} has the splits {', '.join(data)}; pick one, for example data['train'].")
    if isinstance(data, Sequence) and not isinstance(data, str):
        rows = [row if isinstance(row, Mapping) else {"text": row} for row in data]
        return Dataset.from_list([dict(row) for row in rows]) if rows else Dataset.from_dict({"text": []})
    raise PoolError(
        f"{what} is a {type(data).__name__}; give a list of texts, a DataFrame or a datasets object."
    )


def _need_column(has: Sequence[str], column: str, what: str) -> None:
    if column not in has:
        raise PoolError(
            f"there is no {what} column {column!r}.{did_you_mean(column, has)} Columns are {', '.join(has)}."
        )


def _load_file(path: Path) -> Any:
    from datasets import Dataset, load_dataset
    from datasets.exceptions import DatasetGenerationError

    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in LOADERS:
        raise PoolError(
            f"{path.name} has an unknown suffix; files may end in {', '.join(LOADERS)} (and .gz)."
        )
    if not path.stat().st_size:
        raise PoolError(f"{path.name} is empty; leave it out or give it documents.")
    if LOADERS[suffix] == "text":
        return Dataset.from_list([{"text": piece} for piece in paragraphs(_read_text(path))])
    try:
        with _quietly():
            return load_dataset(LOADERS[suffix], data_files=str(path), split="train")
    except (DatasetGenerationError, ValueError, OSError) as error:
        cause = str(error.__cause__ or error).split("\n")[0][:120]
        raise PoolError(f"{path.name} is not what its suffix says ({cause}); check the file.") from None


def _read_text(path: Path) -> str:
    import gzip

    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.name.endswith(".gz") else data).decode()
    except (UnicodeDecodeError, OSError):
        raise PoolError(f"{path.name} is not what its suffix says (no UTF-8 text); check the file.") from None


def paragraphs(text: str, size: int = 2000) -> list[str]:
    """A text in pieces of at most about ``size`` characters, cut at paragraphs, then lines, then anywhere."""
    pieces: list[str] = []
    for paragraph in text.split("\n\n"):
        for start in range(0, max(1, len(paragraph)), size):
            piece = paragraph[start : start + size]
            if pieces and len(pieces[-1]) + len(piece) < size:
                pieces[-1] += "\n\n" + piece
            elif piece.strip():
                pieces.append(piece)
    return pieces
