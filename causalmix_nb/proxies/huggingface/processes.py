"""A chunk of Hugging Face runs in this process, or in several data-parallel ones.

Several processes are started by ``torchrun`` and not by ``accelerate launch``, which quietly starts a single one on a CPU; every one of them
checks how many came up. They read what to do from a file and the first of them appends what comes of it to another, line by line. They end
when the process that asked for them is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalmix_nb.data.corpus import Corpus
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import CausalMixError, TrainingError
from causalmix_nb.files import Checked
from causalmix_nb.machine import cores
from causalmix_nb.proxies.adapters.runs import AdapterRuns, train_adapter_runs, why_alone
from causalmix_nb.proxies.config import (
    BASE_CHANGED,
    DATA,
    NoRunAxis,
    OnTokens,
    TrainedRun,
    Trainer,
    as_config,
)
from causalmix_nb.proxies.huggingface.cost import free_here
from causalmix_nb.proxies.huggingface.finetune import HFProxy, open_proxy, train_hf_runs
from causalmix_nb.proxies.outcomes import Evaluator

if TYPE_CHECKING:
    from causalmix_nb.proxies.huggingface.settings import HFSettings

POLL = 0.2  # seconds between looks at what the processes have written


def trainer_here(config: HFSettings, setup: Mapping[str, Any], corpus: Corpus) -> Trainer:
    """Who trains runs of a checkpoint in this process: adapters together where that works, else one run after another."""
    folder, seed = Path(setup["folder"]), setup["seed"]
    evaluate = Evaluator(corpus, config.context, setup["target"], setup.get("score"))
    if why_alone(config) is None:
        try:
            adapters = AdapterRuns(config, seed, folder)
        except NoRunAxis as error:
            return OneByOne(corpus, open_proxy(folder, config, seed), evaluate, str(error))
        return Together(corpus, adapters, evaluate, setup.get("tokens", 0))
    return OneByOne(corpus, open_proxy(folder, config, seed), evaluate)


class Together:
    """Trains the adapters of a chunk at once over one frozen checkpoint. expected: training tokens of all chunks to come."""

    def __init__(self, corpus: Corpus, adapters: AdapterRuns, evaluate: Evaluator, expected: int) -> None:
        self._corpus, self._adapters, self._evaluate = corpus, adapters, evaluate
        self._left = expected

    def __call__(self, specs: Sequence[RunSpec], emit: OnTokens) -> list[TrainedRun]:
        tokens = sum(spec.token_budget for spec in specs)
        ahead = max(1.0, self._left / max(1, tokens))
        trained = train_adapter_runs(
            self._corpus, specs, self._adapters, self._evaluate, emit, free_here(), ahead=ahead
        )
        self._left -= tokens
        return trained


class OneByOne:
    """Trains one run after another. apart: why runs that were to train together do not, told once."""

    def __init__(self, corpus: Corpus, proxy: HFProxy, evaluate: Evaluator, apart: str = "") -> None:
        self._corpus, self._proxy, self._evaluate, self._apart = corpus, proxy, evaluate, apart

    def __call__(self, specs: Sequence[RunSpec], emit: OnTokens) -> list[TrainedRun]:
        if self._apart:
            why, self._apart = self._apart, ""
            raise NoRunAxis(why)
        return train_hf_runs(self._corpus, specs, self._proxy, self._evaluate, emit)


class DataParallel:
    """Trains each run in as many processes as its configuration asks for, started anew for every chunk."""

    def __init__(self, config: HFSettings, setup: Mapping[str, Any]) -> None:
        self._config, self._setup = config, setup

    def __call__(self, specs: Sequence[RunSpec], emit: OnTokens) -> list[TrainedRun]:
        return _in_processes(self._setup, self._config, specs, emit)


def _in_processes(
    setup: Mapping[str, Any], config: HFSettings, specs: Sequence[RunSpec], emit: OnTokens
) -> list[TrainedRun]:
    import torch

    n = config.processes
    if torch.cuda.is_available() and torch.cuda.device_count() < n:
        raise TrainingError(
            f"processes={n} needs as many GPUs, and {torch.cuda.device_count()} are here; lower it."
        )
    with tempfile.TemporaryDirectory(prefix="causalmix_") as folder:
        job, messages, errors = (Path(folder) / name for name in ("job.json", "messages.jsonl", "errors.txt"))
        runs = [spec.to_dict() for spec in specs]
        job.write_text(
            json.dumps({"setup": dict(setup), "runs": runs, "driver": os.getpid()}), encoding="utf-8"
        )
        messages.touch()
        with errors.open("w", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={n}",
                 "-m", "causalmix_nb.proxies.huggingface.processes", str(job), str(messages)],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True,
                env=_environment(n),
            )  # fmt: skip
        found: list[TrainedRun] = []
        why = ""
        try:
            with messages.open(encoding="utf-8") as lines:
                running = True
                while running:
                    running = process.poll() is None
                    for line in iter(lines.readline, ""):
                        message = json.loads(line)
                        if "tokens" in message:
                            emit(message["tokens"])
                        elif "failed" in message:
                            why = why or message["failed"]
                        else:
                            found.append(TrainedRun(**message))
                    time.sleep(POLL if running else 0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if len(found) < len(specs):
            tail = [
                line
                for line in errors.read_text(encoding="utf-8", errors="replace").splitlines()
                if line.strip()
            ]
            why = why or (tail[-1] if tail else "no message; were they killed, or out of memory?")
            if not found:
                raise TrainingError(f"the {n} processes ended: {why}")
            found += [TrainedRun({}, f"the processes ended: {why}")] * (len(specs) - len(found))
    return found


def _environment(n_processes: int) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[3])
    given = int(os.environ.get("OMP_NUM_THREADS") or cores())
    import torch

    cpu = {} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true"}
    return {
        **os.environ,
        **cpu,
        "OMP_NUM_THREADS": str(max(1, min(given, cores()) // n_processes)),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def _main(job: str, messages: str) -> int:
    """One of the processes: trains its share of every run; the first one tells."""
    todo = json.loads(Path(job).read_text(encoding="utf-8"))
    threading.Thread(target=_end_with, args=(todo["driver"],), daemon=True).start()
    first = os.environ.get("RANK", "0") == "0"

    def tell(message: Mapping[str, Any]) -> None:
        with open(messages, "a", encoding="utf-8") as out:
            out.write(json.dumps(message) + "\n")

    def on_tokens(n: int) -> None:
        if first:
            tell({"tokens": n})

    try:
        setup = todo["setup"]
        folder = Path(setup["folder"])
        corpus = Corpus.open(folder / DATA)
        corpus.check()
        Checked(folder, setup.get("base", {}), BASE_CHANGED).check()
        train = trainer_here(as_config(setup["config"]), setup, corpus)  # type: ignore[arg-type]
        for values in todo["runs"]:
            for run in train([RunSpec.from_dict(values)], on_tokens):
                if first:
                    tell({"outcomes": run.outcomes, "reason": run.reason})
    except CausalMixError as error:
        tell({"failed": str(error)})
        return 1
    except Exception as error:
        tell({"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"})
        raise
    finally:
        import torch.distributed

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 0


def _end_with(driver: int) -> None:
    while True:
        time.sleep(1)
        try:
            os.kill(driver, 0)
        except ProcessLookupError:
            os._exit(1)


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:3]))
