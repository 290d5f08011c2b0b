"""Nodes that pass something on and also show it: they run when a result needs them.

As outputs they can be run by themselves, with nothing behind them, and be chosen in App mode; but ComfyUI
then runs them in every prompt, also behind a switch that chose another way. Its newer versions know nodes
that only show something, and keep what these show; as such alone they could not be run by themselves. So they
are both, and of a prompt's outputs those are left out that wait behind such a switch alone. All others run
anyway, and such prompts are passed on as they came.
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


def leave_to_results(nodes: Iterable[type[io.ComfyNode]]) -> None:
    """From now on those of the nodes that only show something wait for the switch that they are behind;
    nothing where ComfyUI has no such nodes, or no server runs."""
    shows = {
        schema.node_id
        for schema in (node.GET_SCHEMA() for node in nodes)
        if getattr(schema, "has_intermediate_output", False) and schema.is_output_node
    }
    server = runtime.prompt_server()
    if shows and server is not None:
        # Each kind is asked once a prompt: thousands of links would hold up the server's loop.
        server.add_on_prompt_handler(
            lambda request: chosen_outputs(request, shows, runtime.is_output, cache(runtime.is_lazy))
        )


def chosen_outputs(
    request: dict[str, Any], shows: Collection[str], is_output: IsOutput, is_lazy: IsLazy
) -> dict[str, Any]:
    """A request to run a prompt, with the outputs to run in it where they are not named already.

    shows: kinds of node that only show something. is_output: whether a kind is an output; is_lazy: whether a
    kind asks for that input only when it wants it.
    """
    prompt = request.get("prompt")
    if isinstance(prompt, dict) and request.get("partial_execution_targets") is None:
        left_out = waiting_for_a_switch(prompt, shows, is_output, is_lazy)
        if left_out:
            request["partial_execution_targets"] = [number for number in prompt if number not in left_out]
    return request


def waiting_for_a_switch(
    prompt: Prompt, shows: Collection[str], is_output: IsOutput, is_lazy: IsLazy
) -> set[str]:
    """The nodes of a prompt that only show something, and that its outputs may need but need not."""
    kinds = {number: _kind(prompt, number) for number in prompt}
    showing = {number for number, kind in kinds.items() if kind in shows}
    if not showing:
        return set()
    ends = {number for number, kind in kinds.items() if is_output(kind)} - showing
    perhaps = showing & _before(prompt, ends, lambda kind, name: False)
    return perhaps - _before(prompt, ends | (showing - perhaps), is_lazy)


def _kind(prompt: Prompt, number: str) -> str:
    node = prompt[number]
    kind = node.get("class_type") if isinstance(node, dict) else None
    return kind if isinstance(kind, str) else ""


def _before(prompt: Prompt, ends: set[str], skipped: IsLazy) -> set[str]:
    """All nodes that these depend on, by inputs that are not skipped."""
    before: set[str] = set()
    waiting = list(ends)
    while waiting:
        number = waiting.pop()
        for name, source in _sources(prompt, number):
            if source not in before and not skipped(_kind(prompt, number), name):
                before.add(source)
                waiting.append(source)
    return before


def _sources(prompt: Prompt, number: str) -> Iterator[tuple[str, str]]:
    """A node's linked inputs: the input's name, and the node that it comes from."""
    node = prompt[number]
    inputs = node.get("inputs") if isinstance(node, dict) else None
    for name, value in inputs.items() if isinstance(inputs, dict) else ():
        source = value[0] if isinstance(value, list) and value else None
        if isinstance(source, str) and source in prompt:
            yield name, source
