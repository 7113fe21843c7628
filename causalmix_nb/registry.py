"""Named members of one kind, in one place: estimators, baselines, formats, readers, questions.

A member is added by one file and nothing else. Ours lie in the folder that the registry searches when it is first asked; one of yours may
lie anywhere, also in a cell of a notebook, and is there once ``register`` was called. Whatever lists a kind (help, completion, messages)
reads the registry, so that it knows both.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Colour:
...     name: str
>>> colours = Registry("colour")
>>> colours.register(Colour("red"))
Colour(name='red')
>>> colours.find("rad")
Traceback (most recent call last):
...
causalmix_nb.errors.CausalMixError: unknown colour 'rad'. Did you mean 'red'? Colours are red.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, TypeVar

from causalmix_nb.errors import CausalMixError, did_you_mean


class Member(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


M = TypeVar("M", bound=Member)


class Registry(Mapping[str, M]):
    """The members of one kind by name, in alphabetical order.

    kind: what a member is called in messages. home: dotted name of the package whose modules register ours when they are imported, or ""
    for a kind without any. error: what an unknown name raises.
    """

    def __init__(self, kind: str, home: str = "", error: type[CausalMixError] = CausalMixError) -> None:
        self.kind, self.error = kind, error
        self._home = home
        self._members: dict[str, M] = {}

    def register(self, member: M, replace: bool = False) -> M:
        """Add a member and return it. replace: take the place of one of the same name (a cell that is run again).

        Raises
        ------
        CausalMixError (of the registry's kind): there is one of this name.
        """
        if member.name in self._members and not replace:
            raise self.error(
                f"there is a {self.kind} called {member.name!r} already; give yours another name, or pass replace=True."
            )
        self._members[member.name] = member
        return member

    def remove(self, name: str) -> None:
        """Take back a member that was registered; nothing where there is none."""
        self._members.pop(name, None)

    def find(self, name: str, *besides: str) -> M:
        """The member of this name. besides: names that the caller knows itself, for the message.

        Raises
        ------
        CausalMixError (of the registry's kind): unknown, with the names that there are.
        """
        try:
            return self[name]
        except KeyError:
            known = (*self, *besides)
            raise self.error(
                f"unknown {self.kind} {name!r}.{did_you_mean(name, known)} "
                f"{self.kind.capitalize()}s are {', '.join(known)}."
            ) from None

    def __getitem__(self, name: str) -> M:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all()))

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, M]:
        if self._home:
            home, self._home = (
                import_module(self._home),
                "",
            )  # once, also when a module asks while it is imported
            for module in iter_modules(home.__path__):
                import_module(f"{home.__name__}.{module.name}")
        return self._members
