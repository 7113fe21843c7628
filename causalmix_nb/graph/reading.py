"""What every reader of a graph hands on: arrows, hidden pairs, names, and which nodes nobody recorded.

Many tools draw what was not recorded as a node of its own (dagitty's ``[latent]``, DoWhy's ``observed="no"``, the factors of
lavaan). A :class:`causalmix_nb.graph.graph.CausalGraph` holds recorded nodes and hidden common causes, so such a node is projected
out: what causes it causes what it causes, and its effects share a hidden cause. This *latent projection* leaves every question
about the recorded nodes with the same answer (T. Verma, *Graphical aspects of causal models*, 1993).

>>> read = Reading([("u", "t"), ("u", "y"), ("t", "y")], [], ["u", "t", "y"], {"u"})
>>> read.recorded()
([('t', 'y')], [('t', 'y')], ['t', 'y'])
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field

from causalmix_nb.errors import GraphError
from causalmix_nb.graph.text import FOREIGN, MOST_ARROWS, Pair, no_meaning, shortened

LATENT_WORDS = frozenset({"latent", "hidden", "unobserved", "unmeasured", "unrecorded"})
_NUMBERED = re.compile(r"(?:[A-Za-z]|id|no?de?|v|vertex)?[_-]?\d+|[A-Za-z]")  # A, 0, n0, id1, node_2


@dataclass(slots=True)
class Reading:
    """A graph as some format writes it.

    Parameters
    ----------
    edges: (cause, effect). hidden: pairs with a hidden common cause. nodes: names in the order of mention; the names of pairs
    need not be repeated. latent: the nodes among them that nobody recorded.
    """

    edges: list[Pair] = field(default_factory=list)
    hidden: list[Pair] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    latent: set[str] = field(default_factory=set)

    def join(self, left: Collection[str], arrow: str, right: Collection[str]) -> None:
        """An arrow ``->``, ``<-`` or ``<->`` from each on the left to each on the right."""
        if len(self.edges) + len(self.hidden) + len(left) * len(right) > MOST_ARROWS:
            raise GraphError(
                f"the graph has more than {MOST_ARROWS:,} arrows; give one that a person could draw."
            )
        for a, b in itertools.product(left, right):
            if arrow == "<->":
                self.hidden.append((a, b))
            else:
                self.edges.append((b, a) if arrow == "<-" else (a, b))

    def recorded(self) -> tuple[list[Pair], list[Pair], list[str]]:
        """Arrows, hidden pairs and names of what was recorded: the latent projection.

        Raises
        ------
        GraphError: no node was recorded.
        """
        nodes = list(dict.fromkeys([*self.nodes, *itertools.chain(*self.edges, *self.hidden)]))
        edges, hidden = dict.fromkeys(self.edges), dict.fromkeys(self.hidden)
        for name in [node for node in nodes if node in self.latent]:
            causes = [a for a, b in edges if b == name]
            effects = [b for a, b in edges if a == name]
            tied = [a if b == name else b for a, b in hidden if name in (a, b)]
            edges = {pair: None for pair in edges if name not in pair}
            hidden = {pair: None for pair in hidden if name not in pair}
            more = [*itertools.product(tied, effects), *itertools.combinations(effects, 2)]
            if len(edges) + len(hidden) + len(more) + len(causes) * len(effects) > MOST_ARROWS:
                raise GraphError(
                    f"the graph has more than {MOST_ARROWS:,} arrows once {name!r}, which nobody recorded, is left out; give a smaller one."
                )
            edges |= dict.fromkeys(itertools.product(causes, effects))
            hidden |= {(a, b): None for a, b in more if a != b and (b, a) not in hidden}
        nodes = [node for node in nodes if node not in self.latent]
        if self.latent and not nodes:
            raise GraphError(
                "no node of the graph was recorded (all are marked as latent); leave at least one observed."
            )
        return list(edges), list(hidden), nodes


def refusal(format: str, reason: str, number: int | None = None, line: str = "") -> GraphError:
    """The error of a reader: what the text is, where it cannot be read, and why.

    >>> print(refusal("DOT", "an edge has no direction; write ->", 2, "a -- b"))
    this is DOT, and line 2, 'a -- b', cannot be read: an edge has no direction; write ->.
    """
    where = f"line {number}, {shortened(line.strip())!r}," if number is not None else "it"
    return GraphError(f"this is {format}, and {where} cannot be read: {reason}.")


def bare(text: str) -> str:
    """A name that stands without quotes in a field of its own, where spaces may be part of it.

    Raises
    ------
    ValueError: a sign in it that belongs to no name; the message says which.
    """
    name = " ".join(text.split())
    found = FOREIGN.search(name)
    if found:
        raise ValueError(no_meaning(found[0]))
    return name


def called(labels: Mapping[str, str | None]) -> dict[str, str]:
    """The name of every node: its id, or its label in a graph where ids only number the nodes.

    ``A``, ``0``, ``n1`` and ``node_2`` number a node, and what it is stands in its label; where any id is a word, ids are names
    and labels captions. Ids are kept too if labels would give two nodes one name.

    >>> called({"A": "pool size", "B": "mixture"}), called({"state": "The state", "mixture": None})
    ({'A': 'pool size', 'B': 'mixture'}, {'state': 'state', 'mixture': 'mixture'})
    """
    ids = {id_: id_ for id_ in labels}
    if not all(map(is_number, labels)):
        return ids
    names = {id_: label if label and label.strip() else id_ for id_, label in labels.items()}
    return names if len(set(names.values())) == len(names) else ids


def is_number(id_: str) -> bool:
    """Whether an id only numbers a node."""
    return bool(_NUMBERED.fullmatch(id_))


def renamed(reading: Reading, names: Mapping[str, str]) -> Reading:
    """The same graph with other names."""

    def new(pairs: list[Pair]) -> list[Pair]:
        return [(names.get(a, a), names.get(b, b)) for a, b in pairs]

    nodes = [names.get(node, node) for node in reading.nodes]
    return Reading(new(reading.edges), new(reading.hidden), nodes, {names.get(n, n) for n in reading.latent})


def says_latent(attributes: Mapping[str, object]) -> bool:
    """Whether the attributes of a node say that nobody recorded it: ``latent=True``, ``observed="no"``, ``hidden`` …"""
    for key, value in attributes.items():
        word, stated = str(key).strip().lower(), str(value).strip().strip('"').lower()
        no, yes = stated in ("no", "false", "0", "0.0"), stated in ("yes", "true", "1", "1.0", "")
        if word in LATENT_WORDS and yes or word in ("observed", "measured", "recorded") and no:
            return True
        if word in ("class", "status", "role", "kind", "type", "node_type") and stated in LATENT_WORDS:
            return True
    return False


def fresh(wanted: str, taken: Collection[Hashable]) -> str:
    """A name that is not taken yet."""
    return next(
        name for k in itertools.count() if (name := wanted if not k else f"{wanted}_{k}") not in taken
    )


def masked(text: str) -> str:
    """The text with what stands in quotes replaced by ``x``, so that the signs of a format can be looked for."""
    return re.sub(
        r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|\'[^\'\n]*\'|`(?:[^`\\\n]|\\[^\n])*+(?:`|\\?(?=\n|\Z))',
        lambda m: re.sub(r"[^\n]", "x", m[0]),
        text,
        flags=re.DOTALL,
    )


def fields(text: str, mark: str) -> list[str]:
    """Fields between marks that stand outside quotes."""
    hidden, found, at = masked(text), [], 0
    for sign in re.finditer(re.escape(mark), hidden):
        found.append(text[at : sign.start()])
        at = sign.end()
    return [*found, text[at:]]
