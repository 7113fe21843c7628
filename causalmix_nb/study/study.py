"""A study: one pool, one graph, its runs, what was fitted and what is recommended, in one folder.

Every method is one step; every step leaves what the next one reads, so that a study can be closed after any
of them and opened again. ``%causalmix`` is a thin wrapper over this class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.transfer import small_proxy
from causalmix_nb.benchmark.pool_shift import pool_shift
from causalmix_nb.cards.report import Report, write_report
from causalmix_nb.cards.results import render
from causalmix_nb.cards.status import StudyStatus, next_step, study_status
from causalmix_nb.data.corpus import MAX_BYTES, Corpus
from causalmix_nb.data.pool import Pool
from causalmix_nb.decide.comparison import Comparison
from causalmix_nb.decide.constraints import Constraints
from causalmix_nb.decide.policy import Recommendation, optimize
from causalmix_nb.errors import StudyError
from causalmix_nb.estimate.model import Model
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.launch.background import Job
from causalmix_nb.launch.cost import Cost
from causalmix_nb.launch.launch import AnyExecutor, OnProgress, RunReport
from causalmix_nb.methods.fit import fit
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.config import Trainable
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.proxies.scores import Score
from causalmix_nb.proxies.state import Scorer, flatten_state
from causalmix_nb.runs.store import Runs
from causalmix_nb.study import contenders, exporting, paired, questions, settings
from causalmix_nb.study.folder import BUDGET, FORMAT, Perturbations, StudyFolder
from causalmix_nb.study.forecast import forecast
from causalmix_nb.study.formerly import formerly
from causalmix_nb.study.kept_graph import by_todays_names, kept_graph
from causalmix_nb.study.request import RunRequest
from causalmix_nb.study.trainer import Trainer

if TYPE_CHECKING:
    import pandas as pd

    from causalmix_nb.runs.lm_eval import AttachedScores

DEFAULT_GRAPH = "state -> mixture; state -> score; mixture -> score"


class Study:
    """Use :meth:`create`, :meth:`open` or :meth:`from_runs`.

    Attributes
    ----------
    files: what is kept of it, a :class:`~causalmix_nb.study.folder.StudyFolder`.
    trainer: what trains for it, a :class:`~causalmix_nb.study.trainer.Trainer`; ``trainer.meter`` measures
        states.
    pool: the pool it was created from in this session, else None.
    graph: the causal graph; assign a :class:`CausalGraph` or its text with :meth:`set_graph`.
    model, recommendation, comparison: what the steps left, or None.
    job: the training that :meth:`start` began last, or None.
    arguments: step -> what it was last called with in this session, for the code of a report.
    """

    def __init__(self, files: StudyFolder) -> None:
        self.files, self.trainer = files, Trainer(files)
        self.pool: Pool | None = None
        self.graph = self._named(kept_graph(files.meta["graph"]))
        self.model: Model | None = None
        self.recommendation: Recommendation | None = None
        self.comparison: Comparison | None = None
        self.job: Job | None = None
        self.arguments: dict[str, dict[str, Any]] = {}

    # -- making and opening ------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: str | Path,
        pool: Pool,
        *,
        target: Mapping[str, float] | None = None,
        config: Trainable | None = None,
        graph: CausalGraph | str | None = None,
        seed: int = 0,
        exist_ok: bool = False,
        max_bytes: int = MAX_BYTES,
    ) -> Study:
        """Start a study of a pool in a folder.

        Parameters
        ----------
        folder: made if it is not there.
        pool: the data; it is tokenised into the folder, so that the study no longer depends on it.
        target: domain -> weight in the mean outcome ``bpb``; equal weights by default.
        config: shape and training of the proxies; an :class:`~causalmix_nb.HFConfig` takes a Hugging Face
            model instead.
        graph: what causes what; by default the state confounds: state -> mixture, state -> score, mixture ->
            score.
        seed: for everything that involves chance.
        exist_ok: open the study that is there if it is of the same pool, target, proxies and seed.
        max_bytes: what is kept of each domain, in documents taken at random; more is worth it for runs that
            would see them all.

        Raises
        ------
        StudyError: a folder that holds another study, or cannot be written.
        """
        text = (
            graph if isinstance(graph, CausalGraph) else CausalGraph.parse(graph or DEFAULT_GRAPH)
        ).to_text()
        study = cls(
            StudyFolder.create(
                Path(folder),
                pool,
                config or ProxyConfig(),
                target=target,
                graph=text,
                seed=seed,
                exist_ok=exist_ok,
                max_bytes=max_bytes,
            )
        )
        study.pool = pool
        return study

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open the study in a folder.

        Raises
        ------
        StudyError: no study there, a damaged one, or one written by a newer version.
        """
        return cls(StudyFolder.open(Path(folder)))

    @classmethod
    def from_runs(cls, runs: Runs, graph: CausalGraph | str | None = None) -> Study:
        """A study of runs made elsewhere: it can fit, intervene, optimise and export, but not train."""
        graph = CausalGraph.parse(graph or (DEFAULT_GRAPH if runs.state_names else "mixture -> score"))
        meta = {"format": FORMAT, "config": None, "target": None, "seed": 0, "graph": graph.to_text()}
        return cls(StudyFolder(None, meta, None, runs))

    def with_proxies(self, config: Trainable, name: str) -> Study:
        """A study of the same tokens with other proxies, in the folder ``name`` inside this one's."""
        return type(self)(self.files.with_config(name, config))

    # -- what there is -----------------------------------------------------------------------------------

    @property
    def folder(self) -> Path | None:
        """Where it is kept, or None for a study of imported runs only."""
        return self.files.path

    @property
    def corpus(self) -> Corpus | None:
        return self.files.corpus

    @property
    def runs(self) -> Runs | None:
        return self.files.runs

    @property
    def domains(self) -> tuple[str, ...]:
        return self.files.domains

    @property
    def outcome(self) -> str | None:
        """The default outcome: the first one the runs record."""
        return self.files.outcome

    @property
    def natural(self) -> Mixture | None:
        """Shares proportional to the size of the domains; None without a pool."""
        return self.files.natural

    @property
    def seed(self) -> int:
        return self.files.seed

    @property
    def token_budget(self) -> int:
        """Training tokens of a run, as they were asked for last."""
        return self.files.token_budget

    @property
    def config(self) -> Trainable:
        """The configuration of the proxies."""
        return self.files.config

    @property
    def request(self) -> RunRequest | None:
        """What training was asked for last, here or in another session; None where nobody knows."""
        return self.trainer.request

    @property
    def scorer(self) -> Scorer | None:
        """What measures the state: one that you assign before the first run, else what runs start from."""
        return self.trainer.meter.scorer

    @scorer.setter
    def scorer(self, scorer: Scorer | None) -> None:
        self.trainer.meter.scorer = scorer

    @property
    def state(self) -> pd.DataFrame | None:
        """State of the pool as it is; None before the base is trained (a checkpoint: has measured it)."""
        return self.measure_state() if self.corpus and self.trainer.meter.knows_state else None

    @formerly(tilt="perturbation")
    def available(self, perturbation: Perturbations | None = None) -> dict[str, int]:
        """Distinct tokens of every domain in the pool, also those held out or too many to keep here."""
        return self.files.available(perturbation)

    @property
    def document_notes(self) -> tuple[str, ...]:
        """How documents were read, cut, left out and held out, a sentence each; none if all is as usual."""
        return self.corpus.notes if self.corpus is not None else ()

    def set_graph(self, graph: CausalGraph | str) -> CausalGraph:
        """Replace the causal graph; what was fitted under the old one is dropped."""
        self.graph = self._named(graph if isinstance(graph, CausalGraph) else CausalGraph.parse(graph))
        self._drop_results()
        self.files.note(graph=self.graph.to_text())
        return self.graph

    def _named(self, graph: CausalGraph) -> CausalGraph:
        return graph if self.files.corpus is None else by_todays_names(graph, self.files.corpus.domains)

    def status(self) -> StudyStatus:
        """Where the study stands and what to do next."""
        return study_status(self)

    def __repr__(self) -> str:
        return f"Study({str(self.folder) if self.folder else 'imported runs'}: {next_step(self)})"

    # -- training ------------------------------------------------------------------------------------------

    def run(
        self,
        n_runs: int = 128,
        token_budget: int = BUDGET,
        executor: AnyExecutor = "local",
        workers: int | None = None,
        states: bool = True,
        progress: OnProgress | None = None,
        halving: int | None = None,
        target_tokens: float | None = None,
        score: str | Score | None = None,
    ) -> RunReport:
        """Train proxies over mixtures and states of the pool; finished runs are never repeated.

        Parameters
        ----------
        n_runs: runs in all; asking for more later adds the difference.
        token_budget: training tokens (bytes) of each run.
        executor: "local" – worker processes; "inline" – this process; "ray" or a :class:`RayExecutor` – a Ray
            cluster.
        workers: number of worker processes; by default one per core.
        states: vary the pool's state between runs; False trains on the pool as it is.
        progress: called with a :class:`Progress` a few times a second.
        halving: successive halving by this number (4 is usual): all runs at a small budget, the better part
            again at larger ones, the best at ``token_budget``. A fit then uses all of them, with the scale as
            a covariate. See :mod:`causalmix_nb.launch.halving`.

        target_tokens: of the training that the mixture is for, counted as the runs' are: every run sees so
            few documents of a domain that it repeats them as often as that training would. See
            :mod:`causalmix_nb.design.repetition`.
        score: a function of a trained proxy that returns a number, or several by name, recorded as further
            outcomes; for workers as ``"module:function"``. Runs that are there already are not scored again.
            See :mod:`causalmix_nb.proxies.scores`.

        An interrupt (Ctrl-C) stops the workers; what has finished stays, and the same call resumes.
        """
        request = RunRequest(n_runs, token_budget, executor, workers, states, halving, target_tokens, score)
        report = self.trainer.run(request, progress)
        self._drop_results()
        return report

    def start(
        self,
        n_runs: int = 128,
        token_budget: int = BUDGET,
        executor: AnyExecutor = "local",
        workers: int | None = None,
        states: bool = True,
        halving: int | None = None,
        target_tokens: float | None = None,
        score: str | Score | None = None,
    ) -> Job:
        """:meth:`run` in the background: returns at once, with a job to watch, to stop and to wait for.

        Raises
        ------
        StudyError: this study is being trained already, here or by another process.
        """
        request = RunRequest(n_runs, token_budget, executor, workers, states, halving, target_tokens, score)
        self.job = self.trainer.start(request)
        self._drop_results()
        return self.job

    def resume(self) -> Job:
        """Go on in the background with what was asked for last, here or by another session."""
        return self.start(**self.trainer.unfinished())

    def cost(
        self,
        n_runs: int = 128,
        token_budget: int = BUDGET,
        executor: AnyExecutor = "local",
        workers: int | None = None,
        states: bool = True,
        halving: int | None = None,
        target_tokens: float | None = None,
        score: str | Score | None = None,
    ) -> Cost:
        """Time, memory, disk and arithmetic that :meth:`run` with these arguments would take; trains nothing.

        The speed is that of the study's last launch, else it is measured here in less than a second.

        Raises
        ------
        TrainingError: what :meth:`run` would refuse.
        """
        request = RunRequest(n_runs, token_budget, executor, workers, states, halving, target_tokens, score)
        return forecast(self.trainer, request)

    @formerly(tilt="perturbation")
    def measure_state(self, perturbation: Perturbations | None = None) -> pd.DataFrame:
        """State of a sub-pool before mixing, DataFrame domain × covariate; trains the base if need be."""
        return self.trainer.meter.measure(perturbation)

    def attach_lm_eval(self, path: str | Path, key: str | Mapping[str, str] | None = None) -> AttachedScores:
        """Record scores that an evaluation tool (lm_eval, OLMES) gave models of these runs as outcomes.

        path: a result file or a folder of them; key: as for :func:`causalmix_nb.runs.lm_eval.attach_lm_eval`.
        """
        return self.files.need_runs().attach_lm_eval(path, key)

    # -- from runs to a mixture ----------------------------------------------------------------------------

    def fit(
        self, outcome: str | None = None, method: str = "auto", random_state: int = 0, **options: Any
    ) -> Model:
        """Estimate what mixture and state cause, adjusting for what the graph says."""
        runs = self.files.need_runs()
        if not len(runs):
            raise StudyError(
                "there is no run to fit; %causalmix run trains proxies, Runs.from_csv imports a table."
            )
        given = {"method": method, "random_state": random_state, **options}
        model = self.prepared(fit(runs, outcome or self.outcome, graph=self.graph, **given))
        self.model, self.recommendation, self.comparison = model, None, None
        self.arguments["fit"] = {"outcome": outcome, **given}
        return model

    @formerly(tilt="perturbation")
    def optimize(
        self,
        policy: str = "auto",
        constraints: Constraints | Mapping[str, Any] | None = None,
        perturbation: Perturbations | None = None,
        n_candidates: int = 100_000,
        random_state: int = 0,
        **options: Any,
    ) -> Recommendation:
        """The mixture to train on, for the pool as it is or for a sub-pool, with the predicted gain.

        options: ``caution``, ``worst``, ``scale``, ``baseline`` of
            :func:`causalmix_nb.decide.policy.optimize`.
        """
        given = {"policy": policy, "n_candidates": n_candidates, "random_state": random_state, **options}
        best = optimize(
            self.fitted(),
            state=self.trainer.meter.flat_state(perturbation),
            constraints=self.files.limits(constraints, perturbation),
            **given,
        )
        small = small_proxy(self.config.n_parameters) if self.files.meta.get("config") else ""
        best = replace(best, notes=(*best.notes, small)) if small else best
        if options.get("worst"):
            return best  # something to learn from, nothing to train on
        self.recommendation, self.comparison = best, None
        self.arguments["optimize"] = {
            "policy": policy,
            "constraints": constraints,
            "perturbation": perturbation,
            **given,
        }
        if self.folder:
            kept = {n: getattr(best, n) for n in ("gain", "lower", "upper", "verdict", "outcome")}
            self.files.write(
                "recommendation.json", json.dumps({"mixture": best.mixture.shares, **kept}, indent=1)
            )
        return best

    def report(self, path: str | Path = "causalmix_report.html", overwrite: bool = False) -> Report:
        """Write the study as one page that stands alone: every card, and the code that makes it again."""
        return write_report(self, path, overwrite)

    # -- what is asked of it: functions of a study, each in the file of its idea -----------------------------

    check, overlap, refute = questions.check, questions.overlap, questions.refute
    select_state, leaderboard = questions.select_state, questions.leaderboard
    do, see, counterfactual = questions.do, questions.see, questions.counterfactual
    effects, dose_response, paths = questions.effects, questions.dose_response, questions.paths
    interpret, price = questions.interpret, questions.price
    pareto, explore = questions.pareto, questions.explore
    compare = paired.compare
    search, online, baseline = contenders.search, contenders.online, contenders.baseline
    transfer = settings.transfer
    benchmark = pool_shift
    export, sizes = exporting.export, exporting.sizes

    # -- what those need -----------------------------------------------------------------------------------

    def fitted(self) -> Model:
        """The model, fitted now if there is none."""
        return self.model if self.model is not None else self.fit()

    def prepared(self, model: Model) -> Model:
        """A model that knows the pool's own state and the mixture to beat."""
        if (state := self.state) is not None:
            import pandas as pd

            model.pool_state = pd.Series(flatten_state(state))
        model.baseline = model.problem.equal
        return model

    def _drop_results(self) -> None:
        self.model = self.recommendation = self.comparison = None


render.register(Study, lambda study: render(study.status()))
