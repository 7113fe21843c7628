"""What is kept of a study: its tokens, its runs, what it was made of; trained by one process at a time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.data.pool import Perturbation, Pool
from causalmix_nb.decide.constraints import Constraints, as_constraints
from causalmix_nb.decide.export.sizes import describe_pool
from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.files import lock_study, unlock_study, why_not, write_whole
from causalmix_nb.mixture import Mixture, unknown_domain
from causalmix_nb.proxies.config import DATA, Trainable, as_config
from causalmix_nb.proxies.outcomes import outcome_directions, target_weights
from causalmix_nb.runs.store import Runs

FORMAT = 1
META, RUNS = "study.json", "runs.sqlite"
BUDGET = 100_000  # training tokens of a run, where nobody asked for another number

Perturbations = Mapping[str, Perturbation]


class StudyFolder:
    """The files of a study, and what follows from them alone.

    Attributes
    ----------
    path: the folder; None for runs that were made elsewhere, of which nothing is kept.
    meta: what ``study.json`` holds: format, fingerprint and sizes of the pool, config, target, seed and
        graph; since the first launch also token_budget, target_tokens, request and covariates. :meth:`note`
        changes it.
    corpus: the tokenised pool, None without a folder. runs: the store of the designed runs.
    """

    def __init__(
        self, path: Path | None, meta: dict[str, Any], corpus: Corpus | None, runs: Runs | None
    ) -> None:
        self.path, self.meta, self.corpus, self.runs = path, meta, corpus, runs

    @classmethod
    def create(
        cls,
        path: Path,
        pool: Pool,
        config: Trainable,
        *,
        target: Mapping[str, float] | None,
        graph: str,
        seed: int,
        exist_ok: bool,
        max_bytes: int,
    ) -> StudyFolder:
        """Tokenise a pool into a new folder, or open the one of the same study, as ``Study.create`` does.

        Raises
        ------
        StudyError: a folder that holds another study, or cannot be written.
        """
        meta = {
            "format": FORMAT,
            "fingerprint": pool.fingerprint,
            "config": json.loads(json.dumps(config.to_dict())),
            "target": dict(target) if target else None,
            "seed": seed,
            "graph": graph,
        }
        if (path / META).exists():
            found = cls.open(path)
            same = all(found.meta[name] == meta[name] for name in ("fingerprint", "config", "target", "seed"))
            if not (exist_ok and same):
                what = "another pool, target, proxy or seed" if not same else "this pool already"
                raise StudyError(
                    f"{path} holds a study of {what}; choose another folder, or open it with Study.open()."
                )
            return found
        tokenizer = config.tokenizer()  # what is wrong with the model is found before the pool is read
        corpus = Corpus.build(pool, path / DATA, max_bytes=max_bytes, seed=seed)
        target_weights(corpus, target)
        corpus = config.tokenised(corpus, tokenizer)
        meta["pool"] = describe_pool(pool)  # what an export needs to know when the pool is no longer here
        runs = Runs.open(path / RUNS, create=True)
        runs.declare_outcomes(outcome_directions(corpus))
        made = cls(path, meta, corpus, runs)
        made.save()
        return made

    @classmethod
    def open(cls, path: Path) -> StudyFolder:
        """The files that are in a folder.

        Raises
        ------
        StudyError: no study there, a damaged one, or one written by a newer version.
        """
        try:
            meta = json.loads((path / META).read_text(encoding="utf-8"))
            version = meta["format"]
        except FileNotFoundError:
            raise StudyError(
                f"no study in {path}; create one with Study.create() or %causalmix pool."
            ) from None
        except (OSError, ValueError, TypeError, KeyError):
            raise StudyError(
                f"{path / META} cannot be read; restore it, or create the study again."
            ) from None
        if version > FORMAT:
            raise StudyError(
                f"{path} was written by a newer version (format {version}, this one reads {FORMAT}); "
                "upgrade causalmix_nb."
            )
        return cls(path, meta, Corpus.open(path / DATA), Runs.open(path / RUNS))

    def for_job(self) -> StudyFolder:
        """The same files for a thread that trains, with a connection of its own to the store; what one notes,
        both know.
        """
        path = self.need_path()
        return StudyFolder(path, self.meta, Corpus.open(path / DATA), Runs.open(path / RUNS))

    def with_config(self, name: str, config: Trainable) -> StudyFolder:
        """A study of the same tokens with other proxies in a folder inside this one; opened if it is there.

        name: of that folder. A run there has another key than one here, because its proxy is another.
        """
        data, path = self.need_path() / DATA, self.need_path() / name
        path.mkdir(parents=True, exist_ok=True)
        if not (path / DATA).exists():
            try:
                os.symlink(os.path.relpath(data, path), path / DATA, target_is_directory=True)
            except OSError:  # a system without links: copied, whole or not at all
                partial = path / f"{DATA}.partial"
                shutil.copytree(data, partial, dirs_exist_ok=True)
                partial.replace(path / DATA)
        meta = {**self.meta, "config": config.to_dict(), "covariates": None}  # scored by a base of its own
        made = StudyFolder(path, meta, self.need_corpus(), Runs.open(path / RUNS, create=True))
        made.save()
        return made

    # -- what is in them ------------------------------------------------------------------------------------

    @property
    def domains(self) -> tuple[str, ...]:
        return self.corpus.domains if self.corpus else self.runs.domains if self.runs else ()

    @property
    def outcome(self) -> str | None:
        """The default outcome: the first one the runs record."""
        names = self.runs.outcome_names if self.runs else ()
        return names[0] if names else None

    def lower(self, outcome: str) -> bool:
        """Whether less of an outcome that the proxies measure is better; a StudyError where they do not."""
        directions = outcome_directions(self.need_corpus())
        if outcome not in directions:
            raise StudyError(
                f"unknown outcome {outcome!r}.{did_you_mean(outcome, directions)} "
                f"Outcomes are {', '.join(directions)}."
            )
        return directions[outcome]

    @property
    def natural(self) -> Mixture | None:
        """Shares proportional to the size of the domains; None without a pool."""
        return self.corpus.natural if self.corpus else None

    @property
    def seed(self) -> int:
        return int(self.meta["seed"])

    @property
    def config(self) -> Trainable:
        """The configuration of the proxies."""
        return as_config(self.meta["config"])

    @property
    def target(self) -> dict[str, float] | None:
        """Domain -> weight in the mean outcome, as it was given; None for equal weights."""
        return self.meta.get("target")

    @property
    def token_budget(self) -> int:
        """Training tokens of a run, as they were asked for last."""
        return int(self.meta.get("token_budget") or BUDGET)

    def available(self, perturbation: Perturbations | None = None) -> dict[str, int]:
        """Distinct tokens of every domain in the pool, also those held out or too many to keep here."""
        corpus, perturbation = self.need_corpus(), self.checked(perturbation)
        return {
            name: round(
                corpus.view(name, perturbation.get(name), self.seed).available_tokens * corpus.growth(name)
            )
            for name in corpus.domains
        }

    def limits(
        self, constraints: Constraints | Mapping[str, Any] | None, perturbation: Perturbations | None = None
    ) -> Constraints:
        """Constraints, with what the pool has of each domain and the budget that the mixture is for."""
        given = as_constraints(constraints)
        if self.corpus and not given.available:
            budget = given.token_budget or self.meta.get("target_tokens") or self.token_budget
            given = replace(given, available=self.available(perturbation), token_budget=budget)
        return given

    def checked(self, perturbation: Perturbations | None) -> dict[str, Perturbation]:
        """Domain -> perturbation; a sentence where it names no domain of the study, or is none."""
        for name, value in (perturbation or {}).items():
            if name not in self.domains:
                raise unknown_domain(name, self.domains)
            if not isinstance(value, Perturbation):
                raise StudyError(
                    f"the perturbation of {name!r} is {value!r}; give a Perturbation, for example Perturbation(noise=0.5)."
                )
        return dict(perturbation or {})

    def need_path(self) -> Path:
        """The folder; a StudyError for imported runs."""
        self.need_corpus()
        assert self.path is not None  # a corpus always lies in a study's folder
        return self.path

    def need_corpus(self) -> Corpus:
        """The tokenised pool; a StudyError for imported runs."""
        if self.corpus is None:
            raise StudyError(
                "this study holds imported runs only; create one from a pool to measure or to train."
            )
        return self.corpus

    def need_runs(self) -> Runs:
        """The store of runs; a StudyError where there is none."""
        if self.runs is None:
            raise StudyError("this study has no runs; %causalmix run trains proxies.")
        return self.runs

    # -- writing -------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Nobody else trains this study meanwhile; a StudyError where somebody does."""
        held = lock_study(self.need_path())
        try:
            yield
        finally:
            unlock_study(held)

    @contextmanager
    def store(self, name: str) -> Iterator[Runs]:
        """A store beside that of the designed runs, with the same outcomes; made if it is not there."""
        found = Runs.open(self.need_path() / name, create=True)
        try:
            found.declare_outcomes(outcome_directions(self.need_corpus()))
            yield found
        finally:
            found.close()

    def note(self, **values: Any) -> None:
        """Keep these in :attr:`meta`, and on disk where there is a folder."""
        if any(self.meta.get(name) != value for name, value in values.items()):
            self.meta.update(values)
            self.save()

    def save(self) -> None:
        if self.path is not None:
            self.write(META, json.dumps(self.meta, indent=1))

    def write(self, name: str, text: str) -> None:
        """Replace a file of the study, whole or not at all.

        Raises
        ------
        StudyError: the disk is full, or the folder cannot be written.
        """
        path = self.need_path() / name
        try:
            write_whole(path, text)
        except OSError as error:
            raise StudyError(f"{why_not(path, error)}, then repeat.") from None
