"""Chunks of runs on a Ray cluster: one task per chunk, fractions of a GPU if wanted, and only this process writes the store.

The nodes need the same Python environment, but no shared file system: the token arrays and the base proxy travel once through Ray's object
store and are unpacked once per node, into a temporary folder that is removed at the end. What a task sends back are the messages of
:mod:`causalmix_nb.launch.chunk`, so that runs are recorded as if they had been trained here; how many of them train together follows the size of the
cluster, which changes rounding and nothing else.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causalmix_nb.design.simplex import RunSpec
from causalmix_nb.errors import TrainingError
from causalmix_nb.launch.chunk import Chunks, Message, Take, attempt_all
from causalmix_nb.launch.executor import EXECUTORS, Work, workers_here
from causalmix_nb.proxies.config import BASE, DATA, Trainable

QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}  # nothing is reported to anybody
OURS = {"RAY_AUTH_MODE": "disabled"}  # a cluster of this machine alone writes no token into the home folder
STALE = (
    2 * 86_400
)  # seconds after which a folder that a killed launch left on a node is removed by the next one
_cache: dict[str, dict[str, Any]] = {}  # in a worker of Ray: launch -> what its chunks share


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """Train on a Ray cluster: ``study.run(executor=RayExecutor(gpus_per_chunk=0.25))``; needs the extra ``[ray]``.

    Parameters
    ----------
    address: of the cluster, "auto" for the one of this machine; None uses one that is there, else starts one of this machine's cores.
    cpus_per_chunk, gpus_per_chunk: what one chunk of runs occupies; a quarter of a GPU trains four chunks on each.
    retries: times that a chunk whose node or process died is tried again as it was, before it goes on in halves.

    >>> RayExecutor(gpus_per_chunk=0.25).needs
    '1 CPU and 0.25 GPU'
    """

    address: str | None = None
    cpus_per_chunk: float = 1
    gpus_per_chunk: float = 0.0
    retries: int = 3

    name = "ray"
    here = False
    remark = "time and memory are those of this machine; a Ray cluster shares the work among its places"

    def __post_init__(self) -> None:
        for name in ("cpus_per_chunk", "gpus_per_chunk"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise TrainingError(f"{name} is {value!r}; give a number of at least 0.")
        if not self.cpus_per_chunk and not self.gpus_per_chunk:
            raise TrainingError(
                "a chunk that occupies neither a CPU nor a GPU cannot be placed; give cpus_per_chunk or gpus_per_chunk."
            )
        if self.gpus_per_chunk > 1 and self.gpus_per_chunk % 1:
            raise TrainingError(
                f"gpus_per_chunk is {self.gpus_per_chunk}; Ray shares out fractions below 1 and whole GPUs above."
            )
        if not (isinstance(self.retries, int) and self.retries >= 0):
            raise TrainingError(f"retries is {self.retries!r}; give a whole number of at least 0.")

    @property
    def needs(self) -> str:
        """What a chunk occupies, in words."""
        wanted = {"CPU": self.cpus_per_chunk, "GPU": self.gpus_per_chunk}
        return " and ".join(f"{value:g} {name}" for name, value in wanted.items() if value)

    @property
    def code(self) -> str:
        return f"cm.{self!r}"

    @property
    def options(self) -> list[str]:
        words = ["--address", self.address] if self.address else []
        return words + (["--gpus", f"{self.gpus_per_chunk:g}"] if self.gpus_per_chunk else [])

    def workers(self, n_runs: int, asked: int | None, config: Trainable) -> int:
        """Those that this machine would take: what a cluster takes is known when it is connected."""
        return workers_here(n_runs, asked, config)

    def train(self, work: Work) -> None:
        _run(self, work)


def _run(executor: RayExecutor, work: Work) -> None:
    """Train runs on a cluster, in chunks that are made when it is known how many are trained at once.

    Raises
    ------
    TrainingError: no Ray, no cluster at the address, one that cannot hold a chunk, or nodes with another environment.
    """
    take, setup = work.take, work.setup_for(1)
    take({"remark": "connecting to Ray"})
    with _connected(executor) as ray:
        slots = _slots(ray, executor)
        if not slots:
            raise TrainingError(
                f"no node of the Ray cluster offers the {executor.needs} of a chunk; ask for less, or add nodes."
            )
        take({"remark": f"on {slots} places of a Ray cluster"})
        files = {name: ray.put(content) for name, content in _contents(work.folder).items()}
        launch = uuid.uuid4().hex
        task = ray.remote(
            num_cpus=executor.cpus_per_chunk, num_gpus=executor.gpus_per_chunk, num_returns="streaming",
            max_retries=0, max_calls=0,
        )(_train_chunk)  # fmt: skip
        try:
            chunks = Chunks(work.divided(slots, work.config.width(len(work.jobs))), executor.retries)
            _drive(ray, task, (launch, files, setup), chunks, work.jobs, take)
        finally:
            _clean_up(ray, launch)


def _drive(
    ray: Any, task: Any, shared: tuple[Any, ...], chunks: Chunks, jobs: Mapping[str, RunSpec], take: Take
) -> None:
    """Submit chunks, take their messages as they come, submit again what was lost."""
    running: dict[Any, list[str]] = {}
    try:
        while chunks or running:
            while chunks:  # all of them, so that a cluster that grows with its work knows how much there is
                keys = chunks.next()
                running[task.remote(*shared, {key: jobs[key].to_dict() for key in keys})] = keys
            ready, _ = ray.wait(list(running), num_returns=1, timeout=0.5)
            if not ready:
                take({})  # whoever watches may want to stop
                continue
            stream = ready[0]
            try:
                message = ray.get(next(stream))
            except StopIteration:
                message = {"broken": "its task ended without a result"}
            except (ray.exceptions.RayTaskError, ray.exceptions.RuntimeEnvSetupError) as error:
                text = str(getattr(error, "cause", None) or error).strip().splitlines()[-1]
                raise TrainingError(
                    f"the cluster cannot train ({text}); its nodes need the same Python environment as this one."
                ) from None
            except ray.exceptions.OutOfMemoryError:
                message = {"too_large": "its node ran out of memory"}
            except ray.exceptions.RayError as error:
                message = {"broken": f"its node or process died ({type(error).__name__})"}
            if "broken" in message or "too_large" in message:
                reason = message.get("broken") or message["too_large"]
                take(chunks.lost(running.pop(stream), reason, too_large="too_large" in message))
                continue
            if "apart" in message:
                take(chunks.apart(running.pop(stream), message["apart"]))
                continue
            if "results" in message:
                del running[stream]
            take(message)
    finally:
        for stream in running:
            with contextlib.suppress(Exception):  # the cluster may be gone
                ray.cancel(stream, force=True)


@contextlib.contextmanager
def _connected(executor: RayExecutor) -> Iterator[Any]:
    """Ray, connected; what was connected before stays so, what is started here ends here."""
    before = {name: os.environ.get(name) for name in (*QUIET, *OURS)}
    wanted = QUIET if executor.address else QUIET | OURS
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        try:
            import ray
        except ImportError:
            raise TrainingError(
                "training on a Ray cluster needs Ray; install it with: pip install 'causalmix_nb[ray]'"
            ) from None
        mine = not ray.is_initialized()
        if mine:
            _reachable(executor.address)
            more: dict[str, Any] = {}
            if executor.address:  # other machines get this package's code; what it imports they must have
                more["runtime_env"] = {"py_modules": [str(Path(__file__).resolve().parents[2])]}
            try:
                ray.init(
                    address=executor.address,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=40,
                    **more,
                )
            except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
                raise TrainingError(
                    f"no Ray cluster can be reached at {executor.address or 'this machine'} "
                    f"({str(error).strip().splitlines()[0]}); start one with: ray start --head"
                ) from None
        try:
            yield ray
        finally:
            if mine:
                ray.shutdown()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def _reachable(address: str | None) -> None:
    """Ask at the door of a cluster: Ray itself knocks for minutes."""
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdigit():
        if address and "://" in address:
            raise TrainingError(f"{address} is no address of a cluster's head; give host:port, or auto.")
        return  # auto, or none: Ray looks on this machine
    if "://" in host:
        raise TrainingError(
            f"{address} is the address of a Ray client, whose tasks cannot report while they work; "
            "give the one of the cluster's head, host:port (6379 as a rule), from a machine of the cluster."
        )
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise TrainingError(
            f"no Ray cluster can be reached at {address} ({error.strerror or error}); start one with: ray start --head"
        ) from None


def _slots(ray: Any, executor: RayExecutor) -> int:
    """Chunks that the cluster trains at once."""
    total = 0
    for node in ray.nodes():
        has = node["Resources"] if node["Alive"] else {}
        wanted = {"CPU": executor.cpus_per_chunk, "GPU": executor.gpus_per_chunk}
        total += min(math.floor(has.get(name, 0) / value + 1e-9) for name, value in wanted.items() if value)
    return total


def _contents(folder: Path) -> dict[str, bytes]:
    """The files that training reads, by their names in the study's folder."""
    paths = [path for path in sorted((folder / DATA).rglob("*")) if path.is_file()]
    if (folder / BASE).exists():
        paths.append(folder / BASE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _train_chunk(
    launch: str, files: Mapping[str, Any], setup: dict[str, Any], specs: Mapping[str, Any]
) -> Iterator[Message]:
    """The task, on a node: unpacks the study if that was not done there yet, trains, and yields messages."""
    import torch

    try:
        folder = _unpacked(launch, files)
    except OSError as error:
        yield {"broken": f"node {os.uname().nodename} cannot unpack the pool ({error.strerror})"}
        return
    if launch not in _cache:
        _cache.clear()
        _cache[launch] = {}
    torch.set_num_threads(
        max(1, int(os.environ.get("OMP_NUM_THREADS") or 1))
    )  # Ray sets it to the CPUs of the task
    jobs = {key: RunSpec.from_dict(spec) for key, spec in specs.items()}
    messages: queue.Queue[Message] = queue.Queue()

    def train() -> None:
        messages.put(
            attempt_all(
                {**setup, "folder": str(folder)},
                jobs,
                _cache[launch],
                lambda tokens: messages.put({"tokens": tokens}),
            )
        )

    threading.Thread(target=train, daemon=True).start()
    while True:
        message = messages.get()
        yield message
        if message.keys() & {"results", "too_large", "apart"}:
            return


def _place(launch: str) -> Path:
    return Path(tempfile.gettempdir()) / f"causalmix-{os.getuid() if hasattr(os, 'getuid') else 0}-{launch}"


def _unpacked(launch: str, files: Mapping[str, Any]) -> Path:
    """The folder of a study on this node, whole; several processes may ask for it at once."""
    import ray

    place = _place(launch)
    if place.exists():
        return place
    for left in place.parent.glob(f"{place.name.rsplit('-', 1)[0]}-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left)
    partial = Path(tempfile.mkdtemp(prefix=f"{place.name}-"))
    try:
        for name, content in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(ray.get(content))
        with contextlib.suppress(OSError):  # another process of this node was faster
            partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place


def _remove(launch: str) -> None:
    for left in _place(launch).parent.glob(f"{_place(launch).name}*"):
        shutil.rmtree(left, ignore_errors=True)


def _clean_up(ray: Any, launch: str) -> None:
    """Remove what was unpacked, on every node that is alive; nothing is waited for long."""
    with contextlib.suppress(Exception):  # the cluster may be gone: the next launch removes what is stale
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remove = ray.remote(num_cpus=0)(_remove)
        refs = [
            remove.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(launch)
            for node in ray.nodes()
            if node["Alive"]
        ]
        ray.wait(refs, num_returns=len(refs), timeout=10)


EXECUTORS.register(RayExecutor())
