"""Quality and time of the built-in cut: 200 composites with known truth.

    python benchmarks/segmentation.py --out build/composites --npm node_modules

Held-out subjects of the training data (`python -m miniature prepare`: the same packages are
needed) are rendered at 512 px and set into scenes: 120 pictures of one subject whose box covers 10 to 80 % of
the picture's area (spread evenly; less where it would not fit), 20 of a smaller one (1 to 10 %), 60 of two.
They stand anywhere in the frame; of single subjects, every fourth is cut by an edge. One seed draws all.
Renders are kept under --out; --sheet writes a contact sheet.

These pictures are for the final figures. --choosing 0 and --choosing 3 draw as many others each, of every
seventh training subject (no doors, no windows) with seeds of their own: ways to cut are compared on those,
and the network was trained on none of them.

--stamps (Debian's tuxpaint-stamps-default: its folder `stamps`) draws as many with photographs and drawings
of animals, food and things, on the panoramas that the network was not trained on either. They are GPL: for
measuring alone. --weights tests/golden/u2netp.safetensors measures the published network.

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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from echogen_core.checkpoints.read import read_weights
from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.subject.regions import Box
from echogen_core.subject.salient import SalientSubject
from miniature.data import furniture, panoramas
from miniature.data.composites import (
    CHOOSING,
    PICTURE_HW,
    Composite,
    Studio,
    bounds,
    read_grounds,
    render_sprites,
    split_subjects,
    tight,
)
from miniature.training.cut import GROUNDS

SINGLES, SMALL, PAIRS = 120, 20, 60
SIZES, SMALL_SIZES, PAIR_SIZES = (0.10, 0.80), (0.01, 0.10), (0.06, 0.25)
"""Shares of the picture's area."""
BINS = (0.01, 0.03, 0.10, 0.20, 0.40, 0.80)
VIEWS = [(30, 15), (330, 35)]
GRAIN = 0.015  # standard deviation of the noise, of a camera at moderate sensitivity
LOOSE = 0.03
SEED, CHOOSING_SEEDS = 4, {0: 1004, 3: 1005}
STAMP_KINDS = ("animals", "clothes", "food", "household", "plants", "sports", "vehicles")
STAMP_SIDE = 200
SOURCES = tuple(scene.source for scene in panoramas.SCENES if not scene.plain)


class Series(Studio):
    """The pictures of the docstring above."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.sources = SOURCES
        seed = SEED if options.choosing is None else CHOOSING_SEEDS[options.choosing]
        if options.stamps:
            self.sources = tuple(source for source in SOURCES if source not in GROUNDS)
            sprites = read_stamps(options.stamps)
        else:
            models = subjects(options.furniture, options.choosing)
            sprites = render_sprites(options.out / "renders", options.furniture, models, lambda model: VIEWS)
        super().__init__(sprites, read_grounds(options.npm, self.sources), np.random.default_rng(seed))

    def new_ground(self, made: Composite) -> bool:
        """Whether the network never saw this panorama in training."""
        return self.sources[made.ground] not in GROUNDS

    def draw(self) -> list[Composite]:
        """All of them, in that order."""
        singles = [
            self._draw([low + (high - low) * ((index * 0.6180339887) % 1)], touching=index % 4 == 3)
            for count, (low, high) in ((SINGLES, SIZES), (SMALL, SMALL_SIZES))
            for index in range(count)
        ]
        pairs = [self._draw(list(self.rng.uniform(*PAIR_SIZES, 2)), touching=False) for _ in range(PAIRS)]
        return singles + pairs

    def _draw(self, sizes: list[float], touching: bool) -> Composite:
        height, width = PICTURE_HW[self.rng.integers(len(PICTURE_HW))]
        if len(sizes) > 1:
            height, width = sorted((height, width))
        return self.compose((height, width), sizes, touching, GRAIN)


def subjects(furniture_folder: Path, choosing: int | None) -> list[furniture.FurnitureModel]:
    """The held-out models, or the disjoint ones that ways to cut are compared on."""
    if choosing is not None:
        return split_subjects(furniture_folder, choosing)
    catalog = furniture.read_catalog(furniture_folder)
    return list(furniture.split_models(catalog, furniture.read_heldout_names()).heldout)


def read_stamps(folder: Path) -> list[tuple[str, Tensor]]:
    """Name and tight premultiplied picture of each stamp that is not too small."""
    stamps = []
    for kind in STAMP_KINDS:
        for path in sorted((folder / kind).rglob("*.png")):
            with Image.open(path) as picture:
                usable = picture.mode in ("RGBA", "LA", "P") and min(picture.size) >= STAMP_SIDE
                rgba_HW4 = np.asarray(picture.convert("RGBA")) if usable else None
            if rgba_HW4 is not None and 0.05 < (rgba_HW4[..., 3] > 127).mean() < 0.95:
                stamps.append((path.stem, tight(rgba_HW4)))
    return stamps


def box_share(made: Composite) -> float:
    """Share of the picture's area that the box around all subjects has."""
    left, top, right, bottom = bounds(made.truths_NHW.any(0))
    return (right - left) * (bottom - top) / made.image_3HW[0].numel()


def loose_box(truth_HW: Tensor) -> Box:
    """The truth's box, LOOSE larger on each side."""
    left, top, right, bottom = bounds(truth_HW)
    x, y = LOOSE * (right - left), LOOSE * (bottom - top)
    return left - x, top - y, right + x, bottom + y


def iou(mask_HW: Tensor, truth_HW: Tensor) -> float:
    """Intersection over union at half coverage."""
    marked_HW = mask_HW >= 0.5
    return float((marked_HW & truth_HW).sum() / (marked_HW | truth_HW).sum())


def measure(net: SalientSubject, series: Series, composites: list[Composite]) -> list[dict[str, Any]]:
    """A row per composite and way of asking."""
    rows = []
    for index, made in enumerate(composites):
        pair = len(made.names) > 1
        whole_HW = made.truths_NHW.any(0)
        kind = "pair" if pair else "small" if index >= SINGLES else "single"
        base = {
            "index": index,
            "kind": kind,
            "size": box_share(made),
            "touching": kind != "pair" and index % 4 == 3,
            "new_ground": series.new_ground(made),
        }
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
        add("  on a ground never trained on", way=way, kind="single", new_ground=True)
        add("  smaller than asked for", way=way, kind="small")
        add("two subjects", way=way, kind="pair")
        add("  on a ground never trained on", way=way, kind="pair", new_ground=True)
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
    parser.add_argument("--choosing", type=int, choices=CHOOSING, help="other subjects, to choose by")
    parser.add_argument("--stamps", type=Path, help="Tux Paint's stamps: other subjects, on new grounds")
    parser.add_argument("--weights", type=Path, help="other weights than the packaged ones")
    parser.add_argument("--sheet", type=Path, help="a picture of the 24 worst and 24 others")
    options = parser.parse_args()
    series = Series(options)
    composites = series.draw()
    net = load_salient()
    if options.weights:
        net.load_state_dict(read_weights(options.weights).tensors)
    rows = measure(net, series, composites)
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
