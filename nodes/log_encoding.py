"""Encoding of the streams that ComfyUI logs to."""

from __future__ import annotations

import io
import sys


def escape_unencodable_text() -> None:
    """Makes standard output and error escape what their encoding lacks, as Python's own standard error does.

    ComfyUI replaces both with streams that raise instead, in the thread that runs prompts and outside any
    `try`: a γ in a message was enough behind a pipe on Windows, half a surrogate pair elsewhere.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
