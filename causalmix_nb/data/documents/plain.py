"""Whether a row is read as it stands, so that a trainer that knows what its columns hold finds the same text in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causalmix_nb.data.documents.chats import ASSISTANT

EMPTY = frozenset(("no text", "no response", "empty text", "empty response"))  # what trainers pass over too
TURNS = (("role", "content"), ("from", "value"))  # names in a turn that trainers know


def as_it_stands(row: Mapping[str, Any], holds: Mapping[str, str], prompt: str, text: str) -> bool:
    """Whether the columns of a row, put one after another, are the document that was read from it.

    holds: what a column holds -> its name, as in :class:`~causalmix_nb.data.documents.sources.Source`.

    >>> row = {"question": "2+2?", "answer": 4, "label": False}
    >>> as_it_stands(row, {"prompt": "question", "response": "answer"}, "2+2?", "4")
    True
    """
    if "text" in holds:
        return not prompt and _is(row[holds["text"]], text)
    if "messages" in holds:
        system = row[holds["system"]] if "system" in holds else None
        return not system and _trainable(row[holds["messages"]])
    asked = [row[holds[what]] for what in ("system", "prompt", "input") if what in holds and row[holds[what]]]
    answer = row[holds["response"]]
    if isinstance(answer, list):  # turns after turns, and none of them twice
        own = [turn for turn in answer if isinstance(turn, Mapping) and turn.get("role") == "assistant"]
        return len(asked) == 1 and _turns(asked[0]) and _turns(answer) and len(own) == len(answer) == 1
    return all(isinstance(part, (str, int)) for part in asked) and (
        "\n".join(map(str, asked)) == prompt and _is(answer, text)
    )


def _is(value: Any, text: str) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and str(value) == text


def _turns(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(turn, Mapping) and any(who in turn and what in turn for who, what in TURNS)
        for turn in value
    )


def _trainable(value: Any) -> bool:
    """Turns by names that trainers know, the last of them an answer."""
    if not _turns(value) or not value:
        return False
    last = value[-1]
    return str(last.get("role", last.get("from"))).strip().lower() in ASSISTANT
