"""What is worth knowing before proxies are trained: what a launch will take.

:class:`Planning` is mixed into :class:`causalmix_nb.study.Study`; it trains nothing for the study's own store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.cost import Cost, Speed, launch_cost, measured_speed, remembered_speed
from causalmix_nb.launch import Executor, known_executor, width_of, workers_for
from causalmix_nb.pool import Tilt
from causalmix_nb.ray_cluster import RayExecutor

if TYPE_CHECKING:
    from causalmix_nb.checkpoint import HFConfig
    from causalmix_nb.corpus import Corpus
    from causalmix_nb.design import RunSpec
    from causalmix_nb.lm_eval import AttachedScores
    from causalmix_nb.proxy import ProxyConfig
    from causalmix_nb.runs import Runs


class Planning:
    """Expects the corpus, the store and the private helpers of :class:`causalmix_nb.study.Study`."""

    if TYPE_CHECKING:
        folder: Path | None
        scorer: Any
        _measured: dict

        @cached_property
        def _context(self) -> str: ...

        @property
        def _has_base(self) -> bool: ...

        @property
        def config(self) -> ProxyConfig | HFConfig: ...

        @property
        def seed(self) -> int: ...

        def _need_corpus(self) -> Corpus: ...

        def _need_runs(self) -> Runs: ...

        def _design(self, n_runs: int, token_budget: int, states: bool) -> list[RunSpec]: ...

    def cost(
        self,
        n_runs: int = 128,
        token_budget: int = 100_000,
        executor: Executor = "local",
        workers: int | None = None,
        states: bool = True,
    ) -> Cost:
        """What :meth:`run` with the same arguments would take: time, memory, disk and arithmetic. It trains nothing.

        The speed is that of the study's last launch, else it is measured here, which takes less than a second.

        Raises
        ------
        TrainingError: what :meth:`run` would refuse.
        """
        executor = known_executor(executor)
        corpus, done = self._need_corpus(), self._need_runs().keys("done")
        asked = self._design(n_runs, token_budget, states)
        pending = [spec for spec in asked if spec.key(self._context) not in done]
        n_workers = 0 if executor == "inline" else workers_for(len(pending), workers, self.config)
        seen = {
            (name, spec.tilts.get(name) or Tilt(), self.seed) for spec in asked for name in corpus.domains
        }
        speed = remembered_speed(self.folder, self.config, n_workers)
        if speed is None:
            width = min(width_of(self.config), len(pending))
            speed = (
                measured_speed(self.config, n_workers, width) if pending else Speed(math.inf, n_workers, "")
            )
        cost = launch_cost(
            self.config, [spec.token_budget for spec in pending], len(corpus.domains),
            speed,
            workers=n_workers, width=width_of(self.config), finished=len(asked) - len(pending),
            base=getattr(self.config, "has_base", self.config.base_tokens > 0) and not self._has_base, states=len(seen - self._measured.keys()),
        )  # fmt: skip
        if isinstance(executor, RayExecutor):
            elsewhere = (
                "time and memory are those of this machine; a Ray cluster shares the work among its places"
            )
            return replace(cost, notes=(*cost.notes, elsewhere))
        return cost

    def attach_lm_eval(self, path: str | Path, key: str | Mapping[str, str] | None = None) -> AttachedScores:
        """Record scores that the EleutherAI evaluation harness gave models of these runs, as further outcomes.

        path: a ``results_*.json`` or a folder of them; key: as for :func:`causalmix_nb.lm_eval.attach_lm_eval`.
        """
        return self._need_runs().attach_lm_eval(path, key)
