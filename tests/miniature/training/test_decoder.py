"""The decoder's stage: a run changes the decoder alone, continues, and draws at the preset's size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from short_nano import short_bundle, write_short_nano

from echogen_core.checkpoints import ASSETS, Bundle, load_bundle, save_bundle
from echogen_core.tokenizer.super_resolution import enlarged
from miniature.encoded_size import without_super_resolution
from miniature.training.decoder import crops, larger, main, mixed_codes, write_sheet
from miniature.training.sampled_codes import CodePainter

from ..prepared import write_prepared
from ..small_packages import small_packages, small_sizes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def larger_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny prepared folder of twice the size that nano encodes."""
    return write_prepared(tmp_path_factory.mktemp("data"), size=256)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano's bundle, of few blocks, drawing at the size that it encodes."""
    bundle = short_bundle()
    folder = tmp_path_factory.mktemp("plain")
    save_bundle(replace(bundle, tokenizer=without_super_resolution(bundle.tokenizer)), folder)
    return folder


def trained(start: Path, data: Path, out: Path, *more: str) -> Bundle:
    """The bundle of a short run."""
    given = ["--data", data, "--start", start, "--out", out, "--pictures", 4, "--batch", 2, "--device", "cpu"]
    with small_packages(), small_sizes():
        assert main([*map(str, given), *more]) == 0
    return load_bundle("nano", out / "bundle")


def log_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_it_begins_as_bicubic_enlargement(plain: Path) -> None:
    small = load_bundle("nano", plain).tokenizer
    grown = larger(small, 2)
    codes_NDhw = torch.randn(1, 32, 16, 16)
    with torch.inference_mode():
        pictures = [tokenizer.reconstruct(codes_NDhw) for tokenizer in (small, grown)]
    torch.testing.assert_close(pictures[1], enlarged(pictures[0], 2))
    assert larger(grown, 2) is grown


@pytest.mark.parametrize("times", [3, 4])
def test_another_size_begins_as_bicubic_enlargement_too(plain: Path, times: int, tmp_path: Path) -> None:
    """nano's own decoder, which draws at twice the size, and a size that is no multiple of that."""
    shipped, small = (load_bundle("nano", folder).tokenizer for folder in (None, plain))
    grown = larger(shipped, times)
    codes_NDhw = torch.randn(1, 32, 16, 16)
    with torch.inference_mode():
        made, expected = grown.reconstruct(codes_NDhw), enlarged(small.reconstruct(codes_NDhw), times)
    torch.testing.assert_close(made, expected)
    write_sheet(shipped, grown, codes_NDhw, expected, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * times * 128, times * 128)


def assert_the_decoder_alone_changed(start: Path, out: Path, after: Bundle) -> None:
    """And draws twice as large."""
    for kind, module in load_bundle("nano", start).parts().items():
        now = after.parts()[kind].state_dict()
        changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, now[name])}
        assert bool(changed) == (kind == "tokenizer"), kind
        assert all(name.startswith("decoder.") for name in changed)
    assert after.tokenizer.config.super_resolution == 2
    assert after.tokenizer.state_dict()["decoder.super_resolution.conv_out.weight"].abs().max() > 0
    last = log_of(out)[-1]
    assert last["step"] >= 1 and last["psnr_encoded"] > 10 and last["psnr_drawn"] > 10
    assert (out / "sheet.png").exists() and (out / "bundle" / "ATTRIBUTION.md").exists()


def test_a_run_changes_the_decoder_alone_and_goes_on_with_its_adversary(
    plain: Path, larger_data: Path, tmp_path: Path
) -> None:
    after = trained(plain, larger_data, tmp_path, "--minutes", "0.01")
    assert_the_decoder_alone_changed(plain, tmp_path, after)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["beside"]["adversary"] and state["beside"]["optimizer"]["state"]
    averaged = state["beside"]["averaged"]
    assert int(averaged["n_averaged"]) == state["step"] - 1 or state["step"] == 1
    trained(plain, larger_data, tmp_path, "--minutes", str(state["elapsed"] / 60 + 0.0001))
    assert log_of(tmp_path)[-1]["step"] > state["step"]


def test_a_decoder_that_draws_as_large_already_learns_without_an_adversary(
    larger_data: Path, tmp_path: Path
) -> None:
    start, out = write_short_nano(tmp_path / "nano"), tmp_path / "run"
    after = trained(start, larger_data, out, "--adversarial", "0", "--minutes", "0.0001")
    assert_the_decoder_alone_changed(start, out, after)


def test_half_of_the_codes_are_the_encoders(data: Path) -> None:
    painted = CodePainter(short_bundle(), data, "train", 3, CPU).paint(4)
    codes_NDhw = mixed_codes(painted, 0.97, 1)
    assert torch.equal(codes_NDhw[::2], painted.true_NDhw[::2].float())
    assert not torch.equal(codes_NDhw[1], painted.true_NDhw[1].float())
    assert torch.equal(codes_NDhw, mixed_codes(painted, 0.97, 1))


def test_crops_are_taken_at_their_corners() -> None:
    pictures = torch.arange(2 * 3 * 160 * 160, dtype=torch.float32).view(2, 3, 160, 160)
    taken = crops(pictures, np.array([[0, 5], [32, 1]]))
    assert torch.equal(taken[0], pictures[0, :, :128, 5:133])
    assert torch.equal(taken[1], pictures[1, :, 32:160, 1:129])


def test_data_of_another_size_are_refused(data: Path, tmp_path: Path) -> None:
    given = ["--data", data, "--start", ASSETS / "nano", "--out", tmp_path]
    with pytest.raises(
        ValueError, match=r"Expected pictures of 256 px for nano, got 128 px.*--picture 256 --sprite 256"
    ):
        main([*map(str, given), "--device", "cpu"])
