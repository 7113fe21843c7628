"""Rows of any table, one after another, read as documents: a text, or a prompt with the response to be learnt.

A row is a mapping of column to value; which of its columns are read is decided row by row, by the first line that fits it:

| columns | prompt | text |
|---|---|---|
| a prompt and a response | prompt, after a system text, with ``input`` or ``context`` | response |
| ``chosen`` (and ``rejected``) | ``prompt``, or what the two have in common | the chosen side |
| ``text``, ``content``, ``document`` | | that text |
| ``messages``, ``conversations``, ``dialog`` … | all before the last answer | the last answer (:mod:`causalmix_nb.data.documents.chats`) |

Prompts and responses may be lists of turns themselves. A row that holds no document is counted with its reason, and so is what was read in a
way that someone might not expect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from causalmix_nb.data.documents.chats import (
    HUMAN,
    Unreadable,
    apart,
    as_text,
    is_chat,
    last_answer,
    marked_turns,
    turns_of,
)
from causalmix_nb.data.documents.plain import EMPTY, as_it_stands
from causalmix_nb.errors import PoolError, did_you_mean, listed

TEXT_COLUMNS = ("text", "content", "document", "raw_content")
PROMPT_COLUMNS = ("prompt", "question", "instruction", "query", "problem", "input", "inputs")
RESPONSE_COLUMNS = ("response", "answer", "output", "completion", "solution", "target", "targets")
CHAT_COLUMNS = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "turns")
SYSTEM_COLUMNS = ("system", "system_prompt")
EXTRA_COLUMNS = {"instruction": ("input", "context"), "question": ("context",)}  # belong to such a prompt
PREFERRED, REJECTED, HISTORY, LABEL = "chosen", "rejected", "history", "label"
KNOWN = frozenset(
    (*TEXT_COLUMNS, *PROMPT_COLUMNS, *RESPONSE_COLUMNS, *CHAT_COLUMNS, *SYSTEM_COLUMNS, "context")
) | {PREFERRED, REJECTED, HISTORY, LABEL}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DomainReport:
    """What became of the rows of one domain.

    >>> DomainReport(rows=3, documents=2, left_out={"empty text": 1}, first={"empty text": "row 2"}).why
    '1 empty text (row 2)'
    """

    rows: int  # that were there
    documents: int  # that were read from them
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> rows
    first: dict[str, str] = field(default_factory=dict)  # reason -> where it was met first
    columns: dict[str, int] = field(default_factory=dict)  # how a document was read -> documents
    notes: dict[str, int] = field(default_factory=dict)  # what else to know -> documents

    @property
    def n_left_out(self) -> int:
        return sum(self.left_out.values())

    @property
    def why(self) -> str:
        """The reasons with their rows, the most frequent first."""
        reasons = sorted(self.left_out.items(), key=lambda item: -item[1])
        return "; ".join(
            f"{n:,} {why} ({self.first[why]})" if why in self.first else f"{n:,} {why}" for why, n in reasons
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """Everything that is worth a sentence, the rows that were left out first."""
        of = f" of {self.rows:,}" if self.documents else ""
        lines = [f"{self.n_left_out:,}{of} rows left out: {self.why}"] if self.left_out else []
        if len(self.columns) > 1:
            lines += [f"{how} ({n:,} of {self.documents:,})" for how, n in self.columns.items()]
        return (*lines, *(f"{note} ({n:,} documents)" if n else note for note, n in self.notes.items()))


@dataclass(frozen=True, slots=True)
class Unread:
    """A place in a file where a row should be and none can be read."""

    reason: str


Placed = tuple["Row | Unread", str]  # a row and what it is called


class DocumentReader:
    """Reads rows as (prompt, text) and counts what it met.

    Parameters
    ----------
    columns: text_column, prompt_column and response_column, where their names are not the usual ones.

    >>> reader = DocumentReader()
    >>> reader.read({"instruction": "Add.", "input": "2+2", "output": 4}, "row 1")
    ('Add.\\n2+2', '4')
    >>> reader.read({"instruction": "Add.", "input": "2+2", "output": None}, "row 2")
    >>> reader.report().why
    '1 no response (row 2)'
    """

    def __init__(self, columns: Mapping[str, str | None] | None = None) -> None:
        self._given = {what: (columns or {}).get(f"{what}_column") for what in ("text", "prompt", "response")}
        self._layouts: dict[tuple[Any, ...], list[_Layout]] = {}
        self._rows = self._documents = 0
        self._left_out: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._columns: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self._plain = True
        self._held: dict[str, dict[str, str]] = {}

    def read(self, row: Row | Unread, where: str) -> tuple[str, str] | None:
        """(prompt, text) of a row, or None where it holds no document.

        where: what the row is called if it has to be named, for example ``"line 17"``.
        """
        self._rows += 1
        noted: list[str] = []
        try:
            if isinstance(row, Unread):
                raise Unreadable(row.reason)
            layout = self._layout(row)
            prompt, text = layout.read(row, noted.append)
            if not text.strip():
                raise Unreadable("empty text" if not layout.response else "empty response")
        except Unreadable as error:
            self._leave(str(error), where)
            return None
        except RecursionError:
            self._leave("values nested too deeply", where)
            return None
        if "\0" in text or "\0" in prompt:
            noted.append("NUL characters become spaces when the study is made")
        self._documents += 1
        self._columns[layout.label] += 1
        self._held[layout.label] = layout.holds
        self._plain = self._plain and as_it_stands(row, layout.holds, prompt, text)
        if noted:
            self._notes.update(set(noted))
        return prompt, text

    def leave(self, reason: str, where: str) -> None:
        """Count a row that is not asked for a document."""
        self._rows += 1
        self._leave(reason, where)

    def note(self, remark: str, n_documents: int = 0) -> None:
        """Keep something else that is worth saying of this domain."""
        self._notes[remark] += n_documents

    @property
    def holds(self) -> dict[str, str] | None:
        """What the columns hold (see :class:`Source`), None where rows were read in ways that a trainer does not read them."""
        read = set(self._left_out) <= EMPTY and self._plain and len(self._held) == 1
        return next(iter(self._held.values())) if read else None

    def take_over(self, other: DomainReport) -> None:
        """Count the rows of a domain that has no document as rows of none."""
        self._rows += other.rows
        self._left_out.update(other.left_out)
        for reason, where in other.first.items():
            self._first.setdefault(reason, where)

    def report(self) -> DomainReport:
        """What was met so far."""
        notes = dict(self._notes)
        unread = self._not_read()
        if unread and self._documents:
            notes[f"columns not read: {listed(unread)}"] = 0
        return DomainReport(
            self._rows, self._documents, dict(self._left_out), dict(self._first), dict(self._columns), notes
        )

    def check(self, what: str) -> None:
        """Say why there is no document at all, or that a column that was named is nowhere.

        Raises
        ------
        PoolError
        """
        has = [str(name) for name in dict.fromkeys(name for names in self._layouts for name in names)]
        for kind, column in self._given.items():
            if column and has and column not in has:
                raise PoolError(
                    f"there is no {kind} column {column!r}.{did_you_mean(column, has)} Columns are {listed(has, 20)}."
                )
        if self._documents:
            return
        if not self._rows:
            raise PoolError(f"{what} is empty; leave it out or give it documents.")
        if has and not any(self._layouts.values()):
            raise PoolError(
                f"{what} has the columns {listed(has, 20)}, none of which is known to hold text; "
                "name it with text_column=, or prompt_column= and response_column=."
            )
        raise PoolError(f"{what} has rows but no text in any of them ({self.report().why}); leave it out.")

    def _leave(self, reason: str, where: str) -> None:
        self._left_out[reason] += 1
        self._first.setdefault(reason, where)

    def _layout(self, row: Row) -> _Layout:
        names = tuple(row)
        layouts = self._layouts.get(names)
        if layouts is None:
            layouts = self._layouts[names] = list(_layouts(names, self._given))
            if len(self._layouts) > MANY_SHAPES:  # rows with keys of their own, such as ids
                self._layouts.pop(next(iter(self._layouts)))
        for layout in layouts:
            if any(row[name] is not None for name in layout.needs):
                return layout
        if layouts:
            raise Unreadable("no text" if not layouts[0].response else "no response")
        raise Unreadable("no column that is known to hold text")

    def _not_read(self) -> list[str]:
        """Columns with a name for text that no document was read from."""
        known = {
            n for names in self._layouts for n in names if str(n).strip().lower() in KNOWN - {REJECTED, LABEL}
        }
        used = {
            n
            for layouts in self._layouts.values()
            for layout in layouts
            if self._columns[layout.label]
            for n in layout.uses
        }
        return sorted(map(str, known - used))


def needed(names: Iterable[str], given: Iterable[str | None]) -> list[str]:
    """The columns of a table that may be read: those given and those with a known name, or all where that leaves a question.

    >>> needed(["id", "text", "embedding"], [None])
    ['text']
    >>> needed(["id", "body"], [None])
    ['id', 'body']
    """
    names, asked = list(names), {column for column in given if column}
    known = [name for name in names if str(name).strip().lower() in KNOWN]
    if not asked <= set(names) or not (known or asked):
        return names
    turns = {"role", "parent_id"}  # tell single turns from documents
    return [name for name in names if name in known or name in asked or name in turns]


def holds(names: Iterable[str], given: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """What the columns of a table hold, by the names given or the usual ones: "text"; "prompt", "input", "response"; "messages".

    >>> holds(["id", "instruction", "input", "output"])
    {'prompt': 'instruction', 'input': 'input', 'response': 'output'}
    """
    asked = {what: (given or {}).get(f"{what}_column") for what in ("text", "prompt", "response")}
    return next((layout.holds for layout in _layouts(names, asked)), {})


MANY_SHAPES = 1000  # sets of column names that are remembered


@dataclass(frozen=True, slots=True)
class _Layout:
    """One way to read a row: what must be there, what is read besides, and how."""

    label: str
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    read: Callable[[Row, Callable[[str], None]], tuple[str, str]]
    holds: dict[str, str]
    response: bool = True


def _layouts(names: Iterable[Any], given: Mapping[str, str | None]) -> Iterable[_Layout]:
    """The ways to read a row with these columns, the preferred one first."""
    names = list(names)
    plain = {str(name).strip().lower(): name for name in reversed(names)} | {name: name for name in names}

    def first(wanted: Iterable[str]) -> Any:
        return next((plain[name] for name in wanted if name in plain), None)

    def asked(kind: str, usual: Iterable[str]) -> Any:
        column = given[kind]
        if column is None:
            return first(usual)
        return column if column in names else None

    if given["text"]:
        if given["text"] in names:
            yield _text(given["text"], names)
        return
    response = asked("response", RESPONSE_COLUMNS)
    prompt = asked("prompt", [name for name in PROMPT_COLUMNS if plain.get(name) != response])
    if response is not None and prompt is not None:
        yield _instruction(prompt, response, first, plain)
    elif given["response"] and response is not None and not given["prompt"]:
        yield _text(response, names)
    if given["response"] or given["prompt"]:
        return
    preferred = first([PREFERRED])
    if preferred is not None:
        yield _preference(first(["prompt", "question", "instruction"]), preferred, first)
    text = first(TEXT_COLUMNS)
    if text is not None:
        yield _text(text, names)
    for name in CHAT_COLUMNS:
        if name in plain:
            yield _chat(plain[name], first)


def _text(column: Any, names: list[Any]) -> _Layout:
    turns = "role" in names and ("parent_id" in names or len(names) == 2)

    def read(row: Row, note: Callable[[str], None]) -> tuple[str, str]:
        value = row[column]
        if is_chat(value):
            return last_answer(turns_of(value, note), note)
        if turns:
            note("single turns of conversations were read as texts of their own")
        text = as_text(value, note)
        if text is None:
            raise Unreadable("no text")
        return "", text

    return _Layout(f"text from {column}", (column,), (column,), read, {"text": column}, response=False)


def _chat(column: Any, first: Callable[[Iterable[str]], Any]) -> _Layout:
    system = first(SYSTEM_COLUMNS)

    def read(row: Row, note: Callable[[str], None]) -> tuple[str, str]:
        prompt, text = last_answer(turns_of(row[column], note), note)
        return _after_system(row, system, prompt, note), text

    found = _named(messages=column, system=system)
    return _Layout(f"last answer from {column}", (column,), _there(column, system), read, found)


def _instruction(
    prompt: Any, response: Any, first: Callable[[Iterable[str]], Any], plain: Mapping[str, Any]
) -> _Layout:
    named = str(prompt).strip().lower()
    extra = next(
        (plain[n] for n in EXTRA_COLUMNS.get(named, ()) if n in plain and plain[n] != response), None
    )
    system, history = first(SYSTEM_COLUMNS), first([HISTORY])
    label = (
        first([LABEL]) if str(response).strip().lower() == "completion" else None
    )  # TRL's unpaired preference

    def read(row: Row, note: Callable[[str], None]) -> tuple[str, str]:
        asked, answer = row[prompt], row[response]
        if answer is None:
            raise Unreadable("no response")
        if label is not None and row[label] is False:
            raise Unreadable("an answer that is marked as not wanted (label is false)")
        if type(asked) is str and type(answer) is str:  # as most are
            before, text = asked, answer
        else:
            before, text = _sides(asked, answer, note)
        if extra is not None and row[extra] is not None:
            more = as_text(row[extra], note)
            before = f"{before}\n{more}" if more else before
        if history is not None and isinstance(row[history], (list, tuple)) and row[history]:
            before = "\n".join(text for _, text, _ in turns_of(row[history], note)) + "\n" + before
        return _after_system(row, system, before, note), text

    named_extra = f" + {extra}" if extra is not None else ""
    label_text = f"prompt from {prompt}{named_extra}, text from {response}"
    found = _named(system=system, prompt=prompt, input=extra, response=response)
    return _Layout(
        label_text, (prompt, response), _there(prompt, response, extra, system, history), read, found
    )


def _preference(prompt: Any, preferred: Any, first: Callable[[Iterable[str]], Any]) -> _Layout:
    system, rejected = first(SYSTEM_COLUMNS), first([REJECTED])

    def read(row: Row, note: Callable[[str], None]) -> tuple[str, str]:
        asked, answer = row[prompt] if prompt is not None else None, row[preferred]
        if answer is None:
            raise Unreadable("no response")
        if isinstance(answer, str) and HUMAN in answer:
            before, text = last_answer(marked_turns(answer), note)
        elif asked is None and not is_chat(answer):
            before, text = apart(as_text(answer, note) or "", row[rejected] if rejected is not None else None)
        else:
            before, text = _sides(asked, answer, note)
        return _after_system(row, system, before, note), text

    label = (
        f"prompt from {prompt}, text from {preferred}"
        if prompt is not None
        else f"prompt and text from {preferred}"
    )
    found = (
        _named(messages=preferred, system=system)
        if prompt is None
        else _named(system=system, prompt=prompt, response=preferred)
    )
    return _Layout(label, (preferred,), _there(prompt, preferred, system), read, found)


def _sides(asked: Any, answer: Any, note: Callable[[str], None]) -> tuple[str, str]:
    """A prompt and a response, either of which may be a text or a list of turns."""
    if is_chat(answer):
        after = turns_of(answer, note)
        before = turns_of(asked, note) if is_chat(asked) else []
        if after[: len(before)] == before:  # the whole conversation
            before = []
        lone = all(role not in ("user", "human") for role, _, _ in after)
        prompt, text = last_answer([*before, *after], note)
        if asked is not None and not is_chat(asked) and lone:
            prompt = (as_text(asked, note) or "") + ("\n" + prompt if prompt else "")
        return prompt, text
    if is_chat(asked):
        prompt = "\n".join(text for _, text, _ in turns_of(asked, note) if text) + "\n"
    else:
        prompt = as_text(asked, note) or ""
        if asked is None:
            note("answers without a prompt were read as texts")
    learnt = as_text(answer, note)
    if learnt is None:
        raise Unreadable("no response")
    return prompt, learnt


def _after_system(row: Row, system: Any, prompt: str, note: Callable[[str], None]) -> str:
    before = as_text(row[system], note) if system is not None else None
    return f"{before}\n{prompt}" if before else prompt


def _named(**columns: Any) -> dict[str, str]:
    return {what: column for what, column in columns.items() if column is not None}


def _there(*columns: Any) -> tuple[Any, ...]:
    return tuple(column for column in columns if column is not None)
