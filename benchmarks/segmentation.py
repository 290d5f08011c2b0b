"""Quality and time of the built-in cut: 200 composites with known truth.

    python benchmarks/segmentation.py --out build/composites --npm node_modules

Held-out subjects of the training data (`python -m echogen_core.training prepare`: the same packages are
needed) are rendered at 512 px and set into scenes: 120 pictures of one subject whose box covers 10 to 80 % of
the picture's area (spread evenly; less where it would not fit), 20 of a smaller one (1 to 10 %), 60 of two.
They stand anywhere in the frame; of single subjects, every fourth is cut by an edge. One seed draws all.
Renders are kept under --out; --sheet writes a contact sheet.

These pictures are for the final figures. --choosing draws as many others, of every seventh training subject
(no doors, no windows) and with another seed: ways to cut are compared on those.

IoU is taken at half coverage, masks as the nodes give them. "box": the truth's own bounding box, 3 % larger
on each side, as a detector or a hand would draw it. The panoramas have 512 columns for 360°: at these sizes
the grounds are soft, like a photographer's, and grain is added; a busy sharp ground is harder.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from echogen_core.checkpoints.subject import load_salient
from echogen_core.subject.regions import Box
from echogen_core.subject.salient import SalientSubject
from echogen_core.training import furniture, panoramas, render

SINGLES, SMALL, PAIRS = 120, 20, 60
SIZES, SMALL_SIZES, PAIR_SIZES = (0.10, 0.80), (0.01, 0.10), (0.06, 0.25)
"""Shares of the picture's area."""
BINS = (0.01, 0.03, 0.10, 0.20, 0.40, 0.80)
LARGEST_SIDE = 0.96  # of the frame's side
PICTURE_HW = ((512, 512), (480, 640), (640, 480), (360, 640))
VIEWS = [(30, 15), (330, 35)]
RENDER_SIDE = 512
GRAIN = 0.015  # standard deviation of the noise, of a camera at moderate sensitivity
LOOSE = 0.03
SEED, CHOOSING_SEED = 4, 1004


@dataclass(frozen=True)
class Composite:
    """image_3HW 0..1, one truth per subject [N, H, W] bool, their box's share of the area, what was drawn."""

    image_3HW: Tensor
    truths_NHW: Tensor
    size: float
    touching: bool
    names: tuple[str, ...]


class Studio:
    """Draws composites; deterministic in the seed."""

    def __init__(self, out: Path, npm: Path, furniture_folder: Path, choosing: bool = False) -> None:
        self.rng = np.random.default_rng(CHOOSING_SEED if choosing else SEED)
        self.sprites = _render(out / "renders", furniture_folder, subjects(furniture_folder, choosing))
        hdri = npm / "@pmndrs" / "assets" / "hdri"
        self.grounds = [
            panoramas.tone_map(panoramas.read_panorama(hdri / f"{scene.source}.exr.js"), scene.exposure)
            for scene in panoramas.SCENES
            if not scene.plain
        ]

    def series(self) -> list[Composite]:
        """All of them, in the order of the docstring above."""
        singles = [
            self._compose([low + (high - low) * ((index * 0.6180339887) % 1)], touching=index % 4 == 3)
            for count, (low, high) in ((SINGLES, SIZES), (SMALL, SMALL_SIZES))
            for index in range(count)
        ]
        pairs = [self._compose(list(self.rng.uniform(*PAIR_SIZES, 2)), touching=False) for _ in range(PAIRS)]
        return singles + pairs

    def _compose(self, sizes: list[float], touching: bool) -> Composite:
        height, width = PICTURE_HW[self.rng.integers(len(PICTURE_HW))]
        if len(sizes) > 1:
            height, width = sorted((height, width))
        image_3HW = self._ground(height, width)
        truths, names = [], []
        for index, size in enumerate(sizes):
            name, sprite_4HW = self.sprites[self.rng.integers(len(self.sprites))]
            span = (width * index / len(sizes), width * (index + 1) / len(sizes))
            layer_4HW = self._place(sprite_4HW, size, (height, width), span, touching)
            image_3HW = _lay(image_3HW, layer_4HW)
            truths = [truth_HW & (layer_4HW[3] < 0.5) for truth_HW in truths]
            truths.append(layer_4HW[3] >= 0.5)
            names.append(name)
        grain_3HW = torch.from_numpy(self.rng.normal(0, GRAIN, image_3HW.shape).astype(np.float32))
        image_3HW = ((image_3HW + grain_3HW).clamp(0, 1) * 255).round() / 255
        left, top, right, bottom = bounds(torch.stack(truths).any(0))
        share = (right - left) * (bottom - top) / (height * width)
        return Composite(image_3HW, torch.stack(truths), share, touching, tuple(names))

    def _ground(self, height: int, width: int) -> Tensor:
        panorama_PQ3 = self.grounds[self.rng.integers(len(self.grounds))]
        side = max(height, width)
        yaw, pitch, view = self.rng.uniform(0, 360), self.rng.uniform(-14, -4), self.rng.uniform(75, 95)
        pixels_HW2 = panoramas.crop_pixels(yaw, pitch, view, side, panorama_PQ3.shape[:2])
        crop_HW3 = panoramas.sample(panorama_PQ3, pixels_HW2)
        top, left = (side - height) // 2, (side - width) // 2
        crop_HW3 = crop_HW3[top : top + height, left : left + width]
        return torch.from_numpy(crop_HW3.astype(np.float32)).permute(2, 0, 1)

    def _place(
        self,
        sprite_4HW: Tensor,
        size: float,
        picture_hw: tuple[int, int],
        span: tuple[float, float],
        touching: bool,
    ) -> Tensor:
        """[4, H, W]: the sprite (tight, premultiplied) with a box of `size` of the picture, where it fits."""
        height, width = picture_hw
        own_height, own_width = sprite_4HW.shape[-2:]
        room = LARGEST_SIDE * min(height / own_height, (span[1] - span[0]) / own_width)
        scale = min(room, float(np.sqrt(size * height * width / (own_height * own_width))))
        new_hw = tuple(max(1, round(side * scale)) for side in sprite_4HW.shape[-2:])
        small_4hw = F.interpolate(sprite_4HW[None], new_hw, mode="bilinear", antialias=True)[0]
        tall, wide = new_hw
        room_x = max(span[1] - span[0] - wide, 0.0)
        left = round(span[0] + self.rng.uniform(0, 1) * room_x)
        top = round(self.rng.uniform(0, 1) * max(height - tall, 0))
        if touching:  # up to a quarter of it lies outside
            cut = self.rng.uniform(0, 0.25)
            side = self.rng.integers(4)
            left = (round(-cut * wide), round(width - (1 - cut) * wide), left, left)[side]
            top = (top, top, round(-cut * tall), round(height - (1 - cut) * tall))[side]
        layer_4HW = torch.zeros(4, height, width)
        y, x = max(top, 0), max(left, 0)
        bottom, right = min(top + tall, height), min(left + wide, width)
        layer_4HW[:, y:bottom, x:right] = small_4hw[:, y - top : bottom - top, x - left : right - left]
        return layer_4HW


def subjects(furniture_folder: Path, choosing: bool) -> list[furniture.FurnitureModel]:
    """The held-out models, or the disjoint ones that ways to cut are compared on."""
    models = furniture.split_models(furniture.read_catalog(furniture_folder), furniture.read_heldout_names())
    if not choosing:
        return list(models.heldout)
    return [model for model in models.train[::7] if model.category != "Doors and windows"]


def _render(
    folder: Path, furniture_folder: Path, models: list[furniture.FurnitureModel]
) -> list[tuple[str, Tensor]]:
    """Name and tight premultiplied picture [4, h, w] of each subject's views."""
    folder.mkdir(parents=True, exist_ok=True)
    sprites = []
    for model in models:
        path = folder / f"{model.id}.npy"
        if not path.exists():
            parts = render.load_parts(model, furniture_folder)
            np.save(path, render.render_views(parts, RENDER_SIDE, 2, VIEWS))
        for view_HW4 in np.load(path):
            if render.coverage(view_HW4) < render.MIN_COVERAGE:
                continue
            rgba_4HW = torch.from_numpy(view_HW4).permute(2, 0, 1).float() / 255
            rgba_4HW = torch.cat((rgba_4HW[:3] * rgba_4HW[3:], rgba_4HW[3:]))
            left, top, right, bottom = bounds(rgba_4HW[3] > 0.5)
            sprites.append((model.name, rgba_4HW[:, top:bottom, left:right]))
    return sprites


def _lay(image_3HW: Tensor, layer_4HW: Tensor) -> Tensor:
    """The layer over the picture: a little of the scene's light on it, a soft shadow under it."""
    alpha_1HW = layer_4HW[3:]
    tint_311 = image_3HW.mean((1, 2), keepdim=True)
    tint_311 = tint_311 / tint_311.mean().clamp_min(0.05)
    lit_3HW = layer_4HW[:3] * torch.lerp(torch.ones_like(tint_311), tint_311, 0.25)
    _, top, _, bottom = bounds(alpha_1HW[0] > 0.5)
    reach = max(1, (bottom - top) // 12)
    feet_1HW = alpha_1HW.clone()
    feet_1HW[:, : bottom - 2 * reach] = 0
    shadow_1HW = F.avg_pool2d(feet_1HW.roll(reach, 1), 2 * reach + 1, 1, reach)
    ground_3HW = image_3HW * (1 - 0.4 * shadow_1HW)
    return lit_3HW + ground_3HW * (1 - alpha_1HW)


def bounds(mask_HW: Tensor) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the marked pixels."""
    rows, columns = mask_HW.any(1).nonzero()[:, 0], mask_HW.any(0).nonzero()[:, 0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def loose_box(truth_HW: Tensor) -> Box:
    """The truth's box, LOOSE larger on each side."""
    left, top, right, bottom = bounds(truth_HW)
    x, y = LOOSE * (right - left), LOOSE * (bottom - top)
    return left - x, top - y, right + x, bottom + y


def iou(mask_HW: Tensor, truth_HW: Tensor) -> float:
    """Intersection over union at half coverage."""
    marked_HW = mask_HW >= 0.5
    return float((marked_HW & truth_HW).sum() / (marked_HW | truth_HW).sum())


def measure(net: SalientSubject, composites: list[Composite]) -> list[dict[str, Any]]:
    """A row per composite and way of asking."""
    rows = []
    for index, made in enumerate(composites):
        pair = len(made.names) > 1
        whole_HW = made.truths_NHW.any(0)
        kind = "pair" if pair else "small" if index >= SINGLES else "single"
        base = {"index": index, "kind": kind, "size": made.size, "touching": made.touching}
        found_HW = net.mask(made.image_3HW[None])[0]
        rows.append({**base, "way": "alone", "names": " + ".join(made.names), "iou": iou(found_HW, whole_HW)})
        for truth_HW, name in zip(made.truths_NHW, made.names, strict=True):
            found_HW = net.mask(made.image_3HW[None], [loose_box(truth_HW)])[0]
            rows.append({**base, "way": "box", "names": name, "iou": iou(found_HW, truth_HW)})
    return rows


def report(rows: list[dict[str, Any]]) -> str:
    """The table for people."""
    lines = [f"{'':34} {'mean':>6} {'median':>7} {'≥ 0.9':>6} {'n':>4}"]

    def add(title: str, **wanted: Any) -> None:
        values = [row["iou"] for row in rows if all(row[key] == value for key, value in wanted.items())]
        lines.append(_line(title, values))

    for way in ("alone", "box"):
        add(f"one subject, {way}", way=way, kind="single")
        add("  whole in the frame", way=way, kind="single", touching=False)
        add("  cut by an edge", way=way, kind="single", touching=True)
        add("  smaller than asked for", way=way, kind="small")
        add("two subjects", way=way, kind="pair")
        for low, high in itertools.pairwise(BINS):
            values = [
                row["iou"]
                for row in rows
                if row["way"] == way and row["kind"] != "pair" and low <= row["size"] < high
            ]
            lines.append(_line(f"  one, {low:.0%} to {high:.0%} of the area", values))
    lines.append(_line("all with a box", [row["iou"] for row in rows if row["way"] == "box"]))
    names = sorted({name for row in rows for name in [row["names"]] if row["kind"] != "pair"})
    means = {
        n: statistics.mean(r["iou"] for r in rows if r["names"] == n and r["way"] == "box") for n in names
    }
    hardest = ", ".join(f"{name} {means[name]:.2f}" for name in sorted(names, key=means.__getitem__)[:8])
    lines.append(f"hardest with a box: {hardest}")
    return "\n".join(lines) + "\n"


def _line(title: str, values: list[float]) -> str:
    if not values:
        return f"{title:34} {'-':>6}"
    good = sum(value >= 0.9 for value in values) / len(values)
    mean, median = statistics.mean(values), statistics.median(values)
    return f"{title:34} {mean:6.3f} {median:7.3f} {good:6.0%} {len(values):4}"


def seconds(net: SalientSubject, runs: int = 9) -> float:
    """Median seconds for one 1024 px picture."""
    image_B3HW = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    image_B3HW[:, :, 300:700, 300:700] = 0.1
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        net.mask(image_B3HW)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/composites"), help="renders and figures go here"
    )
    parser.add_argument("--npm", type=Path, default=Path("node_modules"), help="holds @pmndrs/assets")
    parser.add_argument("--furniture", type=Path, default=furniture.CATALOG_FOLDER)
    parser.add_argument("--choosing", action="store_true", help="other subjects and seed, to choose by")
    parser.add_argument("--sheet", type=Path, help="a picture of the 24 worst and 24 others")
    options = parser.parse_args()
    studio = Studio(options.out, options.npm, options.furniture, options.choosing)
    composites = studio.series()
    net = load_salient()
    rows = measure(net, composites)
    (options.out / "iou.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    sys.stdout.write(report(rows))
    sys.stdout.write(
        f"{seconds(net):.2f} s for a 1024 px picture, {torch.get_num_threads()} threads, "
        f"{platform.machine()}, torch {torch.__version__}\n"
    )
    if options.sheet:
        contact_sheet(net, composites, rows).save(options.sheet)


def contact_sheet(
    net: SalientSubject, composites: list[Composite], rows: list[dict[str, Any]]
) -> Image.Image:
    """The 24 worst pictures without a box, then 24 others: each beside its cut on white."""
    alone = sorted((row for row in rows if row["way"] == "alone"), key=lambda row: row["iou"])
    picked = alone[:24] + alone[24 :: max(1, (len(alone) - 24) // 24)][:24]
    sheet = Image.new("RGB", (8 * 2 * 160, 6 * 160), "grey")
    for place, row in enumerate(picked):
        image_3HW = composites[row["index"]].image_3HW
        mask_1HW = net.mask(image_3HW[None])
        for column, shown_3HW in enumerate((image_3HW, image_3HW * mask_1HW + 1 - mask_1HW)):
            tile = Image.fromarray((shown_3HW * 255).byte().permute(1, 2, 0).numpy())
            tile.thumbnail((158, 158))
            sheet.paste(tile, ((place % 8 * 2 + column) * 160, place // 8 * 160))
    return sheet


if __name__ == "__main__":
    main()
