"""The super-resolution's stage: it begins as bicubic enlargement, learns, and changes nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from echogen_core.checkpoints import ASSETS, load_bundle
from echogen_core.tokenizer.super_resolution import enlarged
from miniature.training.super_resolution import begin, figures, lanczos, main
from miniature.training.super_resolution_pictures import DrawnPictures, draw_pictures

from ..prepared import write_prepared
from ..small_packages import small_sizes

CPU = torch.device("cpu")
PART = "decoder.super_resolution."


@pytest.fixture(scope="module")
def larger_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny prepared folder of twice nano's size."""
    return write_prepared(tmp_path_factory.mktemp("data"), size=256)


@pytest.fixture(scope="module")
def drawn(larger_data: Path, tmp_path_factory: pytest.TempPathFactory) -> DrawnPictures:
    folder = tmp_path_factory.mktemp("drawn")
    with small_sizes():
        return draw_pictures(load_bundle("nano", ASSETS / "nano"), larger_data, "train", 4, folder, 3, CPU)


def test_pictures_are_what_the_decoder_makes_of_their_codes(drawn: DrawnPictures) -> None:
    pictures = drawn.whole(4)
    assert len(drawn) == 4 and pictures.wanted_N3YX.shape == (4, 3, 256, 256)
    again_N3HW = load_bundle("nano", ASSETS / "nano").tokenizer.decoder.picture(pictures.features_NFhw)
    assert torch.allclose(again_N3HW, pictures.decoded_N3HW, atol=2e-2), "they are kept in half precision"
    wanted_N3HW = torch.nn.functional.interpolate(pictures.wanted_N3YX, (128, 128), mode="area")
    assert ((pictures.decoded_N3HW + 1) / 2 - wanted_N3HW).abs().mean() < 0.2


def test_crops_show_the_same_part_of_all_three(drawn: DrawnPictures) -> None:
    crops, whole = drawn.crops(3, 8, np.random.default_rng(0)), drawn.whole(4)
    assert crops.features_NFhw.shape[-1] == 8 and crops.wanted_N3YX.shape[-1] == 64
    for features, decoded, wanted in zip(*crops, strict=True):
        places = [
            (row, y, x)
            for row in range(4)
            for y in range(25)
            for x in range(25)
            if torch.equal(whole.features_NFhw[row, :, y : y + 8, x : x + 8], features)
        ]
        assert places
        row, y, x = places[0]
        assert torch.equal(whole.decoded_N3HW[row, :, 4 * y : 4 * y + 32, 4 * x : 4 * x + 32], decoded)
        assert torch.equal(whole.wanted_N3YX[row, :, 8 * y : 8 * y + 64, 8 * x : 8 * x + 64], wanted)
    again = drawn.crops(3, 8, np.random.default_rng(0))
    assert all(torch.equal(a, b) for a, b in zip(crops, again, strict=True))


def test_it_begins_as_bicubic_enlargement(drawn: DrawnPictures) -> None:
    begun = begin(load_bundle("nano", ASSETS / "nano"), 0)
    bicubic = figures(lambda decoded_B3HW, _: enlarged(decoded_B3HW, 2), drawn, None, CPU)
    assert figures(begun, drawn, None, CPU) == bicubic


def test_lanczos_enlarges() -> None:
    picture_B3HW = torch.linspace(-1, 1, 8).expand(1, 3, 8, 8)
    larger_B3HW = lanczos(picture_B3HW, 2)
    assert larger_B3HW.shape == (1, 3, 16, 16)
    assert torch.allclose(larger_B3HW, enlarged(picture_B3HW, 2), atol=0.08)


def test_a_run_adds_it_and_changes_nothing_else(larger_data: Path, tmp_path: Path) -> None:
    given = ["--data", larger_data, "--start", ASSETS / "nano", "--out", tmp_path, "--pictures", 4]
    more = ["--perceptual", "0", "--batch", "2", "--minutes", "0.005", "--device", "cpu"]
    with small_sizes():
        assert main([*map(str, given), *more]) == 0
    before, after = (load_bundle("nano", folder) for folder in (ASSETS / "nano", tmp_path / "bundle"))
    for kind, module in before.parts().items():
        now = after.parts()[kind].state_dict()
        kept = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(PART)}
        assert all(torch.equal(tensor, now[name]) for name, tensor in kept.items()), kind
        added = now.keys() - kept.keys()
        assert bool(added) == (kind == "tokenizer") and all(name.startswith(PART) for name in added)
    assert after.tokenizer.config.super_resolution == 2
    assert after.tokenizer.state_dict()[f"{PART}conv_out.weight"].abs().max() > 0, "it was trained"
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] >= 1 and log[-1]["psnr"] > 10
    assert (tmp_path / "sheet.png").exists() and (tmp_path / "bundle" / "ATTRIBUTION.md").exists()


def test_data_of_another_size_are_refused(data: Path, tmp_path: Path) -> None:
    given = ["--data", data, "--start", ASSETS / "nano", "--out", tmp_path]
    with pytest.raises(
        ValueError, match=r"Expected pictures of 256 px for nano, got 128 px.*--picture 256 --sprite 256"
    ):
        main([*map(str, given), "--device", "cpu"])


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No drawn pictures"):
        DrawnPictures(tmp_path)
