"""The quickstart through a real ComfyUI, node by node, beside a naive sampler in the same graph.

Seconds are those of the server's processor time, taken when its events arrive: other programs lengthen them
least. Cold: another reference picture and prompt. Previews off: no tokenizer at the sampler.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from model_runs import Figure

import comfy_server
from comfy_server import Graph, Recorder, Run
from echogen_core.config import PRESETS
from echogen_core.sampling.memory import GIGABYTE
from echogen_core.scales import preset_schedule
from echogen_core.subject.samples import sample_names
from runner.server import Server

STAGES = {
    "EchoGenLoadBundle": "loading",
    "EchoGenSubjectSegmentation": "cutting out",
    "EchoGenEncodeText": "encoders",
    "EchoGenEncodeSemantic": "encoders",
    "EchoGenEncodeContent": "encoders",
    "EchoGenSampler": "sampling",
    "TestNaiveSampler": "sampling",
    "EchoGenDecodeBits": "decoding",
}
"""Class of a node -> stage; all other nodes, and what ComfyUI does between them, are the rest."""
DRAWING = ("sampling", "decoding")
ALL = tuple(dict.fromkeys((*STAGES.values(), "rest")))
SCENES = ("on a meadow", "in a forest", "in a city", "in Venice")
KINDS = ("previews on", "previews off", "naive")
WAYS = ("cold, γ_t = γ_I", "only γ changed, γ_t = γ_I", "first γ_t ≠ γ_I", "only γ changed, γ_t ≠ γ_I")
"""In this order; the first γ_t ≠ γ_I needs a branch that those before did without."""


class Measured(NamedTuple):
    """Processor seconds of each stage, and the most main memory seen, in bytes."""

    seconds: Counter[str]
    memory: int


class Stopwatch:
    """Runs graphs on a server and takes its processor time between the nodes."""

    def __init__(self, server: Server) -> None:
        self.recorder = Recorder(server)
        self._process = psutil.Process(server.process.pid)

    def run(self, graph: Graph) -> Measured:
        """One run of a graph, from its first node on: before, ComfyUI may collect the garbage of others.

        AssertionError where it fails.
        """
        seconds: Counter[str] = Counter()
        memory, began, stage = 0, 0.0, ""

        def note(run: Run) -> None:
            nonlocal memory, began, stage
            now = self._now()
            if stage:
                seconds[stage] += now - began
            began = now
            if run.executed:
                stage = STAGES.get(graph[run.executed[-1]]["class_type"], "rest")
            memory = max(memory, self._process.memory_info().rss)

        run = self.recorder.run(graph, note)
        assert run.error is None, run.message
        return Measured(seconds, memory)

    def _now(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


def graph(kind: str, number: int, dtype: str) -> Graph:
    """The quickstart for a reference and a prompt of that number, of one of KINDS."""
    names = sample_names()
    made = comfy_server.changed(comfy_server.quickstart(), "EchoGenLoadBundle", dtype=dtype)
    made = comfy_server.changed(made, "EchoGenSamplePicture", picture=names[number % len(names)])
    # a margin of its own, so that no number finds another's cut-out in a cache
    made = comfy_server.changed(made, "EchoGenSubjectSegmentation", margin=0.05 + 0.001 * number)
    made = comfy_server.changed(made, "EchoGenEncodeText", prompt=f"a toy {SCENES[number % len(SCENES)]}")
    sampler = comfy_server.node_of(made, "EchoGenSampler")
    if kind == "previews off":
        del made[sampler]["inputs"]["tokenizer"]
    elif kind == "naive":
        decoder = comfy_server.node_of(made, "EchoGenDecodeBits")
        taken = ("model", "tokenizer", "text", "semantic", "content", "gamma_t", "gamma_i", "seed")
        inputs = {name: made[sampler]["inputs"][name] for name in taken}
        made[decoder] = {"class_type": "TestNaiveSampler", "inputs": inputs}
        del made[sampler]
    return made


def with_gammas(made: Graph, gamma_t: float, gamma_i: float) -> Graph:
    """The same graph with other guidance."""
    (sampler,) = [
        node["class_type"] for node in made.values() if STAGES.get(node["class_type"]) == "sampling"
    ]
    return comfy_server.changed(made, sampler, gamma_t=gamma_t, gamma_i=gamma_i)


def measure(stopwatch: Stopwatch, dtype: str, runs: int) -> dict[tuple[str, str], Measured]:
    """(kind, way) -> medians; the kinds by turns, after a round that isn't counted."""
    found: dict[tuple[str, str], list[Measured]] = {(kind, way): [] for kind in KINDS for way in WAYS}
    for number in range(runs + 1):
        for kind in KINDS:
            cold = graph(kind, len(KINDS) * number + KINDS.index(kind), dtype)
            for way, gammas in zip(WAYS, ((2.5, 2.5), (3, 3), (3, 2), (4, 2)), strict=True):
                found[kind, way].append(stopwatch.run(with_gammas(cold, *gammas)))
    return {key: _median(measured[1:]) for key, measured in found.items()}


def _median(measured: list[Measured]) -> Measured:
    stages = dict.fromkeys(stage for each in measured for stage in each.seconds)
    seconds = Counter(
        {stage: statistics.median(each.seconds[stage] for each in measured) for stage in stages}
    )
    return Measured(seconds, max(each.memory for each in measured))


def figures(runs: int) -> Iterator[Figure]:
    """Of nano in both types; a server for each."""
    for dtype in ("fp32", "bf16"):
        with (
            tempfile.TemporaryDirectory() as folder,
            comfy_server.serving(Path(folder), name="benchmark") as server,
        ):
            yield from server_figures(server, dtype, runs)


def server_figures(server: Server, dtype: str, runs: int) -> Iterator[Figure]:
    """Of nano on a server."""
    nano = PRESETS["nano"]
    side, _ = nano.tokenizer.drawn_hw(preset_schedule(nano).scales[-1])
    stopwatch, model = Stopwatch(server), f"nano, {side} px, {dtype}"
    first = stopwatch.run(graph(KINDS[0], 0, dtype)).seconds
    measured = measure(stopwatch, dtype, runs)
    stopwatch.recorder.close()
    memory = max(each.memory for each in measured.values()) / GIGABYTE
    yield Figure("graph", f"{model}, first run after the start", "all", sum(first.values()), "s")
    yield Figure("graph", f"{model}, all runs", "most main memory", memory, "GB")
    for (kind, way), (seconds, _) in measured.items():
        case = f"{model}, {kind}, {way}"
        for stage in ALL[1:]:
            yield Figure("graph", case, stage, seconds[stage], "s")
        naive = None if kind == "naive" else measured["naive", way].seconds
        for title, stages in (("sampling and decoding", DRAWING), ("all", ALL)):
            took = sum(seconds[stage] for stage in stages)
            against = None if naive is None else ("naive", sum(naive[stage] for stage in stages))
            yield Figure("graph", case, title, took, "s", against)
