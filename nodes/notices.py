"""Notices: what a node says in itself about a run that succeeded, in every renderer.

A node's `ui` output carries them: web/js/notices.js shows them below the node's widgets, and the history
has them as `text`. ComfyUI caches that output with the node's results, so they last as long as those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def shown(
    texts: Sequence[str], notices: Sequence[str] | None = None, results: Sequence[str] = ()
) -> dict[str, Any]:
    """The part of a node's `ui` output that says something, to be returned by every run, even if empty.

    texts: for the history. notices: those to show in the node; None: all of the texts. results: what came
    out, which the node shows below the notices as plain lines.
    """
    said = {"text": tuple(texts), "echogen_notices": tuple(texts if notices is None else notices)}
    return {**said, "echogen_results": tuple(results)} if results else said
