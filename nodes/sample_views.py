"""The packaged samples, shown where the front end looks for the pictures of ComfyUI's input folder.

A drop-down with an upload button shows its choice from that folder: before a run, in lists of thumbnails, and
in the mask editor. So a request for a sample there is answered from a copy in the temporary folder, unless
the artist has a file of that name. Nothing is written to the input folder.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from . import adapters, reference_files, runtime

_VIEWS = ("/view", "/api/view")


async def show_samples(request: Any, handler: runtime.Handler) -> Any:
    """ComfyUI's own answer, for the copy where a sample is asked for."""
    query = request.rel_url.query
    name = query.get("filename", "").removesuffix(" [input]")
    asked = request.path in _VIEWS and query.get("type") == "input" and not query.get("subfolder")
    sample = reference_files.sample_of(name) if asked else None
    if sample is not None:
        copy, _ = adapters.best_effort(partial(adapters.copy_to_temporary, sample))
        request = request.clone(rel_url=request.rel_url.update_query(copy))
    return await handler(request)
