"""A kind of proxy is added by its configuration alone; nobody who trains, measures or counts asks which class it is."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from causalmix_nb import HFConfig, ProxyConfig
from causalmix_nb.errors import TrainingError
from causalmix_nb.proxies.config import KINDS, Kind, Speed, TrainedRun, as_config
from causalmix_nb.proxies.outcomes import outcome_directions
from causalmix_nb.study.study import Study


class Flat:
    """A scorer to which every byte is equally surprising."""

    identity = "flat"

    def score(self, texts):
        import numpy as np

        n = sum(len(text.encode()) for text in texts)
        return np.ones(n), np.ones(n), n


@dataclass(frozen=True)
class Formula:
    """Proxies that train by a formula: what they lose is the share of their first domain."""

    slope: float = 1.0
    context: int = 16
    batch: int = 1
    learning_rate: float = 1.0
    base_tokens: int = 0
    n_parameters: ClassVar[int] = 2
    has_base = trains_scorer = measures_slowly = fills_machine = resizable = mixes_online = False

    def to_dict(self):
        return {"kind": "formula", "slope": self.slope}

    def tokenizer(self):
        return None

    def tokenised(self, corpus, tokenizer):
        return corpus

    def train_base(self, folder, corpus, seed=0, on_tokens=None):
        pass

    def scorer(self, folder, seed=0):
        return Flat()

    def trainer(self, setup, corpus):
        def train(specs, emit):
            names = outcome_directions(corpus)
            return [TrainedRun({name: self.slope * spec.mixture[0] for name in names}) for spec in specs]

        return train

    def width(self, n_runs, n_workers=1):
        return 3

    def chunk_bytes(self, width, token_budget):
        return 1.0

    def speed(self, width, seconds):
        return Speed(1e6, 1, "a formula")


@pytest.fixture
def formula():
    yield KINDS.register(Kind("formula", Formula))
    KINDS.remove("formula")


def test_a_kind_that_was_registered_trains_and_is_opened_again(formula, pool, tmp_path):
    study = Study.create(tmp_path / "s", pool, config=Formula(2.0))
    assert study.run(8, 1_000, executor="inline").done == 8
    again = Study.open(tmp_path / "s")
    assert again.config == Formula(2.0)
    first = again.runs.frame[f"mixture.{again.domains[0]}"]
    assert again.runs.frame["outcome.bpb"].tolist() == pytest.approx((2 * first).tolist())
    assert not (tmp_path / "s" / "base.safetensors").exists()


def test_what_it_takes_is_asked_of_the_configuration(formula, pool, tmp_path):
    cost = Study.create(tmp_path / "s", pool, config=Formula()).cost(8, 1_000, workers=2)
    assert cost.parameters == 2 and cost.speed.source == "a formula"


@pytest.mark.parametrize("config", [ProxyConfig(d_model=32), HFConfig("any/model", from_scratch={"a": 1})])
def test_a_configuration_comes_back_from_its_fields(config):
    assert as_config(config.to_dict()) == config and hash(as_config(config.to_dict())) == hash(config)


def test_an_unknown_kind_is_named_with_those_that_there_are():
    with pytest.raises(TrainingError, match="unknown proxy kind 'hff'. Did you mean 'hf'"):
        as_config({"kind": "hff"})


def test_a_checkpoint_has_one_size_and_is_no_swarm():
    config = HFConfig("any/model")
    assert not config.resizable and not config.mixes_online
    for ask in (lambda: config.resized(10), lambda: config.enlarged(2), lambda: config.swarm(1)):
        with pytest.raises(TrainingError, match="any/model"):
            ask()
