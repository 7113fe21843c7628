"""What can be asked of runs, a graph and a fitted model: one function a question.

They add nothing to the functions they call but the study's own runs, graph, model and state. Each is a method
of :class:`causalmix_nb.study.study.Study`, which it is given as :class:`Asked`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from causalmix_nb.answers import interventions
from causalmix_nb.answers.audit import Audit, audit
from causalmix_nb.answers.effects import effects_table, pairwise_contrasts
from causalmix_nb.answers.interpret import Interpretation
from causalmix_nb.answers.interpret import interpret as interpret_model
from causalmix_nb.answers.leaderboard import Leaderboard
from causalmix_nb.answers.leaderboard import leaderboard as rank_methods
from causalmix_nb.answers.new_domain import DomainPrice, price_domain
from causalmix_nb.answers.overlap import Overlap
from causalmix_nb.answers.overlap import overlap as overlap_of
from causalmix_nb.answers.paths import PathEffects, path_effects
from causalmix_nb.answers.refute import Refutation
from causalmix_nb.answers.refute import refute as refute_effect
from causalmix_nb.answers.selection import StateSelection
from causalmix_nb.answers.selection import select_state as select_covariates
from causalmix_nb.cards.recipe import recipe_of
from causalmix_nb.decide.constraints import Constraints
from causalmix_nb.decide.pareto import ParetoFront
from causalmix_nb.decide.pareto import pareto as pareto_front
from causalmix_nb.estimate.model import Effect, Model
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.methods.fit import fit_outcomes
from causalmix_nb.mixture import Mixture
from causalmix_nb.runs.covariates import todays
from causalmix_nb.study.folder import Perturbations, StudyFolder
from causalmix_nb.study.formerly import formerly
from causalmix_nb.study.trainer import Trainer

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.decide.export.plan import PoolSizes
    from causalmix_nb.decide.policy import Recommendation
    from causalmix_nb.runs.store import Runs
    from causalmix_nb.widgets.explorer import MixtureExplorer


class Asked(Protocol):
    """What a question needs: a study."""

    files: StudyFolder
    trainer: Trainer
    graph: CausalGraph
    recommendation: Recommendation | None
    arguments: dict[str, dict[str, Any]]

    def fitted(self) -> Model: ...

    def prepared(self, model: Model) -> Model: ...

    def sizes(self, tokenizer: Any = None, max_length: int | None = None) -> PoolSizes | None: ...


def check(study: Asked, outcome: str | None = None, random_state: int = 0) -> Audit:
    """Can these runs support a causal estimate? Assignment, overlap, rank, minimum detectable gain."""
    return audit(study.files.need_runs(), outcome or study.files.outcome, study.graph, random_state)


@formerly(tilt="perturbation")
def overlap(study: Asked, perturbation: Perturbations | None = None) -> Overlap:
    """Which mixtures the runs have tried, and which at states like the pool's (or the sub-pool's)."""
    return overlap_of(study.fitted(), study.trainer.meter.flat_state(perturbation))


def refute(
    study: Asked, outcome: str | None = None, n_repeats: int = 20, random_state: int = 0
) -> Refutation:
    """Does the effect of the mixture survive placebos, noise, subsets, and how strong a hidden cause?"""
    model = study.fitted()
    asked = outcome or study.files.outcome
    shown = model if outcome is None or model.outcome == outcome else None
    return refute_effect(study.files.need_runs(), asked, study.graph, n_repeats, random_state, model=shown)


def select_state(
    study: Asked, outcome: str | None = None, method: str = "gp", random_state: int = 0
) -> StateSelection:
    """Which covariates of the state earn their place, by rank correlation on left-out runs."""
    return select_covariates(
        study.files.need_runs(),
        outcome or study.files.outcome,
        method,
        study.graph,
        random_state=random_state,
    )


def leaderboard(
    study: Asked,
    outcome: str | None = None,
    methods: Sequence[str] | None = None,
    budgets: Sequence[int | None] = (64, 128, 256, None),
    unseen: Runs | None = None,
    n_splits: int = 3,
    random_state: int = 0,
) -> Leaderboard:
    """Which method learns most from how many of these runs, scored on runs left out or on others."""
    return rank_methods(
        study.files.need_runs(),
        outcome or study.files.outcome,
        methods,
        budgets,
        unseen,
        study.graph,
        n_splits,
        random_state,
    )


@formerly(tilt="perturbation")
def do(
    study: Asked,
    shares: Mapping[str, float],
    keep: str = "proportional",
    perturbation: Perturbations | None = None,
    baseline: Mixture | None = None,
) -> Effect:
    """What setting some shares would cause, against the baseline mixture, with an interval."""
    return interventions.do(
        study.fitted(),
        shares,
        state=study.trainer.meter.flat_state(perturbation),
        keep=keep,
        baseline=baseline,
    )


@formerly(tilt="perturbation")
def dose_response(
    study: Asked, domain: str, keep: str = "proportional", perturbation: Perturbations | None = None
) -> pd.DataFrame:
    """Expected outcome as one domain's share goes from 0 to 1, with a band."""
    return interventions.dose_response(
        study.fitted(), domain, state=study.trainer.meter.flat_state(perturbation), keep=keep
    )


def paths(
    study: Asked, outcome: str | None = None, through: Sequence[str] = (), random_state: int = 0
) -> PathEffects:
    """Through which recorded capability does a domain help? Linear equations along the graph's paths."""
    wanted = outcome or study.files.outcome
    return path_effects(
        study.files.need_runs(), study.graph, wanted, through=through, random_state=random_state
    )


@formerly(tilt="perturbation")
def price(
    study: Asked,
    features: Mapping[str, float],
    perturbation: Perturbations | None = None,
    outcome: str | None = None,
    random_state: int = 0,
) -> DomainPrice:
    """What a domain that no run has had would be worth, from its features (``{"loss": 2.1}``)."""
    wanted, state = outcome or study.files.outcome, study.trainer.meter.flat_state(perturbation)
    if study.files.corpus is not None:  # its states have the names of today
        features = {todays(name): value for name, value in features.items()}
    return price_domain(
        study.files.need_runs(), features, state, wanted, study.graph, random_state=random_state
    )


def counterfactual(
    study: Asked, run: str, shares: Mapping[str, float] | Mixture, keep: str = "proportional"
) -> Effect:
    """What a run that was made would have scored under other shares, minus what it scored."""
    return interventions.counterfactual(study.fitted(), study.files.need_runs(), run, shares, keep)


@formerly(tilt="perturbation")
def effects(
    study: Asked, perturbation: Perturbations | None = None, pairs: bool = False, simultaneous: bool = True
) -> pd.DataFrame:
    """Marginal return of every domain (or of one against another, for all pairs) with intervals and verdicts.

    simultaneous: let all intervals and verdicts hold together; False: each on its own.
    """
    table = pairwise_contrasts if pairs else effects_table
    return table(study.fitted(), study.trainer.meter.flat_state(perturbation), simultaneous=simultaneous)


def interpret(study: Asked, depth: int = 2) -> Interpretation:
    """How what each domain is worth depends on the state: a shallow tree, and the change per column."""
    return interpret_model(study.fitted(), depth=depth)


def see(
    study: Asked, shares: Mapping[str, float], keep: str = "proportional", baseline: Mixture | None = None
) -> Effect:
    """What runs with such mixtures scored, against those like the baseline: not what the mixture causes."""
    return interventions.see(study.fitted(), shares, keep, baseline)


@formerly(tilt="perturbation")
def explore(study: Asked, perturbation: Perturbations | None = None) -> MixtureExplorer:
    """Sliders over the fitted model, one per domain, and the gain over the baseline as they move."""
    from causalmix_nb.widgets.explorer import MixtureExplorer

    model, limits = study.fitted(), study.files.limits(None, perturbation)
    known = {
        "recommendation": study.recommendation.mixture if study.recommendation else None,
        "natural": study.files.natural,
    }
    return MixtureExplorer(
        model,
        presets={name: mixture for name, mixture in known.items() if mixture is not None},
        available=limits.available,
        token_budget=limits.token_budget,
        state=study.trainer.meter.flat_state(perturbation),
        runs=study.files.runs,
        graph=study.graph,
        sizes=study.sizes,
        recipe=recipe_of(
            study.files.path, study.graph.to_text(), study.arguments.get("fit", {}), perturbation
        ),
    )


@formerly(tilt="perturbation")
def pareto(
    study: Asked,
    outcomes: Sequence[str] | None = None,
    constraints: Constraints | Mapping[str, Any] | None = None,
    perturbation: Perturbations | None = None,
    method: str = "gp",
    random_state: int = 0,
) -> ParetoFront:
    """Mixtures that trade several outcomes off; None: the first few of the runs, without their mean."""
    runs = study.files.need_runs()
    names = list(outcomes) if outcomes else [n for n in runs.outcome_names if n != study.files.outcome][:3]
    fitted = fit_outcomes(runs, names, method, study.graph, random_state)
    models = {name: study.prepared(model) for name, model in fitted.items()}
    return pareto_front(
        models,
        study.trainer.meter.flat_state(perturbation),
        study.files.limits(constraints, perturbation),
        random_state=random_state,
    )
