"""Prompts that no front end sends: every input of every node of the pack, with values that do not belong.

What a server must make of each: refuse it, end it with an error in words, or draw it; and go on.
"""

from __future__ import annotations

import copy
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import comfy_server
from comfy_server import Graph
from runner.server import Server

OURS = "EchoGen"
ANY = "TestAnything"
"""The helper that gives any value over a link of any type."""

LETTERS = "a" * 100_000
TYPED: dict[str, Any] = {
    "lone surrogate": "\ud800", "zero byte": "a\0b", "100,000 letters": LETTERS, "nothing": "",
    "none": None, "NaN": float("nan"), "infinity": float("inf"), "-infinity": float("-inf"), "-1": -1,
    "2**63": 2**63, "2**64": 2**64, "10**400": 10**400, "-0.0": -0.0, "true": True, "list": [], "dict": {},
    "nested": [["1", 0], ["1", 0]], "list of one": [1], "list of three": ["1", 0, 0],
    "missing node": ["nowhere", 0], "missing output": ["bundle", 99], "negative output": ["bundle", -1],
    "output by text": ["bundle", "a"], "output by float": ["bundle", 0.5], "node by dict": [{}, 0],
    "wrapped link": {"__value__": ["nowhere", 0]},
    "wrapped list": {"__value__": [1, 2, 3]}, "wrapped dict": {"__value__": {"a": 1}},
    "wrapped type": {"__type__": "IMAGE", "__value__": "x"}, "type alone": {"__type__": "x"},
    "path": "../../../../etc/passwd", "device": "CON", "format": "%s%n{0}{x}", "digits": "1" * 50_000 + "x",
    "many numbers": "1," * 300_000, "wide range": "0-1" + "0" * 5000,
    "count of digits": f"0-8 [{'9' * 5000}]",
    "right to left": "\u202e\u2066\ufeff", "lines": "\n" * 5000 + "a\n" * 5000,
}  # fmt: skip
"""Values written into a prompt, by what they are."""

LINKED_VALUES = (
    "none", "text", "surrogates", "long text", "number", "nan", "infinity", "huge", "complex", "bytes",
    "dict", "list", "object", "picture", "grey", "five channels", "no pictures", "no pixels", "one pixel",
    "flat", "nans", "whole numbers", "halves", "gigabytes", "wide", "tuple", "box", "inverted box", "nan box",
    "far box", "many boxes", "boxes in boxes", "box of texts", "labelled box",
)  # fmt: skip
"""Values of the helper node, by its names of them."""


class Ended(NamedTuple):
    """How a prompt ended: 'refused', 'failed', 'done' or 'lost', and the server's words."""

    how: str
    words: str = ""


@dataclass(frozen=True)
class Hostile:
    """One prompt, and what is wrong with it."""

    node: str
    field: str
    value: str
    prompt: Graph

    def __str__(self) -> str:
        return f"{self.node}.{self.field} = {self.value}"


def sound() -> Graph:
    """Every node of the pack that needs no further files, small; each with a reader behind it."""
    seen = {"image": ["sample", 0]}
    reference = {"image": ["cut", 0], "strength": 1.0}
    gammas = {"gamma_t": 2.5, "gamma_i": 2.5}
    end = {"semantic": ["semantic", 0], "content": ["content", 0]}
    drawn = {"model": ["bundle", 0], "text": ["text", 0], **end}
    numbers = {"seed": 7, "aspect_ratio": "1:1", "size": "auto", "tau": 0.0, "top_p": 0.0, "top_k": 0}
    cut = {"margin": 0.08, "background": "white", "mask_marks": "auto"}
    picked = {"threshold": 0.3, "pick": "best score", "when_not_found": "built-in cut"}
    models = {name: "auto" for name in ("describer", "detector", "segmenter")}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "bundle": ("LoadBundle", {"preset": "nano (built in)", "dtype": "auto"}),
        "sample": ("SamplePicture", {"picture": "teddy_bear.png"}),
        "cut": ("CutOutSubject", {**seen, "mask": ["sample", 1], **cut, "only_largest": False}),
        "describe": ("DescribeSubject", {"image": ["sample", 0], "phrase": "bear", "describer": "auto"}),
        "detect": (
            "DetectSubject",
            {**seen, "phrase": "bear", **picked, "detector": "auto", "backend": "transformers"},
        ),
        "segment": (
            "SegmentSubject",
            {"image": ["sample", 0], "bounding_box": ["detect", 0], "soften": 0.0, "segmenter": "auto",
             "backend": "transformers"},
        ),
        "subject": (
            "SubjectSegmentation",
            {"image": ["sample", 0], "mask": ["sample", 1], "bounding_box": ["detect", 0], "phrase": "bear",
             **cut, **picked, "soften": 0.0, **models},
        ),
        "text": ("EncodeText", {"text_encoder": ["bundle", 2], "prompt": "a teddy bear on a meadow"}),
        "semantic": ("EncodeSemantic", {"semantic_encoder": ["bundle", 3], **reference}),
        "content": ("EncodeContent", {"content_encoder": ["bundle", 4], **reference}),
        "save": ("SaveSubject", {**end, "filename_prefix": "EchoGen/subjects/kept"}),
        "curve": (
            "GuidanceSchedule",
            {"shape": "drawn", **gammas, "end": 1.0, "points_t": "2, 1", "points_i": "2"},
        ),
        "sampler": (
            "Sampler",
            {**drawn, **numbers, **gammas, "batch": 1, "cache": "full",
             "tokenizer": ["bundle", 1], "guidance": ["curve", 0]},
        ),
        "sweep": (
            "GammaSweep",
            {**drawn, **numbers, "tokenizer": ["bundle", 1], "gamma_t": "2", "gamma_i": "2", "vary": "prompt",
             "values": "a bear", "text_encoder": ["bundle", 2]},
        ),
        "decode": ("DecodeBits", {"bits": ["sampler", 0], "tokenizer": ["bundle", 1]}),
        "scales": ("DecodeScales", {"bits": ["sampler", 0], "tokenizer": ["bundle", 1]}),
        "rank": (
            "RankByLikeness",
            {"image": ["decode", 0], "semantic": ["semantic", 0], "semantic_encoder": ["bundle", 3],
             "how_many": 1, "mask": ["cut", 1]},
        ),
    }  # fmt: skip
    return {
        name: {"class_type": f"{OURS}{kind}", "inputs": dict(inputs)}
        for name, (kind, inputs) in kinds.items()
    }


def loaders(files: dict[str, str]) -> Graph:
    """The loaders of single files. files: kind of loader -> entry of its drop-down."""
    graph: Graph = {
        kind: {"class_type": f"{OURS}{kind}", "inputs": {"file": file, "dtype": "auto"}}
        for kind, file in files.items()
    }
    graph["ContentEncoderFromVAE"] = {
        "class_type": f"{OURS}ContentEncoderFromVAE",
        "inputs": {"vae": ["bundle", 4], "model": "EchoGen-2B"},
    }
    graph["bundle"] = sound()["bundle"]
    return graph


def one(graph: Graph, node: str) -> Graph:
    """The part of the graph that runs this node, with a reader behind it."""
    part = {name: copy.deepcopy(graph[name]) for name in sorted(comfy_server.needed_by(graph, node))}
    part["reader"] = {"class_type": "PreviewAny", "inputs": {"source": [node, 0]}}
    if part[node]["class_type"] == f"{OURS}SaveSubject":
        del part["reader"]
    return part


def hostile(graph: Graph, known: dict[str, Any]) -> Iterator[Hostile]:
    """Every input of every node with every value, typed and linked. known: /object_info."""
    for node in graph:
        good = one(graph, node)
        kind = graph[node]["class_type"]
        groups = known[kind]["input"]
        for field in (name for group in ("required", "optional") for name in groups.get(group, {})):
            for value in (*TYPED, "itself", "left out", *(f"linked {name}" for name in LINKED_VALUES)):
                yield Hostile(kind, field, value, spoiled(good, node, field, value))
        for value in ("format", "missing node", "wrapped link"):
            yield Hostile(kind, "(unknown)", value, spoiled(good, node, "bogus", value))


def spoiled(good: Graph, node: str, field: str, value: str) -> Graph:
    """A copy in which one input has another value."""
    prompt = copy.deepcopy(good)
    inputs = prompt[node]["inputs"]
    if value == "left out":
        inputs.pop(field, None)
    elif value.startswith("linked "):
        prompt["any"] = {"class_type": ANY, "inputs": {"name": value.removeprefix("linked ")}}
        inputs[field] = ["any", 0]
    else:
        inputs[field] = [node, 0] if value == "itself" else TYPED[value]
    return prompt


def run(server: Server, prompt: Graph, seconds: float = 60.0, **extra: Any) -> Ended:
    """Sends a prompt and waits for its end; 'lost' when the server gives no answer in that time."""
    client = server.client
    body = json.dumps({"prompt": prompt, "client_id": client.client_id, **extra}).encode()
    request = urllib.request.Request(
        f"{client.url}/prompt", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            accepted = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        answer = error.read().decode("utf-8", "replace")
        return Ended("refused", refusal(json.loads(answer))) if error.code == 400 else Ended("lost", answer)
    except OSError as error:
        return Ended("lost", str(error))
    end = ended(server, accepted["prompt_id"], seconds)
    refused = bool(accepted["node_errors"]) and end.how == "done"  # the sound outputs run all the same
    return Ended("refused", refusal(accepted)) if refused else end


def ended(server: Server, prompt_id: str, seconds: float = 60.0) -> Ended:
    """Waits for the end of a prompt that was accepted."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            entry = server.client.get_json(f"/history/{prompt_id}").get(prompt_id)
        except OSError as error:
            return Ended("lost", str(error))
        if entry and entry.get("status"):
            if entry["status"]["status_str"] == "success":
                return Ended("done")
            return Ended("failed", failure(entry["status"].get("messages", [])))
        time.sleep(0.01)
    return Ended("lost", f"no end after {seconds:g} s")


def refusal(answer: dict[str, Any]) -> str:
    """What the server had against a prompt."""
    errors = [error for node in dict(answer["node_errors"]).values() for error in node["errors"]]
    errors = errors or [answer["error"]]
    return "; ".join(f"{error['type']}: {error['message']}: {error['details']}" for error in errors)


LEADS_NOWHERE = (
    "missing node", "missing output", "negative output", "output by text", "output by float", "node by dict",
    "nested", "itself", "wrapped link",
)  # fmt: skip
"""Links that ComfyUI itself refuses, in its own words."""

_CLEAR = ("ValueError", "FileNotFoundError", "MemoryError")
_LONGEST = 3000  # characters of a message that anybody reads


def fault(sent: Hostile, end: Ended) -> str:
    """What is wrong with how a prompt ended; '' where nothing is."""
    words = end.words
    if end.how == "lost":
        return words
    if end.how == "failed" and words.partition(":")[0] not in _CLEAR:
        return f"no error in words: {words[:300]}"
    if end.how == "refused" and "exception_during" in words and sent.value not in LEADS_NOWHERE:
        return f"validation raised: {words[:300]}"
    if end.how == "failed" and (len(words) > _LONGEST or not words.replace("\n", "").isprintable()):
        return f"a message of {len(words)} characters, or not to be printed: {words[:300]!a}"
    return ""


def failure(messages: list[Any]) -> str:
    """What the failed node said, with the kind of its exception."""
    for event, data in messages:
        if event == "execution_error":
            return f"{data['exception_type']}: {data['exception_message']}"
        if event == "execution_interrupted":
            return "interrupted"
    return ""


__all__ = [
    "LINKED_VALUES",
    "TYPED",
    "Ended",
    "Hostile",
    "fault",
    "hostile",
    "loaders",
    "one",
    "run",
    "sound",
    "spoiled",
]
