"""R LoRA adapters over one frozen model: a run axis for any causal language model that transformers loads.

The frozen weights multiply the tokens of all runs at once; what a run has of its own, two thin matrices a layer, is a batched product
over the run axis. Sequences of R runs stand one run after the other in the model's batch, (R·B, T), and the model's own code does the rest.
Nothing mixes runs, so a run's result does not depend on its neighbours beyond rounding.

Notable choices: layers that read the same input (q, k, v; gate and up) are one product, as is the low-rank part of them; the low-rank product
is added into the base's where it lies, by a product that accumulates; adapters are float32 and lie in one matrix (R, P), a row a run, so that
clipping, AdamW and leaving are a few operations on rows; the frozen base trains without dropout, as runs are to differ by their data alone.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.adapters.loss import (
    LOSSES,
    Head,
    chunk_rows,
    head_of,
    linear_cross_entropy,
    plain_loss,
    token_cross_entropy,
    token_likeliest,
)
from causalmix_nb.proxies.adapters.sites import Leaf, attach, decoder_blocks, targeted

if TYPE_CHECKING:
    import torch

    from causalmix_nb.proxies.huggingface.settings import Lora

WAYS = ("function", "op", "plain")
EVALUATED_AT_ONCE = 2**16  # tokens of all runs together that are scored at once on a GPU
ON_CPU = 2**12  # the same on a CPU: more do not fit its cache
TOLERANCE = {
    "float32": 1e-3,
    "bfloat16": 0.1,
    "float16": 0.05,
}  # of logits, relative to their size, in the check of a model


class AdapterSwarm:
    """R LoRA adapters that train at once over one frozen model; to an evaluator, a swarm of R runs.

    The model is changed in place: its linear layers get adapters until :meth:`release`.

    Parameters
    ----------
    model: of ``AutoModelForCausalLM``, on its device and in the precision of the products.
    n_runs: R.
    lora: rank, alpha and the layers that get adapters, as PEFT understands them.
    seeds: of the first values, one for all runs or one for each; a run starts as PEFT would start it after ``torch.manual_seed(seed)``.
    way: "function" – products by an autograd function; "op" – the same as an operator that the compiler leaves whole; "plain" – by autograd.
    fuse: whether layers that read the same input are one product.
    chunk, loss_way: tokens whose logits are worked out at once, and how (:data:`causalmix_nb.proxies.adapters.loss.LOSSES`).

    Raises
    ------
    TrainingError: targets that fit no linear layer, or a model whose layers do not keep the tokens of runs apart.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> from causalmix_nb import Lora
    >>> shape = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    >>> swarm = AdapterSwarm(LlamaForCausalLM(shape), 3, Lora(rank=2))
    >>> swarm.flat.shape[0], len(swarm.names)
    (3, 7)
    """

    def __init__(
        self,
        model: Any,
        n_runs: int,
        lora: Lora,
        seeds: int | Sequence[int] = 0,
        *,
        way: str = "function",
        fuse: bool = True,
        chunk: int | None = None,
        loss_way: str = "eager",
    ) -> None:
        if way not in WAYS:
            raise TrainingError(f"way is {way!r}; use one of {', '.join(WAYS)}.")
        if loss_way not in LOSSES:
            raise TrainingError(f"loss_way is {loss_way!r}; use one of {', '.join(LOSSES)}.")
        self.model, self.lora, self.n_runs, self.chunk, self.loss_way = model, lora, n_runs, chunk, loss_way
        self.names = targeted(model, lora.targets)
        self._was = {p: p.requires_grad for p in model.parameters()}
        self._training = model.training
        model.requires_grad_(False)
        model.eval()
        self.sites, self._detach = attach(model, self.names, lora, way, fuse)
        self._hook = model.get_input_embeddings().register_forward_hook(_with_gradient)
        self.device, self.dtype = self.sites[0].weight.device, self.sites[0].weight.dtype
        self.leaves: list[Leaf] = []
        self.n_weights = 0  # P, of one run
        for site in self.sites:
            for leaf in site.leaves(lora.rank):
                self.leaves.append(leaf.at(self.n_weights))
                self.n_weights += leaf.room
        self.compiled: str | None = None
        self.recomputes = False  # whether blocks are worked out again on the way back
        self._blocks = decoder_blocks(model, self.sites)
        self._set(self._first(seeds))
        try:
            self.head: Head | None = head_of(model)
            self._check()
        except BaseException:
            self.release()
            raise

    # -- adapters ----------------------------------------------------------------------------------------

    def _first(self, seeds: int | Sequence[int]) -> torch.Tensor:
        """First values (R, P), drawn as PEFT draws them."""
        import torch

        each = [seeds] * self.n_runs if isinstance(seeds, int) else list(seeds)
        if len(each) != self.n_runs:
            raise TrainingError(
                f"{len(each)} seeds were given for {self.n_runs} runs; give one, or one for each."
            )
        places = {name: (site, i) for site in self.sites for i, name in enumerate(site.names)}
        rows = {}
        for seed in dict.fromkeys(each):
            rows[seed] = row = torch.zeros(self.n_weights)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                for name in self.names:
                    site, i = places[name]
                    first = torch.nn.Linear(site.n_in, self.lora.rank, bias=False)
                    torch.nn.Linear(self.lora.rank, site.sizes[i], bias=False)
                    torch.nn.init.kaiming_uniform_(first.weight, a=5**0.5)
                    self._part(row, name, "A").copy_(first.weight.detach())
        order = list(rows)
        flat = torch.stack([rows[seed] for seed in order]).to(self.device)
        return flat[torch.as_tensor([order.index(seed) for seed in each], device=self.device)]

    def _part(self, row: torch.Tensor, name: str, which: str) -> torch.Tensor:
        """The matrix A (r, in) or B (out, r) of one layer, a view into a row (P,)."""
        leaf = next(leaf for leaf in self.leaves if name in leaf.names and leaf.which == which)
        matrix = row[leaf.offset : leaf.offset + leaf.size].view(leaf.shape)
        if which == "A":  # (in, k·r): those of the layers of a site stand side by side
            i, r = leaf.names.index(name), self.lora.rank
            matrix = matrix[:, i * r : (i + 1) * r]
        return matrix.t()

    def _set(self, flat: torch.Tensor) -> None:
        """Take rows (R, P) as the adapters of R runs."""
        import torch

        self.flat, self.n_runs = flat, len(flat)
        self.gradient: torch.Tensor | None = None
        for leaf in self.leaves:
            view = flat[:, leaf.offset : leaf.offset + leaf.size].view(-1, *leaf.shape)
            setattr(leaf.site, leaf.attribute, torch.nn.Parameter(view))

    def set_runs(self, flat: torch.Tensor) -> None:
        """Go on with other adapters (R', P), of as many runs as there are rows."""
        self._set(flat)

    def restart(self, n_runs: int, seeds: int | Sequence[int] = 0) -> None:
        """R new adapters, as the class makes them."""
        self.n_runs = n_runs
        self._set(self._first(seeds))

    def alone(self) -> list[OneAdapter]:
        """Every run as a proxy of its own."""
        return [OneAdapter(self, run) for run in range(self.n_runs)]

    @contextmanager
    def only(self, run: int) -> Iterator[AdapterSwarm]:
        """Inside, this is a swarm of one of its runs."""
        flat = self.flat
        self._set(flat[run : run + 1])
        try:
            yield self
        finally:
            self._set(flat)

    def gradients(self) -> torch.Tensor:
        """The gradients (R, P) of what :meth:`backward` has added up since they were last set to 0."""
        import torch

        if self.gradient is None:
            self.gradient = torch.zeros_like(self.flat)
            for leaf in self.leaves:
                view = self.gradient[:, leaf.offset : leaf.offset + leaf.size].view(-1, *leaf.shape)
                getattr(leaf.site, leaf.attribute).grad = view
        return self.gradient

    def weights(self, run: int) -> dict[str, torch.Tensor]:
        """A run's adapters, on the CPU, under PEFT's names."""
        row = self.flat[run].detach().cpu()
        return {
            f"base_model.model.{name}.lora_{which}.weight": self._part(row, name, which).contiguous()
            for name in self.names
            for which in "AB"
        }

    def load(self, run: int, weights: Mapping[str, torch.Tensor]) -> None:
        """Set a run's adapters to those of :meth:`weights`, or of a PEFT model."""
        import torch

        found = {name.replace(".default.weight", ".weight"): w for name, w in weights.items()}
        wanted = {f"base_model.model.{name}.lora_{which}.weight" for name in self.names for which in "AB"}
        if wanted != found.keys():
            odd = sorted(wanted ^ found.keys())
            raise TrainingError(f"these are not the adapters of this model: {odd[0]} is in one of them only.")
        with torch.no_grad():
            for name in self.names:
                for which in "AB":
                    part = self._part(self.flat[run], name, which)
                    given = found[f"base_model.model.{name}.lora_{which}.weight"]
                    if part.shape != given.shape:
                        raise TrainingError(
                            f"lora_{which} of {name} has the shape {tuple(given.shape)}; {tuple(part.shape)} was expected."
                        )
                    part.copy_(given)

    def save(self, run: int, folder: Path | str) -> Path:
        """Write one run's adapters so that ``PeftModel.from_pretrained(model, folder)`` loads them."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": self.lora.rank, "lora_alpha": self.lora.alpha,
            "lora_dropout": 0.0, "bias": "none", "inference_mode": True, "target_modules": sorted(self.names),
            "fan_in_fan_out": any(site.transposed for site in self.sites),
            "base_model_name_or_path": getattr(self.model.config, "_name_or_path", "") or None,
        }  # fmt: skip
        save_file(self.weights(run), str(folder / "adapter_model.safetensors"), {"format": "pt"})
        (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
        return folder

    # -- the model ---------------------------------------------------------------------------------------

    def compile(self, mode: str | None = None, fullgraph: bool = True) -> None:
        """Compile the decoder's block; all layers share what is compiled (about ten seconds, when the first step is taken)."""
        import torch

        self._plain()
        for block in self._blocks:
            block.forward = torch.compile(block.forward, dynamic=False, fullgraph=fullgraph, mode=mode)
        self.compiled = mode or "default"
        if self.recomputes:
            self.checkpoint()

    def uncompile(self) -> None:
        """Go back to the model's own blocks."""
        self._plain()
        if self.recomputes:
            self.checkpoint()

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Inside, the model's own blocks work."""
        held = [(block, block.__dict__.pop("forward", None)) for block in self._blocks]
        try:
            yield
        finally:
            for block, forward in held:
                if forward is not None:
                    block.forward = forward

    def checkpoint(self) -> None:
        """Recompute every block in the backward pass: less memory, a third slower."""
        from torch.utils.checkpoint import checkpoint

        self.recomputes = True
        for block in self._blocks:
            inner = block.forward

            def again(*args: Any, inner: Callable = inner, **options: Any) -> Any:
                return checkpoint(inner, *args, use_reentrant=False, **options)

            block.forward = again

    def _plain(self) -> None:
        for block in self._blocks:
            block.__dict__.pop("forward", None)
        self.compiled = None

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """The last hidden states (R·B, T, d) of sequences (R, B, T)."""
        out = self.model.base_model(input_ids=tokens.flatten(0, 1), use_cache=False)
        return out.last_hidden_state if hasattr(out, "last_hidden_state") else out[0]

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (R, B, T, vocabulary) of sequences (R, B, T), in float32."""
        return (
            self.model(input_ids=tokens.flatten(0, 1), use_cache=False).logits.float().view(*tokens.shape, -1)
        )

    def loss(
        self, windows: torch.Tensor, weights: torch.Tensor, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The weighted sum of the cross-entropies of next tokens, over all runs.

        Parameters
        ----------
        windows: (R, B, T + 1), of the device, int64.
        weights: of their targets (R·B·T,), or of the targets at ``rows``, float32; 0 where nothing is learnt.
        rows: positions of learnt targets among the R·B·T; without it, all.
        """
        tokens, targets = windows[..., :-1], windows[..., 1:].reshape(-1)
        if self.head is None:
            return plain_loss(self.logits(tokens).flatten(0, 2), targets, weights, rows)
        hidden = self.hidden(tokens).flatten(0, 1)
        return linear_cross_entropy(hidden, self.head, targets, weights, rows, self.chunk, self.loss_way)

    def backward(
        self, windows: torch.Tensor, weights: torch.Tensor, rows: torch.Tensor | None = None
    ) -> None:
        """Add the gradient of :meth:`loss` to :meth:`gradients`."""
        self.gradients()
        with (
            warnings.catch_warnings()
        ):  # rows of one matrix are no layout that torch expects of a gradient; it works
            warnings.filterwarnings("ignore", "grad and param do not obey", UserWarning)
            self.loss(windows, weights, rows).backward()

    @property
    def row_block(self) -> int:
        """Learnt tokens come in multiples of it, where shapes must not change (a compiled loss on a GPU)."""
        return 1 if self.head is None or self.loss_way == "eager" else chunk_rows(self.head, self.chunk)

    # -- what an evaluator asks --------------------------------------------------------------------------

    def token_losses(self, windows: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of every next token in nats; windows (R, n, L + 1) -> (R, n, L)."""
        windows = windows.to(self.device).long()
        return self._by_rows(windows[..., :-1], windows[..., 1:])

    def likeliest(self, tokens: torch.Tensor) -> torch.Tensor:
        """The most likely next token after each; tokens (R, n, L) -> (R, n, L)."""
        return self._by_rows(tokens.to(self.device).long(), None)

    def _by_rows(self, tokens: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
        import torch

        most = ON_CPU if self.device.type == "cpu" else EVALUATED_AT_ONCE
        at_once = max(1, most // (self.n_runs * tokens.shape[-1]))
        answers = []
        with torch.no_grad():
            for i in range(0, tokens.shape[1], at_once):
                some = tokens[:, i : i + at_once].contiguous()
                asked = None if targets is None else targets[:, i : i + at_once].reshape(-1)
                if self.head is None:
                    logits = self.logits(some).flatten(0, 2)
                    if asked is None:
                        found = logits.argmax(-1)
                    else:
                        found = torch.nn.functional.cross_entropy(logits, asked, reduction="none")
                elif asked is None:
                    found = token_likeliest(self.hidden(some).flatten(0, 1), self.head, self.chunk)
                else:
                    hidden, compiled = self.hidden(some).flatten(0, 1), self.loss_way == "compiled"
                    found = token_cross_entropy(hidden, self.head, asked, self.chunk, compiled)
                answers.append(found.view(some.shape))
        return torch.cat(answers, 1)

    # -- inside ------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """On a few tokens: the head gives the model's own logits, and runs together are what each is alone."""
        import torch

        flat, n = self.flat, getattr(self.model.config, "vocab_size", 16)
        draw = torch.Generator().manual_seed(0)
        trial = torch.randn(2, self.n_weights, generator=draw).mul_(0.1).to(self.device)
        tokens = torch.randint(0, n, (2, 2, 6), generator=draw).to(self.device)
        near = TOLERANCE[str(self.dtype).removeprefix("torch.")]
        try:
            with torch.no_grad():
                self._set(trial)
                together = self.logits(tokens)
                for site in self.sites:
                    site.settle()
                size = together.abs().max().clamp(min=1e-6)
                if self.head is not None:
                    own = self.head.logits(self.hidden(tokens).flatten(0, 1)).view(together.shape)
                    if not bool((own - together).abs().max() <= near * size):
                        self.head = None  # a head of its own kind: the model's own logits are taken
                apart = True
                for run in (0, 1):
                    self._set(trial[run : run + 1])
                    alone = self.logits(tokens[run : run + 1])[0]
                    apart &= bool((alone - together[run]).abs().max() <= near * size)
        except (RuntimeError, ValueError, IndexError) as error:
            raise TrainingError(
                f"a {self.model.config.model_type} model does not train by a run axis "
                f"({(str(error).splitlines() or [''])[0][:120]}); its runs train one after another."
            ) from None
        finally:
            self._set(flat)
        if not apart:
            raise TrainingError(
                f"the layers of a {self.model.config.model_type} model mix the sequences of a batch; its runs train one after another."
            )

    def release(self) -> Any:
        """Give the model back as it was."""
        self._plain()
        self._hook.remove()
        self._detach()
        for parameter, wanted in self._was.items():
            parameter.requires_grad_(wanted)
        self.model.train(self._training)
        return self.model


class OneAdapter:
    """One run of a swarm, as a score of one's own is given it: to be asked while the swarm holds this run."""

    n_runs = 1

    def __init__(self, swarm: AdapterSwarm, run: int) -> None:
        self._swarm, self._run, self.device = swarm, run, swarm.device

    def token_losses(self, windows: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of every next token in nats; windows (1, n, L + 1) -> (1, n, L)."""
        with self._swarm.only(self._run) as swarm:
            return swarm.token_losses(windows)

    def likeliest(self, tokens: torch.Tensor) -> torch.Tensor:
        """The most likely next token after each; tokens (1, n, L) -> (1, n, L)."""
        with self._swarm.only(self._run) as swarm:
            return swarm.likeliest(tokens)

    def weights(self) -> dict[str, torch.Tensor]:
        """The run's adapters, on the CPU, under PEFT's names."""
        return self._swarm.weights(self._run)


def _with_gradient(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
    """Let the first block look to the compiler like all others: what it reads has a gradient."""
    import torch

    return output.requires_grad_(True) if torch.is_grad_enabled() and output.is_leaf else output
