"""Draws the registry's icon and banner: a sample picture as the model builds it, from one cell to many.

python tests/tools/make_branding.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
SAMPLE = ROOT / "echogen_core" / "assets" / "samples" / "teddy_bear.png"
ICON_SIDE = 400
BANNER = (1260, 540)  # 21:9, as the registry shows it
PAPER, INK, QUIET = "#23282f", "#f2efe8", "#9aa3ad"
ICON_BANDS = ((ICON_SIDE, 0), (32, 200), (16, 250), (8, 300))  # cells along a side, and the band's top edge
BANNER_CELLS = (1, 2, 4, 8, 16, 32)


def mosaic(cells: int, side: int) -> Image.Image:
    """The sample on paper, `side` pixels wide, in `cells` x `cells` cells."""
    subject = Image.open(SAMPLE).convert("RGBA")
    picture = Image.new("RGBA", subject.size, PAPER)
    picture.alpha_composite(subject)
    small = picture.convert("RGB").resize((cells, cells), Image.Resampling.BOX)
    return small.resize((side, side), Image.Resampling.NEAREST)


def rounded(picture: Image.Image, radius: int) -> Image.Image:
    """With transparent corners, smoothed over four times the size."""
    mask = Image.new("L", (4 * picture.width, 4 * picture.height))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), 4 * radius, fill=255)
    picture = picture.convert("RGBA")
    picture.putalpha(mask.resize(picture.size, Image.Resampling.BOX))
    return picture


def icon() -> Image.Image:
    """One picture, drawn finer from the bottom to the top."""
    picture = Image.new("RGB", (ICON_SIDE, ICON_SIDE))
    for cells, top in ICON_BANDS:
        picture.paste(mosaic(cells, ICON_SIDE).crop((0, top, ICON_SIDE, ICON_SIDE)), (0, top))
    return rounded(picture, 56)


def banner() -> Image.Image:
    """The scales in a row, and the name under them."""
    picture = Image.new("RGB", BANNER, PAPER)
    side, gap = 176, 24
    left = (picture.width - len(BANNER_CELLS) * (side + gap) + gap) // 2
    for index, cells in enumerate(BANNER_CELLS):
        tile = rounded(mosaic(cells, side), 18)
        picture.paste(tile, (left + index * (side + gap), 90), tile)
    pen = ImageDraw.Draw(picture)
    pen.text((picture.width // 2, 370), "EchoGen", INK, ImageFont.load_default(84), anchor="mm")
    words = "the subject of one picture, in any scene"
    pen.text((picture.width // 2, 455), words, QUIET, ImageFont.load_default(34), anchor="mm")
    return picture


def write(folder: Path) -> None:
    """icon.png and banner.png, in `folder`."""
    icon().save(folder / "icon.png", optimize=True)
    banner().save(folder / "banner.png", optimize=True)


if __name__ == "__main__":
    write(ASSETS)
