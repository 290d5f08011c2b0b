"""Nodes that pass something on and also show it: they run when a result needs them.

As outputs they can be run by themselves, with nothing behind them, and be chosen in App mode; but ComfyUI
then runs them in every prompt, also behind a switch that chose another way. Its newer versions know nodes
that only show something, and keep what these show; as such alone they could not be run by themselves. So they
are both, and of a prompt's outputs those are left out that another output depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from comfy_api.latest import io

from . import runtime

Prompt = Mapping[str, Any]


def leave_to_results(nodes: Iterable[type[io.ComfyNode]]) -> None:
    """From now on those of the nodes that only show something are run for themselves only where no output is
    behind them; nothing where ComfyUI has no such nodes, or no server runs."""
    shows = {
        schema.node_id
        for schema in (node.GET_SCHEMA() for node in nodes)
        if getattr(schema, "has_intermediate_output", False) and schema.is_output_node
    }
    server = runtime.prompt_server()
    if shows and server is not None:
        server.add_on_prompt_handler(lambda request: chosen_outputs(request, shows, runtime.is_output))


def chosen_outputs(
    request: dict[str, Any], shows: Collection[str], is_output: Callable[[str], bool]
) -> dict[str, Any]:
    """A request to run a prompt, with the outputs to run in it where they are not named already.

    shows: ids of nodes that only show something; is_output: whether a node of that id is an output.
    """
    prompt = request.get("prompt")
    if isinstance(prompt, dict) and request.get("partial_execution_targets") is None:
        left_out = needed_by_others(prompt, shows, is_output)
        if left_out:
            request["partial_execution_targets"] = [number for number in prompt if number not in left_out]
    return request


def needed_by_others(prompt: Prompt, shows: Collection[str], is_output: Callable[[str], bool]) -> set[str]:
    """The nodes of a prompt that only show something, and that another output depends on."""
    kinds = {number: node.get("class_type", "") for number, node in prompt.items() if isinstance(node, dict)}
    showing = {number for number, kind in kinds.items() if kind in shows}
    ends = {number for number, kind in kinds.items() if is_output(kind)} - showing
    needed = _before(prompt, ends)
    return showing & (needed | _before(prompt, showing - needed))


def _before(prompt: Prompt, ends: set[str]) -> set[str]:
    """All nodes that these depend on."""
    before: set[str] = set()
    waiting = list(ends)
    while waiting:
        node = prompt[waiting.pop()]
        inputs = node.get("inputs") if isinstance(node, dict) else None
        for value in inputs.values() if isinstance(inputs, dict) else ():
            source = value[0] if isinstance(value, list) and value else None
            if isinstance(source, str) and source in prompt and source not in before:
                before.add(source)
                waiting.append(source)
    return before
