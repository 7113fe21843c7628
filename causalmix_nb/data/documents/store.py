"""Documents on their way into a pool: batches of Arrow, in memory while they are few and in a file once they are many."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import PoolError

if TYPE_CHECKING:
    import datasets

BATCH = 1 << 22  # characters that are written together
ROWS = 4096  # documents that are written together
IN_MEMORY = 1 << 27  # bytes of a domain above which it is kept in a file


class DocumentStore:
    """Takes documents one by one and hands them back as a ``datasets`` object with the columns ``prompt`` and ``text``."""

    def __init__(self) -> None:
        self._prompts: list[str] = []
        self._texts: list[str] = []
        self._batches: list[Any] = []
        self._waiting = self._held = self.mended = self.n_characters = 0
        self._file: Any = None
        self._path: Path | None = None

    def add(self, prompt: str, text: str) -> None:
        self._prompts.append(prompt)
        self._texts.append(text)
        self._waiting += len(prompt) + len(text)
        self.n_characters += len(text)
        if self._waiting > BATCH or len(self._texts) >= ROWS:
            self._write()

    def dataset(self) -> datasets.Dataset:
        """What was added; nothing may be added afterwards."""
        import pyarrow as pa
        from datasets import Dataset

        if self._texts:
            self._write()
        if self._file is None or self._path is None:
            return Dataset(pa.Table.from_batches(self._batches, _schema()), fingerprint=uuid.uuid4().hex[:16])
        self._file.close()
        dataset = Dataset.from_file(str(self._path))
        weakref.finalize(dataset, _remove, self._path)
        return dataset

    def _write(self) -> None:
        import pyarrow as pa

        columns = []
        for texts in (self._prompts, self._texts):
            try:
                columns.append(pa.array(texts, pa.string()))
            except UnicodeEncodeError:
                whole = [_without_halves(text) for text in texts]
                self.mended += sum(a != b for a, b in zip(whole, texts))
                columns.append(pa.array(whole, pa.string()))
            except pa.ArrowException:
                raise PoolError("a document is larger than 2 GB; cut it into documents of its own.") from None
        batch = pa.RecordBatch.from_arrays(columns, schema=_schema())
        self._prompts, self._texts, self._waiting = [], [], 0
        self._held += batch.nbytes
        if self._file is not None:
            self._file.write_batch(batch)
            return
        self._batches.append(batch)
        if self._held > IN_MEMORY:
            self._path = _place()
            self._file = pa.ipc.new_stream(str(self._path), _schema())
            for early in self._batches:
                self._file.write_batch(early)
            self._batches = []


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bars of ``datasets``."""
    from datasets.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema({"prompt": pa.string(), "text": pa.string()})


def _without_halves(text: str) -> str:
    """A text whose halves of characters are joined where they belong together and replaced where they stand alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _place() -> Path:
    """A new file where ``datasets`` keeps its own, or in the system's temporary folder."""
    from datasets import config

    for folder in (config.HF_DATASETS_CACHE, None):
        try:
            if folder is not None:
                Path(folder).mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="causalmix-", dir=folder)) / "documents.arrow"
        except OSError:
            continue
    raise PoolError("there is no room for a large domain: no temporary folder can be written.")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
        path.parent.rmdir()
