"""Prompts are cleaned of what ComfyUI does not check and what ends its worker thread, in the pack's nodes.

ComfyUI validates the links of a node's declared inputs only. A link under an undeclared name, or one wrapped
as a value, reaches the thread that runs prompts; where it leads nowhere that thread dies, and every later
prompt waits. Hence the former are removed, and the latter unwrapped so that ComfyUI validates them. The
thread also dies where a node's `inputs` are not a mapping: they become empty, which ComfyUI refuses in words.
A workflow for the pictures' metadata that is not a mapping fails in every node that previews: it is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from comfy_api.latest import io

from . import runtime

_WRAPPED = "__value__"


def register(nodes: Iterable[type[io.ComfyNode]]) -> None:
    """Cleans every prompt that the server receives from now on; does nothing without a server."""
    schemas = [node.GET_SCHEMA() for node in nodes]
    declared = {schema.node_id: frozenset(field.id for field in schema.inputs) for schema in schemas}
    server = runtime.prompt_server()
    if server is not None:
        server.add_on_prompt_handler(lambda request: cleaned(request, declared))


def cleaned(request: dict[str, Any], declared: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """The same request to run a prompt, cleaned. declared: node id -> names of its inputs."""
    prompt = request.get("prompt")
    ours = [
        (node, declared[node["class_type"]])
        for node in (prompt.values() if isinstance(prompt, dict) else ())
        if isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and node["class_type"] in declared
    ]
    for node, names in ours:
        inputs = node.get("inputs")
        values = (
            {name: _unwrapped(value) for name, value in inputs.items()} if isinstance(inputs, dict) else {}
        )
        node["inputs"] = {
            name: value for name, value in values.items() if name in names or not _is_link(value)
        }
    extra = request.get("extra_data")
    if ours and isinstance(extra, dict) and not isinstance(extra.get("extra_pnginfo", {}), dict):
        del extra["extra_pnginfo"]
    return request


def _unwrapped(value: Any) -> Any:
    inner = value.get(_WRAPPED) if isinstance(value, dict) else None
    return inner if _is_link(inner) else value


def _is_link(value: Any) -> bool:
    """Whether ComfyUI takes a value for a link: the id of a node, and the index of its output."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )
