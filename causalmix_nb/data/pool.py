"""Named domains over Hugging Face datasets, and how a sub-pool may differ from the pool before anything is mixed.

A :class:`Pool` is what a team could train on: a few domains, each a set of documents. Documents are plain text, or a
prompt with the response to be learnt. A :class:`Perturbation` says how one domain of a sub-pool differs (noisier, duplicated,
scarcer, …); :func:`plan_perturbation` turns it into a list of documents, which is all that training needs.
"""

from __future__ import annotations

import glob
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.data.documents.documents import DomainReport, Placed
from causalmix_nb.data.documents.files import domain_name, paragraphs, read_rows
from causalmix_nb.data.documents.gathering import (
    Domain,
    check_columns,
    gather,
    gather_by,
    label_names,
    rows_of,
)
from causalmix_nb.data.documents.sources import Source, file_source, load_hub
from causalmix_nb.data.perturbations import (
    BOILERPLATE,
    Perturbation,
    PerturbationPlan,
    corrupt_text,
    plan_perturbation,
)
from causalmix_nb.errors import PoolError, did_you_mean, listed
from causalmix_nb.mixture import Mixture, unknown_domain

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BOILERPLATE", "Domain", "Pool", "Perturbation", "PerturbationPlan", "content_hash", "corrupt_text", "paragraphs", "plan_perturbation", "split_by_hash",
]  # fmt: skip


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


class Pool(Mapping):
    """At least two named domains; a mapping of name to :class:`Domain`.

    >>> pool = Pool.from_dict({"a": ["one text", "another"], "b": ["a third", "a fourth"]})
    >>> pool.domains
    ('a', 'b')
    """

    def __init__(self, domains: Mapping[str, Domain], unplaced: DomainReport | None = None) -> None:
        if len(domains) < 2:
            raise PoolError(
                f"the pool has {len(domains)} domain ({listed(domains) or 'none'}); a mixture needs at least 2."
            )
        self._domains = dict(domains)
        self._unplaced = unplaced or DomainReport(0, 0)

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
        check_columns(columns)
        domains: dict[str, Domain] = {}
        for key, value in data.items():
            name = str(key)
            if name in domains:
                raise PoolError(f"two domains are called {name!r}; give them different names.")
            if isinstance(value, Domain):
                domains[name] = value
            else:
                domains[name] = gather(name, rows_of(value, f"domain {name!r}", columns), "notebook", columns)
        return cls(domains)

    @classmethod
    def from_files(
        cls,
        patterns: str | Path | Sequence[str | Path],
        domain_column: str | None = None,
        max_bytes: int | None = None,
        encoding: str | None = None,
        **columns: str | None,
    ) -> Pool:
        """A pool from JSON-lines, JSON, Parquet, Arrow, CSV or text files (``.gz``, ``.zst`` … too); a file is a domain, named by its stem.

        What each domain's rows became is in :meth:`describe` and :attr:`notes`; a row that holds no document is counted there.

        Parameters
        ----------
        patterns: paths or globs.
        domain_column: split the rows of all files by this column instead.
        max_bytes: take at most about so much of each domain, as it comes.
        encoding: how text files are written, if neither as UTF-8 nor with a mark at their beginning; for example "cp1252".

        Raises
        ------
        PoolError: no such file, an unknown suffix, a file that is not what its suffix says, or no usable column.
        """
        check_columns(columns)
        patterns = [patterns] if isinstance(patterns, (str, Path)) else list(patterns)
        paths = list(dict.fromkeys(path for pattern in patterns for path in _matching(pattern)))
        asked = [*columns.values(), domain_column]
        if domain_column:
            rows = _chained({path.name: read_rows(path, asked, encoding) for path in paths})
            source = f"{domain_column} of {listed(path.name for path in paths)}"
            origin = file_source(paths, encoding)
            return cls(*gather_by(domain_column, rows, source, columns, max_bytes, origin=origin))
        stems: dict[str, Path] = {}
        for path in paths:
            stem = domain_name(path)
            if stem in stems:
                raise PoolError(
                    f"two files are called {stem!r}; a file is a domain, so give them different names, or name the column "
                    "that tells domains apart with domain_column=."
                )
            stems[stem] = path
        return cls(
            {
                stem: gather(
                    stem,
                    read_rows(path, asked, encoding),
                    path.name,
                    columns,
                    max_bytes,
                    file_source([path], encoding),
                )
                for stem, path in stems.items()
            }
        )

    @classmethod
    def from_dataset(cls, dataset: Any, domain_column: str, **columns: str | None) -> Pool:
        """A pool from one ``datasets`` object or DataFrame whose rows name their domain.

        Raises
        ------
        PoolError: no such column, one that names too many domains, or a domain without a document.
        """
        check_columns(columns)
        rows = rows_of(dataset, "the dataset", columns, domain_column)
        names = label_names(dataset, domain_column)
        return cls(*gather_by(domain_column, rows, domain_column, columns, names=names))

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
        check_columns(columns)
        if streaming and not max_documents:
            raise PoolError(
                "a streamed dataset has no end that is known; say how much to take with max_documents."
            )
        found = {
            name.strip(): load_hub(name.strip(), split, streaming, max_documents) for name in names.split(",")
        }
        part = f"{split}[:{max_documents}]" if max_documents else split
        rows = {name: rows_of(data, name, columns, domain_column) for name, data in found.items()}
        if domain_column:
            labels = label_names(next(iter(found.values())), domain_column)
            origin = Source(hub=names.strip(), split=part) if len(found) == 1 else None
            read = _chained(rows)
            return cls(*gather_by(domain_column, read, domain_column, columns, names=labels, origin=origin))
        short = {name: name.rpartition("/")[2] for name in found}
        if len(set(short.values())) < len(short):
            short = {name: name for name in found}
        return cls({
            short[name]: gather(short[name], rows[name], name, columns, None, Source(hub=name, split=part))
            for name in found
        })  # fmt: skip

    @classmethod
    def parse(
        cls,
        spec: str,
        namespace: Mapping[str, Any] | None = None,
        domain_column: str | None = None,
        **columns: Any,  # and the other options of the reader
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
        """One row per domain: documents, bytes, mean_bytes, share (by bytes), kind, source, left_out (rows without a document), why."""
        import pandas as pd

        rows = {
            name: {
                "documents": d.n_documents, "bytes": d.n_bytes, "kind": d.kind, "source": d.source,
                "left_out": d.report.n_left_out, "why": d.report.why,
            }
            for name, d in self._domains.items()
        }  # fmt: skip
        frame = pd.DataFrame(rows).T.astype({"documents": int, "bytes": int, "left_out": int})
        frame.insert(2, "mean_bytes", (frame["bytes"] / frame["documents"]).round().astype(int))
        frame.insert(3, "share", frame["bytes"] / frame["bytes"].sum())
        return frame.rename_axis("domain")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing about how the pool was read, one sentence each: rows left out and why, columns not read, names alike."""
        remarks = [
            f"{name}: {line}" for name, domain in self._domains.items() for line in domain.report.remarks
        ]
        remarks += [f"rows of no domain: {line}" for line in self._unplaced.remarks]
        alike: dict[str, list[str]] = {}
        for name in self._domains:
            alike.setdefault(" ".join(name.split()).casefold(), []).append(name)
        remarks += [
            f"domains whose names differ in case or spaces only: {listed(map(repr, names))}"
            for names in alike.values()
            if len(names) > 1
        ]
        return tuple(remarks)

    @property
    def unplaced(self) -> DomainReport:
        """What became of the rows that belong to no domain."""
        return self._unplaced

    @property
    def reports(self) -> dict[str, DomainReport]:
        """What became of the rows of every domain."""
        return {name: domain.report for name, domain in self._domains.items()}

    def subset(self, names: Sequence[str]) -> Pool:
        """The pool of some of its domains, at least two."""
        return Pool({name: self[name] for name in names}, self._unplaced)

    def perturbation(self, perturbations: Mapping[str, Perturbation], seed: int = 0) -> Pool:
        """The sub-pool in which some domains differ, with its documents written out."""
        return Pool(
            {
                **self._domains,
                **{
                    name: _perturbed(self[name], perturbation, seed)
                    for name, perturbation in perturbations.items()
                },
            },
            self._unplaced,
        )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {domain.n_bytes / 1e6:.2f} MB" for name, domain in self._domains.items())
        left = sum(report.n_left_out for report in (*self.reports.values(), self._unplaced))
        more = f"; {left:,} rows left out, see pool.notes" if left else ""
        return f"Pool({sizes}{more})"


def _perturbed(domain: Domain, perturbation: Perturbation, seed: int) -> Domain:
    from datasets import Dataset

    prompts, texts = domain.documents["prompt"], domain.documents["text"]
    scores = np.array([len(zlib.compress(t.encode(), 6)) / max(1, len(t.encode())) for t in texts])
    plan = plan_perturbation(
        len(texts), perturbation, seed + zlib.crc32(domain.name.encode()) % 10_000, scores
    )
    rows = []
    for i, noisy, replaced in zip(plan.index.tolist(), plan.noisy, plan.boilerplate):
        if replaced:
            rows.append({"prompt": "", "text": BOILERPLATE[i % len(BOILERPLATE)]})
        else:
            rows.append({"prompt": prompts[i], "text": corrupt_text(texts[i], seed) if noisy else texts[i]})
    return Domain(domain.name, Dataset.from_list(rows), f"{domain.source}, perturbed", domain.report)


def _matching(pattern: str | Path) -> list[Path]:
    """The files that a path or glob names; folders are passed over where a glob finds them beside files."""
    plain = Path(pattern).expanduser()
    found = (
        [plain] if plain.exists() else [Path(path) for path in sorted(glob.glob(str(plain), recursive=True))]
    )
    files = [path for path in found if not path.is_dir()]
    if found and not files:
        raise PoolError(
            f"{str(pattern)!r} is a folder; name the files in it, for example {str(pattern)}/*.jsonl."
        )
    if not files:
        raise PoolError(f"no file matches {str(pattern)!r}; check the path.")
    return files


def _chained(sources: Mapping[str, Iterable[Placed]]) -> Iterator[Placed]:
    """The rows of several sources, one after another, each with its source in its place."""
    for name, rows in sources.items():
        for row, where in rows:
            yield row, f"{name}, {where}" if len(sources) > 1 else where
