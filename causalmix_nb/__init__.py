"""How much of which data? Mixtures for training language models, by causal inference, in a notebook.

``%load_ext causalmix_nb`` and then ``%causalmix help``; or from Python: :class:`Study`, :class:`Pool`, :class:`Runs`,
:class:`CausalGraph`, :func:`fit`, :func:`do`, :func:`optimize`, :func:`export`. Names are imported when first used, so
that loading the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "CausalGraph": "graph.graph",
    "CausalMixError": "errors",
    "Constraints": "decide.constraints",
    "Domain": "data.pool",
    "HFConfig": "proxies.kinds.causal_lm",
    "Lora": "proxies.huggingface.settings",
    "Mixture": "mixture",
    "Pool": "data.pool",
    "ProxyConfig": "proxies.kinds.byte_gpt",
    "RayExecutor": "launch.executors.ray_cluster",
    "Runs": "runs.store",
    "Study": "study.study",
    "Perturbation": "data.pool",
    "counterfactual": "answers.interventions",
    "demo_pool": "data.demo",
    "do": "answers.interventions",
    "doctor": "launch.checkup",
    "export": "decide.export.export",
    "fit": "methods.fit",
    "interpret": "answers.interpret",
    "optimize": "decide.policy",
}
_FORMERLY = {"Tilt": "Perturbation"}  # names of earlier versions, still understood
__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from causalmix_nb.answers.interpret import interpret as interpret
    from causalmix_nb.answers.interventions import counterfactual as counterfactual
    from causalmix_nb.answers.interventions import do as do
    from causalmix_nb.data.demo import demo_pool as demo_pool
    from causalmix_nb.data.pool import Domain as Domain
    from causalmix_nb.data.pool import Perturbation as Perturbation
    from causalmix_nb.data.pool import Pool as Pool
    from causalmix_nb.decide.constraints import Constraints as Constraints
    from causalmix_nb.decide.export.export import export as export
    from causalmix_nb.decide.policy import optimize as optimize
    from causalmix_nb.errors import CausalMixError as CausalMixError
    from causalmix_nb.graph.graph import CausalGraph as CausalGraph
    from causalmix_nb.launch.checkup import doctor as doctor
    from causalmix_nb.launch.executors.ray_cluster import RayExecutor as RayExecutor
    from causalmix_nb.methods.fit import fit as fit
    from causalmix_nb.mixture import Mixture as Mixture
    from causalmix_nb.proxies.huggingface.settings import Lora as Lora
    from causalmix_nb.proxies.kinds.byte_gpt import ProxyConfig as ProxyConfig
    from causalmix_nb.proxies.kinds.causal_lm import HFConfig as HFConfig
    from causalmix_nb.runs.store import Runs as Runs
    from causalmix_nb.study.study import Study as Study


def __getattr__(name: str) -> Any:
    name = _FORMERLY.get(name, name)
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext causalmix_nb``"""
    from causalmix_nb.magics import magics

    magics.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext causalmix_nb``"""
    from causalmix_nb.magics import magics

    magics.unload(ipython)
