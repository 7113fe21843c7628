"""What a format of graphs is: how its texts are told from others, read and written.

A file of this folder that reads a format registers it at its end; yours may be registered from anywhere, also from a cell.

>>> def read(text):
...     reading = Reading()
...     for line in text.strip().split("\\n")[1:]:
...         cause, effect = line.split()
...         reading.join([cause], "->", [effect])
...     return reading
>>> def write(edges, hidden, nodes):
...     return "\\n".join(["ARROWS", *map(" ".join, edges)])
>>> arrows = Format("arrows", "a word, then two names a line", lambda text: text.startswith("ARROWS"), read, write)
>>> FORMATS.register(arrows).name in FORMATS
True
>>> from causalmix_nb.graph.graph import CausalGraph
>>> CausalGraph.parse("ARROWS\\nstate mixture\\nmixture score")
CausalGraph('state -> mixture; mixture -> score')
>>> FORMATS.remove("arrows")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from causalmix_nb.errors import GraphError, did_you_mean
from causalmix_nb.graph.reading import Reading
from causalmix_nb.graph.text import Pair
from causalmix_nb.registry import Registry


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write graphs.

    name: what ``format=`` calls it. says: what it is, for a sentence.
    recognise: whether a text is written in it. read: a text as a :class:`Reading`.
    write: arrows, hidden pairs and nodes as text that ``read`` reads back.
    also: other words that people use for it. suffixes: of files that are read so.
    read_asked: in place of ``read`` where somebody said that it is this format, if that settles something.
    turn: texts that several formats recognise belong to the one of the lowest turn: 0 where the first words tell, more where signs
        inside do. Of one turn the first in the alphabet.
    """

    name: str
    says: str
    recognise: Callable[[str], bool]
    read: Callable[[str], Reading]
    write: Callable[[Sequence[Pair], Sequence[Pair], Sequence[str]], str]
    also: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    read_asked: Callable[[str], Reading] | None = None
    turn: int = 0


FORMATS: Registry[Format] = Registry("format", home=__package__ or "", error=GraphError)


def format_named(name: str) -> Format:
    """The format of a name, or of another word for it.

    Raises
    ------
    GraphError: no such format.
    """
    word = str(name).strip().lower()
    for key, found in FORMATS.items():
        if word == key or word in found.also or word.replace("_", "-") == key:
            return found
    also = {other: key for key, found in FORMATS.items() for other in (key, *found.also)}
    raise GraphError(
        f"there is no format {str(name)[:40]!r}.{did_you_mean(word, also)} Formats are {', '.join(FORMATS)}."
    )


def format_of(text: str) -> Format:
    """The format that a text is written in; what no other claims is our own."""
    formats = sorted(FORMATS.values(), key=lambda one: one.turn)
    return next(one for one in formats if one.recognise(text))
