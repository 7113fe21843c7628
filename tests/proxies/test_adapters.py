"""Many LoRA fine-tunings of one model at once are what each is alone; PEFT's adapters with torch's AdamW are the reference."""

import numpy as np
import pytest
import torch

from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.adapters.adapter_swarm import AdapterSwarm
from causalmix_nb.proxies.adapters.loss import Head, linear_cross_entropy
from causalmix_nb.proxies.adapters.steps import Recipe, fit_adapters
from causalmix_nb.proxies.huggingface.settings import Lora
from causalmix_nb.proxies.schedule import schedule

WORDS, LENGTH, LORA = 53, 12, Lora(rank=4, alpha=8)
SMALL = {
    "vocab_size": WORDS, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 32,
}  # fmt: skip
KINDS = {
    "llama": {**SMALL, "num_key_value_heads": 2},
    "qwen3": {**SMALL, "num_key_value_heads": 2, "head_dim": 4, "tie_word_embeddings": True},
    "gemma2": {**SMALL, "num_key_value_heads": 1, "head_dim": 4, "final_logit_softcapping": 3.0},
    "gpt_neox": SMALL,
    "gpt2": {"vocab_size": WORDS, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
}


def model(kind="llama"):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **KINDS[kind])).eval()


class Data:
    """Random windows of which about half the targets are learnt, as those of a response to a prompt."""

    def __init__(self, n, seed):
        draw = np.random.default_rng(seed)
        self.windows, self.masks = draw.integers(0, WORDS, (n, LENGTH + 1)), draw.random((n, LENGTH)) < 0.5

    def __len__(self):
        return len(self.windows)

    def blocks(self, size):
        for i in range(0, len(self), size):
            yield self.windows[i : i + size], self.masks[i : i + size]


RECIPE = Recipe(per_step=4, at_once=2, context=LENGTH, warmup=0.25, clip=0.5, weight_decay=0.01)
RATES, SEEDS, STEPS = (1e-3, 4e-3, 2e-3), (5, 6, 5), (3, 4, 3)  # of three runs


def together(kind="llama", runs=(0, 1, 2), rates=RATES, **options):
    swarm = AdapterSwarm(model(kind), len(runs), LORA, [SEEDS[run] for run in runs], **options)
    data = [Data(4 * STEPS[run], run) for run in runs]
    return swarm, fit_adapters(swarm, data, [rates[run] for run in runs], RECIPE)


def by_peft(kind, run):
    """A run trained by PEFT's own layers and torch's own AdamW; the model, and its adapters at the start."""
    from peft import LoraConfig, get_peft_model

    base = model(kind)
    torch.manual_seed(SEEDS[run])
    made = get_peft_model(
        base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    ).eval()
    weights = {n: p for n, p in made.named_parameters() if p.requires_grad}
    start = {n: p.detach().clone() for n, p in weights.items()}
    optimizer = torch.optim.AdamW(weights.values(), lr=1.0, betas=(0.9, 0.95), weight_decay=0.01)
    rates = schedule(STEPS[run], RATES[run], RECIPE.warmup)
    for rate, (windows, learnt) in zip(rates, Data(4 * STEPS[run], run).blocks(4)):
        optimizer.param_groups[0]["lr"] = rate
        logits = made(input_ids=torch.tensor(windows[:, :-1])).logits
        torch.nn.functional.cross_entropy(logits[learnt], torch.tensor(windows[:, 1:][learnt])).backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), RECIPE.clip)
        optimizer.step()
        optimizer.zero_grad()
    return made, start


@pytest.mark.parametrize("kind", KINDS)
def test_runs_together_are_what_peft_makes_of_each_alone(kind):
    swarm, reasons = together(kind)
    assert reasons == [None] * 3
    for run in range(3):
        made, start = by_peft(kind, run)
        ours = swarm.weights(run)
        for name, weight in made.named_parameters():
            if weight.requires_grad:
                assert torch.allclose(ours[name.replace(".default", "")], weight, atol=1e-5), name
        tokens = torch.tensor(Data(2, 9).windows)
        swarm_logits = swarm.logits(tokens.expand(3, *tokens.shape))[run]
        assert torch.allclose(swarm_logits, made(input_ids=tokens).logits, atol=1e-4)
        assert any((made.state_dict()[name] - first).abs().max() > 1e-3 for name, first in start.items())


def test_adapters_start_as_peft_starts_them():
    swarm = AdapterSwarm(model(), 3, LORA, SEEDS)
    _, start = by_peft("llama", 1)
    ours = swarm.weights(1)
    assert all(torch.equal(ours[name.replace(".default", "")], first) for name, first in start.items())


def test_a_run_that_diverges_leaves_the_others_as_they_are():
    good, _ = together()
    bad, reasons = together(rates=(RATES[0], 1e38, RATES[2]))
    assert "diverged: the gradient of step" in reasons[1] and "lower the learning rate" in reasons[1]
    assert reasons[0] is None and reasons[2] is None
    assert torch.equal(bad.flat[[0, 2]], good.flat[[0, 2]]) and torch.isfinite(bad.flat[[0, 2]]).all()


@pytest.mark.parametrize("options", [{"way": "op"}, {"way": "plain"}, {"fuse": False}, {"chunk": 5}])
def test_ways_to_work_it_out_agree(options):
    one, _ = together()
    other, _ = together(**options)
    for run in range(3):
        a, b = one.weights(run), other.weights(run)
        assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3"])
def test_a_saved_run_loads_in_peft_with_equal_logits(kind, tmp_path):
    from peft import PeftModel

    swarm, _ = together(kind)
    tokens = torch.tensor(Data(2, 9).windows)
    ours = swarm.logits(tokens.expand(3, *tokens.shape))[1]
    loaded = PeftModel.from_pretrained(model(kind), swarm.save(1, tmp_path / "run"))
    assert torch.allclose(loaded(input_ids=tokens).logits, ours, atol=1e-5)


def test_scores_are_those_of_the_models_own_logits():
    swarm, _ = together()
    windows = torch.tensor(Data(5, 9).windows)
    shown = windows.expand(3, *windows.shape)
    logits = swarm.logits(shown[..., :-1])
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 2), shown[..., 1:].flatten(), reduction="none"
    )
    assert torch.allclose(swarm.token_losses(shown), expected.view(3, 5, LENGTH), atol=1e-5)
    assert torch.equal(swarm.likeliest(shown[..., :-1]), logits.argmax(-1))


def test_the_loss_without_logits_has_the_gradient_of_the_loss_with_them():
    torch.manual_seed(0)
    hidden, words = torch.randn(30, 8, requires_grad=True), torch.randint(0, 20, (30,))
    head, weights = Head(torch.randn(20, 8), torch.randn(20), 0.7, 2.0), torch.rand(12)
    rows = torch.randperm(30)[:12]
    losses = torch.nn.functional.cross_entropy(head.logits(hidden)[rows], words[rows], reduction="none")
    expected = torch.autograd.grad((losses * weights).sum(), hidden)[0]
    ours = linear_cross_entropy(hidden, head, words, weights, rows, chunk=5)
    assert torch.allclose(torch.autograd.grad(ours, hidden)[0], expected, atol=1e-6)
    assert ours.item() == pytest.approx((losses * weights).sum().item(), rel=1e-5)


def test_the_model_is_given_back_as_it_was():
    base = model("qwen3")
    tokens = torch.tensor(Data(2, 9).windows)
    before, names = base(input_ids=tokens).logits, [n for n, _ in base.named_parameters()]
    swarm = AdapterSwarm(base, 2, LORA)
    assert swarm.release() is base and [n for n, _ in base.named_parameters()] == names
    assert torch.equal(base(input_ids=tokens).logits, before) and all(
        p.requires_grad for p in base.parameters()
    )


@pytest.mark.parametrize("targets", [("nothing_like_it",), ("lm_head",), ("embed_tokens",)])
def test_layers_that_cannot_have_adapters_are_named(targets):
    with pytest.raises(TrainingError, match="name.* linear layers"):
        AdapterSwarm(model(), 2, Lora(targets=targets))


def test_blocks_that_are_recomputed_and_compiled_or_not_go_back_to_what_they_were():
    base = model()
    blocks = list(base.model.layers)
    swarm = AdapterSwarm(base, 2, LORA)
    swarm.checkpoint()
    swarm.compile()
    assert swarm.compiled and all("forward" in vars(block) for block in blocks)
    swarm.uncompile()
    assert swarm.recomputes and all("forward" in vars(block) for block in blocks)
    with swarm.uncompiled():
        assert not any("forward" in vars(block) for block in blocks)
    assert all("forward" in vars(block) for block in blocks)
    swarm.release()
    assert not any("forward" in vars(block) for block in blocks)
