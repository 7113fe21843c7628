"""Training a Hugging Face model on one run's windows after another, with Accelerate.

The checkpoint is loaded once; before every run what is trained (all weights, or the adapters) goes back to where it began, and optimiser,
schedule and chance are new, so that a run's result does not depend on the run before it.

The loss of a step is the mean over all learnt tokens of its windows, however they are split into batches and over processes: each part
contributes its sum, divided by the count of the whole step. A mean of the means of parts would weigh windows with few learnt tokens more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmix_nb.data.corpus import Corpus, run_windows
from causalmix_nb.data.windows import RunWindows
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.config import BASE, OnTokens, TrainedRun
from causalmix_nb.proxies.huggingface.checkpoint import CONVERTED, load_model, load_tokenizer
from causalmix_nb.proxies.outcomes import Evaluator
from causalmix_nb.proxies.schedule import schedule
from causalmix_nb.proxies.state import HuggingFaceScorer
from causalmix_nb.proxies.swarm import load_weights

if TYPE_CHECKING:
    import torch

    from causalmix_nb.proxies.huggingface.settings import HFSettings, Lora


class HFProxy:
    """A loaded checkpoint that can be trained again and again; to the evaluator it looks like a swarm of one run.

    Use it in a ``with`` block: inside, Accelerate places the model, wraps it for data parallelism and sets the precision; afterwards the
    process is as it was, so that studies of different precision can share a notebook.

    Parameters
    ----------
    config: the model and how it is trained.
    seed: of the weights of a model from scratch, and of new adapters.
    folder: the study's, where a converted checkpoint is kept.
    base: weights that every run continues from instead of those loaded.
    """

    n_runs = 1
    device: torch.device  # inside the with block
    accelerator: Any

    def __init__(
        self,
        config: HFSettings,
        seed: int = 0,
        folder: Path | None = None,
        base: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.config = config
        self.model: Any = load_model(config, seed, folder / CONVERTED if folder else None)
        if base is not None:
            self._load(base)
        if config.lora:
            _without_dropout(self.model)
            self.model = _with_adapters(self.model, config.lora, seed)
        if config.checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
            self.model.enable_input_require_grads()
        self._start = {name: p.detach().to("cpu", copy=True) for name, p in self._trained().items()}

    def _load(self, base: Mapping[str, torch.Tensor]) -> None:
        import torch

        own = dict(self.model.named_parameters())
        if own.keys() != base.keys() or any(base[name].shape != p.shape for name, p in own.items()):
            raise TrainingError(
                "the base proxy of this study is of another shape; delete base.safetensors to train it again."
            )
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(base[name])

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def restart(self) -> None:
        """Put what is trained back to where every run starts."""
        import torch

        with torch.no_grad():
            for name, weight in self._trained().items():
                weight.copy_(self._start[name])

    def weights(self) -> dict[str, torch.Tensor]:
        """What is trained, detached, on the CPU."""
        return {name: p.detach().to("cpu", copy=True) for name, p in self._trained().items()}

    # -- Accelerate --------------------------------------------------------------------------------------

    def __enter__(self) -> HFProxy:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        # Accelerate has one precision per process and says no to a second one: what was there is put aside.
        self._aside = dict(AcceleratorState._shared_state)
        AcceleratorState._shared_state.clear()
        try:
            self.accelerator = Accelerator(mixed_precision=self.config.precision)
            self._check()
        except (ValueError, TrainingError) as error:
            self._put_back()
            if isinstance(error, TrainingError):
                raise
            raise TrainingError(f"precision {self.config.precision!r} does not work here: {error}") from None
        self.device = self.accelerator.device
        self._wrapped = self.accelerator.prepare(self.model)
        return self

    def _check(self) -> None:
        """What Accelerate would pass over in silence: a precision that it does not apply, processes that did not come up."""
        config, accelerator = self.config, self.accelerator
        if config.precision != "no" and not accelerator.native_amp:
            raise TrainingError(
                f"precision {config.precision!r} does not work on a {accelerator.device.type}; use bf16 or no."
            )
        n = accelerator.num_processes
        if n != config.processes:
            raise TrainingError(
                f"the configuration asks for {config.processes} processes, and {n} came up; check the launcher, or set processes={n}."
            )

    def __exit__(self, *_: object) -> None:
        self.model = self.accelerator.unwrap_model(self._wrapped, keep_fp32_wrapper=False)
        del self._wrapped
        self.accelerator.free_memory()
        self._put_back()

    def _put_back(self) -> None:
        from accelerate.state import AcceleratorState

        AcceleratorState._shared_state.clear()
        AcceleratorState._shared_state.update(self._aside)

    # -- what the evaluator asks -------------------------------------------------------------------------

    def token_losses(self, windows: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of every next token in nats; windows (1, n, L + 1) -> (1, n, L)."""
        from torch.nn import functional as F

        def losses(rows: torch.Tensor) -> torch.Tensor:
            logits = self._logits(rows[:, :-1])
            return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")

        return self._by_batch(windows, losses, windows.shape[-1] - 1, dtype="float32")

    def likeliest(self, tokens: torch.Tensor) -> torch.Tensor:
        """The most likely next token after each; tokens (1, n, L) -> (1, n, L)."""
        return self._by_batch(
            tokens, lambda rows: self._logits(rows).argmax(-1), tokens.shape[-1], dtype="int64"
        )

    def _by_batch(self, rows: torch.Tensor, ask: Callable, width: int, dtype: str) -> torch.Tensor:
        """Ask batch by batch, every process its own rows, and put the answers together: (1, n, width)."""
        import torch

        self.model.eval()
        rows = rows[0].to(self.device).long()
        answer = torch.zeros(len(rows), width, dtype=getattr(torch, dtype), device=self.device)
        mine = torch.arange(self.accelerator.process_index, len(rows), self.config.processes)
        with torch.no_grad():
            for some in mine.split(max(1, self.config.batch // self.config.processes)):
                if len(some):
                    answer[some] = ask(rows[some]).view(len(some), width)
        return self.accelerator.reduce(answer, "sum")[None]

    def _logits(self, tokens: torch.Tensor) -> torch.Tensor:
        # Not through the data-parallel wrapper: processes may have different numbers of batches, and it would wait.
        return self.model(input_ids=tokens, use_cache=False).logits.float()  # (B, L, vocabulary)

    def alone(self) -> list[HFProxy]:
        """It is one run."""
        return [self]

    # -- training ----------------------------------------------------------------------------------------

    def fit(
        self,
        data: RunWindows,
        learning_rate: float,
        seed: int = 0,
        on_tokens: OnTokens | None = None,
    ) -> str | None:
        """One pass of AdamW over a run's windows; returns why it stopped early, or None."""
        import torch
        from torch.nn import functional as F

        config, accelerator = self.config, self.accelerator
        share, per_step = config.batch // config.processes, config.batch * config.accumulation
        raw = torch.optim.AdamW(self._groups(), lr=learning_rate, betas=(0.9, 0.95), fused=True)
        optimizer = accelerator.prepare(raw)
        if accelerator.scaler is not None:
            accelerator.scaler = type(accelerator.scaler)()  # one that has seen no other run
            optimizer.scaler = accelerator.scaler
        # The mean over all processes and Accelerate's own division are undone: the sum is divided once, by the step's count.
        factor = config.processes * accelerator.gradient_accumulation_steps
        reason = None
        self._wrapped.train()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed + accelerator.process_index)  # for dropout
            n_steps = len(data) // per_step
            rates = schedule(n_steps, learning_rate, config.warmup).tolist()
            for step, (rate, (windows, masks)) in enumerate(zip(rates, data.blocks(per_step))):
                for group in optimizer.param_groups:
                    group["lr"] = rate
                count = max(1, int(masks.sum()))
                for i in range(config.accumulation):
                    at = i * config.batch + accelerator.process_index * share
                    rows = torch.from_numpy(windows[at : at + share].astype(np.int64)).to(self.device)
                    learnt = torch.from_numpy(masks[at : at + share]).to(self.device)
                    last = i == config.accumulation - 1
                    with nullcontext() if last else accelerator.no_sync(self._wrapped):
                        logits = self._wrapped(input_ids=rows[:, :-1], use_cache=False).logits
                        total = F.cross_entropy(logits[learnt].float(), rows[:, 1:][learnt], reduction="sum")
                        accelerator.backward(total * (factor / count))
                norm = float(accelerator.clip_grad_norm_(list(self._trained().values()), config.clip))
                if not math.isfinite(norm) and accelerator.scaler is None:
                    reason = f"training diverged: the gradient of step {step + 1} of {n_steps} is not finite; lower the learning rate"
                    break
                optimizer.step()
                optimizer.zero_grad()
                if on_tokens:
                    on_tokens(per_step * config.context)
        raw.zero_grad()
        accelerator._optimizers.remove(optimizer)  # or every run's moments would stay
        return reason

    def _groups(self) -> list[dict[str, Any]]:
        """Weight decay is for matrices, not for norms and biases."""
        trained = list(self._trained().values())
        return [
            {"params": [p for p in trained if p.dim() >= 2], "weight_decay": self.config.weight_decay},
            {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
        ]


def train_hf_runs(
    corpus: Corpus,
    specs: Sequence[RunSpec],
    proxy: HFProxy,
    evaluate: Evaluator,
    on_tokens: OnTokens | None = None,
) -> list[TrainedRun]:
    """Train runs one after another on their windows and score them; a run that diverged has a reason instead of outcomes."""
    import torch

    results = []
    with proxy:
        for spec in specs:
            proxy.restart()
            data = windows_of(corpus, spec, proxy.config)
            try:
                rate = spec.learning_rate or proxy.config.learning_rate
                reason = proxy.fit(data, rate, spec.seed, on_tokens)
                outcomes = {} if reason else evaluate(proxy)[0]
            except torch.OutOfMemoryError:
                if proxy.config.processes > 1:
                    raise  # the other processes would wait for this one
                outcomes, reason = (
                    {},
                    "out of memory; lower batch and raise accumulation, or use checkpointing or lora",
                )
            bad = [name for name, value in outcomes.items() if not math.isfinite(value)]
            if bad:
                reason = f"training diverged: {bad[0]} is not finite; lower the learning rate"
            results.append(TrainedRun({} if reason else outcomes, reason))
        proxy.restart()
    return results


def train_hf_base(
    corpus: Corpus, config: HFSettings, seed: int = 0, on_tokens: OnTokens | None = None
) -> HFProxy:
    """Train the base of a model from scratch, once per study, on an even mixture of the pool as it is."""
    proxy = HFProxy(replace(config, processes=1), seed)
    even = (1 / len(corpus.domains),) * len(corpus.domains)
    data = windows_of(corpus, RunSpec(even, config.base_tokens, {}, seed, seed), config)
    with proxy:
        reason = proxy.fit(data, config.base_learning_rate, seed, on_tokens)
    if reason:
        raise TrainingError(
            f"the base cannot be trained: {reason.replace('learning rate', 'base_learning_rate')}."
        )
    return proxy


def open_proxy(folder: Path, config: HFSettings, seed: int) -> HFProxy:
    """A study's proxy, as its runs start."""
    return HFProxy(config, seed, folder, load_weights(folder / BASE) if config.has_base else None)


def checkpoint_scorer(folder: Path, config: HFSettings, seed: int) -> HuggingFaceScorer:
    """The checkpoint itself as the scorer of the state; of a model from scratch, its base, which must be there."""
    plain = replace(config, lora=None, processes=1)

    def load() -> tuple[Any, Any]:
        return open_proxy(folder, plain, seed).model, load_tokenizer(config)

    identity = f"checkpoint {json.dumps(plain.to_dict(), sort_keys=True, default=str)} seed {seed}"
    return HuggingFaceScorer(config.model, context=config.context, load=load, identity=identity)


def windows_of(corpus: Corpus, spec: RunSpec, config: HFSettings) -> RunWindows:
    """The run's training data: as many whole steps as come closest to its budget, at least one."""
    per_step = config.batch * config.accumulation
    n_steps = max(1, round(spec.token_budget / (per_step * config.context)))
    return run_windows(
        corpus,
        spec.mixture,
        spec.perturbations,
        spec.perturbation_seed,
        spec.seed,
        n_steps * per_step,
        config.context,
        spec.target_tokens,
    )


def _without_dropout(model: Any) -> None:
    """Runs are to differ by their data alone, and those that are trained together have no chance of their own."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def _with_adapters(model: Any, lora: Lora, seed: int) -> Any:
    import torch

    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise TrainingError("lora needs peft; pip install 'causalmix_nb[hf]'.") from None
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    settings = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return get_peft_model(model, settings)
        except ValueError as error:
            raise TrainingError(
                f"lora targets {lora.targets!r} fit no layer of this model ({str(error).splitlines()[0][:120]}); name its linear layers."
            ) from None
