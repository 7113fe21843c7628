"""What R adapters hold in memory is what a GPU used, and what autograd keeps is what is counted."""

import sys
from pathlib import Path

import pytest
import torch

from causalmix_nb.proxies.adapters.cost import adapter_bytes, model_shape, token_bytes
from causalmix_nb.proxies.adapters.swarm import AdapterSwarm
from causalmix_nb.proxies.kinds.causal_lm import Lora

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

# Most memory allocated, GB, on one NVIDIA H100 80GB HBM3 with torch 2.11.0+cu130 and transformers 5.17.0 in bfloat16: windows of 512, rank 16 on all
# linear layers, by tests/benchmarks/swarm_adapters.py. (runs, windows of a run at once, loss, chunk, other options, GB)
COMPILED, PLAIN = {"compiled": True}, {}
MEASURED = {
    "SmolLM2-135M": [
        (64, 2, "compiled", 4096, COMPILED, 44.205),
        (64, 2, "triton", 4096, COMPILED, 43.998),
        (64, 2, "compiled", 8192, COMPILED, 45.015),
        (64, 4, "compiled", 4096, COMPILED, 81.659),
        (64, 2, "eager", 4096, PLAIN, 56.463),
        (64, 2, "triton", 4096, PLAIN, 54.645),
        (64, 1, "compiled", 4096, COMPILED, 25.648),
        (64, 1, "triton", 8192, COMPILED, 25.691),
        (128, 1, "compiled", 4096, COMPILED, 50.131),
        (32, 4, "compiled", 4096, COMPILED, 41.210),
        (16, 8, "compiled", 4096, COMPILED, 39.722),
        (64, 2, "compiled", 4096, {"compiled": True, "fuse": False}, 40.848),
        (64, 4, "compiled", 4096, {"compiled": True, "checkpointing": True}, 13.164),
    ],
    "Qwen2.5-0.5B": [
        (32, 2, "compiled", 2048, COMPILED, 41.600),
        (32, 2, "triton", 2048, COMPILED, 40.992),
        (32, 2, "triton", 4096, COMPILED, 41.633),
        (32, 4, "compiled", 2048, COMPILED, 75.483),
        (64, 1, "compiled", 2048, COMPILED, 46.948),
        (32, 1, "triton", 2048, PLAIN, 29.318),
    ],
}
ROWS = [(shape, *row) for shape, rows in MEASURED.items() for row in rows]


@pytest.mark.parametrize(("shape", "runs", "at_once", "loss", "chunk", "options", "used"), ROWS)
def test_the_memory_that_is_stated_is_what_a_gpu_used(shape, runs, at_once, loss, chunk, options, used):
    from swarm_adapters import config_of

    wide = model_shape(config_of(shape), 16, fuse=options.get("fuse", True))
    said = adapter_bytes(wide, runs, at_once, 512, half=True, loss_way=loss, chunk=chunk, **options) / 1e9
    assert said == pytest.approx(used, rel=0.05)


SMALL = {
    "vocab_size": 53, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64,
}  # fmt: skip
KINDS = {
    "llama": {**SMALL, "num_key_value_heads": 2},
    "qwen2": {**SMALL, "num_key_value_heads": 1},
    "qwen3": {**SMALL, "num_key_value_heads": 2, "head_dim": 32},
    "olmo2": {**SMALL, "num_key_value_heads": 4},
    "gemma": {**SMALL, "num_key_value_heads": 1, "head_dim": 16},
    "gpt_neox": SMALL,
    "gpt2": {"vocab_size": 53, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64},
}


def kept(config, half, length):
    """Bytes of all tensors that autograd keeps for the backward pass of the blocks, those of the model and of the adapters left out."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if half else torch.float32)
    swarm = AdapterSwarm(model, 2, Lora(rank=4, alpha=8))
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), swarm.flat)}
    seen = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = (storage.nbytes(), storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        last = swarm.hidden(torch.zeros(2, 1, length, dtype=torch.long))  # holds what was kept
    assert last.requires_grad
    return sum(size for size, _ in seen.values())


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_token_is_said_to_leave_behind_is_what_autograd_keeps(kind, half):
    from transformers import AutoConfig

    config = AutoConfig.for_model(kind, **KINDS[kind])
    shape = model_shape(config, 4)
    per_token = (kept(config, half, 48) - kept(config, half, 16)) / 2 / 32
    assert token_bytes(shape, half, compiled=False) == pytest.approx(per_token, rel=0.2)
