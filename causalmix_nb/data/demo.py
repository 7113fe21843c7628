"""A pool of real text that every installation already has: no download, the same at every call.

| domain | what it is | licence |
|---|---|---|
| code | source of Python's standard library, without tests | PSF |
| documentation | its docstrings and the language reference (``pydoc_data``) | PSF |
| mathematics | docstrings of sympy, which comes with torch | BSD |
| legal | licence files of the installed packages | each its own |
| readme | descriptions of the installed packages | each its own |
| arithmetic | generated sums, differences and products with their answers | none |
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import metadata, util
from pathlib import Path

import numpy as np

from causalmix_nb.data.pool import Domain, Pool, paragraphs
from causalmix_nb.errors import PoolError
from causalmix_nb.files import replacing

VERSION = 1  # of what is gathered; a new one makes the cache stale
DOMAINS = ("code", "documentation", "mathematics", "legal", "readme", "arithmetic")
SHORTEST, LONGEST = (
    80,
    800,
)  # characters of a document: many short ones, so that a small run sees a fair sample


def demo_pool(max_bytes: int = 1_200_000, cache_dir: str | Path | None = None, seed: int = 0) -> Pool:
    """The pool that comes with every installation.

    Parameters
    ----------
    max_bytes: about what is taken of each domain; evenly from all of its sources.
    cache_dir: where the gathered text is kept as Parquet between calls; the user's cache folder by default.
    seed: of the generated arithmetic, and of what is taken of a larger source.

    Raises
    ------
    PoolError: a cache folder that holds something else under the pool's name.
    """
    import pyarrow.parquet as parquet
    from datasets import Dataset

    path = _cache_path(cache_dir, max_bytes, seed)
    if path.exists():
        try:
            rows = Dataset(parquet.read_table(path))
        except (OSError, ValueError) as error:  # pyarrow's errors are among these
            raise PoolError(
                f"{path} cannot be read ({type(error).__name__}); delete it to gather the text again."
            ) from None
    else:
        gathered = [
            {"domain": name, "prompt": prompt, "text": text}
            for name in DOMAINS
            for prompt, text in _take(_SOURCES[name](), max_bytes, seed)
        ]
        rows = Dataset.from_list(gathered)
        with contextlib.suppress(OSError):  # a cache is a convenience
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, durable=False) as partial:
                parquet.write_table(rows.data.table, partial)
    names = np.array(rows["domain"])
    return Pool(
        {
            name: Domain(
                name, rows.select(np.flatnonzero(names == name)).remove_columns("domain"), _WHAT[name]
            )
            for name in DOMAINS
            if (names == name).any()
        }
    )


def _cache_path(cache_dir: str | Path | None, max_bytes: int, seed: int) -> Path:
    """A file named by all that decides the text: this code's version, Python's, and the installed packages."""
    if cache_dir is None:
        from platformdirs import user_cache_path

        cache_dir = user_cache_path("causalmix_nb", appauthor=False)
    installed = sorted(f"{d.name}=={d.version}" for d in metadata.distributions())
    content = repr((VERSION, sys.version_info[:3], installed, max_bytes, seed))
    return Path(cache_dir) / f"demo-{hashlib.sha256(content.encode()).hexdigest()[:16]}.parquet"


def _take(rows: Iterable[tuple[str, str]], max_bytes: int, seed: int) -> Iterator[tuple[str, str]]:
    """Distinct rows up to ``max_bytes``, a seeded sample of the first half as many again."""
    found: dict[tuple[str, str], None] = {}
    size = 0
    for row in rows:
        size += len(row[1].encode()) if row not in found else 0
        found[row] = None
        if size > 1.5 * max_bytes:
            break
    distinct, size = list(found), 0
    for i in np.random.default_rng(seed).permutation(len(distinct)):
        size += len(distinct[i][1].encode())
        if size > max_bytes:
            return
        yield distinct[i]


def _pieces(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        for piece in paragraphs(text, LONGEST):
            if len(piece.strip()) >= SHORTEST:
                yield "", piece


def _code() -> Iterator[tuple[str, str]]:
    return _pieces(text for _, text in _modules(Path(sysconfig.get_path("stdlib"))))


def _documentation() -> Iterator[tuple[str, str]]:
    from pydoc_data.topics import topics

    yield from _pieces(topics[name] for name in sorted(topics))
    yield from _pieces(_docstrings(Path(sysconfig.get_path("stdlib"))))


def _mathematics() -> Iterator[tuple[str, str]]:
    found = util.find_spec("sympy")
    if found and found.origin:
        yield from _pieces(_docstrings(Path(found.origin).parent))


def _legal() -> Iterator[tuple[str, str]]:
    texts = []
    for distribution in _distributions():
        for file in sorted(distribution.files or [], key=str):
            if ".dist-info" in str(file) and any(
                word in file.name.upper() for word in ("LICENSE", "LICENCE", "COPYING", "NOTICE")
            ):
                with contextlib.suppress(OSError, UnicodeDecodeError):
                    texts.append(Path(str(file.locate())).read_text(encoding="utf-8"))
    return _pieces(texts)


def _readme() -> Iterator[tuple[str, str]]:
    return _pieces(str(d.metadata.json.get("description", "")) for d in _distributions())


def _arithmetic() -> Iterator[tuple[str, str]]:
    """Every sum, difference and product of two numbers below 150, as ``17+25=`` and ``42``."""
    for a in range(150):
        for b in range(150):
            yield f"{a}+{b}=", str(a + b)
            yield f"{a}-{b}=", str(a - b)
            yield f"{a}*{b}=", str(a * b)


def _distributions() -> list[metadata.Distribution]:
    named = {d.metadata["Name"]: d for d in metadata.distributions() if d.metadata["Name"]}
    return [named[name] for name in sorted(named, key=str.lower)]


def _modules(root: Path) -> Iterator[tuple[Path, str]]:
    """Python files below a folder, without tests and without what is installed there, in an order that favours none."""
    skipped = {
        "test",
        "tests",
        "idlelib",
        "encodings",
        "site-packages",
        "dist-packages",
        "lib2to3",
        "__pycache__",
    }
    paths = [path for path in root.rglob("*.py") if not skipped & set(path.relative_to(root).parts)]
    for path in sorted(paths, key=lambda p: hashlib.sha256(p.relative_to(root).as_posix().encode()).digest()):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            yield path, path.read_text(encoding="utf-8")


def _docstrings(root: Path) -> Iterator[str]:
    import warnings

    for _, source in _modules(root):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in other people's sources
            try:
                tree = ast.parse(source)
            except (SyntaxError, ValueError):
                continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node)
                if text:
                    yield text


_SOURCES = {
    "code": _code,
    "documentation": _documentation,
    "mathematics": _mathematics,
    "legal": _legal,
    "readme": _readme,
    "arithmetic": _arithmetic,
}
_WHAT = {
    "code": "Python standard library",
    "documentation": "its docstrings and language reference",
    "mathematics": "sympy docstrings",
    "legal": "licences of installed packages",
    "readme": "descriptions of installed packages",
    "arithmetic": "generated",
}

if __name__ == "__main__":
    print(demo_pool())
