"""Conversations as they are kept on disk, read as what stands before the last answer and that answer.

| format | turns | a turn |
|---|---|---|
| OpenAI, TRL, Anthropic's API, Gemini | ``messages`` | ``role``; ``content``: text, null, or parts of which the text is read |
| ShareGPT, LLaMA-Factory, Axolotl | ``conversations`` | ``from``, ``value`` |
| dialogues | ``dialog`` | texts in turn, or pairs of (question, answer) |
| hh-rlhf | one string | ``\\n\\nHuman: … \\n\\nAssistant: …`` |

The learnt text is the last turn of the assistant, with its tool calls as JSON; everything before it is the prompt. Trainers also learn the
answers before the last one unless told otherwise (TRL, LLaMA-Factory, Axolotl, OpenAI); here these are context and are counted in a note. What
follows the last answer is not read.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from os.path import commonprefix
from typing import Any

ASSISTANT = frozenset(
    "assistant gpt bot model ai chatgpt chatbot bing bard claude function_call tool_call".split()
)
LISTENER = frozenset(
    "user human prompter system developer tool function observation tool_response ipython".split()
)
ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
CONTENT_KEYS = ("content", "value", "text", "message", "parts")
HUMAN, ANSWER = "\n\nHuman:", "\n\nAssistant:"

Note = Callable[[str], None]
Turn = tuple[str, str, bool]  # role in lower case, text, whether the trainer is told to learn it


class Unreadable(Exception):
    """A row that holds no document; the message is the reason, in a few words."""


def as_text(value: Any, note: Note) -> str | None:
    """A value as the text it stands for; None where there is none.

    Numbers are written as Python does, truth values as JSON does, a list of texts is joined by line breaks. An empty list holds no text.

    >>> as_text(4, print), as_text(True, print), as_text(["a", "b"], lambda said: None)
    ('4', 'true', 'a\\nb')

    Raises
    ------
    Unreadable: a mapping, a list of other things, or bytes that are no UTF-8.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        if value != value:  # how pandas writes a missing value
            return None
        try:
            return str(value)
        except ValueError:
            raise Unreadable("a number with more digits than Python writes") from None
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise Unreadable("bytes that are no UTF-8 text") from None
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return as_text(value.tolist(), note)
    if isinstance(value, Mapping):
        raise Unreadable("a mapping where text belongs")
    if isinstance(value, (list, tuple)):
        pieces = [as_text(item, note) for item in value if not isinstance(item, (list, tuple))]
        if len(pieces) < len(value):
            raise Unreadable("a list of lists where text belongs")
        note("lists of texts were joined by line breaks")
        return "\n".join(piece for piece in pieces if piece is not None) if pieces else None
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return str(value)  # dates, decimals


def is_chat(value: Any) -> bool:
    """Whether a value is a list of turns that name who speaks."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or not value:
        return False
    first = next((turn for turn in value if turn is not None), None)
    return isinstance(first, Mapping) and any(first.get(key) is not None for key in ROLE_KEYS)


def turns_of(value: Any, note: Note) -> list[Turn]:
    """The turns of a conversation, in any of the formats above; turns without text are left out.

    Raises
    ------
    Unreadable: what is no conversation.
    """
    if isinstance(value, (bytes, bytearray)):
        value = as_text(value, note)
    if isinstance(value, str):
        value = _parsed(value)
        if isinstance(value, str):
            return marked_turns(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        value = _rows_of(value)
    if not isinstance(value, (list, tuple)):
        raise Unreadable(f"a conversation that is a {type(value).__name__}")
    turns = [turn for turn in value if turn is not None]
    if not turns:
        raise Unreadable("a conversation without turns")
    if all(isinstance(turn, str) for turn in turns):
        note("the last of several utterances without speakers was taken as the answer")
        return [(("user", "assistant")[i == len(turns) - 1], text, True) for i, text in enumerate(turns)]
    if all(isinstance(turn, (list, tuple)) and len(turn) == 2 for turn in turns):
        pairs = [
            (role, as_text(text, note)) for turn in turns for role, text in zip(("user", "assistant"), turn)
        ]
        return [(role, text, True) for role, text in pairs if text is not None]
    return [turn for turn in (_turn(turn, note) for turn in turns) if turn is not None]


def last_answer(turns: Sequence[Turn], note: Note) -> tuple[str, str]:
    """(everything before the last answer, that answer).

    >>> last_answer([("user", "2+2?", True), ("assistant", "4", True)], print)
    ('2+2?\\n', '4')

    Raises
    ------
    Unreadable: nobody answers, or the last answer is empty.
    """
    answers = [i for i, (role, _, learnt) in enumerate(turns) if role in ASSISTANT and learnt]
    if not answers:
        unknown = sorted({role for role, _, _ in turns} - ASSISTANT - LISTENER)
        if unknown:
            raise Unreadable(
                f"a conversation without an answer of the assistant (it has {', '.join(unknown)[:60]})"
            )
        raise Unreadable("a conversation without an answer of the assistant")
    last = answers[-1]
    if not turns[last][1].strip():
        raise Unreadable("a conversation whose last answer is empty")
    if len(answers) > 1:
        note("answers before the last one were read as context and are not learnt")
    if last < len(turns) - 1:
        note("turns after the last answer were not read")
    before = [text for _, text, _ in turns[:last] if text]
    marked = bool(before) and before[-1].endswith(ANSWER)  # hh-rlhf's mark ends a prompt by itself
    return "\n".join(before) + ("\n" if before and not marked else ""), turns[last][1]


def marked_turns(text: str) -> list[Turn]:
    """The turns of a string that marks them with ``Human:`` and ``Assistant:``; what stands before the answer is one turn.

    Raises
    ------
    Unreadable: a string without these marks.
    """
    head, mark, answer = text.rpartition(ANSWER)
    if not mark:
        raise Unreadable("a conversation that is a text without Human: and Assistant:")
    if HUMAN in answer:
        raise Unreadable("a conversation without an answer after its last question")
    return [("user", head + mark, True), ("assistant", answer.removeprefix(" "), True)]


def apart(chosen: str, rejected: Any) -> tuple[str, str]:
    """The prompt that two answers share at their beginning, and what follows it in the chosen one, as TRL takes them apart."""
    shared = len(commonprefix([chosen, rejected])) if isinstance(rejected, str) else 0
    if shared == len(chosen):  # nothing of its own
        shared = 0
    if shared and chosen[shared - 1] == " ":
        shared -= 1
    return chosen[:shared], chosen[shared:]


def _parsed(text: str) -> Any:
    """A conversation that was written into a cell: JSON, or what Python prints of a list."""
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    raise Unreadable("a conversation whose text is no JSON")


def _rows_of(value: Mapping[str, Any]) -> Any:
    """The turns in a mapping: under a name, or as columns of roles and contents, or one turn."""
    for key in ("messages", "conversations", "conversation", "turns"):
        if isinstance(value.get(key), (list, tuple)):
            return value[key]
    role = next((key for key in ROLE_KEYS if value.get(key) is not None), None)
    if role is None:
        raise Unreadable("a mapping that is no conversation")
    if not isinstance(value[role], (list, tuple)):
        return [value]
    columns = {key: held for key, held in value.items() if isinstance(held, (list, tuple))}
    if len({len(held) for held in columns.values()}) != 1:
        raise Unreadable("a conversation with more speakers than turns, or fewer")
    return [dict(zip(columns, held)) for held in zip(*columns.values())]


def _turn(turn: Any, note: Note) -> Turn | None:
    if not isinstance(turn, Mapping):
        raise Unreadable(f"a turn that is a {type(turn).__name__}")
    role = next((turn[key] for key in ROLE_KEYS if turn.get(key) is not None), None)
    if isinstance(role, Mapping):  # an export of ChatGPT: {"author": {"role": …}}
        role = role.get("role")
    if role is None:
        raise Unreadable("a turn that does not say who speaks")
    role = str(role).strip().lower()
    content = next((turn[key] for key in CONTENT_KEYS if turn.get(key) is not None), None)
    pieces = _content(content, note)
    calls = turn.get("tool_calls") or ([turn["function_call"]] if turn.get("function_call") else [])
    if isinstance(calls, str):
        pieces = [*pieces, calls]
    elif isinstance(calls, (list, tuple)):
        pieces = [*pieces, *(_call(call) for call in calls if call)]
    text = "\n".join(piece for piece in pieces if piece)
    weight = turn.get("weight")
    if not text and role not in ASSISTANT:
        return None
    return role, text, not (isinstance(weight, (int, float)) and weight == 0)


def _content(content: Any, note: Note) -> list[str]:
    """The texts of a turn; pictures and sounds are skipped aloud."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, Mapping):
        if isinstance(content.get("parts"), (list, tuple)):
            return _content(content["parts"], note)
        content = [content]
    if not isinstance(content, (list, tuple)):
        text = as_text(content, note)
        return [] if text is None else [text]
    found = []
    for part in content:
        if isinstance(part, Mapping):
            if part.get("type") in ("thinking", "reasoning", "redacted_thinking"):
                note("thoughts beside the answers were not read")
                continue
            inner = next(
                (part[key] for key in ("text", "refusal", "content", "value") if part.get(key) is not None),
                None,
            )
            if inner is None or part.get("type") in (
                "image",
                "image_url",
                "input_image",
                "audio",
                "input_audio",
                "video",
                "file",
            ):
                if part.get("type") in ("tool_use", "tool_call", "function_call"):
                    found.append(_call(part))
                elif any(held is not None for held in part.values()):
                    note("pictures and other parts that are no text were skipped")
                continue
            found += _content(inner, note)
        elif part is not None:
            found += _content(part, note)
    return found


def _call(call: Any) -> str:
    """A call of a tool as one line of JSON: its name and its arguments."""
    if not isinstance(call, Mapping):
        return str(call)
    inner = call["function"] if isinstance(call.get("function"), Mapping) else call
    arguments: Any = next(
        (inner[key] for key in ("arguments", "input", "parameters") if inner.get(key) is not None), {}
    )
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            pass  # as the model wrote it
    try:
        return json.dumps(
            {"name": inner.get("name"), "arguments": arguments}, ensure_ascii=False, default=str
        )
    except (ValueError, RecursionError):
        raise Unreadable("a call of a tool that cannot be written as JSON") from None
