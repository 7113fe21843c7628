"""What R adapters hold in memory is what a GPU used, and what autograd keeps is what is counted."""

import sys
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch

from causalmix_nb.proxies.adapters.adapter_swarm import AdapterSwarm
from causalmix_nb.proxies.adapters.memory import adapter_bytes, model_shape, token_bytes
from causalmix_nb.proxies.huggingface.settings import Lora

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

# Most memory allocated, GB, on one NVIDIA H100 80GB HBM3 with torch 2.11.0+cu130 and transformers 5.17.0 in bfloat16: windows of 512,
# rank 16 on all linear layers, by tests/benchmarks/swarm_adapters.py. at_once: windows of a run in memory together.
MEASURED = """
model        runs at_once loss     chunk how                      used
SmolLM2-135M   64       2 compiled  4096 compiled                 44.205
SmolLM2-135M   64       2 triton    4096 compiled                 43.998
SmolLM2-135M   64       2 compiled  8192 compiled                 45.015
SmolLM2-135M   64       4 compiled  4096 compiled                 81.659
SmolLM2-135M   64       2 eager     4096 plain                    56.463
SmolLM2-135M   64       2 triton    4096 plain                    54.645
SmolLM2-135M   64       1 compiled  4096 compiled                 25.648
SmolLM2-135M   64       1 triton    8192 compiled                 25.691
SmolLM2-135M  128       1 compiled  4096 compiled                 50.131
SmolLM2-135M   32       4 compiled  4096 compiled                 41.210
SmolLM2-135M   16       8 compiled  4096 compiled                 39.722
SmolLM2-135M   64       2 compiled  4096 compiled+unfused         40.848
SmolLM2-135M   64       4 compiled  4096 compiled+checkpointing   13.164
Qwen2.5-0.5B   32       2 compiled  2048 compiled                 41.600
Qwen2.5-0.5B   32       2 triton    2048 compiled                 40.992
Qwen2.5-0.5B   32       2 triton    4096 compiled                 41.633
Qwen2.5-0.5B   32       4 compiled  2048 compiled                 75.483
Qwen2.5-0.5B   64       1 compiled  2048 compiled                 46.948
Qwen2.5-0.5B   32       1 triton    2048 plain                    29.318
"""
HOW = {
    "plain": {},
    "compiled": {"compiled": True},
    "unfused": {"fuse": False},
    "checkpointing": {"checkpointing": True},
}
TABLE = pd.read_csv(StringIO(MEASURED), sep=r"\s+").itertuples(index=False)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(map(str, row)))
def test_the_memory_that_is_stated_is_what_a_gpu_used(row):
    from swarm_adapters import config_of

    options = {name: value for how in row.how.split("+") for name, value in HOW[how].items()}
    wide = model_shape(config_of(row.model), 16, fuse=options.get("fuse", True))
    options |= {"half": True, "loss_way": row.loss, "chunk": row.chunk}
    stated = adapter_bytes(wide, row.runs, row.at_once, 512, **options) / 1e9
    assert stated == pytest.approx(row.used, rel=0.05)


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
