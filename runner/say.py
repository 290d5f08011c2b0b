"""What the commands tell the person who runs them."""

from __future__ import annotations

import sys


class Problem(Exception):
    """Something the user can act on; the text says what happened and what to do. Shown without traceback."""


def say(text: str = "") -> None:
    """One line of progress, at once even when the output goes to a file."""
    encoding = sys.stdout.encoding or "utf-8"
    # A Windows console in a legacy code page must not end the run over a Greek letter.
    print(text.encode(encoding, "replace").decode(encoding), flush=True)
