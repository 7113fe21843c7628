"""Move the mixture by hand and see what the model expects: one slider per domain, the gain over the baseline with its interval.

The page asks, Python answers: the shares always sum to 1, locked ones stay, and every number comes from the joint covariance of the
mixture and the baseline, as everywhere. While a slider moves, the quick posterior answers; when it rests, the careful one. Beside the
one outcome that was fitted, the others get a surface in closed form, a triangle shows three domains at once, and a switch shows what
one would have read off the runs without adjusting.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from causalmix_nb.answers.interventions import DO, SEE, seen_surface, why_they_differ
from causalmix_nb.cards.recipe import Recipe
from causalmix_nb.cards.typesetting import (
    Bundle,
    card,
    figure_svg,
    number_text,
    paragraph,
    text_bars,
    text_lines,
)
from causalmix_nb.decide.export.export import export
from causalmix_nb.errors import MixtureError
from causalmix_nb.estimate.model import Model
from causalmix_nb.estimate.support import Support
from causalmix_nb.methods.quick_surface import problems_of, quick_surfaces
from causalmix_nb.mixture import Mixture, as_shares
from causalmix_nb.plots.mixtures import mixture_bars
from causalmix_nb.plots.pictures import clean, picture
from causalmix_nb.widgets.base import LiveWidget, answers, page
from causalmix_nb.widgets.ternary import Ternary, mixtures, ternary_svg

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.decide.export.plan import PoolSizes
    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs

MOST_OUTCOMES = 24  # that get a bar
MOST_DOTS = 400  # runs that are drawn in the triangle
PROPORTIONAL = -1  # as the partner: all others give or take
MUCH = 4  # epochs from which repeating pays less and less (Muennighoff et al. 2023)


class MixtureExplorer(LiveWidget):
    """Sliders over a fitted model.

    Parameters
    ----------
    model: any fitted model; its pool's state is the state asked about, unless ``state`` says otherwise.
    baseline: what gains are counted from; the model's, else Equal.
    presets: name -> mixture to snap to, besides Equal and the baseline.
    available: domain -> tokens there are; with token_budget, the epochs per domain are shown.
    start: where the sliders stand at first; the first preset, else the baseline.
    runs, graph: where the other outcomes come from, each fitted in closed form when their bars are opened.
    recipe: how to get at the same model in another session, for "Show code".
    sizes: tells how long the examples of the pool are, for the export of a mixture.

    Attributes
    ----------
    mixture: the :class:`Mixture` as it stands; assign one to move the sliders. answer: dict, what the page shows.
    mode: ``"do"`` or ``"see"``. partner: the domain that gives what a slider takes, or -1 for all in proportion.
    """

    _esm = page("explorer.js")
    domains: Any = traitlets.List().tag(sync=True)
    shares: Any = traitlets.List().tag(sync=True)
    locked: Any = traitlets.List().tag(sync=True)
    base: Any = traitlets.List().tag(sync=True)
    presets: Any = traitlets.List().tag(sync=True)
    answer: Any = traitlets.Dict().tag(sync=True)
    mode = traitlets.Unicode("do").tag(sync=True)
    partner = traitlets.Int(PROPORTIONAL).tag(sync=True)
    bars: Any = traitlets.List().tag(sync=True)
    more = traitlets.Bool(False).tag(sync=True)  # whether there are other outcomes
    triangle: Any = traitlets.Dict().tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        model: Model,
        baseline: Any = None,
        presets: Mapping[str, Mixture] | None = None,
        available: Mapping[str, float] | None = None,
        token_budget: float | None = None,
        state: Any = None,
        start: Any = None,
        runs: Runs | None = None,
        graph: CausalGraph | None = None,
        recipe: Recipe | None = None,
        sizes: Callable[[], PoolSizes | None] | None = None,
    ) -> None:
        names = model.domains
        problem = model.problem
        self._model, self._state, self._support = model, state, Support(model.problem)
        self._runs, self._graph, self._recipe = runs, graph, recipe or Recipe()
        self._base, self._sizes = model.start(baseline)[0], sizes
        self._available, self._budget, self._last = dict(available or {}), token_budget, -1
        known = {**(presets or {}), "equal": problem.equal, "baseline": self._base}
        self._presets = {name: problem.hold(as_shares(mixture, names))[0] for name, mixture in known.items()}
        first = model.start(start)[0] if start is not None else next(iter(self._presets.values()))
        self._held = [name in (problem.held or {}) for name in names]
        states, weights = model.averaged(state)
        self._place = np.hstack([weights @ states, model.scales(None, 1)[0]])
        self._seen: Model | None = None  # the surface that "see" reads, once it is asked for
        self._others: dict[str, tuple[Model, Model]] | None = None  # outcome -> surfaces for do and for see
        self._three: tuple[int, int, int] | None = None
        super().__init__(
            domains=[clean(name) for name in names], locked=list(self._held), base=self._base.tolist(),
            presets=[clean(name) for name in self._presets], shares=first.tolist(),
            more=runs is not None and len(set(runs.outcome_names) - {model.outcome}) > 0,
        )  # fmt: skip
        self._ask(final=True, seq=0)
        self.on_msg(self._asked)

    # -- in the user's idiom ---------------------------------------------------------------------------------

    @property
    def mixture(self) -> Mixture:
        return Mixture(dict(zip(self._model.domains, self.shares)), normalise=True)

    @mixture.setter
    def mixture(self, mixture: Any) -> None:
        self.shares = self._model.start(mixture)[0].tolist()
        self._ask(final=True, seq=self._last)

    def to_series(self) -> pd.Series:
        return self.mixture.to_series()

    # -- the page asks ---------------------------------------------------------------------------------------

    @answers
    def _asked(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        seq = int(content.get("seq", self._last + 1))
        if seq < self._last:
            return  # something newer was answered already
        self._last = seq
        with self.hold_sync():  # one message for the whole answer
            self._follow(content, seq)

    def _follow(self, content: dict[str, Any], seq: int) -> None:
        self.note = ""
        if "lock" in content:
            k = int(content["lock"])
            if 0 <= k < len(self._held) and self._held[k]:
                raise MixtureError(f"{self._model.problem.held_sentences[sum(self._held[:k])]}.")
            self.locked = [not on if i == k else on for i, on in enumerate(self.locked)]
        if "preset" in content:
            self._snap(list(self._presets)[int(content["preset"])])
        if "mode" in content:
            self.mode = "see" if content["mode"] == "see" else "do"
        if "partner" in content:
            self.partner = int(content["partner"])
        if "bars" in content:
            self._others = self._surfaces() if content["bars"] else None
        if "three" in content:
            self._three = self._corners(content["three"])
        if "divide" in content:
            self._divide(content["divide"])
        if "set" in content:
            self._move(int(content["set"]), float(content["to"]))
        if "export" in content:
            sizes = self._sizes() if self._sizes is not None else None
            done = export(self.mixture, str(content["export"]).strip() or "mixture.yaml", pool=sizes)
            self.note = f"Written to {clean(done.path)}."
        self._ask(bool(content.get("final", True)), seq)

    def _move(self, k: int, to: float) -> None:
        """Set one share; the partner, or all others that are not locked in proportion, give or take."""
        if not (0 <= k < len(self.shares) and math.isfinite(to)):
            raise MixtureError("a share must be a number between 0 and 1.")
        if self.locked[k]:
            raise MixtureError(f"{self.domains[k]} is locked; unlock it to move it.")
        T = np.array(self.shares)
        free = np.array([i != k and not on for i, on in enumerate(self.locked)])
        if self.partner not in (PROPORTIONAL, k):
            if self.locked[self.partner]:
                raise MixtureError(
                    f"{self.domains[self.partner]} is locked, so it cannot give or take; unlock it."
                )
            free &= np.arange(len(T)) == self.partner
        held = float(T[~free].sum() - T[k])
        if not free.any():
            raise MixtureError(f"all other domains are locked, so {self.domains[k]} cannot move; unlock one.")
        T[k] = np.clip(to, 0.0, 1.0 - held)
        self._become(T, free)

    def _snap(self, name: str) -> None:
        """Go to a known mixture; locked shares stay, and the others divide what is left as it does."""
        T, free = np.array(self.shares), ~np.array(self.locked, dtype=bool)
        if not free.any():
            raise MixtureError("all domains are locked, so nothing can move; unlock some.")
        T[free] = self._presets[name][free]
        self._become(T, free)

    def _divide(self, weights: Sequence[float]) -> None:
        """Divide what the three domains of the triangle have together."""
        if (
            self._three is None
            or len(weights) != 3
            or not all(math.isfinite(w) and w >= -1e-9 for w in weights)
        ):
            raise MixtureError("the three of the triangle need three shares of at least 0.")
        fixed = [self.domains[k] for k in self._three if self.locked[k]]
        if fixed:
            raise MixtureError(f"{', '.join(fixed)} is locked; unlock it to move in the triangle.")
        T, three = np.array(self.shares), list(self._three)
        free = np.isin(np.arange(len(T)), three)
        part = np.maximum(np.array(weights, dtype=float), 0.0)
        T[three] = part / max(float(part.sum()), 1e-12)
        self._become(T, free)

    def _become(self, T: np.ndarray, free: np.ndarray) -> None:
        """Take shares of which the free ones are right but for a factor."""
        rest = max(0.0, 1.0 - float(T[~free].sum()))
        weight = T[free] if T[free].sum() > 1e-12 else np.ones(int(free.sum()))
        T[free] = rest * weight / weight.sum()
        self.shares = (T / T.sum()).tolist()

    def _ask(self, final: bool, seq: int) -> None:
        model, T = self._model, np.vstack([self.shares, self._base])
        found = _compare(model, T, self._state, careful=final)
        distance = float(self._support.distance(T[:1], self._place[None])[0])
        about = {
            "seq": seq,
            "outcome": clean(model.outcome),
            "minimize": model.minimize,
            "mode": self.mode,
            "why": ". ".join([DO, *model.problem.held_sentences]) + ".",
        }
        if self.mode == "see":
            if self._seen is None:
                self._seen = seen_surface(model)
            done, found = found, _compare(self._seen, T, None)
            about["why"] = f"{SEE}. {why_they_differ(model)}"
            about["done"] = [done[key] for key in ("gain", "gain_lower", "gain_upper")]
        self.answer = {
            **about, **found, "distance": distance, "epochs": self._epochs(),
            "warning": "" if distance <= 1 else "no run near this state has tried such a mixture: the numbers are an extrapolation",
        }  # fmt: skip
        self.bars = self._bars(T)
        if final:
            self.triangle = self._triangle()
        self.changed()

    def _epochs(self) -> list[float | None]:
        if not self._available or not self._budget:
            return [None] * len(self.shares)
        have = [self._available.get(name) for name in self._model.domains]
        return [None if not n else share * self._budget / n for share, n in zip(self.shares, have)]

    # -- the other outcomes ----------------------------------------------------------------------------------

    def _surfaces(self) -> dict[str, tuple[Model, Model]]:
        """Both surfaces of every other outcome; those that cannot be fitted have no bar."""
        assert self._runs is not None
        others = [name for name in self._runs.outcome_names if name != self._model.outcome]
        problems = problems_of(self._runs, others[:MOST_OUTCOMES], self._graph)
        alone = [problem.without_state() for problem in problems]
        done, seen = quick_surfaces(problems), quick_surfaces(alone)
        for surface in done:
            surface.pool_state = self._model.pool_state
        return {a.outcome: (a, b) for a, b in zip(done, seen)}

    def _bars(self, T: np.ndarray) -> list[dict[str, Any]]:
        """Gains of all outcomes, in standard deviations over the runs, so that they can stand side by side."""
        if self._others is None:
            return []
        a, see = self.answer, self.mode == "see"
        rows = [(self._model, a)]
        for done, seen in self._others.values():
            rows.append((done, _compare(seen if see else done, T, None if see else self._state)))
        out = []
        for model, found in rows:
            unit = float(model.problem.y.std())
            answer = {key: found[key] for key in ("mean", "gain", "gain_lower", "gain_upper", "verdict")}
            ends = [found[key] / unit for key in ("gain", "gain_lower", "gain_upper")]
            out.append({"outcome": clean(model.outcome), "minimize": model.minimize, "bar": ends, **answer})
        return out

    # -- the triangle ----------------------------------------------------------------------------------------

    def _corners(self, three: Any) -> tuple[int, int, int] | None:
        if not three:
            return None
        a, b, c = (int(k) for k in three)
        if len({a, b, c}) < 3 or not all(0 <= k < len(self.shares) for k in (a, b, c)):
            raise MixtureError("the triangle needs three different domains; choose another for one corner.")
        fixed = [self.domains[k] for k in (a, b, c) if self._held[k]]
        if fixed:
            raise MixtureError(
                f"no run has moved {', '.join(fixed)}, so there is nothing to draw; choose other domains."
            )
        return a, b, c

    def ternary(self, three: Sequence[str]) -> Ternary:
        """The surface over three domains, the others as they are."""
        at = [self._model.domains.index(name) for name in three]
        T = np.array(self.shares)
        model, state = (
            (self._seen, None)
            if self.mode == "see" and self._seen is not None
            else (self._model, self._state)
        )
        rows = mixtures(T, at)
        problem = self._model.problem
        some = np.linspace(0, len(problem.T) - 1, min(len(problem.T), MOST_DOTS)).round().astype(int)
        weight = problem.T[some][:, at].sum(1)
        some, weight = some[weight > 1e-6], weight[weight > 1e-6]
        part = float(T[at].sum())
        return Ternary(
            (three[0], three[1], three[2]), model.expected(rows, state),
            self._support.distance(rows, np.tile(self._place, (len(rows), 1))) <= 1,
            problem.T[some][:, at] / weight[:, None], weight,
            T[at] / part if part > 1e-9 else np.full(3, 1 / 3), self._model.minimize,
        )  # fmt: skip

    def _triangle(self) -> dict[str, Any]:
        if self._three is None:
            return {}
        shown = self.ternary([self._model.domains[k] for k in self._three])
        return {
            "three": list(self._three), "part": float(sum(self.shares[k] for k in self._three)),
            "strength": shown.strength.round(2).tolist(), "covered": shown.covered.astype(int).tolist(),
            "runs": np.column_stack([shown.runs, shown.weight]).round(3).tolist(), "words": clean(shown.words()),
        }  # fmt: skip

    # -- kept ------------------------------------------------------------------------------------------------

    def words(self) -> Sequence[str]:
        a = self.answer
        lower = "lower" if a["minimize"] else "higher"
        sentences = [
            f"{'Seen: ' if a['mode'] == 'see' else ''}{a['verdict']}".capitalize()
            + f": gain {a['gain']:+.3g} ({a['gain_lower']:+.3g} to {a['gain_upper']:+.3g}).",
            f"Expected {a['outcome']} {number_text(a['mean'])} ({number_text(a['lower'])} to {number_text(a['upper'])}); "
            f"{lower} is better.",
        ]
        if a["mode"] == "see":
            gain, low, high = a["done"]
            sentences += [a["why"], f"Causal effect (do): gain {gain:+.3g} ({low:+.3g} to {high:+.3g})."]
        sentences += [
            f"{b['outcome']}: gain {b['gain']:+.3g} ({b['gain_lower']:+.3g} to {b['gain_upper']:+.3g})."
            for b in self.bars[1:]
        ]
        return [*sentences, f"Warning: {a['warning']}."] if a["warning"] else sentences

    def snapshot(self) -> Bundle:
        sentences, mixture = self.words(), self.mixture.to_series()
        before = Mixture(dict(zip(self._model.domains, self._base.tolist())), normalise=True)
        figure = mixture_bars(mixture, before.to_series(), ("this mixture", "baseline"))
        body = figure_svg(figure) + "".join(
            paragraph(text, strong=i == 0) for i, text in enumerate(sentences)
        )
        if self._three is not None:
            body += picture(ternary_svg(self.ternary([self._model.domains[k] for k in self._three])))
        bars = text_bars(self.mixture.shares, before.shares)
        return Bundle(card("A mixture by hand", body), text_lines("A mixture by hand", bars, *sentences))

    def show_code(self) -> str:
        recipe, shares = self._recipe, json.loads(export(self.mixture, format="json").text)["mixture"]
        line = " ".join(_word(name, share) for name, share in shares.items())
        magic = [*recipe.magic, f"%causalmix do {line}{recipe.magic_options}"]
        asked = f"study.{self.mode}({json.dumps(shares, ensure_ascii=False)}{recipe.python_options if self.mode == 'do' else ''})"
        python = "\n".join([*recipe.python, asked])
        return python if self.mode == "see" else "\n".join(magic) + "\n\n" + python


def _compare(model: Model, T: np.ndarray, state: Any, careful: bool = True) -> dict[str, Any]:
    """The first of two mixtures, and its gain over the second in the good direction, with intervals."""
    mean, cov = (model.joint if careful else model.quick_joint)(T, state)
    w, q = np.array([1.0, -1.0]) * model.sign, model.quantile(0.95)
    gain, se = float(w @ mean), math.sqrt(max(float(w @ cov @ w), 0.0))
    own = math.sqrt(max(float(cov[0, 0]), 0.0))
    if abs(gain) <= 1e-9 * max(1.0, abs(float(mean[0]))):
        gain = 0.0  # the baseline itself, but for rounding
    return {
        "mean": float(mean[0]), "lower": float(mean[0] - q * own), "upper": float(mean[0] + q * own),
        "gain": gain, "gain_lower": gain - q * se, "gain_upper": gain + q * se, "verdict": _verdict(gain, q * se),
    }  # fmt: skip


def _verdict(gain: float, half: float) -> str:
    if gain - half > 0:
        return "better than the baseline"
    return "worse than the baseline" if gain + half < 0 else "not distinguishable from the baseline"


def _word(name: str, share: float) -> str:
    return shlex.quote(f"{name}={share:g}")
