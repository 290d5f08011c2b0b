"""Reading picture files, and scaling pictures to cover a size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from echogen_core.commands.generate import read_picture
from echogen_core.encoders import reference_picture
from echogen_core.evaluation.scorers import prepare
from echogen_core.pictures import cover_crop, from_pil, open_picture, open_rgb
from echogen_core.subject.samples import open_sample
from echogen_core.training.row_pictures import row_picture

ORIENTATION = 0x0112
READERS: dict[str, Callable[[Path], Any]] = {
    "generate": lambda path: read_picture(path)[0, :3].permute(1, 2, 0).numpy() * 255,
    "a row of the training": lambda path: row_picture(path.read_bytes(), path, "row 1"),
    "dreambench": open_rgb,
    "a sample": lambda path: open_sample(path.name, path.parent),
}


@pytest.mark.parametrize("reader", READERS)
def test_pictures_are_read_upright(reader: str, tmp_path: Path) -> None:
    """A camera held upright: 30 x 20 as stored, red on the left, which belongs on top."""
    stored = Image.new("RGB", (30, 20), "blue")
    stored.paste("red", (0, 0, 15, 20))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    for name in ("photo.jpg", "photo.png", "photo.webp"):
        stored.save(tmp_path / name, exif=exif)
        found_HW3 = np.asarray(READERS[reader](tmp_path / name))
        assert found_HW3.shape == (30, 20, 3)
        assert found_HW3[3, 10, 0] > 200 > 50 > found_HW3[26, 10, 0]


@pytest.mark.parametrize("reader", ["a row of the training", "dreambench"])
def test_what_is_transparent_becomes_white(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    clear.putpixel((1, 1), (255, 0, 0, 255))
    clear.putpixel((2, 2), (0, 0, 0, 51))
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((1, 1), 1)
    grey = Image.new("LA", (4, 4), (0, 0))
    for picture, options in ((clear, {}), (palette, {"transparency": 0}), (grey, {})):
        picture.save(path, **options)
        found = READERS[reader](path)
        assert found.mode == "RGB" and found.getpixel((0, 0)) == (255, 255, 255)
        if picture is not grey:
            assert found.getpixel((1, 1)) == (255, 0, 0)
        if picture is clear:
            assert found.getpixel((2, 2)) == (204, 204, 204)
            assert read_picture(path).shape == (1, 4, 4, 4), "a mask may be in it"


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((64, 64), 90).save(whole)
    for content in (b"", b"GIF89a nothing", whole.read_bytes()[:300], b"\x89PNG\r\n\x1a\n" + bytes(99)):
        path = tmp_path / "broken.png"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"Can't read the picture .*broken\.png \([^<]+\)") as caught:
            open_picture(path)
        assert "BytesIO" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"No picture at .*none\.png"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(ValueError, match="64x64 px; the limit is 63 px per side"):
        open_picture(whole, largest_side=63)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_costs_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (16, 8), "red").save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12")
    assert open_picture(path).size == (16, 8)


def test_the_middle_is_kept() -> None:
    wide = Image.new("RGB", (90, 30), "red")
    wide.paste("blue", (30, 0, 60, 30))
    found_3HW = from_pil(cover_crop(wide, (40, 20)))
    assert found_3HW.shape == (3, 40, 20) and found_3HW[:, 20, 10].tolist() == [0, 0, 1]


def test_of_an_extreme_strip_only_the_middle_is_scaled() -> None:
    thirds = np.repeat(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8), 4000, axis=0)
    column, row = (Image.fromarray(thirds.reshape(shape)) for shape in ((-1, 1, 3), (1, -1, 3)))
    blocks = Image.core.get_stats()["allocated_blocks"]
    green = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    for strip, size_hw in ((column, (80, 64)), (row, (80, 64)), (row, (1, 1))):
        found_3HW = from_pil(cover_crop(strip, size_hw))
        assert found_3HW.shape == (3, *size_hw) and (found_3HW == green).all()
        scored_3SS = prepare(strip, 256, 224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))[0]
        assert scored_3SS.shape == (3, 224, 224) and (scored_3SS == green).all()
        square_3SS = reference_picture(from_pil(strip)[None], 64)[0]
        assert square_3SS.shape == (3, 64, 64) and (square_3SS == green).all()
    # whole, the scorers' alone would take 12000 x 256 x 256 x 3 bytes, 144 blocks of 16 MB
    assert Image.core.get_stats()["allocated_blocks"] - blocks < 60
    # as when the whole strip is scaled; no colours near the ends, where overshoots are clipped
    noise = np.random.default_rng(0).integers(90, 160, (600, 8, 3), dtype=np.uint8)
    scaled = Image.fromarray(noise).resize((16, 1200), Image.Resampling.LANCZOS)
    expected_HW3 = np.asarray(scaled.crop((0, 592, 16, 608)))
    assert np.array_equal(np.asarray(cover_crop(Image.fromarray(noise), (16, 16))), expected_HW3)
