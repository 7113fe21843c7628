"""What an answer offers besides its numbers: its words, from which a card, a page and a line of text are made."""

from __future__ import annotations


class Finding:
    """Base of every result that brings its own words; it is shown as a card.

    A result offers, as fields or properties:

    title: what was found, in one line.
    sentences: tuple of str, the most important one first, without a final full stop.
    table: the numbers behind them, a DataFrame; ``shown`` is what of it stands on the card, where that is less.

    and where there is something to look at, ``figure()`` or ``figures()``, which draw when they are called.
    """

    __slots__ = ()
