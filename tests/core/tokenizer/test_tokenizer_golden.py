"""The BSQ tokenizer against numbers of the official code (tests/golden/README.md, "VAE files")."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from echogen_core.checkpoints.format import read_config, write_metadata
from echogen_core.checkpoints.keymap_tokenizer import published_name, translate_tokenizer
from echogen_core.config import PRESETS, TokenizerConfig
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import (
    BitTokenizer,
    bits_to_codes,
    codes_to_bits,
    convolution,
    next_scale_input,
    quantize_multiscale,
    quantize_with_bit_flips,
    sum_codes,
)
from echogen_core.tokenizer.bsq import enlarge, shrink

GOLDEN = Path(__file__).parents[2] / "golden"
TINY = TokenizerConfig(bits=16, base_channels=32, channel_multipliers=(1, 1, 1, 1, 2), res_blocks=2)
SCHEDULES = {"sq": find_schedule("0.06M", "1:1").scales, "tall": find_schedule("0.06M", "2:3").scales}


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return load_file(GOLDEN / "vae_tiny_d16_weights.safetensors")


@pytest.fixture(scope="module")
def tokenizer(weights: dict[str, Tensor]) -> BitTokenizer:
    with torch.device("meta"):
        model = BitTokenizer(TINY)
    model.load_state_dict(translate_tokenizer(weights, TINY), strict=True, assign=True)
    return model.eval()


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "vae_tiny_d16_golden.safetensors")


def flatten(bits: Sequence[Tensor]) -> Tensor:
    return torch.cat([b.flatten(1, 2) for b in bits], 1)


def split(bits_BLD: Tensor, scales: Sequence[tuple[int, int]]) -> list[Tensor]:
    parts = bits_BLD.split([h * w for h, w in scales], dim=1)
    return [part.unflatten(1, size) for part, size in zip(parts, scales, strict=True)]


def area_inputs(bits: Sequence[Tensor], scales: Sequence[tuple[int, int]]) -> Tensor:
    """The official encoder's own next-scale inputs (area resized), from the bits."""
    sums = [sum_codes(bits[: k + 1], scales) for k in range(len(scales) - 1)]
    return torch.cat([shrink(s, size).flatten(2).mT for s, size in zip(sums, scales[1:], strict=True)], 1)


@pytest.mark.parametrize("case", ["sq", "tall"])
def test_encode(tokenizer: BitTokenizer, golden: dict[str, Tensor], case: str) -> None:
    scales = SCHEDULES[case]
    images_B3HW = golden[f"{case}.image_u8_rgb"].permute(0, 3, 1, 2) / 255
    encoded = tokenizer.encode(images_B3HW, scales)
    torch.testing.assert_close(encoded.latent_BDHW, golden[f"{case}.h"], atol=2e-5, rtol=1e-4)
    assert torch.equal(flatten(encoded.bits), golden[f"{case}.bits"])
    torch.testing.assert_close(encoded.quantized_BDHW, golden[f"{case}.z"], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        area_inputs(encoded.bits, scales), golden[f"{case}.var_input_area"], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("case", ["sq", "tall"])
def test_quantise_the_official_latent_exactly(golden: dict[str, Tensor], case: str) -> None:
    quantized = quantize_multiscale(golden[f"{case}.h"], SCHEDULES[case])
    assert torch.equal(flatten(quantized.bits), golden[f"{case}.bits"])
    torch.testing.assert_close(quantized.codes_BDHW, golden[f"{case}.z"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("case", ["sq", "tall"])
def test_decode(
    tokenizer: BitTokenizer,
    golden: dict[str, Tensor],
    case: str,
    fast: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fast:  # such small layers wouldn't be
        monkeypatch.setattr(convolution, "_LEAST_WORK", 0)
        monkeypatch.setattr(convolution, "_LEAST_CHANNELS", 0)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    scales = SCHEDULES[case]
    codes_BDHW = sum_codes(split(golden[f"{case}.bits"], scales), scales)
    torch.testing.assert_close(codes_BDHW, golden[f"{case}.summed_codes"][:, :, 0], atol=1e-6, rtol=0)
    signed_B3HW = tokenizer.decode(golden[f"{case}.z"]) * 2 - 1
    top_left, bottom_right = signed_B3HW[..., :128, :128], signed_B3HW[..., -96:, -96:]
    if case == "sq":  # the tall case stores one crop only
        torch.testing.assert_close(top_left, golden["sq.recon_tl128_f32"], atol=1e-4, rtol=0)
    torch.testing.assert_close(bottom_right, golden[f"{case}.recon_br96_f32"], atol=1e-4, rtol=0)
    mean_std = torch.stack([signed_B3HW.mean(), signed_B3HW.std()])
    torch.testing.assert_close(mean_std, golden[f"{case}.recon_mean_std"], atol=1e-4, rtol=0)


def test_quantiser_with_32_bits() -> None:
    golden = load_file(GOLDEN / "bsq_d32_quantizer_golden.safetensors")
    scales = SCHEDULES["sq"]
    quantized = quantize_multiscale(golden["raw_features"], scales)
    assert torch.equal(flatten(quantized.bits), golden["bits"])
    torch.testing.assert_close(quantized.codes_BDHW, golden["z"], atol=1e-6, rtol=0)
    area_BLD = area_inputs(quantized.bits, scales)
    torch.testing.assert_close(area_BLD, golden["var_input_area"], atol=1e-6, rtol=0)
    one_BDhw = bits_to_codes(torch.ones(1, 1, 1, 32))
    torch.testing.assert_close(one_BDhw, golden["code_one"][:, :, 0], atol=2e-8, rtol=0)
    forced = quantize_with_bit_flips(golden["raw_features"], scales, strength=0)
    assert torch.equal(forced.labels_BLD, golden["gt_bits"])
    torch.testing.assert_close(forced.inputs_BLD, golden["x_BLC_wo_prefix"], atol=1e-6, rtol=0)
    first_BD = torch.nn.functional.normalize(golden["raw_features"].float().mean((2, 3)), dim=1)
    torch.testing.assert_close(forced.margins_BLD[:, 0], first_BD.abs(), atol=1e-6, rtol=0)
    assert forced.margins_BLD.shape == forced.labels_BLD.shape


@pytest.mark.parametrize("case", ["clean", "noise"])
def test_bitwise_self_correction(case: str) -> None:
    golden = load_file(GOLDEN / "echogen_tiny_train_forward.safetensors")
    forced = quantize_with_bit_flips(
        golden["raw_features"],
        SCHEDULES["sq"],
        strength=0.3 if case == "noise" else 0.0,
        flip_scales=13,
        numpy_rng=np.random.RandomState(123),
        generator=torch.Generator().manual_seed(123),
    )
    assert torch.equal(forced.labels_BLD, golden[f"gt_bits.{case}"])
    torch.testing.assert_close(forced.inputs_BLD, golden[f"x_BLC_wo_prefix.{case}"], atol=1e-6, rtol=0)


def test_bit_flips_take_the_new_numpy_generator_and_leave_global_state_alone() -> None:
    latent_BDHW = torch.randn(2, 24, 16, 16, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    runs = [
        quantize_with_bit_flips(
            latent_BDHW,
            PRESET_SCALES,
            numpy_rng=np.random.default_rng(1),
            generator=torch.Generator().manual_seed(1),
        )
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(runs[0].labels_BLD, runs[1].labels_BLD)
    assert runs[0].labels_BLD.shape == (2, 341, 24) and runs[0].inputs_BLD.shape == (2, 340, 24)
    with pytest.raises(ValueError, match="numpy_rng"):
        quantize_with_bit_flips(latent_BDHW, PRESET_SCALES)


PRESET_SCALES = find_schedule("nano").scales


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("plain", [False, True], ids=["wrapped", "plain"])
@pytest.mark.parametrize("nest", [None, "vae", "ema"])
def test_key_tables_load_on_meta(bits: int, plain: bool, nest: str | None) -> None:
    table = json.loads((GOLDEN / f"keys_vae_d{bits}.json").read_text())
    config = PRESETS["echogen-0.1b" if bits == 16 else "echogen-2b"].tokenizer
    state = {
        unwrap(key) if plain else key: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
        for key, (shape, dtype, _) in table.items()
    }
    translated = translate_tokenizer({nest: state, "step": 3} if nest else state, config)
    with torch.device("meta"):
        BitTokenizer(config).load_state_dict(translated, strict=True, assign=True)
    wrapped = {key for key in table if ".lfq." not in key}
    assert {published_name(name) for name in translated} == wrapped


def unwrap(key: str) -> str:
    path, leaf = key.rsplit(".", 1)
    return key if ".lfq." in key else f"{path.rpartition('.')[0]}.{leaf}"


def test_bad_checkpoints_are_named(weights: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"unknown: surplus\.weight"):
        translate_tokenizer({**weights, "surplus.weight": torch.zeros(1)}, TINY)
    without = {key: value for key, value in weights.items() if key != "encoder.conv_in.conv.bias"}
    with pytest.raises(ValueError, match=r"missing: encoder\.conv_in\.bias"):
        translate_tokenizer(without, TINY)
    with pytest.raises(ValueError, match=r"another shape or type: .*encoder\.conv_out"):
        translate_tokenizer(weights, TokenizerConfig(24, 32, (1, 1, 1, 1, 2)))
    with pytest.raises(ValueError, match=r"state dict, got 'encoder\.attention\.weight'"):
        published_name("encoder.attention.weight")


def test_own_names_pass(tokenizer: BitTokenizer) -> None:
    state = tokenizer.state_dict()
    assert translate_tokenizer(state, TINY).keys() == state.keys()


@settings(max_examples=40, deadline=None)
@given(
    bits=st.sampled_from([16, 24, 32]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**31),
)
def test_bits_and_codes_round_trip(bits: int, size: tuple[int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    bits_BhwD = torch.randint(0, 2, (2, *size, bits), generator=generator, dtype=torch.uint8)
    codes_BDhw = bits_to_codes(bits_BhwD)
    assert torch.equal(codes_to_bits(codes_BDhw), bits_BhwD)
    torch.testing.assert_close(codes_BDhw.norm(dim=1), torch.ones(2, *size))
    assert torch.equal(quantize_multiscale(codes_BDhw, [size]).bits[0], bits_BhwD)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), kept=st.integers(1, 5))
def test_sums_agree_with_the_quantiser(seed: int, kept: int) -> None:
    latent_BDHW = torch.randn(2, 24, *PRESET_SCALES[-1], generator=torch.Generator().manual_seed(seed))
    quantized = quantize_multiscale(latent_BDHW, PRESET_SCALES)
    torch.testing.assert_close(sum_codes(quantized.bits, PRESET_SCALES), quantized.codes_BDHW)
    clean = quantize_with_bit_flips(latent_BDHW, PRESET_SCALES, strength=0)
    assert torch.equal(clean.labels_BLD, flatten(quantized.bits))
    partial_BDHW = sum_codes(quantized.bits[:kept], PRESET_SCALES)
    if kept < 5:
        start = sum(h * w for h, w in PRESET_SCALES[1:kept])
        inputs_BLD = next_scale_input(partial_BDHW, PRESET_SCALES[kept])
        torch.testing.assert_close(inputs_BLD, clean.inputs_BLD[:, start : start + inputs_BLD.shape[1]])


class Resampling(TorchDispatchMode):
    """Notes on which device pictures and codes are resampled."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "upsample" in str(func) or "adaptive" in str(func):
            self.devices.append(args[0].device.type)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("device", "expected"), [("mps", "cpu"), ("cpu", "cpu"), ("xpu", "xpu")])
def test_codes_are_resampled_on_the_processor_for_a_device_that_cannot(device: str, expected: str) -> None:
    with FakeTensorMode(), Resampling() as seen:
        codes_BDHW = torch.empty(1, 16, 6, 6, device=device)
        assert enlarge(codes_BDHW, (9, 9)).device.type == device
        assert shrink(codes_BDHW, (4, 4)).device.type == device
        assert enlarge(codes_BDHW, (6, 6)) is codes_BDHW
    assert seen.devices == [expected] * 2


def test_gradients_pass_the_quantiser() -> None:
    latent_BDHW = torch.randn(1, 24, *PRESET_SCALES[-1], requires_grad=True)
    quantize_multiscale(latent_BDHW, PRESET_SCALES).codes_BDHW.square().sum().backward()  # type: ignore[no-untyped-call]
    assert latent_BDHW.grad is not None and latent_BDHW.grad.abs().sum() > 0


def test_errors_say_what_fits(tokenizer: BitTokenizer) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        tokenizer.encode(torch.zeros(1, 3, 250, 256), SCHEDULES["sq"])
    with pytest.raises(ValueError, match="last scale"):
        tokenizer.encode(torch.zeros(1, 3, 128, 128), SCHEDULES["sq"])
    with pytest.raises(ValueError, match="expected codes"):
        tokenizer.decode(torch.zeros(1, 24, 16, 16))
    with pytest.raises(ValueError, match="1 to 2 scales"):
        sum_codes([], [(1, 1), (2, 2)])
    with pytest.raises(ValueError, match="scale 0"):
        sum_codes([torch.zeros(1, 2, 2, 16)], [(1, 1), (2, 2)])


def test_files_name_the_pixel_unshuffle_as_they_always_did() -> None:
    config = PRESETS["nano"].tokenizer
    metadata = write_metadata("tokenizer", config)
    stored = json.loads(metadata["config"])
    assert stored["fold"] == config.unshuffle == 4 and "unshuffle" not in stored
    assert read_config(metadata, tensors=1000) == config
