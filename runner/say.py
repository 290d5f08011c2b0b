"""What the commands tell the person who runs them, and the paths that this person names."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


class Problem(Exception):
    """Something the user can act on; the text says what happened and what to do. Shown without traceback."""


def say(text: str = "", end: str = "\n") -> None:
    """One line of progress, at once even when the output goes to a file."""
    encoding = sys.stdout.encoding or "utf-8"
    # A Windows console in a legacy code page must not end the run over a Greek letter.
    print(text.encode(encoding, "replace").decode(encoding), end=end, flush=True)


def command_line(words: Sequence[str]) -> str:
    """A command to copy into a shell."""
    if os.name != "nt":
        return shlex.join(words)
    # PowerShell takes a program in quotation marks for a text: only where a character asks for them.
    return " ".join(f'"{word}"' if re.search(r"[^\w\\/:.+=-]", word) else word for word in words)


def named_path(text: str, source: str) -> Path:
    """The absolute path that `source`, an option or a variable, names. Raises Problem where ~ has no home."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise Problem(f"{source} is {text}: {error} Write the path without ~.") from error


def make_folder(path: Path, what: str) -> Path:
    """Makes the folder unless it is there; returns it. Raises Problem, in which it is called `what`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(
            f"{what} is {path}, where no folder can be made: {error.strerror}. Name a folder that you can "
            "write to."
        ) from error
    return path
