"""What ComfyUI takes from a prompt without having looked at it, and dies of, in the pack's nodes.

It checks the links of a node's own inputs. One under a name that the node does not know, or wrapped as a
value, comes unchecked to the thread that runs prompts; where it leads nowhere that thread ends, and every
later prompt waits. So the former are left out, and the latter unwrapped, to be checked. The thread also ends
where a node's inputs are no mapping: none at all are refused in words. A workflow to be written into pictures
that is no mapping fails in the node that shows one: it is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from comfy_api.latest import io

from . import runtime

_WRAPPED = "__value__"


def leave_out(nodes: Iterable[type[io.ComfyNode]]) -> None:
    """From now on, in every prompt that comes; nothing where no server runs."""
    schemas = [node.GET_SCHEMA() for node in nodes]
    inputs = {schema.node_id: frozenset(field.id for field in schema.inputs) for schema in schemas}
    server = runtime.prompt_server()
    if server is not None:
        server.add_on_prompt_handler(lambda request: without_strays(request, inputs))


def without_strays(request: dict[str, Any], inputs: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """A request to run a prompt, without what its nodes of these kinds die of. inputs: kind -> its inputs."""
    prompt = request.get("prompt")
    ours = [
        (node, inputs[node["class_type"]])
        for node in (prompt.values() if isinstance(prompt, dict) else ())
        if isinstance(node, dict) and isinstance(node.get("class_type"), str) and node["class_type"] in inputs
    ]
    for node, known in ours:
        given = node.get("inputs")
        values = {name: _unwrapped(value) for name, value in given.items()} if isinstance(given, dict) else {}
        node["inputs"] = {
            name: value for name, value in values.items() if name in known or not _is_link(value)
        }
    extra = request.get("extra_data")
    if ours and isinstance(extra, dict) and not isinstance(extra.get("extra_pnginfo", {}), dict):
        del extra["extra_pnginfo"]
    return request


def _unwrapped(value: Any) -> Any:
    inner = value.get(_WRAPPED) if isinstance(value, dict) else None
    return inner if _is_link(inner) else value


def _is_link(value: Any) -> bool:
    """As ComfyUI knows them: the id of a node, and the number of its output."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )
