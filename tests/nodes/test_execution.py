"""The nodes, run through their real classes at nano's sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import comfy_pack
from echogen_core.config import PRESETS

SAMPLER = dict(
    gamma_t=2.0, gamma_i=3.0, seed=7, batch=1, aspect_ratio="1:1", size="auto", tau=0.0, top_p=0.0, top_k=0
)


def run(pack: dict[str, Any], node_id: str, **inputs: Any) -> Any:
    """A node's outputs, through the entry that ComfyUI calls."""
    node = pack[node_id].PREPARE_CLASS_CLONE({})
    return node.EXECUTE_NORMALIZED(**inputs).result


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    image_1HW3 = torch.ones(1, 48, 80, 3)
    image_1HW3[:, 10:40, 40:70] = torch.tensor([0.7, 0.2, 0.1])
    return image_1HW3


@pytest.fixture(scope="module")
def features(pack: dict[str, Any], models: Any, picture: torch.Tensor) -> dict[str, Any]:
    with torch.inference_mode():
        (text,) = run(
            pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt="a toy car on a meadow"
        )
        (semantic,) = run(
            pack,
            "EchoGenEncodeSemantic",
            semantic_encoder=models.semantic_encoder,
            image=picture,
            strength=1.0,
        )
        (content,) = run(
            pack, "EchoGenEncodeContent", content_encoder=models.content_encoder, image=picture, strength=0.5
        )
    return {"text": text, "semantic": semantic, "content": content}


def test_a_scene_that_nano_does_not_know_is_said_and_drawn(pack: dict[str, Any], models: Any) -> None:
    encode = pack["EchoGenEncodeText"].PREPARE_CLASS_CLONE({})
    large = replace(models.text_encoder, preset=PRESETS["echogen-2b"])
    said = []
    for encoder, scene in ((models.text_encoder, "meadow"), (models.text_encoder, "beach"), (large, "beach")):
        output = encode.EXECUTE_NORMALIZED(text_encoder=encoder, prompt=f"a toy car on a {scene}")
        assert output.result[0].tokens_LC.isfinite().all()
        said.append(output.ui["echogen_notices"])
    assert said[0] == said[2] == () and "names none of them" in said[1][0]


def same_bits(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.scales, other.scales, strict=True))


def test_cut_out_gives_comfyui_pictures(pack: dict[str, Any], picture: torch.Tensor) -> None:
    image, mask = run(
        pack, "EchoGenCutOutSubject", image=picture, margin=0.08, background="white", mask_marks="auto"
    )
    assert image.shape[0] == 1 and image.shape[1] == image.shape[2] and image.shape[3] == 3
    assert mask.shape == image.shape[:3] and image.dtype == torch.float32


def test_whole_way_with_batch(pack: dict[str, Any], models: Any, features: dict[str, Any]) -> None:
    bits, _ = run(pack, "EchoGenSampler", model=models.model, **{**SAMPLER, "batch": 3}, **features)
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)
    (scales,) = run(pack, "EchoGenDecodeScales", bits=bits, tokenizer=models.tokenizer)

    assert image.shape == (3, 256, 256, 3) and float(image.min()) >= 0 and float(image.max()) <= 1
    assert scales.shape == (15, 256, 256, 3)
    assert torch.equal(scales[4], image[0]) and torch.equal(scales[14], image[2])
    assert bits.seeds == (7, 8, 9)
    assert bits.settings["tau"] == PRESETS["nano"].tau, "0 stands for the model's own tau"
    assert all(scale.device.type == "cpu" for scale in bits.scales)

    single, _ = run(pack, "EchoGenSampler", model=models.model, **{**SAMPLER, "seed": 8}, **features)
    assert all(torch.equal(a[1:2], b) for a, b in zip(bits.scales, single.scales, strict=True))
    (alone,) = run(pack, "EchoGenDecodeBits", bits=single, tokenizer=models.tokenizer)
    assert torch.equal(image[1:2], alone), "its pixels too"


def test_the_largest_seed_goes_round(pack: dict[str, Any], models: Any) -> None:
    bits, _ = run(
        pack, "EchoGenSampler", model=models.model, **{**SAMPLER, "seed": (1 << 64) - 1, "batch": 2}
    )
    assert bits.seeds == ((1 << 64) - 1, 0)


def test_half_precision_weights_as_the_large_models_have_them(
    pack: dict[str, Any], models: Any, short_folder: Path, features: dict[str, Any], picture: torch.Tensor
) -> None:
    from echogen_core.checkpoints import load_bundle

    runtime = comfy_pack.pack_module("nodes.runtime")
    half = load_bundle("nano", short_folder / "nano", operations=runtime.operations(), dtype=torch.bfloat16)
    model, tokenizer = runtime.manage_model(half.transformer, half.preset), half.tokenizer
    managed = runtime.manage(tokenizer, half.preset)
    encoder = runtime.manage(half.semantic, half.preset, plain=True)
    (semantic,) = run(pack, "EchoGenEncodeSemantic", semantic_encoder=encoder, image=picture, strength=1.0)
    assert torch.allclose(semantic.patches_VPC, features["semantic"].patches_VPC, atol=0.2)
    bits, _ = run(
        pack,
        "EchoGenSampler",
        model=model,
        tokenizer=managed,
        **SAMPLER,
        **{**features, "semantic": semantic},
    )
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=managed)
    assert image.dtype == torch.float32 and bool(torch.isfinite(image).all())


def test_open_inputs_switch_their_paths_off(
    pack: dict[str, Any], models: Any, features: dict[str, Any]
) -> None:
    def sampled(**chosen: Any) -> Any:
        return run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **chosen)[0]

    whole = sampled(**features)
    for left_out in features:
        rest = {name: value for name, value in features.items() if name != left_out}
        assert not same_bits(sampled(**rest), whole), f"without {left_out} the picture must differ"
    assert sampled().complete
    silent = features["semantic"]._replace(strength=0.0)
    assert same_bits(sampled(semantic=silent), sampled()), "strength 0 equals an open input"


def test_a_negative_prompt_without_weight_is_said(
    pack: dict[str, Any], models: Any, features: dict[str, Any]
) -> None:
    text = features["text"]
    region, silent = (
        run(pack, "EchoGenSubjectRegion", area="left half", gamma_t=gamma_t, gamma_i=-1.0, text=text)[0]
        for gamma_t in (2.0, 1.0)
    )
    for inputs, noted in (
        ({"gamma_t": 1.0, "negative": text}, True),
        ({"gamma_t": 1.0, "negative": text, "regions": silent}, True),
        ({"gamma_t": 1.0, "negative": text, "regions": region}, False),
        ({"gamma_t": 2.0, "negative": text}, False),
        ({"gamma_t": 1.0}, False),
    ):
        node = pack["EchoGenSampler"].PREPARE_CLASS_CLONE({})
        output = node.EXECUTE_NORMALIZED(model=models.model, **{**SAMPLER, **inputs})
        said = output.ui["echogen_notices"]
        assert any("negative prompt has no effect" in note for note in said) == noted, inputs


def test_tuning_reuses_what_is_known_of_subject_and_prompt(
    pack: dict[str, Any], models: Any, features: dict[str, Any]
) -> None:
    cache = models.model.prefill_cache
    run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **features)
    before = cache.computed
    for change in (
        {"gamma_i": 0.5},
        {"gamma_t": 1.0},
        {"tau": 1.5},
        {"seed": 99},
        {"batch": 2},
        {"top_k": 1},
    ):
        run(pack, "EchoGenSampler", model=models.model, **{**SAMPLER, **change}, **features)
    assert cache.computed == before

    (other,) = run(pack, "EchoGenEncodeText", text_encoder=models.text_encoder, prompt="a toy car on a lake")
    run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **{**features, "text": other})
    assert cache.computed > before, "another prompt is another prefill"


def test_prefills_are_bounded_and_go_with_the_model(
    pack: dict[str, Any], models: Any, features: dict[str, Any]
) -> None:
    import comfy.model_management as mm

    cache = models.model.prefill_cache
    for strength in torch.linspace(0.1, 2.0, 12).tolist():
        strong = features["semantic"]._replace(strength=strength)
        run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **{**features, "semantic": strong})
    held = cache.nbytes
    run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **features)
    assert 0 < cache.nbytes <= held * 1.01

    mm.unload_all_models()
    assert cache.nbytes == 0
    bits, _ = run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **features)
    assert bits.complete, "and the model comes back when it is wanted"


def test_progress_shows_every_scale_and_ends_with_the_finished_picture(
    pack: dict[str, Any], models: Any, features: dict[str, Any]
) -> None:
    import comfy.utils

    events: list[tuple[int, int, Any]] = []
    comfy.utils.set_progress_bar_global_hook(
        lambda value, total, preview, node_id=None: events.append((value, total, preview))
    )
    try:
        bits, _ = run(
            pack, "EchoGenSampler", model=models.model, tokenizer=models.tokenizer, **SAMPLER, **features
        )
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    (image,) = run(pack, "EchoGenDecodeBits", bits=bits, tokenizer=models.tokenizer)

    assert [(value, total) for value, total, _ in events] == [(i, 5) for i in range(1, 6)]
    kind, last, size = events[-1][2]
    assert kind == "JPEG" and size is None and last.size == (256, 256)
    expected = (image[0] * 255).round().byte()
    assert torch.equal(
        torch.frombuffer(bytearray(last.tobytes()), dtype=torch.uint8).view(256, 256, 3), expected
    )


def test_interruption_ends_within_the_scale_and_the_next_run_is_whole(
    pack: dict[str, Any], models: Any, features: dict[str, Any]
) -> None:
    import comfy.model_management as mm

    expected, _ = run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **features)
    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException):
        run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **features)
    again, _ = run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **features)
    assert same_bits(again, expected)
