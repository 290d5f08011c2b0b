"""The evaluation's commands in processes of their own, where the built-in cut looks at small squares."""

from __future__ import annotations

from kept_looks import small_looks

from echogen_core.evaluation.__main__ import main as evaluate


def main(arguments: list[str]) -> int:
    """The command; its exit status."""
    with small_looks():
        return evaluate(arguments)
