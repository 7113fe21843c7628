"""Names that are the same in every study, by the kind of thing they name: what Tab offers and a help lists.

>>> names("executor")
('inline', 'local', 'ray')
"""

from __future__ import annotations

import re
from importlib import import_module

KINDS = {  # kind -> module and name of what holds the names, and further names
    "method": ("methods.method", "METHODS", ("auto",)),
    "policy": ("decide.policy", "POLICIES", ()),
    "executor": ("launch.executor", "EXECUTORS", ()),
    "format": ("decide.export.formats.format", "FORMATS", ()),
    "rival": ("benchmark.rivals", "RIVALS", ()),
    "baseline": ("decide.baselines.baseline", "BASELINES", ()),
    "graph format": ("graph.formats.format", "FORMATS", ()),
    "evaluation reader": ("runs.evaluations.reader", "READERS", ()),
}


def names(kind: str) -> tuple[str, ...]:
    """The names of a kind; none where they are the study's or the user's (domains, outcomes, variables)."""
    if kind == "training baseline":
        from causalmix_nb.decide.baselines.baseline import BASELINES

        return tuple(name for name, baseline in BASELINES.items() if baseline.trains)
    if kind not in KINDS:
        return ()
    module, attribute, besides = KINDS[kind]
    return (*getattr(import_module(f"causalmix_nb.{module}"), attribute), *besides)


def with_names(text: str, kind: str) -> str:
    """A text with the names in place of ``{names}``, which are of this kind, and of ``{names of KIND}``.

    >>> with_names("{names}; not {names of policy}", "executor")
    'inline, local, ray; not analytic, search, surface, auto'
    """
    return re.sub(r"\{names(?: of ([a-z ]+))?\}", lambda found: ", ".join(names(found[1] or kind)), text)
