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
from typing import Any

from causalmix_nb.checksums import Checked
from causalmix_nb.data.corpus import Corpus
from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import CausalMixError, TrainingError
from causalmix_nb.launch.hf_cost import free_here
from causalmix_nb.proxies.adapters.runs import AdapterRuns, NoRunAxis, train_adapter_runs, why_alone
from causalmix_nb.proxies.checkpoint import HFConfig, as_config
from causalmix_nb.proxies.huggingface import open_proxy, train_hf_runs
from causalmix_nb.proxies.outcomes import Evaluator
from causalmix_nb.proxies.train import OnTokens, TrainedRun

POLL = 0.2  # seconds between looks at what the processes have written


def train_hf_chunk(
    setup: Mapping[str, Any], specs: Sequence[RunSpec], cache: dict[str, Any], emit: OnTokens
) -> list[TrainedRun]:
    """Train a chunk of a study's runs, here or in as many processes as its configuration asks for.

    Parameters
    ----------
    setup: folder, config, target and seed of the study, and under tokens_in and base_in where its tokens and its base are.
    specs: the runs.
    cache: keeps the loaded checkpoint from one chunk to the next.
    emit: called with the tokens trained on since the last call.

    Raises
    ------
    NoRunAxis: runs that do not train together; said once, afterwards they are trained one after another.
    TrainingError: a checkpoint that cannot be loaded, or processes that end before their first run is done.
    """
    config = _config(setup)
    if config.processes > 1:
        return _in_processes(setup, config, specs, emit)
    if not cache:
        _prepare(setup, config, cache)
    if "adapters" in cache:
        tokens = sum(spec.token_budget for spec in specs)
        ahead = max(1.0, (setup.get("tokens", 0) - cache.get("tokens", 0)) / max(1, tokens))
        trained = train_adapter_runs(
            cache["corpus"], specs, cache["adapters"], cache["evaluate"], emit, free_here(), ahead=ahead
        )
        cache["tokens"] = cache.get("tokens", 0) + tokens
    else:
        if why := cache.pop("why", None):
            raise NoRunAxis(why)
        trained = train_hf_runs(cache["corpus"], specs, cache["proxy"], cache["evaluate"], emit)
    cache["corpus"].check()  # nothing is recorded of data that changed under the training
    return trained


def _config(setup: Mapping[str, Any]) -> HFConfig:
    config = as_config(setup["config"])
    assert isinstance(config, HFConfig)
    return config


def _prepare(setup: Mapping[str, Any], config: HFConfig, cache: dict[str, Any]) -> None:
    folder = Path(setup["folder"])
    corpus = Corpus.open(folder / setup["tokens_in"])
    corpus.check()
    again = "start the launch again, with the base proxy as it is now"
    Checked(folder, setup.get("base", {}), again).check()
    cache.update(
        corpus=corpus,
        evaluate=Evaluator(corpus, config.context, setup["target"], setup.get("score")),
    )
    if why_alone(config) is None:
        try:
            cache["adapters"] = AdapterRuns(config, setup["seed"], folder)
            return
        except NoRunAxis as error:
            cache["why"] = str(error)
    cache["proxy"] = open_proxy(folder, config, setup["seed"], setup["base_in"])


def _in_processes(
    setup: Mapping[str, Any], config: HFConfig, specs: Sequence[RunSpec], emit: OnTokens
) -> list[TrainedRun]:
    import torch

    n = config.processes
    if torch.cuda.is_available() and torch.cuda.device_count() < n:
        raise TrainingError(
            f"processes={n} needs as many GPUs, and {torch.cuda.device_count()} are here; lower it."
        )
    with tempfile.TemporaryDirectory(prefix="causalmix_") as folder:
        job, said, errors = (Path(folder) / name for name in ("job.json", "said.jsonl", "errors.txt"))
        runs = [spec.to_dict() for spec in specs]
        job.write_text(
            json.dumps({"setup": dict(setup), "runs": runs, "driver": os.getpid()}), encoding="utf-8"
        )
        said.touch()
        with errors.open("w", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={n}",
                 "-m", "causalmix_nb.launch.processes", str(job), str(said)],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True,
                env=_environment(n),
            )  # fmt: skip
        found: list[TrainedRun] = []
        why = ""
        try:
            with said.open(encoding="utf-8") as lines:
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
    root = str(Path(__file__).resolve().parents[2])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = int(os.environ.get("OMP_NUM_THREADS") or cores)
    import torch

    cpu = {} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true"}
    return {
        **os.environ,
        **cpu,
        "OMP_NUM_THREADS": str(max(1, min(given, cores) // n_processes)),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def _main(job: str, said: str) -> int:
    """One of the processes: trains its share of every run; the first one tells."""
    todo = json.loads(Path(job).read_text(encoding="utf-8"))
    threading.Thread(target=_end_with, args=(todo["driver"],), daemon=True).start()
    first = os.environ.get("RANK", "0") == "0"

    def tell(message: Mapping[str, Any]) -> None:
        with open(said, "a", encoding="utf-8") as out:
            out.write(json.dumps(message) + "\n")

    def on_tokens(n: int) -> None:
        if first:
            tell({"tokens": n})

    cache: dict[str, Any] = {}
    try:
        _prepare(todo["setup"], _config(todo["setup"]), cache)
        for values in todo["runs"]:
            spec = RunSpec.from_dict(values)
            for run in train_hf_runs(cache["corpus"], [spec], cache["proxy"], cache["evaluate"], on_tokens):
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
