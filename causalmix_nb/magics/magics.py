"""``%causalmix`` and ``%%causalmix``: each subcommand is one method of :class:`causalmix_nb.study.study.Study`.

The magics hold no science. They find the study, the objects of the notebook by name, call the method and hand its result
back, a plain object that shows itself as a card. Errors are the package's own sentences and still fail the cell.
"""

from __future__ import annotations

import argparse
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from traitlets import Int, Unicode
from traitlets.config import Configurable

from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.magics import ask, completion, language, parser
from causalmix_nb.magics.about import AboutMagics
from causalmix_nb.magics.display import LiveProgress, ResultDisplay
from causalmix_nb.magics.graph import GraphMagics
from causalmix_nb.magics.importing import import_cards, imported
from causalmix_nb.magics.language import HelpAsked, MagicError, scalar
from causalmix_nb.magics.options import TILTS
from causalmix_nb.magics.train import TrainingMagics, chosen_executor, proxies

WAITING = (
    "fit",
    "do",
    "optimize",
    "compare",
    "benchmark",
    "transfer",
    "state",
)  # besides the questions: they need the runs, or the machine

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from causalmix_nb.cards.typesetting import Bundle
    from causalmix_nb.study.study import Study

Arguments = argparse.Namespace
Namespace = Mapping[str, Any]


class CausalMix(Configurable):
    """Defaults of the magics: ``%config CausalMix.budget = 50_000``."""

    study_folder = Unicode("causalmix_study", help="folder of the study, where --study does not say").tag(
        config=True
    )
    runs = Int(128, help="runs of %causalmix run").tag(config=True)
    budget = Int(100_000, help="training tokens of each run").tag(config=True)
    seeds = Int(5, help="paired seeds of %causalmix compare").tag(config=True)


@magics_class
class CausalMixMagics(GraphMagics, TrainingMagics, AboutMagics, Magics):
    """The ``causalmix`` magic of one shell, with its current study."""

    shell: Any

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.study: Study | None = None
        self.defaults = CausalMix(parent=shell)
        self.display = ResultDisplay(shell)
        self.matcher = context_matcher(identifier="causalmix")(lambda context: self.complete(context))
        self._monitor: Any = None  # whose last picture is still to be drawn
        self._graph: str | None = None  # a graph written before there is a study

    # A final ";" is read here and not by IPython's output_can_be_silenced, which tokenises the line as Python after
    # the work is done and fails on lines such as  pool files:(old)/*.jsonl .
    @needs_local_scope
    @no_var_expand
    @line_cell_magic
    def causalmix(
        self, line: str = "", cell: str | None = None, local_ns: dict[str, Any] | None = None
    ) -> Any:
        ns: Namespace = ChainMap(local_ns or {}, self.shell.user_ns)
        try:
            if cell is None:
                return self._do_line(self._parse(line, ns), ns)
            words = language.split(line)[0]
            if words[:1] == ["dag"]:
                return self._do_line(self._parse(line, ns), ns, cell)
            if words:
                raise MagicError(
                    f"%%causalmix {words[0]} takes no cell; write %causalmix {words[0]} in one line, or %%causalmix alone "
                    "with one subcommand a line below it."
                )
            return self._script(cell, ns)
        except HelpAsked as asked:
            print(asked)
            return None

    causalmix.__doc__ = parser.overview()

    def _parse(self, line: str, ns: Namespace) -> Arguments:
        return parser.parse(line, lambda name: scalar(name, ns))

    def _do_line(self, args: Arguments, ns: Namespace, cell: str | None = None) -> Any:
        if self.study is not None and args.command in (*ask.ANSWERS, *WAITING):
            self._await(self.study)
        if args.command in ask.ANSWERS:
            result = ask.ANSWERS[args.command](self._current(args), args, tilts(args), self.display.attach)
        elif args.command == "dag":
            result = self._dag(args, ns, cell)
        else:
            result = getattr(self, f"_{args.command}")(args, ns)
        if args.out is not None:
            self.shell.user_ns[args.out] = result
        return None if args.quiet else result

    def _script(self, cell: str, ns: Namespace) -> Any:
        """Several lines, all of them read before the first one runs; the last result is returned, the others shown."""
        lines = [line.strip().removeprefix("%causalmix") for line in language.joined(cell)]
        parsed = [self._parse(line, ns) for line in lines if language.split(line)[0]]
        result = None
        for i, args in enumerate(parsed):
            result = self._do_line(args, ns)
            if result is not None and i < len(parsed) - 1:
                self.display.show(result)
        return result

    # -- the study -----------------------------------------------------------------------------------------

    def _use(self, study: Study) -> None:
        """Make a study the current one; a graph that was written before goes into it."""
        from causalmix_nb.graph.graph import CausalGraph

        self.study = study
        if self._graph is not None:
            graph, self._graph = CausalGraph.parse(self._graph), None
            if graph != study.graph:
                study.set_graph(graph)

    def _folder(self, args: Arguments) -> Path:
        return Path(getattr(args, "study", None) or self.defaults.study_folder).expanduser()

    def _current(self, args: Arguments) -> Study:
        """The study of this session, or the one in the folder that is meant."""
        from causalmix_nb.study.study import META, Study

        folder = self._folder(args)
        elsewhere = getattr(args, "study", None) and (self.study is None or self.study.folder != folder)
        if self.study is None or elsewhere:
            if not (folder / META).exists():
                raise StudyError(f"there is no study in {folder} yet; start one with %causalmix pool demo.")
            self._use(Study.open(folder))
            print(f"Opened the study in {folder}.")
        assert self.study is not None
        return self.study

    # -- subcommands ---------------------------------------------------------------------------------------

    def _pool(self, args: Arguments, ns: Namespace) -> Any:
        if args.spec is None:
            study = self._current(args)
            result = study.pool if study.pool is not None else study.natural
            self._attach_state(result, study, " ".join(f"{line}." for line in study.document_notes))
            return result
        from causalmix_nb.data.demo import demo_pool
        from causalmix_nb.data.pool import Pool
        from causalmix_nb.study.study import META, Study

        options = {
            f"{what}_column": getattr(args, what)
            for what in ("text", "prompt", "response")
            if getattr(args, what)
        }
        hub = {"split": args.split, "streaming": args.streaming, "max_documents": args.documents}
        hub = {name: value for name, value in hub.items() if value}
        if hub and not args.spec.startswith("hf:"):
            raise MagicError(
                "--split, --streaming and --documents are for hub datasets; give hf:<name>, or leave them out."
            )
        if args.encoding:
            if not args.spec.startswith("files:"):
                raise MagicError("--encoding is for files; give files:<glob>, or leave it out.")
            options["encoding"] = args.encoding
        if args.spec == "demo":
            pool = demo_pool()
        else:
            pool = Pool.parse(args.spec, ns, args.domain, **options, **hub)
        folder = self._folder(args)
        there = (folder / META).exists()
        try:
            study = Study.create(
                folder, pool, target=args.target, config=proxies(args), seed=args.seed, exist_ok=True
            )
        except StudyError as error:
            if not there:
                raise
            raise StudyError(f"{error} Another folder is --study NAME here.") from None
        self._use(study)
        n = len(study.runs) if study.runs else 0
        note = f"Reopened the study in {folder}: {n} runs." if there else f"New study in {folder}."
        said = [line for line in study.document_notes if line not in pool.notes]
        self.display.attach(pool, " ".join([note, *(f"{line}." for line in said)]))
        return pool

    def _attach_state(self, result: Any, study: Study, note: str = "") -> None:
        """Show the state under a pool, once it can be measured without training."""
        if study.state is None:
            if note:
                self.display.attach(result, note)
            return
        from causalmix_nb.cards.study import state_sparklines

        state, runs = study.state, study.runs
        trained = runs.frame.filter(regex="^state[.]").rename(columns=lambda name: name[6:]) if runs else None
        self.display.attach(result, note, lambda: state_sparklines(state, trained))

    def _study(self, args: Arguments, ns: Namespace) -> Any:
        from causalmix_nb.study.study import Study

        if args.action is None:
            return self._current(args)
        if args.action != "open" or args.folder is None:
            raise MagicError("write %causalmix study open FOLDER, or %causalmix study for the current one.")
        self._use(Study.open(Path(args.folder).expanduser()))
        return self.study

    def _state(self, args: Arguments, ns: Namespace) -> Any:
        tilt = tilts(args)
        state = self._current(args).measure_state(tilt)

        def shown() -> Bundle:
            from causalmix_nb.cards.runs import state_card

            return state_card(state, f"The state of the {'tilted ' if tilt else ''}pool, before mixing")

        self.display.attach(state, "", shown)
        return state

    def _runs(self, args: Arguments, ns: Namespace) -> Any:
        if args.action is not None:
            return self._other_runs(args, ns)
        runs = self._current(args).runs
        if runs is None:
            raise StudyError("this study has no runs; %causalmix run trains proxies.")
        if args.csv:
            paths = runs.to_csv(Path(args.csv).expanduser())
            self.display.attach(runs, f"Written to {paths[0]} and {paths[1]}.")
        return runs

    def _other_runs(self, args: Arguments, ns: Namespace) -> Any:
        from causalmix_nb.runs.store import Runs
        from causalmix_nb.study.study import Study

        if args.action == "attach" and len(args.names) == 1:
            study = self._current(args)
            return study.attach_lm_eval(Path(args.names[0]).expanduser(), args.run)
        if args.action == "import" and len(args.names) in (1, 2):
            runs = imported(args)
        elif args.action == "use" and len(args.names) == 1:
            runs = self._object(args.names[0], ns, "a Runs object", Runs)
        else:
            raise MagicError(
                "write %causalmix runs import RATIOS METRICS, %causalmix runs import TABLE, %causalmix runs use VARIABLE "
                "or %causalmix runs attach FOLDER."
            )
        # Imported tables seldom record a state; a graph that asks to adjust for one could then not be fitted.
        self._use(Study.from_runs(runs, None if runs.state_names else "mixture -> score"))
        note = "The study is now one of these runs: fit, do, optimize and export work on them."
        self.display.attach(runs, note, *import_cards(runs))
        return runs

    def _fit(self, args: Arguments, ns: Namespace) -> Any:
        options = {"use_state": False} if args.no_state else {}
        if args.no_orthogonalisation:
            if args.method not in ("linear", "forest"):
                raise MagicError(
                    "--no-orthogonalisation is for the linear method and the forest; name one of them with --method."
                )
            options["orthogonalise"] = False
        return self._current(args).fit(args.outcome, method=args.method, random_state=args.seed, **options)

    def _do(self, args: Arguments, ns: Namespace) -> Any:
        if not args.shares:
            raise MagicError("%causalmix do needs a share to set, for example %causalmix do math=0.4.")
        study, tilt = self._current(args), tilts(args)
        fitted = study.model is not None
        effect = study.do(args.shares, keep=args.keep, tilt=tilt)
        model = study.model
        assert model is not None  # do() fits where nothing was fitted
        note = "" if fitted else f"Fitted first ({model.method}), since nothing was fitted yet."
        more = []
        if len(args.shares) == 1:
            (domain,) = args.shares
            from causalmix_nb.cards.runs import dose_card

            frame = study.dose_response(domain, keep=args.keep, tilt=tilt)
            before = model.baseline[domain] if model.baseline is not None else None
            more = [lambda: dose_card(frame, domain, effect.outcome, effect.minimize, before)]
        self.display.attach(effect, note, *more)
        return effect

    def _optimize(self, args: Arguments, ns: Namespace) -> Any:
        tilt = tilts(args)
        options = {"caution": args.caution, "worst": args.worst or None, "scale": args.scale}
        best = self._current(args).optimize(
            policy=args.policy, constraints=ask.constraints(args), tilt=tilt,
            n_candidates=args.candidates, random_state=args.seed,
            **{name: value for name, value in options.items() if value is not None},
        )  # fmt: skip
        if tilt:
            self.display.attach(
                best,
                "For the pool with " + ", ".join(f"{name}: {value}" for name, value in tilt.items()) + ".",
            )
        return best

    def _compare(self, args: Arguments, ns: Namespace) -> Any:
        from causalmix_nb.study.contenders import CONTENDERS

        named = {name: name if name in CONTENDERS else self._mixture(name, ns) for name in args.baselines}
        study = self._current(args)
        given: Any = named or ["equal", *(["natural"] if study.natural is not None else []), "regmix"]
        with LiveProgress(self.shell) as progress:
            return study.compare(
                given, n_seeds=args.seeds or self.defaults.seeds, tilt=tilts(args), progress=progress,
                executor=chosen_executor(args), workers=args.workers,
            )  # fmt: skip

    def _mixture(self, name: str, ns: Namespace) -> Any:
        from causalmix_nb.mixture import Mixture
        from causalmix_nb.study.contenders import CONTENDERS

        if name not in ns:
            raise MagicError(
                f"{name!r} is neither a baseline nor a variable.{did_you_mean(name, [*CONTENDERS, *self._names('baseline')])} "
                f"Baselines are {', '.join(CONTENDERS)}; a variable may hold a mixture."
            )
        value = getattr(ns[name], "mixture", ns[name])
        return value if isinstance(value, Mixture) else Mixture(value)

    def _export(self, args: Arguments, ns: Namespace) -> Any:
        path = Path(args.path).expanduser() if args.path else None
        given = {"token_budget": args.tokens, "max_epochs": args.max_epochs, "tokenizer": args.tokenizer,
                 "max_length": args.max_length}  # fmt: skip
        return self._current(args).export(path, format=args.format, overwrite=args.overwrite, **given)

    # -- names of the notebook -----------------------------------------------------------------------------

    def _object(self, name: str, ns: Namespace, what: str, kind: type) -> Any:
        if name not in ns:
            raise MagicError(
                f"there is no variable {name!r}.{did_you_mean(name, self._names('variable'))} Give {what}."
            )
        if not isinstance(ns[name], kind):
            raise MagicError(f"{name!r} is a {type(ns[name]).__name__}; give {what}.")
        return ns[name]

    def _names(self, kind: str) -> list[str]:
        """What there is of a kind, for completion and for "did you mean"."""
        study = self.study
        if kind == "domain":
            return list(study.domains) if study else []
        if kind == "outcome":
            return list(study.runs.outcome_names) if study and study.runs else []
        if kind == "node":
            return (
                ["mixture", "state", "score"]
                if study is None
                else list(dict.fromkeys([*study.graph.nodes, *study.domains]))
            )
        if kind in ("method", "policy", "executor", "format", "baseline"):
            return [
                *_choices(kind),
                *(self._variables("Mixture", "Recommendation") if kind == "baseline" else []),
            ]
        if kind == "pool":
            return self._variables("Pool", "dict", "DataFrame", "Dataset")
        return self._variables()

    def _variables(self, *types: str) -> list[str]:
        """Variables of the user, optionally only those of some types."""
        hidden = self.shell.user_ns_hidden
        return [
            name for name, value in list(self.shell.user_ns.items())
            if not name.startswith("_") and hidden.get(name) is not value
            and (not types or type(value).__name__ in types)
            and type(value).__name__ not in ("module", "function", "builtin_function_or_method", "type")
        ]  # fmt: skip

    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """What IPython's completer asks for."""
        try:
            found = completion.suggest(
                context.full_text, context.cursor_line, context.cursor_position, self._names
            )
        except Exception:  # a completion must never break typing
            found = None
        if found is None:
            return {"completions": [], "suppress": False}
        line = context.line_with_cursor
        items = [
            SimpleCompletion(text, type=completion.describe(text, kind, line)) for text, kind in found.items
        ]
        return {"completions": items, "matched_fragment": found.fragment, "suppress": True, "ordered": True}


def tilts(args: Arguments) -> dict[str, Any] | None:
    """The sub-pool that ``--noise``, ``--duplicates``, … describe, or None."""
    from causalmix_nb.data.pool import Tilt

    fields: dict[str, dict[str, float]] = {}
    for option, (field, _) in TILTS.items():
        for domain, value in (getattr(args, option, None) or {}).items():
            fields.setdefault(domain, {})[field] = value
    return {domain: Tilt(**values) for domain, values in fields.items()} or None


def _choices(kind: str) -> tuple[str, ...]:
    if kind == "method":
        from causalmix_nb.methods.fit import METHODS

        return (*METHODS, "auto")
    if kind == "policy":
        from causalmix_nb.decide.policy import POLICIES

        return POLICIES
    if kind == "executor":
        from causalmix_nb.launch.launch import EXECUTORS

        return EXECUTORS
    if kind == "format":
        from causalmix_nb.decide.export.export import FORMATS

        return tuple(FORMATS)
    from causalmix_nb.study.contenders import CONTENDERS

    return CONTENDERS


# -- loading --------------------------------------------------------------------------------------------------

NAME = "CausalMixMagics"


def load(ipython: InteractiveShell) -> None:
    """Register the magic, its completion, its configuration and the cards of our types."""
    unload(ipython)
    magics = CausalMixMagics(ipython)
    ipython.register_magics(magics)
    ipython.Completer.custom_matchers.append(magics.matcher)
    ipython.configurables.append(magics.defaults)  # type: ignore[arg-type]
    magics.display.register()


def unload(ipython: InteractiveShell) -> None:
    """Take back everything that :func:`load` registered; does nothing where nothing is."""
    manager = ipython.magics_manager
    magics = manager.registry.pop(NAME, None)
    if magics is None:
        return
    for kind in ("line", "cell"):
        manager.magics[kind].pop("causalmix", None)
    ipython.Completer.custom_matchers.remove(magics.matcher)
    for configurable in (magics.defaults, magics):  # Magics adds itself
        if configurable in ipython.configurables:
            ipython.configurables.remove(configurable)
    magics.display.unregister()
