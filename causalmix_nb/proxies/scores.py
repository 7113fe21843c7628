"""Scores of your own as outcomes: a function that is given each trained proxy and returns a number, or several by name.

The proxy has ``token_losses(windows)``: windows of tokens (1, B, L + 1), bytes unless the proxy has a tokenizer, give the loss in nats of every
next token (1, B, L); and ``likeliest(tokens)``. A function in a file that workers can import is named ``"module:function"``.

>>> sorted(as_results("quiz", {"easy": 0.5, "hard": 0.1}))
['easy', 'hard']
>>> as_results("quiz", 0.25)
{'quiz': 0.25}
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from causalmix_nb.errors import TrainingError

Score = Callable[[Any], Any]


def as_score(score: str | Score | None, here: bool) -> str | Score | None:
    """A score as those who train can use it: itself in this process, else the name under which they import it.

    Raises
    ------
    TrainingError: a name that leads to no function, or a function that other processes cannot import.
    """
    if score is None:
        return None
    if isinstance(score, str):
        load_score(score)
        return score
    if not callable(score):
        raise TrainingError(
            f"score is a {type(score).__name__}; give a function, or its name as 'module:function'."
        )
    if here:
        return score
    module, name = getattr(score, "__module__", ""), getattr(score, "__qualname__", "")
    found = getattr(sys.modules.get(module), name, None) if module not in ("", "__main__") else None
    if found is not score:
        raise TrainingError(
            f"workers cannot see {name or 'this score'}, a function of this process; write it into a file and give 'module:function', "
            "or use executor='inline' (--executor inline)."
        )
    return f"{module}:{name}"


def load_score(score: str | Score) -> Score:
    """The function that a name stands for.

    Raises
    ------
    TrainingError: no such module or function.
    """
    if not isinstance(score, str):
        return score
    module, colon, name = score.partition(":")
    if not colon or not module or not name:
        raise TrainingError(f"the score {score!r} is no 'module:function'; write for example my_scores:quiz.")
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        raise TrainingError(
            f"the score {score!r} cannot be imported ({error}); is the file in the folder that the notebook runs in, or on PYTHONPATH?"
        ) from None
    except AttributeError:
        raise TrainingError(f"{module!r} has no function {name!r}; check the score {score!r}.") from None
    if not callable(found):
        raise TrainingError(f"{score!r} is a {type(found).__name__}; a score is a function of the proxy.")
    return found


def score_runs(
    score: Score, proxies: list[Any], taken: frozenset[str] = frozenset()
) -> list[dict[str, float]]:
    """What a score says of every proxy. taken: names of outcomes that are there already.

    Raises
    ------
    TrainingError: a score that fails, returns no number, or uses a name that is taken.
    """
    name = getattr(score, "__name__", type(score).__name__)
    found = []
    for proxy in proxies:
        try:
            results = as_results(name, score(proxy))
        except TrainingError:
            raise
        except Exception as error:
            raise TrainingError(
                f"the score {name} failed on a trained proxy: {type(error).__name__}: {error}"
            ) from error
        if clash := taken & results.keys():
            raise TrainingError(
                f"the score {name} returns {min(clash)!r}, which is an outcome already; call it something else."
            )
        found.append({key: value for key, value in results.items() if math.isfinite(value)})
    return found


def as_results(name: str, value: Any) -> dict[str, float]:
    """A number under the score's name, or numbers under their own.

    Raises
    ------
    TrainingError: anything else.
    """
    values = value if isinstance(value, Mapping) else {name: value}
    try:
        return {str(key): float(number) for key, number in values.items()}
    except (TypeError, ValueError):
        raise TrainingError(
            f"the score {name} returned a {type(value).__name__}; return a number, or a dict of name -> number."
        ) from None
