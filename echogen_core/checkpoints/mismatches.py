"""What is wrong with a set of tensors, in words."""

from __future__ import annotations

from collections.abc import Sequence

from ..utils.printable import printable

DOWNLOAD_AGAIN = "Download it again."
MAX_NAMES = 8


class WrongModel(ValueError):
    """What a file is, in words ("a DINOv2 with registers"), when it is not what its names made it seem."""


def describe_mismatches(missing: Sequence[str], unknown: Sequence[str], wrong: Sequence[str]) -> str:
    """'missing: a, b; unknown: c', at most eight names each; '' when nothing is wrong.

    wrong: names of tensors of another shape or type, with both.
    """
    groups = (("missing", missing), ("unknown", unknown), ("of another shape or type", wrong))
    return "; ".join(f"{label}: {join_names(names)}" for label, names in groups if names)


def join_names(names: Sequence[str]) -> str:
    """The first eight names, and how many more there are."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(printable(name) for name in names[:MAX_NAMES]) + more
