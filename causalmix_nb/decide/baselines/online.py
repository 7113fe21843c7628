"""DoReMi and Online Data Mixing as baselines: they train a proxy of their own (:mod:`causalmix_nb.proxies.online`)."""

from __future__ import annotations

from functools import partial

from causalmix_nb.decide.baselines.baseline import BASELINES, Baseline, Case, Lab
from causalmix_nb.errors import StudyError, did_you_mean
from causalmix_nb.mixture import Mixture
from causalmix_nb.proxies.online import OnlineMixture, doremi, online_data_mixing


def _doremi(lab: Lab) -> OnlineMixture:
    corpus, config, weights, budget = lab.proxy()
    return doremi(corpus, config, weights, budget, corpus.natural, seed=lab.seed)


def _odm(lab: Lab) -> OnlineMixture:
    return online_data_mixing(*lab.proxy(), seed=lab.seed)


ONLINE = {"doremi": _doremi, "odm": _odm}


def online(lab: Lab, method: str) -> OnlineMixture:
    """The mixture of DoReMi (``"doremi"``, against a reference on the natural mixture) or Online Data Mixing (``"odm"``).

    Raises
    ------
    StudyError: an unknown method, or a kind of proxy that cannot be trained so.
    """
    if method not in ONLINE:
        raise StudyError(
            f"unknown online method {method!r}.{did_you_mean(method, ONLINE)} Use doremi or odm."
        )
    return ONLINE[method](lab)


def _found(method: str, case: Case) -> Mixture:
    return online(case.need_lab(), method).mixture


BASELINES.register(Baseline("doremi", "DoReMi, trained", partial(_found, "doremi"), trains=True))
BASELINES.register(Baseline("odm", "Online Data Mixing, trained", partial(_found, "odm"), trains=True))
