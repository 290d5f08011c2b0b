"""Prompts through ComfyUI's own validation and executor, with its own nodes beside the pack's.

The browser is the one stand-in: `Front` writes down what it would be told.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web

import comfy_pack

EXTRAS = (
    "nodes_latent", "nodes_primitive", "nodes_logic", "nodes_images", "nodes_mask", "nodes_compositing",
    "nodes_post_processing", "nodes_bounding_boxes", "nodes_rtdetr", "nodes_rebatch", "nodes_toolkit",
    "nodes_sam3", "nodes_preview_any", "nodes_string",
)  # fmt: skip
"""Files of ComfyUI's own further nodes that tests plug in, where this version has them."""


class Anything(str):
    """The type that fits all, as packs have long written it."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        return False


class Keep:
    """The end of a graph: keeps what arrives."""

    kept: ClassVar[dict[str, list[Any]]] = {}
    RETURN_TYPES, FUNCTION, OUTPUT_NODE, CATEGORY = (), "keep", True, "test"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": (Anything("*"), {})}, "hidden": {"node": "UNIQUE_ID"}}

    def keep(self, value: Any, node: str) -> tuple[()]:
        self.kept.setdefault(node, []).append(value)
        return ()


class Give:
    """The start of a graph: gives a value of the test's, of any type, as switches of many packs do."""

    values: ClassVar[dict[str, Any]] = {}
    RETURN_TYPES, FUNCTION, CATEGORY = (Anything("*"),), "give", "test"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {})}}

    def give(self, name: str) -> tuple[Any]:
        return (self.values[name],)


class GiveAll(Give):
    """The same for a list, one value after the other."""

    OUTPUT_IS_LIST = (True,)


class Front:
    """The browser's end of the server."""

    client_id: str | None = None
    last_node_id: str | None = None

    def __init__(self) -> None:
        self.app = web.Application()
        self.sockets_metadata: dict[str, Any] = {}
        self.told: list[tuple[str, Any]] = []
        self.on_prompt: list[Any] = []

    def add_on_prompt_handler(self, handler: Any) -> None:
        self.on_prompt.append(handler)

    def send_sync(self, event: Any, data: Any, sid: Any = None) -> None:
        self.told.append((event, data))


@dataclass
class Outcome:
    """What a run came to.

    kept: what arrived at each Keep. ran: nodes that were run, not taken from the cache. error: its message.
    refused: node -> what validation said of it. shown: node -> what it shows.
    """

    kept: dict[str, list[Any]] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    error: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    shown: dict[str, Any] = field(default_factory=dict)


class Comfy:
    """One executor with its cache: a session of ComfyUI."""

    def __init__(self) -> None:
        import execution

        self.front = Front()
        limits = {"lru": 0, "ram": 1.0, "ram_inactive": 1.0}
        self._executor = execution.PromptExecutor(self.front, cache_args=limits)

    def run(self, prompt: dict[str, Any]) -> Outcome:
        """Handles, validates and runs a prompt as the server does."""
        import execution

        Keep.kept = {}
        prompt = copy.deepcopy(prompt)  # ComfyUI writes fingerprints into it
        request: dict[str, Any] = {"prompt": prompt}
        for handler in self.front.on_prompt:
            request = handler(request)
        targets = request.get("partial_execution_targets")
        valid, _, outputs, faults = asyncio.run(execution.validate_prompt("test", prompt, targets))
        refused = {
            node: "; ".join(f"{each['message']}: {each['details']}" for each in found["errors"])
            for node, found in dict(faults).items()
        }
        if not valid:
            return Outcome(refused=refused or {"": "no outputs"})  # as ComfyUI says of such a prompt
        self.front.told.clear()
        self._executor.execute(prompt, "test", {"client_id": "test"}, outputs)
        told = self.front.told
        errors = [data["exception_message"] for event, data in told if event == "execution_error"]
        return Outcome(
            dict(Keep.kept),
            [data["node"] for event, data in told if event == "executing" and data["node"]],
            "\n".join(errors),
            refused,
            {data["node"]: data["output"] for event, data in told if event == "executed"},
        )


def register() -> set[str]:
    """Makes ComfyUI know the test's nodes and those of its own in EXTRAS; the names of its own."""
    import nodes as comfy_nodes

    for name in EXTRAS:
        file = Path(comfy_nodes.__file__).parent / "comfy_extras" / f"{name}.py"
        if file.exists():
            assert asyncio.run(comfy_nodes.load_custom_node(str(file), module_parent="comfy_extras"))
    known = set(comfy_nodes.NODE_CLASS_MAPPINGS)
    comfy_nodes.NODE_CLASS_MAPPINGS.update({"Keep": Keep, "Give": Give, "GiveAll": GiveAll})
    return known


def is_todays() -> bool:
    """Whether this ComfyUI is one of 2026: it knows nodes that show something without being outputs."""
    comfy_pack.load_pack()
    from comfy_api.latest import io

    return "has_intermediate_output" in inspect.signature(io.Schema).parameters


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt; links are [node, slot]."""
    return {"class_type": kind, "inputs": inputs}


def give(**values: Any) -> dict[str, Any]:
    """Nodes that give these values, by their names."""
    Give.values.update(values)
    return {name: node("Give", name=name) for name in values}
