"""Through which capability does a domain help? Linear structural equations, and what each path through the graph carries.

Every arrow into a node on a path from the mixture to the outcome has a coefficient of its own, by least squares (statsmodels) on what the
graph says makes it causal: the node's other parents where these separate, else any set that does, else nothing, and the hidden
cause in the way is named. What a path carries is the product along it. A mixture whose every adjustment set is spoilt by a
hidden cause may still act through a mediator that nothing spoils: then the paths through it are its effect (the front door).

References: S. Wright, *The method of path coefficients*, 1934; J. Pearl, *Causality*, 2009, theorem 5.3.1 (single door) and section 3.3.2
(front door). Intervals are percentiles of a bootstrap over different runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalmix_nb.answers.question import OUTCOME, QUESTIONS, SEED, Argument, Question
from causalmix_nb.errors import FitError, GraphError
from causalmix_nb.estimate.model import LEVEL
from causalmix_nb.estimate.problem import Problem
from causalmix_nb.finding import Finding
from causalmix_nb.graph.text import quoted
from causalmix_nb.mixture import ilr, ilr_basis
from causalmix_nb.plots.pictures import short
from causalmix_nb.plots.state import path_forest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

TREATMENT = "mixture"
TOTAL = "all paths"
MOST_PATHS = 40
SPARE = 6  # runs beyond the coefficients, to see the noise


@dataclass(frozen=True, slots=True)
class PathEffects(Finding):
    """What each path from the mixture to the outcome carries.

    table: one row per (domain, path) and per (domain, ``all paths``): estimate, se, lower, upper, in outcome units per unit of log share as in
    :meth:`causalmix_nb.estimate.model.Model.marginal_return`; NaN where the graph does not identify a path. equations: one row per arrow and
    pair of columns: ``arrow``, ``cause``, ``effect``, ``coefficient``, ``se`` (HC3, HC1 where a run stands alone), ``p``, ``r2``, ``adjusted_for``. notes: what could not be told, and
    why.
    """

    table: pd.DataFrame
    equations: pd.DataFrame
    outcome: str
    minimize: bool
    n_runs: int
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"Paths by which the mixture acts on {self.outcome}"

    @property
    def sentences(self) -> tuple[str, ...]:
        known = self.table.dropna(subset=["estimate"])
        single = known[known["path"] != TOTAL]
        sure = single[(single["lower"] > 0) | (single["upper"] < 0)]
        sentences = []
        strongest = sure.loc[sure.groupby("path")["estimate"].apply(lambda e: e.abs().idxmax())]
        for top in strongest.sort_values("estimate", key=np.abs, ascending=False).itertuples():
            better = (top.estimate < 0) == self.minimize
            sentences.append(
                f"{top.path}: carries most for {short(top.domain)}, which {'helps' if better else 'hurts'} along it: "
                f"{top.estimate:+.3g} ({top.lower:+.3g} to {top.upper:+.3g})"
            )
        if not sentences:
            sentences.append("no path carries a significant effect: all 95 % intervals include 0")
        silent = [path for path in dict.fromkeys(single["path"]) if path not in set(sure["path"])]
        sentences += [
            f"{path}: not significant, the 95 % intervals include 0" for path in silent if len(sure)
        ]
        return (
            *sentences,
            *self.notes,
            "the equations are linear: a nonlinear mechanism is captured only in part",
        )

    @property
    def shown(self) -> pd.DataFrame:
        """Estimates, domain by path."""
        return self.table.pivot(index="domain", columns="path", values="estimate").loc[
            list(dict.fromkeys(self.table["domain"])), list(dict.fromkeys(self.table["path"]))
        ]

    def figure(self) -> Figure:
        return path_forest(self.table, self.outcome, self.minimize)


def path_effects(
    runs: Runs,
    graph: CausalGraph,
    outcome: str | None = None,
    level: float = LEVEL,
    n_bootstrap: int = 300,
    random_state: int = 0,
    through: Sequence[str] = (),
) -> PathEffects:
    """What each path from ``mixture`` to the outcome carries, by linear structural equations.

    Parameters
    ----------
    graph: must hold ``mixture`` and the outcome (its name, or ``score``). Nodes that the runs do not record are marginalised.
    through: paths through one of these nodes only; None of them means all paths.
    n_bootstrap: resamples of the different runs, repeated seeds together.

    Raises
    ------
    GraphError: a graph without the mixture, the outcome or a path between them.
    FitError: fewer runs than an equation needs, or two nodes that stand for the same columns.
    """
    import pandas as pd

    if TREATMENT not in graph.nodes:
        raise GraphError("the graph has no node 'mixture', from which paths begin; add it to the graph.")
    problem = Problem.from_runs(runs, outcome, use_state=False)
    target = problem.outcome if problem.outcome in graph.nodes else "score"
    if target not in graph.nodes:
        raise GraphError(
            f"the graph has no node {problem.outcome!r} and no 'score', at which paths end; add one."
        )
    data = _columns(runs, graph, target, problem)
    observed, notes = _observed(graph, data)
    routes = _routes(observed, target, through)
    arrows = {
        pair: _door(observed, *pair) for pair in dict.fromkeys(p for r in routes for p in zip(r, r[1:]))
    }
    stand = {f"{a} -> {b}": why for (a, b), why in arrows.items() if isinstance(why, str)}
    notes += [f"{arrow}: {why}, so its effect is not identified" for arrow, why in stand.items()]
    designs = {
        (a, b): _design(data, a, b, given, problem)
        for (a, b), given in arrows.items()
        if not isinstance(given, str)
    }
    rng, groups = (
        np.random.default_rng(random_state),
        np.unique(problem.groups, return_inverse=True)[1].ravel(),
    )
    estimate = _carried(routes, designs, None)
    members = [np.flatnonzero(groups == g) for g in range(groups.max() + 1)]
    draws = np.array(
        [
            _carried(
                routes,
                designs,
                np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))]),
            )
            for _ in range(n_bootstrap)
        ]
    )  # (draws, paths, K)
    tail = 50 * (1 - level)
    moving = list(problem.moving_domains)
    rows = []
    names = [" -> ".join(map(quoted, route)) for route in routes]
    for label, one, many in [
        *zip(names, estimate, np.moveaxis(draws, 1, 0)),
        (TOTAL, estimate.sum(0), draws.sum(1)),
    ]:
        lower, upper = np.percentile(many, [tail, 100 - tail], axis=0)
        for k, domain in enumerate(moving):
            found = {"estimate": one[k], "se": many[:, k].std(ddof=1), "lower": lower[k], "upper": upper[k]}
            rows.append({"domain": domain, "path": label, **found})
    if len(moving) < len(problem.domains):
        notes.append(
            "the same share in every run, so left out: "
            + ", ".join(sorted(set(problem.domains) - set(moving)))
        )
    return PathEffects(
        pd.DataFrame(rows),
        _equations(designs, arrows, moving),
        problem.outcome,
        problem.minimize,
        problem.n_runs,
        tuple(notes),
    )


def front_door(
    runs: Runs,
    graph: CausalGraph,
    outcome: str | None = None,
    level: float = LEVEL,
    n_bootstrap: int = 300,
    random_state: int = 0,
) -> PathEffects:
    """The effect of the mixture through a front-door set: identified although a hidden cause moves mixture and outcome.

    Raises
    ------
    GraphError: no front-door set, and the other errors of :func:`path_effects`.
    """
    target = outcome if outcome is not None and outcome in graph.nodes else "score"
    return path_effects(
        runs,
        graph,
        outcome,
        level,
        n_bootstrap,
        random_state,
        sorted(graph.front_door_set(TREATMENT, target)),
    )


# -- the graph ---------------------------------------------------------------------------------------------------


def _columns(runs: Runs, graph: CausalGraph, target: str, problem: Problem) -> dict[str, pd.DataFrame]:
    """Node -> its columns over the usable runs; the mixture as isometric log-ratios of the domains that vary."""
    import pandas as pd

    frame = runs.frame
    y = frame[f"outcome.{problem.outcome}"].to_numpy(dtype=float)
    frame = frame[np.isfinite(y) & (frame["status"] == "done").to_numpy()].reset_index(drop=True)
    moving = problem.moving
    shares = problem.T[:, moving] / problem.T[:, moving].sum(1, keepdims=True)
    found = {TREATMENT: pd.DataFrame(ilr(shares)), target: pd.DataFrame({problem.outcome: problem.y})}
    taken = {f"outcome.{problem.outcome}": target}
    for node in graph.nodes:
        if node in found:
            continue
        columns = graph.columns_of(node, runs)
        if any(name.startswith("mixture.") for name in columns):
            raise FitError(
                f"{quoted(node)} stands for a share, which is part of the mixture; leave it out of the graph."
            )
        for name in columns:
            if name in taken:
                raise FitError(
                    f"{quoted(node)} and {quoted(taken[name])} stand for the same column {name}; rename one of the nodes."
                )
            taken[name] = node
        values = frame[columns].astype(float)
        if not np.isfinite(values.to_numpy()).all():
            raise FitError(
                f"{quoted(node)} is missing in some runs; fill it in or leave it out of the graph."
            )
        if columns:
            found[node] = values.loc[:, np.ptp(values.to_numpy(), axis=0) > 1e-12].rename(
                columns=lambda c: c.split(".", 1)[1]
            )
    return found


def _observed(graph: CausalGraph, data: Mapping[str, pd.DataFrame]) -> tuple[CausalGraph, list[str]]:
    """The graph over what the runs record (latent projection), and what was marginalised."""
    gone = [node for node in graph.nodes if node not in data or not data[node].shape[1]]
    for node in gone:
        causes = [a for a, b in graph.edges if b == node]
        effects = [b for a, b in graph.edges if a == node]
        partners = [a if b == node else b for a, b in graph.hidden if node in (a, b)]
        rest = graph.without_node(node)
        for effect in effects:
            for cause in causes:
                rest = rest.with_edge(cause, effect)
            for other in {*partners, *effects} - {effect}:
                rest = rest.with_hidden(other, effect)
        graph = rest
    notes = [f"not recorded, so its paths count as direct: {', '.join(map(short, gone))}"] if gone else []
    return graph, notes


def _routes(graph: CausalGraph, target: str, through: Sequence[str]) -> list[list[str]]:
    import networkx as nx

    seen = nx.DiGraph(list(graph.edges))
    seen.add_nodes_from(graph.nodes)
    routes = list(nx.all_simple_paths(seen, TREATMENT, target))
    if through:
        routes = [route for route in routes if set(route) & set(through)]
    if not routes:
        raise GraphError(
            f"no path leads from the mixture to {quoted(target)}; draw the arrows that the mixture acts by."
        )
    if len(routes) > MOST_PATHS:
        raise GraphError(
            f"{len(routes)} paths lead to {quoted(target)}, more than anybody reads; name nodes with through=, or merge some."
        )
    return sorted(routes, key=len)


def _door(graph: CausalGraph, a: str, b: str) -> tuple[str, ...] | str:
    """What to hold fixed so that regressing b on a gives the arrow's own coefficient; or why nothing does."""
    import networkx as nx

    without = graph.without_edge(a, b).nx
    allowed = {node for node in graph.nodes if node not in (a, b)} - nx.descendants(graph.nx, b)
    parents = {cause for cause, effect in graph.edges if effect == b} - {a}
    if nx.is_d_separator(without, {a}, {b}, parents):
        return tuple(sorted(parents))
    given = nx.find_minimal_d_separator(without, {a}, {b}, restricted=allowed)
    if given is not None:
        return tuple(sorted(given))
    pairs = [f"{x} <-> {y}" for x, y in graph.hidden if b in (x, y) or a in (x, y)]
    return f"an unobserved confounder ({', '.join(pairs)})"


# -- the equations -----------------------------------------------------------------------------------------------

Design = tuple[
    "pd.DataFrame", np.ndarray, "pd.DataFrame"
]  # cause (n, a), what is held fixed (n, c), effect (n, b)
Designs = Mapping[tuple[str, str], Design]


def _design(
    data: Mapping[str, pd.DataFrame], a: str, b: str, given: Sequence[str], problem: Problem
) -> Design:
    """The regression of an arrow; what is held fixed as orthonormal columns, so that columns that repeat each other do no harm."""
    cause, effect = data[a], data[b]
    fixed = np.zeros((len(cause), 0))
    if given:
        columns = np.hstack([data[z].to_numpy() for z in given])
        columns = columns - columns.mean(0)
        left, sizes, _ = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), full_matrices=False)
        fixed = left[:, sizes > 1e-7]
    distinct, needed = len(np.unique(problem.groups)), cause.shape[1] + fixed.shape[1] + SPARE
    if distinct < needed:
        raise FitError(
            f"{distinct} different runs do not carry the equation of {quoted(b)} with {needed - SPARE} columns; at least {needed} are "
            f"needed: make more runs, or leave nodes out of the graph."
        )
    rest = cause.to_numpy() - cause.to_numpy().mean(0)
    scale = np.linalg.norm(rest, axis=0)
    rest = (rest - fixed @ (fixed.T @ rest)) / scale
    if np.linalg.svd(rest, compute_uv=False)[-1] < 1e-6:
        raise FitError(
            f"{quoted(a)} cannot be told apart from {', '.join(given) or 'itself'}, which the equation of {quoted(b)} holds fixed; "
            "leave one of them out of the graph."
        )
    return cause, fixed, effect


def _carried(routes: list[list[str]], designs: Designs, rows: np.ndarray | None) -> np.ndarray:
    """What every path carries per domain, (paths, K), from all runs or from a resample; NaN over arrows that cannot be told."""
    slopes = {}
    for pair, (cause, fixed, effect) in designs.items():
        parts = [cause.to_numpy(), fixed, effect.to_numpy()]
        if rows is not None:
            parts = [part[rows] for part in parts]
        centred = [part - part.mean(0) for part in parts]
        slope = np.linalg.lstsq(np.hstack(centred[:-1]), centred[-1], rcond=1e-9)[0][: cause.shape[1]]
        slopes[pair] = _per_cause(pair[0], cause) @ slope  # (columns of a, columns of b)
    K = next((d[0].shape[1] + 1 for (a, _), d in designs.items() if a == TREATMENT), 1)
    out = []
    for route in routes:
        pairs = list(zip(route, route[1:]))
        if any(pair not in slopes for pair in pairs):
            out.append(np.full(K, np.nan))
            continue
        carried = slopes[pairs[0]]
        for pair in pairs[1:]:
            carried = carried @ slopes[pair]
        out.append(carried[:, 0])
    return np.array(out)


def _per_cause(node: str, cause: pd.DataFrame) -> np.ndarray:
    """From coefficients of a node's columns to those of what people name: domains (K, K - 1) for the mixture, else the columns."""
    n = cause.shape[1]
    return ilr_basis(n + 1) if node == TREATMENT else np.eye(n)


def _equations(
    designs: Designs, arrows: Mapping[tuple[str, str], tuple[str, ...] | str], domains: list[str]
) -> pd.DataFrame:
    import pandas as pd
    import statsmodels.api as sm

    rows = []
    for (a, b), (cause, fixed, effect) in designs.items():
        design = sm.add_constant(np.hstack([cause.to_numpy(), fixed]))
        alone = (np.linalg.qr(design)[0] ** 2).sum(
            1
        ).max() > 1 - 1e-6  # a run that decides a coefficient has no HC3
        for name, y in effect.items():
            fitted = sm.OLS(y.to_numpy(), design).fit(cov_type="HC1" if alone else "HC3")
            named = np.zeros((len(_per_cause(a, cause)), design.shape[1]))
            named[:, 1 : 1 + cause.shape[1]] = _per_cause(a, cause)
            test = fitted.t_test(named)
            effects, se, p = (np.ravel(part) for part in (test.effect, test.sd, test.pvalue))
            for j, column in enumerate(domains if a == TREATMENT else cause.columns):
                rows.append(
                    {
                        "arrow": f"{quoted(a)} -> {quoted(b)}", "cause": column, "effect": name, "coefficient": effects[j],
                        "se": se[j], "p": p[j], "r2": fitted.rsquared,
                        "adjusted_for": ", ".join(arrows[a, b]),
                    }
                )  # fmt: skip
    columns = ["arrow", "cause", "effect", "coefficient", "se", "p", "r2", "adjusted_for"]
    return pd.DataFrame(rows, columns=columns)


QUESTIONS.register(
    Question(
        "paths",
        "Through which recorded capability a domain helps, along the paths of the graph.",
        "%causalmix paths",
        lambda study, through, outcome, seed: study.paths(outcome, through, random_state=seed),
        (
            Argument(
                "through",
                "only paths through one of these nodes of the graph (all paths)",
                words="*",
                metavar="NODE",
                completes="node",
            ),
            OUTCOME,
            SEED,
        ),
    )
)
