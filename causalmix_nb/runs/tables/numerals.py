"""Cells to numbers as people write them: decimal commas, thousands in groups, per cent, exponents, wide digits, and words where a run failed.

What a lone comma or point before three digits means (``1,234``) cannot be told from the cell; the other cells of its table tell it. Where they
do not, or contradict each other, the column is in doubt and nothing is guessed.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FAILED = frozenset(
    """diverged diverge divergence crashed crash failed fail failure error oom killed timeout timedout stopped aborted cancelled canceled
    preempted running pending queued tbd todo missing skipped none nan na n/a null nil undefined inf infinity -inf -infinity +inf -nan
    - -- --- – — ? . .. … x #n/a #div/0! #value! #ref! #num! #name? #null! <na> (blank) blank empty unknown""".split()
)  # words that stand where a number would have stood
EXACT = 99  # decimals of a number written with an exponent
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_PLAIN = re.compile(r"[+-]?(\d++\.?\d*+|\.\d++)(e[+-]?\d+)?", re.I)
_COMMA = re.compile(r"[+-]?(\d++,\d*+|,\d++)(e[+-]?\d+)?", re.I)
_LONE = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")  # 1,234: thousands or decimals
_MARKED = re.compile(r"[*_`†‡§]*(.*?)[*_`†‡§]*")  # the best of a table in bold, a footnote
_SPREAD = re.compile(r"\s*(?:±|\+/-|\+-|\\pm).*")  # 0.51 ± 0.02
_THOUSANDS = {
    ",": re.compile(r"[+-]?[1-9]\d{0,2}(,\d{2,3})*,\d{3}(\.\d*)?"),
    ".": re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?"),
    " ": re.compile(r"[+-]?[1-9]\d{0,2}( \d{3})+([.,]\d*)?"),
    "'": re.compile(r"[+-]?[1-9]\d{0,2}('\d{3})+([.,]\d*)?"),
    "_": re.compile(r"[+-]?[1-9]\d{0,2}(_\d{3})+(\.\d*)?"),
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column read as numbers. values: n floats, NaN where there is none; words: row -> the word that stands there instead (not empty cells);
    n_numbers: cells that hold one; percent: rows written with %; decimals: most digits after the decimal sign, None where there is none;
    doubt: what cannot be told, or ""."""

    values: list[float]
    words: dict[int, str]
    n_numbers: int
    percent: frozenset[int] = frozenset()
    decimals: int | None = None
    doubt: str = ""

    @property
    def numeric(self) -> bool:
        """Whether this is a column of numbers: at least half of what is not a word for a failure."""
        others = sum(word.casefold() not in FAILED for word in self.words.values())
        return self.n_numbers > 0 and self.n_numbers >= others

    @property
    def remarks(self) -> str:
        """The words that stand for numbers, counted."""
        counts = Counter(self.words.values()).most_common(3)
        return ", ".join(f"{word[:24]!r}" + (f" {n} times" if n > 1 else "") for word, n in counts)


def plain_text(cell: str) -> str:
    """A numeral in plain characters: wide digits, other minus signs and spaces made usual."""
    text = unicodedata.normalize("NFKC", cell).replace("\u2212", "-").replace("’", "'").strip()
    if not text.isalnum():
        text = _MARKED.fullmatch(_SPREAD.sub("", text))[1] if len(text) < 80 else text  # type: ignore[index]
    return " ".join(text.split())


def decimal_sign(cells: Iterable[str]) -> str:
    """Which sign stands before decimals in cells of one table: "," or ".", "both" where some are plainly one and some the other, "" if none says.

    >>> decimal_sign(["0,25", "1.234"]), decimal_sign(["1,234.5"]), decimal_sign(["1,234"])
    (',', '.', '')
    """
    found: set[str] = set()
    for cell in cells:
        dots, commas = cell.count("."), cell.count(",")
        if cell.isascii() and (
            (dots == 1 and not commas and "." in found) or (commas == 1 and not dots and "," in found)
        ):
            continue  # it can say nothing else
        text = plain_text(cell).rstrip(" %").lstrip("%")
        if not any(sign in text for sign in ",.") or not text[-1:].isdigit():
            continue
        if _LONE.fullmatch(text):
            continue
        if _THOUSANDS[","].fullmatch(text):
            found.add("." if "." in text or text.count(",") > 1 else "")
        elif _THOUSANDS["."].fullmatch(text):
            found.add("," if "," in text or text.count(".") > 1 else "")
        elif _PLAIN.fullmatch(text):
            found.add(".")
        elif _COMMA.fullmatch(text):
            found.add(",")
    found.discard("")
    return "both" if len(found) > 1 else found.pop() if found else ""


def number_of(cell: str, sign: str = ".") -> float | None:
    """The number that a cell holds, or None; ``sign`` stands before decimals where the cell itself does not tell.

    >>> [number_of(cell) for cell in ("0.25", "0,25", "20 %", "2e-1", "1,234,567", "1 234,5", "1.5M", "diverged")]
    [0.25, 0.25, 20.0, 0.2, 1234567.0, 1234.5, 1500000.0, None]
    >>> number_of("1,234"), number_of("1,234", ","), number_of("1.234", ",")
    (1234.0, 1.234, 1234.0)
    """
    if _PLAIN.fullmatch(cell) and not _LONE.fullmatch(cell) and cell.isascii():
        value = float(cell)
        return value if math.isfinite(value) else None
    text = plain_text(cell)
    if text.endswith("%") or text.startswith("%"):
        text = text.strip("%").strip()
    unit = ""
    if text[-1:].casefold() in _UNITS and text[-2:-1].isdigit():
        text, unit = text[:-1], text[-1].casefold()
    if not text or not text.isascii():
        return None
    if _LONE.fullmatch(text):
        text = text.replace("," if sign == "." else ".", "").replace(",", ".")
    elif _PLAIN.fullmatch(text):
        pass
    elif _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    else:
        for mark, form in _THOUSANDS.items():
            if form.fullmatch(text):
                text = text.replace(mark, "").replace(",", ".")
                break
        else:
            return None
    value = float(text) * _UNITS[unit]
    return value if math.isfinite(value) else None


def numbers_of(cells: Sequence[str], sign: str) -> Numbers:
    """A column as numbers. sign: before decimals in this table, as :func:`decimal_sign` of all its cells found, "" where it is not known."""
    lone = (
        [text for cell in cells if _LONE.fullmatch(text := plain_text(cell).strip(" %"))]
        if sign != "." or any("," in c for c in cells)
        else []
    )
    own = decimal_sign(cells) if lone else ""
    used = own if own in (",", ".") else sign if sign in (",", ".") else "."
    commas, points = any("," in text for text in lone), any("." in text for text in lone)
    # The column itself tells, else its table: a comma before three digits may be either where the table shows no decimals; a point is a decimal
    # point unless the table writes decimal commas, for then it may have come from another program.
    unsure = commas and points or (commas and sign not in (",", ".")) or (points and sign in (",", "both"))
    doubt = ""
    if lone and (own == "both" or (not own and unsure)):
        doubt = f"{lone[0]!r} may be {number_of(lone[0], '.'):g} or {number_of(lone[0], ','):g}"
    values, words, percent, decimals = [], {}, set(), None
    for i, cell in enumerate(cells):
        if used == "." and cell.replace(".", "", 1).isdigit() and cell.isascii() and len(cell) < 40:
            values.append(float(cell))  # most cells are so plain
            digits = len(cell) - 1 - cell.find(".") if "." in cell else 0
            decimals = digits if decimals is None else max(decimals, digits)
            continue
        number = number_of(cell, used) if cell else None
        values.append(math.nan if number is None else number)
        if number is None:
            if cell:
                words[i] = cell
            continue
        if "%" in cell:
            percent.add(i)
        text = plain_text(cell).rstrip("% ")
        digits = (
            EXACT if "e" in text or "E" in text else len(text) - 1 - max(text.rfind("."), text.rfind(","))
        )
        digits = 0 if digits == len(text) else digits
        decimals = digits if decimals is None else max(decimals, digits)
    n = len(cells) - len(words) - sum(not cell for cell in cells)
    return Numbers(values, words, n, frozenset(percent), decimals, doubt)
