"""A study: one pool, one graph, its runs, what was fitted and what is recommended, in one folder.

Every method is one step; every step leaves what the next one reads, so that a study can be closed after any of them
and opened again. ``%causalmix`` is a thin wrapper over this class.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.answers.transfer import small_proxy
from causalmix_nb.benchmark.pool_shift import Benchmark
from causalmix_nb.cards.report import Report, write_report
from causalmix_nb.cards.status import StudyStatus, next_step, study_status
from causalmix_nb.data.corpus import MAX_BYTES, Corpus
from causalmix_nb.data.pool import Pool, Tilt
from causalmix_nb.decide.comparison import RECOMMENDED, Comparison, compare_outcomes
from causalmix_nb.decide.constraints import Constraints, as_constraints
from causalmix_nb.decide.export.sizes import describe_pool
from causalmix_nb.decide.policy import Recommendation, optimize
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import StudyError
from causalmix_nb.estimate.model import Model
from causalmix_nb.graph.graph import CausalGraph
from causalmix_nb.launch.background import Job
from causalmix_nb.launch.launch import Executor, OnProgress
from causalmix_nb.methods.fit import fit
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.config import DATA, Trainable, as_config
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.proxies.outcomes import outcome_directions, target_weights
from causalmix_nb.proxies.state import Scorer, flatten_state, measure_state
from causalmix_nb.runs.store import Runs
from causalmix_nb.study.contenders import Contenders
from causalmix_nb.study.exporting import Exporting
from causalmix_nb.study.kept_graph import kept_graph
from causalmix_nb.study.planning import Planning
from causalmix_nb.study.questions import Questions
from causalmix_nb.study.trainer import Training

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
DEFAULT_GRAPH = "state -> mixture; state -> score; mixture -> score"
META, RUNS, COMPARED = "study.json", "runs.sqlite", "compared.sqlite"

Tilts = Mapping[str, Tilt]


class Study(Questions, Training, Contenders, Planning, Benchmark, Exporting):
    """Use :meth:`create`, :meth:`open` or :meth:`from_runs`.

    Attributes
    ----------
    folder: where it is kept, or None for a study of imported runs only.
    pool: the pool it was created from in this session, else None.
    graph: the causal graph; assign a :class:`CausalGraph` or its text with :meth:`set_graph`.
    runs, model, recommendation, comparison: what the steps left, or None.
    arguments: step -> what it was last called with in this session, for the code of a report.
    """

    def __init__(
        self, folder: Path | None, meta: dict[str, Any], corpus: Corpus | None, runs: Runs | None
    ) -> None:
        self.folder, self._meta, self.corpus, self.runs = folder, meta, corpus, runs
        self.pool: Pool | None = None
        self.graph = kept_graph(meta["graph"])
        self.scorer: Scorer | None = None
        self.model: Model | None = None
        self.recommendation: Recommendation | None = None
        self.comparison: Comparison | None = None
        self.job: Job | None = None
        self._measured: dict = {}
        self.arguments: dict[str, dict[str, Any]] = {}
        self._fitted: dict[str, Any] = {}  # what the model was asked for

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
        config: shape and training of the proxies; an :class:`~causalmix_nb.HFConfig` takes a Hugging Face model instead.
        graph: what causes what; by default the state confounds: state -> mixture, state -> score, mixture -> score.
        seed: for everything that involves chance.
        exist_ok: open the study that is there if it is of the same pool, target, proxies and seed.
        max_bytes: what is kept of each domain, in documents taken at random; more is worth it for runs that would see them all.

        Raises
        ------
        StudyError: a folder that holds another study, or cannot be written.
        """
        folder = Path(folder)
        graph = graph if isinstance(graph, CausalGraph) else CausalGraph.parse(graph or DEFAULT_GRAPH)
        config = config or ProxyConfig()
        meta = {
            "format": FORMAT,
            "fingerprint": pool.fingerprint,
            "config": json.loads(json.dumps(config.to_dict())),
            "target": dict(target) if target else None,
            "seed": seed,
            "graph": graph.to_text(),
        }
        if (folder / META).exists():
            study = cls.open(folder)
            same = all(
                study._meta[name] == meta[name] for name in ("fingerprint", "config", "target", "seed")
            )
            if not (exist_ok and same):
                what = "another pool, target, proxy or seed" if not same else "this pool already"
                raise StudyError(
                    f"{folder} holds a study of {what}; choose another folder, or open it with Study.open()."
                )
            study.pool = pool
            return study
        tokenizer = config.tokenizer()  # what is wrong with the model is said before the pool is read
        corpus = Corpus.build(pool, folder / DATA, max_bytes=max_bytes, seed=seed)
        target_weights(corpus, target)
        corpus = config.tokenised(corpus, tokenizer)
        meta["pool"] = describe_pool(pool)  # what an export needs to know when the pool is no longer here
        study = cls(folder, meta, corpus, Runs.open(folder / RUNS, create=True))
        study.runs.declare_outcomes(outcome_directions(corpus))  # type: ignore[union-attr]
        study._save()
        study.pool = pool
        return study

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open the study in a folder.

        Raises
        ------
        StudyError: no study there, a damaged one, or one written by a newer version.
        """
        folder = Path(folder)
        try:
            meta = json.loads((folder / META).read_text(encoding="utf-8"))
            version = meta["format"]
        except FileNotFoundError:
            raise StudyError(
                f"no study in {folder}; create one with Study.create() or %causalmix pool."
            ) from None
        except (OSError, ValueError, TypeError, KeyError):
            raise StudyError(
                f"{folder / META} cannot be read; restore it, or create the study again."
            ) from None
        if version > FORMAT:
            raise StudyError(
                f"{folder} was written by a newer version (format {version}, this one reads {FORMAT}); upgrade causalmix_nb."
            )
        return cls(folder, meta, Corpus.open(folder / DATA), Runs.open(folder / RUNS))

    @classmethod
    def from_runs(cls, runs: Runs, graph: CausalGraph | str | None = None) -> Study:
        """A study of runs that were made elsewhere: it can fit, intervene, optimise and export, but not train."""
        graph = CausalGraph.parse(graph or (DEFAULT_GRAPH if runs.state_names else "mixture -> score"))
        meta = {"format": FORMAT, "config": None, "target": None, "seed": 0, "graph": graph.to_text()}
        return cls(None, meta, None, runs)

    # -- what there is -----------------------------------------------------------------------------------

    @property
    def domains(self) -> tuple[str, ...]:
        return self.corpus.domains if self.corpus else self.runs.domains if self.runs else ()

    @property
    def outcome(self) -> str | None:
        """The default outcome: the first one the runs record."""
        names = self.runs.outcome_names if self.runs else ()
        return names[0] if names else None

    @property
    def natural(self) -> Mixture | None:
        """Shares proportional to the size of the domains; None without a pool."""
        return self.corpus.natural if self.corpus else None

    @property
    def seed(self) -> int:
        return int(self._meta["seed"])

    @property
    def config(self) -> Trainable:
        return as_config(self._meta["config"])

    @property
    def state(self) -> pd.DataFrame | None:
        """State of the pool as it is, once the base proxy is trained (a checkpoint: once it has measured it); else None."""
        if not self.corpus or not self._knows_state:
            return None
        return self.measure_state()

    def available(self, tilt: Tilts | None = None) -> dict[str, int]:
        """Distinct tokens that the pool has of every domain, also of what was held out or too much to keep here."""
        corpus, tilt = self._need_corpus(), self._check_tilt(tilt)
        return {
            name: round(corpus.view(name, tilt.get(name), self.seed).available_tokens * corpus.growth(name))
            for name in corpus.domains
        }

    @property
    def document_notes(self) -> tuple[str, ...]:
        """How the documents were read, cut, left out and held out, one sentence each; kept in the folder. Nothing where all is as usual."""
        return self.corpus.notes if self.corpus is not None else ()

    def set_graph(self, graph: CausalGraph | str) -> CausalGraph:
        """Replace the causal graph; what was fitted under the old one is dropped."""
        self.graph = graph if isinstance(graph, CausalGraph) else CausalGraph.parse(graph)
        self.model = self.recommendation = self.comparison = None
        self._save()
        return self.graph

    def status(self) -> StudyStatus:
        """Where the study stands and what to do next."""
        return study_status(self)

    def __repr__(self) -> str:
        return f"Study({str(self.folder) if self.folder else 'imported runs'}: {next_step(self)})"

    # -- steps -------------------------------------------------------------------------------------------

    def measure_state(self, tilt: Tilts | None = None) -> pd.DataFrame:
        """State of a sub-pool before mixing, DataFrame domain × covariate; trains the base proxy if there is none."""
        tilt = self._check_tilt(tilt)
        return measure_state(self._need_corpus(), self._scorer(), tilt, self.seed, self._measured)

    def fit(
        self, outcome: str | None = None, method: str = "auto", random_state: int = 0, **options: Any
    ) -> Model:
        """Estimate what mixture and state cause, adjusting for what the graph says."""
        runs = self._need_runs()
        if not len(runs):
            raise StudyError(
                "there is no run to fit; %causalmix run trains proxies, Runs.from_csv imports a table."
            )
        model = fit(
            runs,
            outcome or self.outcome,
            method=method,
            graph=self.graph,
            random_state=random_state,
            **options,
        )
        self.model, self.recommendation, self.comparison = self._prepare(model), None, None
        self._fitted = self.arguments["fit"] = {
            "outcome": outcome,
            "method": method,
            "random_state": random_state,
            **options,
        }
        return model

    def optimize(
        self,
        policy: str = "auto",
        constraints: Constraints | Mapping[str, Any] | None = None,
        tilt: Tilts | None = None,
        n_candidates: int = 100_000,
        random_state: int = 0,
        **options: Any,
    ) -> Recommendation:
        """The mixture to train on, for the pool as it is or for a sub-pool, with the gain it promises.

        options: ``caution``, ``worst``, ``scale``, ``baseline`` of :func:`causalmix_nb.decide.policy.optimize`.
        """
        best = optimize(
            self._need_model(), state=self._state_of(tilt), policy=policy, n_candidates=n_candidates,
            constraints=self._limits(constraints, tilt), random_state=random_state, **options,
        )  # fmt: skip
        small = small_proxy(self.config.n_parameters) if self._meta.get("config") else ""
        best = replace(best, notes=(*best.notes, small)) if small else best
        if options.get("worst"):
            return best  # something to learn from, nothing to train on
        self.recommendation, self.comparison, self._tilt = best, None, self._check_tilt(tilt)
        given = {"policy": policy, "constraints": constraints, "tilt": tilt, "n_candidates": n_candidates}
        self.arguments["optimize"] = {**given, "random_state": random_state, **options}
        if self.folder:
            kept = {n: getattr(best, n) for n in ("gain", "lower", "upper", "verdict", "outcome")}
            self._write("recommendation.json", json.dumps({"mixture": best.mixture.shares, **kept}, indent=1))
        return best

    def compare(
        self,
        baselines: Sequence[str | Mixture | Mapping[str, float]] | Mapping[str, Mixture] = (
            "equal",
            "natural",
            "regmix",
        ),
        n_seeds: int = 5,
        tilt: Tilts | None = None,
        progress: OnProgress | None = None,
        executor: Executor = "local",
        workers: int | None = None,
    ) -> Comparison:
        """Train the recommendation and the baselines with paired seeds and show the differences.

        Baselines are names (equal, natural, regmix, best_run, law, dmo; grid, bayes, doremi, odm train their own runs first),
        mixtures of your own, or a dict of name -> mixture.
        The sub-pool is the one the recommendation was made for, unless ``tilt`` says otherwise. The runs go into a
        store of their own: mixtures chosen by the model must not be fed back to it as if they were designed.
        """
        model, corpus = self._need_model(), self._need_corpus()
        if self.recommendation is None:
            raise StudyError("there is no recommendation to compare; %causalmix optimize makes one.")
        if n_seeds < 2:
            raise StudyError(f"{n_seeds} seed gives no interval; compare with at least 2, better 5.")
        if n_seeds > 1000:
            raise StudyError(f"{n_seeds} seeds would never end; compare with at most 1,000, 5 is usual.")
        tilt = self._check_tilt(tilt if tilt is not None else self._tilt)
        mixtures = {RECOMMENDED: self.recommendation.mixture}
        asked = baselines
        if not isinstance(baselines, Mapping):
            baselines = {b if isinstance(b, str) else f"mixture {i + 1}": b for i, b in enumerate(baselines)}  # type: ignore[misc]
        for name, given in baselines.items():
            mixtures[name] = self.baseline(given, model.outcome, progress, executor, workers)
        budget = self._budget()
        specs, where = [], []
        for name, mixture in mixtures.items():
            row = tuple(mixture.to_array(corpus.domains).tolist())
            for j in range(n_seeds):
                specs.append(
                    RunSpec(row, budget, tilt, self.seed, 1_000_003 + self.seed + j, f"compare:{name}")
                )
                where.append((name, j))
        store = Runs.open(self._need_folder() / COMPARED, create=True)
        try:
            store.declare_outcomes(outcome_directions(corpus))
            report = self._launch(specs, store, executor, workers, progress, "check by training")
            if report.interrupted:
                raise StudyError("the comparison was interrupted; the same call resumes it.")
            found = store.frame.set_index("key")[f"outcome.{model.outcome}"]
        finally:
            store.close()
        import pandas as pd

        values = pd.Series({w: found[spec.key(self._context)] for w, spec in zip(where, specs)})
        outcomes = values.unstack().loc[list(mixtures)]
        best = self.recommendation
        self.comparison = compare_outcomes(
            outcomes, mixtures, model.outcome, model.minimize, promised=(best.gain, best.lower, best.upper)
        )
        self.arguments["compare"] = {"baselines": asked, "n_seeds": n_seeds, "tilt": tilt}
        self._write("comparison.json", json.dumps({"verdict": self.comparison.verdict}))
        return self.comparison

    def report(self, path: str | Path = "causalmix_report.html", overwrite: bool = False) -> Report:
        """Write the study as one page that stands alone: every card in order, and the code that makes it again."""
        return write_report(self, path, overwrite)

    # -- inside ------------------------------------------------------------------------------------------

    _tilt: Tilts = {}

    def _state_of(self, tilt: Tilts | None) -> pd.Series | None:
        import pandas as pd

        return pd.Series(flatten_state(self.measure_state(tilt))) if tilt else None

    def _prepare(self, model: Model) -> Model:
        """Tell a model the pool's own state and the mixture to beat."""
        if self.corpus and self._knows_state:
            import pandas as pd

            model.pool_state = pd.Series(flatten_state(self.measure_state()))
        model.baseline = model.problem.equal
        return model

    def _limits(self, constraints: Constraints | Mapping[str, Any] | None, tilt: Tilts | None) -> Constraints:
        """Constraints, with what the pool has of each domain."""
        given = as_constraints(constraints)
        if self.corpus and not given.available:
            known = self._meta.get("target_tokens") or self._meta.get("token_budget")
            budget = given.token_budget or known or 100_000
            given = replace(given, available=self.available(tilt), token_budget=budget)
        return given

    def _check_tilt(self, tilt: Tilts | None) -> dict[str, Tilt]:
        from causalmix_nb.mixture import unknown_domain

        for name, value in (tilt or {}).items():
            if name not in self.domains:
                raise unknown_domain(name, self.domains)
            if not isinstance(value, Tilt):
                raise StudyError(
                    f"the tilt of {name!r} is {value!r}; give a Tilt, for example Tilt(noise=0.5)."
                )
        return dict(tilt or {})

    def _need_corpus(self) -> Corpus:
        if self.corpus is None:
            raise StudyError(
                "this study holds imported runs only; create one from a pool to measure or to train."
            )
        return self.corpus

    def _need_folder(self) -> Path:
        self._need_corpus()
        assert self.folder is not None  # a corpus always lies in a study's folder
        return self.folder

    def _need_runs(self) -> Runs:
        if self.runs is None:
            raise StudyError("this study has no runs; %causalmix run trains proxies.")
        return self.runs

    def _need_model(self) -> Model:
        if self.model is None:
            self.fit()
        assert self.model is not None
        return self.model

    def _save(self) -> None:
        if self.folder is None:
            return
        self._meta["graph"] = self.graph.to_text()
        self._write(META, json.dumps(self._meta, indent=1))

    def _write(self, name: str, text: str) -> None:
        """Replace a file of the study, whole or not at all."""
        partial = (path := self._need_folder() / name).with_suffix(".partial")
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        except OSError as error:
            do = "free disk space" if error.errno == errno.ENOSPC else "make the folder writable"
            raise StudyError(f"cannot write {path} ({error.strerror}); {do}, then repeat.") from None
