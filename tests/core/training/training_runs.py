"""A small base model, training rows and the command line, for the tests of training."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from loaded_once import loaded_once
from PIL import Image

from echogen_core.checkpoints import save_part
from echogen_core.config import PRESETS, TransformerConfig
from echogen_core.model import EchoGenTransformer
from echogen_core.model.branch import Conditions
from echogen_core.training.__main__ import main
from echogen_core.training.frozen_encoders import FrozenEncoders
from echogen_core.training.initialise import LOG_SCALE, initialise
from tests.core import warm_process

from . import fsdp_on_cpu

ROOT = Path(__file__).resolve().parents[3]
TRAINING = "echogen_core.training.__main__:main"
FSDP = "tests.core.training.fsdp_on_cpu:main"
NANO = PRESETS["nano"].transformer
PLAIN = TransformerConfig(
    depth=2, width=128, heads=2, bits=NANO.bits, text_width=NANO.text_width, text_length=NANO.text_length,
    mlp_ratio=2.0, levels=NANO.levels, subject=False,
)  # fmt: skip
"""An Infinity transformer for nano's tokenizer and prompts, as small as its parts allow."""

QUICK = {"model": "nano", "workers": 0, "log-every": 1, "pictures-every": 0, "ema": 0.9, "base-rate": 0.05}


def make_base(folder: Path, head: float = 20, attention: float = LOG_SCALE, **sizes: Any) -> Path:
    """The base as a file of ours.

    head: makes its weights so much larger: of a trained model's size, where certain bits are possible.
    attention: logarithm of the self-attention's scale. sizes: of TransformerConfig, other than PLAIN's.
    """
    config = replace(PLAIN, **sizes)
    model = EchoGenTransformer(config)
    initialise(model, torch.Generator().manual_seed(0))
    model.head.linear.weight.data *= head
    for block in model.blocks:
        block.attn.log_scale.data.fill_(attention)
    return save_part(folder / "infinity.safetensors", "transformer", model, config, None)


def make_rows(folder: Path, count: int = 8) -> Path:
    """Pairs of coloured boxes in the official form: another place and background in the picture to learn."""
    rng = np.random.default_rng(0)
    (folder / "img").mkdir(parents=True)
    rows = []
    for number in range(count):
        colour = rng.integers(0, 255, 3, dtype=np.uint8)
        for kind, ground, left in (("cond", 255, 20), ("output", rng.integers(60, 200), 8)):
            pixels = np.full((72, 64, 3), ground, dtype=np.uint8)
            pixels[16:56, left : left + 30] = colour
            Image.fromarray(pixels).save(folder / "img" / f"{kind}_{number}.png")
        rows.append(row(number))
    write_rows(folder / "rows", rows)
    return folder / "rows"


def row(number: int, **changed: Any) -> dict[str, Any]:
    """A row of the official form."""
    return {
        "output_image": f"img/output_{number}.png",
        "cond_image": f"img/cond_{number}.png",
        "h_div_w": 1.0,
        "long_caption": f"the subject number {number} in a forest. It stands on the left. The sky is blue.",
        "long_caption_type": "caption_llm",
        **changed,
    }


def write_rows(folder: Path, rows: Sequence[dict[str, Any] | str], name: str = "") -> Path:
    """A file of rows; a text stands as it is."""
    folder.mkdir(exist_ok=True)
    lines = [text if isinstance(text, str) else json.dumps(text) for text in rows]
    path = folder / (name or f"1.000_{len(rows):09}.jsonl")
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def arguments(rows: Path, out: Path, **options: Any) -> list[str]:
    """The command's arguments at a small size; an option of None is left out."""
    chosen = {"data": rows, "images": rows.parent, "out": out, **QUICK, **options}
    words: list[str] = []
    for name, value in chosen.items():
        option = f"--{name.replace('_', '-')}"
        if value is not None:
            words += [option] if value is True else [option, str(value)]
    return words


def records(out: Path) -> list[dict[str, Any]]:
    """The run's log."""
    return [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def random_inputs(config: TransformerConfig, generator: torch.Generator, count: int = 1) -> Conditions:
    """Conditions of random features for a model of these sizes."""

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=generator)

    return Conditions(
        noise(5, config.text_width),
        noise(config.semantic_width),
        noise(config.semantic_length - 1, config.semantic_width),
        noise(config.content_length, config.content_width),
    )


@contextmanager
def encoders_kept() -> Iterator[None]:
    """Runs in this process load the frozen encoders once: training reads them alone."""
    with mock.patch.object(FrozenEncoders, "load", loaded_once(FrozenEncoders.load)):
        yield


class Bench:
    """One folder with base, rows and cached features, where runs take place.

    rows, pair, single: folders with eight rows, two, and one, which is quick where a sheet is drawn.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = make_base(folder)
        self.rows = make_rows(folder)
        self.pair = write_rows(folder / "pair", [row(0), row(1)]).parent
        self.single = write_rows(folder / "single", [row(0)]).parent

    def arguments(self, name: str, **options: Any) -> list[str]:
        chosen = {"base": self.base, "cache": self.folder / "cache", **options}
        return arguments(self.rows, self.folder / name, **chosen)

    def run(self, name: str, **options: Any) -> Path:
        assert main(self.arguments(name, **options)) == 0
        return self.folder / name

    def state(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = torch.load(self.folder / name / "state.pt", weights_only=True)
        return state

    def start(
        self,
        name: str | tuple[str, ...],
        processes: int = 1,
        program: str = TRAINING,
        **options: Any,
    ) -> list[BaseProcess]:
        """The command in processes of its own, with what a launcher of several tells each.

        name: the folder of all, or of each, as of machines that share none. What process i says is in said-i.
        """
        own = {"ACCELERATE_USE_CPU": "true", **(fsdp_on_cpu.ENVIRONMENT if program == FSDP else {})}
        port = free_port()
        places = [
            {} if processes == 1 else rank_environment(number, processes, port) for number in range(processes)
        ]
        names = (name,) * processes if isinstance(name, str) else name
        return [
            warm_process.start(program, self.arguments(own_name, **options), own | place, self.said(number))
            for number, (own_name, place) in enumerate(zip(names, places, strict=True))
        ]

    def said(self, number: int) -> Path:
        """What a process of the last `start` wrote to its standard error."""
        return self.folder / f"said-{number}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rank_environment(number: int, processes: int, port: int) -> dict[str, str]:
    """What torchrun tells each of its processes on one machine."""
    return {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
