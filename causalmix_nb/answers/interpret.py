"""What the state of the pool changes: a shallow tree over states with what each domain is worth in its leaves, and a heat map.

The tree is grown on the model's own marginal returns at the runs' states, all domains at once. A split is kept only if the
returns on its two sides differ by more than the error of that difference, at a level that allows for all splits.
Intervals in the leaves are for the average return over the leaf's states; that the leaves were chosen is not in them.

Reference: S. Athey, G. Imbens, *Recursive partitioning for heterogeneous causal effects*, 2016; arXiv 2607.01104, section on
the CATE interpreter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.answers.question import QUESTIONS, Argument, Question
from causalmix_nb.errors import FitError
from causalmix_nb.estimate.model import LEVEL, Model, nudged
from causalmix_nb.finding import Finding
from causalmix_nb.plots.pictures import short
from causalmix_nb.plots.state import change_heatmap, state_tree

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LOW, HIGH = 0.1, 0.9  # quantiles over the runs
STATES = 512  # states that the tree is grown on, at most
PER_LEAF = 12  # states that the average over a leaf is taken over
STEP = 0.05  # of a log share, for derivatives


@dataclass(frozen=True, slots=True)
class Split:
    """One question of the tree: is ``column`` at most ``threshold``? p: of no difference between its sides, corrected for the splits
    that were tried. yes, no: the nodes it leads to, a Split or the number of a leaf."""

    column: str
    threshold: float
    p: float
    yes: Split | int
    no: Split | int


@dataclass(frozen=True, slots=True)
class Interpretation(Finding):
    """How the effects of a mixture depend on the state of the pool.

    tree: the topmost :class:`Split`, or 0 where no split stands. leaves: one row per (leaf, domain): ``where`` (text), ``part`` (of the
    runs), estimate, se, lower, upper (marginal returns, outcome units per unit of log share). table: one row per (column, domain):
    returns at the 10 % and the 90 % quantile of the column (``low``, ``high``, each with its interval), ``change`` = high - low with
    ``change_lower``, ``change_upper``, the largest change against its error first.
    """

    tree: Split | int
    leaves: pd.DataFrame
    table: pd.DataFrame
    outcome: str
    minimize: bool

    @property
    def title(self) -> str:
        return f"Marginal return of each domain for {self.outcome}, by the state of the pool"

    @property
    def sentences(self) -> tuple[str, ...]:
        sentences = []
        if isinstance(self.tree, Split):
            for where, rows in self.leaves.groupby("where", sort=False):
                gains = rows["estimate"] * (-1 if self.minimize else 1)
                best, worst = rows.loc[gains.idxmax(), "domain"], rows.loc[gains.idxmin(), "domain"]
                sentences.append(
                    f"where {where}: {short(best)} has the highest return, {short(worst)} the lowest"
                )
        else:
            sentences.append(
                "no column of the state changes the returns significantly: the tree has one leaf"
            )
        sure = self.table[(self.table["change_lower"] > 0) | (self.table["change_upper"] < 0)]
        for row in sure.head(3).itertuples():
            sentences.append(
                f"from low to high {short(row.column)}, the return of {short(row.domain)} changes by {row.change:+.3g} "
                f"({row.change_lower:+.3g} to {row.change_upper:+.3g})"
            )
        if not len(sure):
            sentences.append("no single column changes the return of any domain significantly")
        return tuple(sentences)

    @property
    def shown(self) -> pd.DataFrame:
        """The ten largest changes."""
        names = ["column", "domain", "low", "high", "change", "change_lower", "change_upper"]
        return self.table[names].head(10).set_index("column")

    def figure(self) -> Figure:
        """The tree with the returns in its leaves."""
        return state_tree(self.tree, self.leaves, self.outcome, self.minimize)

    def heatmap(self) -> Figure:
        """Domain by state column: how the worth changes."""
        return change_heatmap(
            self.table, list(dict.fromkeys(self.leaves["domain"])), self.outcome, self.minimize
        )

    def figures(self) -> tuple[Figure, ...]:
        return (self.figure(), self.heatmap())


def interpret(
    model: Model, level: float = LEVEL, at: Any = None, depth: int = 2, random_state: int = 0
) -> Interpretation:
    """Say how the marginal returns of the domains depend on the state of the pool.

    Parameters
    ----------
    model: a model fitted with state.
    at: mixture at which the returns are taken; None is the model's baseline, else Equal.
    depth: questions that the tree asks in a row, 1 to 3.
    random_state: seed of the choice of states where there are more than 512.

    Raises
    ------
    FitError: a model that uses no state, or a depth outside 1 to 3.
    """
    problem = model.problem
    if not (problem.state_names and model.uses_state):
        raise FitError(
            f"the {model.method} model uses no state, so there is nothing to compare; fit one with state."
        )
    if depth not in (1, 2, 3):
        raise FitError(f"a tree of depth {depth} is no shallow tree; take 1, 2 or 3.")
    rng = np.random.default_rng(random_state)
    returns = _Returns(model, at)
    states = np.unique(problem.X.round(9), axis=0, return_index=True)[1]
    X = problem.X[rng.permutation(states)[:STATES]]
    tree, members = _grow(returns, X, problem.state_names, depth, 1 - level)
    return Interpretation(
        tree,
        _leaves(returns, tree, members, len(X), level),
        _changes(returns, level),
        problem.outcome,
        problem.minimize,
    )


class _Returns:
    """Marginal returns of a model at many states, as :meth:`Model.marginal_return` defines them."""

    def __init__(self, model: Model, at: Any) -> None:
        self.T, self.weights = nudged(model, at, STEP)
        self.model, self.K = model, len(self.weights)

    def _points(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n, m = len(X), len(self.T)
        return np.tile(self.T, (n, 1)), np.repeat(X, m, axis=0), self.model.scales(None, n * m)

    def each(self, X: np.ndarray) -> np.ndarray:
        """At each of the states X (n, d), shape (n, K), without intervals."""
        parts = [self.model.mean(*self._points(rows)) for rows in np.array_split(X, max(1, len(X) // 64))]
        return np.concatenate(parts).reshape(len(X), -1) @ self.weights.T

    def averages(self, sets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Averaged over each of G sets of states (n_g, d): estimates (G K,) and their joint covariance (G K, G K)."""
        X = np.vstack(sets)
        G, m = len(sets), len(self.T)
        over = np.zeros((G, len(X)))
        for g, start in enumerate(np.cumsum([0, *(len(s) for s in sets[:-1])])):
            over[g, start : start + len(sets[g])] = 1 / len(sets[g])
        mean, cov = self.model.joint_at(*self._points(X))
        cov = np.einsum("gi,iajb,hj->gahb", over, cov.reshape(len(X), m, len(X), m), over, optimize=True)
        mean = over @ mean.reshape(len(X), m) @ self.weights.T
        cov = np.einsum("ka,gahb,lb->gkhl", self.weights, cov, self.weights, optimize=True)
        if not self.model.relates_states:  # a difference of states takes both errors in full
            cov = np.einsum("gkhl,gh->gkhl", cov, np.eye(G))
        return mean.ravel(), cov.reshape(G * self.K, G * self.K)


# -- the tree --------------------------------------------------------------------------------------------------


def _grow(
    returns: _Returns, X: np.ndarray, names: Sequence[str], depth: int, alpha: float
) -> tuple[Split | int, list[np.ndarray]]:
    """The tree, and the states (n, d) of each of its leaves."""
    from sklearn.tree import DecisionTreeRegressor

    theta = returns.each(X)
    smallest = max(8, len(X) // 10)
    grown = (
        DecisionTreeRegressor(max_depth=depth, min_samples_leaf=smallest, random_state=0).fit(X, theta).tree_
    )
    tried = max(1, (grown.node_count - 1) // 2)
    leaves: list[np.ndarray] = []

    def build(node: int, rows: np.ndarray) -> Split | int:
        left, right = grown.children_left[node], grown.children_right[node]
        if left != right:
            column, threshold = grown.feature[node], grown.threshold[node]
            below = X[rows, column] <= threshold
            sides = (rows[below], rows[~below])
            p = min(1.0, tried * _no_difference(returns, [_some(X[side]) for side in sides]))
            if p < alpha:
                yes, no = build(left, sides[0]), build(right, sides[1])
                return Split(names[column], float(threshold), p, yes, no)
        leaves.append(X[rows])
        return len(leaves) - 1

    return build(0, np.arange(len(X))), leaves


def _some(X: np.ndarray) -> np.ndarray:
    """A few states that stand for many: evenly spread along the first principal component."""
    if len(X) <= PER_LEAF:
        return X
    Z = (X - X.mean(0)) / np.maximum(X.std(0), 1e-12)
    order = np.argsort(Z @ np.linalg.svd(Z, full_matrices=False)[2][0], kind="stable")
    return X[order[np.linspace(0, len(X) - 1, PER_LEAF).round().astype(int)]]


def _no_difference(returns: _Returns, sides: list[np.ndarray]) -> float:
    """p-value of no difference between the returns on the two sides, all domains at once (Wald)."""
    from scipy import stats

    mean, cov = returns.averages(sides)
    D = np.hstack([np.eye(returns.K), -np.eye(returns.K)])
    difference, spread = D @ mean, D @ cov @ D.T
    sizes, vectors = np.linalg.eigh(spread)
    if sizes[-1] <= 1e-15 * max(
        float(np.abs(np.diag(cov)).max()), 1e-300
    ):  # effects that do not vary with the state at all
        return 1.0
    kept = sizes > 1e-9 * sizes[-1]
    wald = float(((vectors[:, kept].T @ difference) ** 2 / sizes[kept]).sum())
    df = float(returns.model.df)
    freedom = int(kept.sum())
    return float(stats.f.sf(wald / freedom, freedom, df) if np.isfinite(df) else stats.chi2.sf(wald, freedom))


def _leaves(
    returns: _Returns, tree: Split | int, members: list[np.ndarray], n_states: int, level: float
) -> pd.DataFrame:
    import pandas as pd

    mean, cov = returns.averages([_some(X) for X in members])
    se, q = np.sqrt(np.maximum(np.diag(cov), 0)), returns.model.quantile(level)
    where = paths(tree)
    rows = [
        {"leaf": g, "where": where[g], "part": len(X) / n_states, "domain": domain}
        for g, X in enumerate(members)
        for domain in returns.model.problem.moving_domains
    ]
    return pd.DataFrame(rows).assign(estimate=mean, se=se, lower=mean - q * se, upper=mean + q * se)


def paths(tree: Split | int, before: tuple[str, ...] = ()) -> dict[int, str]:
    """Leaf -> the questions that lead there, in words."""
    if not isinstance(tree, Split):
        return {tree: " and ".join(before) or "anywhere"}
    name, value = short(tree.column), f"{tree.threshold:.3g}"
    return paths(tree.yes, (*before, f"{name} ≤ {value}")) | paths(tree.no, (*before, f"{name} > {value}"))


# -- one column at a time --------------------------------------------------------------------------------------


def _changes(returns: _Returns, level: float) -> pd.DataFrame:
    import pandas as pd

    problem, K = returns.model.problem, returns.K
    middle, q = np.median(problem.X, axis=0), returns.model.quantile(level)
    parts = []
    for j, name in enumerate(problem.state_names):
        ends = np.tile(middle, (2, 1))
        ends[:, j] = np.quantile(problem.X[:, j], [LOW, HIGH])
        mean, cov = returns.averages([ends[:1], ends[1:]])
        se = np.sqrt(np.maximum(np.diag(cov), 0))
        part = pd.DataFrame({"column": name, "domain": list(problem.moving_domains)})
        for end, rows in (("low", slice(0, K)), ("high", slice(K, 2 * K))):
            part[end], part[f"{end}_lower"] = mean[rows], mean[rows] - q * se[rows]
            part[f"{end}_upper"] = mean[rows] + q * se[rows]
        D = np.hstack([-np.eye(K), np.eye(K)])
        change, error = D @ mean, np.sqrt(np.maximum(np.diag(D @ cov @ D.T), 0))
        parts.append(
            part.assign(
                change=change, change_lower=change - q * error, change_upper=change + q * error, se=error
            )
        )
    table = pd.concat(parts, ignore_index=True)
    strength = (table["change"] / table["se"].clip(lower=1e-12)).abs()
    return table.loc[strength.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


QUESTIONS.register(
    Question(
        "interpret",
        "How the marginal return of each domain depends on the state of the pool: a tree and a heat map.",
        "%causalmix interpret",
        lambda study, depth: study.interpret(depth),
        (Argument("--depth", "questions that the tree asks in a row, 1 to 3 (2)", "count", 2, metavar="N"),),
    )
)
