"""Links that ComfyUI follows without having looked at them.

It checks the links of a node's own inputs. One under a name that the node does not know, or wrapped as a
value, comes unchecked to the thread that runs prompts; where it leads nowhere that thread ends, and every
later prompt waits. So in the pack's nodes the former are left out, and the latter unwrapped, to be checked.
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
    """A request to run a prompt, without such links in nodes of these kinds. inputs: kind -> its inputs."""
    prompt = request.get("prompt")
    for node in prompt.values() if isinstance(prompt, dict) else ():
        kind = node.get("class_type") if isinstance(node, dict) else None
        if isinstance(kind, str) and kind in inputs and isinstance(node.get("inputs"), dict):
            values = {name: _unwrapped(value) for name, value in node["inputs"].items()}
            node["inputs"] = {
                name: value for name, value in values.items() if name in inputs[kind] or not _is_link(value)
            }
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
