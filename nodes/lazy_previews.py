"""Nodes that pass something on and also preview it run only when a result needs them.

As output nodes they can be run alone, with nothing connected behind them, and be chosen in App mode; but then
ComfyUI runs them in every prompt, even behind a switch that selects another branch. Newer versions have
`has_intermediate_output` for nodes that preview, and cache their previews; with that alone they could not be
run by themselves. So they are both, and previews that only an unselected branch of a lazy switch could need
are left out of a prompt's outputs. Other prompts are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from comfy_api.latest import io

from . import runtime

Prompt = Mapping[str, Any]
IsOutput = Callable[[str], bool]
IsLazy = Callable[[str, str], bool]


def register(nodes: Iterable[type[io.ComfyNode]]) -> None:
    """Makes the previewing ones among the nodes wait for the switch that they are behind.

    Does nothing where ComfyUI does not know `has_intermediate_output`, or without a server.
    """
    previews = {
        schema.node_id
        for schema in (node.GET_SCHEMA() for node in nodes)
        if getattr(schema, "has_intermediate_output", False) and schema.is_output_node
    }
    server = runtime.prompt_server()
    if previews and server is not None:
        # Cached for the prompt: thousands of links would hold up the server's event loop.
        server.add_on_prompt_handler(
            lambda request: with_needed_outputs(request, previews, runtime.is_output, cache(runtime.is_lazy))
        )


def with_needed_outputs(
    request: dict[str, Any], previews: Collection[str], is_output: IsOutput, is_lazy: IsLazy
) -> dict[str, Any]:
    """The same request to run a prompt, with its outputs named if some need not run; named ones are kept.

    previews: classes of nodes that preview. is_output: whether a class is an output node; is_lazy: whether
    that input of a class is lazy.
    """
    prompt = request.get("prompt")
    if isinstance(prompt, dict) and request.get("partial_execution_targets") is None:
        left_out = unneeded_previews(prompt, previews, is_output, is_lazy)
        if left_out:
            request["partial_execution_targets"] = [node_id for node_id in prompt if node_id not in left_out]
    return request


def unneeded_previews(
    prompt: Prompt, previews: Collection[str], is_output: IsOutput, is_lazy: IsLazy
) -> set[str]:
    """Ids of the prompt's previews that its other outputs depend on through lazy inputs alone."""
    classes = {node_id: _class_of(prompt, node_id) for node_id in prompt}
    previewing = {node_id for node_id, kind in classes.items() if kind in previews}
    if not previewing:
        return set()
    ends = {node_id for node_id, kind in classes.items() if is_output(kind)} - previewing
    perhaps = previewing & _upstream(prompt, ends, lambda kind, name: False)
    return perhaps - _upstream(prompt, ends | (previewing - perhaps), is_lazy)


def _class_of(prompt: Prompt, node_id: str) -> str:
    node = prompt[node_id]
    kind = node.get("class_type") if isinstance(node, dict) else None
    return kind if isinstance(kind, str) else ""


def _upstream(prompt: Prompt, ends: set[str], skipped: IsLazy) -> set[str]:
    """All nodes that these depend on, through inputs that are not skipped."""
    upstream: set[str] = set()
    pending = list(ends)
    while pending:
        node_id = pending.pop()
        for name, source in _sources(prompt, node_id):
            if source not in upstream and not skipped(_class_of(prompt, node_id), name):
                upstream.add(source)
                pending.append(source)
    return upstream


def _sources(prompt: Prompt, node_id: str) -> Iterator[tuple[str, str]]:
    """A node's connected inputs: the input's name, and the id of the node behind it."""
    node = prompt[node_id]
    inputs = node.get("inputs") if isinstance(node, dict) else None
    for name, value in inputs.items() if isinstance(inputs, dict) else ():
        source = value[0] if isinstance(value, list) and value else None
        if isinstance(source, str) and source in prompt:
            yield name, source
