"""Super-resolution: pictures at twice their size from the same bits, and nothing else changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from echogen_core.checkpoints import ASSETS, load_part
from echogen_core.checkpoints.format import read_config, write_metadata
from echogen_core.checkpoints.save import save_part
from echogen_core.config import PRESETS, TokenizerConfig
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.tokenizer.super_resolution import enlarged
from miniature.encoded_size import without_super_resolution

PLAIN = TokenizerConfig(bits=8, base_channels=16, channel_multipliers=(1, 1), res_blocks=1, norm_groups=4)
PART = "decoder.super_resolution."


def with_part(plain: BitTokenizer, times: int = 2) -> BitTokenizer:
    """A tokenizer with the same weights, and random ones for super-resolution."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        larger = BitTokenizer(replace(plain.config, super_resolution=times))
    larger.load_state_dict({**larger.state_dict(), **plain.state_dict()})
    return larger.eval()


@pytest.fixture(scope="module")
def nano() -> BitTokenizer:
    """nano's, drawing at the size that it encodes."""
    return without_super_resolution(load_part(ASSETS / "nano" / "tokenizer.safetensors", "tokenizer"))


@pytest.mark.parametrize("unshuffle", [1, 2, 4])
@pytest.mark.parametrize("times", [2, 3])
def test_pictures_are_that_many_times_larger(unshuffle: int, times: int) -> None:
    config = replace(PLAIN, unshuffle=unshuffle, super_resolution=times)
    tokenizer = BitTokenizer(config)
    assert config.patch == 2 * unshuffle and config.drawn_patch == times * config.patch
    picture_B3HW = tokenizer.decode(torch.zeros(2, 8, 3, 5))
    assert picture_B3HW.shape == (2, 3, *config.drawn_hw((3, 5)))
    latent_BDHW = tokenizer.latent(torch.rand(1, 3, 4 * config.patch, 4 * config.patch))
    assert latent_BDHW.shape == (1, 8, 4, 4), "encoded pictures keep their size"


def test_bits_and_the_picture_beneath_stay_the_same(nano: BitTokenizer) -> None:
    larger = with_part(nano)
    picture_B3HW = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    scales = find_schedule("nano").scales
    once, again = (tokenizer.encode(picture_B3HW, scales) for tokenizer in (nano, larger))
    assert all(torch.equal(a, b) for a, b in zip(once.bits, again.bits, strict=True))
    codes_BDHW = once.quantized_BDHW
    beneath_B3HW = larger.decoder.picture(larger.decoder.features(codes_BDHW))
    assert torch.equal(((beneath_B3HW + 1) / 2).clamp(0, 1), nano.decode(codes_BDHW))


def test_without_a_residual_it_is_bicubic_enlargement(nano: BitTokenizer) -> None:
    larger = with_part(nano)
    assert larger.decoder.super_resolution is not None
    codes_BDHW = torch.randn(1, 32, 16, 16, generator=torch.Generator().manual_seed(0)) / 4
    assert not torch.allclose(larger.reconstruct(codes_BDHW), enlarged(nano.reconstruct(codes_BDHW), 2))
    for parameter in larger.decoder.super_resolution.conv_out.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(larger.reconstruct(codes_BDHW), enlarged(nano.reconstruct(codes_BDHW), 2))


def test_a_picture_is_the_same_alone_as_in_a_batch(nano: BitTokenizer) -> None:
    larger = with_part(nano)
    codes_BDHW = torch.randn(2, 32, 16, 16, generator=torch.Generator().manual_seed(0)) / 4
    alone = [*larger.decode_each(codes_BDHW)]
    assert torch.equal(alone[1], larger.decode(codes_BDHW[1:])) and alone[0].shape == (1, 3, 256, 256)


def test_a_crop_of_the_features_gives_that_crop(nano: BitTokenizer) -> None:
    """Training looks at crops."""
    larger = with_part(nano)
    part = larger.decoder.super_resolution
    assert part is not None
    with torch.no_grad():
        features = larger.decoder.features(torch.randn(1, 32, 16, 16) / 4)
        whole = part(larger.decoder.picture(features), features)
        picture = larger.decoder.picture(features)
        crop = part(picture[..., :64, :64], features[..., :16, :16])
    assert torch.allclose(crop[..., :96, :96], whole[..., :96, :96], atol=1e-4)


def test_files_keep_it_and_files_without_it_stay_as_they_were(nano: BitTokenizer, tmp_path: Path) -> None:
    larger = with_part(nano)
    loaded: BitTokenizer = load_part(
        save_part(tmp_path / "larger.safetensors", "tokenizer", larger, larger.config, None), "tokenizer"
    )
    codes_BDHW = torch.zeros(1, 32, 16, 16)
    assert loaded.config.super_resolution == 2
    assert torch.equal(loaded.decode(codes_BDHW), larger.decode(codes_BDHW))
    written = write_metadata("tokenizer", nano.config)
    assert "super_resolution" not in json.loads(written["config"]), "earlier versions would refuse it"
    assert read_config(written, tensors=99) == nano.config
    file = ASSETS / "nano" / "tokenizer.safetensors"
    shipped: BitTokenizer = load_part(file, "tokenizer")
    again = save_part(tmp_path / "nano.safetensors", "tokenizer", shipped, shipped.config, torch.float16)
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("times", [0, 5, -1, 1.5])
def test_other_factors_are_refused(times: float) -> None:
    with pytest.raises(ValueError, match="super_resolution: expected int"):
        replace(PRESETS["nano"].tokenizer, super_resolution=times)  # type: ignore[arg-type]
