"""The tutorial notebooks, copied out of the package into a folder of the reader's own."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from causalmix_nb.errors import ExportError
from causalmix_nb.finding import Finding

if TYPE_CHECKING:
    import pandas as pd

SKIPPED = (".ipynb_checkpoints", "__pycache__")


@dataclass(frozen=True, slots=True)
class Tutorial(Finding):
    """Notebooks that were copied: ``lessons`` maps the file's name to what its first heading says."""

    folder: Path
    lessons: dict[str, str]

    @property
    def title(self) -> str:
        return f"{len(self.lessons)} notebooks in {self.folder}"

    @property
    def sentences(self) -> tuple[str, ...]:
        return ("open the first one from the file browser and run it from the top",)

    @property
    def table(self) -> pd.DataFrame:
        """One row a notebook: its file and its first heading."""
        import pandas as pd

        return pd.DataFrame({"about": self.lessons.values()}, pd.Index(self.lessons, name="notebook"))

    def __str__(self) -> str:
        return "\n".join([f"{self.title}:", *(f"  {name}  {about}" for name, about in self.lessons.items())])


def notebooks() -> Path:
    """Where the notebooks are: in the installed package, or beside it in a repository.

    Raises
    ------
    ExportError: an installation without them.
    """
    here = Path(__file__).parent.parent
    for place in (here / "notebooks", here.parent / "notebooks"):
        if any(place.glob("*.ipynb")):
            return place
    raise ExportError(
        "this installation has no tutorial notebooks; install causalmix_nb from its wheel, or look into the repository's notebooks folder."
    )


def copy_tutorial(folder: str | Path = "causalmix_tutorial", overwrite: bool = False) -> Tutorial:
    """Copy the notebooks, and the pictures and tables that they use, into a folder.

    Parameters
    ----------
    folder: made if it is not there.
    overwrite: replace files of the same name.

    Raises
    ------
    ExportError: a file that is there already, or a folder that cannot be written; nothing is copied then.
    """
    source, folder = notebooks(), Path(folder).expanduser()
    files = sorted(
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file()
        and not any(part in SKIPPED or part.startswith(".") for part in path.parts[len(source.parts) :])
    )
    taken = [path for path in files if (folder / path).exists()]
    if taken and not overwrite:
        raise ExportError(
            f"{folder / taken[0]} is there already; name another folder, or add --overwrite to replace it."
        )
    try:
        for path in files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, folder / path)
    except OSError as error:
        raise ExportError(f"cannot write to {folder} ({error.strerror}); name another folder.") from None
    lessons = {str(path): heading(source / path) for path in files if path.suffix == ".ipynb"}
    return Tutorial(folder, lessons)


def heading(notebook: Path) -> str:
    """The first heading of a notebook, or an empty text."""
    for cell in json.loads(notebook.read_text(encoding="utf-8")).get("cells", []):
        text = "".join(cell.get("source", []))
        if cell.get("cell_type") == "markdown" and text.startswith("#"):
            return text.split("\n")[0].lstrip("# ").strip()
    return ""
