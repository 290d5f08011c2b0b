"""What users get wrong: the message says what was expected, what came, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_execution import SAMPLER, run

from echogen_core.subject import samples

NANO = "nano (built in)"
CUT = dict(margin=0.08, background="white", mask_marks="auto")


def grey(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"image": torch.ones(1, 32, 32, 3), "mask": torch.zeros(1, 32, 32)}, "one plain colour"),
        ({"image": grey(1, 1)}, "1×1 px"),
        ({"image": torch.full((1, 32, 32, 3), float("nan"))}, "NaN"),
        ({"image": grey().expand(2, -1, -1, -1), "mask": torch.ones(3, 32, 32)}, "one mask for all"),
        ({"image": grey(), "background": "heaven"}, "Unknown colour"),
        ({"image": torch.zeros(0, 32, 32, 3)}, "no picture"),
    ],
)
def test_cutting_out(pack: dict[str, Any], inputs: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        run(pack, "EchoGenCutOutSubject", **{**CUT, **inputs})


def test_a_ten_thousand_pixel_picture_is_reduced(pack: dict[str, Any]) -> None:
    image, _ = run(pack, "EchoGenCutOutSubject", image=torch.rand(1, 200, 10_000, 3), **CUT)
    assert max(image.shape) <= 2048


@pytest.mark.parametrize("node", ["Semantic", "Content"])
@pytest.mark.parametrize(
    ("image", "says"),
    [
        (grey(1, 1), "1×1 px"),
        (torch.full((1, 32, 32, 3), float("inf")), "infinity"),
        (torch.rand(1, 32, 32, 5), "wrong number of channels"),
    ],
)
def test_encoding_pictures(
    pack: dict[str, Any], models: Any, node: str, image: torch.Tensor, says: str
) -> None:
    encoder = {f"{node.lower()}_encoder": getattr(models, f"{node.lower()}_encoder")}
    with pytest.raises(ValueError, match=says):
        run(pack, f"EchoGenEncode{node}", **encoder, image=image, strength=1.0)


@pytest.mark.parametrize("node", ["Semantic", "Content"])
def test_transparency_and_batches_are_welcome(pack: dict[str, Any], models: Any, node: str) -> None:
    encoder = {f"{node.lower()}_encoder": getattr(models, f"{node.lower()}_encoder")}
    (features,) = run(pack, f"EchoGenEncode{node}", **encoder, image=torch.rand(2, 40, 30, 4), strength=1.0)
    assert features[0].shape[0] == 2, "two views of one subject"
    assert run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **{node.lower(): features})[0].complete


@pytest.mark.parametrize("prompt", ["", " \n\t"])
def test_an_empty_prompt(pack: dict[str, Any], models: Any, prompt: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)prompt.*empty"):
        run(pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt=prompt)


def test_features_of_another_model(pack: dict[str, Any], models: Any) -> None:
    from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures

    for name, features in {
        "text": TextFeatures(torch.zeros(7, 2048)),
        "semantic": SemanticFeatures(torch.zeros(1, 768), torch.zeros(1, 1024, 768)),
        "content": ContentFeatures(torch.zeros(1, 16, 64, 64)),
    }.items():
        with pytest.raises(ValueError, match=f"{name}.*belongs to this model"):
            run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **{name: features})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"aspect_ratio": "3:4"}, "square"),
        ({"size": "1M"}, "draws 256×256 only: set size to auto"),
    ],
)
def test_sizes_that_the_model_does_not_make(
    pack: dict[str, Any], models: Any, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        run(pack, "EchoGenSampler", model=models.model, **{**SAMPLER, **change})


@pytest.mark.parametrize("kind", ["EchoGenSampler", "EchoGenGammaSweep"])
def test_a_name_of_an_aspect_ratio_is_taken_from_anywhere(pack: dict[str, Any], kind: str) -> None:
    assert pack[kind].validate_inputs(aspect_ratio="16:9") is True
    assert "16:9, portrait or 1920x1080" in pack[kind].validate_inputs(aspect_ratio="nan")


def test_the_sampler_says_which_aspect_ratio_it_took(pack: dict[str, Any], models: Any) -> None:
    drawn = pack["EchoGenSampler"].execute(model=models.model, **{**SAMPLER, "aspect_ratio": "square"})
    assert drawn.ui["echogen_notices"] == ("square is drawn at 1:1.",)


def test_a_tokenizer_of_another_model(pack: dict[str, Any], models: Any) -> None:
    from dataclasses import replace

    bits, _ = run(pack, "EchoGenSampler", model=models.model, **SAMPLER)
    narrow = replace(bits, scales=tuple(scale[..., :16] for scale in bits.scales))
    for node in ("EchoGenDecodeBits", "EchoGenDecodeScales"):
        with pytest.raises(ValueError, match="tokenizer that the model was trained on"):
            run(pack, node, bits=narrow, tokenizer=models.tokenizer)


def test_a_published_model_without_its_files(pack: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        run(pack, "EchoGenLoadBundle", preset="EchoGen-2B")
    text = str(caught.value)
    for word in ("echogen_2b.pth", "UmiSonoda16/EchoGen", "GB", "diffusion_models", "ae.safetensors", "vae"):
        assert word in text, f"{word} not in: {text}"


@pytest.mark.parametrize("damage", ["cut off", "garbled header", "another part"])
def test_a_damaged_weight_file(pack: dict[str, Any], models: Any, models_folder: Path, damage: str) -> None:
    loader = pack["EchoGenLoadBundle"]
    file = models_folder / "nano" / "tokenizer.safetensors"
    whole, before = file.read_bytes(), loader.fingerprint_inputs(NANO)
    other = (models_folder / "nano" / "content.safetensors").read_bytes()
    broken = {
        "cut off": whole[: len(whole) // 2],
        "garbled header": b"\xff" * 8 + whole[8:],
        "another part": other,
    }[damage]
    try:
        file.write_bytes(broken)
        assert loader.fingerprint_inputs(NANO) != before, "a changed file is loaded again"
        assert str(file.parent) not in str(before), "no path of the user's goes into saved pictures"
        with pytest.raises(ValueError, match=r"tokenizer\.safetensors"):
            loader.execute(NANO)
    finally:
        file.write_bytes(whole)
    assert len(loader.execute(NANO).result) == 5


def test_an_unknown_sample_picture(pack: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Expected a file in ComfyUI's input or output folder"):
        run(pack, "EchoGenSamplePicture", picture="../../config.py")


def test_sample_pictures_come_with_their_mask(pack: dict[str, Any]) -> None:
    for name in samples.sample_names():
        image, mask = run(pack, "EchoGenSamplePicture", picture=name)
        assert image.shape[:3] == mask.shape and 0.05 < float(mask.mean()) < 0.95
        cut, _ = run(pack, "EchoGenCutOutSubject", image=image, mask=mask, **CUT)
        assert torch.all(cut[0, 0] == 1), "the ground is white"
