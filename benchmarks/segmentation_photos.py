"""The built-in cut on real photographs, as a contact sheet.

    pip download --no-deps scikit-image && python -m zipfile -e scikit_image-*.whl build/photos
    python benchmarks/segmentation_photos.py --photos build/photos/skimage/data

Five photographs of scikit-image (CC0 or public domain). Each row: the photograph with its mask, the cut on
white without a box, and the cut with a hand-drawn box (outlined on the left).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from echogen_core.checkpoints.segmentation_models import load_salient
from echogen_core.pictures import from_pil, open_rgb, to_pil
from echogen_core.subject.cutout import MaskMarks, cut_out
from echogen_core.subject.overlay import draw_overlay
from echogen_core.subject.regions import Box, Detection

PHOTOS: dict[str, Box] = {
    # pixels
    "chelsea.png": (20, 0, 385, 300),
    "coffee.png": (75, 10, 490, 390),
    "rocket.jpg": (295, 120, 350, 395),
    "astronaut.png": (60, 5, 512, 512),
    "motorcycle_left.png": (40, 110, 730, 475),
}
TILE = 300


def main() -> None:
    """Cut every photograph and write the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="scikit-image's data folder")
    parser.add_argument("--out", type=Path, default=Path("docs/segmentation_sheet.png"))
    options = parser.parse_args()
    net = load_salient()
    sheet = Image.new("RGB", (3 * TILE, len(PHOTOS) * TILE), "white")
    for row, (name, box) in enumerate(PHOTOS.items()):
        image_13HW = from_pil(open_rgb(options.photos / name))[None]
        alone_1HW, boxed_1HW = net.mask(image_13HW), net.mask(image_13HW, [box])
        hit = Detection(box, 1.0, "box")
        tiles = [draw_overlay(image_13HW[0], alone_1HW[0], [hit], hit, 2 * TILE)]
        for mask_1HW in (alone_1HW, boxed_1HW):
            cut = cut_out(image_13HW, mask_1HW, mask_marks=MaskMarks.SUBJECT)
            tiles.append(to_pil(cut.images_B3SS[0]))
        for column, tile in enumerate(tiles):
            fitted = ImageOps.contain(tile, (TILE - 6, TILE - 6))
            sheet.paste(fitted, (column * TILE + 3, row * TILE + (TILE - fitted.height) // 2))
    sheet.quantize(255, dither=Image.Dither.FLOYDSTEINBERG).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
