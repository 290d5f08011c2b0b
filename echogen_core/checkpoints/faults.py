"""What is wrong with a set of tensors, in words."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 8


def describe_faults(missing: Sequence[str], unknown: Sequence[str], wrong: Sequence[str]) -> str:
    """'missing: a, b; unknown: c', at most eight names each; '' when nothing is wrong.

    wrong: names of tensors of another shape, with the shapes.
    """
    groups = (("missing", missing), ("unknown", unknown), ("of another shape", wrong))
    return "; ".join(f"{label}: {_some(names)}" for label, names in groups if names)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
