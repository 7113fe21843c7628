"""From rows to domains: what a notebook, a file or the hub holds, row by row, sorted into named sets of documents.

Every row ends in one place: it is a document, or it is counted in a :class:`~causalmix_nb.data.documents.documents.DomainReport` with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from causalmix_nb.data.documents.chats import is_chat
from causalmix_nb.data.documents.documents import DocumentReader, DomainReport, Placed, Unread, needed
from causalmix_nb.data.documents.files import table_rows
from causalmix_nb.data.documents.sources import Source, columns_of
from causalmix_nb.data.documents.store import DocumentStore
from causalmix_nb.errors import PoolError, did_you_mean, listed

if TYPE_CHECKING:
    import datasets

MOST_DOMAINS = 1000  # that a column may name
FEW_DOMAINS = 20  # that may have one row each before their column is taken for something else
LONGEST_NAME = 200  # characters
MENDED = "half characters (lone surrogates) were replaced by �"
COLUMNS = ("text_column", "prompt_column", "response_column")

Columns = Mapping[str, "str | None"]


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain: its name, its documents (columns ``prompt`` and ``text``), where they come from and what became of the rows there.

    origin: where a trainer finds the rows; None where they are in memory only.
    n_rows: how many rows it finds there, also those without text; 0 where not all were read.
    """

    name: str
    documents: datasets.Dataset
    source: str = ""
    report: DomainReport = field(default_factory=lambda: DomainReport(0, 0), compare=False)
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


def check_columns(columns: Columns) -> None:
    """Refuse a misspelt ``text_column`` and the like."""
    for name in columns:
        if name not in COLUMNS:
            raise PoolError(
                f"a pool has no option {name!r}.{did_you_mean(name, COLUMNS)} Options are {', '.join(COLUMNS)}."
            )


def gather(
    name: str,
    rows: Iterable[Placed],
    source: str,
    columns: Columns,
    max_bytes: int | None = None,
    origin: Source | None = None,
) -> Domain:
    """One domain of all rows.

    Parameters
    ----------
    rows: each with its place.
    max_bytes: stop after about so much text.
    origin: where a trainer finds them.

    Raises
    ------
    PoolError: no document in any row.
    """
    reader, store = DocumentReader(columns), DocumentStore()
    seen: dict[Any, None] = {}
    for row, where in rows:
        if len(seen) < MOST_DOMAINS and isinstance(row, Mapping):
            seen.update(dict.fromkeys(row))
        document = reader.read(row, where)
        if document is not None:
            store.add(*document)
            if max_bytes and store.n_characters >= max_bytes:
                reader.note(f"reading stopped at max_bytes, after {where}")
                break
    made = _finished(name, reader, store, source, f"domain {name!r}")
    return _located(made, origin, seen, columns, max_bytes)


def gather_by(
    column: str,
    rows: Iterable[Placed],
    source: str,
    columns: Columns,
    max_bytes: int | None = None,
    names: Sequence[str] = (),
    origin: Source | None = None,
) -> tuple[dict[str, Domain], DomainReport]:
    """The rows sorted by what a column says, domains in the order of their names; and a report on rows that name none.

    names: of the domains that the column's numbers stand for, where it holds numbers.
    origin: where a trainer finds the rows of all domains.

    Raises
    ------
    PoolError: no such column, one that names too many domains, or a domain without documents.
    """
    found: dict[str, tuple[DocumentReader, DocumentStore]] = {}
    nowhere = DocumentReader(columns)
    seen: dict[tuple[Any, ...], None] = {}
    spaced: set[str] = set()
    full = f"more than max_bytes ({max_bytes:,} bytes) of the domain" if max_bytes else ""
    for row, where in rows:
        if isinstance(row, Unread):
            nowhere.read(row, where)
            continue
        if tuple(row) not in seen and len(seen) < MOST_DOMAINS:
            seen[tuple(row)] = None
        try:
            name = _name(row.get(column), names)
        except ValueError as error:
            nowhere.leave(str(error), where)
            continue
        if isinstance(row.get(column), str) and name != row[column]:
            spaced.add(name)
        if name not in found:
            if len(found) >= MOST_DOMAINS:
                raise PoolError(
                    f"column {column!r} names more than {MOST_DOMAINS:,} domains, {listed(found, 3)} among them; "
                    "name a column that tells a few groups of documents apart."
                )
            found[name] = DocumentReader(columns), DocumentStore()
        reader, store = found[name]
        if max_bytes and store.n_characters >= max_bytes:
            reader.leave(full, where)
            continue
        document = reader.read(row, where)
        if document is not None:
            store.add(*document)
    has = list(dict.fromkeys(str(name) for keys in seen for name in keys))
    if column not in has and has:
        raise PoolError(
            f"there is no domain column {column!r}.{did_you_mean(column, has)} Columns are {listed(has, 20)}."
        )
    lone = sum(reader.report().rows == 1 for reader, _ in found.values())
    if len(found) > FEW_DOMAINS and lone > len(found) / 2:
        raise PoolError(
            f"column {column!r} names {len(found):,} domains, {lone:,} of them in one row only; "
            "name a column that tells a few groups of documents apart."
        )
    if spaced:
        nowhere.note(f"spaces around the names of domains were taken off ({listed(sorted(spaced))})")
    made = {}
    for name in sorted(found):
        reader, store = found[name]
        if not reader.report().documents and len(found) > 2:  # said, and no reason to refuse the others
            nowhere.take_over(reader.report())
            nowhere.note(f"domain {name!r} is left out, since it has no document")
            continue
        own = origin and origin.of(column, name)
        whole = _finished(name, reader, store, source, f"domain {name!r}")
        made[name] = _located(whole, own, has, columns, max_bytes)
    return made, nowhere.report()


def rows_of(data: Any, what: str, columns: Columns, domain_column: str | None = None) -> Iterator[Placed]:
    """The rows of what a notebook holds: a list of texts, rows or conversations, a DataFrame, an Arrow table or a ``datasets`` object.

    Raises
    ------
    PoolError: something else.
    """
    return ((row, f"row {i:,}") for i, row in enumerate(_rows(data, what, columns, domain_column), 1))


def label_names(data: Any, column: str) -> Sequence[str]:
    """The names that a ``datasets`` object keeps for the numbers of a column, if any."""
    feature = (getattr(data, "features", None) or {}).get(column)
    return getattr(feature, "names", None) or ()


def _rows(data: Any, what: str, columns: Columns, domain_column: str | None) -> Iterator[Any]:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

    def chosen(names: Sequence[str]) -> list[str]:
        return needed(names, [*(columns.get(name) for name in COLUMNS), domain_column])

    if isinstance(data, Domain):
        data = data.documents
    if isinstance(data, (DatasetDict, IterableDatasetDict)):
        raise PoolError(
            f"{what} has the splits {', '.join(map(str, data))}; pick one, for example data['train']."
        )
    if isinstance(data, Dataset):
        few = data.select_columns(chosen(data.column_names)).with_format("arrow")
        return (row for batch in few.iter(1000) for row in table_rows(batch))
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return table_rows(data.select(chosen(data.schema.names)))
    if isinstance(data, pd.DataFrame):
        return _frame_rows(data, what, chosen)
    if isinstance(data, (pd.Series, np.ndarray)):
        data = data.tolist()
    if isinstance(data, IterableDataset) or (
        isinstance(data, Sequence) and not isinstance(data, (str, bytes))
    ):
        return (_as_row(item) for item in data)
    raise PoolError(
        f"{what} is a {type(data).__name__}; give a list of texts, a DataFrame or a datasets object."
    )


def _as_row(item: Any) -> Any:
    if isinstance(item, Mapping):
        return item
    return {"messages": item} if is_chat(item) else {"text": item}


def _frame_rows(frame: Any, what: str, chosen: Any) -> Iterator[Any]:
    """The rows of a DataFrame; whole numbers that became floats because of missing cells are whole again."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PoolError(f"{what} has two columns called {twice!r}; give them names of their own.")
    few = frame.set_axis(names, axis="columns")[chosen(names)]
    for name in few.columns:
        column = few[name]
        if column.dtype.kind == "f" and column.isna().any() and (column.dropna() % 1 == 0).all():
            few = few.assign(**{name: column.astype("Int64")})

    def rows() -> Iterator[Any]:
        for start in range(0, len(few), 1000):
            some = few.iloc[start : start + 1000]
            yield from some.astype(object).where(some.notna(), None).to_dict("records")

    return rows()


def _name(value: Any, names: Collection[str]) -> str:
    """The domain that a cell names; ValueError with the reason where it names none."""
    if isinstance(value, (list, dict, tuple)) or getattr(value, "ndim", 0) != 0:
        raise ValueError("a domain name that is a list or a mapping")
    if hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    if (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and value != value)
    ):
        raise ValueError("no domain name")
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return list(names)[value]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        name = _whole(str(value)).strip()
    except ValueError:
        name = "9" * (LONGEST_NAME + 1)
    if not name:
        raise ValueError("no domain name")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a domain name of more than {LONGEST_NAME} characters")
    return name


def _whole(text: str) -> str:
    return (
        text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    )


def _finished(name: str, reader: DocumentReader, store: DocumentStore, source: str, what: str) -> Domain:
    reader.check(what)
    documents = store.dataset()
    if store.mended:
        reader.note(MENDED, store.mended)
    return Domain(name, documents, source, reader.report())


def _located(
    domain: Domain, origin: Source | None, has: Iterable[Any], columns: Columns, max_bytes: int | None
) -> Domain:
    """A domain that knows where a trainer finds its rows, and by what columns."""
    if origin is not None:
        origin = replace(origin, columns=columns_of([str(name) for name in has], columns))
    return replace(domain, origin=origin, n_rows=0 if max_bytes else domain.report.rows)
