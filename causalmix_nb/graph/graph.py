"""The user's causal graph: what causes what, what to adjust for, and what never to condition on.

A regression of the score on the mixture answers a causal question only if the right things are held fixed.
Which things are right cannot be read off the data; it follows from a graph of what causes what.

Definitions
-----------
- An arrow ``a -> b`` says that a may cause b. Arrows form no cycle. ``a <-> b`` says that a and b have a
  *hidden common cause*: something nobody recorded. No arrow is the strong claim, an arrow the weak one.
- A *path* follows arrows in either direction. On it, a node is a *collider* if both its arrows point into it
  (``-> c <-``). A set Z *blocks* a path if the path has a non-collider in Z, or a collider that is not in Z
  and causes nothing in Z. Z *d-separates* two nodes if it blocks every path between them; their variables are
  then independent given Z.
- A path from the treatment to the outcome whose arrows all point forward carries the *effect*; every other
  path carries association that is not effect. A *mediator* lies on a path of the first kind.
- Z is an *adjustment set* if it blocks every path of the second kind and contains no mediator, no outcome and
  nothing that these cause (the adjustment criterion of Shpitser et al. 2010, complete by Perković et al.
  2018; the back-door criterion of Pearl 2009 is the case without descendants of the treatment). The effect is
  then E over Z of E[outcome | treatment, Z].
- A *bad control* is a node that breaks an adjustment set when it is added to it: a mediator removes part of
  the effect, a collider opens a path that was blocked (M-bias).
- A set M of mediators is a *front-door set* if every causal path passes through it, nothing confounds the
  treatment with M, and the treatment blocks every non-causal path from M to the outcome. It identifies the
  effect even when a hidden cause leaves no adjustment set.

What there is
-------------
- :meth:`CausalGraph.parse` reads a graph from text, ours or another tool's, :meth:`CausalGraph.to_text` writes it.
- :meth:`CausalGraph.adjustment_set` finds a minimal adjustment set, :meth:`CausalGraph.is_adjustment_set`
  checks one.
- :meth:`CausalGraph.bad_controls` names what never to condition on, and why.
- :meth:`CausalGraph.front_door_set` finds a front-door set.
- :meth:`CausalGraph.implied_independences` lists what the graph claims about data, :meth:`CausalGraph.test`
  checks it, :meth:`CausalGraph.suspects` says which arrow to doubt.

Examples
--------
The state of the pool decided which mixture was tried, and it moves the score as well: a confounder.

>>> graph = CausalGraph.parse('''
...     state -> mixture, score     # measured per domain, before mixing
...     mixture -> loss -> score    # loss: measured on the mixed data
... ''')
>>> sorted(graph.adjustment_set("mixture", "score"))
['state']

The loss was measured on the mixed data, so it carries the very effect that is asked for:

>>> graph.bad_controls("mixture", "score")
{'loss': 'lies on the path from mixture to score: conditioning on it removes part of the effect'}

A hidden cause of mixture and score leaves nothing to adjust for, but the loss carries the whole effect:

>>> confounded = graph.with_hidden("mixture", "score")
>>> confounded.is_adjustment_set("mixture", "score", ["state"])
False
>>> sorted(confounded.front_door_set("mixture", "score"))
['loss']

What the graph claims, to be held against the runs by ``graph.test(runs)``:

>>> [str(claim) for claim in graph.implied_independences()]
['state ⟂ loss given mixture', 'mixture ⟂ score given loss, state']

References
----------
- J. Pearl, *Causality*, 2nd edition, 2009, sections 3.3 (back-door, front-door) and 1.2 (d-separation).
- I. Shpitser, T. VanderWeele, J. Robins, *On the validity of covariate adjustment for estimating causal
  effects*, UAI 2010.
- E. Perković, J. Textor, M. Kalisch, M. Maathuis, *Complete graphical characterization and construction of
  adjustment sets in Markov equivalence classes of ancestral graphs*, JMLR 18, 2018.
- B. van der Zander, M. Liśkiewicz, *Finding minimal d-separators in linear time and applications*, UAI 2020.
- H. Jeong, J. Tian, E. Bareinboim, *Finding and listing front-door adjustment sets*, NeurIPS 2022.
- C. Cinelli, A. Forney, J. Pearl, *A crash course in good and bad controls*, 2022.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import networkx as nx

from causalmix_nb.errors import GraphError
from causalmix_nb.graph import drawing, exchange, identification, independence, structure, suspects
from causalmix_nb.graph.independence import Independence
from causalmix_nb.graph.text import quoted, statements

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.runs.store import Runs

Pair = tuple[str, str]
Names = str | Collection[str]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CausalGraph:
    """What causes what: named nodes, arrows without a cycle, and hidden common causes. Immutable.

    Parameters
    ----------
    edges: (cause, effect) pairs.
    hidden: pairs of nodes with a hidden common cause.
    nodes: names; those of the pairs need not be repeated. Order is kept, for drawing and printing only.

    Raises
    ------
    GraphError: no node, a name that is no text or blank, an arrow from a node to itself, or a cycle.

    >>> CausalGraph([("state", "mixture"), ("mixture", "score")], hidden=[("state", "score")])
    CausalGraph('state -> mixture; mixture -> score; state <-> score')
    """

    edges: tuple[Pair, ...] = ()
    hidden: tuple[Pair, ...] = ()
    nodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = structure.checked(self.edges, self.hidden, self.nodes)
        for field, value in zip(("edges", "hidden", "nodes"), parts):
            object.__setattr__(self, field, value)

    # -- text --------------------------------------------------------------------------------------------

    @classmethod
    def parse(cls, text: Any, format: str | None = None) -> CausalGraph:
        """Read a graph, in whatever way people write graphs.

        Parameters
        ----------
        text: statements on lines of their own or separated by ``;``. A statement is a chain of names joined
            by ``->`` (causes), ``<-`` (is caused by) or ``<->`` (hidden common cause); ``a, b -> c`` draws an
            arrow from each; a name alone, beside arrows, is a node. ``#`` starts a comment. Names with spaces or
            signs stand in quotes. Or a graph as another tool writes it; or a :class:`pathlib.Path` to a file
            with one; or a graph of networkx, pgmpy, DoWhy, causal-learn, ananke, y0, pywhy-graphs or igraph, or
            a list of (cause, effect) pairs.
        format: what the text is written in; by default that is recognised. ``"causalmix"`` (the text above),
            ``"dot"`` (``digraph { … }``), ``"dagitty"`` (``dag { … }``), ``"mermaid"`` (``graph LR``),
            ``"lavaan"`` (``score ~ mixture``; also semopy and ``dagify``), ``"edges"`` (CSV or TSV with one
            arrow a row), ``"causal-learn"`` (also Tetrad), ``"bnlearn"`` (``[a][b|a]``), ``"gml"``,
            ``"graphml"``, ``"json"`` (node-link data).

        Nodes that another tool marks as latent are left out, and what they cause shares a hidden common cause (the
        latent projection, :mod:`causalmix_nb.graph.reading`).

        Raises
        ------
        GraphError: a line that cannot be read, with the format that was recognised; edges without a direction; names
            without any arrow; an arrow from a node to itself, a cycle, or no node at all.

        >>> CausalGraph.parse('quality, "pool size" -> mixture -> score; quality <-> score').hidden
        (('quality', 'score'),)
        >>> CausalGraph.parse("dag { mixture [exposure] u [latent] u -> {mixture score} mixture -> score }")
        CausalGraph('mixture -> score; mixture <-> score')
        """
        if isinstance(text, cls):
            return text
        read = exchange.read(text, format)
        graph = cls(
            tuple(read.edges), tuple(read.hidden), tuple(read.nodes)
        )  # a cycle is told by the names given
        if not read.latent:
            return graph
        edges, hidden, nodes = read.recorded()
        return cls(tuple(edges), tuple(hidden), tuple(nodes))

    def to_text(self, format: str = "causalmix") -> str:
        """The graph as text that :meth:`parse` reads back; by default one statement per line.

        Parameters
        ----------
        format: as for :meth:`parse`. Formats without a sign for a hidden common cause (DOT, GML, GraphML, JSON) get a
            node for it with ``observed="no"``, as DoWhy reads it.

        Raises
        ------
        GraphError: a format that there is not, or one that cannot hold this graph.

        >>> print(CausalGraph.parse("state -> mixture -> score; state <-> score").to_text("lavaan"))
        mixture ~ state
        score ~ mixture
        state ~~ score
        """
        return exchange.write(format, self.edges, self.hidden, self.nodes)

    def _statements(self) -> str:
        return "; ".join(statements(self.edges, self.hidden, self.nodes))

    def __repr__(self) -> str:
        return f"CausalGraph({self._statements()!r})"

    def _key(self) -> tuple[frozenset, ...]:
        return frozenset(self.nodes), frozenset(self.edges), frozenset(map(frozenset, self.hidden))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CausalGraph) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    # -- editing: each returns a new graph ---------------------------------------------------------------

    def with_node(self, name: str) -> CausalGraph:
        """This graph with one more node."""
        return CausalGraph(self.edges, self.hidden, (*self.nodes, name))

    def without_node(self, name: str) -> CausalGraph:
        """This graph without a node and its arrows."""
        self._known([name])
        edges, hidden = (
            tuple(pair for pair in pairs if name not in pair) for pairs in (self.edges, self.hidden)
        )
        return CausalGraph(edges, hidden, tuple(node for node in self.nodes if node != name))

    def with_edge(self, a: str, b: str) -> CausalGraph:
        """This graph with an arrow ``a -> b``."""
        return CausalGraph((*self.edges, (a, b)), self.hidden, self.nodes)

    def without_edge(self, a: str, b: str) -> CausalGraph:
        """This graph without the arrow ``a -> b``; the nodes stay."""
        if (a, b) not in self.edges:
            raise GraphError(
                f"there is no arrow {quoted(a)} -> {quoted(b)}; arrows are {self._statements()}."
            )
        return CausalGraph(tuple(edge for edge in self.edges if edge != (a, b)), self.hidden, self.nodes)

    def with_hidden(self, a: str, b: str) -> CausalGraph:
        """This graph with a hidden common cause ``a <-> b``."""
        return CausalGraph(self.edges, (*self.hidden, (a, b)), self.nodes)

    def without_hidden(self, a: str, b: str) -> CausalGraph:
        """This graph without the hidden common cause ``a <-> b``; the nodes stay."""
        rest = tuple(pair for pair in self.hidden if set(pair) != {a, b})
        if len(rest) == len(self.hidden):
            raise GraphError(
                f"there is no hidden cause {quoted(a)} <-> {quoted(b)} to remove; see graph.hidden."
            )
        return CausalGraph(self.edges, rest, self.nodes)

    # -- the graph as networkx sees it -------------------------------------------------------------------

    @property
    def nx(self) -> nx.DiGraph:
        """A fresh networkx graph; each hidden cause is a node ``("hidden", a, b)`` with the attribute ``latent=True``."""
        return structure.as_networkx(self.edges, self.hidden, self.nodes)

    def _known(self, names: Iterable[str]) -> None:
        structure.check_known(names, self.nodes)

    def _question(self, treatment: Names, outcome: str) -> frozenset[str]:
        return structure.question(treatment, outcome, self.nodes)

    # -- identification ----------------------------------------------------------------------------------

    def is_adjustment_set(self, treatment: Names, outcome: str, given: Names) -> bool:
        """Whether conditioning on ``given``, and on nothing else, leaves the effect and only the effect.

        Parameters
        ----------
        treatment: one node, or several for their joint effect.
        outcome, given: one node; the nodes that would be conditioned on.

        Raises
        ------
        GraphError: a node that the graph does not have.

        Source: the adjustment criterion, Perković et al. 2018, theorem 56 for DAGs.
        """
        X = self._question(treatment, outcome)
        Z = {given} if isinstance(given, str) else set(given)
        self._known(sorted(Z, key=str))
        return identification.adjusts(self.nx, X, outcome, Z)

    def adjustment_set(
        self, treatment: Names, outcome: str, include: Names = (), within: Collection[str] | None = None
    ) -> frozenset[str]:
        """Find a minimal set to condition on so that only the effect of the treatment on the outcome is left.

        Parameters
        ----------
        treatment: one node, or several for their joint effect.
        outcome: one node.
        include: nodes to condition on anyway, for precision or because the model needs them.
        within: nodes of which the others of the set are taken if possible, such as those that were recorded.

        Returns
        -------
        The set; no node outside ``include`` can be left out. Empty: nothing confounds the effect.

        Raises
        ------
        GraphError: a node that the graph does not have; an effect that no adjustment identifies (the hidden
            cause is named, and a front-door set if there is one); an ``include`` that spoils every adjustment
            set.

        >>> sorted(CausalGraph.parse("s -> t, y; w -> y; t -> y").adjustment_set("t", "y", include="w"))
        ['s', 'w']
        """
        X = self._question(treatment, outcome)
        wanted = frozenset([include] if isinstance(include, str) else include)
        self._known(sorted(wanted, key=str))
        return identification.adjustment_set(self.nx, X, outcome, wanted, within)

    def bad_controls(self, treatment: Names, outcome: str) -> dict[str, str]:
        """Name every node that must not be added to the adjustment set, each with the reason in one sentence.

        A node is bad if the set of :meth:`adjustment_set` together with it is no adjustment set any more.
        Where no adjustment set exists, the mediators, the outcome's effects and what these cause are named,
        bad in any set.

        >>> graph = CausalGraph.parse("mixture -> score; mixture <-> style; style <-> score")
        >>> graph.bad_controls("mixture", "score")["style"]
        'opens the path mixture <-> style <-> score: conditioning on it creates an association that is no effect'
        """
        X = self._question(treatment, outcome)
        return identification.bad_controls(self.nx, X, outcome)

    def allowed_controls(
        self, treatment: Names, outcome: str, candidates: Collection[str] | None = None, include: Names = ()
    ) -> tuple[str, ...]:
        """The adjustment set around ``include``, and every candidate that may be conditioned on besides, in the order of the graph.

        Two controls that are harmless alone may open a path together; then the one that comes first is kept.

        Raises
        ------
        GraphError: as :meth:`adjustment_set`.
        """
        kept = set(self.adjustment_set(treatment, outcome, include))
        self._known(candidates or ())
        for name in self.nodes if candidates is None else candidates:
            if self.is_adjustment_set(treatment, outcome, kept | {name}):
                kept.add(name)
        return tuple(name for name in self.nodes if name in kept)

    def front_door_set(self, treatment: Names, outcome: str) -> frozenset[str]:
        """Find mediators that identify the effect although a hidden cause confounds treatment and outcome.

        Returns
        -------
        A front-door set from which no single node can be left out. Empty: the treatment does not cause the
        outcome.

        Raises
        ------
        GraphError: a node that the graph does not have, or no front-door set.

        >>> sorted(CausalGraph.parse("t -> m -> y; t <-> y").front_door_set("t", "y"))
        ['m']
        """
        X = self._question(treatment, outcome)
        return identification.front_door_set(self.nx, X, outcome)

    # -- claims about data -------------------------------------------------------------------------------

    def implied_independences(self, observed: Collection[str] | None = None) -> list[Independence]:
        """List what the graph claims about data: one independence for each pair of nodes that can be separated.

        Parameters
        ----------
        observed: the nodes that were recorded; by default all. Pairs and conditions are taken from these.
        """
        return independence.implied(self.nx, self.nodes if observed is None else observed)

    def test(
        self, runs: Runs, level: float = 0.05, method: str = "linear", random_state: int = 0
    ) -> pd.DataFrame:
        """Hold the graph against the runs: which of its claimed independences do the data contradict?

        Each claim is tested by linear regression: the partial correlation where both nodes are one column
        (exact t test, given as F), otherwise the largest canonical correlation and Wilks' lambda (Rao's F);
        or, with ``method="distance"``, by the distance correlation of what a smooth regression leaves, which sees
        dependence of any shape and asks for more runs. ``mixture`` enters as log-ratios. A claim that is not
        contradicted is not proved.

        Parameters
        ----------
        runs: finished runs; rows that repeat all columns of a test exactly are counted once.
        level: the chance of contradicting any true claim (Holm's correction over all tests).
        method: ``"linear"`` or ``"distance"``.
        random_state: seed of the permutations of ``"distance"``, which looks at 2000 runs at most.

        Returns
        -------
        DataFrame, one row per claim: a, b, given (text), estimate (a correlation), lower, upper (its
        interval; NaN for a canonical and for a distance correlation, which have none here), statistic (F; for
        distances n times the squared correlation), p, p_holm, n_runs, verdict. ``attrs["skipped"]`` names the
        nodes without columns in the runs; ``attrs["level"]`` is the level.

        Raises
        ------
        GraphError: a method that there is not, or a level outside (0, 1).
        """
        return independence.check_graph(self.nx, runs, level, method, random_state)

    def suspects(
        self, runs: Runs, level: float = 0.05, method: str = "linear", random_state: int = 0
    ) -> pd.DataFrame:
        """Which arrows are most at odds with the runs? See :func:`causalmix_nb.graph.suspects.suspects`."""
        return suspects.suspects(self.nx, self.edges, runs, level, method, random_state)

    @staticmethod
    def columns_of(node: str, runs: Runs) -> list[str]:
        """Columns of ``runs.frame`` that a node stands for; see :func:`causalmix_nb.graph.independence.columns_of`."""
        return independence.columns_of(node, runs)

    # -- looking at it -----------------------------------------------------------------------------------

    @property
    def roles(self) -> dict[str, str]:
        """Node -> "treatment", "outcome", "mediator", "covariate" (not caused by the treatment) or "other".

        The treatment is ``mixture``; the outcome is ``score``, or else the last effects of the mixture.
        """
        return identification.roles(self.nx, *self._ends())

    def _ends(self) -> tuple[str | None, list[str]]:
        return identification.ends(self.nx)

    def layout(self) -> dict[str, tuple[float, float]]:
        """Node -> (generation, row) for drawing: causes left of effects, rows centred around 0."""
        return drawing.layered(self.nodes, self.edges)[0]

    def caption(self, outcome: str | None = None) -> str:
        """What the graph says about the effect of the mixture, in one line."""
        return identification.caption(self.nx, outcome)

    def to_svg(self, outcome: str | None = None) -> str:
        """The graph as one ``<svg>`` element with an alternative text. outcome: whose effect is told, if not ``score``'s."""
        treatment, outcomes = self._ends()
        if outcome is not None:
            self._known([outcome])
            outcomes = [outcome]
        graph = self.nx
        roles = identification.roles(graph, treatment, outcomes)
        on = {treatment}.union(
            *(identification.causal_nodes(graph, frozenset([treatment]), y) for y in outcomes if treatment)
        )
        causal = [(a, b) for a, b in self.edges if a in on and b in on]
        return drawing.draw(self.nodes, self.edges, self.hidden, roles, self.caption(outcome), causal)

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.to_svg()}</div>'
