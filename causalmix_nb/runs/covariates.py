"""Covariates that earlier versions recorded under abbreviations, read by the names of today."""

from __future__ import annotations

from collections.abc import Mapping

RENAMED = {"hes": "top_token_entropy", "style": "readability_grade"}


def todays(name: str) -> str:
    """The name of a covariate, of one domain or of all.

    >>> todays("code.hes"), todays("style"), todays("code.loss")
    ('code.top_token_entropy', 'readability_grade', 'code.loss')
    """
    domain, dot, covariate = name.rpartition(".")
    return domain + dot + RENAMED.get(covariate, covariate)


def todays_state(state: Mapping[str, float]) -> dict[str, float]:
    """A recorded state by the names of today. Only what was measured as one is renamed: a domain that has a loss and all of the
    abbreviations; a column of somebody's own that is called ``style`` stays.

    >>> todays_state({"code.loss": 1.0, "code.hes": 2.0, "code.style": 9.0, "law.style": 3.0})
    {'code.loss': 1.0, 'code.top_token_entropy': 2.0, 'code.readability_grade': 9.0, 'law.style': 3.0}
    """

    def measured(name: str) -> bool:
        beside = name.rpartition(".")[:2]
        return all("".join((*beside, other)) in state for other in ("loss", *RENAMED))

    return {todays(name) if measured(name) else name: value for name, value in state.items()}
