"""A small base model, training rows and the command line, for the tests of adapter training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from echogen_core.checkpoints import save_part
from echogen_core.config import PRESETS, TransformerConfig
from echogen_core.model import EchoGenTransformer
from echogen_core.model.transformer import Conditions
from echogen_core.training.initialise import initialise

NANO = PRESETS["nano"].transformer
PLAIN = TransformerConfig(
    depth=2, width=128, heads=4, bits=NANO.bits, text_width=NANO.text_width, text_length=NANO.text_length,
    mlp_ratio=2.0, levels=NANO.levels, subject=False,
)  # fmt: skip
"""An Infinity transformer for nano's tokenizer and prompts, as small as its parts allow."""

QUICK = {"model": "nano", "workers": 0, "log-every": 1, "pictures-every": 0, "ema": 0.9, "base-rate": 0.05}


def make_base(folder: Path) -> Path:
    """The base as a file of ours."""
    model = EchoGenTransformer(PLAIN)
    initialise(model, torch.Generator().manual_seed(0))
    model.head.linear.weight.data *= 20  # of a trained model's size: certain bits are possible
    return save_part(folder / "infinity.safetensors", "transformer", model, PLAIN, None)


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
    """The command's arguments at a small size."""
    chosen = {"data": rows, "images": rows.parent, "out": out, **QUICK, **options}
    words: list[str] = []
    for name, value in chosen.items():
        option = f"--{name.replace('_', '-')}"
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
