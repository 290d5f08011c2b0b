"""The reference picture: the pack's pictures, and the artist's own as ComfyUI's Load Image reads them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from echogen_core.subject import samples

NODE = "EchoGenSamplePicture"
RED_HW3 = np.full((40, 64, 3), (200, 30, 30), dtype=np.uint8)
RAMP_HW = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (40, 1))


@pytest.fixture(autouse=True)
def folders(pack: dict[str, Any], tmp_path: Path) -> Iterator[Path]:
    """Input, output and temporary folders of the test's own."""
    import folder_paths

    kinds = ("input", "output", "temp")
    before = [folder_paths.get_directory_by_type(kind) for kind in kinds]
    setters = [getattr(folder_paths, f"set_{kind}_directory") for kind in kinds]
    for kind, set_folder in zip(kinds, setters, strict=True):
        (tmp_path / kind / "clipspace").mkdir(parents=True)
        set_folder(str(tmp_path / kind))
    yield tmp_path
    for folder, set_folder in zip(before, setters, strict=True):
        set_folder(folder)


def read(pack: dict[str, Any], picture: str) -> Any:
    assert pack[NODE].validate_inputs(picture=picture) is True
    return pack[NODE].PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED(picture=picture)


def transparent() -> Image.Image:
    return Image.fromarray(np.dstack([RED_HW3, RAMP_HW]))


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # held sideways
    Image.fromarray(RED_HW3).save(path, exif=exif)


FILES: dict[str, Any] = {
    "opaque.jpg": lambda path: Image.fromarray(RED_HW3).save(path, quality=95),
    "square_64.png": lambda path: Image.fromarray(RED_HW3).resize((64, 64)).save(path),
    "transparent.png": lambda path: transparent().save(path),
    "opaque_alpha.png": lambda path: Image.fromarray(RED_HW3).convert("RGBA").save(path),
    "transparent.webp": lambda path: transparent().save(path, lossless=True, exact=True),
    "grey.png": lambda path: Image.fromarray(RAMP_HW).save(path),
    "turned.jpg": turned,
    "moving.webp": lambda path: Image.fromarray(RED_HW3).save(
        path, save_all=True, append_images=[Image.fromarray(RED_HW3 // 2)], lossless=True
    ),
    "clipspace/clipspace-painted-masked-1.png [input]": lambda path: transparent().save(path),
    "made.png [output]": lambda path: transparent().save(path),
    "shown.png [temp]": lambda path: transparent().save(path),
}


@pytest.mark.parametrize("name", FILES)
def test_own_pictures_are_read_as_load_image_reads_them(
    name: str, pack: dict[str, Any], folders: Path
) -> None:
    from nodes import LoadImage

    below, _, folder = name.partition(" ")
    FILES[name](folders / (folder.strip("[]") or "input") / below)
    output = read(pack, name)
    image, mask = output.result
    expected_image, expected_mask = LoadImage().load_image(name)
    assert image.shape == expected_image.shape and mask.shape == expected_mask.shape
    assert (image - expected_image).abs().max() < 4 / 255 and (mask - expected_mask).abs().max() < 1 / 255
    (shown,) = output.ui["images"]
    assert (folders / shown["type"] / shown["subfolder"] / shown["filename"]).is_file()
    assert output.ui["echogen_notices"] == ()


def test_sixteen_bits_keep_their_greys(pack: dict[str, Any], folders: Path) -> None:
    Image.fromarray(RAMP_HW.astype(np.uint16) * 257).save(folders / "input" / "deep.png")
    image, _ = read(pack, "deep.png").result
    assert np.allclose(image[0, ..., 0].numpy(), RAMP_HW / 255, atol=1e-3)


def test_the_list_has_the_packs_pictures_first_and_each_once(pack: dict[str, Any], folders: Path) -> None:
    for name in ("zebra.jpg", "apple.png", "teddy_bear.png"):
        Image.fromarray(RED_HW3).save(folders / "input" / name)
    (folders / "input" / "notes.txt").write_text("no picture")
    options = pack[NODE].define_schema().inputs[0].options
    packaged = [*samples.sample_names(), *samples.sample_names(samples.GROUNDS)]
    assert options == [*packaged, "apple.png", "zebra.jpg"]


def test_a_ground_is_whole_and_its_mask_is_painted(pack: dict[str, Any], folders: Path) -> None:
    image, mask = read(pack, "mountain_meadow.webp").result
    assert image.shape == (1, 512, 768, 3) and mask.shape == (1, 512, 768)
    painted = mask[0] > 0.5
    assert 0.02 < float(painted.float().mean()) < 0.3 and not bool(mask[0, 0].any())
    assert float(image[0][painted].std()) > 0.1, "the colours under what is painted"
    _, unpainted = read(pack, "cup_cake_in_venice.webp").result
    assert not bool(unpainted.any())
    shutil.copy(samples.GROUNDS / "mountain_meadow.webp", folders / "input" / "own.webp")
    assert torch.equal(read(pack, "own.webp").result[1], mask), "as an own picture from the mask editor"


def test_an_own_picture_comes_before_a_sample_of_its_name(pack: dict[str, Any], folders: Path) -> None:
    sample = read(pack, "teddy_bear.png")
    before = pack[NODE].fingerprint_inputs(picture="teddy_bear.png")
    assert sample.ui["echogen_notices"] == () and sample.result[1][0, 0, 0] == 0, "white on the subject"
    Image.fromarray(RED_HW3).save(folders / "input" / "teddy_bear.png")
    own = read(pack, "teddy_bear.png")
    assert own.result[0].shape == (1, 40, 64, 3) and "Your own" in own.ui["echogen_notices"][0]
    assert pack[NODE].fingerprint_inputs(picture="teddy_bear.png") != before


@pytest.mark.parametrize(
    "name", ["gone.png", "gone.png [output]", "../secret.png", "", "\0", "a\udcff.png", "clipspace", 7, ["x"]]
)
def test_what_is_not_there_is_named(name: Any, pack: dict[str, Any]) -> None:
    answer = pack[NODE].validate_inputs(picture=name)
    assert isinstance(answer, str) and answer.startswith("picture: ") and answer.endswith(".")
    assert pack[NODE].fingerprint_inputs(picture=name) == ""


def test_a_file_that_vanished_and_one_that_changed(pack: dict[str, Any], folders: Path) -> None:
    path = folders / "input" / "own.png"
    Image.fromarray(RED_HW3).save(path)
    read(pack, "own.png")
    before = pack[NODE].fingerprint_inputs(picture="own.png")
    assert "own.png" not in dict(pack[NODE].fingerprint_inputs(picture=None)), "linked: nothing changed"
    Image.fromarray(RED_HW3 // 2).resize((32, 32)).save(path)
    assert pack[NODE].fingerprint_inputs(picture="own.png") != before
    assert "own.png" in dict(pack[NODE].fingerprint_inputs(picture=None))
    path.unlink()
    answer = pack[NODE].validate_inputs(picture="own.png")
    assert "'own.png' does not exist" in answer and "drop the file on the node again" in answer


def test_a_damaged_file_says_so(pack: dict[str, Any], folders: Path) -> None:
    (folders / "input" / "page.png").write_bytes(b"<!doctype html><html>")
    with pytest.raises(ValueError, match="it is a web page"):
        read(pack, "page.png")


def test_an_animation_that_memory_cannot_hold_is_refused(
    pack: dict[str, Any], folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    FILES["moving.webp"](folders / "input" / "moving.webp")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(MemoryError, match=r"2 pictures of 64×40 px.*shorter animation"):
        read(pack, "moving.webp")


def test_frames_with_and_without_transparency_go_together(pack: dict[str, Any], folders: Path) -> None:
    opaque, clear = Image.fromarray(RED_HW3).convert("RGBA"), transparent()
    opaque.save(folders / "input" / "both.png", save_all=True, append_images=[clear])
    image, mask = read(pack, "both.png").result
    assert image.shape[0] == mask.shape[0] == 2 and torch.equal(mask[0], torch.zeros(40, 64))
    assert mask[1].max() > 0.9
