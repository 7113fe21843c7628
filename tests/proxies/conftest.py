"""A tiny Hugging Face model, made here and loaded by the code that loads real ones, and a pool in its tokens."""

import pytest
import torch

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.data.tokens import tokenise
from causalmix_nb.proxies.huggingface.checkpoint import load_tokenizer
from causalmix_nb.proxies.kinds.causal_lm import HFConfig
from causalmix_nb.proxies.outcomes import Evaluator
from tiny_llama import SHAPE, TEMPLATE


@pytest.fixture(scope="session")
def model_folder(pool, tmp_path_factory):
    """A Llama of two layers with a byte-level tokenizer that was trained on the pool."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((t for d in pool.values() for t in d.documents["text"]), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.chat_template = TEMPLATE
    folder = tmp_path_factory.mktemp("model")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **SHAPE)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def config(model_folder):
    return HFConfig(str(model_folder), context=32, batch=8, learning_rate=3e-3)


@pytest.fixture(scope="session")
def corpus(pool, config, tmp_path_factory):
    built = Corpus.build(pool, tmp_path_factory.mktemp("corpus"))
    return tokenise(built, load_tokenizer(config))


@pytest.fixture(scope="session")
def evaluate(corpus, config):
    return Evaluator(corpus, config.context)
