"""Many LoRA fine-tunings of one model at once: tokens per second and memory, beside Hugging Face + PEFT one run after another in the same process.

Random weights of the shapes of real checkpoints; nothing is downloaded. Sections run one after the other, each within its own time and on its own
errors; what was measured is written after every line. Without a GPU, ``--cpu`` measures a small Llama, and ``--toy`` walks through every section
with shapes so tiny that the figures mean nothing.

    python tests/benchmarks/swarm_adapters.py --gpu --out results
    python tests/benchmarks/swarm_adapters.py --cpu --out results
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from causalmix_nb.proxies.adapters.adapter_swarm import AdapterSwarm
from causalmix_nb.proxies.adapters.memory import adapter_bytes, model_shape
from causalmix_nb.proxies.adapters.steps import AdamW, Feed, Recipe, fit_adapters, one_step
from causalmix_nb.proxies.huggingface.settings import Lora

SHAPES: dict[str, dict[str, Any]] = {
    "SmolLM2-135M": dict(
        kind="llama", vocab_size=49152, hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        intermediate_size=1536, max_position_embeddings=2048, tie_word_embeddings=True,
    ),
    "Qwen2.5-0.5B": dict(
        kind="qwen2", vocab_size=151936, hidden_size=896, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
        intermediate_size=4864, max_position_embeddings=2048, tie_word_embeddings=True,
    ),
    "Llama 5M": dict(
        kind="llama", vocab_size=8192, hidden_size=192, num_hidden_layers=6, num_attention_heads=6, num_key_value_heads=3,
        intermediate_size=640, max_position_embeddings=512, tie_word_embeddings=True,
    ),
    "toy": dict(
        kind="llama", vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=32, max_position_embeddings=64, tie_word_embeddings=True,
    ),
}  # fmt: skip
RANK = 16
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
STARTED = time.monotonic()
FIELDS = (
    "section", "shape", "way", "runs", "at_once", "tokens_per_second", "ratio", "compile_s", "used_gb", "predicted_gb", "off", "note",
)  # fmt: skip


class Book:
    """What was measured, written after every line."""

    def __init__(self, out: Path) -> None:
        self.out, self.rows = out, list[dict[str, Any]]()
        out.mkdir(parents=True, exist_ok=True)

    def add(self, **row: Any) -> None:
        row = {name: row.get(name, "") for name in FIELDS}
        self.rows.append(row)
        said = [
            f"{time.monotonic() - STARTED:5.0f}s",
            f"{row['section']:<8}",
            f"{row['shape']:<13}",
            f"{row['way']:<58}",
        ]
        said += [f"R={row['runs']:<4} b={row['at_once']:<3}"] if row["runs"] else []
        said += [f"{row['tokens_per_second']:>9,.0f} tok/s"] if row["tokens_per_second"] else []
        said += [f"{row['ratio']:5.2f}x"] if row["ratio"] else []
        said += [f"compile {row['compile_s']:.0f}s"] if row["compile_s"] else []
        said += (
            [f"{row['used_gb']:.2f} GB (said {row['predicted_gb']:.2f}, {row['off']:+.0%})"]
            if row["used_gb"] and row["predicted_gb"]
            else []
        )
        print(*said, row["note"], flush=True)
        (self.out / "swarm_adapters.json").write_text(json.dumps(self.rows, indent=1))
        with (self.out / "swarm_adapters.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(self.rows)


class Data:
    """Windows of one run: seeded random tokens, all learnt, or about half of them (``prompts``)."""

    def __init__(self, n: int, context: int, vocabulary: int, seed: int, prompts: bool = False) -> None:
        draw = np.random.default_rng(seed)
        self.windows = draw.integers(0, vocabulary, (n, context + 1), dtype=np.int64)
        self.masks = draw.random((n, context)) < (0.5 if prompts else 2.0)

    def __len__(self) -> int:
        return len(self.windows)

    def blocks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for i in range(0, len(self.windows), size):
            yield self.windows[i : i + size], self.masks[i : i + size]


def config_of(shape: str) -> Any:
    from transformers import AutoConfig

    fields = dict(SHAPES[shape])
    return AutoConfig.for_model(fields.pop("kind"), **fields)


def model_of(shape: str, dtype: torch.dtype, **changes: Any) -> Any:
    from transformers import AutoModelForCausalLM

    config = config_of(shape)
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    with torch.device(DEVICE):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.to(DEVICE, dtype)


def wait() -> None:
    if GPU:
        torch.cuda.synchronize()


def tidy() -> None:
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def used() -> float:
    if GPU:
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Stop what is inside after so many seconds."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(max(1, int(seconds)))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def short(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"


# -- peers -----------------------------------------------------------------------------------------------


def peer(shape: str, context: int, batch: int, half: bool, seconds: float, compiled: bool = False) -> float:
    """Tokens per second of Hugging Face + PEFT with one run: eager, autocast where the base is bfloat16, torch's fused AdamW."""
    from peft import LoraConfig, get_peft_model

    model = model_of(shape, torch.bfloat16 if half else torch.float32)
    model = get_peft_model(
        model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    if compiled:
        for block in model.get_base_model().model.layers:
            block.forward = torch.compile(block.forward, dynamic=False)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    windows = torch.from_numpy(Data(batch, context, config_of(shape).vocab_size, 0).windows).to(DEVICE)

    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16) if half else nullcontext():
            logits = model(input_ids=windows[:, :-1], use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return batch * context * rate_of(step, seconds)


def rate_of(step: Callable[[], None], seconds: float, least: int = 3) -> float:
    """Steps per second: the median of at least so many blocks of steps; the host runs ahead of the device within a block."""
    step()
    wait()
    before = time.perf_counter()
    step()
    wait()
    block = max(1, round(seconds / 4 / (time.perf_counter() - before)))
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < least or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        for _ in range(block):
            step()
        wait()
        times.append((time.perf_counter() - before) / block)
    return 1 / float(np.median(times))


# -- ours ------------------------------------------------------------------------------------------------


class Bench:
    """One swarm, measured as it is set."""

    def __init__(
        self,
        shape: str,
        n_runs: int,
        at_once: int,
        context: int,
        half: bool,
        parts: int = 2,
        prompts: bool = False,
        **options: Any,
    ) -> None:
        self.shape, self.at_once, self.context, self.half, self.parts = shape, at_once, context, half, parts
        compiled = options.pop("compile", False)
        self.checkpointing = options.pop("checkpointing", False)
        mode, self.fuse = options.pop("mode", None), options.get("fuse", True)
        self.swarm = AdapterSwarm(
            model_of(shape, torch.bfloat16 if half else torch.float32),
            n_runs,
            Lora(rank=RANK, alpha=2 * RANK),
            **options,
        )
        if compiled:
            self.swarm.compile(mode=mode, fullgraph=options.get("way") != "function")
        if self.checkpointing:
            self.swarm.checkpoint()
        self.recipe = Recipe(at_once * parts, at_once, context)
        vocabulary = self.swarm.model.config.vocab_size
        self.data = [Data(at_once * parts, context, vocabulary, run, prompts) for run in range(n_runs)]
        self.optimizer = AdamW(self.swarm, np.full((4096, n_runs), 1e-4), 1.0, 0.0)

    def step(self) -> None:
        feed = Feed(self.data, self.recipe, self.swarm)
        runs = list(range(self.swarm.n_runs))
        one_step(self.swarm, self.optimizer, feed.step(runs, [True] * len(runs)), self.recipe)

    def measure(self, seconds: float) -> dict[str, Any]:
        if GPU:
            torch.cuda.reset_peak_memory_stats()
        before = time.perf_counter()
        self.step()
        wait()
        first = time.perf_counter() - before
        if GPU:
            torch.cuda.reset_peak_memory_stats()
        before = time.perf_counter()
        self.step()
        wait()
        second = time.perf_counter() - before
        tokens = self.swarm.n_runs * self.recipe.per_step * self.context
        speed = tokens * rate_of(self.step, seconds)
        shape = model_shape(self.swarm.model.config, RANK, fuse=self.fuse)
        said = adapter_bytes(
            shape, self.swarm.n_runs, self.at_once, self.context, half=self.half, compiled=self.swarm.compiled is not None,
            checkpointing=self.checkpointing, on_gpu=GPU, loss_way=self.swarm.loss_way, chunk=self.swarm.chunk, fuse=self.fuse,
        ) / 1e9  # fmt: skip
        return {
            "shape": self.shape, "runs": self.swarm.n_runs, "at_once": self.at_once, "tokens_per_second": speed,
            "compile_s": max(0.0, first - second), "used_gb": used(), "predicted_gb": said, "off": said / used() - 1,
        }  # fmt: skip


def variants(
    book: Book, section: str, shape: str, half: bool, context: int, against: float, plan: list[tuple[str, dict[str, Any], list[Any]]],
    seconds: float, deadline: float, limit: float,
) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    """Measure a plan: (name, options of :class:`Bench`, [(loss_way, chunk), …]); returns the fastest line and its options."""
    best: dict[str, Any] = {"tokens_per_second": 0.0}
    settings: dict[str, Any] = {}
    for name, options, losses in plan:
        if time.monotonic() > deadline:
            print(f"{section}: no time left for {name}", flush=True)
            continue
        bench = None
        try:
            tidy()
            given = dict(options)
            backends = given.pop("attention", None)
            with within(limit), attention(backends):
                bench = Bench(shape, context=context, half=half, **given)
                for loss_way, chunk in losses:
                    bench.swarm.loss_way, bench.swarm.chunk = loss_way, chunk
                    line = bench.measure(seconds)
                    way = f"{name}; loss {loss_way}{f' {chunk}' if chunk else ''}"
                    ratio = line["tokens_per_second"] / against if against else ""
                    book.add(section=section, way=way, ratio=ratio, **line)
                    if line["tokens_per_second"] > best["tokens_per_second"] and not options.get("prompts"):
                        best = {**line, "way": way}
                        settings = {**options, "loss_way": loss_way, "chunk": chunk}
        except Exception as error:
            book.add(section=section, shape=shape, way=name, note=short(error))
            if not isinstance(error, (torch.OutOfMemoryError, TimeoutError)):
                traceback.print_exc(limit=-4)
        finally:
            if bench is not None:
                bench.swarm.gradient = None
            del bench
            torch._dynamo.reset()
            tidy()
    return best, settings


@contextmanager
def attention(name: str | None) -> Iterator[None]:
    """One backend of scaled dot product attention first."""
    if name is None:
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    order = [
        getattr(SDPBackend, name),
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.MATH,
    ]
    with sdpa_kernel(order, set_priority=True):
        yield


# -- sections --------------------------------------------------------------------------------------------


def correctness(book: Book, args: argparse.Namespace) -> None:
    """R together and each alone, in float32 and bfloat16; every way of the product and of the loss."""
    context, n, rates = 32, 4, [1e-3, 3e-3, 1e-3, 2e-3]
    shape = "toy" if args.toy else "Llama 5M"
    vocabulary = config_of(shape).vocab_size

    def train(runs: list[int], half: bool, compiled: bool = False, **options: Any) -> torch.Tensor:
        dtype = torch.bfloat16 if half else torch.float32
        model = model_of(shape, dtype, num_hidden_layers=2)
        swarm = AdapterSwarm(model, len(runs), Lora(rank=4, alpha=8), [10 + run for run in runs], **options)
        if compiled:
            swarm.compile()
        data = [Data(16, context, vocabulary, run, prompts=True) for run in runs]
        said: list[str] = []
        reasons = fit_adapters(
            swarm, data, [rates[run] for run in runs], Recipe(4, 2, context), say=said.append
        )
        if said or any(reasons):
            print("!", said, reasons, flush=True)
        return torch.stack(
            [torch.cat([w.flatten() for w in swarm.weights(run).values()]) for run in range(len(runs))]
        )

    def slopes(half: bool, compiled: bool = False, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss (1,) and gradients (R, P) of one batch, at adapters of which none is 0: what a way works out, before AdamW makes much of little.

        Rows of different ways are told apart by name, as layers that are fused lie elsewhere.
        """
        dtype = torch.bfloat16 if half else torch.float32
        swarm = AdapterSwarm(model_of(shape, dtype, num_hidden_layers=2), n, Lora(rank=4, alpha=8), **options)
        if compiled:
            swarm.compile()
        drawn = np.random.default_rng(3)
        for run in range(n):
            weights = {
                name: torch.from_numpy(drawn.normal(0, 0.05, tuple(w.shape)).astype(np.float32))
                for name, w in sorted(swarm.weights(run).items())
            }
            swarm.load(run, weights)
        feed = Feed(
            [Data(4, context, vocabulary, run, prompts=True) for run in range(n)],
            Recipe(4, 4, context),
            swarm,
        )
        ((windows, weights_of, rows),) = feed.step(list(range(n)), [True] * n)
        with torch.no_grad():
            loss = swarm.loss(windows, weights_of, rows).float().cpu()
        swarm.backward(windows, weights_of, rows)
        swarm.flat = swarm.gradients()  # read by the names of the adapters
        found = [swarm.weights(run) for run in range(n)]
        return loss, torch.stack([torch.cat([w[name].flatten() for name in sorted(w)]) for w in found])

    for half in (False, True):
        together = train(list(range(n)), half)
        alone = torch.cat([train([run], half) for run in range(n)])
        off = float((together - alone).abs().max())
        moved = float(together.abs().max())
        good = off < (
            3e-2 if half else 1e-4 if GPU else 1e-5
        )  # a GPU adds in another order for another shape
        kind = "bfloat16" if half else "float32"
        book.add(section="correct", shape=shape, way=f"{kind}: {n} together and alone",
                 note=f"differ by {off:.1e} (largest weight {moved:.2g}) {'ok' if good else 'WRONG'}")  # fmt: skip
        if half and not GPU:
            continue
        base_loss, base = slopes(half)
        near = 5e-2 if half else 1e-4  # rounding is 1e-2 and 1e-6 of a gradient; a wrong product is about 1
        for name, options in [
            ("op", {"way": "op"}), ("plain", {"way": "plain"}), ("not fused", {"fuse": False}),
            *[(f"loss {way}", {"loss_way": way}) for way in (("compiled", "triton") if GPU else ("compiled",))],
            ("op, block compiled", {"way": "op", "compiled": True}),
            ("op, block and loss compiled", {"way": "op", "compiled": True, "loss_way": "compiled"}),
        ]:  # fmt: skip
            try:
                with within(120):
                    loss, found = slopes(half, **options)
                off = float(((found - base).norm(dim=1) / base.norm(dim=1)).max())
                off_loss = float((loss - base_loss).abs() / base_loss.abs())
                good = off < near and off_loss < near
                book.add(section="correct", shape=shape, way=f"{kind}: {name}",
                         note=f"gradient differs by {off:.1e} of its norm, loss by {off_loss:.1e} {'ok' if good else 'WRONG'}")  # fmt: skip
            except Exception as error:
                book.add(section="correct", shape=shape, way=name, note=short(error))
                traceback.print_exc(limit=-4)


def smol(book: Book, args: argparse.Namespace) -> None:
    shape, context, half = ("toy", 16, False) if args.toy else ("SmolLM2-135M", 512, True)
    R, deadline = (2 if args.toy else 64), args.until("smol")
    base = against(book, "smol", shape, context, 8, half, args)
    c = None if args.toy else 4096
    full = {"way": "op", "compile": True}
    plan = [
        ("op, compiled", {"n_runs": R, "at_once": 2, **full}, [("compiled", c), ("triton", c), ("compiled", 2 * c if c else None)]),
        ("op, compiled, b=4", {"n_runs": R, "at_once": 4, **full}, [("compiled", c)]),
        ("op, compiled, cudnn attention", {"n_runs": R, "at_once": 2, "attention": "CUDNN_ATTENTION", **full}, [("compiled", c)]),
        ("plain, compiled", {"n_runs": R, "at_once": 2, "way": "plain", "compile": True}, [("compiled", c)]),
        ("function, not compiled", {"n_runs": R, "at_once": 2, "way": "function"}, [("eager", c), ("triton", c)]),
        ("op, compiled, b=1", {"n_runs": R, "at_once": 1, **full}, [("compiled", c), ("triton", 2 * c if c else None)]),
        ("op, compiled, half learnt", {"n_runs": R, "at_once": 2, "prompts": True, **full}, [("compiled", c)]),
        ("op, compiled", {"n_runs": 2 * R, "at_once": 1, **full}, [("compiled", c)]),
        ("op, compiled", {"n_runs": R // 2, "at_once": 4, **full}, [("compiled", c)]),
        ("op, compiled", {"n_runs": max(1, R // 4), "at_once": 8, **full}, [("compiled", c)]),
        ("function, compiled", {"n_runs": R, "at_once": 2, "way": "function", "compile": True}, [("compiled", c)]),
        ("op, not fused, compiled", {"n_runs": R, "at_once": 2, "fuse": False, **full}, [("compiled", c)]),
        ("op, compiled, recomputed", {"n_runs": R, "at_once": 4, "checkpointing": True, **full}, [("compiled", c)]),
    ]  # fmt: skip
    best, settings = variants(book, "smol", shape, half, context, base, plan, args.seconds, deadline, 75)
    args.best = (shape, half, context, settings)
    book.add(section="smol", shape=shape, way=f"BEST: {best.get('way')}", tokens_per_second=best["tokens_per_second"],
             ratio=best["tokens_per_second"] / base if base else "", runs=best.get("runs", ""), at_once=best.get("at_once", ""))  # fmt: skip


def memory(book: Book, args: argparse.Namespace) -> None:
    """What is stated and what is used, for widths and ways that the defaults choose, and for one that nothing was fitted to."""
    shape, context, half = ("toy", 16, False) if args.toy else ("SmolLM2-135M", 512, True)
    R, full = (2 if args.toy else 32), {"way": "op", "compile": True}
    plan = [
        ("op, compiled, as by default", {"n_runs": R, "at_once": 8, "parts": 1, **full}, [("triton" if GPU else "eager", None)]),
        ("op, not compiled", {"n_runs": R, "at_once": 4, "way": "op"}, [("triton" if GPU else "eager", None)]),
        ("op, not compiled, recomputed", {"n_runs": R, "at_once": 8, "parts": 1, "way": "op", "checkpointing": True}, [("eager", None)]),
    ]  # fmt: skip
    variants(book, "memory", shape, half, context, 0.0, plan, args.seconds, args.until("memory"), 60)


def study(book: Book, args: argparse.Namespace) -> None:
    """A chunk as a launch trains it, from a checkpoint on disk to recorded outcomes, beside the same runs one after another."""
    import tempfile

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from causalmix_nb.data.corpus import Corpus
    from causalmix_nb.data.pool import Pool
    from causalmix_nb.data.tokens import tokenise
    from causalmix_nb.design.simplex import RunSpec
    from causalmix_nb.proxies.adapters.runs import AdapterRuns, train_adapter_runs
    from causalmix_nb.proxies.huggingface.checkpoint import load_tokenizer
    from causalmix_nb.proxies.huggingface.cost import free_here, run_axis
    from causalmix_nb.proxies.huggingface.finetune import HFProxy, train_hf_runs
    from causalmix_nb.proxies.kinds.causal_lm import HFConfig
    from causalmix_nb.proxies.outcomes import Evaluator

    shape, context, budget, n = ("toy", 32, 1_000, 3) if args.toy else ("SmolLM2-135M", 512, 65_536, 64)
    draw = np.random.default_rng(0)
    words = ["".join(map(chr, draw.integers(97, 123, 6))) for _ in range(4_000)]

    def texts(part: list[str]) -> list[str]:
        return [" ".join(draw.choice(part, 200)) for _ in range(60 if args.toy else 1_500)]

    with tempfile.TemporaryDirectory() as folder:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer, backend.decoder = (
            pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel(),
        )  # fmt: skip
        from tokenizers import trainers

        backend.train_from_iterator(
            words, trainers.BpeTrainer(vocab_size=400, special_tokens=["<|end|>"], show_progress=False,
                                       initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
        )  # fmt: skip
        PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>").save_pretrained(folder)
        model_of(shape, torch.float32, **({"vocab_size": 400} if args.toy else {})).save_pretrained(folder)
        config = HFConfig(
            folder, context=context, batch=8, learning_rate=1e-3, lora=Lora(rank=RANK, alpha=2 * RANK),
            precision="bf16" if GPU else "no",
        )  # fmt: skip
        pool = Pool.from_dict({name: texts(words[i::3]) for i, name in enumerate("abc")})
        corpus = tokenise(Corpus.build(pool, Path(folder) / "data"), load_tokenizer(config))
        evaluate = Evaluator(corpus, context)
        specs = [RunSpec(tuple(draw.dirichlet([1, 1, 1])), budget, seed=run) for run in range(n)]
        tidy()
        width, at_once = run_axis(config, n)
        proxies = AdapterRuns(config)
        before, ours = time.perf_counter(), []
        for i in range(0, n, width):
            ours += train_adapter_runs(
                corpus,
                specs[i : i + width],
                proxies,
                evaluate,
                free=free_here(),
                say=print,
                ahead=(n - i) / width,
            )
        wait()
        seconds, most = time.perf_counter() - before, used()
        compiled, speed = proxies.swarm.compiled, n * budget / seconds
        proxies.swarm.release()
        del proxies
        tidy()
        before = time.perf_counter()
        theirs = train_hf_runs(corpus, specs[:2], HFProxy(config), evaluate)
        wait()
        alone = 2 * budget / (time.perf_counter() - before)
        bits = [(a.outcomes["bpb"], b.outcomes["bpb"]) for a, b in zip(ours, theirs)]
        spread = np.std([run.outcomes["bpb"] for run in ours])
        book.add(
            section="study", shape=shape, way=f"{n} runs x {budget:,} tokens, scored", runs=width, at_once=at_once, tokens_per_second=speed,
            ratio=speed / alone, used_gb=most,
            note=f"compiled: {compiled}; one after another {alone:,.0f} tok/s; bits per byte of the first two {bits[0][0]:.4f} {bits[1][0]:.4f}, "
            f"one after another {bits[0][1]:.4f} {bits[1][1]:.4f}, spread of all {spread:.4f}; {sum(r.reason is not None for r in ours)} failed",
        )  # fmt: skip


def qwen(book: Book, args: argparse.Namespace) -> None:
    shape, context, half = ("toy", 16, False) if args.toy else ("Qwen2.5-0.5B", 512, True)
    R, deadline = (2 if args.toy else 32), args.until("qwen")
    base = against(book, "qwen", shape, context, 8, half, args)
    full, c = {"way": "op", "compile": True}, None if args.toy else 2048
    plan = [
        ("op, compiled", {"n_runs": R, "at_once": 2, **full}, [("compiled", c), ("triton", c), ("triton", 2 * c if c else None)]),
        ("op, compiled", {"n_runs": R, "at_once": 4, **full}, [("compiled", c)]),
        ("op, compiled", {"n_runs": 2 * R, "at_once": 1, **full}, [("compiled", c)]),
        ("function, not compiled", {"n_runs": R, "at_once": 1, "way": "function"}, [("triton", c)]),
    ]  # fmt: skip
    best, _ = variants(book, "qwen", shape, half, context, base, plan, args.seconds, deadline, 75)
    book.add(section="qwen", shape=shape, way=f"BEST: {best.get('way')}", tokens_per_second=best["tokens_per_second"],
             ratio=best["tokens_per_second"] / base if base else "")  # fmt: skip


def cpu(book: Book, args: argparse.Namespace) -> None:
    shape, context, batch = ("toy", 16, 2) if args.toy else ("Llama 5M", 128, 4)
    deadline = args.until("cpu")
    torch.set_num_threads(args.threads or os.cpu_count() or 1)
    base = against(book, "cpu", shape, context, batch, False, args)
    plan = [
        (
            f"function, R={R}",
            {"n_runs": R, "at_once": b, "way": "function", "parts": batch // b},
            [("eager", None)],
        )
        for R, b in ((2, batch), (4, batch), (8, batch), (16, batch), (16, 1), (32, 1))
    ]
    plan += [
        (
            "op, compiled",
            {"n_runs": 8, "at_once": batch, "parts": 1, "way": "op", "compile": True},
            [("eager", None), ("compiled", None)],
        )
    ]
    best, _ = variants(book, "cpu", shape, False, context, base, plan, args.seconds, deadline, 240)
    book.add(section="cpu", shape=shape, way=f"BEST: {best.get('way')}", tokens_per_second=best["tokens_per_second"],
             ratio=best["tokens_per_second"] / base if base else "")  # fmt: skip


def against(
    book: Book, section: str, shape: str, context: int, batch: int, half: bool, args: argparse.Namespace
) -> float:
    """The peer's speed: the denominator of every ratio of a section."""
    speed = 0.0
    for compiled in (False, True) if GPU and section == "smol" else (False,):
        try:
            tidy()
            with within(60):
                found = peer(shape, context, batch, half, args.seconds, compiled)
            speed = speed or found
            way = f"Hugging Face + PEFT, one run, batch {batch}{', compiled block' if compiled else ''}"
            book.add(
                section=section,
                shape=shape,
                way=way,
                runs=1,
                at_once=batch,
                tokens_per_second=found,
                ratio=found / speed,
            )
        except Exception as error:
            book.add(section=section, shape=shape, way="Hugging Face + PEFT", note=short(error))
            traceback.print_exc(limit=-4)
    tidy()
    return speed


def launch(book: Book, args: argparse.Namespace) -> None:
    """A group of runs from nothing to their last score, and what 512 runs of 100k tokens would take so."""
    shape, half, context, settings = getattr(args, "best", ("toy", False, 16, {}))
    settings = dict(settings) or {
        "n_runs": 2 if args.toy else 64,
        "at_once": 2,
        "way": "op",
        "compile": not args.toy,
        "loss_way": "compiled",
    }
    if not getattr(args, "best", None) and not args.toy:
        shape, half, context = "SmolLM2-135M", True, 512
    R, budget = settings["n_runs"], 64 if args.toy else 100_000
    per_step = max(8, settings["at_once"])
    n = max(1, round(budget / (per_step * context))) * per_step
    vocabulary = config_of(shape).vocab_size
    tidy()
    started = time.perf_counter()
    with attention(settings.get("attention")):
        model = model_of(shape, torch.bfloat16 if half else torch.float32)
        loss_way, chunk = settings.get("loss_way", "eager"), settings.get("chunk")
        options = {name: settings[name] for name in ("way", "fuse") if name in settings}
        swarm = AdapterSwarm(
            model, R, Lora(rank=RANK, alpha=2 * RANK), loss_way=loss_way, chunk=chunk, **options
        )
        if settings.get("compile"):
            swarm.compile()
        made = time.perf_counter()
        data = [Data(n, context, vocabulary, run) for run in range(R)]
        drawn = time.perf_counter()
        reasons = fit_adapters(
            swarm, data, [1e-4] * R, Recipe(per_step, settings["at_once"], context), say=print
        )
        wait()
        trained = time.perf_counter()
        held = torch.from_numpy(Data(8 if args.toy else 64, context, vocabulary, 99).windows)
        swarm.token_losses(held[:1].to(DEVICE).expand(R, 1, context + 1))  # what scores is compiled
        wait()
        before = time.perf_counter()
        for i in range(0, len(held), 8):
            some = held[i : i + 8].to(DEVICE)
            scores = swarm.token_losses(some.expand(R, *some.shape)).mean((1, 2))
        wait()
        scored = time.perf_counter()
    tokens = R * n * context
    groups = -(-512 // R)
    whole = groups * (trained - drawn) + made - started
    book.add(
        section="launch", shape=shape, way=f"{R} runs x {n * context:,} tokens", runs=R, at_once=settings["at_once"],
        tokens_per_second=tokens / (trained - drawn),
        note=f"made {made - started:.1f} s, trained {trained - drawn:.1f} s, scored {len(held)} windows a run in {scored - before:.1f} s "
        f"(mean loss {float(scores.mean()):.2f}), {sum(r is not None for r in reasons)} diverged; 512 runs: {whole:.0f} s",
    )  # fmt: skip


def profile(book: Book, args: argparse.Namespace) -> None:
    """Where the time of the best setting goes."""
    shape, half, context, settings = getattr(args, "best", ("toy", False, 16, {}))
    if not settings:
        settings = {"n_runs": 2, "at_once": 1, "way": "op"}
        shape, half, context = ("toy", False, 16) if args.toy or not GPU else ("SmolLM2-135M", True, 512)
        if GPU and not args.toy:
            settings = {
                "n_runs": 64,
                "at_once": 2,
                "way": "op",
                "compile": True,
                "loss_way": "compiled",
                "chunk": 4096,
            }
    given = dict(settings)
    tidy()
    with attention(given.pop("attention", None)):
        bench = Bench(shape, context=context, half=half, **{**given, "parts": 1})
        for _ in range(3):
            bench.step()
        wait()
        from torch.profiler import ProfilerActivity
        from torch.profiler import profile as watch

        kinds = [ProfilerActivity.CUDA] if GPU else [ProfilerActivity.CPU]
        with watch(activities=kinds) as found:
            bench.step()
            wait()
    rows = found.key_averages()
    key = "self_device_time_total" if GPU else "self_cpu_time_total"
    total = sum(getattr(row, key) for row in rows) or 1
    lines = [f"{'share':>7} {'ms':>9} {'calls':>6}  kernel"]
    for row in sorted(rows, key=lambda row: -getattr(row, key))[:32]:
        lines.append(
            f"{getattr(row, key) / total:7.1%} {getattr(row, key) / 1e3:9.2f} {row.count:6d}  {row.key[:110]}"
        )
    text = "\n".join(lines)
    (book.out / "swarm_adapters_profile.txt").write_text(text + "\n")
    tokens = bench.swarm.n_runs * bench.recipe.per_step * context
    print(f"one part of a step, {tokens:,} tokens, {total / 1e3:.1f} ms of kernels:\n{text}", flush=True)


SECTIONS: dict[str, tuple[Callable[[Book, argparse.Namespace], None], float]] = {
    "correct": (correctness, 60), "smol": (smol, 170), "profile": (profile, 30), "qwen": (qwen, 80), "launch": (launch, 45), "cpu": (cpu, 400),
    "memory": (memory, 60), "study": (study, 90),
}  # fmt: skip  # name -> what it does, the seconds it may take


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--gpu", action="store_true", help="sections correct, smol, profile, qwen, launch")
    p.add_argument("--cpu", action="store_true", help="sections correct and cpu")
    p.add_argument("--toy", action="store_true", help="tiny shapes: only to see that it runs")
    p.add_argument("--sections", nargs="+", choices=list(SECTIONS))
    p.add_argument("--out", type=Path, default=Path("swarm_adapters"))
    p.add_argument("--seconds", type=float, default=1.5, help="that one line is measured for")
    p.add_argument("--scale", type=float, default=1.0, help="times the seconds that each section may take")
    p.add_argument("--threads", type=int)
    p.add_argument("--no-compile", action="store_true", help="take the compiler's part out of every line")
    args = p.parse_args()
    if args.no_compile:  # what is decorated stays as it is
        torch.compile = lambda function, **_: function
    if args.gpu and not GPU and not args.toy:
        raise SystemExit("there is no GPU here; use --cpu, or --toy to see that it runs")
    global DEVICE
    if args.cpu and not args.gpu:
        DEVICE = torch.device("cpu")
    args.seconds = 0.02 if args.toy else args.seconds
    names = args.sections or (
        ["correct", "cpu"]
        if args.cpu and not args.gpu
        else ["correct", "smol", "profile", "qwen", "launch", "memory", "study"]
    )
    if args.toy and not args.sections:
        names = list(SECTIONS)
    book = Book(args.out)
    name = (
        torch.cuda.get_device_name()
        if GPU
        else f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads"
    )
    import transformers

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    book.add(section="where", way=f"{name}; {versions}"[:120], note=f"sections {' '.join(names)}")
    for section in names:
        run, limit = SECTIONS[section]
        limit *= args.scale
        ends = {section: time.monotonic() + 0.85 * limit}
        args.until = ends.__getitem__
        try:
            with (
                within(limit + 60)
                if section not in ("correct", "smol", "qwen", "cpu", "memory")
                else nullcontext()
            ):
                run(book, args)
        except Exception as error:
            book.add(section=section, way=section, note=short(error))
            traceback.print_exc(limit=-5)
        tidy()
    print(f"{time.monotonic() - STARTED:.0f} s in all; {args.out}/swarm_adapters.csv", flush=True)


if __name__ == "__main__":
    main()
