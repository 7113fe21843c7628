"""The subcommands that train: run, attach and stop, and the wait of those that ask about runs which are still training."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import StudyError, TrainingError
from causalmix_nb.magics.display import LiveProgress
from causalmix_nb.magics.language import MagicError

if TYPE_CHECKING:
    from causalmix_nb.launch.launch import Executor
    from causalmix_nb.proxies.checkpoint import HFConfig
    from causalmix_nb.study.study import Study

Arguments = argparse.Namespace
Namespace = Mapping[str, Any]


def chosen_executor(args: Arguments) -> Executor:
    """Where ``--executor``, ``--address`` and ``--gpus`` say that proxies train."""
    if args.executor == "ray":
        from causalmix_nb.launch.ray_cluster import RayExecutor

        return RayExecutor(address=args.address, gpus_per_chunk=args.gpus or 0.0)
    if args.address is not None or args.gpus is not None:
        raise TrainingError(
            "--address and --gpus are about a Ray cluster; add --executor ray, or leave them out."
        )
    return args.executor


def proxies(args: Arguments) -> HFConfig | None:
    """The Hugging Face model that was asked for, or None for the proxies of our own.

    Raises
    ------
    MagicError: options of a model without one.
    """
    asked = {name: getattr(args, name) for name in ("context", "precision") if getattr(args, name)}
    if args.model is None:
        if asked or args.lora:
            raise MagicError(
                "--lora, --context and --precision are for a Hugging Face model; add --model NAME."
            )
        return None
    from causalmix_nb.proxies.checkpoint import HFConfig, Lora

    path = Path(args.model).expanduser()
    where = {"model": args.model}
    if path.suffix == ".gguf":
        where = {"model": str(path.parent), "gguf_file": path.name}
    return HFConfig(**where, lora=Lora(rank=args.lora) if args.lora else None, **asked)


class TrainingMagics:
    """Expects the shell, the defaults and the current study of :class:`causalmix_nb.magics.magics.CausalMixMagics`."""

    shell: Any
    defaults: Any
    _monitor: Any

    if TYPE_CHECKING:

        def _current(self, args: Arguments) -> Study: ...

    def _run(self, args: Arguments, ns: Namespace) -> Any:
        study = self._current(args)
        wanted: dict[str, Any] = {
            "n_runs": args.runs or self.defaults.runs, "token_budget": args.budget or self.defaults.budget,
            "executor": chosen_executor(args), "workers": args.workers, "states": not args.fixed_state, "halving": args.halving,
            "target_tokens": args.target_tokens, "score": args.score,
        }  # fmt: skip
        cost = study.cost(**wanted)
        if args.cost:
            return cost
        if cost.n_runs:
            print(cost)
        if hasattr(self.shell, "kernel") and not args.wait and args.executor != "inline":
            from causalmix_nb.widgets.monitor import SwarmMonitor

            study.start(**wanted)
            self._monitor = SwarmMonitor(study)
            return self._monitor
        with LiveProgress(self.shell) as progress:
            return study.run(**wanted, progress=progress)

    def _benchmark(self, args: Arguments, ns: Namespace) -> Any:
        from dataclasses import replace

        from causalmix_nb.benchmark.pool_shift import FULL, QUICK
        from causalmix_nb.benchmark.results import write_report
        from causalmix_nb.benchmark.rivals import RIVALS

        asked = {"runs": args.runs, "seeds": args.seeds, "history": 0 if args.no_history else None}
        size = replace(QUICK if args.quick else FULL, **{k: v for k, v in asked.items() if v is not None})
        with LiveProgress(self.shell) as progress:
            found = self._current(args).benchmark(
                size, args.shifts, args.methods or RIVALS, args.executor, args.workers, progress
            )
        if args.report:
            print(f"Written to {write_report(found, args.report)}.")
        return found

    def _transfer(self, args: Arguments, ns: Namespace) -> Any:
        with LiveProgress(self.shell) as progress:
            return self._current(args).transfer(
                args.mixtures, args.parameters, args.learning_rate, args.budget, args.outcome, chosen_executor(args),
                args.workers, progress,
            )  # fmt: skip

    def _attach(self, args: Arguments, ns: Namespace) -> Any:
        from causalmix_nb.launch.background import standing

        study = self._current(args)
        if study.folder is None or (found := standing(study.folder)) is None:
            raise StudyError("no proxies were trained in the background here; %causalmix run trains some.")
        if not hasattr(self.shell, "kernel"):
            return str(found)
        from causalmix_nb.widgets.monitor import SwarmMonitor

        return SwarmMonitor(study)

    def _stop(self, args: Arguments, ns: Namespace) -> Any:
        from causalmix_nb.launch.background import ask_to_stop, is_training

        study = self._current(args)
        if study.folder is None or not is_training(study.folder):
            raise StudyError("no proxies are training in this study; there is nothing to stop.")
        ask_to_stop(study.folder)
        if study.job is not None:
            study.job.stop()
            study.job.wait(15)
        print("Asked to stop: finished runs stay, %causalmix run goes on with the others.")

    def _await(self, study: Study) -> None:
        """What asks the runs waits for those that are training; an interrupt ends the waiting, not the training."""
        job = study.job
        if job is None:
            return
        waited = job.status == "running"
        try:
            with LiveProgress(self.shell, vanish=True) as progress:
                while not job.wait(0.3):
                    progress(job.progress)
        except KeyboardInterrupt:
            raise StudyError(
                "stopped waiting; the proxies train on: %causalmix attach watches them, %causalmix stop ends them."
            ) from None
        if (
            self._monitor is not None
        ):  # from this cell, so that a notebook that runs by itself keeps the end of it
            self._monitor.look()
            self._monitor.refresh()
            self._monitor = None
        if waited and job.error is not None:
            raise StudyError(f"training failed: {job.error}")
