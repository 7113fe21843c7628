"""Move the mixture by hand and see what the model expects: one slider per domain, the gain over the baseline with its interval.

The page asks, Python answers: the shares always sum to 1, locked ones stay, and every number comes from the joint covariance of the
mixture and the baseline, as everywhere. While a slider moves, the quick posterior answers; when it rests, the careful one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from causalmix_nb.errors import MixtureError
from causalmix_nb.mixture import Mixture, as_shares
from causalmix_nb.model import Model
from causalmix_nb.plots import clean, mixture_bars
from causalmix_nb.support import Support
from causalmix_nb.typesetting import Bundle, card, figure_svg, number_text, paragraph, text_bars, text_lines
from causalmix_nb.widget import STATIC, LiveWidget, answers

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 0.25  # of the kernel around a mixture that "see" averages over, in square roots of shares


class MixtureExplorer(LiveWidget):
    """Sliders over a fitted model.

    Parameters
    ----------
    model: any fitted model; its pool's state is the state asked about, unless ``state`` says otherwise.
    baseline: what gains are counted from; the model's, else Equal.
    presets: name -> mixture to snap to, besides Equal and the baseline.
    available: domain -> tokens there are; with token_budget, the epochs per domain are shown.
    start: where the sliders stand at first; the first preset, else the baseline.

    Attributes
    ----------
    mixture: the :class:`Mixture` as it stands; assign one to move the sliders. answer: dict, what the page shows.
    """

    _esm = STATIC / "explorer.js"
    domains: Any = traitlets.List().tag(sync=True)
    shares: Any = traitlets.List().tag(sync=True)
    locked: Any = traitlets.List().tag(sync=True)
    base: Any = traitlets.List().tag(sync=True)
    presets: Any = traitlets.List().tag(sync=True)
    answer: Any = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        model: Model,
        baseline: Any = None,
        presets: Mapping[str, Mixture] | None = None,
        available: Mapping[str, float] | None = None,
        token_budget: float | None = None,
        state: Any = None,
        start: Any = None,
    ) -> None:
        names = model.domains
        given = baseline if baseline is not None else model.baseline or Mixture.equal(names)
        self._model, self._state, self._support = model, state, Support(model.problem)
        self._base = as_shares(given, names)[0]
        self._available, self._budget, self._seen = dict(available or {}), token_budget, -1
        known = {**(presets or {}), "equal": Mixture.equal(names), "baseline": given}
        self._presets = {name: as_shares(mixture, names)[0] for name, mixture in known.items()}
        first = as_shares(start, names)[0] if start is not None else next(iter(self._presets.values()))
        states = model.states(state)
        self._place = np.hstack([states.mean(0), model.scales(None, 1)[0]])
        super().__init__(
            domains=[clean(name) for name in names], locked=[False] * len(names), base=self._base.tolist(),
            presets=[clean(name) for name in self._presets], shares=first.tolist(),
        )  # fmt: skip
        self._ask(final=True, seq=0)
        self.on_msg(self._asked)

    # -- in the user's idiom ---------------------------------------------------------------------------------

    @property
    def mixture(self) -> Mixture:
        return Mixture(dict(zip(self._model.domains, self.shares)), normalise=True)

    @mixture.setter
    def mixture(self, mixture: Any) -> None:
        self.shares = as_shares(mixture, self._model.domains)[0].tolist()
        self._ask(final=True, seq=self._seen)

    def to_series(self) -> pd.Series:
        return self.mixture.to_series()

    # -- the page asks ---------------------------------------------------------------------------------------

    @answers
    def _asked(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        seq = int(content.get("seq", self._seen + 1))
        if seq < self._seen:
            return  # something newer was answered already
        self._seen = seq
        if "lock" in content:
            k = int(content["lock"])
            self.locked = [not on if i == k else on for i, on in enumerate(self.locked)]
        elif "preset" in content:
            self.shares = self._presets[list(self._presets)[int(content["preset"])]].tolist()
        elif "set" in content:
            self._move(int(content["set"]), float(content["to"]))
        self._ask(bool(content.get("final", True)), seq)

    def _move(self, k: int, to: float) -> None:
        """Set one share; the others that are not locked give or take in proportion."""
        if not (0 <= k < len(self.shares) and math.isfinite(to)):
            raise MixtureError("a share must be a number between 0 and 1.")
        if self.locked[k]:
            raise MixtureError(f"{self.domains[k]} is locked; unlock it to move it.")
        T = np.array(self.shares)
        free = np.array([i != k and not on for i, on in enumerate(self.locked)])
        held = float(T[~free].sum() - T[k])
        if not free.any():
            raise MixtureError(f"all other domains are locked, so {self.domains[k]} cannot move; unlock one.")
        T[k] = np.clip(to, 0.0, 1.0 - held)
        rest = 1.0 - held - T[k]
        weight = T[free] if T[free].sum() > 1e-12 else np.ones(int(free.sum()))
        T[free] = rest * weight / weight.sum()
        self.shares = (T / T.sum()).tolist()

    def _ask(self, final: bool, seq: int) -> None:
        model, T = self._model, np.vstack([self.shares, self._base])
        mean, cov = (model.joint if final else model.quick_joint)(T, self._state)
        w = np.array([1.0, -1.0]) * model.sign
        q = model._quantile(0.95)
        gain, se = float(w @ mean), math.sqrt(max(float(w @ cov @ w), 0.0))
        own = math.sqrt(max(float(cov[0, 0]), 0.0))
        distance = float(self._support.distance(T[:1], self._place[None])[0])
        found = {
            "seq": seq, "outcome": clean(model.outcome), "minimize": model.minimize,
            "mean": float(mean[0]), "lower": float(mean[0] - q * own), "upper": float(mean[0] + q * own),
            "gain": gain, "gain_lower": gain - q * se, "gain_upper": gain + q * se,
            "verdict": _verdict(gain, q * se), "distance": distance,
            "warning": "" if distance <= 1 else "no run near this state has tried such a mixture: the numbers are an extrapolation",
            "epochs": self._epochs(),
        }  # fmt: skip
        self.answer = found
        self.changed()

    def _epochs(self) -> list[float | None]:
        if not self._available or not self._budget:
            return [None] * len(self.shares)
        have = [self._available.get(name) for name in self._model.domains]
        return [None if not n else share * self._budget / n for share, n in zip(self.shares, have)]

    # -- kept ------------------------------------------------------------------------------------------------

    def words(self) -> Sequence[str]:
        a = self.answer
        lower = "lower" if a["minimize"] else "higher"
        said = [
            f"{a['verdict'].capitalize()}: gain {a['gain']:+.3g} ({a['gain_lower']:+.3g} to {a['gain_upper']:+.3g}).",
            f"Expected {a['outcome']} {number_text(a['mean'])} ({number_text(a['lower'])} to {number_text(a['upper'])}); "
            f"{lower} is better.",
        ]
        return [*said, f"Mind: {a['warning']}."] if a["warning"] else said

    def snapshot(self) -> Bundle:
        said, mixture = self.words(), self.mixture.to_series()
        before = Mixture(dict(zip(self._model.domains, self._base.tolist())), normalise=True)
        figure = mixture_bars(mixture, before.to_series(), ("this mixture", "baseline"))
        body = figure_svg(figure) + "".join(paragraph(text, strong=i == 0) for i, text in enumerate(said))
        bars = text_bars(self.mixture.shares, before.shares)
        return Bundle(card("A mixture by hand", body), text_lines("A mixture by hand", bars, *said))

    def show_code(self) -> str:
        shares = {name: round(share, 6) for name, share in self.mixture.shares.items()}
        line = " ".join(f"{_word(name)}={share:g}" for name, share in shares.items())
        return f"%causalmix do {line}\nstudy.do({json.dumps(shares, ensure_ascii=False)})"


def _verdict(gain: float, half: float) -> str:
    if gain - half > 0:
        return "better than the baseline"
    return "worse than the baseline" if gain + half < 0 else "not distinguishable from the baseline"


def _word(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else json.dumps(name, ensure_ascii=False)
