"""The pack's workflows in the order of their names, where the front end lists templates.

ComfyUI lists them as the file system does, on Linux in no order, and the one to try first could be anywhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import runtime

_LISTS = ("/workflow_templates", "/api/workflow_templates")
_PACK = Path(__file__).parents[1].name


async def sort_templates(request: Any, handler: runtime.Handler) -> Any:
    """ComfyUI's own answer, with our names sorted where templates are asked for."""
    answer = await handler(request)
    if request.path in _LISTS and isinstance(getattr(answer, "body", None), bytes):
        answer.body = in_order(answer.body, _PACK)
    return answer


def in_order(templates: bytes, pack: str) -> bytes:
    """The answer {pack: [name, ...]} as JSON with one pack's names sorted; anything else as it is."""
    try:
        found = json.loads(templates)
    except ValueError:
        return templates
    names = found.get(pack) if isinstance(found, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return templates
    return json.dumps({**found, pack: sorted(names, key=str.casefold)}).encode()
