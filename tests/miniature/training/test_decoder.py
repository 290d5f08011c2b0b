"""The decoder's stage: codes as the transformer draws them, and a run that changes the decoder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from echogen_core.checkpoints import ASSETS, load_bundle
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import quantize_multiscale
from miniature.data.image_sources import CodedImages, CompositeSource
from miniature.training.decoder import MixedCodes, SampledCodes, main
from miniature.training.precision import mixed_precision

from ..small_packages import small_sizes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def drawn(data: Path) -> CodedImages:
    return SampledCodes(load_bundle("nano", ASSETS / "nano"), data, "train", 3, CPU).draw(6)


def test_drawn_codes_are_near_the_true_ones(data: Path, drawn: CodedImages) -> None:
    bundle = load_bundle("nano", ASSETS / "nano")
    again = SampledCodes(bundle, data, "train", 3, CPU).draw(6)
    assert all(torch.equal(a, b) for a, b in zip(drawn, again, strict=True)), "a seed gives the same codes"
    scales = find_schedule("nano").scales
    true_BDHW = quantize_multiscale(bundle.tokenizer.latent(drawn.images_B3HW), scales).codes_BDHW
    away = (drawn.codes_BDHW - true_BDHW).square().mean()
    of_another = (drawn.codes_BDHW.roll(1, 0) - true_BDHW).square().mean()
    assert 0 < away < 0.7 * of_another
    decoded_B3HW = bundle.tokenizer.decode(drawn.codes_BDHW)
    assert (decoded_B3HW - drawn.images_B3HW).abs().mean() < 0.2


def test_every_second_picture_keeps_its_true_codes(data: Path) -> None:
    bundle = load_bundle("nano", ASSETS / "nano")
    mixed = MixedCodes(
        SampledCodes(bundle, data, "train", 3, CPU), CompositeSource(data, "train", 3, CPU), bundle
    ).draw(4)
    true = CompositeSource(data, "train", 3, CPU).draw(2)
    assert torch.equal(mixed.images_B3HW[1::2], true.images_B3HW)
    with mixed_precision(CPU), torch.inference_mode():
        latent_BDHW = bundle.tokenizer.latent(true.images_B3HW)
    codes_BDHW = quantize_multiscale(latent_BDHW, find_schedule("nano").scales).codes_BDHW
    assert torch.equal(mixed.codes_BDHW[1::2], codes_BDHW)
    assert not torch.equal(mixed.images_B3HW[::2], true.images_B3HW)


def test_the_run_changes_the_decoder_alone(data: Path, tmp_path: Path) -> None:
    given = [
        "--data",
        str(data),
        "--start",
        str(ASSETS / "nano"),
        "--out",
        str(tmp_path),
        "--perceptual",
        "0",
    ]
    with small_sizes():
        assert main([*given, "--batch", "4", "--minutes", "0.001", "--device", "cpu"]) == 0
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] >= 1 and log[0]["before"]["psnr"] > 10 and log[-1]["teacher_forced"]["psnr"] > 10
    before, after = (load_bundle("nano", folder) for folder in (ASSETS / "nano", tmp_path / "bundle"))
    for kind, module in before.parts().items():
        changed = [
            name
            for name, tensor in module.state_dict().items()
            if not torch.equal(tensor, after.parts()[kind].state_dict()[name])
        ]
        assert bool(changed) == (kind == "tokenizer"), kind
        assert all(name.startswith("decoder.") for name in changed)


def test_batches_must_be_shared_evenly(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--data", str(data), "--start", "x", "--out", str(tmp_path), "--batch", "6"])
