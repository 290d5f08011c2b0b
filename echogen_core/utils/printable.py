"""Names and values from outside, as messages may carry them."""

from __future__ import annotations

MAX_LENGTH = 200
"""Characters."""


def printable(name: object, max_length: int = MAX_LENGTH) -> str:
    """A name or value from outside that can be logged, sent and shown, cut to `max_length` characters.

    Control characters and lone surrogates (which no UTF-8 has: a log or a socket dies of one) are escaped.
    """
    text = str(name)
    if len(text) <= max_length and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:max_length])
    return shown if len(text) <= max_length else f"{shown}…"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """'1 picture', '3 pictures', '1,200 files'. plural: where it is not noun + s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
