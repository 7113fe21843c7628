"""An executor is added from outside by registering it; what a study, a request and a magic know of it is what it says."""

import json
from dataclasses import dataclass

import pytest

from causalmix_nb.errors import TrainingError
from causalmix_nb.launch.executor import EXECUTORS, as_executor
from causalmix_nb.launch.executors.inline import Inline
from causalmix_nb.magics.names import names
from causalmix_nb.study.request import RunRequest


@dataclass(frozen=True)
class Queue:
    """Trains here, as if it stood in a queue."""

    room: str = "hall"

    name = "queue"
    here = True
    code = "Queue()"
    remark = "a queue takes as long as it takes"

    @property
    def options(self):
        return ["--room", self.room]

    def workers(self, n_runs, asked, config):
        return 0

    def train(self, work):
        work.take({"note": f"stood in the {self.room}"})
        Inline().train(work)


@pytest.fixture
def queue():
    yield EXECUTORS.register(Queue())
    EXECUTORS.remove("queue")


def test_an_executor_from_outside_trains_and_is_offered(queue, study):
    assert "queue" in names("executor")
    report = study.run(8, 1_000, executor="queue")
    assert report.done == 8 and "stood in the hall" in str(report)
    assert study.run(10, 1_000, executor=Queue("garden")).reused == 8


def test_it_says_what_is_to_be_known_of_a_forecast(queue, study):
    assert study.cost(8, 1_000, executor="queue").notes[-1] == queue.remark
    assert not study.cost(8, 1_000, executor="inline").notes


def test_a_request_knows_its_fields(queue):
    request = RunRequest(8, 1_000, Queue("garden"), None, True, None, None, None)
    assert RunRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    assert request.as_options() == "--runs 8 --budget 1000 --executor queue --room garden"


def test_a_name_is_an_executor_with_its_usual_fields(queue):
    assert as_executor("queue") == Queue() and as_executor(Queue("garden")) == Queue("garden")
    with pytest.raises(TrainingError, match="unknown executor 'quue'. Did you mean 'queue'"):
        as_executor("quue")
