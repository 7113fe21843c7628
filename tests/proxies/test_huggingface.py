"""Any Hugging Face model as the proxy: tiny ones, made here and loaded by the code that loads real ones."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from causalmix_nb.data.corpus import Corpus, run_windows
from causalmix_nb.data.pool import BOILERPLATE, Perturbation, Pool
from causalmix_nb.data.tokens import encode, tokenise
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import StudyError, TrainingError
from causalmix_nb.proxies.config import as_config
from causalmix_nb.proxies.huggingface.checkpoint import load_model, load_tokenizer
from causalmix_nb.proxies.huggingface.cost import run_bytes
from causalmix_nb.proxies.huggingface.finetune import HFProxy, train_hf_runs
from causalmix_nb.proxies.huggingface.settings import Lora
from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig
from causalmix_nb.proxies.kinds.causal_lm import HFConfig
from causalmix_nb.proxies.outcomes import EVAL_WINDOWS, Evaluator
from causalmix_nb.proxies.state import HuggingFaceScorer
from causalmix_nb.study.study import Study
from tiny import sentences
from tiny_llama import SHAPE

EVEN = (1 / 3, 1 / 3, 1 / 3)


def document(corpus, domain, i, part="train"):
    documents = corpus.documents(domain, part)
    span = slice(documents.offsets[i], documents.offsets[i + 1])
    return documents.tokens[span].tolist(), documents.mask[span]


# -- tokens ----------------------------------------------------------------------------------------------


def test_documents_are_the_tokenizers_tokens_and_an_end(corpus, config):
    tokenizer = load_tokenizer(config)
    for part in ("train", "noisy", "heldout"):
        texts = corpus.texts("apples", part)
        assert len(texts) == len(corpus.documents("apples", part))
        for i in range(len(texts)):
            ids, mask = document(corpus, "apples", i, part)
            assert ids == [*tokenizer(texts.text(i)).input_ids, tokenizer.eos_token_id] and mask.all()


def test_the_prompt_is_written_in_the_chat_template_and_is_not_learnt(corpus, config):
    tokenizer = load_tokenizer(config)
    turns = corpus.texts("sums").text(0).partition("=")
    prompt, response = turns[0] + "=", turns[2]
    ids, mask = document(corpus, "sums", 0)
    asked = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode([t for t, learnt in zip(ids, mask) if not learnt]) == asked
    assert tokenizer.decode([t for t, learnt in zip(ids, mask) if learnt]) == response + "<|im_end|>"
    plain = next(encode([(prompt, response)], tokenizer, chat_template=False))
    assert tokenizer.decode(plain.ids) == prompt + response + "<|im_end|>"


def test_a_template_that_rewrites_the_conversation_is_refused(config):
    tokenizer = load_tokenizer(config)
    tokenizer.chat_template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(TrainingError, match="chat_template=False"):
        next(encode([("a", "b")], tokenizer))


def test_tokens_stand_for_all_bytes_of_a_text_and_one(config):
    tokenizer = load_tokenizer(config)
    texts = ["naïve café – 数字 🙂", "  spaces \n at both ends  ", "apple", "e\u0301"]
    for text in texts:
        for prompt in ("", "ask"):
            document = next(encode([(prompt, text)], tokenizer))
            whole = len(text.encode()) + 1
            assert document.n_bytes.sum() == whole and (document.n_bytes >= 0).all()
            assert not document.n_bytes[~document.mask].any()


def test_packing_loses_nothing(corpus):
    """One epoch cut into windows, put together again, holds every document once."""
    view = corpus.view("sums")
    n = (view.available_tokens - 1) // 32
    windows, masks = view.windows(n, 32, seed=0)
    stream = np.append(windows[:, :-1].ravel(), windows[-1, -1]).tolist()
    learnt = np.concatenate([[False], masks.ravel()])
    documents = [document(corpus, "sums", i) for i in range(len(corpus.documents("sums")))]
    whole = {tuple(ids): mask for ids, mask in documents}
    end, at, seen = corpus.tokens["end"], 0, []
    starts = {ids[:4] for ids in whole}
    while at < len(stream):
        found = next((ids for ids in whole if tuple(stream[at : at + len(ids)]) == ids), None)
        if found is None:  # the last one is cut off by the last window
            assert len(stream) - at < max(map(len, whole)) and tuple(stream[at : at + 4]) in starts | {
                tuple(stream[at:])
            }
            break
        assert at == 0 or (learnt[at : at + len(found)] == whole[found]).all()
        assert found[-1] == end
        seen.append(found)
        at += len(found)
    assert len(seen) == len(set(seen)) >= len(whole) - 3


def test_a_noisy_document_is_tokenised_from_its_corrupted_text(corpus, config):
    tokenizer = load_tokenizer(config)
    view = corpus.view("apples", Perturbation(noise=1.0))
    noisy = corpus.texts("apples", "noisy")
    expected = [
        t for i in view.plan.index for t in [*tokenizer(noisy.text(i)).input_ids, tokenizer.eos_token_id]
    ]
    windows, _ = view.windows(len(expected) // 8 - 1, 8, seed=0)
    assert set(windows.ravel().tolist()) <= set(expected)
    # Shuffled characters hold few of the merges that were learnt from the text.
    assert len(expected) > 1.3 * corpus.view("apples").available_tokens


def test_boilerplate_is_served_in_tokens(corpus, config):
    tokenizer = load_tokenizer(config)
    windows, _ = corpus.view("apples", Perturbation(boilerplate=1.0)).windows(80, 32, seed=0)
    text = tokenizer.decode(np.append(windows[:, :-1].ravel(), windows[-1, -1]).tolist())
    assert all(piece in text for piece in BOILERPLATE)


def test_bits_per_byte_are_those_of_a_hand_computation(corpus, config, evaluate):
    """Unpacked: each held-out window scored by plain transformers, bytes counted by decoding token by token."""
    model, tokenizer = load_model(config).eval(), load_tokenizer(config)
    with HFProxy(config) as proxy:
        scored = evaluate(proxy)[0]
    for domain in corpus.domains:
        windows, mask = corpus.heldout_windows(domain, EVAL_WINDOWS, config.context)
        nats, n_bytes = 0.0, 0
        for row, learnt in zip(windows.astype(np.int64), mask):
            labels = torch.tensor(np.where(np.append(False, learnt), row, -100))
            loss = model(input_ids=torch.tensor(row)[None], labels=labels[None]).loss
            if learnt.any():
                nats += loss.item() * int(learnt.sum())
            for token in row[1:][
                learnt
            ].tolist():  # ASCII: a token is as many bytes as characters; an end is one
                n_bytes += 1 if token == tokenizer.eos_token_id else len(tokenizer.decode([token]))
        assert corpus.heldout_bytes(domain, EVAL_WINDOWS, config.context) == n_bytes
        assert scored[f"bpb.{domain}"] == pytest.approx(nats / math.log(2) / n_bytes, rel=1e-4)


def test_exact_match_agrees_with_generation(corpus, config, evaluate):
    with HFProxy(dataclasses.replace(config, learning_rate=1e-2)) as proxy:
        proxy.fit(run_windows(corpus, [0, 0, 1], {}, 0, 0, 600, 32), 1e-2)
        scored = evaluate(proxy)[0]["exact_match.sums"]
        pairs, right = corpus.checkable("sums", context=32), 0
        for prompt, response in pairs:
            asked = torch.tensor([list(prompt)])
            said = proxy.model.generate(
                asked,
                attention_mask=torch.ones_like(asked),
                max_new_tokens=len(response),
                do_sample=False,
                pad_token_id=0,
            )
            right += said[0, len(prompt) :].tolist() == list(response)
    assert scored == pytest.approx(right / len(pairs))


# -- training --------------------------------------------------------------------------------------------


def test_the_loss_is_that_of_plain_transformers_with_the_prompt_masked(corpus, config):
    """The first step's gradient equals the gradient of transformers' own loss with labels of -100 on the prompt."""
    windows, masks = next(run_windows(corpus, EVEN, {}, 0, 0, 4, 32).blocks())
    model = load_model(config)
    labels = torch.tensor(np.where(np.c_[np.zeros(len(masks), bool), masks], windows.astype(np.int64), -100))
    loss = model(input_ids=torch.tensor(windows.astype(np.int64)), labels=labels).loss
    with HFProxy(config) as proxy, torch.no_grad():
        losses = proxy.token_losses(torch.from_numpy(windows.astype(np.int64))[None])[0]
    ours = float((losses * torch.from_numpy(masks)).sum() / masks.sum())
    assert 0 < masks.mean() < 1 and ours == pytest.approx(loss.item(), rel=1e-5)


def trained(corpus, config, windows=16, **changes):
    config = dataclasses.replace(config, **changes)
    data = run_windows(corpus, EVEN, {}, 0, 0, windows, config.context)
    with HFProxy(config) as proxy:
        assert proxy.fit(data, config.learning_rate) is None
    return proxy


def test_two_half_batches_make_the_same_step_as_a_whole_one(corpus, config):
    whole = trained(corpus, config, batch=8).weights()
    halves = trained(corpus, config, batch=4, accumulation=2).weights()
    before = HFProxy(config).weights()
    assert all(torch.allclose(whole[name], halves[name], atol=2e-5) for name in whole)
    assert any((whole[name] - before[name]).abs().max() > 1e-3 for name in whole)


def test_one_step_is_the_step_of_a_plain_optimiser(corpus, config):
    windows, masks = next(run_windows(corpus, EVEN, {}, 0, 0, 8, 32).blocks())
    model = load_model(config).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0
    )
    labels = torch.tensor(np.where(np.c_[np.zeros(len(masks), bool), masks], windows.astype(np.int64), -100))
    model(input_ids=torch.tensor(windows.astype(np.int64)), labels=labels).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    ours = trained(corpus, config, windows=8).weights()
    assert all(torch.allclose(p, ours[name], atol=1e-5) for name, p in model.named_parameters())


def test_a_run_scores_the_same_alone_or_after_another(corpus, config, evaluate):
    first, second = RunSpec((1, 0, 0), 2_000, seed=1), RunSpec((0, 0.5, 0.5), 2_000, seed=2)
    both = train_hf_runs(corpus, [first, second], HFProxy(config), evaluate)
    alone = train_hf_runs(corpus, [second], HFProxy(config), evaluate)
    assert alone[0].outcomes == both[1].outcomes != both[0].outcomes


def test_training_lowers_the_loss_of_what_is_trained_on(corpus, config, evaluate):
    with HFProxy(config) as proxy:
        before = evaluate(proxy)[0]
    after = train_hf_runs(corpus, [RunSpec((1, 0, 0), 6_000)], HFProxy(config), evaluate)[0].outcomes
    assert after["bpb.apples"] < before["bpb.apples"] - 0.5
    assert before["bpb.apples"] - after["bpb.apples"] > before["bpb.sums"] - after["bpb.sums"]


def test_lora_trains_adapters_and_leaves_the_weights(corpus, config, evaluate):
    lora = dataclasses.replace(config, lora=Lora(rank=4, targets=("q_proj", "v_proj")))
    plain = dict(load_model(config).named_parameters())
    proxy = HFProxy(lora)
    before = proxy.weights()
    assert before and all("lora_" in name for name in before)
    outcomes = train_hf_runs(corpus, [RunSpec((1, 0, 0), 2_000)], proxy, evaluate)[0].outcomes
    with proxy:
        assert evaluate(proxy)[0]["bpb.apples"] > outcomes["bpb.apples"]  # it is back at the start
        proxy.fit(run_windows(corpus, EVEN, {}, 0, 0, 8, 32), 1e-2)
    assert any((proxy.weights()[name] - before[name]).abs().max() > 1e-4 for name in before)
    for name, weight in proxy.model.get_base_model().named_parameters():
        if "lora_" not in name:
            assert torch.equal(weight, plain[name.replace(".base_layer", "")])


def test_half_precision_leaves_no_trace_in_the_process(corpus, config, evaluate):
    from accelerate import Accelerator

    before = Accelerator().mixed_precision
    rough = HFProxy(dataclasses.replace(config, precision="bf16"))
    spec = RunSpec(EVEN, 2_000)
    values = train_hf_runs(corpus, [spec], rough, evaluate)[0].outcomes
    exact = train_hf_runs(corpus, [spec], HFProxy(config), evaluate)[0].outcomes
    assert values == pytest.approx(exact, abs=0.1) and values["bpb"] != exact["bpb"]
    assert Accelerator().mixed_precision == before


def test_recomputing_activations_changes_nothing(corpus, config):
    a, b = (trained(corpus, config, checkpointing=c).weights() for c in (False, True))
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


def test_a_run_that_diverges_is_reported_and_the_next_one_is_not_touched(corpus, config, evaluate):
    spec = RunSpec(EVEN, 2_000)
    wild = HFProxy(dataclasses.replace(config, learning_rate=1e30, clip=1e30))
    run = train_hf_runs(corpus, [spec], wild, evaluate)[0]
    assert not run.outcomes and "diverged" in run.reason and "lower the learning rate" in run.reason
    wild.config = config
    assert train_hf_runs(corpus, [spec], wild, evaluate) == train_hf_runs(
        corpus, [spec], HFProxy(config), evaluate
    )


# -- configuration and loading ---------------------------------------------------------------------------


def test_a_configuration_survives_being_written_down(config):
    for one in (config, dataclasses.replace(config, lora=Lora(targets=("q_proj",))), ProxyConfig()):
        assert as_config(json.loads(json.dumps(one.to_dict()))) == one


def test_parameters_are_counted_without_loading_weights(config):
    assert config.n_parameters == sum(p.numel() for p in load_model(config).parameters())


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"precision": "bf61"}, "Did you mean 'bf16'"),
        ({"batch": 3, "processes": 2}, "cannot be shared by 2"),
        ({"learning_rate": 0}, "positive"),
        ({"context": 0}, "at least 1"),
        ({"lora": {"rank": 0}}, "whole rank"),
        ({"lora": {}, "from_scratch": SHAPE}, "weights to adapt"),
    ],
)
def test_configurations_that_cannot_train_are_refused(config, bad, said):
    with pytest.raises(TrainingError, match=said):
        dataclasses.replace(config, **bad)


def test_a_model_that_is_not_there_is_named_in_one_sentence(pool, tmp_path):
    with pytest.raises(
        TrainingError, match="cannot load the model 'nobody/nothing-here'.*check the name"
    ) as caught:
        Study.create(tmp_path / "s", pool, config=HFConfig("nobody/nothing-here"))
    assert "\n" not in str(caught.value) and not (tmp_path / "s" / "study.json").exists()


def test_a_context_longer_than_the_model_reads_is_refused(pool, config, tmp_path):
    with pytest.raises(TrainingError, match="reads at most 128"):
        Study.create(tmp_path / "s", pool, config=dataclasses.replace(config, context=129))


def test_a_folder_without_a_tokenizer_is_named(config, tmp_path):
    load_model(config).save_pretrained(tmp_path)
    with pytest.raises(TrainingError, match="holds no tokenizer"):
        load_tokenizer(HFConfig(str(tmp_path)))


def test_half_precision_of_a_gpu_is_refused_on_a_cpu(config):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with (
        pytest.raises(TrainingError, match="use bf16 or no"),
        HFProxy(dataclasses.replace(config, precision="fp16")),
    ):
        pass


# -- state -----------------------------------------------------------------------------------------------


def test_the_scorer_agrees_with_transformers_text_by_text(config):
    model, tokenizer = load_model(config).eval(), load_tokenizer(config)
    texts = ["apple", "The apple number 7 is appleish.", "x" * 90]
    losses, entropies, n_bytes = HuggingFaceScorer(config.model, context=32, batch=2).score(texts)
    assert n_bytes == sum(map(len, texts)) and (entropies > 0).all()
    expected = 0.0
    for text in texts:
        ids = tokenizer(text).input_ids
        for first in range(0, len(ids), 31):
            row = torch.tensor([[tokenizer.eos_token_id, *ids[first : first + 31]]])
            expected += model(input_ids=row, labels=row).loss.item() * (row.shape[1] - 1)
    assert float(losses.sum()) == pytest.approx(expected, rel=1e-5)


# -- a study ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hf_study(pool, config, tmp_path_factory):
    study = Study.create(tmp_path_factory.mktemp("hf") / "study", pool, config=config)
    study.run(12, 1_500, executor="inline")
    return study


def test_the_study_path_works_on_a_hugging_face_model(hf_study, config):
    assert len(hf_study.runs.keys("done")) == 12
    frame = hf_study.runs.frame
    assert (frame["scale.parameters"] == config.n_parameters).all() and frame[
        "state.apples.loss"
    ].nunique() > 1
    model = hf_study.fit(method="gp")
    assert np.isfinite(model.predict(model.baseline)["se"]).all()
    best = hf_study.optimize(n_candidates=2_000)
    assert sum(best.mixture.shares.values()) == pytest.approx(1)
    again = Study.open(hf_study.folder)
    assert again.config == config and again.state.shape == (3, 4)
    with pytest.raises(StudyError, match="built-in proxy only"):
        again.online("doremi")


def test_workers_train_hugging_face_models_too(hf_study, pool, config, tmp_path):
    other = Study.create(tmp_path / "other", pool, config=config)
    assert other.run(5, 1_500, executor="local", workers=2).done == 5
    a, b = (s.runs.frame.set_index("key")["outcome.bpb"] for s in (other, hf_study))
    assert np.allclose(a, b.reindex(a.index), atol=2e-3)


def test_two_processes_record_what_one_does(pool, config, hf_study, tmp_path):
    both = dataclasses.replace(config, processes=2)
    other = Study.create(tmp_path / "other", pool, config=both)
    report = other.run(5, 1_500, executor="inline")
    assert report.done == 5
    a, b = (s.runs.frame.sort_values("seed")["outcome.bpb"].to_numpy()[:5] for s in (other, hf_study))
    assert np.allclose(a, b, atol=2e-3)


def test_the_number_of_processes_is_checked(config):
    with (
        pytest.raises(TrainingError, match="asks for 2 processes, and 1 came up"),
        HFProxy(dataclasses.replace(config, processes=2)),
    ):
        pass


def test_a_model_from_scratch_continues_from_a_base(pool, config, tmp_path):
    scratch = HFConfig(
        config.model, from_scratch=SHAPE, context=32, batch=4, learning_rate=3e-3, base_tokens=8_000
    )
    study = Study.create(tmp_path / "s", pool, config=scratch)
    stages = set()
    study.run(5, 1_000, executor="inline", states=False, progress=lambda p: stages.add(p.stage))
    assert stages >= {"base proxy", "proxy runs"} and (study.folder / "base.safetensors").exists()
    corpus, evaluate = study.corpus, Evaluator(study.corpus, 32)
    with HFProxy(scratch) as random:
        start = evaluate(random)[0]["bpb"]
    assert study.runs.frame["outcome.bpb"].max() < start - 0.5
    assert corpus.tokens["vocabulary"] == len(load_tokenizer(config))


def test_pools_with_other_words_are_tokenised_too(config, tmp_path):
    pool = Pool.from_dict({"a": ["日本語のテキスト", "もう一つ", "三つ目"], "b": sentences("b", 10)})
    corpus = tokenise(Corpus.build(pool, tmp_path), load_tokenizer(config))
    assert corpus.heldout_bytes("a", 4, 16) > 0


def test_the_cost_of_a_launch_is_told_for_a_hugging_face_model_too(pool, config, tmp_path):
    cost = Study.create(tmp_path / "s", pool, config=config).cost(12, 2_000)
    assert cost.parameters == config.n_parameters and cost.workers == 1 and 0 < cost.seconds < 1e4
    lora = dataclasses.replace(config, lora=Lora())
    assert run_bytes(lora) < run_bytes(config)


def test_the_magic_makes_a_study_of_a_model(pool, model_folder, tmp_path):
    from causalmix_nb.magics.language import MagicError
    from causalmix_nb.magics.options import MODEL
    from causalmix_nb.magics.parser import parse

    def proxies(args):
        return MODEL.value(vars(args))

    asked = proxies(parse(f"pool demo --model {model_folder} --context 32 --lora 4 --precision bf16"))
    assert asked == HFConfig(str(model_folder), context=32, lora=Lora(rank=4), precision="bf16")
    assert proxies(parse("pool demo")) is None
    one = proxies(parse(f"pool demo --model {model_folder}/tiny.gguf"))
    assert (one.model, one.gguf_file) == (str(model_folder), "tiny.gguf")
    with pytest.raises(MagicError, match="add --model"):
        proxies(parse("pool demo --lora 4"))


def test_a_state_that_was_measured_is_known_without_loading_the_model(hf_study, monkeypatch):
    again = Study.open(hf_study.folder)
    monkeypatch.setattr(HuggingFaceScorer, "score", lambda *_: pytest.fail("the model was asked again"))
    assert again.state.equals(hf_study.state)


def test_the_state_of_a_fresh_study_is_not_measured_for_a_look(pool, config, tmp_path, monkeypatch):
    monkeypatch.setattr(HuggingFaceScorer, "score", lambda *_: pytest.fail("the model was asked"))
    assert Study.create(tmp_path / "s", pool, config=config).state is None
