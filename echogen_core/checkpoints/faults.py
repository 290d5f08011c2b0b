"""What is wrong with a set of tensors, in words."""

from __future__ import annotations

from collections.abc import Sequence

AGAIN = "Download it again."
NAMED = 8
LONGEST = 200


class WrongModel(ValueError):
    """What a file is, in words ("a DINOv2 with registers"), when it is not what its names made it seem."""


def describe_faults(missing: Sequence[str], unknown: Sequence[str], wrong: Sequence[str]) -> str:
    """'missing: a, b; unknown: c', at most eight names each; '' when nothing is wrong.

    wrong: names of tensors of another shape or type, with both.
    """
    groups = (("missing", missing), ("unknown", unknown), ("of another shape or type", wrong))
    return "; ".join(f"{label}: {some(names)}" for label, names in groups if names)


def some(names: Sequence[str]) -> str:
    """The first eight names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(printable(name) for name in names[:NAMED]) + more


def printable(name: object, longest: int = LONGEST) -> str:
    """A name or value from outside as it can be logged, sent and shown, at most `longest` characters of it.

    Control characters and lone surrogates (which no UTF-8 has: a log or a socket dies of one) are escaped.
    """
    text = str(name)
    if len(text) <= longest and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:longest])
    return shown if len(text) <= longest else f"{shown}…"
