"""Sends a real server everything of tests/hostile.py: every input of every node with every value.

ECHOGEN_COMFYUI=PATH python tests/tools/hostile_server.py [WORDS OF node.input = value …]

Some 7,700 prompts, half an hour on two cores. Prints a table, and ends with 1 where a prompt had no end, or
an end without words, or took the server more memory than its limit.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import hostile  # noqa: E402

import comfy_server  # noqa: E402
from runner.server import Server  # noqa: E402

MOST_BYTES = 3 << 30
FILES = {"LoadModel": "transformer", "LoadTokenizer": "tokenizer", "LoadTextEncoder": "text"}
FILES |= {"LoadSemanticEncoder": "semantic"}


def with_files(base: Path) -> dict[str, str]:
    """Puts nano's parts among the models of a server; loader -> its entry there."""
    folder = base / "models" / "echogen" / "mine"
    shutil.copytree(comfy_server.ROOT / "echogen_core" / "assets" / "nano", folder)
    return {loader: f"mine/{part}.safetensors" for loader, part in FILES.items()}


def everything(known: dict[str, Any], files: dict[str, str], words: list[str]) -> list[hostile.Hostile]:
    """All prompts, or those whose name has one of these words."""
    single = hostile.loaders({**files, "LoadSubject": "nothing.safetensors"})
    every = [*hostile.hostile(hostile.sound(), known)]
    every += [each for each in hostile.hostile(single, known) if each.node != "EchoGenLoadBundle"]
    return [each for each in every if not words or any(word in str(each) for word in words)]


def send(server: Server, waiting: list[hostile.Hostile], ends: Counter[str], faults: list[str]) -> None:
    """Sends prompts until none is left, or the server is lost."""
    process = psutil.Process(server.process.pid)
    while waiting:
        sent = waiting.pop(0)
        end = hostile.run(server, sent.prompt)
        ends[end.how] += 1
        size = process.memory_info().rss if server.alive() else 0
        if fault := hostile.fault(sent, end) or (f"{size >> 20} MiB" if size > MOST_BYTES else ""):
            faults.append(f"{sent}: {fault}")
            print(faults[-1], flush=True)
        if end.how == "lost":
            return
        if sum(ends.values()) % 500 == 0:
            print(dict(ends), f"{size >> 20} MiB", flush=True)


def main() -> int:
    ends: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        files = with_files(base)
        waiting: list[hostile.Hostile] | None = None
        while waiting is None or waiting:
            with comfy_server.serving(base, name="hostile") as server:
                if waiting is None:
                    waiting = everything(server.client.get_json("/object_info"), files, sys.argv[1:])
                send(server, waiting, ends, faults)
    print("| ended | prompts |\n|---|---|")
    for how, count in sorted(ends.items()):
        print(f"| {how} | {count} |")
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
