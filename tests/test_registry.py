"""A member of a kind is added by one file; whoever lists the kind finds it."""

import sys
from dataclasses import dataclass

import pytest

from causalmix_nb.errors import FitError
from causalmix_nb.registry import Registry


@dataclass(frozen=True)
class Colour:
    name: str
    wavelength: float = 0.0


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A package whose one file registers a member when it is imported."""
    package = tmp_path / "colours_of_ours"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "red.py").write_text(
        "from test_registry import Colour\nfrom colours_of_ours_registry import COLOURS\nCOLOURS.register(Colour('red'))\n",
        encoding="utf-8",
    )
    (tmp_path / "colours_of_ours_registry.py").write_text(
        "from causalmix_nb.errors import FitError\nfrom causalmix_nb.registry import Registry\n"
        "COLOURS = Registry('colour', 'colours_of_ours', FitError)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.startswith("colours_of_ours")]:
        del sys.modules[name]


def test_a_file_in_the_home_folder_is_found_when_the_registry_is_first_asked(home):
    from colours_of_ours_registry import COLOURS

    assert "colours_of_ours.red" not in sys.modules
    assert list(COLOURS) == ["red"]
    (home / "blue.py").write_text("raise AssertionError('searched twice')", encoding="utf-8")
    assert COLOURS.find("red").name == "red"


def test_one_from_outside_stands_beside_ours_and_can_be_taken_back(home):
    from colours_of_ours_registry import COLOURS

    COLOURS.register(Colour("green"))
    assert list(COLOURS) == ["green", "red"] and len(COLOURS) == 2
    COLOURS.remove("green")
    assert "green" not in COLOURS


def test_a_name_is_taken_once_unless_it_is_to_be_replaced():
    colours = Registry("colour", error=FitError)
    colours.register(Colour("red"))
    with pytest.raises(
        FitError,
        match="there is a colour called 'red' already; give yours another name, or pass replace=True",
    ):
        colours.register(Colour("red", 700.0))
    colours.register(Colour("red", 650.0), replace=True)
    assert colours["red"].wavelength == 650.0


def test_an_unknown_name_is_told_what_there_is():
    colours = Registry("colour", error=FitError)
    colours.register(Colour("red"))
    with pytest.raises(FitError, match="unknown colour 'rad'. Did you mean 'red'. Colours are red"):
        colours.find("rad")
    assert colours.get("rad") is None
