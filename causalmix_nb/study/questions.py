"""What can be asked of runs, a graph and a fitted model: one method per question, each the answer's own object.

:class:`Questions` is the half of a :class:`causalmix_nb.study.study.Study` that needs no training. Its methods add nothing to the
functions they call but the study's own runs, graph, model and state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.audit import Audit, audit
from causalmix_nb.answers.interpret import Interpretation, interpret
from causalmix_nb.answers.interventions import counterfactual, do, dose_response
from causalmix_nb.answers.leaderboard import Leaderboard, leaderboard
from causalmix_nb.answers.new_domain import DomainPrice, price_domain
from causalmix_nb.answers.overlap import Overlap, overlap
from causalmix_nb.answers.paths import PathEffects, path_effects
from causalmix_nb.answers.refute import Refutation, refute
from causalmix_nb.answers.seeing import see
from causalmix_nb.answers.selection import StateSelection, select_state
from causalmix_nb.cards.recipe import recipe_of
from causalmix_nb.decide.pareto import ParetoFront, pareto
from causalmix_nb.estimate.model import Effect, Model
from causalmix_nb.methods.effects import effects_table, pairwise_contrasts
from causalmix_nb.mixture import Mixture

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from causalmix_nb.data.pool import Tilt
    from causalmix_nb.decide.constraints import Constraints
    from causalmix_nb.decide.export.plan import PoolSizes
    from causalmix_nb.decide.policy import Recommendation
    from causalmix_nb.graph.graph import CausalGraph
    from causalmix_nb.runs.store import Runs
    from causalmix_nb.widgets.explorer import MixtureExplorer

    Tilts = Mapping[str, Tilt]


class Questions:
    """Expects ``runs``, ``graph``, ``model``, ``outcome`` and the private lookups of :class:`causalmix_nb.study.study.Study`."""

    runs: Runs | None
    graph: CausalGraph
    model: Model | None
    recommendation: Recommendation | None
    folder: Path | None
    _fitted: dict[str, Any]

    if TYPE_CHECKING:

        @property
        def outcome(self) -> str | None: ...

        @property
        def natural(self) -> Mixture | None: ...

        def _need_model(self) -> Model: ...

        def _need_runs(self) -> Runs: ...

        def _state_of(self, tilt: Tilts | None) -> pd.Series | None: ...

        def _limits(self, constraints: Any, tilt: Tilts | None) -> Constraints: ...

        def _prepare(self, model: Model) -> Model: ...

        def sizes(self, tokenizer: Any = None, max_length: int | None = None) -> PoolSizes | None: ...

    def check(self, outcome: str | None = None, random_state: int = 0) -> Audit:
        """Can these runs carry an answer? Assignment, overlap, rank, noise and the smallest gain to be seen, before any fit."""
        return audit(self._need_runs(), outcome or self.outcome, self.graph, random_state)

    def overlap(self, tilt: Tilts | None = None) -> Overlap:
        """Which mixtures the runs have tried, and which at states like the pool's (or the sub-pool's)."""
        return overlap(self._need_model(), self._state_of(tilt))

    def refute(self, outcome: str | None = None, n_repeats: int = 20, random_state: int = 0) -> Refutation:
        """Does the effect of the mixture survive placebos, noise, subsets, and how strong a hidden cause?"""
        return refute(self._need_runs(), outcome or self.outcome, self.graph, n_repeats, random_state)

    def select_state(
        self, outcome: str | None = None, method: str = "gp", random_state: int = 0
    ) -> StateSelection:
        """Which covariates of the state earn their place, by rank correlation on left-out runs."""
        return select_state(
            self._need_runs(), outcome or self.outcome, method, self.graph, random_state=random_state
        )

    def leaderboard(
        self,
        outcome: str | None = None,
        methods: Sequence[str] | None = None,
        budgets: Sequence[int | None] = (64, 128, 256, None),
        unseen: Runs | None = None,
        n_splits: int = 3,
        random_state: int = 0,
    ) -> Leaderboard:
        """Which method learns most from how many of these runs, scored on runs left out or on others."""
        return leaderboard(
            self._need_runs(),
            outcome or self.outcome,
            methods,
            budgets,
            unseen,
            self.graph,
            n_splits,
            random_state,
        )

    def do(
        self,
        shares: Mapping[str, float],
        keep: str = "proportional",
        tilt: Tilts | None = None,
        baseline: Mixture | None = None,
    ) -> Effect:
        """What setting some shares would cause, against the baseline mixture, with an interval."""
        return do(self._need_model(), shares, state=self._state_of(tilt), keep=keep, baseline=baseline)

    def dose_response(
        self, domain: str, keep: str = "proportional", tilt: Tilts | None = None
    ) -> pd.DataFrame:
        """Expected outcome as one domain's share goes from 0 to 1, with a band."""
        return dose_response(self._need_model(), domain, state=self._state_of(tilt), keep=keep)

    def paths(
        self, outcome: str | None = None, through: Sequence[str] = (), random_state: int = 0
    ) -> PathEffects:
        """Through which recorded capability does a domain help? Linear structural equations along the graph's paths."""
        wanted = outcome or self.outcome
        return path_effects(self._need_runs(), self.graph, wanted, through=through, random_state=random_state)

    def price(
        self,
        features: Mapping[str, float],
        tilt: Tilts | None = None,
        outcome: str | None = None,
        random_state: int = 0,
    ) -> DomainPrice:
        """What a domain that no run has had would be worth, from its description (``{"loss": 2.1, "style": 9.0}``)."""
        wanted, state = outcome or self.outcome, self._state_of(tilt)
        return price_domain(self._need_runs(), features, state, wanted, self.graph, random_state=random_state)

    def counterfactual(
        self, run: str, shares: Mapping[str, float] | Mixture, keep: str = "proportional"
    ) -> Effect:
        """What a run that was made would have scored under other shares, minus what it scored."""
        return counterfactual(self._need_model(), self._need_runs(), run, shares, keep)

    def effects(
        self, tilt: Tilts | None = None, pairs: bool = False, simultaneous: bool = False
    ) -> pd.DataFrame:
        """Marginal return of every domain (or of one against another, for all pairs) with intervals and verdicts.

        simultaneous: widen the intervals so that all of them hold together.
        """
        table = pairwise_contrasts if pairs else effects_table
        return table(self._need_model(), self._state_of(tilt), simultaneous=simultaneous)

    def interpret(self, depth: int = 2) -> Interpretation:
        """How what each domain is worth depends on the state: a shallow tree, and the change per column."""
        return interpret(self._need_model(), depth=depth)

    def see(
        self, shares: Mapping[str, float], keep: str = "proportional", baseline: Mixture | None = None
    ) -> Effect:
        """What runs with such mixtures happened to score, against those like the baseline: not what the mixture causes."""
        return see(self._need_model(), shares, keep, baseline)

    def explore(self, tilt: Tilts | None = None) -> MixtureExplorer:
        """Sliders over the fitted model: one per domain, the gain over the baseline with its interval as they move."""
        from causalmix_nb.widgets.explorer import MixtureExplorer

        model, limits = self._need_model(), self._limits(None, tilt)
        known = {
            "recommendation": self.recommendation.mixture if self.recommendation else None,
            "natural": self.natural,
        }
        return MixtureExplorer(
            model, presets={name: mixture for name, mixture in known.items() if mixture is not None},
            available=limits.available, token_budget=limits.token_budget, state=self._state_of(tilt),
            runs=self.runs, graph=self.graph, recipe=recipe_of(self.folder, self.graph.to_text(), self._fitted, tilt),
            sizes=self.sizes,
        )  # fmt: skip

    def pareto(
        self,
        outcomes: Sequence[str] | None = None,
        constraints: Constraints | Mapping[str, Any] | None = None,
        tilt: Tilts | None = None,
        method: str = "gp",
        random_state: int = 0,
    ) -> ParetoFront:
        """Mixtures that trade several outcomes off; None means the first few that the runs record, without their mean."""
        from causalmix_nb.methods.fit import fit_outcomes

        runs = self._need_runs()
        names = list(outcomes) if outcomes else [n for n in runs.outcome_names if n != self.outcome][:3]
        fitted = fit_outcomes(runs, names, method, self.graph, random_state)
        models = {name: self._prepare(model) for name, model in fitted.items()}
        return pareto(
            models, self._state_of(tilt), self._limits(constraints, tilt), random_state=random_state
        )
