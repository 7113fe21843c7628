"""A study's runs as adapters of one frozen checkpoint: trained together, scored together, each recorded as if it had been alone.

Optimiser, schedule, clip, first values and windows are those of :mod:`causalmix_nb.proxies.huggingface.finetune`, which trains one run after another; what
cannot be trained together is left to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.adapters.adapter_swarm import AdapterSwarm
from causalmix_nb.proxies.adapters.memory import at_once_of, model_shape
from causalmix_nb.proxies.adapters.steps import Recipe, fit_adapters
from causalmix_nb.proxies.config import NoRunAxis, OnTokens, TrainedRun
from causalmix_nb.proxies.huggingface.checkpoint import CONVERTED, load_model, load_shape
from causalmix_nb.proxies.huggingface.finetune import windows_of
from causalmix_nb.proxies.outcomes import Evaluator

if TYPE_CHECKING:
    import torch

    from causalmix_nb.proxies.huggingface.settings import HFSettings

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")  # fields of a config
COMPILE_AFTER = 20.0  # seconds of steps to come on a GPU for which the compiler pays: it takes 4 to 6 and doubles the speed (an H100)


def why_alone(config: HFSettings) -> str | None:
    """Why the runs of a configuration cannot train together, as far as can be told without the weights; None if they may.

    >>> from causalmix_nb import HFConfig
    >>> why_alone(HFConfig("any/model"))
    'all weights are trained, not adapters'
    """
    if config.lora is None:
        return "all weights are trained, not adapters"
    if config.precision == "fp16":
        return "fp16 scales every run's loss by itself"
    if config.processes > 1:
        return f"each run is spread over {config.processes} processes"
    shape = load_shape(config)
    if any((getattr(shape, name, None) or 0) > 1 for name in EXPERTS):
        return f"a {shape.model_type} model has a mixture of experts"
    return None


class AdapterRuns:
    """A checkpoint with as many adapters as a chunk has runs; kept from one chunk to the next.

    Raises
    ------
    NoRunAxis: a model that does not keep the sequences of a batch apart, or layers that get no adapters here.
    TrainingError: a checkpoint that cannot be loaded.
    """

    def __init__(self, config: HFSettings, seed: int = 0, folder: Path | None = None) -> None:
        import torch
        from accelerate import PartialState

        assert config.lora is not None
        self.config, self.seed = config, seed
        device = PartialState().device
        if config.precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise NoRunAxis("this GPU does not multiply in bf16")
        model = load_model(config, seed, folder / CONVERTED if folder else None).to(device)
        on_gpu = device.type == "cuda"
        how: dict[str, Any] = {"way": "op", "loss_way": "triton"} if on_gpu else {}
        try:
            self.swarm = AdapterSwarm(model, 1, config.lora, seed, **how)
        except TrainingError as error:
            raise NoRunAxis(str(error).removesuffix(".")) from None
        if config.checkpointing:
            self.swarm.checkpoint()
        self.shape = model_shape(model.config, config.lora.rank, config.lora.targets)
        self.weights_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
        self.options: dict[str, Any] = {
            "half": config.precision != "no", "on_gpu": on_gpu, "loss_way": self.swarm.loss_way, "checkpointing": config.checkpointing,
        }  # fmt: skip

    @property
    def device(self) -> torch.device:
        return self.swarm.device

    def recipe(self, n_runs: int, free: float | None) -> Recipe:
        """How so many runs are trained where so many bytes are free."""
        config, per_step = self.config, self.config.batch * self.config.accumulation
        free = math.inf if free is None else free + self.weights_bytes  # which are there already
        at_once = at_once_of(self.shape, free, n_runs, per_step, config.context, **self.options)
        return Recipe(per_step, at_once, config.context, config.warmup, config.clip, config.weight_decay)

    def restart(self, n_runs: int) -> None:
        """Adapters where every run starts."""
        self.swarm.restart(n_runs, self.seed)


def train_adapter_runs(
    corpus: Corpus,
    specs: Sequence[RunSpec],
    proxies: AdapterRuns,
    evaluate: Evaluator,
    on_tokens: OnTokens | None = None,
    free: float | None = None,
    say: Callable[[str], None] | None = None,
    ahead: float = 1.0,
) -> list[TrainedRun]:
    """Train runs together and score them; a run that diverged has a reason instead of outcomes.

    free: bytes that may be used, None if unknown. say: called with what is worth saying. ahead: how often as much as
    these runs is still to train with the same proxies, these included: whether the compiler pays depends on it.
    """
    import torch

    config, swarm = proxies.config, proxies.swarm
    try:
        proxies.restart(len(specs))
        data = [windows_of(corpus, spec, config) for spec in specs]
        rates = [spec.learning_rate or config.learning_rate for spec in specs]
        recipe = proxies.recipe(len(specs), free)
        reasons = fit_adapters(swarm, data, rates, recipe, on_tokens, say, COMPILE_AFTER / ahead)
        good = [run for run, reason in enumerate(reasons) if reason is None]
        outcomes: list[dict[str, float]] = []
        if good:
            swarm.set_runs(swarm.flat[torch.as_tensor(good, device=swarm.device)])
            with swarm.uncompiled():  # scoring asks for many shapes, once each
                outcomes = evaluate(swarm)
    except torch.OutOfMemoryError:
        proxies.restart(1)
        if swarm.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(specs) > 1:
            raise  # they are tried again in halves
        return [TrainedRun({}, "out of memory; lower batch and raise accumulation, or use checkpointing")]
    proxies.restart(1)
    scored = dict(zip(good, outcomes))
    results = []
    for run, reason in enumerate(reasons):
        bad = [name for name, value in scored.get(run, {}).items() if not math.isfinite(value)]
        if bad:
            reason = f"training diverged: {bad[0]} is not finite; lower the learning rate"
        results.append(TrainedRun({} if reason else scored[run], reason))
    return results
