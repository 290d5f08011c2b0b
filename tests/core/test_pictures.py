"""Reading picture files, and scaling pictures to cover a size."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, features

from echogen_core.commands.reference_options import read_mask, read_picture
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


RAMP_HW = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 64
GREY_HW = np.round(RAMP_HW / 257)
"""RAMP_HW in 8 bits."""


def png_of_16_bits(color: int, values_HWC: np.ndarray, transparent: bytes = b"") -> bytes:
    """A PNG with 16 bits a channel, which Pillow doesn't write. color: PNG's code of the colour type."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values_HWC.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values_HWC)
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"tRNS", transparent) if transparent else b"")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def in_mode(mode: str) -> Image.Image:
    """The ramp in one of Pillow's modes of 8 bits or one."""
    grey = Image.fromarray(GREY_HW.astype(np.uint8))
    if mode == "1":
        return grey.point(lambda value: 255 * (value > 127), "1")
    if mode == "CMYK":  # Pillow's CMYK of grey is exact
        return grey.convert("RGB").convert("CMYK")
    return grey.convert(mode)


GREYS = {
    "16-bit PNG": (".png", saved(Image.fromarray(RAMP_HW), "PNG")),
    "16-bit TIFF": (".tif", saved(Image.fromarray(RAMP_HW), "TIFF")),
    "16-bit TIFF, big-endian": (".tif", saved(Image.fromarray(RAMP_HW.astype(">u2")), "TIFF")),
    "16-bit PGM": (".pgm", saved(Image.fromarray(RAMP_HW.astype(np.int32)), "PPM")),
    "32-bit TIFF": (".tif", saved(Image.fromarray(RAMP_HW.astype(np.int32)), "TIFF")),
    "32-bit TIFF of bytes": (".tif", saved(Image.fromarray(GREY_HW.astype(np.int32)), "TIFF")),
    "floating-point TIFF": (".tif", saved(Image.fromarray((RAMP_HW / 65535).astype(np.float32)), "TIFF")),
    "floating-point TIFF of bytes": (".tif", saved(Image.fromarray(GREY_HW.astype(np.float32)), "TIFF")),
    "16-bit RGB": (".png", png_of_16_bits(2, np.stack([RAMP_HW] * 3, -1))),
    "16-bit RGBA": (".png", png_of_16_bits(6, np.stack([*[RAMP_HW] * 3, RAMP_HW * 0 + 65535], -1))),
    "16-bit grey and alpha": (".png", png_of_16_bits(4, np.stack([RAMP_HW, RAMP_HW * 0 + 65535], -1))),
    **{
        f"{mode} {kind}": (f".{kind.lower()}", saved(in_mode(mode), kind))
        for mode, kind in (
            ("L", "PNG"),
            ("LA", "PNG"),
            ("P", "PNG"),
            ("PA", "TIFF"),
            ("RGBA", "TIFF"),
            ("CMYK", "TIFF"),
            ("YCbCr", "TIFF"),
        )
    },
}


@pytest.mark.parametrize("kind", GREYS)
@pytest.mark.parametrize("reader", [*READERS, "a mask"])
def test_grey_stays_grey_in_every_mode(reader: str, kind: str, tmp_path: Path) -> None:
    ending, content = GREYS[kind]
    path = tmp_path / f"grey{ending}"
    path.write_bytes(content)
    if reader == "a sample" and ending not in (".png", ".jpg"):
        path = path.rename(path.with_suffix(".png"))  # Pillow goes by the content
    if reader == "a mask":
        found_HW3 = np.stack([read_mask(path)[0].numpy() * 255] * 3, -1)
    else:
        found_HW3 = np.asarray(READERS[reader](path))[..., :3]
    assert found_HW3.shape == (32, 32, 3)
    assert np.abs(found_HW3 - GREY_HW[..., None]).max() <= 1


def test_black_and_white_and_one_transparent_grey(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    in_mode("1").save(path)
    assert np.array_equal(np.unique(np.asarray(open_rgb(path))), [0, 255])
    Image.fromarray(RAMP_HW).save(path, transparency=64)
    picture = open_picture(path)
    assert picture.mode == "RGBA" and picture.getpixel((1, 0))[3] == 0 and picture.getpixel((2, 0))[3] == 255
    assert open_rgb(path).getpixel((1, 0)) == (255, 255, 255)
    assert read_mask(path)[0, 0, 1] == 0, "what is transparent is not marked"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_turned_upright(kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "scan"
    path.write_bytes(saved(Image.fromarray(RAMP_HW[:20]), kind, exif=exif))
    found_HW = np.asarray(open_picture(path).convert("L"))
    assert np.abs(found_HW - np.rot90(GREY_HW[:20], -1)).max() <= 1


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (-RAMP_HW.astype(np.float32), "no value above 0, and goes down to -65472"),
        (-RAMP_HW.astype(np.int32), "no value above 0"),
        (np.where(RAMP_HW == 64, np.float32("nan"), np.float32(0.5)), "holds NaN or infinity"),
        (np.where(RAMP_HW == 64, np.float32("inf"), np.float32(0.5)), "holds NaN or infinity"),
    ],
)
def test_values_that_are_no_picture_are_said(values: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / "data.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(
        ValueError, match=rf"data\.tif \(it {says}|{says}.*Save it with values from 0"
    ) as caught:
        open_picture(path)
    assert "damaged" not in str(caught.value)


def pfm(values_HW: np.ndarray) -> bytes:
    height, width = values_HW.shape
    return f"Pf\n{width} {height}\n-1.0\n".encode() + values_HW[::-1].astype("<f4").tobytes()


@pytest.mark.parametrize("file", ["TIFF", "PFM"])
@pytest.mark.parametrize("odd", [0.5, 2.01, 300.0, 1e9, -0.001, -5.0])
@pytest.mark.parametrize(("usual", "share"), [(0.5, 0.5), (1.0, 1.0), (0.01, 0.01), (128.0, 128 / 255)])
def test_a_few_values_never_change_a_floating_point_picture(
    usual: float, share: float, odd: float, file: str, tmp_path: Path
) -> None:
    values_HW = np.full((8, 8), usual, np.float32)
    values_HW[2, 3] = odd
    path = tmp_path / "picture"
    path.write_bytes(pfm(values_HW) if file == "PFM" else saved(Image.fromarray(values_HW), "TIFF"))
    grey_HW = read_picture(path)[0, 0].numpy()
    assert abs(grey_HW[0, 0] - share) < 0.003 and abs(read_mask(path)[0, 0, 0] - share) < 0.003
    assert grey_HW[2, 3] == 0 if odd < 0 else grey_HW[2, 3] > 0 or usual > 2


@pytest.mark.parametrize("odd", [0, 255, 256, 70000, 2**31 - 1, -1])
@pytest.mark.parametrize(("usual", "share"), [(200, 200 / 255), (40000, 40000 / 65535), (1, 1 / 255)])
def test_a_few_values_never_change_a_picture_of_integers(
    usual: int, share: float, odd: int, tmp_path: Path
) -> None:
    values_HW = np.full((8, 8), usual, np.int32)
    values_HW[2, 3] = odd
    path = tmp_path / "picture.tif"
    Image.fromarray(values_HW).save(path)
    assert abs(read_picture(path)[0, 0, 0, 0] - share) < 0.003


def test_a_transparent_colour_of_16_bits_stays_transparent(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    values_HWC = np.stack([RAMP_HW, RAMP_HW // 2, RAMP_HW * 0 + 300], -1)
    colour = struct.pack(">HHH", *values_HWC[4, 4])
    path.write_bytes(png_of_16_bits(2, values_HWC, transparent=colour))
    alpha_HW = np.asarray(open_picture(path))[..., 3]
    assert alpha_HW[4, 4] == 0 and alpha_HW[5, 5] == 255 and (alpha_HW == 0).sum() <= 4
    assert open_rgb(path).getpixel((4, 4)) == (255, 255, 255) and read_mask(path)[0, 4, 4] == 0


AVIF = r"\(damaged or incomplete" if features.check("avif") else "an AVIF picture, which can't be read here"
AVIF_FILES = [saved(Image.new("L", (64, 48)), "AVIF")] if features.check("avif") else []
NOISE = Image.effect_noise((64, 48), 80).convert("RGB")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.png", b"", "the file is empty"),
        ("page.png", b"\n<!DOCTYPE html><html>404</html>", "it is a web page"),
        ("bom.jpg", b"\xef\xbb\xbf<HTML>", "it is a web page"),
        ("comment.png", b"<!-- cached -->\n<!-- 2 --><!DOCTYPE HTML>", "it is a web page"),
        ("long.png", b"<!--" + b"x" * 9000 + b"--><html>", "it is a web page"),
        ("utf16.png", "<html><body>404".encode("utf-16"), "it is a web page"),
        ("utf16be.png", "\ufeff<!DOCTYPE html>".encode("utf-16-be"), "it is a web page"),
        ("commented.png", b"<!-- drawn --><svg xmlns='a'/>", "an SVG drawing"),
        ("xhtml.png", b"<?xml version='1.0'?>\n<!DOCTYPE html>", "it is a web page"),
        ("drawn.png", b"<?xml version='1.0'?><!-- by hand --><!DOCTYPE svg>", "it is an SVG drawing"),
        ("data.png", b"<?xml version='1.0'?><data/>", "an XML file"),
        *(
            (f"cut_{n}.png", content[:n], r"\(damaged or incomplete")
            for content in AVIF_FILES
            for n in (40, 200)
        ),
        ("layers.png", b"8BPS\0\1" + bytes(30), "a Photoshop file that is damaged or of a kind"),
        ("scan.png", b"II*\0" + bytes(30), "a TIFF that is damaged or of a kind"),
        ("light.png", b"v/1\x01\x02\0\0\0", "an OpenEXR picture, which.*Save it as PNG"),
        ("phone.png", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture, which.*Save it as PNG"),
        ("phone2.jpg", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC picture"),
        ("new.png", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", AVIF),
        ("new2.png", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", AVIF),
        ("film.png", b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "a video"),
        ("raw.jpg", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's raw file"),
        ("xl.png", b"\xff\x0a" + bytes(50), "a JPEG XL picture"),
        ("drawing.png", b"<svg xmlns='a'/>", "an SVG drawing"),
        ("paper.png", b"%PDF-1.7", "a PDF"),
        ("lfs.png", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("zeros.png", bytes(500), "not a picture, or in a format.*Use PNG"),
        ("text.png", b"hello", "not a picture, or in a format"),
        *(
            (f"cut_{share}_{kind}.png", whole[: int(len(whole) * share)], "damaged or incomplete")
            for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP")
            for whole in [saved(NOISE, kind)]
            for share in (0.1, 0.5, 0.99)
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_it_is(
    reader: str, name: str, content: bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        READERS[reader](path)
    assert re.search(says, str(caught.value)) and name in str(caught.value)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=rf"{tmp_path.name} is a folder. Name a picture in it"):
        open_picture(tmp_path)
    with pytest.raises(OSError, match=r"picture .*xxx.*Check"):
        open_picture(tmp_path / ("x" * 300))
    with pytest.raises(OSError, match="No picture at"):
        open_picture(Path("/dev/null"))


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
