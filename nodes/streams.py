"""What ComfyUI writes its log to."""

from __future__ import annotations

import io
import sys


def let_streams_take_any_text() -> None:
    """Standard output and error write as an escape what their encoding lacks, as Python's own error stream.

    ComfyUI puts streams of its own in their place, which raise instead: in the thread that runs prompts,
    outside any `try`. Behind a pipe on Windows a γ in a message was enough, elsewhere half a character.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
