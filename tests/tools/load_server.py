"""Hundreds of mixed prompts on a real server: does every one end, and is nothing left behind?

ECHOGEN_COMFYUI=PATH python tests/tools/load_server.py [--prompts 200] [--seed 18]

Two clients draw, sweep, cut out, save and load subjects, send prompts that do not belong, interrupt, clear
the queue and free memory. Prints a table, and ends with 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import hostile  # noqa: E402

import comfy_server  # noqa: E402
from comfy_server import Graph  # noqa: E402
from runner.server import Client, Server  # noqa: E402

MORE = {"RSS": 120.0, "handles": 8.0, "threads": 3.0}
"""What the end may have more than the first tenth: MiB, open files and sockets, threads."""
TIMES = {"seconds": 2.0, "processor seconds": 1.25}
"""How many times as long the reference prompt may take, by its median. The clock's bound is wide because
other programs take their share of the processor."""
END_SECONDS = 120.0
SETTLE_SECONDS = 12.0  # ComfyUI collects its garbage every ten


class Sample(NamedTuple):
    """What the server holds."""

    rss: float  # MiB
    handles: int
    threads: int


@dataclass
class Load:
    """A server under load: what was sent, and how it ended."""

    server: Server
    random: random.Random
    known: dict[str, Any]
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self.clients = [self.server.client, Client(self.server.url)]
        self.hostile = list(hostile.hostile(hostile.sound(), self.known))

    def seed(self) -> int:
        """One that was not drawn yet."""
        self.number += 1
        return self.number

    def sample(self) -> Sample:
        """What the server holds once it has settled."""
        self.server.client.post_json("/free", {"unload_models": True, "free_memory": True})
        time.sleep(SETTLE_SECONDS)
        process = psutil.Process(self.server.process.pid)
        handles = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
        return Sample(process.memory_info().rss / 2**20, handles, process.num_threads())

    def processor_seconds(self) -> float:
        """What the server has used."""
        times = psutil.Process(self.server.process.pid).cpu_times()
        return times.user + times.system

    def queue(self, prompt: Graph) -> str | None:
        """Sends a prompt as one of the clients; its id, None where it was refused."""
        client = self.random.choice(self.clients)
        try:
            return client.queue(prompt)
        except comfy_server.PromptFailed:
            return None

    def ended(self, kind: str, prompt_id: str | None) -> None:
        """Waits for the end of a prompt, and counts it."""
        how = "refused"
        if prompt_id is not None:
            how = self._end(prompt_id)
        self.ends[kind, how] += 1
        if how == "lost":
            self.lost.append(f"{kind} {prompt_id}")

    def _end(self, prompt_id: str) -> str:
        end = time.monotonic() + END_SECONDS
        while time.monotonic() < end:
            entry = self.server.client.get_json(f"/history/{prompt_id}").get(prompt_id)
            if entry:
                if entry["status"]["status_str"] == "success":
                    return "done"
                words = hostile.failure(entry["status"]["messages"])
                return "interrupted" if words == "interrupted" else "failed"
            waits = prompt_id in json.dumps(self.server.client.get_json("/queue"))
            # looked at again: it may have gone from one to the other in between
            if not waits and prompt_id not in self.server.client.get_json(f"/history/{prompt_id}"):
                return "cleared"
            time.sleep(0.02)
        return "lost"


def drawn(load: Load, **sampler: Any) -> Graph:
    """A picture that was not drawn before."""
    graph = hostile.one(hostile.sound(), "decode")
    graph["sampler"]["inputs"] |= {"seed": load.seed(), **sampler}
    return graph


def reference(load: Load) -> tuple[float, float]:
    """Seconds by the clock and of the processor, of the one prompt that is always the same but for its seed.

    It is sent twice, because what came before may have freed the models: the second time counts.
    """
    load.ended("reference", load.queue(drawn(load)))
    start, used = time.monotonic(), load.processor_seconds()
    load.ended("reference", load.queue(drawn(load)))
    return time.monotonic() - start, load.processor_seconds() - used


def plain(load: Load) -> None:
    batch, gamma = load.random.randint(1, 3), load.random.choice([0.0, 1.0, 2.5, 6.0])
    load.ended("picture", load.queue(drawn(load, batch=batch, gamma_i=gamma)))


def without(load: Load) -> None:
    graph = drawn(load)
    for name in load.random.sample(["text", "semantic", "content", "guidance", "tokenizer"], 2):
        del graph["sampler"]["inputs"][name]
    load.ended("paths left open", load.queue(graph))


def sweep(load: Load) -> None:
    graph = hostile.one(hostile.sound(), "sweep")
    graph["sweep"]["inputs"] |= {"gamma_t": "1, 3", "gamma_i": "2, 4", "seed": load.seed()}
    load.ended("sweep", load.queue(graph))


def segmented(load: Load) -> None:
    graph = hostile.one(hostile.sound(), "subject")
    if load.random.random() < 0.5:
        del graph["subject"]["inputs"]["mask"]
    graph["subject"]["inputs"]["margin"] = load.random.random() * 0.4
    load.ended("subject", load.queue(graph))


def kept(load: Load) -> None:
    load.ended("save subject", load.queue(hostile.one(hostile.sound(), "save")))
    graph = drawn(load)
    file = "EchoGen/subjects/kept_00001_.safetensors [output]"
    graph["loaded"] = {"class_type": "EchoGenLoadSubject", "inputs": {"file": file}}
    graph["sampler"]["inputs"] |= {"semantic": ["loaded", 0], "content": ["loaded", 1]}
    load.ended("load subject", load.queue(graph))


def bad(load: Load) -> None:
    for sent in load.random.sample(load.hostile, 3):
        load.ended("does not belong", load.queue(sent.prompt))


def interrupted(load: Load) -> None:
    prompt_id = load.queue(drawn(load, batch=8))
    time.sleep(load.random.random() * 0.6)
    load.server.client.post_json("/interrupt", {})
    load.ended("interrupted", prompt_id)


def interrupted_sweep(load: Load) -> None:
    graph = hostile.one(hostile.sound(), "sweep")
    graph["sweep"]["inputs"] |= {"gamma_t": "1-4", "gamma_i": "1-4", "seed": load.seed()}
    prompt_id = load.queue(graph)
    time.sleep(load.random.random() * 1.5)
    load.server.client.post_json("/interrupt", {})
    load.ended("interrupted sweep", prompt_id)


def burst(load: Load) -> None:
    waiting = [load.queue(drawn(load)) for _ in range(4)]
    load.server.client.post_json("/queue", {"delete": [waiting[2]]})
    if load.random.random() < 0.5:
        load.server.client.post_json("/queue", {"clear": True})
    for prompt_id in waiting:
        load.ended("several waiting", prompt_id)


def freed(load: Load) -> None:
    prompt_id = load.queue(drawn(load))
    load.server.client.post_json("/free", {"unload_models": True, "free_memory": load.random.random() < 0.5})
    load.ended("memory freed", prompt_id)


KINDS: tuple[Callable[[Load], None], ...] = (
    plain, plain, without, sweep, segmented, kept, bad, bad, interrupted, interrupted_sweep, burst, freed,
)  # fmt: skip


def run(load: Load, prompts: int) -> dict[str, tuple[float, float]]:
    """All of it; what has a bound, at the first tenth and at the end."""
    for kind in dict.fromkeys(KINDS):
        kind(load)
    before: list[tuple[float, float]] = []
    after: list[tuple[float, float]] = []
    held: list[Sample] = []
    start = sum(load.ends.values())
    while (done := sum(load.ends.values()) - start) < prompts and not load.lost:
        load.random.choice(KINDS)(load)
        if done < prompts / 10:
            before.append(reference(load))
        elif not held:
            held.append(load.sample())
        elif done >= prompts * 0.9:
            after.append(reference(load))
    held.append(load.sample())
    if load.lost or not before or not after:
        return {}
    figures = dict(zip(MORE, zip(*held, strict=True), strict=True))
    medians = [[statistics.median(each) for each in zip(*taken, strict=True)] for taken in (before, after)]
    return figures | dict(zip(TIMES, zip(*medians, strict=True), strict=True))


def broken(name: str, before: float, after: float) -> bool:
    """Whether a bound is."""
    return after - before > MORE[name] if name in MORE else after / before > TIMES[name]


def report(load: Load, figures: dict[str, tuple[float, float]], seconds: float) -> int:
    """Prints the tables; how many bounds are broken."""
    hows = ("done", "refused", "failed", "interrupted", "cleared", "lost")
    print(f"\n{sum(load.ends.values())} prompts in {seconds:.0f} s\n")
    print(f"| prompts | {' | '.join(hows)} |\n|---|{'---|' * len(hows)}")
    for kind in sorted({kind for kind, _ in load.ends}):
        print(f"| {kind} | {' | '.join(str(load.ends[kind, how]) for how in hows)} |")
    print("\n| | first tenth | end | at most |\n|---|---|---|---|")
    faults = len(load.lost)
    for name, (before, after) in figures.items():
        bound = f"+ {MORE[name]:g}" if name in MORE else f"× {TIMES[name]:g}"
        print(f"| {name} | {before:.2f} | {after:.2f} | {bound} |")
        faults += broken(name, before, after)
    return faults + (not figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=18)
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as base, comfy_server.serving(Path(base), name="load") as server:
        known = server.client.get_json("/object_info")
        load = Load(server, random.Random(options.seed), known)
        figures = run(load, options.prompts)
        load.ended("the last", load.queue(drawn(load)))
        assert server.client.get_json("/queue")["queue_pending"] == []
        faults = report(load, figures, time.monotonic() - start)
    print(f"\n{faults} bounds broken")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
