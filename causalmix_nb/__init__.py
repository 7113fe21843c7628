"""How much of which data? Mixtures for training language models, by causal inference, in a notebook.

``%load_ext causalmix_nb`` and then ``%causalmix help``; or from Python: :class:`Study`, :class:`Pool`, :class:`Runs`,
:class:`CausalGraph`, :func:`fit`, :func:`do`, :func:`optimize`, :func:`export`. Names are imported when first used, so
that loading the package costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "CausalGraph": "graph",
    "CausalMixError": "errors",
    "Constraints": "constraints",
    "Domain": "pool",
    "HFConfig": "checkpoint",
    "Lora": "checkpoint",
    "Mixture": "mixture",
    "Pool": "pool",
    "ProxyConfig": "proxy",
    "RayExecutor": "ray_cluster",
    "Runs": "runs",
    "Study": "study",
    "Tilt": "pool",
    "counterfactual": "interventions",
    "demo_pool": "demo",
    "do": "interventions",
    "doctor": "doctor",
    "export": "export",
    "fit": "fit",
    "interpret": "interpret",
    "optimize": "policy",
}
__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from causalmix_nb.checkpoint import HFConfig as HFConfig
    from causalmix_nb.checkpoint import Lora as Lora
    from causalmix_nb.constraints import Constraints as Constraints
    from causalmix_nb.demo import demo_pool as demo_pool
    from causalmix_nb.doctor import doctor as doctor
    from causalmix_nb.errors import CausalMixError as CausalMixError
    from causalmix_nb.export import export as export
    from causalmix_nb.fit import fit as fit
    from causalmix_nb.graph import CausalGraph as CausalGraph
    from causalmix_nb.interpret import interpret as interpret
    from causalmix_nb.interventions import counterfactual as counterfactual
    from causalmix_nb.interventions import do as do
    from causalmix_nb.mixture import Mixture as Mixture
    from causalmix_nb.policy import optimize as optimize
    from causalmix_nb.pool import Domain as Domain
    from causalmix_nb.pool import Pool as Pool
    from causalmix_nb.pool import Tilt as Tilt
    from causalmix_nb.proxy import ProxyConfig as ProxyConfig
    from causalmix_nb.ray_cluster import RayExecutor as RayExecutor
    from causalmix_nb.runs import Runs as Runs
    from causalmix_nb.study import Study as Study


class _Package(ModuleType):
    """Some functions share their name with the module they live in (``fit``, ``export``, ``interpret``, ``doctor``).

    Importing such a submodule binds the module to the package's attribute; here the function stays in front.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _WHERE.get(name) == name:
            value = getattr(value, name, value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext causalmix_nb``"""
    from causalmix_nb import magics

    magics.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext causalmix_nb``"""
    from causalmix_nb import magics

    magics.unload(ipython)
