"""Quality and speed of the built-in cut on 200 composites with ground truth.

    python benchmarks/segmentation.py --out build/composites --npm node_modules

Held-out subjects of the training data (which needs the packages of `python -m miniature prepare`) are
rendered at 512 px and composed into panoramas: 120 pictures of one subject whose box covers 10 to 80 % of the
area (evenly spread; less if it would not fit), 20 of a smaller one (1 to 10 %), 60 of two. They are anywhere
in the frame; every fourth single subject is cut by its edge. All come from one seed. Renders are cached in
--out; --sheet writes a contact sheet.

These pictures are for the final figures. --validation 0 and --validation 3 draw as many each of other
subjects: two sevenths of the training subjects (no doors, no windows), on which variants of the cut are
compared, and which its network was not trained on.

--stamps (the folder `stamps` of Debian's tuxpaint-stamps-default) draws as many with photographs and drawings
of animals, food and things, on panoramas that the network was not trained on either. They are GPL and used
for measuring alone. --weights tests/golden/u2netp.safetensors measures the published network.

IoU is taken at an alpha of 0.5, with masks as the nodes give them. "box": the ground truth's bounding box, 3
% larger on each side, like a detector's or a hand-drawn one. The panoramas have 512 columns for 360°, so at
these sizes backgrounds are soft, and grain is added; sharp, busy backgrounds are harder.
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
from echogen_core.pictures import to_pil
from echogen_core.subject.regions import Box
from echogen_core.subject.salient import SalientSubject
from miniature.data import furniture, panoramas
from miniature.data.colour import over_white
from miniature.data.composites import (
    PICTURE_HW,
    VALIDATION_FOLDS,
    Composite,
    CompositeGenerator,
    bounds,
    read_backgrounds,
    render_sprites,
    split_subjects,
)
from miniature.data.stamps import read_stamps
from miniature.training.cut import BACKGROUNDS

SINGLES, SMALL, PAIRS = 120, 20, 60
RUNS = 9
"""Timed runs, after one that warms up."""
SIZES, SMALL_SIZES, PAIR_SIZES = (0.10, 0.80), (0.01, 0.10), (0.06, 0.25)
"""Shares of the picture's area."""
BINS = (0.01, 0.03, 0.10, 0.20, 0.40, 0.80)
VIEWS = [(30, 15), (330, 35)]
GRAIN = 0.015  # standard deviation of the noise, of a camera at moderate sensitivity
LOOSE = 0.03
SEED, VALIDATION_SEEDS = 4, {0: 1004, 3: 1005}
SOURCES = tuple(scene.source for scene in panoramas.SCENES if not scene.plain)


class Series(CompositeGenerator):
    """The pictures that the module's docstring describes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.sources = SOURCES
        seed = SEED if options.validation is None else VALIDATION_SEEDS[options.validation]
        if options.stamps:
            self.sources = tuple(source for source in SOURCES if source not in BACKGROUNDS)
            sprites = read_stamps(options.stamps)
        else:
            models = subjects(options.furniture, options.validation)
            sprites = render_sprites(options.out / "renders", options.furniture, models, lambda model: VIEWS)
        super().__init__(sprites, read_backgrounds(options.npm, self.sources), np.random.default_rng(seed))

    def new_background(self, made: Composite) -> bool:
        """Whether the network was not trained on this panorama."""
        return self.sources[made.background] not in BACKGROUNDS

    def draw(self) -> list[Composite]:
        """All pictures, in that order."""
        singles = [
            self._draw([low + (high - low) * ((index * 0.6180339887) % 1)], truncated=index % 4 == 3)
            for count, (low, high) in ((SINGLES, SIZES), (SMALL, SMALL_SIZES))
            for index in range(count)
        ]
        pairs = [self._draw(list(self.rng.uniform(*PAIR_SIZES, 2)), truncated=False) for _ in range(PAIRS)]
        return singles + pairs

    def _draw(self, sizes: list[float], truncated: bool) -> Composite:
        height, width = PICTURE_HW[self.rng.integers(len(PICTURE_HW))]
        if len(sizes) > 1:
            height, width = sorted((height, width))
        return self.compose((height, width), sizes, truncated, GRAIN)


def subjects(furniture_folder: Path, fold: int | None) -> list[furniture.FurnitureModel]:
    """The held-out models, or those of a validation fold."""
    if fold is not None:
        return split_subjects(furniture_folder, fold)
    catalog = furniture.read_catalog(furniture_folder)
    return list(furniture.split_models(catalog, furniture.read_heldout_names()).heldout)


def box_share(made: Composite) -> float:
    """Area of the box around all subjects over that of the picture."""
    left, top, right, bottom = bounds(made.truths_NHW.any(0))
    return (right - left) * (bottom - top) / made.image_3HW[0].numel()


def loose_box(truth_HW: Tensor) -> Box:
    """The ground truth's box, larger by LOOSE on each side."""
    left, top, right, bottom = bounds(truth_HW)
    x, y = LOOSE * (right - left), LOOSE * (bottom - top)
    return left - x, top - y, right + x, bottom + y


def iou(mask_HW: Tensor, truth_HW: Tensor) -> float:
    """Intersection over union at an alpha of 0.5."""
    marked_HW = mask_HW >= 0.5
    return float((marked_HW & truth_HW).sum() / (marked_HW | truth_HW).sum())


def measure(net: SalientSubject, series: Series, composites: list[Composite]) -> list[dict[str, Any]]:
    """A row per composite, without a box and with each subject's."""
    rows = []
    for index, made in enumerate(composites):
        pair = len(made.names) > 1
        whole_HW = made.truths_NHW.any(0)
        kind = "pair" if pair else "small" if index >= SINGLES else "single"
        base = {
            "index": index,
            "kind": kind,
            "size": box_share(made),
            "truncated": kind != "pair" and index % 4 == 3,
            "new_background": series.new_background(made),
        }
        found_HW = net.mask(made.image_3HW[None])[0]
        rows.append({**base, "way": "alone", "names": " + ".join(made.names), "iou": iou(found_HW, whole_HW)})
        for truth_HW, name in zip(made.truths_NHW, made.names, strict=True):
            found_HW = net.mask(made.image_3HW[None], [loose_box(truth_HW)])[0]
            rows.append({**base, "way": "box", "names": name, "iou": iou(found_HW, truth_HW)})
    return rows


def report(rows: list[dict[str, Any]]) -> str:
    """The results as a text table."""
    lines = [f"{'':34} {'mean':>6} {'median':>7} {'≥ 0.9':>6} {'n':>4}"]

    def add(title: str, **wanted: Any) -> None:
        values = [row["iou"] for row in rows if all(row[key] == value for key, value in wanted.items())]
        lines.append(_line(title, values))

    for way in ("alone", "box"):
        add(f"one subject, {way}", way=way, kind="single")
        add("  whole in the frame", way=way, kind="single", truncated=False)
        add("  cut by an edge", way=way, kind="single", truncated=True)
        add("  on a background never trained on", way=way, kind="single", new_background=True)
        add("  smaller than asked for", way=way, kind="small")
        add("two subjects", way=way, kind="pair")
        add("  on a background never trained on", way=way, kind="pair", new_background=True)
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


def seconds(net: SalientSubject) -> float:
    """Median seconds for one 1024 px picture."""
    image_B3HW = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    image_B3HW[:, :, 300:700, 300:700] = 0.1
    times = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        net.mask(image_B3HW)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Render, measure, and write the sheet and the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/composites"), help="folder for renders and figures"
    )
    parser.add_argument(
        "--npm", type=Path, default=Path("node_modules"), help="node_modules with @pmndrs/assets"
    )
    parser.add_argument("--furniture", type=Path, default=furniture.CATALOG_FOLDER)
    parser.add_argument(
        "--validation",
        type=int,
        choices=VALIDATION_FOLDS,
        help="a validation fold instead of the held-out subjects",
    )
    parser.add_argument("--stamps", type=Path, help="Tux Paint's stamps as subjects, on new backgrounds")
    parser.add_argument("--weights", type=Path, help="weights (default: the packaged ones)")
    parser.add_argument("--sheet", type=Path, help="picture file: draw the 24 worst and 24 others")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
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
        for column, shown_3HW in enumerate((image_3HW, over_white(image_3HW * mask_1HW, mask_1HW))):
            tile = to_pil(shown_3HW)
            tile.thumbnail((158, 158))
            sheet.paste(tile, ((place % 8 * 2 + column) * 160, place // 8 * 160))
    return sheet


if __name__ == "__main__":
    main()
