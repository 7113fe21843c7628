"""Names that are the same in every study, by the kind of thing they name: what Tab offers and a help lists.

>>> names("executor")
('inline', 'local', 'ray')
"""

from __future__ import annotations

from importlib import import_module

KINDS = {  # kind -> module and name of what holds the names, and further names
    "method": ("methods.method", "METHODS", ("auto",)),
    "policy": ("decide.policy", "POLICIES", ()),
    "executor": ("launch.executor", "EXECUTORS", ()),
    "format": ("decide.export.formats.format", "FORMATS", ()),
    "rival": ("benchmark.rivals", "RIVALS", ()),
    "baseline": ("decide.baselines.baseline", "BASELINES", ()),
}


def names(kind: str) -> tuple[str, ...]:
    """The names of a kind; none where they are the study's or the user's (domains, outcomes, variables)."""
    if kind not in KINDS:
        return ()
    module, attribute, besides = KINDS[kind]
    return (*getattr(import_module(f"causalmix_nb.{module}"), attribute), *besides)
