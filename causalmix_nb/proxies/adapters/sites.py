"""Where adapters sit in a model, and the product of a linear layer with them: x W + (x A_r) B_r, for all runs r at once.

A site is a linear layer, or several that read the same input and then are one product. While a model has its adapters, every layer of a site is
replaced by a member that asks the site; the first one asked computes for all, the others take what is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Optional

from causalmix_nb.errors import TrainingError

if TYPE_CHECKING:
    import torch

    from causalmix_nb.proxies.huggingface.settings import Lora

SIBLINGS = (
    ("q_proj", "k_proj", "v_proj"),
    ("gate_proj", "up_proj"),
)  # layers of one module that read the same input
ALIGNED = 8  # numbers: matrices of a row start at multiples of it, for wide loads


@dataclass(frozen=True, slots=True)
class Leaf:
    """One trained matrix of a site: its place in a run's row. shape: (in, k·r) of A, (r, out) of a B. names: of the layers it belongs to."""

    site: Any
    attribute: str
    which: str
    names: tuple[str, ...]
    shape: tuple[int, int]
    offset: int = 0

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def room(self) -> int:
        return -(-self.size // ALIGNED) * ALIGNED

    def at(self, offset: int) -> Leaf:
        return replace(self, offset=offset)


def targeted(model: Any, targets: str | Sequence[str]) -> list[str]:
    """Names of the layers that get adapters, in the model's order, as PEFT chooses them.

    Raises
    ------
    TrainingError: targets that fit no layer, or one that is no linear layer.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    names = []
    for name, module in model.named_modules():
        linear = isinstance(module, (nn.Linear, Conv1D))
        if targets == "all-linear":
            wanted = linear and module is not head
        elif isinstance(targets, str):
            wanted = re.fullmatch(targets, name) is not None
        else:
            wanted = any(name == t or name.endswith(f".{t}") for t in targets)
        if not wanted:
            continue
        if not linear or module is head or type(module) not in (nn.Linear, Conv1D):
            raise TrainingError(
                f"lora targets {targets!r} name {name}, which is no plain linear layer inside the model; name linear layers."
            )
        names.append(name)
    if not names:
        raise TrainingError(f"lora targets {targets!r} fit no layer of this model; name its linear layers.")
    return names


def layer_sizes(layer: Any) -> tuple[int, int]:
    """What enters and what leaves a linear layer."""
    n_in, n_out = layer.weight.shape
    return (n_out, n_in) if hasattr(layer, "in_features") else (n_in, n_out)


def attach(
    model: Any, names: Sequence[str], lora: Lora, way: str, fuse: bool = True
) -> tuple[list[Any], Callable[[], None]]:
    """Put members of sites in place of the named layers; returns the sites and a function that puts the layers back."""
    Site, Member = classes()
    parents: dict[str, list[str]] = {}
    for name in names:
        parent, _, own = name.rpartition(".")
        parents.setdefault(parent, []).append(own)
    sites, back = [], []
    for parent, owns in parents.items():
        holder = model.get_submodule(parent)
        for group in groups(holder, owns) if fuse else [[own] for own in owns]:
            full = tuple(f"{parent}.{own}" if parent else own for own in group)
            layers = [getattr(holder, own) for own in group]
            site = Site(full, layers, lora, way)
            sites.append(site)
            for i, (own, layer) in enumerate(zip(group, layers)):
                setattr(holder, own, Member(site, i))
                back.append((holder, own, layer))

    def detach() -> None:
        for holder, own, layer in back:
            setattr(holder, own, layer)

    return sites, detach


def groups(holder: Any, owns: Sequence[str]) -> list[list[str]]:
    """Layers of one module, by the site that they become: those that read the same input together."""
    from torch import nn

    left, found = list(owns), []
    for siblings in SIBLINGS:
        layers: list[Any] = [getattr(holder, own, None) for own in siblings]
        if not all(own in left for own in siblings) or not all(type(x) is nn.Linear for x in layers):
            continue
        if len({(x.in_features, x.bias is None, x.weight.dtype, x.weight.device) for x in layers}) == 1:
            found.append(list(siblings))
            left = [own for own in left if own not in siblings]
    return found + [[own] for own in left]


def decoder_blocks(model: Any, sites: Sequence[Any]) -> list[Any]:
    """The blocks of a decoder: the elements of the longest list of modules in which adapters sit."""
    import torch

    lists: list[Any] = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    held = {id(site) for site in sites}
    lists = [m for m in lists if any(id(inner) in held for block in m for inner in block.modules())]
    return list(max(lists, key=lambda blocks: len(list(blocks)))) if lists else []


# -- the product -----------------------------------------------------------------------------------------


def forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, a: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """x (R·B, T, in), weight (out, in), a (R, in, k), b (R, k, out) -> y (R·B, T, out), z = x A (R, B·T, k)."""
    import torch

    y = torch.nn.functional.linear(x, weight, bias)
    z = torch.bmm(x.reshape(len(a), -1, x.shape[-1]), a)
    y.view(len(a), -1, y.shape[-1]).baddbmm_(z, b)
    return y, z


def backward(
    g: torch.Tensor, x: torch.Tensor, z: torch.Tensor, weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of x, a and b from that of y."""
    import torch

    n = len(a)
    flat = g.reshape(-1, g.shape[-1])  # (R·B·T, out)
    runs = flat.view(n, -1, g.shape[-1])
    of_z = torch.bmm(runs, b.transpose(1, 2))
    of_b = torch.bmm(z.transpose(1, 2), runs)
    of_a = torch.bmm(x.reshape(n, -1, x.shape[-1]).transpose(1, 2), of_z)
    of_x = flat @ weight
    of_x.view(n, -1, x.shape[-1]).baddbmm_(of_z, a.transpose(1, 2))
    return of_x.view(x.shape), of_a, of_b


@lru_cache(maxsize=1)
def products() -> dict[str, Callable]:
    """The product with its derivative, in the ways of :data:`causalmix_nb.proxies.adapters.adapter_swarm.WAYS`: (x, weight, bias, a, b) -> y."""
    import torch
    from torch import Tensor

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, bias, a, b):  # type: ignore[override]
            y, z = forward(x, weight, bias, a, b)
            ctx.save_for_backward(x, z, weight, a, b)
            return y

        @staticmethod
        def backward(ctx, g):  # type: ignore[override]
            of_x, of_a, of_b = backward(g, *ctx.saved_tensors)
            return of_x, None, None, of_a, of_b

    def of_op(x, weight, bias, a, b):  # type: ignore[no-untyped-def]
        return forward(x, weight, bias, a, b)

    def of_back(g, x, z, weight, a, b):  # type: ignore[no-untyped-def]
        return backward(g, x, z, weight, a, b)

    # The compiler reads types from annotations, which are strings in this module.
    of_op.__annotations__ = {
        "x": Tensor, "weight": Tensor, "bias": Optional[Tensor], "a": Tensor, "b": Tensor,  # noqa: UP045
        "return": tuple[Tensor, Tensor],
    }  # fmt: skip
    of_back.__annotations__ = {
        **{name: Tensor for name in ("g", "x", "z", "weight", "a", "b")}, "return": tuple[Tensor, Tensor, Tensor],
    }  # fmt: skip
    op = torch.library.custom_op("causalmix::adapted", of_op, mutates_args=())
    back = torch.library.custom_op("causalmix::adapted_backward", of_back, mutates_args=())

    def looks(x, weight, bias, a, b):  # type: ignore[no-untyped-def]
        rows = x.numel() // x.shape[-1]
        return x.new_empty(*x.shape[:-1], weight.shape[0]), x.new_empty(len(a), rows // len(a), a.shape[-1])

    op.register_fake(looks)
    back.register_fake(
        lambda g, x, z, weight, a, b: (
            x.new_empty(x.shape), a.new_empty(a.shape), b.new_empty(b.shape)
        )
    )  # fmt: skip

    def keep(ctx, inputs, output):  # type: ignore[no-untyped-def]
        x, weight, _, a, b = inputs
        ctx.save_for_backward(x, output[1], weight, a, b)

    def derive(ctx, g, _):  # type: ignore[no-untyped-def]
        of_x, of_a, of_b = back(g, *ctx.saved_tensors)
        return of_x, None, None, of_a, of_b

    op.register_autograd(derive, setup_context=keep)

    def plain(x, weight, bias, a, b):  # type: ignore[no-untyped-def]
        y = torch.nn.functional.linear(x, weight, bias)
        z = torch.bmm(x.reshape(len(a), -1, x.shape[-1]), a)
        return torch.baddbmm(y.view(len(a), -1, y.shape[-1]), z, b).view(y.shape)

    return {"function": Product.apply, "op": lambda *args: op(*args)[0], "plain": plain}


@lru_cache(maxsize=1)
def classes() -> tuple[Any, Any]:
    """The modules: a site, and its member that stands in a layer's place."""
    import torch
    from torch import nn

    class Site(nn.Module):
        """One product for layers that read the same input; a (R, in, k·r), b0… (R, r, out)."""

        weight: torch.Tensor
        bias: torch.Tensor | None
        a: torch.Tensor
        b0: torch.Tensor

        def __init__(self, names: tuple[str, ...], layers: Sequence[Any], lora: Lora, way: str) -> None:
            super().__init__()
            self.names, self.scale, self.product = names, lora.alpha / lora.rank, products()[way]
            self.transposed = not isinstance(layers[0], nn.Linear)
            weights = [layer.weight.detach() for layer in layers]
            weights = [w.t() for w in weights] if self.transposed else weights
            self.sizes = [len(w) for w in weights]
            self.n_in = weights[0].shape[1]
            biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
            if len(layers) > 1:
                with torch.no_grad():
                    weight = torch.cat(weights)  # the layers keep views of it, so that nothing is held twice
                    for layer, part in zip(layers, weight.split(self.sizes)):
                        layer.weight.data = part
            else:
                weight = weights[0]
            self.register_buffer("weight", weight, persistent=False)
            self.register_buffer("bias", torch.cat(biases) if biases else None, persistent=False)
            self.shared = len(layers) > 1
            self.held: Any = None

        def leaves(self, rank: int) -> list[Leaf]:
            a = Leaf(self, "a", "A", self.names, (self.n_in, rank * len(self.names)))
            return [
                a,
                *(
                    Leaf(self, f"b{i}", "B", (n,), (rank, size))
                    for i, (n, size) in enumerate(zip(self.names, self.sizes))
                ),
            ]

        def settle(self) -> None:
            """After the model has run once: members that did not take what was computed for them read another input."""
            if self.held is not None:
                self.shared, self.held = False, None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Of all layers, side by side."""
            b = self.b0
            if (
                len(self.sizes) > 1
            ):  # B of layer i reads the i-th r columns of x A and writes the i-th block of columns
                width, at, parts = sum(self.sizes), 0, []
                for i, size in enumerate(self.sizes):
                    parts.append(nn.functional.pad(getattr(self, f"b{i}"), (at, width - at - size)))
                    at += size
                b = torch.cat(parts, 1)
            return self.product(x, self.weight, self.bias, self.a.to(x.dtype), (b * self.scale).to(x.dtype))

        def one(self, x: torch.Tensor, i: int) -> torch.Tensor:
            at, rank = sum(self.sizes[:i]), self.b0.shape[1]
            weight = self.weight[at : at + self.sizes[i]]
            bias = None if self.bias is None else self.bias[at : at + self.sizes[i]]
            a = self.a[:, :, i * rank : (i + 1) * rank].to(x.dtype)
            return self.product(x, weight, bias, a, (getattr(self, f"b{i}") * self.scale).to(x.dtype))

    class Member(nn.Module):
        """Stands where a layer of a site stood."""

        def __init__(self, site: Any, i: int) -> None:
            super().__init__()
            self.site, self.i = site, i
            self.in_features, self.out_features = site.n_in, site.sizes[i]

        @property
        def weight(self) -> torch.Tensor:  # some models ask a layer for its type
            return self.site.weight.split(self.site.sizes)[self.i]

        @property
        def bias(self) -> torch.Tensor | None:
            return None if self.site.bias is None else self.site.bias.split(self.site.sizes)[self.i]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            site = self.site
            if len(site.sizes) == 1:
                return site(x)
            if not site.shared:
                return site.one(x, self.i)
            held = site.held
            if held is None or held[0] is not x:
                held = (x, site(x).split(site.sizes, -1), len(site.sizes))
            left = held[2] - 1
            site.held = (held[0], held[1], left) if left else None
            return held[1][self.i]

    return Site, Member
